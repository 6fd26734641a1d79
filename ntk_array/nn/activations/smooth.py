"""Smooth relatives of ReLU."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array, home
from ..._array.special import normal_cdf, normal_pdf
from ..._array.validate import number, positive
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import Activation, ClosedForm
from .saturating import sigmoid
from .squashed import Squashed

__all__ = ["CELU", "ELU", "GELU", "SELU", "LogSigmoid", "Mish", "SiLU", "Softplus"]


class GELU(ClosedForm):
    """phi(x) = x Phi(x), Phi the normal distribution function (the exact form, not the tanh approximation)."""

    def mean(self, k: Array) -> tuple[Array, Array]:
        """k / sqrt(2 pi (1 + k)), by Stein's lemma."""
        root = home(k).xp.sqrt(2.0 * math.pi * (1.0 + k))
        return k / root, (1.0 + 0.5 * k) / ((1.0 + k) * root)

    def function(self, xp: Any, x: Array) -> Array:
        return x * normal_cdf(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return GELU.value_and_derivative(self, xp, x)[1]

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        below = normal_cdf(x)
        return x * below, below + x * normal_pdf(x)

    def dual(self, state: Covariance) -> Dual:
        """By Stein's lemma from P(z1 < u, z2 < v); Tsuchida et al. 2021, section 3."""
        # All in units of S = sqrt((1 + k11)(1 + k22)): value = S (c a + b) and slope = a + e.
        q = Squashed.of(state, 1.0)
        a, b, e = self._parts(q)
        return Dual((q.c * a + b) / q.noise, a + e)

    @staticmethod
    def _parts(q: Squashed) -> tuple[Array, Array, Array]:
        """a = P(z1 < u, z2 < v), b = (r1 r2 sin^2 t + c^2 (p1 + p2)) / (2 pi root) and e, see :meth:`dual`."""
        xp, root = home(q.c).xp, 2 * math.pi * q.root
        ratio = q.noise / q.root
        return (
            0.25 + xp.atan2(q.c, q.root) / (2 * math.pi),
            (q.r1 * q.r2 * q.sine * q.sine + q.c * q.c * (q.p1 + q.p2)) / root,
            q.c * (q.p1 + q.p2 + ratio * ratio) / root,
        )

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        """The product and chain rules, term by term."""
        q = Squashed.of(state, 1.0)
        move, root, noises = q.change(state, change), 2 * math.pi * q.root, q.p1 + q.p2
        a, b, e = self._parts(q)
        dp1, dp2 = -2 * q.p1 * q.r1 * move.log_s1, -2 * q.p2 * q.r2 * move.log_s2
        # d(r1 r2 sin^2 t) with d log r = 2 p d log s.
        both = q.p1 * move.log_s1 + q.p2 * move.log_s2
        signals = 2 * q.r1 * q.r2 * q.sine * (q.sine * both + q.cosine * move.turn)
        da = move.c / root
        db = (signals + 2 * q.c * move.c * noises + q.c * q.c * (dp1 + dp2)) / root - b * move.log_root
        ratio = q.noise / q.root
        dratio2 = 2 * ratio * ratio * (move.log_noise - move.log_root)
        de = (move.c * (noises + ratio * ratio) + q.c * (dp1 + dp2 + dratio2)) / root - e * move.log_root
        value = (q.c * a + b) / q.noise
        return Dual((move.c * a + q.c * da + db) / q.noise - value * move.log_noise, da + de)


class SiLU(Activation):
    """phi(x) = x sigmoid(x), also called swish."""

    def function(self, xp: Any, x: Array) -> Array:
        return x * sigmoid(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return SiLU.value_and_derivative(self, xp, x)[1]

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        s = sigmoid(xp, x)
        return x * s, s * (1 + x * (1 - s))


class Softplus(Activation):
    """phi(x) = log(1 + exp(x))."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.clip(x, min=0.0) + xp.log1p(xp.exp(-xp.abs(x)))

    def derivative(self, xp: Any, x: Array) -> Array:
        return sigmoid(xp, x)


class LogSigmoid(Activation):
    """phi(x) = -log(1 + exp(-x))."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.clip(x, max=0.0) - xp.log1p(xp.exp(-xp.abs(x)))

    def derivative(self, xp: Any, x: Array) -> Array:
        return sigmoid(xp, -x)


class Mish(Activation):
    """phi(x) = x tanh(log(1 + exp(x)))."""

    def function(self, xp: Any, x: Array) -> Array:
        return x * self._shares(xp, x)[0]

    def derivative(self, xp: Any, x: Array) -> Array:
        return Mish.value_and_derivative(self, xp, x)[1]

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        share, rest, w = self._shares(xp, x)
        slope = xp.where(x > 0, xp.ones_like(w), w) / (1 + w)  # of log(1 + exp(x))
        return x * share, share + x * (1 + share) * rest * slope

    @staticmethod
    def _shares(xp: Any, x: Array) -> tuple[Array, Array, Array]:
        """T = tanh(log(1 + exp(x))), 1 - T and w = exp(-|x|)."""
        # T = (1 + 2 w) / (1 + 2 w + 2 w^2) for x > 0, and (w^2 + 2 w) / (w^2 + 2 w + 2) for x < 0.
        w = xp.exp(-xp.abs(x))
        above = xp.where(x > 0, 1 + 2 * w, w * (w + 2))
        rest = xp.where(x > 0, 2 * w * w, 2 + xp.zeros_like(w))
        total = above + rest
        return above / total, rest / total, w


class _Exponential(Activation):
    """phi(x) = above x for x > 0, depth (exp(rate x) - 1) otherwise."""

    breakpoints = (0.0,)

    @abstractmethod
    def _shape(self) -> tuple[float, float, float]:
        """above, depth and rate."""

    def function(self, xp: Any, x: Array) -> Array:
        above, depth, rate = self._shape()
        return xp.where(x > 0, above * x, depth * xp.expm1(rate * xp.clip(x, max=0.0)))

    def derivative(self, xp: Any, x: Array) -> Array:
        above, depth, rate = self._shape()
        return xp.where(x > 0, above + xp.zeros_like(x), (depth * rate) * xp.exp(rate * xp.clip(x, max=0.0)))


@dataclass(frozen=True)
class ELU(_Exponential):
    """phi(x) = x for x > 0, alpha (exp(x) - 1) otherwise."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", number("alpha", self.alpha))

    def _shape(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, 1.0


@dataclass(frozen=True)
class CELU(_Exponential):
    """phi(x) = x for x > 0, alpha (exp(x / alpha) - 1) otherwise, for a positive alpha."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", positive("alpha", self.alpha))

    def _shape(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, 1.0 / self.alpha


class SELU(_Exponential):
    """phi(x) = s x for x > 0, s alpha (exp(x) - 1) otherwise.

    With s = 1.0507 and alpha = 1.6733, for which a variance of 1 stays 1 and a mean of 0 stays 0 (Klambauer et al.
    2017).
    """

    SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

    def _shape(self) -> tuple[float, float, float]:
        return self.SCALE, self.SCALE * self.ALPHA, 1.0
