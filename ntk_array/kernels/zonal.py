"""Infinite-width kernels as functions of one angle: a Chebyshev series instead of a recursion over the layers.

Where norms factor out of the kernel (positively homogeneous layers without biases) or are all the same, the kernel is a
function of the angle t between the inputs, whatever the depth and the activations. It is smooth in

    y = sin(t / 2) - cos(t / 2) = -cos t / sqrt(1 + sin t),

from -1 at t = 0 to 1 at t = pi, kinks of ReLU networks at both ends included; the series is sampled from the network's
own recursion, and its cost for an entry is a few dozen multiply-adds. Deep networks are steep at t = 0: there u = 1 + y
is known to all its digits, and the kernel is summed as its value for equal inputs plus u q(u - 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .._array.chebyshev import adaptive_series, quotient, sum_from_end
from .._array.compilers import apply
from .._array.linalg import mirror
from .._array.namespace import Array, home, to_host
from .._array.same import Same
from ..nn.angle import direction
from ..nn.covariance import Covariance, Inputs
from ..nn.layer import Layer
from .base import Kernel

__all__ = ["Zonal", "ZonalSeries", "zonal_series"]

TOLERANCE = 2e-16  # of a coefficient in float64, relative to the kernel of equal inputs; rounding is 1e-16 at most
MOST_TERMS = 192  # a recursion over a few layers costs about as much


@dataclass(frozen=True)
class ZonalSeries:
    """A kernel as ``equal``, its value for equal inputs, plus u times a series in u - 1; times s1 s2 where
    ``homogeneous``, the standard deviations of the inputs.

    ``error`` bounds what is missing with the terms that were left out, relative to ``equal``.
    """

    equal: float
    coefficients: np.ndarray
    homogeneous: bool
    error: float

    def __call__(self, state: Covariance) -> Array:
        """The kernel between the inputs of a state."""
        u = apply(_variable, state.k12, state.k11, state.k22, state.sine)
        kernel = sum_from_end(self.equal, self.coefficients, u)
        return apply(_scaled, kernel, state.k11, state.k22) if self.homogeneous else kernel


def _variable(k12: Array, k11: Array, k22: Array, sine: Array) -> Array:
    """u = 1 - cos t / sqrt(1 + sin t), without the cancellation at t = 0."""
    cosine, sine = direction(Covariance(k12, k11, k22, None, 1, sine=sine))
    xp = home(cosine).xp
    root = xp.sqrt(1.0 + sine)
    near = sine * root / (root + xp.abs(cosine))
    return xp.clip(xp.where(cosine > 0, near, 1.0 - cosine / root), min=0.0, max=2.0)


def _scaled(kernel: Array, k11: Array, k22: Array) -> Array:
    """The kernel of inputs of these variances."""
    xp = home(kernel).xp
    return kernel * xp.sqrt(k11) * xp.sqrt(k22)


@dataclass(frozen=True)
class Zonal(Kernel):
    """An infinite-width kernel on inputs where it is a series."""

    kernel: Kernel
    series: ZonalSeries

    def checked(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """As the kernel does."""
        return self.kernel.checked(x1, x2)

    def prepare(self, x: Array) -> Any:
        """As the kernel does."""
        return self.kernel.prepare(x)

    def prepared_block(self, prepared1: Inputs, prepared2: Inputs | None) -> Array:
        """The sum of the series."""
        block = self.series(Covariance.between(prepared1, prepared2, ntk=False))
        return mirror(block) if prepared2 is None else block

    def block_diagonal(self, x: Array) -> Array:
        """The kernel's own, which is exact."""
        return self.kernel.block_diagonal(x)


def zonal_series(net: Layer, x1: Array, x2: Array | None, ntk: bool) -> ZonalSeries | None:
    """The series of a network's NTK or NNGP kernel between two batches; None where it is no function of the angle, or
    where the series is long."""
    eps, variance = home(x1).eps, 1.0
    if not net.homogeneous:
        variances = [Inputs.of(x).variance for x in (x1, x2) if x is not None]
        ends = [float(to_host(f(v))) for v in variances for f in (home(x1).xp.min, home(x1).xp.max)]
        if max(ends) - min(ends) > 8.0 * eps * max(ends):
            return None
        variance = ends[0]
    return _series(Same(net), variance, x1.shape[1], ntk, max(TOLERANCE, eps / 16.0))


@lru_cache(maxsize=256)
def _series(key: Same, variance: float, width: int, ntk: bool, tolerance: float) -> ZonalSeries | None:
    """Sampled from the recursion at inputs of one variance and all angles, on the host in float64."""
    net: Layer = key.item

    def kernel(y: np.ndarray) -> np.ndarray:
        t = 2.0 * np.arcsin(y / math.sqrt(2.0)) + math.pi / 2
        k = np.full_like(t, variance)
        state = Covariance(variance * np.cos(t), k, k, np.zeros_like(t) if ntk else None, width, sine=np.sin(t))
        state = net.propagate(state)
        return np.asarray(state.ntk if ntk else state.k12)

    found = adaptive_series(kernel, tolerance, MOST_TERMS)
    if found is None:
        return None
    equal = float(kernel(np.asarray([-1.0]))[0])
    # What is left out is missing here and where the inputs are equal, a value that is set right.
    return ZonalSeries(equal, quotient(found[0]), net.homogeneous, 2.0 * found[1] / (equal or 1.0))
