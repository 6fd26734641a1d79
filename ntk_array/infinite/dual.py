"""Dual activations: K' = E[phi(u) phi(v)] and its slope E[phi'(u) phi'(v)], (u, v) ~ N(0, K).

Activations with a closed form write it down themselves. All others get a
:class:`DualTable`: both functions depend on three numbers only, the standard deviations s1, s2 and the
angle t, so they are sampled once by :mod:`.quadrature` (on the host, in float64) and interpolated by Chebyshev
polynomials in (t, asinh s1, asinh s2). An entry of the kernel then costs some multiply-adds, whatever the
activation costs, and the error of rule and interpolation together is estimated and stated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .._array.namespace import Array, home, to_host
from .covariance import Covariance
from .quadrature import Conditional, Polar, ScalarFunction, rules_for
from .series import points, sum_mixed, to_coefficients

__all__ = ["DirectDual", "Dual", "DualTable", "numerical_dual", "std_range"]

TOLERANCE = 2e-14
ROUGH = 3e-11
"""The tolerance of tables that would take long at full precision."""
FLOOR = 2e-14
"""The least error that is stated: sums of quadrature rules and of series round."""
SAFETY = 3.0
"""The stated error over the largest one found."""
MAX_T_TERMS = 320
MAX_STD_TERMS = 64
MOST_EVALUATIONS = 4e8
"""Values of phi that a table at full precision may take: a few seconds."""
SPREAD = 4.0
"""Standard deviations from which on angles near 0 and pi have a layer of their own."""


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
        xp = home(state.k12).xp
        s1, s2 = xp.sqrt(state.k11), xp.sqrt(state.k22)
        sums = self._sum(self.series, state)
        return Dual(*(g(s1) * g(s2) * one for g, one in zip(self.gauges, sums, strict=True)))

    def tangent(self, state: Covariance, change: Covariance) -> Dual:
        """The chain rule over t, asinh s1 and asinh s2."""
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

    @cached_property
    def _derivatives(self) -> tuple[np.ndarray, ...]:
        """The series differentiated with respect to the variable of t, asinh s1 and asinh s2."""
        from numpy.polynomial.chebyshev import chebder

        stretch = 2.0 / max(self.high - self.low, 1e-300)
        along = ((1, 1.0), (2, stretch), (3, stretch))
        return tuple(chebder(self.series, scl=scale, axis=axis) for axis, scale in along)

    def _angle(self, state: Covariance) -> Array:
        """The variable of the series in the angle, from -1 to 1."""
        t = state.angle()
        if not self.layer:
            return (2.0 / math.pi) * t - 1.0
        xp, e = home(t).xp, self.layer
        y = xp.log((t + e) / ((math.pi + e) - t)) / math.log1p(math.pi / e)
        return xp.clip(y, min=-1.0, max=1.0)

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
    their last coefficients are at rounding. A finished table is checked at points off its grid by a finer rule;
    the error that it states is a multiple of the largest difference found. Tables that would take long at full
    precision are made to :data:`ROUGH` instead.

    Raises
    ------
    ValueError
        If phi is NaN or infinite at a value that occurs, or its expectations are, or the standard deviations are so
        large that a table would take minutes.
    """
    precise = rules_for(phi, largest)
    ranged = largest > smallest * (1.0 + 1e-14)
    if isinstance(precise[0], Polar):
        columns = 2 * 128 * (16 if ranged else 1)
        if columns * precise[0].nodes > MOST_EVALUATIONS:
            rough = rules_for(phi, largest, rough=True)
            if isinstance(rough[0], Polar) and columns * rough[0].nodes > 4 * MOST_EVALUATIONS:
                raise ValueError(
                    f"standard deviations up to {largest:.3g} are too large to integrate a function without a closed "
                    "form: scale the inputs, or weight_std, down"
                )
            return _table(phi, smallest, largest, rough, ROUGH)
    return _table(phi, smallest, largest, precise, TOLERANCE)


