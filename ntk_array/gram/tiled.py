"""What a kernel must offer for its Gram matrices to be computed in tiles, and one tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from .._array.kinds import Kind, as_matrix
from .._array.namespace import Array, Home, home

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Costs", "Tile", "Tiled", "compute", "cuts", "joined", "named", "part", "tile_count", "tiles_of"]


@dataclass(frozen=True)
class Costs:
    """What blocks of a kernel take, known without computing any.

    Attributes
    ----------
    home : Home
        The library, dtype and device of kernel values.
    outputs : int
        C; 1 for a scalar kernel.
    entry : int
        Bytes that exist at once for each pair of inputs while a block is computed, from above.
    input : int
        Bytes that are prepared for each input.
    least : int, optional
        The number of pairs of inputs that make a block large enough to be computed by itself, where it is small because
        each pair takes long.
    """

    home: Home
    outputs: int
    entry: int
    input: int
    least: int | None = None


@runtime_checkable
class Tiled(Protocol):
    """A kernel, as far as assembly knows it; :class:`ntk_array.Kernel` is one."""

    @property
    def kind(self) -> Kind:
        """The shape of its blocks."""

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """The inputs, or an error that says what is wrong with them."""

    def specialized(self, x1: Array, x2: Array | None) -> Tiled:
        """A faster equivalent of this kernel, valid for these inputs only."""

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """What blocks of these inputs take."""

    def prepare(self, x: Array) -> Any:
        """What the blocks of one batch share: lists and tuples of arrays, see :func:`part`."""

    def prepared_block(self, prepared1: Any, prepared2: Any | None) -> Array:
        """The block of inputs that were prepared; None means that both are the same batch."""

    @property
    def is_average(self) -> bool:
        """Whether its values are means over kernels that are costly to make: then :meth:`averaged` is asked."""

    def averaged(self, matrix: Callable[[Tiled], Array], x: Array) -> Array:
        """The mean of the matrices of its kernels for inputs like x, given what makes the matrix of one."""


class Tile(NamedTuple):
    """Rows and columns of a Gram matrix, counted in inputs, that are computed as one block.

    A tile on the diagonal is a block of one batch with itself. A mirrored one stands for the tile across the diagonal
    too.
    """

    rows: slice
    columns: slice
    diagonal: bool
    mirrored: bool


def tiles_of(inputs: tuple[int, int], side: tuple[int, int], symmetric: bool) -> Iterator[Tile]:
    """The tiles of a matrix between so many inputs, of so many rows and columns each, row by row.

    Where the matrix is symmetric only those on the diagonal and above it.
    """
    for rows in cuts(0, inputs[0], side[0]):
        for columns in cuts(rows.start if symmetric else 0, inputs[1], side[1]):
            # A tile on the diagonal is symmetric itself; those above it stand for two.
            diagonal = symmetric and rows == columns
            yield Tile(rows, columns, diagonal, symmetric and not diagonal)


def tile_count(inputs: tuple[int, int], side: tuple[int, int], symmetric: bool) -> int:
    """How many of them there are."""
    # Rounded up: the last tile of a row may be smaller.
    rows, columns = (-(-n // length) for n, length in zip(inputs, side, strict=True))
    return rows * (rows + 1) // 2 if symmetric else rows * columns


def cuts(start: int, n: int, side: int) -> Iterator[slice]:
    """The inputs from ``start`` on, ``side`` at a time."""
    return (slice(i, min(i + side, n)) for i in range(start, n, side))


def compute(kernel: Tiled, rows: Any, columns: Any, tile: Tile) -> Array:
    """One tile of the Gram matrix of a kernel, from what it prepared of the inputs of its rows and of its columns."""
    with named(tile.rows, tile.columns):
        return as_matrix(kernel.kind, kernel.prepared_block(rows, None if tile.diagonal else columns))


def part(prepared: Any, rows: slice) -> Any:
    """What is prepared of some of the inputs of a batch.

    Every array leads with the inputs, or has length 1 there where it is the same for all of them. None stays None.
    """
    if prepared is None:
        return None
    if isinstance(prepared, list | tuple):
        parts = [part(p, rows) for p in prepared]
        return type(prepared)(*parts) if hasattr(prepared, "_fields") else type(prepared)(parts)
    return prepared if prepared.shape[0] == 1 else prepared[rows, ...]


def joined(parts: Sequence[Any], size: int) -> Any:
    """The reverse of :func:`part`: what is prepared of a batch, from parts of ``size`` inputs each but the last."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, list | tuple):
        own = [joined(each, size) for each in zip(*parts, strict=True)]
        return type(first)(*own) if hasattr(first, "_fields") else type(first)(own)
    # What is the same for all inputs has length 1 in every part.
    if size > 1 and all(one.shape[0] == 1 for one in parts):
        return first
    return home(first).xp.concat(list(parts))


@contextmanager
def named(rows: slice, columns: slice | None = None) -> Iterator[None]:
    """Errors say which tile they come from."""
    try:
        yield
    except Exception as error:
        where = "" if columns is None else f" and columns {columns.start}:{columns.stop}"
        error.add_note(f"in the tile of rows {rows.start}:{rows.stop}{where}")
        raise
