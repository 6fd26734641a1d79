"""Dual activations: K' = E[phi(u) phi(v)] and its slope E[phi'(u) phi'(v)], (u, v) ~ N(0, K).

Activations with a closed form write it down themselves. All others get a
:class:`DualTable`: both functions depend on three numbers only, the standard deviations s1, s2 and the
angle t, so they are sampled once (by :mod:`.tabulate`, on the host, in float64) and interpolated by Chebyshev
polynomials in (t, asinh s1, asinh s2). An entry of the kernel then costs some multiply-adds, whatever the
activation costs, and the error of rule and interpolation together is measured and stated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from .._array.libraries import is_numpy
from .._array.namespace import Array, home, to_host
from .._formula.compilers import apply
from .covariance import Covariance
from .quadrature import Conditional, ScalarFunction
from .separated import Separated, separated
from .series import sum_mixed

__all__ = ["DirectDual", "Dual", "DualTable", "Gauge", "by_differences", "std_range"]


HIDDEN = 30.0
"""What is left out of a table for loops makes about ten times its tolerance, a third of the error that is stated."""


class Dual(NamedTuple):
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)], and the sine of the angle of the outputs where a formula gives it.

    Of a change of both: the change of the angle in place of its sine.
    """

    value: Array
    slope: Array
    angle: Array | None = None


class Gauge(NamedTuple):
    """g(s) = s^zero (1 + s)^growth, about as large as the root mean square of a function at a standard deviation s.

    Expectations of two values divided by g(s1) g(s2) are of one size over any range of norms, so that small norms keep
    their digits beside large ones.
    """

    zero: int
    growth: float

    @classmethod
    def of(cls, at_zero: float, ends: np.ndarray, sizes: np.ndarray) -> "Gauge":
        """For a function with this value at 0 and these root mean squares at the two ends of a range."""
        zero = int(at_zero == 0.0 and float(np.min(ends)) > 0)
        with np.errstate(all="ignore"):
            slope = np.diff(np.log(sizes / ends**zero)) / np.diff(np.log1p(ends))
        return cls(zero, float(slope[0]) if slope.size and np.isfinite(slope[0]) else 0.0)

    def __call__(self, s: Array) -> Array:
        size = (1.0 + s) ** self.growth
        return s * size if self.zero else size

    def log_slope(self, s: Array) -> Array:
        """d log g / d log s."""
        return self.zero + self.growth * s / (1.0 + s)


