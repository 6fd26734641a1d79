"""Third derivatives of smooth activations, which the NTK between second derivatives of finite networks takes."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from ..._array.namespace import Array
from ..._array.special import normal_pdf
from .base import Activation
from .exponential import Exp, Gabor, Gaussian
from .periodic import Cos, Rbf, Sin
from .piecewise import Identity
from .polynomial import Hermite, Monomial, Polynomial, horner
from .saturating import Erf, Sigmoid, SigmoidLike, Tanh, sigmoid
from .smooth import GELU, LogSigmoid, SiLU, Softplus

__all__ = ["third_derivative"]


@singledispatch
def third_derivative(phi: Activation, xp: Any, x: Array) -> Array:
    """phi'''(x). TypeError for an activation whose third derivative is not written down here."""
    raise TypeError(
        f"the third derivative of {phi!r} is not known here, and the kernel of second derivatives of a finite network "
        "takes it; take one of the usual smooth activations, such as Erf, GELU, SiLU, Sin, Softplus or Tanh"
    )


@third_derivative.register
def _identity(phi: Identity, xp: Any, x: Array) -> Array:
    return xp.zeros_like(x)


@third_derivative.register(Sin | Cos | Rbf)
def _wave(phi: Sin | Cos | Rbf, xp: Any, x: Array) -> Array:
    return -(phi.b**2) * phi.derivative(xp, x)


@third_derivative.register
def _exp(phi: Exp, xp: Any, x: Array) -> Array:
    return phi.b**2 * phi.derivative(xp, x)


@third_derivative.register
def _gaussian(phi: Gaussian, xp: Any, x: Array) -> Array:
    return 4.0 * phi.b**2 * x * (3.0 + 2.0 * phi.b * x * x) * phi.function(xp, x)


@third_derivative.register
def _gabor(phi: Gabor, xp: Any, x: Array) -> Array:
    square = x * x
    return xp.exp(-square) * ((18.0 - 8.0 * square) * x * xp.sin(x) + (12.0 * square - 7.0) * xp.cos(x))


@third_derivative.register
def _polynomial(phi: Polynomial, xp: Any, x: Array) -> Array:
    terms = [j * (j - 1) * (j - 2) * value for j, value in enumerate(phi.coefficients)][3:]
    return xp.zeros_like(x) + (horner(terms, x) if terms else 0.0)


@third_derivative.register(Monomial | Hermite)
def _power(phi: Monomial | Hermite, xp: Any, x: Array) -> Array:
    # Each derivative of x^n takes a factor n, and of He_n / sqrt(n!) a factor sqrt(n).
    n = phi.degree
    if n < 3:
        return xp.zeros_like(x)
    factor = float(n * (n - 1))
    return (factor**0.5 if isinstance(phi, Hermite) else factor) * type(phi)(n - 2).derivative(xp, x)


@third_derivative.register
def _erf(phi: Erf, xp: Any, x: Array) -> Array:
    u = phi.b * x + phi.c
    return (4.0 * u * u - 2.0) * phi.b**2 * phi.derivative(xp, x)


@third_derivative.register
def _sigmoid_like(phi: SigmoidLike, xp: Any, x: Array) -> Array:
    return _erf(phi.STEP, xp, x)


@third_derivative.register
def _tanh(phi: Tanh, xp: Any, x: Array) -> Array:
    square = xp.tanh(x) ** 2
    return (1.0 - square) * (6.0 * square - 2.0)


def _third_of_sigmoid(s: Array) -> Array:
    return s * (1.0 - s) * (1.0 - 6.0 * s * (1.0 - s))


@third_derivative.register
def _sigmoid(phi: Sigmoid, xp: Any, x: Array) -> Array:
    return _third_of_sigmoid(sigmoid(xp, x))


@third_derivative.register
def _gelu(phi: GELU, xp: Any, x: Array) -> Array:
    return normal_pdf(x) * x * (x * x - 4.0)


@third_derivative.register
def _silu(phi: SiLU, xp: Any, x: Array) -> Array:
    s = sigmoid(xp, x)
    return 3.0 * s * (1.0 - s) * (1.0 - 2.0 * s) + x * _third_of_sigmoid(s)


@third_derivative.register
def _softplus(phi: Softplus, xp: Any, x: Array) -> Array:
    s = sigmoid(xp, x)
    return s * (1.0 - s) * (1.0 - 2.0 * s)


@third_derivative.register
def _log_sigmoid(phi: LogSigmoid, xp: Any, x: Array) -> Array:
    s = sigmoid(xp, x)
    return -s * (1.0 - s) * (1.0 - 2.0 * s)
