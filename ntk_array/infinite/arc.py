"""The angle t and what the arc-cosine kernels make of it, as functions of m = 1 - cos t for 0 <= t <= pi / 2.

    t = sqrt(2 m) Q(m)   and   sin t - t cos t = m sqrt(2 m) P(m)

with functions P and Q that are smooth up to m = 2. So no digit of a small angle is lost, and there is neither a
division nor an inverse function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._array.namespace import Array, home

__all__ = ["arc", "versines_of_abs"]

TERMS = {4: (6, 6), 8: (17, 19)}
"""The number of terms of P and of Q, by the size of a number in bytes."""
FEW = (1 + np.sqrt(0.5)) / 2, (1 - np.sqrt(0.5)) / 2
"""The middle of the values of cos(t / 2) and how far they are from it."""


def _coefficients(itemsize: int) -> tuple[tuple[float, ...], ...]:
    """Those of P and Q in powers of the variable of :func:`arc`, from Chebyshev series made in extended precision."""
    n = 64
    theta = np.arccos(np.longdouble(-1)) * (np.arange(n) + 0.5) / n
    # By the variable m = (1 + u) / 2, or by 1 - m / 2 = cos(t / 2)^2.
    half = FEW[0] + FEW[1] * np.cos(theta)
    m = 2 * (1 - half) * (1 + half) if itemsize == 4 else (1 + np.cos(theta)) / 2
    angle = 2 * np.arcsin(np.sqrt(m / 2))
    q = angle / np.sqrt(2 * m)
    # Near m = 0 the difference cancels, and sin t - t cos t = sum over k of (-1)^(k + 1) t^(2 k + 1) 2 k / (2 k + 1)!.
    share, term = np.zeros_like(m), angle.copy()
    for k in range(1, 16):
        term = -term * angle * angle / (2 * k * (2 * k + 1))
        share = share - 2 * k * term
    p = share / (m * np.sqrt(2 * m))
    found = []
    for values, count in zip((p, q), TERMS[itemsize], strict=True):
        series = 2 * np.cos(np.outer(np.arange(count), theta)) @ values / n
        series[0] /= 2
        powers = np.polynomial.chebyshev.cheb2poly(series)
        scale = FEW[1] if itemsize == 4 else 1.0
        found.append(tuple((powers / scale ** np.arange(count)).astype(float).tolist()))
    return tuple(found)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    *rest, total = coefficients
    for c in reversed(rest):
        total = total * x + c
    return total


def arc(m: Array, itemsize: int) -> tuple[Array, Array]:
    """t and sin t - t cos t, for numbers of ``itemsize`` bytes.

    In cos(t / 2) P and Q need few terms, because the singularity at t = 2 pi is far away: it is worth a second root in
    float32. In float64 a root takes longer than the terms that it would save, and P and Q are functions of 2 m - 1.
    """
    xp, shares = home(m).xp, list[Array]()
    root = xp.sqrt(2.0 * m)
    if itemsize == 4:
        v = xp.sqrt(1.0 - 0.5 * m) - float(FEW[0])
        shares = [_horner(part, v) for part in _coefficients(itemsize)]
    else:
        u = 2.0 * m - 1.0
        square = u * u
        for coefficients in _coefficients(itemsize):
            # Even and odd powers by themselves: two short chains of operations run side by side, a long one does not.
            even, odd = (_horner(part, square) for part in (coefficients[::2], coefficients[1::2]))
            shares.append(even + u * odd)
    p, q = shares
    return root * q, m * (root * p)


def versines_of_abs(h: Array, g: Array | None, itemsize: int) -> tuple[Array, Array, Array]:
    """Of |u| for u with 1 - cos t = h and 1 + cos t = g: the same, and pi / 2 - t, which is asin of the correlation.

    g is None where t is known to be at most pi / 2, up to rounding: the series go on smoothly behind that.

    E |u| |v| = (2 / pi) (sin t + (pi / 2 - t) cos t) for unit variances (Cho and Saul 2009, eq. 6).
    """
    xp = home(h).xp
    m: Any = h if g is None else xp.where(h <= g, h, g)
    angle, share = arc(m, itemsize)
    toward = np.pi / 2 - angle
    after = xp.clip(m - (2 / np.pi) * share, min=0.0)
    return after, 2.0 - after, toward if g is None else xp.where(h <= g, toward, -toward)