@dataclass(frozen=True)
class DualTable:
    """Both expectations as Chebyshev series in (t, asinh s1, asinh s2), in units of their gauges.

    ``low`` and ``high`` are the range of asinh s; ``series`` (2, degrees in t, in s1, in s2) holds the coefficients of
    value and slope; ``error`` bounds the error relative to the roots of the values of each input with itself. With a
    ``layer`` e the series is in log((t + e) / (pi - t + e)) in place of t: functions of spread values change within
    such small angles from 0 and pi.
    """

    low: float
    high: float
    series: np.ndarray
    gauges: tuple[Gauge, Gauge]
    layer: float
    error: float

    def __call__(self, state: Covariance) -> Dual:
        """Sum the series."""
        if state.frame.count:
            return _by_matrices(self, state)
        xp = home(state.k12).xp
        s1, s2 = xp.sqrt(state.k11), xp.sqrt(state.k22)
        sums = self._sum(self.series, state)
        return Dual(*(g(s1) * g(s2) * one for g, one in zip(self.gauges, sums, strict=True)))

    def tangent(self, state: Covariance, change: Covariance) -> Dual:
        """The chain rule over t, asinh s1 and asinh s2."""
        if state.frame.count:
            return _by_matrices(self.tangent, state, change)
        xp, k11, k22 = home(state.k12).xp, state.k11, state.k22
        s1, s2 = xp.sqrt(k11), xp.sqrt(k22)
        dlog_s1, dlog_s2, dt = state.angle_change(change)
        # d asinh(s) = s / sqrt(1 + s^2) d log s
        moves = (dt * self._angle_slope(state), s1 / xp.sqrt(1.0 + k11) * dlog_s1, s2 / xp.sqrt(1.0 + k22) * dlog_s2)
        changes = [
            one * (g.log_slope(s1) * dlog_s1 + g.log_slope(s2) * dlog_s2)
            for g, one in zip(self.gauges, self._sum(self.series, state), strict=True)
        ]
        for series, moved in zip(self._derivatives, moves, strict=True):
            changes = [total + along * moved for total, along in zip(changes, self._sum(series, state), strict=True)]
        return Dual(*(g(s1) * g(s2) * one for g, one in zip(self.gauges, changes, strict=True)))

    def separated(self, eps: float) -> tuple[Separated, ...]:
        """Value and slope by few pairs of modes, to rounding ``eps`` or to what the error of the table hides."""
        tolerance = max(eps / 4.0, self.error / HIDDEN)
        return tuple(separated(series, tolerance) for series in self.series)

    def modes(self, number: int, modes: np.ndarray, variance: Array) -> list[Array]:
        """Modes of the value (number 0) or the slope (1) at variances of any shape, in the units of the gauge."""
        here = home(variance)
        basis = self._basis(variance, modes.shape[0])
        found = here.xp.reshape(basis @ here.asarray(modes), (*variance.shape, modes.shape[1]))
        unit = self.gauges[number](here.xp.sqrt(variance))
        return [unit * found[..., i] for i in range(modes.shape[1])]

    @cached_property
    def _derivatives(self) -> tuple[np.ndarray, ...]:
        """The series differentiated with respect to the variable of t, asinh s1 and asinh s2."""
        from numpy.polynomial.chebyshev import chebder

        stretch = 2.0 / max(self.high - self.low, 1e-300)
        along = ((1, 1.0), (2, stretch), (3, stretch))
        return tuple(chebder(self.series, scl=scale, axis=axis) for axis, scale in along)

    def _angle(self, state: Covariance) -> Array:
        """The variable of the series in the angle, from -1 to 1."""
        arrays = [one for one in (state.k12, state.k11, state.k22, state.sine) if one is not None]
        variable = AngleVariable(self.layer)
        # On the host operations one by one take less time than a loop takes to compile.
        return variable(*arrays) if is_numpy(state.k12) else apply(variable, *arrays)

    def _angle_slope(self, state: Covariance) -> Array | float:
        """The derivative of that variable in t."""
        if not self.layer:
            return 2.0 / math.pi
        t, e = state.angle(), self.layer
        return (1.0 / (t + e) + 1.0 / ((math.pi + e) - t)) / math.log1p(math.pi / e)

    def _sum(self, series: np.ndarray, state: Covariance) -> list[Array]:
        if state.paired:
            return self._sum_of_pairs(series, state.k12)
        y = self._angle(state)
        sides = zip((state.k11, state.k22), series.shape[2:], strict=True)
        left, right = (self._basis(k, n) for k, n in sides)
        return [sum_mixed(one, left, right, y) for one in series]

    def _sum_of_pairs(self, series: np.ndarray, variance: Array) -> list[Array]:
        """At an angle of 0, where the k-th Chebyshev polynomial is (-1)^k."""
        here = home(variance)
        left, right = (self._basis(variance, n) for n in series.shape[2:])
        signs = (-1.0) ** np.arange(series.shape[1])
        collapsed = (here.asarray(np.tensordot(signs, one, 1)) for one in series)
        return [here.xp.sum((left @ one) * right, axis=1) for one in collapsed]

    def _basis(self, variance: Array, n: int) -> Array:
        """Chebyshev polynomials of degree 0 .. n - 1 in asinh of the standard deviation, (N, n)."""
        xp, dtype, device = home(variance).widest
        x = xp.astype(xp.reshape(variance, (-1, 1)), dtype, copy=False)
        if n == 1:
            return xp.ones_like(xp.astype(x, variance.dtype, copy=False))
        x = xp.asinh(xp.sqrt(x))
        x = xp.clip((2.0 * x - (self.low + self.high)) / max(self.high - self.low, 1e-300), min=-1.0, max=1.0)
        # T_k(x) = cos(k acos x), all at once: a recurrence takes an operation for each degree.
        degrees = xp.arange(n, dtype=dtype, device=device)
        return xp.astype(xp.cos(degrees * xp.acos(x)), variance.dtype, copy=False)


@dataclass(frozen=True)
class AngleVariable:
    """The variable of :class:`DualTable` in the angle of a state, as elementwise code."""

    layer: float

    def __call__(self, k12: Array, k11: Array, k22: Array, sine: Array | None = None) -> Array:
        """At the angles of these covariances."""
        t, e = Covariance(k12, k11, k22, sine=sine).angle(), self.layer
        if not e:
            return (2.0 / math.pi) * t - 1.0
        xp = home(t).xp
        return xp.clip(xp.log((t + e) / ((math.pi + e) - t)) / math.log1p(math.pi / e), min=-1.0, max=1.0)


