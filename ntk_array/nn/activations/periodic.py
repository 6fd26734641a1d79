"""Sine and cosine, and the wave whose covariance is the RBF kernel."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array, home
from ..._array.validate import positive
from ...infinite.angle import side_of
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import ClosedForm, Shifted

__all__ = ["Cos", "Rbf", "Sin"]


class _Wave(ClosedForm):
    """phi(x) = a wave(b x + c), which is a (p sin(b x) + q cos(b x)) with p^2 + q^2 = 1.

    Products of sin(b u) and cos(b v) have the mean 0. So with S = E[sin(b u) sin(b v)] and C = E[cos(b u) cos(b v)] the
    dual is a^2 (p^2 S + q^2 C), and its slope a^2 b^2 (p^2 C + q^2 S).
    """

    reads_gap = True

    a: float
    b: float
    c: float

    @abstractmethod
    def _shares(self) -> tuple[float, float]:
        """p and q."""

    def dual(self, state: Covariance) -> Dual:
        return self._mixed(*_damped_sinh_and_cosh(state, self.b**2))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        # With m = (k11 + k22) / 2, C +- S = exp(b^2 (+-k12 - m)), whose logarithms change by b^2 (+-dk12 - dm). That of
        # the larger one is minus half of the change of the gap.
        g = self.b**2
        s, c = _damped_sinh_and_cosh(state, g)
        side = side_of(state.k12)
        near = -0.5 * g * state.difference_change(change)
        far = near - 2.0 * g * side * change.k12
        closer, further = near * (c + side * s), far * (c - side * s)
        return self._mixed(0.5 * side * (closer - further), 0.5 * (closer + further))

    def _mixed(self, s: Array, c: Array) -> Dual:
        """The dual for S and C, or its change for theirs."""
        p, q = self._shares()
        p2, q2, a2 = p * p, q * q, self.a**2
        return Dual(a2 * (p2 * s + q2 * c), a2 * self.b**2 * (p2 * c + q2 * s))

    def mean(self, k: Array) -> tuple[Array, Array]:
        """a q exp(-b^2 k / 2)."""
        mean = self.a * self._shares()[1] * home(k).xp.exp(-0.5 * self.b**2 * k)
        return mean, -0.5 * self.b**2 * mean


class _Sine(_Wave):
    """a sin(b x + c)."""

    def function(self, xp: Any, x: Array) -> Array:
        return self.a * xp.sin(self.b * x + self.c)

    def derivative(self, xp: Any, x: Array) -> Array:
        return (self.a * self.b) * xp.cos(self.b * x + self.c)

    def _shares(self) -> tuple[float, float]:
        return math.cos(self.c), math.sin(self.c)


@dataclass(frozen=True)
class Sin(Shifted, _Sine):
    """phi(x) = a sin(b x + c)."""

    @property
    def odd(self) -> bool:
        return self.c == 0.0


@dataclass(frozen=True)
class Cos(Shifted, _Wave):
    """phi(x) = a cos(b x + c)."""

    @property
    def even(self) -> bool:
        return self.c == 0.0

    def function(self, xp: Any, x: Array) -> Array:
        return self.a * xp.cos(self.b * x + self.c)

    def derivative(self, xp: Any, x: Array) -> Array:
        return -(self.a * self.b) * xp.sin(self.b * x + self.c)

    def _shares(self) -> tuple[float, float]:
        return -math.sin(self.c), math.cos(self.c)


@dataclass(frozen=True)
class Rbf(_Sine):
    """phi(x) = sqrt(2) sin(sqrt(2 gamma) x + pi / 4), for which E[phi(u) phi(v)] = exp(-gamma E(u - v)^2).

    Behind a dense layer that is the RBF kernel exp(-gamma weight_std^2 |x - x'|^2 / d) of inputs with d features
    (Rahimi and Recht 2007).

    Parameters
    ----------
    gamma : float
        Positive.
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", positive("gamma", self.gamma))

    @property
    def a(self) -> float:  # type: ignore[override]
        """The amplitude."""
        return math.sqrt(2.0)

    @property
    def b(self) -> float:  # type: ignore[override]
        """The frequency."""
        return math.sqrt(2.0 * self.gamma)

    @property
    def c(self) -> float:  # type: ignore[override]
        """The phase."""
        return math.pi / 4


def _damped_sinh_and_cosh(state: Covariance, g: float) -> tuple[Array, Array]:
    """S = exp(-g m) sinh(g k12) and C = exp(-g m) cosh(g k12), m = (k11 + k22) / 2, with g = b^2.

    From the characteristic functions of u - v and u + v, and written so that nothing cancels or overflows: far from the
    origin they depend on the variance of the difference alone.
    """
    xp = home(state.k12).xp
    size = g * xp.abs(state.k12)
    larger = xp.exp(-0.5 * g * state.difference()) / 2
    return -xp.sign(state.k12) * xp.expm1(-2 * size) * larger, (1 + xp.exp(-2 * size)) * larger
