"""Chebyshev series: made on the host in float64, summed on any library."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from . import numba_loops
from .compilers import apply
from .namespace import Array, home

__all__ = ["adaptive_series", "points", "sum_series", "to_coefficients"]

TILE = 2**15  # numbers that are summed at once on the host: few enough for a cache, enough that threads do not wait
LANES = 256  # numbers that are summed at once by a compiled loop, with their temporaries in the nearest cache


def points(low: float, high: float, n: int) -> np.ndarray:
    """The n Chebyshev points of an interval."""
    return (low + high) / 2 + (high - low) / 2 * np.cos(math.pi * (np.arange(n) + 0.5) / n)


def to_coefficients(samples: np.ndarray) -> np.ndarray:
    """Values at Chebyshev points to Chebyshev coefficients, along every axis."""
    from scipy.fft import dctn

    coefficients = dctn(samples, type=2) / np.prod(samples.shape)
    for axis in range(samples.ndim):
        np.moveaxis(coefficients, axis, 0)[0] /= 2
    return np.asarray(coefficients)


def adaptive_series(function: Callable[[np.ndarray], np.ndarray], tolerance: float, most: int) -> np.ndarray | None:
    """Coefficients of a function on [-1, 1], or None where ``most`` terms do not reach the tolerance.

    The tolerance is relative to the largest value, and holds for each coefficient: terms are added until the last
    quarter of them is below it, and all behind the last one that is not are dropped.
    """
    n = 16
    while n <= most:
        values = function(points(-1.0, 1.0, n))
        coefficients, scale = to_coefficients(values), float(np.max(np.abs(values))) or 1.0
        small = np.abs(coefficients) <= tolerance * scale
        if np.all(small[-n // 4 :]):
            return coefficients[: 1 + max(np.flatnonzero(~small), default=0)]
        n += n // 2
    return None


def sum_series(coefficients: np.ndarray, x: Array) -> Array:
    """Sum of coefficients[k] T_k(x) for x in [-1, 1], by Clenshaw's recurrence."""
    if isinstance(x, np.ndarray):
        return _sum_on_host(coefficients.astype(x.dtype), x)
    return apply(_Clenshaw(tuple(coefficients.tolist())), x)


@dataclass(frozen=True)
class _Clenshaw:
    """The recurrence as elementwise code."""

    coefficients: tuple[float, ...]

    def __call__(self, x: Array) -> Array:
        newer, older = home(x).xp.zeros_like(x), 0.0
        twice = 2.0 * x
        for c in self.coefficients[:0:-1]:
            newer, older = twice * newer + (c - older), newer
        return x * newer + (self.coefficients[0] - older)


def _sum_on_host(c: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The same, compiled for large arrays, or else in place and in tiles."""
    flat, out = x.reshape(-1), np.empty(x.size, dtype=x.dtype)
    if x.size >= numba_loops.ENOUGH and numba_loops.available():
        padding = np.zeros((1 - c.size) % 4, dtype=x.dtype)  # four terms are summed at once
        _compiled_sum()(np.concatenate([c, padding]), flat, out)
    else:
        _sum_in_tiles(c, flat, out)
    return out.reshape(x.shape)


def _sum_in_tiles(c: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    buffers = np.empty((3, min(TILE, x.size)), dtype=x.dtype)
    for start in range(0, x.size, TILE):
        tile, result = x[start : start + TILE], out[start : start + TILE]
        newer, older, twice = buffers[:, : tile.size]
        newer[:], older[:] = 0, 0
        np.multiply(tile, 2, out=twice)
        for k in range(len(c) - 1, 0, -1):
            # older <- twice * newer - older + c_k, and the two change places
            np.subtract(c[k], older, out=older)
            np.multiply(twice, newer, out=result)
            older += result
            newer, older = older, newer
        np.multiply(tile, newer, out=result)
        result -= older
        result += c[0]


@cache
def _compiled_sum() -> Callable[..., None]:
    def loop(c: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
        twice, newer, older = np.empty(LANES, x.dtype), np.empty(LANES, x.dtype), np.empty(LANES, x.dtype)
        for start in range(0, x.size, LANES):
            n = min(LANES, x.size - start)
            for j in range(n):
                twice[j], newer[j], older[j] = 2 * x[start + j], 0, 0
            k = c.size - 1
            while k >= 4:
                c0, c1, c2, c3 = c[k], c[k - 1], c[k - 2], c[k - 3]
                for j in range(n):
                    t, u, v = twice[j], newer[j], older[j]
                    v = t * u - (v - c0)
                    u = t * v - (u - c1)
                    v = t * u - (v - c2)
                    newer[j], older[j] = t * v - (u - c3), v
                k -= 4
            for j in range(n):
                out[start + j] = x[start + j] * newer[j] - (older[j] - c[0])

    return numba_loops.jit(loop)
