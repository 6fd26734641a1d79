"""Neural tangent kernels on any array library.

Finite networks with explicit forward and backward passes, their empirical and infinite-width kernels, and the
training dynamics that the kernels predict, on NumPy, CuPy, PyTorch and JAX arrays alike.
"""

from . import dynamics, experiments, function_space, nn
from .kernels import (
    EmpiricalNNGP,
    EmpiricalNTK,
    Estimate,
    InfiniteNNGP,
    InfiniteNTK,
    Kernel,
    MonteCarloNNGP,
    MonteCarloNTK,
    Precomputed,
)

__all__ = [
    "EmpiricalNNGP",
    "EmpiricalNTK",
    "Estimate",
    "InfiniteNNGP",
    "InfiniteNTK",
    "Kernel",
    "MonteCarloNNGP",
    "MonteCarloNTK",
    "Precomputed",
    "dynamics",
    "experiments",
    "function_space",
    "nn",
]

__version__ = "0.1.0"
