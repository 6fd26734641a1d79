"""Activations: elementwise functions, their derivatives and their dual activations.

Formulas are written against the array API, as functions of a namespace ``xp`` and an array: the same source runs
on every library, and on NumPy where a dual activation is tabulated.
"""

from .base import Activation, ClosedForm
from .elementwise import Elementwise
from .names import NAMED, activation_named
from .periodic import Cos, Sin
from .piecewise import Abs, Identity, LeakyReLU, ReLU
from .saturating import Erf, Sigmoid, Tanh
from .smooth import ELU, GELU, SiLU, Softplus

__all__ = [
    "ELU",
    "GELU",
    "NAMED",
    "Abs",
    "Activation",
    "ClosedForm",
    "Cos",
    "Elementwise",
    "Erf",
    "Identity",
    "LeakyReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Sin",
    "Softplus",
    "Tanh",
    "activation_named",
]
