"""Batches of inputs, and the state between two of them: where every recursion starts."""

from typing import NamedTuple

from .._array.linalg import with_diagonal
from .._array.namespace import Array, home, to_host, true_indices
from .._formula.compilers import apply
from .angle import over_root, sine_of_cosine
from .covariance import Covariance

__all__ = ["Inputs", "between", "pairs"]

CHUNK = 2**22  # numbers of a temporary array


class Inputs(NamedTuple):
    """What covariances with other batches need of a batch x (N, d).

    Attributes
    ----------
    scaled : array (N, d)
        x / sqrt(d).
    variance : array (N, 1)
        |x|^2 / d.
    """

    scaled: Array
    variance: Array

    @classmethod
    def of(cls, x: Array) -> "Inputs":
        """Of a batch (N, d)."""
        # Scaled before it is squared: the variance of d features does not grow with d, and overflows later.
        scaled = x / x.shape[1] ** 0.5
        return cls(scaled, home(x).xp.sum(scaled * scaled, axis=1, keepdims=True))

    def mean(self) -> Array:
        """The mean over the features, (N, 1)."""
        d = self.scaled.shape[1]
        return home(self.scaled).xp.sum(self.scaled, axis=1, keepdims=True) / d**0.5


def between(one: Inputs, two: Inputs | None, *, ntk: bool) -> Covariance:
    """The state of inputs (N1, d) and (N2, d): <x, x'> / d. The inputs are fixed: their NTK is zero.

    None means that both are the same batch: the diagonal of k12 is then k11 to the last bit, so that the angle there is
    exactly 0.
    """
    other = one if two is None else two
    k12 = one.scaled @ other.scaled.T
    k12 = with_diagonal(k12, one.variance[:, 0]) if two is None else k12
    # Inputs are not trained.
    zeros = home(k12).xp.zeros_like(k12) if ntk else None
    return Covariance(k12, one.variance, other.variance.T, zeros, _sine(one, two, k12))


def pairs(one: Inputs, *, ntk: bool) -> Covariance:
    """The state of each input with itself."""
    k = one.variance[:, 0]
    zeros = home(k).xp.zeros_like(k)
    return Covariance.of_pairs(k, zeros if ntk else None, zeros)


def _sine(one: Inputs, two: Inputs | None, k12: Array) -> Array:
    """Sines (N1, N2) of the angles between the inputs of two batches, from their covariances k12.

    Small ones come from differences of the normalized inputs, |u - v|^2 = 2 (1 - cos t).
    """
    other = one if two is None else two
    sine = apply(sine_of_cosine, k12, one.variance, other.variance.T)
    # Between two batches any entry may be a small angle.
    if two is not None:
        return _with_small_ones(sine, one, other, k12)
    variance, ones = one.variance[:, 0], home(sine).xp.ones_like(one.variance[:, 0])
    sine = _with_small_ones(with_diagonal(sine, ones), one, other, k12)  # the diagonal is known: none of the small ones
    return with_diagonal(sine, home(sine).xp.where(variance > 0, 0.0, ones))


def _with_small_ones(sine: Array, one: Inputs, two: Inputs, k12: Array) -> Array:
    """The sines, those below a limit computed again."""
    where = home(k12)
    xp = where.xp
    limit = 0.1 if where.eps < 1e-10 else 0.4
    if float(to_host(xp.min(sine))) >= limit:
        return sine
    near = xp.reshape(sine < limit, (-1,))
    u, v = one.scaled * over_root(one.variance), two.scaled * over_root(two.variance)
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
