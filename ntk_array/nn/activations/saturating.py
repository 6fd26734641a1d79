"""Activations that level off on both sides."""

from __future__ import annotations

import math
from typing import Any

from ..._array.namespace import Array, home
from ..._array.special import erf
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import Activation, ClosedForm
from .squashed import Squashed

__all__ = ["Erf", "Sigmoid", "Tanh"]


class Erf(ClosedForm):
    """phi(x) = erf(x)."""

    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return erf(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return (2 / math.sqrt(math.pi)) * xp.exp(-x * x)

    def dual(self, state: Covariance) -> Dual:
        """(2 / pi) asin(c) with c = 2 k12 / sqrt((1 + 2 k11)(1 + 2 k22)) (Williams 1997, eq. 11), and the slope."""
        xp = home(state.k12).xp
        squashed = Squashed.of(state, 2.0)
        return Dual(
            (2 / math.pi) * xp.atan2(squashed.c, squashed.root),
            (4 / math.pi) * squashed.noise / squashed.root,
        )

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        squashed = Squashed.of(state, 2.0)
        move = squashed.change(state, change)
        slope = (4 / math.pi) * squashed.noise / squashed.root
        return Dual((2 / math.pi) * move.c / squashed.root, slope * (move.log_noise - move.log_root))


class Tanh(Activation):
    """phi(x) = tanh(x)."""

    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return xp.tanh(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return Tanh.value_and_derivative(self, xp, x)[1]

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        t = xp.tanh(x)
        return t, 1 - t * t


class Sigmoid(Activation):
    """phi(x) = 1 / (1 + exp(-x))."""

    def function(self, xp: Any, x: Array) -> Array:
        return sigmoid(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return Sigmoid.value_and_derivative(self, xp, x)[1]

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        s = sigmoid(xp, x)
        return s, s * (1 - s)


def sigmoid(xp: Any, x: Array) -> Array:
    return 0.5 * (1 + xp.tanh(0.5 * x))  # exp(-x) would overflow
