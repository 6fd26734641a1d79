"""Chebyshev series: made on the host in float64, summed on any library."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .._array.libraries import is_numpy
from .._array.namespace import Array, home
from .._formula import numba_loops
from .._formula.compilers import apply, compiler_for

__all__ = ["Clenshaw", "adaptive_series", "points", "quotient", "sum_from_end", "sum_mixed", "to_coefficients"]

TILE = 2**15  # numbers that are summed at once on the host: few enough for a cache, enough that threads do not wait
LANES = 256  # numbers that are summed at once by a compiled loop, with their temporaries in the nearest cache


def points(low: float, high: float, n: int) -> np.ndarray:
    """The n Chebyshev points of an interval, to all their digits where it begins or ends at 0."""
    half = math.pi * (np.arange(n) + 0.5) / (2 * n)
    return low * np.sin(half) ** 2 + high * np.cos(half) ** 2


def to_coefficients(samples: np.ndarray, axes: Sequence[int] | None = None) -> np.ndarray:
    """Values at Chebyshev points to Chebyshev coefficients, along these axes or all."""
    from scipy.fft import dctn

    axes = range(samples.ndim) if axes is None else axes
    coefficients = dctn(samples, type=2, axes=axes) / math.prod(samples.shape[axis] for axis in axes)
    for axis in axes:
        np.moveaxis(coefficients, axis, 0)[0] /= 2
    return np.asarray(coefficients)


def adaptive_series(
    function: Callable[[np.ndarray], np.ndarray], tolerance: float, rounding: float, most: int
) -> tuple[np.ndarray, float] | None:
    """Coefficients of a function of u in [0, 2] in T_k(u - 1), and what those left out add up to; None where ``most``
    samples are not enough.

    The tolerance is relative to the largest value, and holds for each coefficient: terms are added until the last
    quarter of them is below it, and all behind the last one that is not are dropped. Where they no longer fall, and are
    below ``rounding``, they are taken for the rounding of the function and dropped too. What comes after those that
    were computed is taken to add up to no more than their last quarter does.
    """
    n = 24
    while n <= most:
        values = function(points(0.0, 2.0, n))
        coefficients, scale = to_coefficients(values), float(np.max(np.abs(values))) or 1.0
        sizes = np.abs(coefficients)
        before, last = np.max(sizes[n // 2 : -n // 4]), np.max(sizes[-n // 4 :])
        only_rounding = before < 4.0 * last and last <= rounding * scale
        level = max(tolerance * scale, 2.0 * last if only_rounding else 0.0)
        if last <= level:
            kept = 1 + max(np.flatnonzero(sizes > level), default=0)
            return coefficients[:kept], float(np.sum(sizes[kept:]) + np.sum(sizes[-n // 4 :]))
        n += n // 2
    return None


def quotient(coefficients: np.ndarray) -> tuple[float, ...]:
    """Coefficients of q in f(y) = f(-1) + (1 + y) q(y), for those of f."""
    c = coefficients.astype(np.longdouble)
    q = np.zeros(len(c) + 1, dtype=np.longdouble)
    for k in range(len(c) - 1, 0, -1):
        q[k - 1] = 2 * (c[k] - q[k]) - q[k + 1]  # (1 + y) T_k = T_k + (T_k-1 + T_k+1) / 2
    q[0] /= 2
    return tuple(map(float, q[: max(len(c) - 1, 1)]))


def sum_from_end(first: float, coefficients: Sequence[float], u: Array) -> Array:
    """first + u q(u - 1) for a series q and u in [0, 2], by Clenshaw's recurrence.

    A function on [-1, 1] as a function of u = 1 + y, with all digits of u where it is small.
    """
    if is_numpy(u):
        return _sum_on_host(first, np.asarray(coefficients, dtype=u.dtype), u)
    return apply(Clenshaw(first, tuple(coefficients)), u)


@dataclass(frozen=True)
class Clenshaw:
    """The recurrence of :func:`sum_from_end` as elementwise code."""

    first: float
    coefficients: tuple[float, ...]

    def __call__(self, u: Array) -> Array:
        """The sum at each entry."""
        y = u - 1.0
        newer, older = home(u).xp.zeros_like(u), 0.0
        for c in self.coefficients[:0:-1]:
            newer, older = 2.0 * y * newer + (c - older), newer
        return self.first + u * (y * newer + (self.coefficients[0] - older))


def _sum_on_host(first: float, c: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The same, compiled for large arrays, or else in place and in tiles."""
    flat, out = u.reshape(-1), np.empty(u.size, dtype=u.dtype)
    if numba_loops.compiles(u):
        padding = np.zeros((1 - c.size) % 4, dtype=u.dtype)  # four terms are summed at once
        _sum_loop(c.dtype.type(first), np.concatenate([c, padding]), flat, out)
    else:
        _sum_in_tiles(first, c, flat, out)
    return out.reshape(u.shape)


def _sum_in_tiles(first: float, c: np.ndarray, u: np.ndarray, out: np.ndarray) -> None:
    buffers = np.empty((3, min(TILE, u.size)), dtype=u.dtype)
    for start in range(0, u.size, TILE):
        tile, result = u[start : start + TILE], out[start : start + TILE]
        newer, older, twice = buffers[:, : tile.size]
        newer[:], older[:] = 0, 0
        np.subtract(tile, 1, out=twice)
        twice *= 2
        for k in range(len(c) - 1, 0, -1):
            # older <- twice * newer - older + c_k, and the two change places
            np.subtract(c[k], older, out=older)
            np.multiply(twice, newer, out=result)
            older += result
            newer, older = older, newer
        twice *= 0.5
        np.multiply(twice, newer, out=result)
        result -= older
        result += c[0]
        result *= tile
        result += first


