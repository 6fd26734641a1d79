"""Smooth relatives of ReLU."""

from __future__ import annotations

import math
from typing import Any

from ..._array.namespace import Array, home
from ..._array.special import normal_cdf, normal_pdf
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import Activation, ClosedForm
from .saturating import sigmoid

__all__ = ["ELU", "GELU", "SiLU", "Softplus"]


class GELU(ClosedForm):
    """phi(x) = x Phi(x), Phi the normal distribution function (the exact form, not the tanh approximation)."""

    def mean(self, k: Array) -> tuple[Array, Array]:
        """k / sqrt(2 pi (1 + k)), by Stein's lemma."""
        root = home(k).xp.sqrt(2.0 * math.pi * (1.0 + k))
        return k / root, (1.0 + 0.5 * k) / ((1.0 + k) * root)

    def function(self, xp: Any, x: Array) -> Array:
        return x * normal_cdf(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return normal_cdf(x) + x * normal_pdf(x)

    def dual(self, state: Covariance) -> Dual:
        """By Stein's lemma from P(z1 < u, z2 < v); Tsuchida et al. 2021, section 3."""
        xp = home(state.k12).xp
        k12, k11, k22 = state.k12, state.k11, state.k22
        a, b = 1 + k11, 1 + k22
        determinant = xp.clip(k11 * k22 - k12 * k12, min=0.0)
        d = 1 + k11 + k22 + determinant  # a b - k12^2
        both = 0.25 + xp.atan2(k12, xp.sqrt(d)) / (2 * math.pi)
        root = 2 * math.pi * xp.sqrt(d)
        inverse = 1 / a + 1 / b
        return Dual(
            k12 * both + (determinant + k12 * k12 * inverse) / root,
            both + k12 * (inverse + 1 / d) / root,
        )

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        """The quotient and chain rules, term by term."""
        xp = home(state.k12).xp
        k12, k11, k22 = state.k12, state.k11, state.k22
        dk12, dk11, dk22 = change.k12, change.k11, change.k22
        a, b = 1 + k11, 1 + k22
        determinant = xp.clip(k11 * k22 - k12 * k12, min=0.0)
        d = 1 + k11 + k22 + determinant
        dd = b * dk11 + a * dk22 - 2 * k12 * dk12
        ddeterminant = k22 * dk11 + k11 * dk22 - 2 * k12 * dk12
        root = 2 * math.pi * xp.sqrt(d)
        inverse, dinverse = 1 / a + 1 / b, -dk11 / a**2 - dk22 / b**2
        both = 0.25 + xp.atan2(k12, xp.sqrt(d)) / (2 * math.pi)
        dboth = (dk12 * d - k12 * dd / 2) / (a * b * root)
        numerator = determinant + k12 * k12 * inverse
        dnumerator = ddeterminant + 2 * k12 * dk12 * inverse + k12 * k12 * dinverse
        slope_sum = inverse + 1 / d
        return Dual(
            dk12 * both + k12 * dboth + (dnumerator - numerator * dd / (2 * d)) / root,
            dboth + (dk12 * slope_sum + k12 * (dinverse - dd / d**2 - slope_sum * dd / (2 * d))) / root,
        )


class SiLU(Activation):
    """phi(x) = x sigmoid(x), also called swish."""

    def function(self, xp: Any, x: Array) -> Array:
        return x * sigmoid(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        s = sigmoid(xp, x)
        return s * (1 + x * (1 - s))


class Softplus(Activation):
    """phi(x) = log(1 + exp(x))."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.clip(x, min=0.0) + xp.log1p(xp.exp(-xp.abs(x)))

    def derivative(self, xp: Any, x: Array) -> Array:
        return sigmoid(xp, x)


class ELU(Activation):
    """phi(x) = x for x > 0, exp(x) - 1 otherwise."""

    breakpoints = (0.0,)

    def function(self, xp: Any, x: Array) -> Array:
        return xp.where(x > 0, x, xp.expm1(xp.clip(x, max=0.0)))

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.exp(xp.clip(x, max=0.0))
