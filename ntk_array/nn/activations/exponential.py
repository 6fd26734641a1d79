"""Exponentials of the values and of their squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array, home
from ..._array.validate import number
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import ClosedForm
from .squashed import Squashed

__all__ = ["Exp", "Gabor", "Gaussian"]


@dataclass(frozen=True)
class Exp(ClosedForm):
    """phi(x) = a exp(b x)."""

    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            object.__setattr__(self, name, number(name, getattr(self, name)))

    def function(self, xp: Any, x: Array) -> Array:
        return self.a * xp.exp(self.b * x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return (self.a * self.b) * xp.exp(self.b * x)

    def mean(self, k: Array) -> tuple[Array, Array]:
        """a exp(b^2 k / 2)."""
        mean = self.a * home(k).xp.exp((0.5 * self.b**2) * k)
        return mean, 0.5 * self.b**2 * mean

    def dual(self, state: Covariance) -> Dual:
        """a^2 exp(b^2 E(u + v)^2 / 2), and b^2 times that."""
        xp, g = home(state.k12).xp, self.b**2
        value = self.a**2 * xp.exp(g * (0.5 * (state.k11 + state.k22) + state.k12))
        return Dual(value, g * value)

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        value, slope, _ = self.dual(state)
        move = self.b**2 * (0.5 * (change.k11 + change.k22) + change.k12)
        return Dual(value * move, slope * move)


@dataclass(frozen=True)
class Gaussian(ClosedForm):
    """phi(x) = a exp(b x^2).

    Parameters
    ----------
    a : float
    b : float
        Negative. A function with b > 0 has no infinite-width limit for inputs whose variance is 1 / (4 b) or more: the
        second moment of its values is then infinite.
    """

    a: float = 1.0
    b: float = -1.0

    even = True

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if self.b >= 0:
            raise ValueError(
                f"b must be negative, got {self.b!r}: E[exp(2 b u^2)] is infinite as soon as the variance of u is "
                f"1 / (4 b); for a function that grows take Exp or Monomial"
            )

    @property
    def gain(self) -> float:
        """g = -2 b: a^2 exp(-g (u^2 + v^2) / 2) is the product of the two values."""
        return -2.0 * self.b

    def function(self, xp: Any, x: Array) -> Array:
        return self.a * xp.exp(self.b * (x * x))

    def derivative(self, xp: Any, x: Array) -> Array:
        return (2.0 * self.a * self.b) * x * xp.exp(self.b * (x * x))

    def mean(self, k: Array) -> tuple[Array, Array]:
        """a / sqrt(1 + g k)."""
        shared = 1.0 + self.gain * k
        mean = self.a / home(k).xp.sqrt(shared)
        return mean, -0.5 * self.gain * mean / shared

    def dual(self, state: Covariance) -> Dual:
        """a^2 det(I + g K)^(-1/2), and its derivative in k12."""
        # det(I + g K) = (1 + g k11)(1 + g k22)(1 - c^2) = (root / noise)^2, and g k12 = c / noise.
        q, a2 = Squashed.of(state, self.gain), self.a**2
        value = q.noise / q.root
        return Dual(a2 * value, (a2 * self.gain) * q.c * value * value / q.root)

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        q, a2 = Squashed.of(state, self.gain), self.a**2
        move, value = q.change(state, change), q.noise / q.root
        shrink = move.log_noise - move.log_root
        moved = move.c + q.c * (2.0 * shrink - move.log_root)
        return Dual(a2 * value * shrink, (a2 * self.gain) * moved * value * value / q.root)


class Gabor(ClosedForm):
    """phi(x) = exp(-x^2) sin(x)."""

    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return xp.exp(-x * x) * xp.sin(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return Gabor.value_and_derivative(self, xp, x)[1]

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        envelope, wave = xp.exp(-x * x), xp.sin(x)
        return envelope * wave, envelope * (xp.cos(x) - 2.0 * x * wave)

    def dual(self, state: Covariance) -> Dual:
        """Z exp(-m) sinh(h), with Z = det(I + 2 K)^(-1/2), and its derivative in k12.

        exp(-u^2 - v^2) turns the covariance K into (K^-1 + 2 I)^-1, whose entries are no larger than 1 / 2: h is the
        one off the diagonal and m the mean of the two on it. E[sin u sin v] is that of sin.
        """
        q = Squashed.of(state, 2.0)
        parts = _Enveloped.of(q)
        xp = home(state.k12).xp
        sinh, cosh = xp.sinh(parts.h), xp.cosh(parts.h)
        return Dual(parts.size * sinh, parts.size * (parts.of_sinh * sinh + parts.of_cosh * cosh))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        q = Squashed.of(state, 2.0)
        parts, moved = _Enveloped.of(q), _Enveloped.change(q, state, change)
        xp = home(state.k12).xp
        sinh, cosh = xp.sinh(parts.h), xp.cosh(parts.h)
        slope = parts.of_sinh * sinh + parts.of_cosh * cosh
        dslope = moved.of_sinh * sinh + moved.of_cosh * cosh
        dslope = dslope + moved.h * (parts.of_sinh * cosh + parts.of_cosh * sinh)
        return Dual(
            parts.size * (moved.size * sinh + moved.h * cosh),
            parts.size * (moved.size * slope + dslope),
        )


@dataclass(frozen=True)
class _Enveloped:
    """What the dual of Gabor is made of; ``change`` gives that of log size in place of that of size.

    With D = det(I + 2 K) = (root / noise)^2, all in shares of signal and noise:

        h = k12 / D = c noise / (2 root^2),    m = (r1 p2 + r2 p1 + 2 r1 r2 sin^2 t) / (4 root^2),
        size = exp(-m) / sqrt(D),    slope = size (8 (1 - m) h sinh h + (1 + 8 k12^2 / D) / D cosh h).
    """

    h: Array
    size: Array
    of_sinh: Array
    of_cosh: Array

    @classmethod
    def of(cls, q: Squashed) -> _Enveloped:
        """For the correlation with noise, at a gain of 2."""
        square = q.root * q.root
        h, m = 0.5 * q.c * q.noise / square, cls._mean(q) / square
        share = q.noise / q.root
        size = home(q.c).xp.exp(-m) * share
        return cls(h, size, 8.0 * (1.0 - m) * h, share * share * (1.0 + 2.0 * q.c * q.c / square))

    @staticmethod
    def _mean(q: Squashed) -> Array:
        """m root^2."""
        return 0.25 * (q.r1 * q.p2 + q.r2 * q.p1) + 0.5 * q.r1 * q.r2 * q.sine * q.sine

    @classmethod
    def change(cls, q: Squashed, state: Covariance, change: Covariance) -> _Enveloped:
        """Where the state changes."""
        move, square = q.change(state, change), q.root * q.root
        h, m = 0.5 * q.c * q.noise / square, cls._mean(q) / square
        dh = 0.5 * move.c * q.noise / square + h * (move.log_noise - 2.0 * move.log_root)
        # d log r = 2 p d log s and d log p = -2 r d log s.
        both = q.p1 * move.log_s1 + q.p2 * move.log_s2
        one = 2.0 * q.r1 * q.p2 * (q.p1 * move.log_s1 - q.r2 * move.log_s2)
        two = 2.0 * q.r2 * q.p1 * (q.p2 * move.log_s2 - q.r1 * move.log_s1)
        dmean = 0.25 * (one + two) + q.r1 * q.r2 * q.sine * (q.sine * both + q.cosine * move.turn)
        dm = dmean / square - 2.0 * m * move.log_root
        shrink, share = move.log_noise - move.log_root, q.noise / q.root
        ratio = q.c * q.c / square
        dratio = 2.0 * q.c * move.c / square - 2.0 * ratio * move.log_root
        return cls(
            dh,
            shrink - dm,
            8.0 * ((1.0 - m) * dh - dm * h),
            share * share * (2.0 * shrink * (1.0 + 2.0 * ratio) + 2.0 * dratio),
        )
