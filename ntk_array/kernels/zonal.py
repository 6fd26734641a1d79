"""Infinite-width kernels as functions of one angle: a Chebyshev series instead of a recursion over the layers.

Where norms factor out of the kernel (positively homogeneous layers without biases) or are all the same, the kernel is a
function of the angle t between the inputs, whatever the depth and the activations. It is smooth in

    y = sin(t / 2) - cos(t / 2) = -cos t / sqrt(1 + sin t),

from -1 at t = 0 to 1 at t = pi, kinks of ReLU networks at both ends included; the series is sampled from the network's
own recursion, and its cost for an entry is a few dozen multiply-adds. Deep networks are steep at t = 0: there u = 1 + y
is known to all its digits, and the kernel is summed as its value for equal inputs plus u q(u - 1). Where it is so steep
that a series in u would be long, it is one in u (1 + m) / (1 + m u / 2), which goes from 0 to 2 too but 1 + m times as
fast at t = 0.

Norms that are equal but for a small spread, as those of standardised images, are taken in to first order: a second
series is the derivative in the norm, and its own error is of the second order in the spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .._array.libraries import is_numpy
from .._array.linalg import mirror
from .._array.namespace import Array, home, itemsize, to_host
from .._formula.compilers import apply
from ..gram.tiled import Costs
from ..infinite.angle import cosine_of
from ..infinite.covariance import Covariance, Rows
from ..infinite.inputs import Inputs, between
from ..infinite.positions import PAIRS
from ..infinite.program import Program
from ..infinite.series import Clenshaw, adaptive_series, points, quotient, sum_from_end, to_coefficients
from .base import Kernel

__all__ = ["Zonal", "ZonalSeries", "zonal_series"]

TOLERANCE = 2e-16  # of a coefficient in float64, relative to the kernel of equal inputs; rounding is 1e-16 at most
ROUNDING = 32 * TOLERANCE  # of the recursion over many layers, at most
MOST_TERMS = 192  # a recursion over a few layers costs about as much
SAMPLES = 54  # as many terms as kernels of a few layers need
EQUAL = 8.0  # times eps: norms whose squares differ by less count as equal
SPREAD = 0.4  # times sqrt(eps): up to this spread of the squares of norms, its square is below rounding
STRETCHES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # m: the steeper the kernel, the larger the best of them


@dataclass(frozen=True)
class ZonalSeries:
    """A kernel as ``equal``, its value for equal inputs, plus u times a series in u - 1, of the variable u that is
    stretched by m = ``stretch``; times (s1 s2)^degree for the standard deviations s1, s2 of the inputs.

    ``error`` bounds what is missing with the terms that were left out, relative to ``equal``. ``slope`` is the first
    order in the norms, where they are not quite equal.
    """

    equal: float
    coefficients: tuple[float, ...]
    stretch: float
    degree: int
    error: float
    slope: ZonalSlope | None = None

    def __call__(self, state: Covariance) -> Array:
        """The kernel between the inputs of a state."""
        arrays = state.k12, state.k11, state.k22, state.sine
        if not is_numpy(state.k12):
            return apply(_OnePass(self), *arrays)
        # On the host a loop over any number of terms is compiled once for all series.
        u = apply(_Variable(self.stretch), *arrays)
        kernel = sum_from_end(self.equal, self.coefficients, u)
        if self.slope is not None:
            kernel = apply(self.slope.first_order, kernel, self.slope.summed(u), state.k11, state.k22)
        return apply(_Scaled(self.degree), kernel, state.k11, state.k22) if self.degree else kernel


@dataclass(frozen=True)
class ZonalSlope:
    """The derivative of a kernel between inputs of one variance in its logarithm, as such a series too."""

    variance: float
    equal: float
    coefficients: tuple[float, ...]

    def summed(self, u: Array) -> Array:
        """The derivative at the same variable."""
        return sum_from_end(self.equal, self.coefficients, u)

    def first_order(self, kernel: Array, slope: Array, k11: Array, k22: Array) -> Array:
        """The kernel for variances k11 and k22 near the one that the series are made for.

        The kernel is symmetric in both, so that the derivative in either is half of that in both together.
        """
        v = self.variance
        return kernel + (0.5 / v) * ((k11 - v) + (k22 - v)) * slope


@dataclass(frozen=True)
class _Variable:
    """u = 1 - cos t / sqrt(1 + sin t), without the cancellation at t = 0; stretched."""

    stretch: float

    def __call__(self, k12: Array, k11: Array, k22: Array, sine: Array) -> Array:
        cosine = cosine_of(k12, k11, k22)
        xp = home(cosine).xp
        root = xp.sqrt(1.0 + sine)
        total = root + xp.abs(cosine)
        top, bottom = xp.where(cosine > 0, sine * root, total), xp.where(cosine > 0, total, root)
        return xp.clip((1.0 + self.stretch) * top / (bottom + (0.5 * self.stretch) * top), min=0.0, max=2.0)


def _direction(u: np.ndarray, stretch: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos t and sin t where the variable that is so stretched is u."""
    plain = u / (1.0 + stretch * (1.0 - 0.5 * u))
    sine = plain * (2.0 - plain)
    return (1.0 - plain) * np.sqrt(1.0 + sine), sine


