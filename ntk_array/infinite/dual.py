"""Dual activations: K' = E[phi(u) phi(v)] and its slope E[phi'(u) phi'(v)], (u, v) ~ N(0, K).

Activations with a closed form write it down themselves. All others get a
:class:`DualTable`: both functions depend on three numbers only, the standard deviations s1, s2 and the
angle t, so they are sampled once by :mod:`.quadrature` (on the host, in float64) and interpolated by Chebyshev
polynomials in (t, asinh s1, asinh s2). An entry of the kernel then costs some multiply-adds, whatever the
activation costs, and the error of rule and interpolation together is estimated and stated.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .._array.namespace import Array, home, to_host
from .covariance import Covariance
from .quadrature import Conditional, Polar, ScalarFunction, rules_for
from .series import points, sum_mixed, to_coefficients

__all__ = ["DirectDual", "Dual", "DualTable", "numerical_dual", "std_range"]

TOLERANCE = 2e-14
MAX_T_TERMS = 160
MAX_STD_TERMS = 64


class Dual(NamedTuple):
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)], and the sine of the angle of the outputs where a formula gives it."""

    value: Array
    slope: Array
    sine: Array | None = None


@dataclass(frozen=True)
class DualTable:
    """Both expectations as Chebyshev series in (t, asinh s1, asinh s2).

    ``low`` and ``high`` are the range of asinh s; ``series`` (2, degrees in t, in s1, in s2) holds the coefficients of
    value and slope; ``error`` estimates the largest error, relative to the largest value of each in the range.
    """

    low: float
    high: float
    series: np.ndarray
    error: float

    def __call__(self, state: Covariance) -> Dual:
        """Sum the series."""
        return self._sum(self.series, state)

    def tangent(self, state: Covariance, change: Covariance) -> Dual:
        """The chain rule over t, asinh s1 and asinh s2."""
        xp, k11, k22 = home(state.k12).xp, state.k11, state.k22
        dlog_s1, dlog_s2, dt = state.angle_change(change)
        # d asinh(s) = s / sqrt(1 + s^2) d log s
        moves = (dt, xp.sqrt(k11 / (1.0 + k11)) * dlog_s1, xp.sqrt(k22 / (1.0 + k22)) * dlog_s2)
        value, slope = 0.0, 0.0
        for series, moved in zip(self._derivatives, moves, strict=True):
            along = self._sum(series, state)
            value, slope = value + along.value * moved, slope + along.slope * moved
        return Dual(value, slope)

    @cached_property
    def _derivatives(self) -> tuple[np.ndarray, ...]:
        """The series differentiated with respect to t, asinh s1 and asinh s2."""
        from numpy.polynomial.chebyshev import chebder

        stretch = 2.0 / max(self.high - self.low, 1e-300)
        along = ((1, 2.0 / math.pi), (2, stretch), (3, stretch))
        return tuple(chebder(self.series, scl=scale, axis=axis) for axis, scale in along)

    def _sum(self, series: np.ndarray, state: Covariance) -> Dual:
        if state.paired:
            return self._sum_of_pairs(series, state.k12)
        t = state.angle()
        sides = zip((state.k11, state.k22), series.shape[2:], strict=True)
        left, right = (self._basis(k, n) for k, n in sides)
        return Dual(*(sum_mixed(one, left, right, (2.0 / math.pi) * t - 1.0) for one in series))

    def _sum_of_pairs(self, series: np.ndarray, variance: Array) -> Dual:
        """At an angle of 0, where the k-th Chebyshev polynomial is (-1)^k."""
        here = home(variance)
        left, right = (self._basis(variance, n) for n in series.shape[2:])
        signs = (-1.0) ** np.arange(series.shape[1])
        collapsed = (here.asarray(np.tensordot(signs, one, 1)) for one in series)
        return Dual(*(here.xp.sum((left @ one) * right, axis=1) for one in collapsed))

    def _basis(self, variance: Array, n: int) -> Array:
        """Chebyshev polynomials of degree 0 .. n - 1 in asinh of the standard deviation, (N, n)."""
        xp = home(variance).xp
        x = xp.asinh(xp.sqrt(xp.reshape(variance, (-1,))))
        width = max(self.high - self.low, 1e-300)
        x = xp.clip((2.0 * x - (self.low + self.high)) / width, min=-1.0, max=1.0) if n > 1 else x
        columns = [xp.ones_like(x), x]
        for _ in range(n - 2):
            columns.append(2.0 * x * columns[-1] - columns[-2])
        return xp.stack(columns[:n], axis=1)


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
        dlog_s1, dlog_s2, dt = self._entries(state, *state.angle_change(change))
        # No step crosses t = 0 or pi, where the slope has a corner.
        h = np.minimum(1e-3, 0.25 * np.minimum(t, math.pi - t) / np.maximum(np.abs(dt), 1e-300))
        h = np.where(dt == 0, 1e-3, h)
        value, slope = np.zeros_like(t), np.zeros_like(t)
        for steps, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
            e = steps * h
            parts = self.rule.points(self.phi, s1 * np.exp(e * dlog_s1), s2 * np.exp(e * dlog_s2), t + e * dt)
            value, slope = value + weight * parts[0] / h, slope + weight * parts[1] / h
        return self._back(state, (value, slope))

    @staticmethod
    def _entries(state: Covariance, *arrays: Array) -> tuple[np.ndarray, ...]:
        """One number an entry of k12, on the host."""
        xp, shape = home(state.k12).xp, state.k12.shape
        return tuple(to_host(xp.broadcast_to(x, shape)).astype(np.float64).ravel() for x in arrays)

    @staticmethod
    def _back(state: Covariance, parts: tuple[np.ndarray, ...]) -> Dual:
        return Dual(*(home(state.k12).asarray(part.reshape(state.k12.shape)) for part in parts))


