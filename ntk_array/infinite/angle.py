"""Angles between two functions, to full accuracy near 0 and pi.

A kernel of a network with kinks has a kink at angle 0. A cosine that is known to rounding gives only half of the digits
of a small angle, so the sine travels through the layers beside the covariances: its relative error stays at rounding.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .._array.namespace import Array, home

__all__ = [
    "Move",
    "Term",
    "cosine_of",
    "over_root",
    "ratio_or_zero",
    "side_of",
    "sine_about_means",
    "sine_of_cosine",
    "sine_of_sum",
    "turn_of_sum",
    "versine",
]


ROOT_HALF = math.sqrt(0.5)


class Term(NamedTuple):
    """A term of a sum for the inputs of two batches: variances, and the cosine and the sine of their angle.

    A random constant has the cosine 1 and no sine.
    """

    k11: Array
    k22: Array
    cosine: Array | float
    sine: Array | None = None


class Move(NamedTuple):
    """How a term changes: the logarithms of its standard deviations, and its angle."""

    log_s1: Array
    log_s2: Array
    turn: Array


def over_root(k: Array) -> Array:
    """1 / sqrt(k), and 0 for 0."""
    xp = home(k).xp
    return xp.where(k > 0, 1.0 / xp.sqrt(xp.where(k > 0, k, 1.0)), 0.0)


def ratio_or_zero(above: Array, below: Array) -> Array:
    """above / below, and 0 where below is not positive."""
    where = home(below).xp.where
    return where(below > 0, above / where(below > 0, below, 1.0), 0.0)


def side_of(k12: Array) -> Array:
    """-1 where a covariance is negative, so that the inputs are nearer to opposite than to equal, and else 1."""
    xp = home(k12).xp
    return xp.where(k12 < 0, -1.0 * xp.ones_like(k12), xp.ones_like(k12))


def cosine_of(k12: Array, k11: Array, k22: Array) -> Array:
    """The cosine of the angle; a zero row is orthogonal to everything."""
    return k12 * over_root(k11) * over_root(k22)


def sine_of_cosine(k12: Array, k11: Array, k22: Array) -> Array:
    """The sine of the angle, to half of its digits where it is small."""
    cosine = cosine_of(k12, k11, k22)
    xp = home(cosine).xp
    return xp.sqrt(xp.clip((1.0 - cosine) * (1.0 + cosine), min=0.0))


def versine(cosine: Array, sine: Array) -> tuple[Array, Array]:
    """1 - |cos t|, without cancellation, and |cos t|."""
    size = home(sine).xp.abs(cosine)
    return sine * sine / (1.0 + size), size


def sine_of_sum(
    terms: Sequence[Term], means: Sequence[tuple[Array, Array]], k12: Array, k11: Array, k22: Array
) -> Array:
    """The sine of the angle T between two sums of functions, of these covariances in all.

    A term of one sum is correlated with its own partner in the other, and with the rest at most through means. With
    r1 = s1 / sqrt(k11) and r2 = s2 / sqrt(k22) for the standard deviations of each pair of partners, at an angle t,

        1 - cos T = sum r1 r2 (1 - cos t) + (r1 - r2)^2 / 2,

    half of the squared distance of the two sums, each divided by its norm. The right side has positive terms only, so
    that no digit of a small angle T is lost. 1 + cos T is the same sum with 1 + cos t. The smaller of the two,
    h = 1 - |cos T|, gives sin T = sqrt(h (2 - h)).

    ``means`` are those of correlated terms, over features. They add ((sum d)^2 - sum d^2) / 2 for the differences
    d = m1 / sqrt(k11) - m2 / sqrt(k22), and for 1 + cos T the same with sums in place of differences.
    """
    over1, over2 = over_root(k11), over_root(k22)
    xp, side = home(k12).xp, side_of(k12)
    h: Array = 0.0  # not a list of shares, which may be many and as large as the result
    for term in terms:
        h = h + _distance(term, over1, over2, side)
    if means:
        moves = [m1 * over1 - side * (m2 * over2) for m1, m2 in means]
        total = sum(moves[1:], moves[0])
        squares = [d * d for d in moves]
        h = h + 0.5 * (total * total - sum(squares[1:], squares[0]))
    # Rounding of differences of squares is the only way to a negative number.
    h = xp.clip(h, min=0.0) if means else h
    return xp.sqrt(h * (2.0 - h))


def sine_about_means(
    term: Term, means: tuple[Array, Array], rests: tuple[Array, Array] | None, k12: Array, k11: Array, k22: Array
) -> Array:
    """The sine of the angle between two functions less constants, which are then of these covariances.

    The functions have the ``means`` m over features and are moved by a, with ``rests`` m - a or none where that is 0.
    1 - cos T is half of the squared distance of the results, each divided by its norm, as in :func:`sine_of_sum`. That
    distance is the one of the functions less that of their means, plus that of the rests.
    """
    over1, over2 = over_root(k11), over_root(k22)
    xp, side = home(k12).xp, side_of(k12)
    h = _distance(term, over1, over2, side)
    for pair, sign in ((means, -0.5), (rests, 0.5)):
        if pair is not None:
            move = pair[0] * over1 - side * (pair[1] * over2)
            h = h + sign * (move * move)
    # A difference of squares may be negative by rounding.
    h = xp.clip(h, min=0.0, max=1.0)
    # A zero row is orthogonal to everything.
    return xp.where(k11 > 0, xp.where(k22 > 0, xp.sqrt(h * (2.0 - h)), 1.0), 1.0)


def turn_of_sum(terms: Sequence[Term], moves: Sequence[Move], k12: Array, k11: Array, k22: Array) -> Array:
    """The change of the angle T of :func:`sine_of_sum`, for uncorrelated terms that change.

    With a = 1 - cos t where cos T is positive and 1 + cos t elsewhere, h = sum r1 r2 a + (r1 - r2)^2 / 2 is small where
    sin T is, and so is every part of its change

        dh = sum d(r1 r2) a +- r1 r2 sin t dt + (r1 - r2) d(r1 - r2) = +- sin T dT.

    The change of k12, divided by sin T, would be rounding divided by rounding near T = 0. Where T is 0, it stays 0.
    """
    over1, over2 = over_root(k11), over_root(k22)
    xp, side = home(k12).xp, side_of(k12)
    roots = [(xp.sqrt(term.k11) * over1, xp.sqrt(term.k22) * over2) for term in terms]
    # d log sqrt(k11) = sum r1^2 d log s1.
    total1 = sum(r1 * r1 * move.log_s1 for (r1, _), move in zip(roots, moves, strict=True))
    total2 = sum(r2 * r2 * move.log_s2 for (_, r2), move in zip(roots, moves, strict=True))
    change: Array = 0.0
    for term, move, (r1, r2) in zip(terms, moves, roots, strict=True):
        d1, d2 = move.log_s1 - total1, move.log_s2 - total2
        change = change + r1 * r2 * (d1 + d2) * _apart(term, side) + (r1 - r2) * (r1 * d1 - r2 * d2)
        change = change + side * r1 * r2 * term.sine * move.turn
    sine = sine_of_sum(terms, [], k12, k11, k22)
    return ratio_or_zero(side * change, sine)


def _distance(term: Term, over1: Array, over2: Array, side: Array) -> Array:
    """Half of the squared distance of a term and its partner, divided by the norms of the sums that they belong to."""
    xp = home(side).xp
    r1, r2 = xp.sqrt(term.k11) * over1, xp.sqrt(term.k22) * over2
    gap = ROOT_HALF * r1 - ROOT_HALF * r2
    return gap * gap + r1 * r2 * _apart(term, side)


def _apart(term: Term, side: Array) -> Array:
    """1 - cos t of a term, or 1 + cos t where the side is -1."""
    if term.sine is None:
        return 1.0 - side
    small, size = versine(term.cosine, term.sine)
    return small + (size - side * term.cosine)
