"""Kernels: what maps two batches of inputs to a block of kernel values."""

from typing import TYPE_CHECKING, Any

from .base import Kernel
from .empirical import EmpiricalNNGP, EmpiricalNTK
from .infinite import InfiniteNNGP, InfiniteNTK
from .monte_carlo import Estimate, MonteCarloNNGP, MonteCarloNTK
from .precomputed import Precomputed
from .zonal_spectrum import ZonalSpectrum, zonal_spectrum

if TYPE_CHECKING:
    from .empirical_features import EmpiricalFeatures
    from .nystroem import Nystroem
    from .random_features import RandomFeatures

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

_LATER = {"EmpiricalFeatures": "empirical_features", "Nystroem": "nystroem", "RandomFeatures": "random_features"}


def __getattr__(name: str) -> Any:
    """Kernels of features are loaded when they are first asked for: what needs another kernel does not wait."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is loaded later too, so that completion offers it."""
    return sorted({*globals(), *__all__})
