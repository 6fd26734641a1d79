"""How pairs of inputs, and pairs of positions within them, are laid out in the arrays of a state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._array.namespace import Array, home

__all__ = ["PAIRS", "PLAIN", "Frame"]


@dataclass(frozen=True)
class Frame:
    """Which pairs of inputs and of positions the entries of a state stand for, and along which axes.

    With P for the axes of positions, entries are

    ======= ====================== =====================
    .       every pair (p, q)      each p with itself
    ======= ====================== =====================
    blocks  (N1, \\*P, N2, \\*P)      (\\*P, N1, N2)
    pairs   (N, \\*P, \\*P)           (N, \\*P)
    ======= ====================== =====================

    for all pairs of inputs of two batches, or for each input of one batch with itself. All are stacks of matrices,
    whose rows are inputs or positions or both; elementwise layers treat them alike.

    Attributes
    ----------
    count : int
        The number of axes of positions; 0 for inputs without.
    every : bool
        Whether there are entries for every pair of positions.
    blocks : bool
        Whether entries are for all pairs of inputs of two batches.
    """

    count: int = 0
    every: bool = False
    blocks: bool = True

    @property
    def rows(self) -> tuple[int, ...]:
        """The axes of the positions of the first input."""
        first = 0 if self.blocks and not self.every else 1
        return tuple(range(first, first + self.count))

    @property
    def columns(self) -> tuple[int, ...]:
        """The axes of the positions of the second input, which are those of the first where each meets itself."""
        if not self.every:
            return self.rows
        first = self.count + (2 if self.blocks else 1)
        return tuple(range(first, first + self.count))

    def row(self, values: Array) -> Array:
        """What each position of each input of the first batch has, (N, \\*P), to be broadcast over entries."""
        return self._laid_out(values, first=True)

    def column(self, values: Array) -> Array:
        """The same of the second batch."""
        return self._laid_out(values, first=False)

    def _laid_out(self, values: Array, first: bool) -> Array:
        if not self.count:
            return (values[:, None] if first else values[None, :]) if self.blocks else values
        xp, (n, *positions) = home(values).xp, values.shape
        if not self.every:
            if not self.blocks:
                return values
            moved = xp.permute_dims(values, (*range(1, self.count + 1), 0))
            return moved[..., :, None] if first else moved[..., None, :]
        ones = [1] * self.count
        if not self.blocks:
            return xp.reshape(values, (n, *positions, *ones) if first else (n, *ones, *positions))
        return xp.reshape(values, (n, *positions, 1, *ones) if first else (1, *ones, n, *positions))

    def row_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of rows, for entries of this shape."""
        n = self.count
        if self.every:
            return (*shape[: n + 1], *[1] * (len(shape) - n - 1))
        return (*shape[:-1], 1) if self.blocks else tuple(shape)

    def column_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of columns."""
        n = self.count
        if self.every:
            return (*[1] * (n + 1), *shape[n + 1 :]) if self.blocks else (shape[0], *[1] * n, *shape[n + 1 :])
        return (*shape[:-2], 1, shape[-1]) if self.blocks else tuple(shape)

    def values(self, entries: Array) -> Array:
        """Of pairs, what each position of each input has with itself, (N, \\*P): the reverse of :meth:`row`."""
        return self.same(entries) if self.every else entries

    def same(self, entries: Array) -> Array:
        """Of entries for every pair of positions, those of each position with itself; arrays with length 1 along one
        side are taken as they are."""
        xp, n = home(entries).xp, self.count
        if not n:
            return entries
        lead = 2 if self.blocks else 1
        order = (0, n + 1, *self.rows, *self.columns) if self.blocks else (0, *self.rows, *self.columns)
        moved = xp.permute_dims(entries, order)
        one, two = moved.shape[lead : lead + n], moved.shape[lead + n :]
        flat = xp.reshape(moved, (*moved.shape[:lead], math.prod(one), math.prod(two)))
        # Rows and columns have length 1 on the side that they do not depend on.
        if flat.shape[-1] == 1:
            diagonal, positions = flat[..., :, 0], one
        elif flat.shape[-2] == 1:
            diagonal, positions = flat[..., 0, :], two
        else:
            diagonal, positions = xp.linalg.diagonal(flat), one
        diagonal = xp.reshape(diagonal, (*moved.shape[:lead], *positions))
        if not self.blocks:
            return diagonal
        return xp.permute_dims(diagonal, (*range(2, n + 2), 0, 1))

    def beside(self, entries: Array, others: float) -> Array:
        """Of entries of each position with itself, those of every pair: different positions have the value ``others``.
        The reverse of :meth:`same`."""
        here, n = home(entries), self.count
        xp, positions = here.xp, [entries.shape[axis] for axis in self.rows]
        size = math.prod(positions)
        if self.blocks:
            n1, n2 = entries.shape[n:]
            flat = xp.permute_dims(xp.reshape(entries, (size, n1, n2)), (1, 0, 2))[..., None]
            shape, same = (n1, *positions, n2, *positions), here.eye(size)[:, None, :]
        else:
            flat = xp.reshape(entries, (-1, size))[..., None]
            shape, same = (entries.shape[0], *positions, *positions), here.eye(size)
        return xp.reshape(xp.where(same > 0, flat, others), shape)

    def matrices(self, entries: Array) -> Array:
        """Entries, rows or columns as a stack of matrices: (stack, R, C), (stack, R, 1) or (stack, 1, C)."""
        xp, n, shape = home(entries).xp, self.count, entries.shape
        size = math.prod
        if self.every:
            if self.blocks:
                return xp.reshape(entries, (1, size(shape[: n + 1]), size(shape[n + 1 :])))
            return xp.reshape(entries, (shape[0], size(shape[1 : n + 1]), size(shape[n + 1 :])))
        return xp.reshape(entries, (size(shape[:n]), *shape[n:]))


PLAIN, PAIRS = Frame(), Frame(blocks=False)
"""Of inputs without positions: two batches, and inputs with themselves."""
