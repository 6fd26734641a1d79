"""Second and third derivatives of activations, which derivatives of finite networks in their inputs take."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any, Literal, NoReturn

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

__all__ = ["higher_derivative"]

Order = Literal[2, 3]


def higher_derivative(phi: Activation, xp: Any, x: Array, order: Order) -> Array:
    """phi''(x) between kinks, or phi'''(x) where there are none.

    TypeError for an activation whose derivative is not written down here.
    """
    if order == 3 and phi.breakpoints:
        _refuse(phi, order)
    return _derivative(phi, xp, x, order)


def _refuse(phi: Activation, order: Order) -> NoReturn:
    if order == 2:
        raise TypeError(
            f"the second derivative of {phi!r} is not known here, and the gradient of EmpiricalNTK in its inputs takes "
            "it; take one of the usual smooth activations, or those of ReLU's family"
        )
    raise TypeError(
        f"the third derivative of {phi!r} is not known here, and the kernel of second derivatives of a finite network "
        "takes it; take one of the usual smooth activations, such as Erf, GELU, SiLU, Sin, Softplus or Tanh"
    )


@singledispatch
def _derivative(phi: Activation, xp: Any, x: Array, order: Order) -> Array:
    _refuse(phi, order)


@_derivative.register(Identity | ReLU | LeakyReLU | ABReLU | Abs | Sign)
def _piecewise_linear(phi: Activation, xp: Any, x: Array, order: Order) -> Array:
    return xp.zeros_like(x)


@_derivative.register(Sin | Cos | Rbf | Exp)
def _wave(phi: Sin | Cos | Rbf | Exp, xp: Any, x: Array, order: Order) -> Array:
    # phi'' is a multiple of phi, and phi''' the same multiple of phi'.
    multiple = phi.b**2 if isinstance(phi, Exp) else -(phi.b**2)
    return multiple * (phi.function(xp, x) if order == 2 else phi.derivative(xp, x))


@_derivative.register
def _gaussian(phi: Gaussian, xp: Any, x: Array, order: Order) -> Array:
    u = 2.0 * phi.b * x * x
    return 2.0 * phi.b * (1.0 + u if order == 2 else 2.0 * phi.b * x * (3.0 + u)) * phi.function(xp, x)


@_derivative.register
def _gabor(phi: Gabor, xp: Any, x: Array, order: Order) -> Array:
    square = x * x
    if order == 2:
        return xp.exp(-square) * ((4.0 * square - 3.0) * xp.sin(x) - 4.0 * x * xp.cos(x))
    return xp.exp(-square) * ((18.0 - 8.0 * square) * x * xp.sin(x) + (12.0 * square - 7.0) * xp.cos(x))


@_derivative.register
def _polynomial(phi: Polynomial, xp: Any, x: Array, order: Order) -> Array:
    terms = [math.perm(j, order) * value for j, value in enumerate(phi.coefficients)][order:]
    return xp.zeros_like(x) + (horner(terms, x) if terms else 0.0)


@_derivative.register(Monomial | Hermite | RectifiedMonomial)
def _power(phi: Monomial | Hermite | RectifiedMonomial, xp: Any, x: Array, order: Order) -> Array:
    # Each derivative of x^n takes a factor n, and of He_n / sqrt(n!) a factor sqrt(n). The last one is taken below.
    n = phi.degree
    if n < order:
        return xp.zeros_like(x)
    factor = float(math.perm(n, order - 1))
    return (factor**0.5 if isinstance(phi, Hermite) else factor) * type(phi)(n - order + 1).derivative(xp, x)


@_derivative.register
def _erf(phi: Erf, xp: Any, x: Array, order: Order) -> Array:
    u = phi.b * x + phi.c
    return (-2.0 * phi.b * u if order == 2 else phi.b**2 * (4.0 * u * u - 2.0)) * phi.derivative(xp, x)


@_derivative.register
def _sigmoid_like(phi: SigmoidLike, xp: Any, x: Array, order: Order) -> Array:
    return _erf(phi.STEP, xp, x, order)


@_derivative.register
def _tanh(phi: Tanh, xp: Any, x: Array, order: Order) -> Array:
    t = xp.tanh(x)
    return (1.0 - t * t) * (-2.0 * t if order == 2 else 6.0 * t * t - 2.0)


def _of_sigmoid(xp: Any, x: Array, order: int) -> Array:
    """The first, second or third derivative."""
    s = sigmoid(xp, x)
    slope = s * (1.0 - s)
    if order == 1:
        return slope
    return slope * (1.0 - 2.0 * s if order == 2 else 1.0 - 6.0 * slope)


@_derivative.register
def _sigmoid(phi: Sigmoid, xp: Any, x: Array, order: Order) -> Array:
    return _of_sigmoid(xp, x, order)


@_derivative.register
def _softplus(phi: Softplus, xp: Any, x: Array, order: Order) -> Array:
    return _of_sigmoid(xp, x, order - 1)


@_derivative.register
def _log_sigmoid(phi: LogSigmoid, xp: Any, x: Array, order: Order) -> Array:
    return -_of_sigmoid(xp, x, order - 1)


@_derivative.register
def _silu(phi: SiLU, xp: Any, x: Array, order: Order) -> Array:
    return order * _of_sigmoid(xp, x, order - 1) + x * _of_sigmoid(xp, x, order)


@_derivative.register
def _gelu(phi: GELU, xp: Any, x: Array, order: Order) -> Array:
    return normal_pdf(x) * (2.0 - x * x if order == 2 else x * (x * x - 4.0))


# Of these there is no third derivative: they have a kink, or a second derivative that jumps.


@_derivative.register
def _softsign(phi: Softsign, xp: Any, x: Array, order: Order) -> Array:
    share = 1.0 / (1.0 + xp.abs(x))
    return -2.0 * xp.sign(x) * share * share * share


@_derivative.register(ELU | CELU | SELU)
def _exponential(phi: ELU | CELU | SELU, xp: Any, x: Array, order: Order) -> Array:
    # d (exp(r x) - 1) below 0 has the derivative d r exp(r x).
    rate = 1.0 / phi.alpha if isinstance(phi, CELU) else 1.0
    return xp.where(x > 0, xp.zeros_like(x), rate * phi.derivative(xp, x))
