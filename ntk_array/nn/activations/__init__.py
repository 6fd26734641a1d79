"""Activations: elementwise functions, their derivatives and their dual activations.

Formulas are written against the array API, as functions of a namespace ``xp`` and an array: the same source runs
on every library, and on NumPy where a dual activation is tabulated.
"""

from .base import Activation, ClosedForm
from .clipped import Hardsigmoid, Hardswish, HardTanh, ReLU6, Softshrink
from .elementwise import Elementwise
from .exponential import Exp, Gabor, Gaussian
from .names import NAMED, activation_named
from .periodic import Cos, Rbf, Sin
from .piecewise import ABReLU, Abs, Identity, LeakyReLU, ReLU
from .polynomial import Hermite, Monomial, Polynomial
from .rectified import RectifiedMonomial, Sign
from .saturating import Erf, Sigmoid, SigmoidLike, Softsign, Tanh
from .smooth import CELU, ELU, GELU, SELU, LogSigmoid, Mish, SiLU, Softplus

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "NAMED",
    "SELU",
    "ABReLU",
    "Abs",
    "Activation",
    "ClosedForm",
    "Cos",
    "Elementwise",
    "Erf",
    "Exp",
    "Gabor",
    "Gaussian",
    "HardTanh",
    "Hardsigmoid",
    "Hardswish",
    "Hermite",
    "Identity",
    "LeakyReLU",
    "LogSigmoid",
    "Mish",
    "Monomial",
    "Polynomial",
    "Rbf",
    "ReLU",
    "ReLU6",
    "RectifiedMonomial",
    "SiLU",
    "Sigmoid",
    "SigmoidLike",
    "Sign",
    "Sin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "activation_named",
]
