"""Infinite-width kernels as polynomials around a pair of inputs: all their derivatives in the inputs, to some order.

Without positions a kernel is a function F(a, b, c) of a = <x, x> / d, b = <x', x'> / d and c = <x, x'> / d. The network
is run on truncated polynomials in (da, db, dc) in place of numbers. The coefficients of the result are the Taylor
coefficients of F, from which the derivatives along any directions of x and x' follow by the chain rule, without
differences and without angles: nothing is singular at x = x'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import Array, home
from .covariance import Covariance
from .inputs import Inputs
from .program import Program
from .stretches import Read

__all__ = ["Along", "Taylor", "Terms", "derivative", "expansion", "highest", "operated"]

Exponents = tuple[int, int, int]


@dataclass(frozen=True)
class Taylor:
    """A polynomial in (da, db, dc), truncated to what m derivatives in x and n in x' depend on.

    One derivative in x lowers the power of da or of dc by one, one in x' that of db or of dc. So the powers (i, j, k)
    that count have i <= m, j <= n and i + j + k <= m + n. All others are dropped, which sums and products allow.

    Attributes
    ----------
    terms : mapping
        Coefficients by powers: arrays that broadcast over pairs of inputs, or numbers. Those that are missing are 0.
    orders : (int, int)
        m and n.
    """

    __array_ufunc__ = None  # NumPy arrays leave products with a polynomial to it

    terms: Mapping[Exponents, Array | float]
    orders: tuple[int, int]

    @property
    def constant(self) -> Array:
        """The coefficient of 1."""
        return self.terms[0, 0, 0]

    def moving(self) -> Taylor:
        """The polynomial less its constant."""
        return replace(self, terms={powers: term for powers, term in self.terms.items() if any(powers)})

    def powers(self) -> list[Taylor]:
        """1, p, p^2, ... for a polynomial p without a constant, up to the last that is not truncated to 0."""
        found = [Taylor({(0, 0, 0): 1.0}, self.orders)]
        while found[-1].terms:
            found.append(found[-1] * self)
        return found[:-1]

    def __add__(self, other: Taylor | float) -> Taylor:
        terms = dict(self.terms)
        for powers, term in other.terms.items() if isinstance(other, Taylor) else [((0, 0, 0), other)]:
            terms[powers] = terms[powers] + term if powers in terms else term
        return replace(self, terms=terms)

    __radd__ = __add__

    def __mul__(self, other: Taylor | Array | float) -> Taylor:
        if not isinstance(other, Taylor):
            return replace(self, terms={powers: term * other for powers, term in self.terms.items()})
        (m, n), terms = self.orders, dict[Exponents, Any]()
        for (i1, j1, k1), one in self.terms.items():
            for (i2, j2, k2), two in other.terms.items():
                powers = i, j, k = i1 + i2, j1 + j2, k1 + k2
                if i <= m and j <= n and i + j + k <= m + n:
                    product = one * two
                    terms[powers] = terms[powers] + product if powers in terms else product
        return replace(self, terms=terms)

    __rmul__ = __mul__

    def placed(self, row: Callable[[Array], Array], second: bool, orders: tuple[int, int]) -> Taylor:
        """A polynomial in da as one in da or, for the second input, in db, with its arrays laid out by ``row``."""
        terms = {(0, i, 0) if second else (i, 0, 0): row(term) for (i, _, _), term in self.terms.items()}
        return Taylor(terms, orders)


def expansion(
    program: Program, one: Inputs, two: Inputs, orders: tuple[int, int], read: Read, paired: bool = False
) -> Taylor:
    """The kernel between two batches (N, d), around each pair (x_i, x'_j), or each pair (x_i, x'_i) if ``paired``.

    Raises
    ------
    ValueError
        If the network has a layer whose limit has no second derivatives, or none that are known here.
    """
    if program.means:
        raise ValueError(
            "the network adds up branches that end in activations, and the means of these are not differentiated in "
            "the inputs here: end each branch with a Dense layer"
        )
    rows = [_variances(program, batch, order) for batch, order in zip((one, two), orders, strict=True)]
    layouts = [(lambda r: r), (lambda r: r)] if paired else [(lambda r: r[:, None]), (lambda r: r[None, :])]
    k11, k22 = (
        [place.placed(layout, second, orders) for place in places]
        for places, layout, second in zip(rows, layouts, (False, True), strict=True)
    )
    xp = home(one.scaled).xp
    k12 = xp.sum(one.scaled * two.scaled, axis=1) if paired else one.scaled @ two.scaled.T
    ntk = Taylor({(0, 0, 0): xp.zeros_like(k12)}, orders) if read == "ntk" else None
    start = Taylor({(0, 0, 0): k12, (0, 0, 1): 1.0}, orders)
    states: list[Any] = [Covariance(start, k11[0], k22[0], ntk)]
    for place, step in enumerate(program.steps, start=1):
        after = step.layer.limit_taylor([states[source] for source in step.sources], step.signals)
        states.append(Covariance(after.k12, k11[place], k22[place], after.ntk))
        for source in program.finished[place]:
            states[source] = None
    result: Taylor = getattr(states[-1], read)
    return result


def _variances(program: Program, batch: Inputs, order: int) -> list[Taylor]:
    """The variances of a batch (N,) at every place, as polynomials in da."""
    variance = batch.variance[:, 0]
    terms = {(0, 0, 0): variance} | ({(1, 0, 0): home(variance).xp.ones_like(variance)} if order else {})
    states = [Covariance.of_pairs(Taylor(terms, (order, 0)), None, None)]
    for step in program.steps:
        after = step.layer.limit_taylor([states[source] for source in step.sources], step.signals)
        states.append(Covariance.of_pairs(after.k12, None, None))
    return [state.k12 for state in states]


class Along(NamedTuple):
    """A derivative D_v^order along a direction v (d,) on the host; the value for order 0, which has none."""

    order: int
    direction: np.ndarray | None = None


Terms = Sequence[tuple[float, Along]]
"""A linear differential operator, as a sum of multiples of derivatives along directions."""


def highest(terms: Terms) -> int:
    """The number of derivatives that an operator takes at most."""
    return max((along.order for _, along in terms), default=0)


def operated(f: Taylor, one: Inputs, two: Inputs, first: Terms, second: Terms, paired: bool = False) -> Array:
    """L^x L'^x' F, from the expansion of F between these batches."""
    total = home(one.x).xp.zeros_like(f.constant)
    for factor1, along1 in first:
        for factor2, along2 in second:
            total = total + factor1 * factor2 * derivative(f, one, two, along1, along2, paired)
    return total


def derivative(f: Taylor, one: Inputs, two: Inputs, first: Along, second: Along, paired: bool = False) -> Array:
    """D_v^p D_w^q F, v acting on x and w on x', from the expansion of F between these batches.

    The coefficient of s^p t^q, times p! q!, at x + s v and x' + t w, where with all products divided by d

        da = 2 <x, v> s + <v, v> s^2,    db = 2 <x', w> t + <w, w> t^2,    dc = <x', v> s + <x, w> t + <v, w> s t.
    """
    (p, v), (q, w) = first, second
    rows, columns = _Moves.of(one, v, w), _Moves.of(two, w, v)
    if not paired:
        rows, columns = rows.laid_out((slice(None), None)), columns.laid_out((None, slice(None)))
    both = 0.0 if v is None or w is None else float(v @ w) / one.x.shape[1]
    result: Array = 0.0
    for i, degree1, factor1 in rows.powers(p):
        for j, degree2, factor2 in columns.powers(q):
            # What is left of s^p t^q comes from dc^k: h times s t, and s and t for the rest.
            m, n = p - degree1, q - degree2
            for h in range(min(m, n) + 1) if both else (0,):
                k = m + n - h
                if (i, j, k) not in f.terms:
                    continue
                number = math.factorial(k) / (math.factorial(h) * math.factorial(m - h) * math.factorial(n - h))
                row, column = factor1 * columns.other ** (m - h), factor2 * rows.other ** (n - h)
                result = result + f.terms[i, j, k] * (number * both**h * row * column)
    return math.factorial(p) * math.factorial(q) * result


class _Moves(NamedTuple):
    """Products of one batch with directions, all divided by d: 2 <x, v>, <v, v> and <x, w>.

    v moves this batch, w the other one.
    """

    own: Array | float
    square: float
    other: Array | float

    @classmethod
    def of(cls, batch: Inputs, own: np.ndarray | None, other: np.ndarray | None) -> _Moves:
        here, d = home(batch.scaled), batch.x.shape[1]

        def products(v: np.ndarray | None) -> Array | float:
            return 0.0 if v is None else batch.scaled @ here.asarray(v / d**0.5)

        return cls(2.0 * products(own), 0.0 if own is None else float(own @ own) / d, products(other))

    def laid_out(self, index: tuple[slice | None, slice | None]) -> _Moves:
        own, other = (part if isinstance(part, float) else part[index] for part in (self.own, self.other))
        return self._replace(own=own, other=other)

    def powers(self, order: int) -> list[tuple[int, int, Array | float]]:
        """The parts of 1, da and da^2 up to s^order: the power of da, that of s, and the factor."""
        parts = [(0, 0, 1.0), (1, 1, self.own), (1, 2, self.square), (2, 2, self.own * self.own)]
        return [part for part in parts if part[1] <= order]
