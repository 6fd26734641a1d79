"""Sine and cosine."""

from __future__ import annotations

from typing import Any

from ..._array.namespace import Array
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import ClosedForm

__all__ = ["Cos", "Sin"]


class _Wave(ClosedForm):
    """sin or cos: each is, but for its sign, the derivative of the other."""

    def closed_form_tangent(self, xp: Any, state: Covariance, change: Covariance) -> Dual:
        value, slope, _ = self.closed_form(xp, state)
        dm = (change.k11 + change.k22) / 2
        return Dual(slope * change.k12 - value * dm, value * change.k12 - slope * dm)


class Sin(_Wave):
    """phi(x) = sin(x)."""

    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return xp.sin(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        return Dual(*_damped_sinh_and_cosh(xp, state))


class Cos(_Wave):
    """phi(x) = cos(x)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return -xp.sin(x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        return Dual(*reversed(_damped_sinh_and_cosh(xp, state)))


def _damped_sinh_and_cosh(xp: Any, state: Covariance) -> tuple[Array, Array]:
    """E[sin u sin v] = exp(-m) sinh(k12) and E[cos u cos v] = exp(-m) cosh(k12), m = (k11 + k22) / 2.

    From the characteristic functions of u - v and u + v, and written so that sinh neither cancels nor overflows.
    """
    size = xp.abs(state.k12)
    larger = xp.exp(size - (state.k11 + state.k22) / 2) / 2
    return -xp.sign(state.k12) * xp.expm1(-2 * size) * larger, (1 + xp.exp(-2 * size)) * larger
