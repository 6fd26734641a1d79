"""Sine and cosine."""

from __future__ import annotations

from typing import Any

from ..._array.namespace import Array, home
from ...infinite.angle import side_of
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import ClosedForm

__all__ = ["Cos", "Sin"]


class _Wave(ClosedForm):
    """sin or cos: each is, but for its sign, the derivative of the other."""

    reads_gap = True

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        # With m = (k11 + k22) / 2, value +- slope = exp(+-k12 - m), whose logarithms change by +-dk12 - dm. That of the
        # larger one is minus half of the change of the gap.
        value, slope, _ = self.dual(state)
        side = side_of(state.k12)
        near = -0.5 * state.difference_change(change)
        far = near - 2.0 * side * change.k12
        closer, further = near * (value + side * slope), far * (value - side * slope)
        return Dual(0.5 * (closer + further), 0.5 * side * (closer - further))


class Sin(_Wave):
    """phi(x) = sin(x)."""

    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return xp.sin(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def dual(self, state: Covariance) -> Dual:
        xp = home(state.k12).xp
        return Dual(*_damped_sinh_and_cosh(xp, state))


class Cos(_Wave):
    """phi(x) = cos(x)."""

    def mean(self, k: Array) -> tuple[Array, Array]:
        """exp(-k / 2)."""
        mean = home(k).xp.exp(-0.5 * k)
        return mean, -0.5 * mean

    def function(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return -xp.sin(x)

    def dual(self, state: Covariance) -> Dual:
        xp = home(state.k12).xp
        return Dual(*reversed(_damped_sinh_and_cosh(xp, state)))


def _damped_sinh_and_cosh(xp: Any, state: Covariance) -> tuple[Array, Array]:
    """E[sin u sin v] = exp(-m) sinh(k12) and E[cos u cos v] = exp(-m) cosh(k12), m = (k11 + k22) / 2.

    From the characteristic functions of u - v and u + v, and written so that nothing cancels or overflows: far from the
    origin they depend on the variance of the difference alone.
    """
    size = xp.abs(state.k12)
    larger = xp.exp(-0.5 * state.difference()) / 2
    return -xp.sign(state.k12) * xp.expm1(-2 * size) * larger, (1 + xp.exp(-2 * size)) * larger
