"""Piecewise linear activations: the arc-cosine kernels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array, home
from ..._array.validate import number
from ...infinite.angle import over_root, ratio_or_zero, side_of, versine
from ...infinite.arc import versines_of_abs
from ...infinite.covariance import Covariance, Direction
from ...infinite.dual import Dual
from ...infinite.signal import Signal
from .base import ClosedForm

__all__ = ["ABReLU", "Abs", "Identity", "LeakyReLU", "ReLU"]


class Identity(ClosedForm):
    """phi(x) = x."""

    homogeneity = 1.0
    odd = True

    def function(self, xp: Any, x: Array) -> Array:
        return x

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.ones_like(x)

    def dual(self, state: Covariance) -> Dual:
        xp = home(state.k12).xp
        return Dual(state.k12, xp.ones_like(state.k12))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        xp = home(state.k12).xp
        return Dual(change.k12, xp.zeros_like(state.k12))

    def signal(self, before: Signal) -> Signal:
        """All facts stay."""
        return before

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """Nothing changes, Gaussian or not."""
        return state

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """Nothing changes."""
        return change

    def limit_taylor(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        """Nothing changes."""
        return states[0]

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        """That of what comes in."""
        return states[0].rows().mean

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        """That of what comes in."""
        return changes[0].rows().mean


class _PiecewiseLinear(ClosedForm):
    """phi(x) = below * min(x, 0) + above * max(x, 0)."""

    breakpoints = (0.0,)
    homogeneity = 1.0

    @abstractmethod
    def _slopes(self) -> tuple[float, float]:
        """Those below and above 0."""

    def _squares(self) -> tuple[float, float]:
        """m^2 and d^2 for phi = m x + d |x|."""
        below, above = self._slopes()
        return ((above + below) / 2) ** 2, ((above - below) / 2) ** 2

    @property
    def nonnegative(self) -> bool:  # type: ignore[override]
        below, above = self._slopes()
        return below <= 0.0 <= above

    def function(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return xp.where(x > 0, above * x, below * x)

    def derivative(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return below + (above - below) * xp.astype(x > 0, x.dtype)

    def dual(self, state: Covariance) -> Dual:
        """From phi = m x + d |x|: the arc-cosine kernels of degree 0 and 1 (Cho and Saul 2009, eq. 6)."""
        xp = home(state.k12).xp
        m2, d2 = self._squares()
        if state.paired:
            return Dual((m2 + d2) * state.k12, xp.full_like(state.k12, m2 + d2), state.sine)
        cosine, sine = state.cosine_and_sine()
        near = xp.atan2(sine, xp.abs(cosine))  # the smaller of t and pi - t
        scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        toward = side_of(cosine) * (math.pi / 2 - near)  # asin of the correlation
        return Dual(
            m2 * state.k12 + (2 / math.pi) * d2 * scale * (sine + toward * cosine),
            m2 + (2 / math.pi) * d2 * toward,
            None if state.sine is None else self._sine(xp, m2 / (m2 + d2), d2 / (m2 + d2), cosine, sine, near),
        )

    def versines(self, h: Array, g: Array | None, itemsize: int) -> tuple[Array, Array, Array]:
        """From those of |x|."""
        m2, d2 = self._squares()
        near, far, toward = versines_of_abs(h, g, itemsize)
        gain = m2 + d2
        m, d = m2 / gain, d2 / gain
        g = 2.0 - h if g is None else g
        return m * h + d * near, m * g + d * far, m2 + (2 / math.pi) * d2 * toward

    def mean(self, k: Array) -> tuple[Array, Array]:
        """d E|u| = d sqrt(2 k / pi) for phi = m x + d |x|."""
        below, above = self._slopes()
        xp = home(k).xp
        factor = (above - below) / 2 * math.sqrt(2.0 / math.pi)
        return factor * xp.sqrt(k), 0.5 * factor * over_root(k)

    @staticmethod
    def _sine(xp: Any, m2: float, d2: float, cosine: Array, sine: Array, near: Array) -> Array:
        """The sine of the angle of the outputs, from 1 minus its cosine, which is small near coincidence.

        Of that, |x| has the share h = 1 - (2 / pi) (sin t + (pi / 2 - t) cos t). It is even about pi / 2 and taken at
        the smaller of t and pi - t, which is ``near``: h = 1 - cos t - (2 / pi) (sin t - t cos t).
        """
        small, size = versine(cosine, sine)
        less = small + (size - cosine)
        h = small - (2 / math.pi) * (sine - near * size)
        less = m2 * less + d2 * xp.clip(h, min=0.0)
        return xp.sqrt(less * (2.0 - less))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        xp = home(state.k12).xp
        m2, d2 = self._squares()
        gain, d2 = m2 + d2, (2 / math.pi) * d2
        _, sine = state.cosine_and_sine()
        scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        _, slope, after = self.dual(state)
        dlog_s1, dlog_s2, dt = state.angle_change(change)
        # The cosine of the outputs is the value over scale * gain, and its derivative in t is -slope sin t / gain.
        turn = None
        if after is not None:
            turn = ratio_or_zero(slope * sine * dt, gain * after)
        return Dual(slope * change.k12 + d2 * scale * sine * (dlog_s1 + dlog_s2), -d2 * dt, turn)


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
        object.__setattr__(self, "negative_slope", number("negative_slope", self.negative_slope))

    def _slopes(self) -> tuple[float, float]:
        return self.negative_slope, 1.0


@dataclass(frozen=True)
class ABReLU(_PiecewiseLinear):
    """phi(x) = a min(x, 0) + b max(x, 0): for a <= b the larger of a x and b x."""

    a: float
    b: float

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if self.a == self.b == 0.0:
            raise ValueError("a and b are both 0: the activation is zero everywhere")

    @property
    def odd(self) -> bool:
        return self.a == self.b

    @property
    def even(self) -> bool:
        return self.a == -self.b

    def _slopes(self) -> tuple[float, float]:
        return self.a, self.b


class Abs(_PiecewiseLinear):
    """phi(x) = abs(x)."""

    even = True

    def _slopes(self) -> tuple[float, float]:
        return -1.0, 1.0
