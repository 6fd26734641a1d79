"""Second derivatives of activations, which the gradient of a finite network's NTK in its inputs takes."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from ..._array.namespace import Array
from ..._array.special import normal_pdf
from .base import Activation
from .exponential import Exp, Gabor, Gaussian
from .periodic import Cos, Rbf, Sin
from .piecewise import ABReLU, Abs, Identity, LeakyReLU, ReLU
from .polynomial import Hermite, Monomial, Polynomial, horner
from .rectified import RectifiedMonomial, Sign
from .saturating import Erf, Sigmoid, SigmoidLike, Softsign, Tanh, sigmoid
from .smooth import CELU, ELU, GELU, SELU, LogSigmoid, SiLU, Softplus

__all__ = ["second_derivative"]


@singledispatch
def second_derivative(phi: Activation, xp: Any, x: Array) -> Array:
    """phi''(x), between kinks. TypeError for an activation whose second derivative is not written down here."""
    raise TypeError(
        f"the second derivative of {phi!r} is not known here, and the gradient of EmpiricalNTK in its inputs takes it; "
        "take one of the usual smooth activations, or those of ReLU's family"
    )


@second_derivative.register(Identity | ReLU | LeakyReLU | ABReLU | Abs | Sign)
def _piecewise_linear(phi: Activation, xp: Any, x: Array) -> Array:
    return xp.zeros_like(x)


@second_derivative.register(Sin | Cos | Rbf)
def _wave(phi: Sin | Cos | Rbf, xp: Any, x: Array) -> Array:
    return -(phi.b**2) * phi.function(xp, x)


@second_derivative.register
def _exp(phi: Exp, xp: Any, x: Array) -> Array:
    return phi.b**2 * phi.function(xp, x)


@second_derivative.register
def _gaussian(phi: Gaussian, xp: Any, x: Array) -> Array:
    return 2.0 * phi.b * (1.0 + 2.0 * phi.b * x * x) * phi.function(xp, x)


@second_derivative.register
def _gabor(phi: Gabor, xp: Any, x: Array) -> Array:
    return xp.exp(-x * x) * ((4.0 * x * x - 3.0) * xp.sin(x) - 4.0 * x * xp.cos(x))


@second_derivative.register
def _polynomial(phi: Polynomial, xp: Any, x: Array) -> Array:
    terms = [j * (j - 1) * value for j, value in enumerate(phi.coefficients)][2:]
    return xp.zeros_like(x) + (horner(terms, x) if terms else 0.0)


@second_derivative.register(Monomial | Hermite | RectifiedMonomial)
def _power(phi: Monomial | Hermite | RectifiedMonomial, xp: Any, x: Array) -> Array:
    # The derivative of x^n is n x^(n - 1), that of He_n / sqrt(n!) is sqrt(n) He_(n - 1) / sqrt((n - 1)!).
    n = phi.degree
    if n < 2:
        return xp.zeros_like(x)
    factor = n**0.5 if isinstance(phi, Hermite) else n
    return factor * type(phi)(n - 1).derivative(xp, x)


@second_derivative.register
def _erf(phi: Erf, xp: Any, x: Array) -> Array:
    return (-2.0 * phi.b) * (phi.b * x + phi.c) * phi.derivative(xp, x)


@second_derivative.register
def _sigmoid_like(phi: SigmoidLike, xp: Any, x: Array) -> Array:
    return _erf(phi.STEP, xp, x)


@second_derivative.register
def _tanh(phi: Tanh, xp: Any, x: Array) -> Array:
    t = xp.tanh(x)
    return -2.0 * t * (1.0 - t * t)


@second_derivative.register
def _sigmoid(phi: Sigmoid, xp: Any, x: Array) -> Array:
    s = sigmoid(xp, x)
    return s * (1.0 - s) * (1.0 - 2.0 * s)


@second_derivative.register
def _softsign(phi: Softsign, xp: Any, x: Array) -> Array:
    share = 1.0 / (1.0 + xp.abs(x))
    return -2.0 * xp.sign(x) * share * share * share


@second_derivative.register
def _gelu(phi: GELU, xp: Any, x: Array) -> Array:
    return normal_pdf(x) * (2.0 - x * x)


@second_derivative.register
def _silu(phi: SiLU, xp: Any, x: Array) -> Array:
    s = sigmoid(xp, x)
    return s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))


@second_derivative.register
def _softplus(phi: Softplus, xp: Any, x: Array) -> Array:
    s = sigmoid(xp, x)
    return s * (1.0 - s)


@second_derivative.register
def _log_sigmoid(phi: LogSigmoid, xp: Any, x: Array) -> Array:
    s = sigmoid(xp, x)
    return -s * (1.0 - s)


@second_derivative.register(ELU | CELU | SELU)
def _exponential(phi: ELU | CELU | SELU, xp: Any, x: Array) -> Array:
    # d (exp(r x) - 1) below 0 has the derivative d r exp(r x).
    rate = 1.0 / phi.alpha if isinstance(phi, CELU) else 1.0
    return xp.where(x > 0, xp.zeros_like(x), rate * phi.derivative(xp, x))
