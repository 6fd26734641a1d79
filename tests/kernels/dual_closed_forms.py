"""Functions whose duals are known in closed form, as a user writes them, beside the closed forms in mpmath.

A closed form takes k11, k12 and k22, and gives E[f(u) f(v)] and E[f'(u) f'(v)] for (u, v) ~ N(0, K).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import mpmath
import numpy as np
from mpmath import mpf

from ntk_array import nn

Pair = tuple[mpf, mpf]


class Known(NamedTuple):
    """An activation without a closed form in the package, its dual, and the standard deviations that it bears."""

    activation: nn.Elementwise
    dual: Callable[[mpf, mpf, mpf], Pair]
    largest: float


def tail(x: mpf) -> mpf:
    """P(z > x) for a standard normal z."""
    return mpmath.erfc(x / mpmath.sqrt(2)) / 2


def density(x: mpf) -> mpf:
    return mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)


def both_above(h: mpf, k: mpf, c: mpf, q: mpf) -> mpf:
    """P(x > h, y > k) for the correlation c and q = sqrt(1 - c^2): Sheppard's integral over the angle."""
    if q == 0:
        return tail(max(h, k)) if c > 0 else max(tail(h) - tail(-k), mpf(0))
    end = mpmath.atan2(c, q)
    if h == 0 and k == 0:
        return mpf(1) / 4 + end / (2 * mpmath.pi)

    def integrand(t: mpf) -> mpf:
        return mpmath.exp(-(h * h + k * k - 2 * h * k * mpmath.sin(t)) / (2 * mpmath.cos(t) ** 2))

    # Close to a right angle the integrand falls within an angle of about |h - k|: panels shrink towards the end.
    panels = [end * (1 - mpf(4) ** -i) for i in range(6)] + [end]
    return tail(h) * tail(k) + mpmath.quad(integrand, panels) / (2 * mpmath.pi)


def ramps(h: mpf, k: mpf, c: mpf, q: mpf) -> Pair:
    """E[relu(x - h) relu(y - k)] and P(x > h, y > k), by parts."""
    above = both_above(h, k, c, q)
    if q == 0:
        if c > 0:  # of one variable
            top = max(h, k)
            return (1 + h * k) * tail(top) + (top - h - k) * density(top), above
        # y = -x: between h and -k, where that is not empty.
        if h >= -k:
            return mpf(0), above
        value = (h * k - 1) * (tail(h) - tail(-k)) - k * density(h) - h * density(k)
        return value, above
    corner = q / (2 * mpmath.pi) * mpmath.exp(-(h * h - 2 * c * h * k + k * k) / (2 * q * q))
    sides = h * density(k) * tail((h - c * k) / q) + k * density(h) * tail((k - c * h) / q)
    return (c + h * k) * above - sides + corner, above


