"""Activations that level off on both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array, home
from ..._array.special import erf
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import Activation, ClosedForm, Shifted
from .squashed import Squashed

__all__ = ["Erf", "Sigmoid", "SigmoidLike", "Softsign", "Tanh"]


@dataclass(frozen=True)
class Erf(Shifted, ClosedForm):
    """phi(x) = a erf(b x + c).

    The dual activation has a closed form for c = 0. For other c it is integrated.
    """

    @property
    def numerical(self) -> bool:  # type: ignore[override]
        """Whether the dual is integrated."""
        return self.c != 0.0

    @property
    def odd(self) -> bool:
        return self.c == 0.0

    def function(self, xp: Any, x: Array) -> Array:
        return self.a * erf(self.b * x + self.c)

    def derivative(self, xp: Any, x: Array) -> Array:
        z = self.b * x + self.c
        return (2 / math.sqrt(math.pi) * self.a * self.b) * xp.exp(-z * z)

    def mean(self, k: Array) -> tuple[Array, Array]:
        """a erf(c / sqrt(1 + 2 b^2 k))."""
        xp, b2 = home(k).xp, self.b**2
        root = xp.sqrt(1.0 + 2.0 * b2 * k)
        z = self.c / root
        slope = (-2 / math.sqrt(math.pi) * self.a * b2) * z * xp.exp(-z * z) / (root * root)
        return self.a * erf(z), slope

    def dual(self, state: Covariance) -> Dual:
        """a^2 (2 / pi) asin(c) with c = g k12 / sqrt((1 + g k11)(1 + g k22)) for g = 2 b^2 (Williams 1997, eq. 11), and
        the slope."""
        if self.numerical:
            return super(ClosedForm, self).dual(state)
        xp, a2, gain = home(state.k12).xp, self.a**2, 2.0 * self.b**2
        squashed = Squashed.of(state, gain)
        return Dual(
            (2 / math.pi * a2) * xp.atan2(squashed.c, squashed.root),
            (2 / math.pi * a2 * gain) * squashed.noise / squashed.root,
        )

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        if self.numerical:
            return super(ClosedForm, self).dual_tangent(state, change)
        a2, gain = self.a**2, 2.0 * self.b**2
        squashed = Squashed.of(state, gain)
        move = squashed.change(state, change)
        slope = (2 / math.pi * a2 * gain) * squashed.noise / squashed.root
        return Dual((2 / math.pi * a2) * move.c / squashed.root, slope * (move.log_noise - move.log_root))


class SigmoidLike(ClosedForm):
    """phi(x) = (1 + erf(x / 2.4020563531719796)) / 2: within 0.01 of the sigmoid, with a dual in closed form."""

    STEP = Erf(0.5, 1 / 2.4020563531719796)

    def function(self, xp: Any, x: Array) -> Array:
        return 0.5 + self.STEP.function(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return self.STEP.derivative(xp, x)

    def mean(self, k: Array) -> tuple[Array, Array]:
        """1 / 2."""
        xp = home(k).xp
        return xp.full_like(k, 0.5), xp.zeros_like(k)

    def dual(self, state: Covariance) -> Dual:
        """That of the odd part, and the square of the mean."""
        value, slope, _ = self.STEP.dual(state)
        return Dual(0.25 + value, slope)

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        return self.STEP.dual_tangent(state, change)


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


class Softsign(Activation):
    """phi(x) = x / (1 + abs(x))."""

    odd = True
    breakpoints = (0.0,)

    def function(self, xp: Any, x: Array) -> Array:
        return x / (1 + xp.abs(x))

    def derivative(self, xp: Any, x: Array) -> Array:
        share = 1 / (1 + xp.abs(x))
        return share * share


def sigmoid(xp: Any, x: Array) -> Array:
    return 0.5 * (1 + xp.tanh(0.5 * x))  # exp(-x) would overflow