@dataclass(frozen=True)
class _Scaled:
    """The kernel of inputs of these variances."""

    degree: int

    def __call__(self, kernel: Array, k11: Array, k22: Array) -> Array:
        xp = home(kernel).xp
        # One factor at a time: the power of a product of variances could overflow.
        for _ in range(self.degree):
            kernel = kernel * xp.sqrt(k11) * xp.sqrt(k22)
        return kernel


@dataclass(frozen=True)
class _OnePass:
    """All of a series as elementwise code, for libraries whose arrays are in a memory far from the processors."""

    series: ZonalSeries

    def __call__(self, k12: Array, k11: Array, k22: Array, sine: Array) -> Array:
        one = self.series
        u = _Variable(one.stretch)(k12, k11, k22, sine)
        kernel = Clenshaw(one.equal, one.coefficients)(u)
        if one.slope is not None:
            slope = Clenshaw(one.slope.equal, one.slope.coefficients)(u)
            kernel = one.slope.first_order(kernel, slope, k11, k22)
        return _Scaled(one.degree)(kernel, k11, k22)


@dataclass(frozen=True)
class Zonal(Kernel):
    """An infinite-width kernel on inputs where it is a series."""

    kernel: Kernel
    series: ZonalSeries

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        return self.kernel.validated(x1, x2)

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Ten arrays of the size of a block, operation by operation; compiled loops need half as many."""
        here = home(x1)
        return Costs(here, 1, 10 * itemsize(here), itemsize(here) * (x1.shape[1] + 1))

    def prepare(self, x: Array) -> Inputs:
        """The inputs and their variances: no walk through the layers."""
        return Inputs.of(x)

    def prepared_block(self, prepared1: Inputs, prepared2: Inputs | None) -> Array:
        """The sum of the series."""
        block = self.series(between(prepared1, prepared2, ntk=False))
        return mirror(block) if prepared2 is None else block

    def block_diagonal(self, x: Array) -> Array:
        """The kernel's own, which is exact."""
        return self.kernel.block_diagonal(x)


def zonal_series(
    program: Program,
    x1: Array,
    x2: Array | None,
    ntk: bool,
    kept: dict[Any, ZonalSeries | None],
    tables: dict[Any, Any],
) -> ZonalSeries | None:
    """The series of a network's NTK or NNGP kernel between two batches; None where it is no function of the angle, or
    where the series is long. It is kept with those that were made before."""
    # Inputs with positions have an angle at each. Means of inputs are no function of their angle, and equal inputs with
    # noise of their own have another kernel than an input with itself.
    if x1.ndim != 2 or program.reads_input_means or any(step.layer.noisy for step in program.steps):
        return None
    degree, eps = program.signals[-1].degree, home(x1).eps
    about = x1.shape[1:], ntk, max(TOLERANCE, eps / 16.0)
    if degree in (0, 1, 2, 3, 4):
        if about not in kept:
            kept[about] = _Sampled(program, 1.0, ntk, tables).series(int(degree), about[-1])
        return kept[about]
    squares = [Inputs.of(x).variance for x in (x1, x2) if x is not None]
    ends = [float(to_host(f(k))) for k in squares for f in (home(x1).xp.min, home(x1).xp.max)]
    smallest, largest = min(ends), max(ends)
    # Behind a bias, inputs in one direction differ by an angle of the size of the spread: kernels with kinks see it.
    kinked = any(step.layer.kinked for step in program.steps)
    for spread in (EQUAL * eps,) if kinked else (EQUAL * eps, SPREAD * eps**0.5):
        # Series are shared by batches whose norms differ by rounding.
        for key in kept:
            if key[1:] == (spread, *about) and largest - key[0] <= spread * key[0] >= key[0] - smallest:
                return kept[key]
        if largest - smallest <= spread * largest:
            variance = 0.5 * (smallest + largest)
            series = _Sampled(program, variance, ntk, tables).series(0, about[-1])
            if series is not None and spread > EQUAL * eps:
                series = _to_first_order(series, program, variance, ntk, tables)
            kept[variance, spread, *about] = series
            return series
    return None