def bent_dual(slope: float, bends: Sequence[tuple[float, float]], k11: mpf, k12: mpf, k22: mpf) -> Pair:
    """Of slope x + sum_i w_i relu(x - c_i)."""
    s1, s2 = mpmath.sqrt(k11), mpmath.sqrt(k22)
    c = k12 / (s1 * s2)
    q = mpmath.sqrt(max(1 - c * c, mpf(0)))
    if q < mpf(10) ** -(mpmath.mp.dps // 2 - 2):  # inputs with themselves
        c, q = mpmath.sign(c), mpf(0)
    value, derivative = slope * slope * k12, mpf(slope) ** 2
    for w, place in bends:
        for s in (s1, s2):  # E[u relu(v - c)] = k12 P(v > c), by Stein's lemma
            above = slope * w * tail(place / s)
            value, derivative = value + k12 * above, derivative + above
        for v, other in bends:
            ramp, above = ramps(place / s1, other / s2, c, q)
            value, derivative = value + w * v * s1 * s2 * ramp, derivative + w * v * above
    return value, derivative


def bent(slope: float, bends: Sequence[tuple[float, float]], declared: bool = True) -> Known:
    def f(xp, x):
        return slope * x + sum(w * xp.clip(x - c, min=0.0) for w, c in bends)

    def prime(xp, x):
        return slope + sum(w * xp.astype(x > c, x.dtype) for w, c in bends)

    kinks = tuple(c for _, c in bends) if declared else ()
    name = f"{slope:.3g} x + " + " + ".join(f"{w:.3g} relu(x - {c:.3g})" for w, c in bends)
    return Known(nn.Elementwise(f, prime, kinks, name), partial(bent_dual, slope, bends), 5.0)


def exponential(a: float) -> Known:
    def dual(k11: mpf, k12: mpf, k22: mpf) -> Pair:
        value = mpmath.exp(mpf(a) ** 2 * ((k11 + k22) / 2 + k12))
        return value, mpf(a) ** 2 * value

    activation = nn.Elementwise(lambda xp, x: xp.exp(a * x), lambda xp, x: a * xp.exp(a * x), (), f"exp({a:.3g} x)")
    return Known(activation, dual, 2.0 / abs(a))


def hermite(coefficients: Sequence[float], s: mpf) -> list[mpf]:
    """sqrt(k!) times the coefficients of sum_j p_j (s x)^j in the Hermite polynomials He_k(x)."""
    out = [mpf(0)] * len(coefficients)
    for j, p in enumerate(coefficients):
        for m in range(j // 2 + 1):
            k = j - 2 * m
            out[k] += mpf(p) * s**j * mpmath.factorial(j) / (2**m * mpmath.factorial(m) * mpmath.factorial(k))
    return [a * mpmath.sqrt(mpmath.factorial(k)) for k, a in enumerate(out)]


def polynomial(coefficients: Sequence[float]) -> Known:
    """sum_j p_j x^j, j = 0, 1, ..."""
    slopes = [j * p for j, p in enumerate(coefficients)][1:]

    def horner(powers, xp, x):
        out = powers[-1] * xp.ones_like(x)
        for p in powers[-2::-1]:
            out = out * x + p
        return out

    def dual(k11: mpf, k12: mpf, k22: mpf) -> Pair:
        s1, s2 = mpmath.sqrt(k11), mpmath.sqrt(k22)
        c = k12 / (s1 * s2)
        parts = (zip(hermite(p, s1), hermite(p, s2), strict=True) for p in (coefficients, slopes))
        value, slope = (mpmath.fsum(a * b * c**k for k, (a, b) in enumerate(pairs)) for pairs in parts)
        return value, slope

    name = "polynomial " + ", ".join(f"{p:.3g}" for p in coefficients)
    return Known(nn.Elementwise(partial(horner, coefficients), partial(horner, slopes), (), name), dual, 3.0)


def wave_dual(w: float, shift: float, k11: mpf, k12: mpf, k22: mpf) -> Pair:
    """Of sin(w x + shift): half the difference of the cosines of u - v and u + v, and half their sum."""
    square = mpf(w) ** 2
    minus = mpmath.exp(-square * (k11 + k22 - 2 * k12) / 2)
    plus = mpmath.cos(2 * mpf(shift)) * mpmath.exp(-square * (k11 + k22 + 2 * k12) / 2)
    return (minus - plus) / 2, square * (minus + plus) / 2


def cosine_dual(k11: mpf, k12: mpf, k22: mpf) -> Pair:
    """Of cos, which is the derivative of sin, and whose own is its negative."""
    value, slope = wave_dual(1.0, 0.0, k11, k12, k22)
    return slope, value


def wave(w: float, shift: float) -> Known:
    activation = nn.Elementwise(
        lambda xp, x: xp.sin(w * x + shift),
        lambda xp, x: w * xp.cos(w * x + shift),
        (),
        f"sin({w:.3g} x + {shift:.3g})",
    )
    return Known(activation, partial(wave_dual, w, shift), 4.0 / w)


def step_dual(a: float, k11: mpf, k12: mpf, k22: mpf) -> Pair:
    """Of erf(a x) (Williams 1997)."""
    g = 2 * mpf(a) ** 2
    c = g * k12 / mpmath.sqrt((1 + g * k11) * (1 + g * k22))
    det = (1 + g * k11) * (1 + g * k22) - (g * k12) ** 2
    return 2 / mpmath.pi * mpmath.asin(c), 4 * mpf(a) ** 2 / mpmath.pi / mpmath.sqrt(det)


def smooth_step(a: float) -> Known:
    inner = nn.Erf()
    activation = nn.Elementwise(
        lambda xp, x: inner.function(xp, a * x), lambda xp, x: a * inner.derivative(xp, a * x), (), f"erf({a:.3g} x)"
    )
    return Known(activation, partial(step_dual, a), 20.0 / a)


def ramp_dual(a: float, k11: mpf, k12: mpf, k22: mpf) -> Pair:
    """Of x Phi(a x), which is GELU for a = 1, by Stein's lemma."""
    k11, k12, k22 = (mpf(a) ** 2 * k for k in (k11, k12, k22))
    one, two = 1 + k11, 1 + k22
    root = mpmath.sqrt(one * two - k12**2)
    both = mpf(1) / 4 + mpmath.asin(k12 / mpmath.sqrt(one * two)) / (2 * mpmath.pi)
    rest = k11 * k22 - k12**2 + k12**2 * (1 / one + 1 / two)
    cross = k12 * (1 / one + 1 / two + 1 / root**2) / (2 * mpmath.pi * root)
    return (k12 * both + rest / (2 * mpmath.pi * root)) / mpf(a) ** 2, both + cross


def smooth_ramp(a: float) -> Known:
    inner = nn.GELU()
    activation = nn.Elementwise(
        lambda xp, x: inner.function(xp, a * x) / a, lambda xp, x: inner.derivative(xp, a * x), (), f"x Phi({a:.3g} x)"
    )
    return Known(activation, partial(ramp_dual, a), 10.0 / a)


def bump(a: float) -> Known:
    """exp(-a x^2)."""

    def dual(k11: mpf, k12: mpf, k22: mpf) -> Pair:
        g = 2 * mpf(a)
        det = (1 + g * k11) * (1 + g * k22) - (g * k12) ** 2
        value = 1 / mpmath.sqrt(det)
        return value, g * g * value * k12 / det

    activation = nn.Elementwise(
        lambda xp, x: xp.exp(-a * x * x), lambda xp, x: -2.0 * a * x * xp.exp(-a * x * x), (), f"exp(-{a:.3g} x^2)"
    )
    return Known(activation, dual, 10.0 / a**0.5)


def drawn(rng: np.random.Generator) -> Known:
    """A function at random: growing, oscillating, kinked or saturating."""
    a = float(np.exp(rng.normal(0.0, 0.5)))
    match int(rng.integers(8)):
        case 0:
            return exponential(0.5 * a)
        case 1:
            return polynomial([float(p) for p in rng.normal(size=int(rng.integers(3, 7)))])
        case 2 | 3:
            return wave(3.0 * a, float(rng.choice([0.0, rng.uniform(0.0, 3.0)])))
        case 4:
            return bent(float(rng.choice([0.0, -0.5, 0.2])), [(1.0, 0.0)])
        case 5:
            first, width = float(rng.normal()), float(rng.exponential())
            bends = [(1.0, first), (-1.0, first + width)]  # levels off beyond the second
            return bent(float(rng.choice([0.0, 0.2])), bends[: int(rng.integers(1, 3))])
        case 6:
            return smooth_step(a) if rng.random() < 0.5 else bump(0.5 * a)
    return smooth_ramp(a)
