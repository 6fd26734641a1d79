"""The angle between two inputs of an infinitely wide network, to full accuracy near 0 and pi.

A kernel of a network with kinks has a kink at angle 0. A cosine that is known to rounding gives only half of the digits
of a small angle, so the sine travels through the layers beside the covariances: its relative error stays at rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._array.linalg import with_diagonal
from .._array.namespace import Array, home, to_host, true_indices
from .._formula.compilers import apply

if TYPE_CHECKING:
    from .covariance import Covariance, Inputs

__all__ = ["angle", "angle_tangent", "direction", "sine_after_bias", "sine_of_inputs", "versine"]

CHUNK = 2**22  # numbers of a temporary array


def direction(state: Covariance) -> tuple[Array, Array]:
    """The cosine and the sine of the angle t between the two inputs of each entry.

    Where the sine did not come with the state it comes from the cosine; one within a few units of rounding of 1 or -1
    is then taken to be 1 or -1, as it is for equal and opposite inputs. A zero row is orthogonal to everything.
    """
    place = home(state.k12)
    xp = place.xp
    cosine = state.k12 * _over_root(state.k11) * _over_root(state.k22)
    if state.sine is not None:
        return cosine, state.sine
    cosine = xp.where(xp.abs(cosine) > 1.0 - 8.0 * place.eps, xp.sign(cosine), cosine)
    return cosine, xp.sqrt((1.0 - cosine) * (1.0 + cosine))


def angle(state: Covariance) -> Array:
    """The angle t between the two inputs of each entry, from 0 to pi."""
    cosine, sine = direction(state)
    return home(cosine).xp.atan2(sine, cosine)


def versine(sine: Array, cosine: Array) -> tuple[Array, Array]:
    """1 - |cos t| and 1 - cos t, without the cancellation."""
    size = home(sine).xp.abs(cosine)
    small = sine * sine / (1.0 + size)
    return small, small + (size - cosine)


def angle_tangent(state: Covariance, dstate: Covariance) -> tuple[Array, Array, Array]:
    """How log s1, log s2 and the angle t change where the covariances change as those of dstate.

    Equal and opposite inputs stay so, in every network: where t is 0 or pi it does not change. Nor do zero rows.
    """
    xp = home(state.k12).xp
    cosine, sine = direction(state)

    def ratio(change: Array, size: Array) -> Array:
        return xp.where(size > 0, change / xp.where(size > 0, size, 1.0), 0.0)

    dlog_s1, dlog_s2 = ratio(dstate.k11, 2.0 * state.k11), ratio(dstate.k22, 2.0 * state.k22)
    scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
    dcosine = ratio(dstate.k12, scale) - cosine * (dlog_s1 + dlog_s2)
    return dlog_s1, dlog_s2, -ratio(dcosine, sine)


def sine_of_inputs(one: Inputs, two: Inputs | None, k12: Array) -> Array:
    """Sines (N1, N2) of the angles between the inputs of two batches, from their covariances k12.

    Small ones come from differences of the normalized inputs, |u - v|^2 = 2 (1 - cos t).
    """
    other = one if two is None else two
    sine = apply(_sine_of_cosine, k12, one.variance, other.variance.T)
    if two is not None:
        return _with_small_ones(sine, one, other, k12)
    variance, ones = one.variance[:, 0], home(sine).xp.ones_like(one.variance[:, 0])
    sine = _with_small_ones(with_diagonal(sine, ones), one, other, k12)  # the diagonal is known: none of the small ones
    return with_diagonal(sine, home(sine).xp.where(variance > 0, 0.0, ones))


def _with_small_ones(sine: Array, one: Inputs, two: Inputs, k12: Array) -> Array:
    """The sines, those below a limit computed again."""
    place = home(k12)
    xp = place.xp
    limit = 0.1 if place.eps < 1e-10 else 0.4
    if float(to_host(xp.min(sine))) >= limit:
        return sine
    near = xp.reshape(sine < limit, (-1,))
    u, v = one.scaled * _over_root(one.variance), two.scaled * _over_root(two.variance)
    entries = true_indices(near)
    count, features = entries.shape[0], u.shape[1]
    chunk = max(min(CHUNK, 2 * k12.shape[0] * k12.shape[1]) // features, 1)  # at most two blocks
    pieces = []
    for start in range(0, count, chunk):
        at = entries[start : min(start + chunk, count)]
        rows, columns = at // k12.shape[1], at % k12.shape[1]
        side = xp.sign(xp.take(xp.reshape(k12, (-1,)), at))[:, None]
        gap = xp.take(u, rows, axis=0) - side * xp.take(v, columns, axis=0)
        half = 0.5 * xp.sum(gap * gap, axis=1)
        pieces.append(xp.sqrt(half * (2.0 - half)))
    small = xp.concat(pieces)
    # The k-th near entry takes the k-th small sine.
    number = xp.clip(xp.cumulative_sum(xp.astype(near, xp.int64)) - 1, min=0)
    return xp.where(xp.reshape(near, sine.shape), xp.reshape(xp.take(small, number), sine.shape), sine)


def _sine_of_cosine(k12: Array, k11: Array, k22: Array) -> Array:
    cosine = k12 * _over_root(k11) * _over_root(k22)
    xp = home(cosine).xp
    return xp.sqrt(xp.clip((1.0 - cosine) * (1.0 + cosine), min=0.0))


def _over_root(k: Array) -> Array:
    """1 / sqrt(k), and 0 for 0."""
    xp = home(k).xp
    return xp.where(k > 0, 1.0 / xp.sqrt(xp.where(k > 0, k, 1.0)), 0.0)


def sine_after_bias(state: Covariance, w2: float, b2: float) -> Array:
    """The sine of the angle that w2 K + b2 has, from sums of positive terms.

    det(w2 K + b2) = w2^2 det K + w2 b2 |u - v|^2, |u - v|^2 = (s1 - s2)^2 + 2 s1 s2 (1 - cos t).
    """
    cosine, sine = direction(state)
    xp = home(sine).xp
    s1, s2 = xp.sqrt(state.k11), xp.sqrt(state.k22)
    difference = s1 - s2
    distance2 = difference * difference + (2.0 * s1) * s2 * versine(sine, cosine)[1]
    k11, k22 = w2 * state.k11 + b2, w2 * state.k22 + b2
    return xp.sqrt((w2 * state.k11 / k11) * (w2 * state.k22 / k22) * sine * sine + (w2 / k11) * distance2 * (b2 / k22))
