"""Batches of inputs, and the state between two of them: where every recursion starts."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._array.linalg import with_diagonal
from .._array.namespace import Array, home, index_dtype, to_host, true_indices
from .._formula.compilers import apply, apply_near
from .angle import over_root, side_of, sine_of_cosine
from .covariance import Covariance
from .positions import Frame

__all__ = ["Inputs", "between", "pairs"]

CHUNK = 2**22  # numbers of a temporary array


class Inputs(NamedTuple):
    """What covariances with other batches need of a batch x (N, d).

    Attributes
    ----------
    x : array (N, *P, d)
        The batch; P are axes of positions, if there are any.
    scaled : array (N, *P, d)
        x / sqrt(d).
    variance : array (N, *P, 1)
        |x|^2 / d.
    """

    x: Array
    scaled: Array
    variance: Array

    @classmethod
    def of(cls, x: Array) -> "Inputs":
        """Of a batch (N, *P, d). ValueError where the squares of its numbers overflow."""
        # Scaled before it is squared: the variance of d features does not grow with d, and overflows later.
        scaled, xp = x / x.shape[-1] ** 0.5, home(x).xp
        with np.errstate(over="ignore"):
            variance = xp.sum(scaled * scaled, axis=-1, keepdims=True)
        if not to_host(xp.isfinite(xp.max(variance))):
            raise ValueError(
                f"the inputs are too large: squares of numbers up to {float(to_host(xp.max(xp.abs(x)))):.0e} overflow "
                f"{home(x).dtype}; scale the features, or use float64 if they are float32"
            )
        return cls(x, scaled, variance)

    def mean(self) -> Array:
        """The mean over the features, (N, *P)."""
        d = self.scaled.shape[-1]
        return home(self.scaled).xp.sum(self.scaled, axis=-1) / d**0.5

    @property
    def axes(self) -> int:
        """The number of axes of positions."""
        return len(self.x.shape) - 2

    def as_rows(self) -> "Inputs":
        """All positions of all inputs as rows of one batch without positions."""
        xp = home(self.x).xp
        return Inputs(*(xp.reshape(a, (-1, a.shape[-1])) for a in self))

    def at_each_position(self) -> "list[Inputs]":
        """The batches that each position holds."""
        xp, n = home(self.x).xp, self.x.shape[0]
        flat = [xp.reshape(a, (n, -1, a.shape[-1])) for a in self]
        return [Inputs(*(a[:, p, :] for a in flat)) for p in range(flat[0].shape[1])]

    def each(self) -> "list[Inputs]":
        """Each input by itself: the positions of one are a batch."""
        xp, n = home(self.x).xp, self.x.shape[0]
        flat = [xp.reshape(a, (n, -1, a.shape[-1])) for a in self]
        return [Inputs(*(a[i, ...] for a in flat)) for i in range(n)]


def between(one: Inputs, two: Inputs | None, *, ntk: bool, gap: bool = False, every: bool = True) -> Covariance:
    """The state of inputs (N1, *P, d) and (N2, *P, d): <x, x'> / d, at every pair of positions or at the same ones.

    The inputs are fixed: their NTK is zero. None means that both are the same batch: the diagonal of k12 is then k11 to
    the last bit, so that the angle there is exactly 0. What is below the diagonal is for :func:`.mirror` to overwrite:
    without positions it need not be computed.
    """
    if not one.axes:
        return _between(one, two, ntk=ntk, gap=gap, half=two is None)
    frame = Frame(one.axes, every)
    # Positions are a batch of their own.
    if every:
        states = [_between(one.as_rows(), None if two is None else two.as_rows(), ntk=ntk, gap=gap)]
    else:
        firsts = one.at_each_position()
        others = [None] * len(firsts) if two is None else two.at_each_position()
        states = [_between(*parts, ntk=ntk, gap=gap) for parts in zip(firsts, others, strict=True)]
    n1, *positions = one.x.shape[:-1]
    n2 = n1 if two is None else two.x.shape[0]
    return Covariance.joined(frame, states, (n1, *positions, n2, *positions) if every else (*positions, n1, n2))


def _between(one: Inputs, two: Inputs | None, *, ntk: bool, gap: bool, half: bool = False) -> Covariance:
    """The same for inputs without positions; ``half`` of it is enough."""
    other, upper = one if two is None else two, home(one.scaled).library.upper
    k12 = one.scaled @ other.scaled.T if upper is None or not half else upper(one.scaled)
    k12 = with_diagonal(k12, one.variance[:, 0]) if two is None else k12
    # Inputs are not trained.
    zeros = home(k12).xp.zeros_like(k12) if ntk else None
    apart = _gap(one, other, k12) if gap else None
    return Covariance(k12, one.variance, other.variance.T, zeros, _sine(one, two, k12), apart)


def pairs(one: Inputs, *, ntk: bool, every: bool = False, gap: bool = False) -> Covariance:
    """The state of each input with itself: of each position with itself, or of every pair of positions."""
    frame = Frame(one.axes, every and one.axes > 0, blocks=False)
    if not frame.every:
        k = one.variance[..., 0]
        zeros = home(k).xp.zeros_like(k)
        return Covariance.of_pairs(k, zeros if ntk else None, zeros, frame=frame)
    states = [_between(each, None, ntk=ntk, gap=gap) for each in one.each()]
    return Covariance.joined(frame, states, (one.x.shape[0], *one.x.shape[1:-1], *one.x.shape[1:-1]))


def _sine(one: Inputs, two: Inputs | None, k12: Array) -> Array:
    """Sines (N1, N2) of the angles between the inputs of two batches, from their covariances k12.

    Small ones come from differences of the normalized inputs, |u - v|^2 = 2 (1 - cos t).
    """
    other = one if two is None else two
    variances = one.variance, other.variance.T
    found = apply_near(_sine_by_products, _sine_of_gap, (k12, *variances), one.scaled, other.scaled)
    if found is not None:
        return found
    sine = apply(sine_of_cosine, k12, *variances)
    # Between two batches any entry may be a small angle.
    if two is not None:
        return _with_small_ones(sine, one, other, k12)
    variance, ones = one.variance[:, 0], home(sine).xp.ones_like(one.variance[:, 0])
    sine = _with_small_ones(with_diagonal(sine, ones), one, other, k12)  # the diagonal is known: none of the small ones
    return with_diagonal(sine, home(sine).xp.where(variance > 0, 0.0, ones))


def _with_small_ones(sine: Array, one: Inputs, two: Inputs, k12: Array) -> Array:
    """The sines, those below a limit computed again."""
    xp, limit = home(k12).xp, _limit(k12)
    if float(to_host(xp.min(sine))) >= limit:
        return sine
    u, v = one.scaled * over_root(one.variance), two.scaled * over_root(two.variance)
    return _recomputed(sine, sine < limit, u, v, k12, _sine_of_gap)


def _sine_by_products(k12: Array, k11: Array, k22: Array) -> list[Array]:
    """The sine, and below which limit it comes from f^2 |x - g x'|^2; g and f for inputs of these variances."""
    xp = home(k12).xp
    # Exactly 1 for equal variances, so that nothing is between an input and itself.
    ratio = xp.where(k11 == k22, xp.ones_like(k12), xp.sqrt(k11) * over_root(k22))
    return [sine_of_cosine(k12, k11, k22), _limit(k12), side_of(k12) * ratio, over_root(k11)]


