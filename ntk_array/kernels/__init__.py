"""Kernels: what maps two batches of inputs to a block of kernel values."""

from .base import Kernel
from .empirical import EmpiricalNNGP, EmpiricalNTK
from .infinite import InfiniteNNGP, InfiniteNTK
from .monte_carlo import Estimate, MonteCarloNNGP, MonteCarloNTK
from .precomputed import Precomputed
from .zonal_spectrum import ZonalSpectrum, zonal_spectrum

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
    "ZonalSpectrum",
    "zonal_spectrum",
]
