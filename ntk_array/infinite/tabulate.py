"""Tables of dual activations: which quadrature rule, how many terms, and how far off the result is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .covariance import Covariance
from .dual import DirectDual, DualTable, Gauge
from .quadrature import Conditional, Polar, ScalarFunction, rules_for
from .series import points, to_coefficients

__all__ = ["FLOOR", "SAFETY", "numerical_dual"]

TOLERANCE = 2e-14
ROUGH = 3e-11
"""The tolerance of tables that would take long at full precision."""
FLOOR = 2e-14
"""The least error that is stated: sums of quadrature rules and of series round."""
SAFETY = 3.0
"""The stated error over the largest one found."""
MAX_T_TERMS = 320
MAX_STD_TERMS = 64
MOST_EVALUATIONS = 3e8
"""Values of phi that a table at full precision may take: a few seconds."""
SPREAD = 4.0
"""Standard deviations from which on angles near 0 and pi have a layer of their own."""


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
            if isinstance(rough[0], Polar) and columns * rough[0].nodes > 2 * MOST_EVALUATIONS:
                raise ValueError(
                    f"standard deviations up to {largest:.3g} are too large to integrate a function without a closed "
                    "form: scale the inputs, or weight_std, down"
                )
            return _table(phi, smallest, largest, rough, ROUGH)
    return _table(phi, smallest, largest, precise, TOLERANCE)


class _Samples(NamedTuple):
    """Value and slope of a function from one rule, in the units and the variable of a table."""

    phi: ScalarFunction
    rule: Polar | Conditional
    gauges: tuple[Gauge, Gauge]
    layer: float

    @classmethod
    def of(cls, phi: ScalarFunction, rule: Polar | Conditional, ends: np.ndarray) -> _Samples:
        """For standard deviations between these ends."""
        # Near a standard deviation of 0, not at it: there what vanishes has no size.
        near = np.where(ends > 0, ends, 1e-3 * np.max(ends))
        sizes = [np.sqrt(np.abs(np.diagonal(grid[0]))) for grid in rule.sample(phi, near, np.zeros(1))]
        at_zero = [float(np.abs(f(np.zeros(1)))[0]) for f in (phi.function, phi.derivative)]
        one, two = (Gauge.of(zero, near, size) for zero, size in zip(at_zero, sizes, strict=True))
        return cls(phi, rule, (one, two), _narrow(ends) if ends[-1] > SPREAD else 0.0)

    def at(self, std: np.ndarray, t: np.ndarray) -> np.ndarray:
        """(2, m, n, n), for standard deviations (n,) and angles (m,)."""
        return self._in_units(self.rule.sample(self.phi, std, t), std)

    def at_points(self, std: np.ndarray, n: int) -> np.ndarray:
        """At n Chebyshev points of the variable of the angle. n is even, and half of them are computed."""
        low = _angles(n, self.layer)
        if isinstance(self.rule, Polar):
            return self._in_units(self.rule.sample_mirrored(self.phi, std, low), std)
        return self.at(std, np.concatenate([low, math.pi - low[::-1]]))

    def _in_units(self, grids: Sequence[np.ndarray], std: np.ndarray) -> np.ndarray:
        units = [np.where(gauge(std) > 0, gauge(std), 1.0) for gauge in self.gauges]
        return np.stack([grid / unit[:, None] / unit for grid, unit in zip(grids, units, strict=True)])


def _table(
    phi: ScalarFunction, smallest: float, largest: float, rules: list[Polar] | list[Conditional], tolerance: float
) -> DualTable | DirectDual:
    """The dual in this range from the first of these rules that the next one confirms to a tolerance."""
    ends = np.unique([smallest, largest])
    few_angles = np.asarray([0.0, 0.3 * _narrow(ends), 0.3, 1.3, 2.2, 3.0])
    rule, finer, rule_error = _confirmed_rule(phi, rules, ends, few_angles, tolerance)
    low, high = math.asinh(smallest), math.asinh(largest)
    if isinstance(rule, Conditional) and high > low:
        return DirectDual(phi, rule, max(SAFETY * rule_error, FLOOR))

    def stds(n: int) -> np.ndarray:
        return np.asarray(np.sinh(points(low, high, n)))

    # A rule that nothing confirms makes rough values. Series are not made to follow their errors.
    tolerance, samples = max(tolerance, 0.1 * rule_error), _Samples.of(phi, rule, ends)
    # Few points along the other axis tell how many are needed along one.
    t_count = _enough(lambda n: samples.at_points(ends, n), 1, 24, MAX_T_TERMS, tolerance)
    std_count = 1
    if high - low >= 1e-14 * (1.0 + high):
        std_count = _enough(lambda n: samples.at(stds(n), few_angles), 2, 8, MAX_STD_TERMS, tolerance)
    if isinstance(rule, Polar):
        # Functions that oscillate fast would take minutes. A rough table says that it is rough.
        excess = rule.nodes * t_count * std_count / (2.0 * MOST_EVALUATIONS)
        if excess > 1.0:
            t_count, std_count = (max(1, int(n / excess**0.5 / 2.0)) * 2 for n in (t_count, std_count))
    grids = samples.at_points(stds(std_count), t_count)
    series = to_coefficients(grids, axes=[1, 2, 3])
    sizes = np.stack([np.abs(c) / (_largest(grid) or 1.0) for c, grid in zip(series, grids, strict=True)])
    # Trailing coefficients below rounding in every term are dropped.
    kept_t = 1 + max(np.flatnonzero(np.max(sizes, axis=(0, 2, 3)) > 1e-17), default=0)
    kept_s = 1 + max(np.flatnonzero(np.max(sizes, axis=(0, 1, 2)) > 1e-17), default=0)
    kept = np.ascontiguousarray(series[:, :kept_t, :kept_s, :kept_s])
    table = DualTable(low, high, kept, samples.gauges, samples.layer, 0.0)
    found = max(_off_grid(table, phi, finer), rule_error, _tail(sizes, 1), _tail(sizes, 2) if std_count > 1 else 0.0)
    return replace(table, error=max(SAFETY * found, FLOOR))


def _narrow(stds: np.ndarray) -> float:
    """An angle within which functions of values this spread change near 0 and pi."""
    return 1.0 / (1.0 + float(np.max(stds)))


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
    narrow = _narrow(stds)
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


def _enough(sampled: Callable[[int], np.ndarray], axis: int, n: int, most: int, tolerance: float) -> int:
    """How many points along an axis it takes for the last coefficients to be at a tolerance; an even number."""
    while True:
        coefficients = to_coefficients(sampled(n), axes=[axis])
        for part in coefficients:
            part /= _largest(part) or 1.0
        if n >= most or _tail(coefficients, axis) <= tolerance:
            break
        n = min(2 * n, most)
    others = tuple(i for i in range(coefficients.ndim) if i != axis)
    needed = 1 + int(max(np.flatnonzero(np.max(np.abs(coefficients), axis=others) > tolerance), default=0))
    # The tail of a shorter series is aliased into it: some more points than terms.
    count = min(n, needed + max(4, needed // 8))
    return count + count % 2


def _tail(coefficients: np.ndarray, axis: int) -> float:
    """The largest of the last eighth of them, or two: aliasing makes the very last ones of n samples too small."""
    n = coefficients.shape[axis]
    return _largest(np.take(coefficients, range(n - max(2, n // 8), n), axis=axis))


def _largest(x: np.ndarray) -> float:
    return float(np.max(np.abs(x)))