@dataclass(frozen=True)
class DirectDual:
    """Both expectations by quadrature for every entry, on the host in float64.

    For kinks away from zero and inputs of unequal norm: there the slope is no smooth function of (s1, s2, t).
    It costs about a millisecond an entry and reads the covariances back from the device.
    """

    phi: ScalarFunction
    rule: Conditional
    error: float

    def __call__(self, state: Covariance) -> Dual:
        """Integrate at each entry."""
        xp, t = home(state.k12).xp, state.angle()
        s1, s2, t = self._entries(state, xp.sqrt(state.k11), xp.sqrt(state.k22), t)
        return self._back(state, self.rule.points(self.phi, s1, s2, t))

    def tangent(self, state: Covariance, change: Covariance) -> Dual:
        """Central differences of order four: four times the work."""
        xp, t = home(state.k12).xp, state.angle()
        s1, s2, t = self._entries(state, xp.sqrt(state.k11), xp.sqrt(state.k22), t)
        moves = self._entries(state, *state.angle_change(change))
        value, slope = by_differences(partial(self.rule.points, self.phi), (s1, s2, t), moves, 1e-3)
        return self._back(state, (value, slope))

    @staticmethod
    def _entries(state: Covariance, *arrays: Array) -> tuple[np.ndarray, ...]:
        """One number an entry of k12, on the host."""
        xp, shape = home(state.k12).xp, state.k12.shape
        return tuple(to_host(xp.broadcast_to(x, shape)).astype(np.float64).ravel() for x in arrays)

    @staticmethod
    def _back(state: Covariance, parts: tuple[np.ndarray, ...]) -> Dual:
        return Dual(*(home(state.k12).asarray(part.reshape(state.k12.shape)) for part in parts))


def _by_matrices(function: Callable[..., Dual], state: Covariance, *changes: Covariance) -> Dual:
    """A function of states without positions, for one with positions: matrix by matrix."""
    xp, shape = home(state.k12).xp, state.k12.shape

    def flat(one: Covariance) -> list[Covariance]:
        if not state.paired:
            return one.matrices()
        k, ntk, sine = (None if a is None else xp.reshape(a, (-1,)) for a in (one.k12, one.ntk, one.sine))
        return [Covariance.of_pairs(k, ntk, sine)]

    results = [function(*parts) for parts in zip(flat(state), *map(flat, changes), strict=True)]
    joined = [None if own[0] is None else xp.reshape(xp.stack(own), shape) for own in zip(*results, strict=True)]
    return Dual(*joined)


def by_differences(
    dual: Callable[[Array, Array, Array], Sequence[Array]],
    point: tuple[Array, Array, Array],
    moves: tuple[Array, ...],
    step: float,
) -> tuple[Array, Array]:
    """How value and slope change where log s1, log s2 and t move, by central differences of order four.

    ``dual`` gives both at points (s1, s2, t); it is asked at four times as many as there are.
    """
    (s1, s2, t), (dlog_s1, dlog_s2, dt) = point, moves
    xp = home(t).xp
    # No step crosses t = 0 or pi, where the slope has a corner.
    room = 0.25 * xp.clip(xp.minimum(t, math.pi - t), min=0.0) / xp.where(dt == 0, 1.0, xp.abs(dt))
    h = xp.where(dt == 0, step, xp.clip(room, max=step))
    value, slope = xp.zeros_like(t), xp.zeros_like(t)
    for steps, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
        e = steps * h
        one, two, *_ = dual(s1 * xp.exp(e * dlog_s1), s2 * xp.exp(e * dlog_s2), t + e * dt)
        value, slope = value + weight * one / h, slope + weight * two / h
    return value, slope


def std_range(*variances: Array, margin: float = 0.0) -> tuple[float, float]:
    """The smallest and the largest standard deviation, further apart by the share ``margin`` at either end.

    Unless they are equal they are rounded outward to half octaves: batches with similar norms share their tables.
    """
    xp = home(variances[0]).xp
    ends = [math.sqrt(float(to_host(f(k)))) for k in variances for f in (xp.min, xp.max)]
    smallest, largest = min(ends), max(ends)
    if not margin and largest <= smallest * (1.0 + 1e-14):
        return smallest, largest
    smallest, largest = smallest / (1.0 + margin), largest * (1.0 + margin)
    low = 2.0 ** (math.floor(2.0 * math.log2(smallest)) / 2.0) if smallest > 0 else 0.0
    return low, 2.0 ** (math.ceil(2.0 * math.log2(largest)) / 2.0)
