"""The damped oscillator g'' + friction g' + rate s g = 0 with g(0) = 1, g'(0) = 0, as the filter (1 - g) / s.

With a = friction / 2 and mu^2 = |a^2 - rate s|,

    g = exp(-a t) (cosh(mu t) + a sinh(mu t) / mu)   where a^2 > rate s (overdamped),
    g = exp(-a t) (cos(mu t) + a sin(mu t) / mu)     where a^2 < rate s (underdamped).

1 - g is small at early times, and for small s at all times; near critical damping, mu = 0, both terms are large. So
1 - g is written as a sum of positive terms, none of which is a difference that rounding spoils.
"""

import math
from collections.abc import Callable

import numpy as np

from .._array.namespace import Array, home

__all__ = ["damped_bound", "damped_filter"]

FACTORIALS = [1.0 / math.factorial(k) for k in range(22)]
"""1 / k!."""


def damped_filter(s: Array, rate: float, friction: float, time: float) -> Array:
    """(1 - g) / s at a finite time for s >= 0; its limit at s = 0 is :func:`damped_bound`."""
    xp, a = home(s).xp, 0.5 * friction
    natural = xp.sqrt(rate * s)
    mu = xp.sqrt(xp.abs(a - natural)) * xp.sqrt(a + natural)
    phi = xp.where(natural > a, _underdamped(natural, mu, a, rate, time), _overdamped(s, mu, a, rate, time))
    return xp.where(natural > 0, phi, damped_bound(rate, friction, time))


def damped_bound(rate: float, friction: float, time: float) -> float:
    """rate (t / friction - (1 - exp(-friction t)) / friction^2), or rate t^2 / 2 without friction."""
    if friction * time < 1.0:
        return rate * time * time * _at(_rest, -friction * time)
    return rate * time / friction * _at(_lag, friction * time)


def _overdamped(s: Array, mu: Array, a: float, rate: float, time: float) -> Array:
    """With the slow rate r = a - mu = rate s / (a + mu) and p = r t,

    1 - g = p (exp(-p) (1 - (1 - exp(-2 mu t)) / (2 mu t)) + (1 - (1 + p) exp(-p)) / p).
    """
    xp = home(s).xp
    fast = xp.where(a + mu > 0, a + mu, 1.0)
    p = rate * s / fast * time
    return rate * time / fast * (xp.exp(-p) * _lag(2.0 * time * mu) + _turn(p))


def _underdamped(natural: Array, mu: Array, a: float, rate: float, time: float) -> Array:
    """With A = a t and w = mu t, so that A^2 + w^2 = rate s t^2,

    1 - g = 1 - (1 + A) exp(-A) + exp(-A) (2 sin^2(w / 2) + A (1 - sin(w) / w)).
    """
    # The two shares of rate s keep squares of times out, which overflow. Overdamped entries get numbers without use.
    size = home(natural).xp.where(natural > a, natural, a or 1.0)
    angle, decay = a * time, math.exp(-a * time)
    damped = rate * (time / a) * _at(_turn, angle) if angle else 0.0
    half = _sinc(0.5 * time * mu)
    swing = 0.5 * half * half + angle * _sinc_rest(time * mu)
    return damped * (a / size) ** 2 + rate * decay * time * time * (mu / size) ** 2 * swing


# ---- functions of one number that keep their digits near 0 -----------------------------------------------------------


def _at(function: Callable[[Array], Array], z: float) -> float:
    return float(function(np.asarray([z]))[0])


def _rest(z: Array) -> Array:
    """(exp(z) - 1 - z) / z^2 for |z| <= 1, as the sum of z^k / (k + 2)!."""
    total = 0.0 * z + FACTORIALS[20]
    for k in range(19, 1, -1):
        total = total * z + FACTORIALS[k]
    return total


def _lag(z: Array) -> Array:
    """1 - (1 - exp(-z)) / z for z >= 0."""
    xp = home(z).xp
    small, large = xp.clip(z, max=1.0), xp.where(z < 1.0, 1.0, z)
    return xp.where(z < 1.0, small * _rest(-small), 1.0 + xp.expm1(-large) / large)


def _turn(z: Array) -> Array:
    """(1 - (1 + z) exp(-z)) / z for z >= 0."""
    xp = home(z).xp
    small, large = xp.clip(z, max=1.0), xp.where(z < 1.0, 1.0, z)
    early = small * xp.exp(-small) * _rest(small)
    return xp.where(z < 1.0, early, (1.0 - (1.0 + large) * xp.exp(-large)) / large)


def _sinc(w: Array) -> Array:
    """sin(w) / w."""
    xp = home(w).xp
    positive = w > 0
    safe = xp.where(positive, w, 1.0)
    return xp.where(positive, xp.sin(safe) / safe, 1.0)


def _sinc_rest(w: Array) -> Array:
    """(1 - sin(w) / w) / w^2 for w >= 0."""
    xp = home(w).xp
    square, large = xp.clip(w, max=1.0) ** 2, xp.where(w < 1.0, 1.0, w)
    total = 0.0 * square + FACTORIALS[21]
    for k in range(19, 1, -2):
        total = FACTORIALS[k] - square * total
    return xp.where(w < 1.0, total, (1.0 - xp.sin(large) / large) / large / large)
