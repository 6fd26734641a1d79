"""How a Gram matrix lies on disk: in blocks, of which each is one chunk of a Zarr array and so one file."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from .._array.kinds import Kind, gram_shape
from .tiled import Tile, tile_count, tiles_of

__all__ = ["Layout", "in_block", "words"]

CHECKSUM_BYTES = 4
LARGEST = 2**62
"""Of any number in a layout, and of their products: more than there is on any disk."""


@dataclass(frozen=True)
class Layout:
    """The blocks of a Gram matrix. Those below the diagonal of a symmetric one are not stored.

    Attributes
    ----------
    kind : str
        "scalar", "classwise" or "full".
    outputs : int
        C; 1 for a scalar kernel.
    inputs : tuple of int
        N1 and N2.
    block : tuple of int
        Inputs in the rows and in the columns of a block; the last ones along each axis may have fewer.
    symmetric : bool
        Whether x2 is x1.
    dtype : str
        "float32" or "float64".

    Raises
    ------
    ValueError
        If these are not the attributes of a layout, as in a file that is damaged.
    """

    kind: Kind
    outputs: int
    inputs: tuple[int, int]
    block: tuple[int, int]
    symmetric: bool
    dtype: str

    def __post_init__(self) -> None:
        pairs = len(self.inputs) == len(self.block) == 2
        counts = (self.outputs, *self.inputs, *self.block)
        whole = all(type(n) is int and n >= 1 for n in counts) and math.prod(counts) <= LARGEST
        known = self.kind in get_args(Kind) and self.dtype in ("float32", "float64") and type(self.symmetric) is bool
        if not (pairs and whole and known and self._fits()):
            raise ValueError(f"no Gram matrix has the layout {self}")

    def _fits(self) -> bool:
        """Whether blocks are no larger than the matrix, and square ones where they are mirrored."""
        (n1, n2), (b1, b2) = self.inputs, self.block
        return b1 <= n1 and b2 <= n2 and (not self.symmetric or (n1 == n2 and b1 == b2))

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Layout":
        """The inverse of ``vars(layout)`` as JSON."""
        given: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in tree.items()}
        return cls(**given)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the matrix, or of the stack of them."""
        return gram_shape(self.kind, *self.inputs, self.outputs)

    @property
    def chunk(self) -> tuple[int, ...]:
        """The shape of a block that is not cut short by the end of the matrix."""
        return gram_shape(self.kind, *self.block, self.outputs)

    @property
    def block_bytes(self) -> int:
        """The numbers of a block that is not cut short."""
        return math.prod(self.chunk) * np.dtype(self.dtype).itemsize

    @property
    def file_bytes(self) -> int:
        """Of the file of a block. Those that are cut short have no smaller files."""
        return self.block_bytes + CHECKSUM_BYTES

    def tiles(self) -> Iterator[Tile]:
        """The blocks that are stored, row by row."""
        return tiles_of(self.inputs, self.block, self.symmetric)

    def __len__(self) -> int:
        """How many blocks are stored."""
        return tile_count(self.inputs, self.block, self.symmetric)

    def number(self, tile: Tile) -> tuple[int, int]:
        """In which row and in which column of blocks a block is."""
        return tile.rows.start // self.block[0], tile.columns.start // self.block[1]

    def tile(self, row: int, column: int) -> Tile:
        """The stored block in this row and in this column of blocks."""
        rows, columns = (
            slice(i * side, min((i + 1) * side, n))
            for i, side, n in zip((row, column), self.block, self.inputs, strict=True)
        )
        diagonal = self.symmetric and row == column
        return Tile(rows, columns, diagonal, self.symmetric and not diagonal)

    def region(self, tile: Tile) -> tuple[slice, ...]:
        """Where a block is in the matrix: of a full kernel, output c of input n is in row n C + c."""
        each = self.outputs if self.kind == "full" else 1
        rows, columns = (slice(each * cut.start, each * cut.stop) for cut in (tile.rows, tile.columns))
        return (*(slice(None) for _ in self.shape[:-2]), rows, columns)

    def entries(self, tile: Tile) -> int:
        """How many entries of the matrix a block gives, with those across the diagonal."""
        rows, columns = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
        return math.prod(gram_shape(self.kind, rows, columns, self.outputs)) * (2 if tile.mirrored else 1)


def words(layout: Layout, tile: Tile) -> str:
    """A block for messages, in rows and columns of the matrix."""
    *_, rows, columns = layout.region(tile)
    return f"rows {rows.start}:{rows.stop} and columns {columns.start}:{columns.stop}"


def in_block(layout: Layout, tile: Tile, folder: str | os.PathLike[str]) -> str:
    """What errors note that come from a block."""
    return f"in the block of {words(layout, tile)} of {os.fspath(folder)}"
