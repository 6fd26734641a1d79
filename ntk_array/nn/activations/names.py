"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable

from .base import Activation
from .clipped import Hardsigmoid, Hardswish, HardTanh, ReLU6, Softshrink
from .exponential import Exp, Gabor, Gaussian
from .periodic import Cos, Rbf, Sin
from .piecewise import Abs, Identity, LeakyReLU, ReLU
from .rectified import Sign
from .saturating import Erf, Sigmoid, SigmoidLike, Softsign, Tanh
from .smooth import CELU, ELU, GELU, SELU, LogSigmoid, Mish, SiLU, Softplus

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
    "celu": CELU,
    "selu": SELU,
    "mish": Mish,
    "logsigmoid": LogSigmoid,
    "softsign": Softsign,
    "sigmoid_like": SigmoidLike,
    "exp": Exp,
    "gaussian": Gaussian,
    "gabor": Gabor,
    "rbf": Rbf,
    "sign": Sign,
    "hardtanh": HardTanh,
    "relu6": ReLU6,
    "hardsigmoid": Hardsigmoid,
    "hardswish": Hardswish,
    "softshrink": Softshrink,
}


def activation_named(activation: str | Activation) -> Activation:
    """The activation of this name, or the activation itself."""
    if isinstance(activation, Activation):
        return activation
    if activation not in NAMED:
        raise ValueError(f"activation must be one of {', '.join(NAMED)} or an Activation layer, got {activation!r}")
    return NAMED[activation]()
