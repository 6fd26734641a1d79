"""Sine and cosine."""

from __future__ import annotations

from typing import Any

from ..._array.namespace import Array, home
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import ClosedForm

__all__ = ["Cos", "Sin"]


class _Wave(ClosedForm):
    """sin or cos: each is, but for its sign, the derivative of the other."""

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        value, slope, _ = self.dual(state)
        dm = (change.k11 + change.k22) / 2
        return Dual(slope * change.k12 - value * dm, value * change.k12 - slope * dm)


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

    From the characteristic functions of u - v and u + v, and written so that sinh neither cancels nor overflows.
    """
    size = xp.abs(state.k12)
    larger = xp.exp(size - (state.k11 + state.k22) / 2) / 2
    return -xp.sign(state.k12) * xp.expm1(-2 * size) * larger, (1 + xp.exp(-2 * size)) * larger
