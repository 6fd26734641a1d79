"""Kernels: what maps two batches of inputs to a block of kernel values."""

from .base import Kernel
from .empirical import EmpiricalNNGP, EmpiricalNTK
from .empirical_features import EmpiricalFeatures
from .infinite import InfiniteNNGP, InfiniteNTK
from .monte_carlo import Estimate, MonteCarloNNGP, MonteCarloNTK
from .nystroem import Nystroem
from .precomputed import Precomputed
from .random_features import RandomFeatures
from .zonal_spectrum import ZonalSpectrum, zonal_spectrum

__all__ = [
    "EmpiricalFeatures",
    "EmpiricalNNGP",
    "EmpiricalNTK",
    "Estimate",
    "InfiniteNNGP",
    "InfiniteNTK",
    "Kernel",
    "MonteCarloNNGP",
    "MonteCarloNTK",
    "Nystroem",
    "Precomputed",
    "RandomFeatures",
    "ZonalSpectrum",
    "zonal_spectrum",
]
