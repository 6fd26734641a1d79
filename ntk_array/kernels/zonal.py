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

import numpy as np

from .._array.chebyshev import adaptive_series, quotient, sum_from_end
from .._array.compilers import apply
from .._array.namespace import Array, home, to_host
from .._array.same import Same
from ..nn.angle import direction
from ..nn.covariance import Covariance, Inputs
from ..nn.layer import Layer

__all__ = ["ZonalSeries", "zonal_series"]

TOLERANCE = 2e-16  # of a coefficient in float64, relative to the kernel of equal inputs; rounding is 1e-16 at most
MOST_TERMS = 192  # a recursion over a few layers costs about as much


@dataclass(frozen=True)
class ZonalSeries:
    """A kernel as ``equal``, its value for equal inputs, plus u times a series in u - 1; times s1 s2 where
    ``homogeneous``, the standard deviations of the inputs."""

    equal: float
    coefficients: np.ndarray
    homogeneous: bool

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


def zonal_series(net: Layer, one: Inputs, two: Inputs, ntk: bool) -> ZonalSeries | None:
    """The series of a network's NTK or NNGP kernel between two batches; None where it is no function of the angle, or
    where the series is long."""
    xp, eps = home(one.variance).xp, home(one.variance).eps
    variance = 1.0
    if not net.homogeneous:
        ends = [float(to_host(f(batch.variance))) for batch in (one, two) for f in (xp.min, xp.max)]
        if max(ends) - min(ends) > 8.0 * eps * max(ends):
            return None
        variance = ends[0]
    return _series(Same(net), variance, one.scaled.shape[1], ntk, max(TOLERANCE, eps / 16.0))


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

    coefficients = adaptive_series(kernel, tolerance, MOST_TERMS)
    if coefficients is None:
        return None
    return ZonalSeries(float(kernel(np.asarray([-1.0]))[0]), quotient(coefficients), net.homogeneous)
