"""Solvers for Gram matrices: linear systems, determinants and functions of the eigenvalues.

``solver=`` of dynamics and of :func:`solve` is a word or one of these objects, which hold options.
"""

from .cholesky import Cholesky
from .conjugate_gradient import ConjugateGradient
from .factor import Solution
from .kernel_matrix import KernelMatrix
from .lanczos import Lanczos
from .low_rank import LowRank
from .operator import GramOperator
from .ridge import TimesMeanDiagonal
from .solvers import Direct, solve
from .spectrum import Spectral

__all__ = [
    "Cholesky",
    "ConjugateGradient",
    "Direct",
    "GramOperator",
    "KernelMatrix",
    "Lanczos",
    "LowRank",
    "Solution",
    "Spectral",
    "TimesMeanDiagonal",
    "solve",
]