def _limit(k12: Array) -> float:
    """The sine below which too many digits are lost in that of a cosine."""
    return 0.1 if home(k12).eps < 1e-10 else 0.4


def _sine_of_gap(squares: Array, *others: Array) -> Array:
    """The sine of the angle between two vectors of length 1, from the square of their distance."""
    del others
    return home(squares).xp.sqrt(0.5 * squares * (2.0 - 0.5 * squares))


def _gap(one: Inputs, two: Inputs, k12: Array) -> Array:
    """|x - x'|^2 / d, or |x + x'|^2 / d where k12 is negative, to a small multiple of rounding (N1, N2).

    From inner products of inputs moved to one centre, and from the differences themselves where they are smaller than
    the distances from that centre.
    """
    xp, d = home(k12).xp, one.x.shape[1]
    centre = xp.mean(one.x, axis=0, keepdims=True)
    u, v = (one.x - centre) / d**0.5, (two.x - centre) / d**0.5
    size_u, size_v = xp.sum(u * u, axis=1, keepdims=True), xp.sum(v * v, axis=1, keepdims=True).T
    over_root_d = xp.full_like(size_u[:1, :], d**-0.5)
    arrays = k12, u @ v.T, one.variance, two.variance.T, size_u, size_v, over_root_d
    found = apply_near(_gap_by_products, _same, arrays, one.x, two.x)
    if found is not None:
        return found
    gap, limit, *_ = _gap_by_products(*arrays)
    return _recomputed(gap, gap < limit, one.x, two.x, k12, lambda squares: squares / d)


def _gap_by_products(
    k12: Array, centred: Array, k11: Array, k22: Array, size_u: Array, size_v: Array, over_root_d: Array
) -> list[Array]:
    """The gap, and below which limit it comes from f^2 |x - g x'|^2, with g and f."""
    xp = home(k12).xp
    size = xp.where(k12 < 0, k11 + k22, size_u + size_v)
    gap = size - 2.0 * xp.where(k12 < 0, -k12, centred)
    return [gap, 0.1 * size, side_of(k12), over_root_d]


def _same(squares: Array, *others: Array) -> Array:
    del others
    return squares


def _recomputed(
    values: Array, near: Array, u: Array, v: Array, k12: Array, of_squares: Callable[[Array], Array]
) -> Array:
    """The values (N1, N2), with a function of |u - v|^2, or |u + v|^2 where k12 is negative, at the near entries."""
    xp = home(k12).xp
    near = xp.reshape(near, (-1,))
    entries = true_indices(near)
    count, features = entries.shape[0], u.shape[1]
    if not count:
        return values
    chunk = max(min(CHUNK, 2 * k12.shape[0] * k12.shape[1]) // features, 1)  # at most two blocks
    pieces = []
    for start in range(0, count, chunk):
        at = entries[start : min(start + chunk, count)]
        rows, columns = at // k12.shape[1], at % k12.shape[1]
        side = side_of(xp.take(xp.reshape(k12, (-1,)), at))
        difference = xp.take(u, rows, axis=0) - side[:, None] * xp.take(v, columns, axis=0)
        pieces.append(of_squares(xp.sum(difference * difference, axis=1)))
    small = xp.concat(pieces)
    # The k-th near entry takes the k-th small value.
    number = xp.clip(xp.cumulative_sum(xp.astype(near, index_dtype(xp, home(k12).device))) - 1, min=0)
    return xp.where(xp.reshape(near, values.shape), xp.reshape(xp.take(small, number), values.shape), values)
