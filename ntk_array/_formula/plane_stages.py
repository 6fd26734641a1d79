"""Stages of a convolutional network, which compilers turn into code for planes of pairs of positions.

A stage is what lies between two windows: it sums windows over arrays of planes, and computes the arrays of the next
windows by a formula. What the formula needs of a row (a position of the first input) or a column (one of the second) by
itself is computed before all planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._array.namespace import Array, Home
from .._array.special import WithErf
from .formula import COLUMN, ENTRY, ROW, Formula

__all__ = ["Stage", "kept", "sides_kept", "values_of"]


def kept(formula: Formula, axes: int) -> tuple[int, ...]:
    """The places of the numbers that depend on a row (or a column) only and that entries need."""
    operations = formula.operations
    found = {
        place
        for operation in operations
        if operation.axes == ENTRY and operation.name not in ("input", "constant")
        for place in operation.arguments
        if operations[place].axes == axes and operations[place].name != "constant"
    }
    found |= {p for p in formula.results if operations[p].axes == axes and operations[p].name != "constant"}
    return tuple(sorted(found))


def sides_kept(formula: Formula) -> int:
    """How many numbers of a row, and of a column, there is room for: what stands behind them has a place of its own."""
    return max(1, len(kept(formula, ROW)), len(kept(formula, COLUMN)))


def values_of(formula: Formula, axes: int, arrays: Sequence[Array], here: Home) -> list[Array]:
    """The kept numbers of rows (or columns), from the input arrays of these axes in their order, on any library."""
    values: dict[int, Any] = {}
    own, xp = iter(arrays), WithErf(here.xp)
    for place, operation in enumerate(formula.operations):
        if operation.axes != axes or operation.name == "constant":
            continue
        if operation.name == "input":
            values[place] = next(own)
            continue
        for argument in operation.arguments:
            if argument not in values:
                value = formula.constants[formula.operations[argument].arguments[0]]
                values[argument] = xp.asarray(value, dtype=here.dtype, device=here.device)
        values[place] = getattr(xp, operation.name)(*(values[argument] for argument in operation.arguments))
    return [values[place] for place in kept(formula, axes)]


@dataclass(frozen=True)
class Stage:
    """What the code of a stage depends on.

    Attributes
    ----------
    formula : Formula
        Of entries: first the sums over windows, then those that the grid before has left, then the distances of norms
        of each sum of independent terms, then arrays of planes at the position itself, then what tables give; and of
        rows and columns. Its results are those of the stage, and then for each table the angle that it is asked at,
        which may depend on what earlier tables give.
    windows : tuple of tuples of int
        For each window the numbers of the plane arrays that it sums.
    deficits : tuple of int
        For each window how many of these, from the first on, are s1 s2 - k12 and s1 s2 + k12.
    sizes : tuple of tuples of int
        For each window its size along y and x.
    over : tuple of int
        For each window the number of one over its norm, among the inputs of the formula that rows (or columns) have.
    left : int
        How many sums the grid before has left, which are read.
    distant : tuple of int
        For each group of them that are independent sums, whose distances of norms are wanted, the number of terms.
    points : tuple of int
        The numbers of the plane arrays that are read at the position itself.
    results : tuple of int
        The numbers of the plane arrays that the results are written to.
    tables : tuple of int
        For each tabulated dual activation how many functions of its table are read.
    """

    formula: Formula
    windows: tuple[tuple[int, ...], ...]
    deficits: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    over: tuple[int, ...]
    left: int
    distant: tuple[int, ...]
    points: tuple[int, ...]
    results: tuple[int, ...]
    tables: tuple[int, ...] = ()

    @property
    def given(self) -> int:
        """How many arrays inputs have by themselves, before the modes of tables."""
        return sides_kept(self.formula) + len(self.windows) + sum(self.distant)
