"""Activations that level off on both sides."""

from __future__ import annotations

import math
from typing import Any

from ..._array.namespace import Array, home
from ..._array.special import erf
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import Activation, ClosedForm

__all__ = ["Erf", "Sigmoid", "Tanh"]


class Erf(ClosedForm):
    """phi(x) = erf(x)."""

    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return erf(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return (2 / math.sqrt(math.pi)) * xp.exp(-x * x)

    def dual(self, state: Covariance) -> Dual:
        """Williams 1997, eq. 11, and its derivative with respect to k12."""
        xp = home(state.k12).xp
        k12, k11, k22 = state.k12, state.k11, state.k22
        # (1 + 2 k11)(1 + 2 k22) - 4 k12^2 without the cancellation of its largest terms
        rest = 1 + 2 * k11 + 2 * k22 + 4 * xp.clip(k11 * k22 - k12 * k12, min=0.0)
        return Dual((2 / math.pi) * xp.atan2(2 * k12, xp.sqrt(rest)), (4 / math.pi) / xp.sqrt(rest))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        """With slope = (4 / pi) rest^(-1/2) and rest as in :meth:`dual`, dslope = -(pi^2 / 32) slope^3 drest."""
        k12, k11, k22 = state.k12, state.k11, state.k22
        dk12, dk11, dk22 = change.k12, change.k11, change.k22
        slope = self.dual(state).slope
        drest = 2 * (1 + 2 * k22) * dk11 + 2 * (1 + 2 * k11) * dk22 - 8 * k12 * dk12
        dlog_scale = dk11 / (1 + 2 * k11) + dk22 / (1 + 2 * k22)  # half of the change of log((1 + 2 k11)(1 + 2 k22))
        return Dual(slope * (dk12 - k12 * dlog_scale), -(math.pi**2 / 32) * slope**3 * drest)


class Tanh(Activation):
    """phi(x) = tanh(x)."""

    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return xp.tanh(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return 1 - xp.tanh(x) ** 2


class Sigmoid(Activation):
    """phi(x) = 1 / (1 + exp(-x))."""

    def function(self, xp: Any, x: Array) -> Array:
        return sigmoid(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        s = sigmoid(xp, x)
        return s * (1 - s)


def sigmoid(xp: Any, x: Array) -> Array:
    return 0.5 * (1 + xp.tanh(0.5 * x))  # exp(-x) would overflow
