"""The public names of neural-tangents over the networks, kernels and dynamics of ntk_array.

Scripts run with the import changed, on NumPy, CuPy, PyTorch and JAX arrays:

    import ntk_array.neural_tangents as nt
    from ntk_array.neural_tangents import stax

What cannot be carried over says so and names what there is instead. The page "Coming from neural-tangents" lists every
name, with what differs.
"""

from typing import Any

from . import predict, stax
from .batch import batch
from .empirical import (
    NtkImplementation,
    empirical_kernel_fn,
    empirical_nngp_fn,
    empirical_ntk_fn,
    empirical_ntk_vp_fn,
    linearize,
    monte_carlo_kernel_fn,
    taylor_expand,
)
from .kernel import Kernel

__all__ = [
    "Kernel",
    "NtkImplementation",
    "batch",
    "empirical_kernel_fn",
    "empirical_nngp_fn",
    "empirical_ntk_fn",
    "empirical_ntk_vp_fn",
    "linearize",
    "monte_carlo_kernel_fn",
    "predict",
    "stax",
    "taylor_expand",
]


def __getattr__(name: str) -> Any:
    """The one name that has no counterpart."""
    hint = ": it is for TensorFlow, which ntk_array does not take" if name == "experimental" else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