def numerical_dual(phi: ScalarFunction, smallest: float, largest: float) -> DualTable | DirectDual:
    """The dual of an activation without a closed form, for standard deviations between ``smallest`` and ``largest``.

    The quadrature rule is the first whose answer the next one confirms; the degrees of the series grow until
    their last coefficients are at rounding. Where neither succeeds the table says so in its ``error``.
    """
    ends, few_angles = np.unique([smallest, largest]), np.asarray([0.0, 0.3, 1.3, 2.2, 3.0])
    rule, rule_error = _confirmed_rule(phi, ends, few_angles)
    low, high = math.asinh(smallest), math.asinh(largest)
    if isinstance(rule, Conditional) and high > low:
        return DirectDual(phi, rule, rule_error)

    def sampled(std: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Value and slope, each relative to its largest one."""
        return np.stack([grid / (_largest(grid) or 1.0) for grid in rule.sample(phi, std, t)])

    def stds(n: int) -> np.ndarray:
        return np.asarray(np.sinh(points(low, high, n)))

    def angles(n: int) -> np.ndarray:
        return points(0.0, math.pi, n)

    # Few points along the other axis tell how many are needed along one.
    t_count = _enough(lambda n: sampled(ends, angles(n)), 1, 16, MAX_T_TERMS)
    if high - low < 1e-14 * (1.0 + high):
        std_count = 1
    else:
        std_count = _enough(lambda n: sampled(stds(n), few_angles), 2, 8, MAX_STD_TERMS)
    while True:
        grids = np.stack(rule.sample(phi, stds(std_count), angles(t_count)))
        series = to_coefficients(grids, axes=[1, 2, 3])
        sizes = np.stack([np.abs(c) / (_largest(grid) or 1.0) for c, grid in zip(series, grids, strict=True)])
        t_tail, std_tail = _tail(sizes, 1), _tail(sizes, 2) if std_count > 1 else 0.0
        grow_t = t_tail > TOLERANCE and t_count < MAX_T_TERMS
        grow_std = std_tail > TOLERANCE and std_count < MAX_STD_TERMS
        if not (grow_t or grow_std):
            break
        t_count += t_count // 2 if grow_t else 0
        std_count += std_count // 2 if grow_std else 0
    error = rule_error + sum(tail for tail in (t_tail, std_tail) if tail > TOLERANCE)
    # Trailing coefficients below rounding in every term are dropped.
    kept_t = 1 + max(np.flatnonzero(np.max(sizes, axis=(0, 2, 3)) > 1e-17), default=0)
    kept_s = 1 + max(np.flatnonzero(np.max(sizes, axis=(0, 1, 2)) > 1e-17), default=0)
    return DualTable(low, high, np.ascontiguousarray(series[:, :kept_t, :kept_s, :kept_s]), error)


def _confirmed_rule(phi: ScalarFunction, std: np.ndarray, t: np.ndarray) -> tuple[Polar | Conditional, float]:
    """The first rule whose answer at these points the next one confirms, or the last, and how far the two are apart."""
    chosen, *finer = rules_for(phi)
    rough = chosen.sample(phi, std, t)
    for better in finer:
        fine = better.sample(phi, std, t)
        error = max(_largest(a - b) / (_largest(b) or 1.0) for a, b in zip(rough, fine, strict=True))
        if error < TOLERANCE:
            break
        chosen, rough = better, fine
    return chosen, error


def _enough(sampled: Callable[[int], np.ndarray], axis: int, n: int, most: int) -> int:
    """As many points along an axis, n or more, as it takes for the last coefficients to be at rounding."""
    while n < most and _tail(to_coefficients(sampled(n), axes=[axis]), axis) > TOLERANCE:
        n += n // 4
    return n


def _tail(coefficients: np.ndarray, axis: int) -> float:
    """The largest of the last eighth of them, or two: aliasing makes the very last ones of n samples too small."""
    n = coefficients.shape[axis]
    return _largest(np.take(coefficients, range(n - max(2, n // 8), n), axis=axis))


def _largest(x: np.ndarray) -> float:
    return float(np.max(np.abs(x)))


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
