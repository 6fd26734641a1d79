"""Neural tangent kernels on any array library.

Finite networks with explicit forward and backward passes, their empirical and infinite-width kernels, and the
training dynamics that the kernels predict, on NumPy, CuPy, PyTorch and JAX arrays alike.
"""

from typing import TYPE_CHECKING, Any

from . import function_space, gram, nn
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

if TYPE_CHECKING:
    from . import dynamics, experiments, operators, solve, study
    from .kernels import EmpiricalFeatures, Nystroem, RandomFeatures

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
    "dynamics",
    "experiments",
    "function_space",
    "gram",
    "neural_tangents",
    "nn",
    "operators",
    "plotting",
    "solve",
    "study",
]


def __getattr__(name: str) -> Any:
    """The floors above the kernels, and kernels of features, are loaded when they are first asked for: what needs
    another kernel only does not wait."""
    if name in ("EmpiricalFeatures", "Nystroem", "RandomFeatures"):
        from . import kernels

        return getattr(kernels, name)
    if name in ("dynamics", "experiments", "neural_tangents", "operators", "plotting", "solve", "study"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    if name == "__version__":
        from ._support.versions import installed_version

        return installed_version(__name__) or "unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is loaded later too, so that completion offers it."""
    return sorted({*globals(), *__all__})