@numba_loops.jit
def _sum_loop(first: float, c: np.ndarray, u: np.ndarray, out: np.ndarray) -> None:
    twice, newer, older = np.empty(LANES, u.dtype), np.empty(LANES, u.dtype), np.empty(LANES, u.dtype)
    for start in range(0, u.size, LANES):
        n = min(LANES, u.size - start)
        for j in range(n):
            twice[j], newer[j], older[j] = 2 * (u[start + j] - 1), 0, 0
        k = c.size - 1
        while k >= 4:
            c0, c1, c2, c3 = c[k], c[k - 1], c[k - 2], c[k - 3]
            for j in range(n):
                t, a, b = twice[j], newer[j], older[j]
                b = t * a - (b - c0)
                a = t * b - (a - c1)
                b = t * a - (b - c2)
                newer[j], older[j] = t * b - (a - c3), b
            k -= 4
        for j in range(n):
            out[start + j] = first + u[start + j] * ((u[start + j] - 1) * newer[j] - (older[j] - c[0]))


def sum_mixed(series: np.ndarray, left: Array, right: Array, y: Array) -> Array:
    """Sum of series[k, i, j] T_k(y) left_i right_j, by Clenshaw's recurrence in y.

    For left (N1, p), right (N2, q) and y (N1, N2) all pairs of rows, for y (N,) row by row.
    """
    place = home(y)
    xp = place.xp
    sizes = np.abs(series)
    large = sizes > np.max(sizes) * place.eps / 4.0
    extents = zip(_extents(large, 2).tolist(), _extents(large, 1).tolist(), strict=True)
    shares = [share[:p, :q] for share, (p, q) in zip(series, extents, strict=True)]
    # In float32 most of a series that was made for float64 is below rounding.
    shares = shares[: 1 + max((k for k, share in enumerate(shares) if share.size), default=0)]
    compiler = compiler_for(y)
    if compiler is not None and compiler.sum_mixed is not None:
        return compiler.sum_mixed(shares, left, right, y)
    if y.ndim == 2 and numba_loops.compiles(y):
        return _sum_mixed_on_host(shares, left, right, y)

    def coefficient(share: np.ndarray) -> Array:
        p, q = share.shape
        mixed = left[:, :p] @ place.asarray(share)
        return mixed @ right[:, :q].T if y.ndim == 2 else xp.sum(mixed * right[:, :q], axis=1)

    newer, older = xp.zeros_like(y), xp.zeros_like(y)
    for share in shares[:0:-1]:
        newer, older = coefficient(share) + 2.0 * y * newer - older, newer
    return coefficient(shares[0]) + y * newer - older


def _extents(large: np.ndarray, axis: int) -> np.ndarray:
    """How many rows (axis 2) or columns (axis 1) of each matrix there are up to the last that has a large entry."""
    found = np.any(large, axis=axis)
    return np.where(np.any(found, axis=1), found.shape[1] - np.argmax(found[:, ::-1], axis=1), 0)


def _sum_mixed_on_host(shares: list[np.ndarray], left: np.ndarray, right: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row by row: a row of ``left`` turns each share into a series in ``right``, four terms of which are summed at
    once."""
    counts = np.asarray([-(-share.shape[1] // 4) * 4 for share in shares])  # rounded up, with zeros
    mixed = np.zeros((y.shape[0], int(np.sum(counts))), dtype=y.dtype)
    for share, stop, count in zip(shares, np.cumsum(counts), counts, strict=True):
        p, q = share.shape
        mixed[:, stop - count : stop - count + q] = left[:, :p] @ share.astype(y.dtype)
    columns = np.zeros((int(np.max(counts)), y.shape[1]), dtype=y.dtype)
    columns[: right.shape[1]] = right.T[: len(columns)]
    out = np.empty_like(y)
    _mixed_sum_loop(counts, mixed, columns, y, out)
    return out


@numba_loops.jit
def _mixed_sum_loop(counts: np.ndarray, mixed: np.ndarray, columns: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    twice, newer, older = np.empty(LANES, y.dtype), np.empty(LANES, y.dtype), np.empty(LANES, y.dtype)
    for start in range(0, y.shape[1], LANES):
        n = min(LANES, y.shape[1] - start)
        for i in range(y.shape[0]):
            for j in range(n):
                twice[j], newer[j], older[j] = 2 * y[i, start + j], 0, 0
            at = mixed.shape[1]
            for k in range(counts.size - 1, -1, -1):
                for j in range(n):
                    newer[j], older[j] = twice[j] * newer[j] - older[j], newer[j]
                at -= counts[k]
                for b in range(0, counts[k], 4):
                    m0, m1, m2, m3 = (
                        mixed[i, at + b],
                        mixed[i, at + b + 1],
                        mixed[i, at + b + 2],
                        mixed[i, at + b + 3],
                    )
                    c0, c1 = columns[b, start : start + n], columns[b + 1, start : start + n]
                    c2, c3 = columns[b + 2, start : start + n], columns[b + 3, start : start + n]
                    for j in range(n):
                        newer[j] += (m0 * c0[j] + m1 * c1[j]) + (m2 * c2[j] + m3 * c3[j])
            for j in range(n):
                out[i, start + j] = newer[j] - y[i, start + j] * older[j]
