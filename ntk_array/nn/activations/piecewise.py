"""Piecewise linear activations: the arc-cosine kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array
from ...infinite.angle import angle_tangent, direction, versine
from ...infinite.covariance import Covariance, Direction
from ...infinite.dual import Dual
from .base import ClosedForm

__all__ = ["Abs", "Identity", "LeakyReLU", "ReLU"]


class Identity(ClosedForm):
    """phi(x) = x."""

    homogeneous = True

    def function(self, xp: Any, x: Array) -> Array:
        return x

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.ones_like(x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        return Dual(state.k12, xp.ones_like(state.k12))

    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        return Dual(dstate.k12, xp.zeros_like(state.k12))

    def propagate(self, state: Covariance) -> Covariance:
        """Nothing changes, Gaussian or not."""
        return state

    def propagate_tangent(
        self, state: Covariance, dstate: Covariance, direction: Direction
    ) -> tuple[Covariance, Covariance]:
        """Nothing changes."""
        return state, dstate


class _PiecewiseLinear(ClosedForm):
    """phi(x) = below * min(x, 0) + above * max(x, 0)."""

    breakpoints = (0.0,)
    homogeneous = True

    def _slopes(self) -> tuple[float, float]:
        raise NotImplementedError

    def function(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return xp.where(x > 0, above * x, below * x)

    def derivative(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return below + (above - below) * xp.astype(x > 0, x.dtype)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        """From phi = m x + d |x|: the arc-cosine kernels of degree 0 and 1 (Cho and Saul 2009, eq. 6)."""
        below, above = self._slopes()
        m2, d2 = ((above + below) / 2) ** 2, ((above - below) / 2) ** 2
        cosine, sine = direction(state)
        t = xp.atan2(sine, cosine)
        scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        toward = math.pi / 2 - t  # asin of the correlation
        return Dual(
            m2 * state.k12 + (2 / math.pi) * d2 * scale * (sine + toward * cosine),
            m2 + (2 / math.pi) * d2 * toward,
            None if state.sine is None else self._sine(xp, m2 / (m2 + d2), d2 / (m2 + d2), cosine, sine),
        )

    @staticmethod
    def _sine(xp: Any, m2: float, d2: float, cosine: Array, sine: Array) -> Array:
        """The sine of the angle of the outputs, from 1 minus its cosine, which is small near coincidence.

        Of that, |x| has the share h = 1 - (2 / pi) (sin t + (pi / 2 - t) cos t). It is even about pi / 2 and taken at
        the smaller of t and pi - t: h = 1 - cos t - (2 / pi) (sin t - t cos t).
        """
        small, less = versine(sine, cosine)
        size = xp.abs(cosine)
        h = small - (2 / math.pi) * (sine - xp.atan2(sine, size) * size)
        less = m2 * less + d2 * xp.clip(h, min=0.0)
        return xp.sqrt(less * (2.0 - less))

    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        below, above = self._slopes()
        d2 = (2 / math.pi) * ((above - below) / 2) ** 2
        _, sine = direction(state)
        scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        slope = self.closed_form(xp, state).slope
        dlog_s1, dlog_s2, dt = angle_tangent(state, dstate)
        return Dual(slope * dstate.k12 + d2 * scale * sine * (dlog_s1 + dlog_s2), -d2 * dt)


class ReLU(_PiecewiseLinear):
    """phi(x) = max(x, 0)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.maximum(x, xp.zeros_like(x))

    def _slopes(self) -> tuple[float, float]:
        return 0.0, 1.0


@dataclass(frozen=True)
class LeakyReLU(_PiecewiseLinear):
    """phi(x) = max(x, 0) + negative_slope * min(x, 0)."""

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "negative_slope", float(self.negative_slope))

    def _slopes(self) -> tuple[float, float]:
        return self.negative_slope, 1.0


class Abs(_PiecewiseLinear):
    """phi(x) = abs(x)."""

    def _slopes(self) -> tuple[float, float]:
        return -1.0, 1.0
