"""Angles between two functions, to full accuracy near 0 and pi.

A kernel of a network with kinks has a kink at angle 0. A cosine that is known to rounding gives only half of the digits
of a small angle, so the sine travels through the layers beside the covariances: its relative error stays at rounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .._array.namespace import Array, home

__all__ = ["Term", "cosine_of", "over_root", "sine_of_cosine", "sine_of_sum", "versines"]


class Term(NamedTuple):
    """A term of a sum for each input of two batches: variances, 1 - cos t and 1 + cos t of their angle t."""

    k11: Array
    k22: Array
    minus: Array | float
    plus: Array | float


def over_root(k: Array) -> Array:
    """1 / sqrt(k), and 0 for 0."""
    xp = home(k).xp
    return xp.where(k > 0, 1.0 / xp.sqrt(xp.where(k > 0, k, 1.0)), 0.0)


def cosine_of(k12: Array, k11: Array, k22: Array) -> Array:
    """The cosine of the angle; a zero row is orthogonal to everything."""
    return k12 * over_root(k11) * over_root(k22)


def sine_of_cosine(k12: Array, k11: Array, k22: Array) -> Array:
    """The sine of the angle, to half of its digits where it is small."""
    cosine = cosine_of(k12, k11, k22)
    xp = home(cosine).xp
    return xp.sqrt(xp.clip((1.0 - cosine) * (1.0 + cosine), min=0.0))


def versines(cosine: Array, sine: Array) -> tuple[Array, Array, Array]:
    """1 - |cos t|, 1 - cos t and 1 + cos t, each without cancellation."""
    size = home(sine).xp.abs(cosine)
    small = sine * sine / (1.0 + size)
    return small, small + (size - cosine), small + (size + cosine)


def sine_of_sum(terms: Sequence[Term], means: Sequence[tuple[Array, Array]], a: Array, b: Array) -> Array:
    """The sine of the angle T between two sums of functions, of variances A and B.

    A term of one sum is correlated with its own partner in the other, and with the rest at most through means. With
    r1 = s1 / sqrt(A) and r2 = s2 / sqrt(B) for the standard deviations of each pair of partners, at an angle t,

        1 - cos T = sum r1 r2 (1 - cos t) + (r1 - r2)^2 / 2,

    half of the squared distance of the two sums, each divided by its norm. The right side has positive terms only, so
    that no digit of a small angle T is lost. The same with 1 + cos t gives 1 + cos T, and both give the sine.

    ``means`` are those of correlated terms, over features. With d = m1 / sqrt(A) - m2 / sqrt(B), they add
    ((sum d)^2 - sum d^2) / 2 to 1 - cos T; with the sums in place of the differences, the same to 1 + cos T.
    """
    over1, over2 = over_root(a), over_root(b)
    xp = home(over1).xp
    less, more = [], []
    for term in terms:
        r1, r2 = xp.sqrt(term.k11) * over1, xp.sqrt(term.k22) * over2
        both, gap = r1 * r2, r1 - r2
        half = 0.5 * gap * gap
        less.append(half + both * term.minus)
        more.append(half + both * term.plus)
    if means:
        for shares, sign in ((less, -1.0), (more, 1.0)):
            moves = [m1 * over1 + sign * (m2 * over2) for m1, m2 in means]
            total = sum(moves[1:], moves[0])
            shares.append(0.5 * (total * total - sum(d * d for d in moves)))
    less, more = (sum(shares[1:], shares[0]) for shares in (less, more))
    if means:  # rounding of the differences above
        less, more = xp.clip(less, min=0.0), xp.clip(more, min=0.0)
    # Where a row is zero all ratios are, and it is orthogonal to everything.
    return xp.where(over1 * over2 > 0, xp.sqrt(less * more), 1.0)