class _Sampled:
    """The kernel between inputs of one variance, from the network's own recursion, on the host in float64.

    Or of one variance and another.
    """

    def __init__(
        self, program: Program, variance: float, ntk: bool, tables: dict[Any, Any], other: float | None = None
    ) -> None:
        variances = np.asarray([variance, variance if other is None else other])[:, None]
        self.program = program.fitted(Inputs(np.sqrt(variances), np.sqrt(variances), variances), tables)
        (self.one, self.rows1), (self.two, self.rows2) = map(self._walked, variances)
        self.ntk = ntk

    def _walked(self, variance: np.ndarray) -> tuple[np.ndarray, list[Rows]]:
        states = self.program.paired(Covariance.of_pairs(variance, None, 0.0 * variance))
        return variance, [Rows(state.k12, state.mean1) for state in states]

    def __call__(self, u: np.ndarray, stretch: float | np.ndarray) -> np.ndarray:
        """At these values of the variable that is so stretched."""
        cosine, sine = (a.ravel() for a in _direction(u, stretch))
        zeros = np.zeros(sine.size) if self.ntk else None
        k12 = np.sqrt(self.one) * np.sqrt(self.two) * cosine
        start = Covariance(k12, self.one, self.two, zeros, sine=sine, frame=PAIRS)
        values = self.program.run(start, self.rows1, self.rows2, "ntk" if self.ntk else "k12")
        return np.asarray(values).reshape(np.broadcast_shapes(u.shape, np.shape(stretch)))

    def series(self, degree: int, tolerance: float) -> ZonalSeries | None:
        """Its series; None where it is long."""
        probes = self(points(0.0, 2.0, SAMPLES), np.asarray(STRETCHES)[:, None])
        stretch = STRETCHES[int(np.argmin([_slowness(values, tolerance) for values in probes]))]
        found = adaptive_series(partial(self, stretch=stretch), tolerance, ROUNDING, MOST_TERMS)
        if found is None:
            return None
        equal = float(self(np.zeros(1), stretch)[0])
        # Twice: the dropped terms are missing at u, and again at u = 0, where the value is pinned to the exact one.
        return ZonalSeries(equal, quotient(found[0]), stretch, degree, 2.0 * found[1] / (equal or 1.0))


def _to_first_order(
    series: ZonalSeries, program: Program, variance: float, ntk: bool, tables: dict[Any, Any]
) -> ZonalSeries | None:
    """The series with its derivative in the logarithm of the variance; None where the second order would show.

    The derivative is a central difference. Half of its digits would do: it is multiplied by a spread of the size of the
    root of rounding.
    """
    step = 1e-3
    down, up = variance * math.exp(-step), variance * math.exp(step)
    ends = ((down, down), (variance, variance), (up, up), (down, up))
    u = np.concatenate([np.zeros(1), points(0.0, 2.0, len(series.coefficients) + 8)])
    low, middle, high, apart = (_Sampled(program, a, ntk, tables, b)(u, series.stretch) for a, b in ends)
    # Both norms move together, or against one another: far from the origin kernels may depend on the difference only.
    second = max(float(np.max(np.abs(high - 2.0 * middle + low))), float(np.max(np.abs(apart - middle)))) / step**2
    if SPREAD**2 * second > EQUAL * abs(series.equal):
        return None
    slope = (high - low) / (2.0 * step)
    return replace(series, slope=ZonalSlope(variance, float(slope[0]), quotient(to_coefficients(slope[1:]))))


def _slowness(values: np.ndarray, tolerance: float) -> float:
    """The sum of the last of a few dozen coefficients, relative to the largest value; no less than is of interest."""
    last = np.abs(to_coefficients(values))[-SAMPLES // 4 :]
    return max(float(np.sum(last)) / (float(np.max(np.abs(values))) or 1.0), tolerance * len(last))
