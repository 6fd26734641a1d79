"""Chebyshev series: made on the host in float64, summed on any library."""

import math
from collections.abc import Callable

import numpy as np

from .namespace import Array, home

__all__ = ["adaptive_series", "points", "sum_series", "to_coefficients"]

TILE = 2**13  # numbers that are summed at once on the host, with their temporaries in the processor's nearest cache


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
        return _sum_in_tiles(coefficients, x)
    xp = home(x).xp
    newer, older = xp.zeros_like(x), xp.zeros_like(x)
    twice = 2.0 * x
    for c in coefficients[:0:-1].tolist():
        newer, older = twice * newer + (c - older), newer
    return x * newer + (float(coefficients[0]) - older)


def _sum_in_tiles(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The same in place, in tiles."""
    flat, out = x.reshape(-1), np.empty(x.size, dtype=x.dtype)
    c = coefficients.astype(x.dtype)
    buffers = np.empty((3, min(TILE, flat.size)), dtype=x.dtype)
    for start in range(0, flat.size, TILE):
        tile = flat[start : start + TILE]
        newer, older, twice = buffers[:, : tile.size]
        newer[:], older[:] = 0, 0
        np.multiply(tile, 2, out=twice)
        for k in range(len(c) - 1, 0, -1):
            # older <- twice * newer - older + c_k, and the two change places
            np.subtract(c[k], older, out=older)
            result = out[start : start + TILE]
            np.multiply(twice, newer, out=result)
            older += result
            newer, older = older, newer
        result = out[start : start + TILE]
        np.multiply(tile, newer, out=result)
        result -= older
        result += c[0]
    return out.reshape(x.shape)
