"""Formulas one after the other, some of them many times: what a deep network is to a compiler that makes loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .._array.namespace import Array
from .formula import Formula

__all__ = ["Part", "Stack", "StackFunction"]

StackFunction = Callable[[Sequence[Array], Sequence[Array]], Sequence[Array]]
"""From the arrays (N1, N2) that come in, and for each part and each of its inputs of rows or columns the numbers of all
its times, (times, N1) or (times, N2), to the results (N1, N2)."""


@dataclass(frozen=True)
class Part:
    """A formula that is computed once, or several times in a row.

    Attributes
    ----------
    formula : Formula
        Its inputs are numbers of entries first, then of rows and of columns. Numbers of rows and columns differ from
        one time to the next. Where there is more than one time it has as many results as inputs of entries: results of
        one time are the inputs of the next.
    reads : tuple of int
        The numbers of the entries that the first time starts from; see :class:`Stack`.
    times : int
    """

    formula: Formula
    reads: tuple[int, ...]
    times: int


@dataclass(frozen=True)
class Stack:
    """Parts that run one after the other on each entry, in one pass over arrays.

    Entries are numbered: first those of the arrays (N1, N2) that come in, then the results of each part, in order.

    Attributes
    ----------
    parts : tuple of Part
    arrays : int
        How many arrays (N1, N2) come in.
    results : tuple of int
        The numbers of the entries that become arrays.
    """

    parts: tuple[Part, ...]
    arrays: int
    results: tuple[int, ...]