def _table(
    phi: ScalarFunction, smallest: float, largest: float, rules: list[Polar] | list[Conditional], tolerance: float
) -> DualTable | DirectDual:
    """The dual in this range from the first of these rules that the next one confirms to a tolerance."""
    ends = np.unique([smallest, largest])
    narrow = 1.0 / (1.0 + largest)  # an angle on which functions of spread values change
    few_angles = np.asarray([0.0, 0.3 * narrow, 0.3, 1.3, 2.2, 3.0])
    rule, finer, rule_error = _confirmed_rule(phi, rules, ends, few_angles, tolerance)
    low, high = math.asinh(smallest), math.asinh(largest)
    if isinstance(rule, Conditional) and high > low:
        return DirectDual(phi, rule, max(SAFETY * rule_error, FLOOR))
    # A rule that nothing confirms makes rough values. Series are not made to follow their errors.
    tolerance = max(tolerance, 0.1 * rule_error)
    diagonals = [np.sqrt(np.abs(np.diagonal(grid[0]))) for grid in rule.sample(phi, ends, np.zeros(1))]
    gauges = tuple(
        Gauge.of(float(np.abs(f(np.zeros(1)))[0]), ends, sizes)
        for f, sizes in zip((phi.function, phi.derivative), diagonals, strict=True)
    )

    def in_units(grids: Sequence[np.ndarray], std: np.ndarray) -> np.ndarray:
        """Value and slope in units of their gauges."""
        units = [np.where(gauge(std) > 0, gauge(std), 1.0) for gauge in gauges]
        return np.stack([grid / unit[:, None] / unit for grid, unit in zip(grids, units, strict=True)])

    def at_angles(std: np.ndarray, n: int) -> np.ndarray:
        """At n Chebyshev points of the angle; n is even, and half of them are computed."""
        low = _angles(n, layer)
        if isinstance(rule, Polar):
            return in_units(rule.sample_mirrored(phi, std, low), std)
        return in_units(rule.sample(phi, std, np.concatenate([low, math.pi - low[::-1]])), std)

    def stds(n: int) -> np.ndarray:
        return np.asarray(np.sinh(points(low, high, n)))

    layer = narrow if largest > SPREAD else 0.0
    _, t_count = _enough(lambda n: at_angles(ends, n), 1, 24, MAX_T_TERMS, tolerance)
    std_count = 1
    if high - low >= 1e-14 * (1.0 + high):

        def at_stds(n: int) -> np.ndarray:
            return in_units(rule.sample(phi, stds(n), few_angles), stds(n))

        _, std_count = _enough(at_stds, 2, 8, MAX_STD_TERMS, tolerance)
    if isinstance(rule, Polar):
        # Functions that oscillate fast would take minutes. A rough table says that it is rough.
        excess = rule.nodes * t_count * std_count / (2.0 * MOST_EVALUATIONS)
        if excess > 1.0:
            t_count, std_count = (max(1, int(n / excess**0.5 / 2.0)) * 2 for n in (t_count, std_count))
    grids = at_angles(stds(std_count), t_count)
    series = to_coefficients(grids, axes=[1, 2, 3])
    sizes = np.stack([np.abs(c) / (_largest(grid) or 1.0) for c, grid in zip(series, grids, strict=True)])
    # Trailing coefficients below rounding in every term are dropped.
    kept_t = 1 + max(np.flatnonzero(np.max(sizes, axis=(0, 2, 3)) > 1e-17), default=0)
    kept_s = 1 + max(np.flatnonzero(np.max(sizes, axis=(0, 1, 2)) > 1e-17), default=0)
    table = DualTable(
        low, high, np.ascontiguousarray(series[:, :kept_t, :kept_s, :kept_s]), (gauges[0], gauges[1]), layer, 0.0
    )
    found = max(_off_grid(table, phi, finer), rule_error, _tail(sizes, 1), _tail(sizes, 2) if std_count > 1 else 0.0)
    return replace(table, error=max(SAFETY * found, FLOOR))


