"""Neural tangent kernels on any array library.

Finite networks with explicit forward and backward passes, their empirical and infinite-width kernels, and the
training dynamics that the kernels predict, on NumPy, CuPy, PyTorch and JAX arrays alike.
"""

from types import ModuleType

from . import dynamics, function_space, nn
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


def __getattr__(name: str) -> ModuleType:
    """``ntk_array.experiments`` is loaded when it is first asked for: programs that only need kernels do not wait."""
    if name == "experiments":
        from importlib import import_module

        return import_module(".experiments", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
