"""Activations that ntk_array has in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ... import nn
from ..functions import Layer, layer_of
from ..parts import One

__all__ = [
    "ABRelu",
    "Abs",
    "Cos",
    "Erf",
    "Exp",
    "Gabor",
    "Gaussian",
    "Gelu",
    "Hermite",
    "LeakyRelu",
    "Monomial",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Sigmoid_like",
    "Sign",
    "Sin",
]


def _layer(activation: nn.Layer) -> Layer:
    return layer_of(One(activation))


def ABRelu(a: float, b: float, do_stabilize: bool = False) -> Layer:
    """``ntk_array.nn.ABReLU``: a min(x, 0) + b max(x, 0). ``do_stabilize`` is not needed: angles are exact here."""
    del do_stabilize
    return _layer(nn.ABReLU(a, b))


def Relu(do_stabilize: bool = False) -> Layer:
    """``ntk_array.nn.ReLU``. ``do_stabilize`` is not needed: angles are exact here."""
    del do_stabilize
    return _layer(nn.ReLU())


def LeakyRelu(alpha: float, do_stabilize: bool = False) -> Layer:
    """``ntk_array.nn.LeakyReLU``. ``do_stabilize`` is not needed: angles are exact here."""
    del do_stabilize
    return _layer(nn.LeakyReLU(alpha))


def Abs(do_stabilize: bool = False) -> Layer:
    """``ntk_array.nn.Abs``. ``do_stabilize`` is not needed: angles are exact here."""
    del do_stabilize
    return _layer(nn.Abs())


def Erf(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:
    """a erf(b x) + c, where ``ntk_array.nn.Erf`` has a erf(b x + c). With c the dual is integrated."""
    if c == 0:
        return _layer(nn.Erf(a, b))

    def phi(xp: object, x: object) -> object:
        return a * xp.erf(b * x) + c  # type: ignore[attr-defined, operator]

    def slope(xp: object, x: object) -> object:
        return (2.0 * a * b / math.pi**0.5) * xp.exp(-((b * x) ** 2))  # type: ignore[attr-defined, operator]

    return _layer(nn.Elementwise(phi, slope, name=f"{a:g} erf({b:g} x) + {c:g}"))


def Sigmoid_like() -> Layer:
    """``ntk_array.nn.SigmoidLike``."""
    return _layer(nn.SigmoidLike())


def Gelu(approximate: bool = False) -> Layer:
    """``ntk_array.nn.GELU``, which is exact."""
    if approximate:
        raise NotImplementedError("ntk_array has GELU as it is and not its approximation by tanh: approximate=False")
    return _layer(nn.GELU())


def Sin(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:
    """``ntk_array.nn.Sin``: a sin(b x + c)."""
    return _layer(nn.Sin(a, b, c))


def Cos(a: float = 1.0, b: float = 1.0, c: float = 0.0) -> Layer:
    """``ntk_array.nn.Cos``: a cos(b x + c)."""
    return _layer(nn.Cos(a, b, c))


def Rbf(gamma: float = 1.0) -> Layer:
    """``ntk_array.nn.Rbf``."""
    return _layer(nn.Rbf(gamma))


def Exp(a: float = 1, b: float = 1) -> Layer:
    """``ntk_array.nn.Exp``: a exp(b x)."""
    return _layer(nn.Exp(a, b))


def Gaussian(a: float = 1, b: float = -1) -> Layer:
    """``ntk_array.nn.Gaussian``: a exp(b x^2)."""
    return _layer(nn.Gaussian(a, b))


def Gabor() -> Layer:
    """``ntk_array.nn.Gabor``."""
    return _layer(nn.Gabor())


def Sign() -> Layer:
    """``ntk_array.nn.Sign``. It has no NTK here, where neural-tangents gives one in which its derivative is zero."""
    return _layer(nn.Sign())


def Monomial(degree: int) -> Layer:
    """``ntk_array.nn.Monomial``: x^degree."""
    return _layer(nn.Monomial(degree))


def RectifiedMonomial(degree: int) -> Layer:
    """``ntk_array.nn.RectifiedMonomial``: max(x, 0)^degree. With degree 0 it has no NTK, as Sign has none."""
    return _layer(nn.RectifiedMonomial(degree))


def Polynomial(coef: Sequence[float]) -> Layer:
    """``ntk_array.nn.Polynomial``, lowest degree first."""
    return _layer(nn.Polynomial(tuple(float(c) for c in coef)))


def Hermite(degree: int) -> Layer:
    """``ntk_array.nn.Hermite``, for inputs of any variance; the kernel of neural-tangents takes it to be 1."""
    return _layer(nn.Hermite(degree))
