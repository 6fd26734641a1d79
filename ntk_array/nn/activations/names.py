"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable

from .base import Activation
from .periodic import Cos, Sin
from .piecewise import Abs, Identity, LeakyReLU, ReLU
from .saturating import Erf, Sigmoid, Tanh
from .smooth import ELU, GELU, SiLU, Softplus

__all__ = ["NAMED", "activation_named"]


NAMED: dict[str, Callable[[], Activation]] = {
    "identity": Identity,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "abs": Abs,
    "erf": Erf,
    "gelu": GELU,
    "sin": Sin,
    "cos": Cos,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "silu": SiLU,
    "softplus": Softplus,
    "elu": ELU,
}


def activation_named(activation: str | Activation) -> Activation:
    """The activation of this name, or the activation itself."""
    if isinstance(activation, Activation):
        return activation
    if activation not in NAMED:
        raise ValueError(f"activation must be one of {', '.join(NAMED)} or an Activation layer, got {activation!r}")
    return NAMED[activation]()