def _angles(n: int, layer: float) -> np.ndarray:
    """The first half of the angles at the n Chebyshev points of the variable of a table; pi less them is the other."""
    if not layer:
        return points(0.0, math.pi, n)[: n // 2]
    # log((t + e) / (pi - t + e)) = y log(1 + pi / e), solved for t.
    grown = np.exp(points(-1.0, 1.0, n)[: n // 2] * math.log1p(math.pi / layer))
    return np.maximum((grown * (math.pi + layer) - layer) / (1.0 + grown), 0.0)


def _off_grid(table: DualTable, phi: ScalarFunction, rule: Polar | Conditional) -> float:
    """The largest error of a table at points off its grid, relative to values of inputs with themselves."""
    rng = np.random.default_rng(0)
    stds = np.sinh(table.low + (table.high - table.low) * np.asarray([0.0, *np.sort(rng.random(5)), 1.0]))
    stds = np.unique(stds)
    narrow = 1.0 / (1.0 + float(stds[-1]))
    t = np.asarray([0.0, *(narrow * np.asarray([0.1, 0.7, 4.0])), *(math.pi * rng.random(6)), math.pi - 0.5 * narrow])
    t = np.minimum(t, math.pi)
    k11, k22 = stds[:, None] ** 2, stds[None, :] ** 2
    errors = []
    exact = rule.sample(phi, stds, t)
    with np.errstate(all="ignore"):
        scales = [np.sqrt(np.outer(np.diagonal(part[0]), np.diagonal(part[0]))) for part in exact]
        for i, angle in enumerate(t):
            shape = (len(stds), len(stds))
            state = Covariance(np.cos(angle) * stds[:, None] * stds, k11, k22, sine=np.full(shape, math.sin(angle)))
            found = table(state)
            for part, right, scale in zip((found.value, found.slope), exact, scales, strict=True):
                errors.append(np.max(np.where(scale > 0, np.abs(part - right[i]) / scale, np.abs(part - right[i]))))
    worst = float(np.max(errors))
    return worst if math.isfinite(worst) else math.inf


def _confirmed_rule(
    phi: ScalarFunction, rules: Sequence[Polar | Conditional], std: np.ndarray, t: np.ndarray, tolerance: float
) -> tuple[Polar | Conditional, Polar | Conditional, float]:
    """The first rule whose answer at these points the next one confirms, that one, and how far the two are apart.

    Where none is confirmed, the first two that are about as close as any.
    """
    found = []
    before = rules[0].sample(phi, std, t)
    for rough, fine in pairwise(rules):
        after, errors = fine.sample(phi, std, t), []
        for a, b in zip(before, after, strict=True):
            size = np.sqrt(np.abs(np.diagonal(b[0])))
            size = np.where(size > 0, size, 1.0)
            errors.append(_largest((a - b) / size[:, None] / size))
        before = after
        found.append((rough, fine, max(errors)))
        if max(errors) < tolerance:
            return found[-1]
    best = min(error for *_, error in found)
    return next(one for one in found if one[2] <= 10.0 * best)


def _enough(sampled: Callable[[int], np.ndarray], axis: int, n: int, most: int, tolerance: float) -> tuple[float, int]:
    """How many points along an axis it takes for the last coefficients to be at a tolerance, and how large they are."""
    while True:
        coefficients = to_coefficients(sampled(n), axes=[axis])
        for part in coefficients:
            part /= _largest(part) or 1.0
        tail = _tail(coefficients, axis)
        if tail <= tolerance or n >= most:
            break
        n = min(2 * n, most)
    others = tuple(i for i in range(coefficients.ndim) if i != axis)
    needed = 1 + int(max(np.flatnonzero(np.max(np.abs(coefficients), axis=others) > tolerance), default=0))
    # The tail of a shorter series is aliased into it: some more points than terms.
    count = min(n, needed + max(4, needed // 8))
    return max(tail, tolerance), count + count % 2


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
