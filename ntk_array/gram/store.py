"""Gram matrices on disk, as a user reads them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._array.kinds import Kind, as_block
from .._array.namespace import Array, home, to_host
from .._array.validate import finite, real_array
from .._support.progress import progress_sum
from .blocks import Blocks
from .layout import words
from .memory import refuse_without_room
from .selection import by_block, cut, picked
from .spec import Spec
from .tiled import Tile

__all__ = ["Audit", "Store", "open_store"]

DONE = "DONE"
SHOWN = 5
"""So many blocks are named in a message."""


class Audit(NamedTuple):
    """What an audit of a store found.

    Attributes
    ----------
    blocks : int
        How many blocks the matrix has on disk.
    missing, damaged : list of Tile
        Blocks that were not computed yet, and blocks that are not what was written.
    """

    blocks: int
    missing: list[Tile]
    damaged: list[Tile]

    @property
    def whole(self) -> bool:
        """Whether every block is there and is what was written."""
        return not (self.missing or self.damaged)

    def __repr__(self) -> str:
        return f"Audit({self.blocks} blocks, {len(self.missing)} missing, {len(self.damaged)} damaged)"


class Store:
    """A Gram matrix in a folder on disk: what ``ntk_array.gram.assemble(..., store=)`` returns and ``open`` opens.

    Parts of it are read as NumPy arrays, block by block, and never the whole unless it is asked for. Every block that
    is read is compared with its checksum.

    Attributes
    ----------
    path : pathlib.Path
    kind : str
        "scalar", "classwise" or "full", as of the kernel.
    outputs : int
        C; 1 for a scalar kernel.
    shape : tuple of int
        (N1, N2), (C, N1, N2) or (N1 C, N2 C).
    dtype : numpy.dtype
    symmetric : bool
        Whether it was assembled with ``x2=None``. Then only the blocks on the diagonal and above it are on disk.

    Examples
    --------
    >>> import numpy as np, tempfile, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(60, 4))
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = ntk.gram.assemble(K, x, store=folder + "/theta")
    ...     part = store[10:20, [0, 5, 7]]
    ...     product = store @ np.ones(60)
    >>> part.shape, bool(np.allclose(product, K(x).sum(axis=1)))
    ((10, 3), True)
    """

    def __init__(self, path: Path, spec: Spec) -> None:
        self.path, self._spec = path, spec
        self.layout = spec.layout
        self._blocks = Blocks(path, spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self.path,)

    def __repr__(self) -> str:
        state = "finished" if self.finished else "not finished"
        return f"Store({str(self.path)!r}, {self.kind}, {self.shape}, {self.dtype}, {state})"

    @property
    def kind(self) -> Kind:
        """The kind of the kernel."""
        return self.layout.kind

    @property
    def outputs(self) -> int:
        """C; 1 for a scalar kernel."""
        return self.layout.outputs

    @property
    def shape(self) -> tuple[int, ...]:
        """(N1, N2), (C, N1, N2) or (N1 C, N2 C)."""
        return self.layout.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return np.dtype(self.layout.dtype)

    @property
    def symmetric(self) -> bool:
        """Whether it is between a batch and itself."""
        return self.layout.symmetric

    @property
    def finished(self) -> bool:
        """Whether all blocks were there, and were audited, when assembly ended."""
        try:
            with open(self.path / DONE, "rb") as file:
                return file.read(1000) == self._spec.digest.encode()
        except OSError:
            return False

    def described(self) -> dict[str, Any]:
        """What the matrix is, as JSON: the kernel, fingerprints of the inputs, and the layout on disk."""
        return {"store": self._spec.digest, **self._spec.matrix}

    def audit(self, *, progress: bool = False) -> Audit:
        """Read everything, and compare each block with the hash of what was written.

        Nothing is repaired here: the same call of :func:`ntk_array.gram.assemble` that made the store computes the
        blocks again that are damaged or missing.

        Parameters
        ----------
        progress : bool
            Show a bar that counts entries.

        Returns
        -------
        Audit
        """
        found = Audit(len(self.layout), [], [])

        def checked() -> Iterator[int]:
            for tile in self.layout.tiles():
                if not self._blocks.marked(tile):
                    found.missing.append(tile)
                elif not self._blocks.intact(tile):
                    found.damaged.append(tile)
                yield self.layout.entries(tile)

        for _ in progress_sum(checked(), math.prod(self.shape), "audit", " entries", progress):
            pass
        return found

    # ---- parts -----------------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> np.ndarray:
        """``store[rows, columns]``: rows and columns are chosen apart from each other, as by ``numpy.ix_``.

        Each is a whole number, a slice, or a list or array of whole numbers or booleans. Of a class-wise matrix this is
        the part of every output, (C, rows, columns). A block is read once for all rows and columns in it.

        Raises
        ------
        ValueError
            If a block is not computed yet, or damaged; the message says which.
        IndexError
            If there is no such row or column.
        """
        rows, columns = index if isinstance(index, tuple) and len(index) == 2 else (index, slice(None))
        if isinstance(rows, tuple):
            raise IndexError(f"a store has rows and columns, got {len(rows)} indices")
        chosen = picked("rows", rows, self.shape[-2]), picked("columns", columns, self.shape[-1])
        out = self._empty((*self.shape[:-2], *(len(one.numbers) for one in chosen)))
        for at_row, at_column, values in self._pieces(*(one.numbers for one in chosen)):
            out[..., at_row[:, None], at_column] = values
        return out[(..., *(0 if one.single else slice(None) for one in chosen))]

    def array(self) -> np.ndarray:
        """The whole matrix in memory. MemoryError where it does not fit, before anything is read."""
        return self[:, :]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a store is on disk: its array is always a copy")
        return self.array().astype(self.dtype if dtype is None else dtype, copy=False)

    def diagonal(self) -> np.ndarray:
        """Kernel values of each input with itself, (N,), (C, N) or (N, C, C), from the blocks on the diagonal."""
        if not self.symmetric:
            raise ValueError(f"{self!r} is between two batches and has no diagonal")
        parts = []
        for tile in (tile for tile in self.layout.tiles() if tile.diagonal):
            *_, rows, columns = self.layout.region(tile)
            values = self[rows, columns]
            if self.kind == "full":
                # (n, C, n, C) to (C, C, n), and then (n, C, C).
                pairs = as_block(self.kind, values, self.outputs)
                parts.append(np.moveaxis(np.diagonal(pairs, axis1=0, axis2=2), -1, 0))
            else:
                parts.append(np.diagonal(values, axis1=-2, axis2=-1))
        return np.concatenate(parts, axis=0 if self.kind == "full" else -1)

    def __matmul__(self, v: Array) -> Array:
        """The product with v (N2,) or (N2, k), of any library: (N1,) or (N1, k) there.

        Each block is read once, also where it stands for two. A class-wise matrix gives (C, N1) or (C, N1, k); a full
        one takes v of N2 C rows.

        Raises
        ------
        TypeError, ValueError
            If v does not fit, in shape or dtype; ValueError too for blocks that are damaged or not computed yet.
        """
        like = np.empty(0, dtype=self.dtype)
        v = finite("v", real_array("v", v, like=like))
        if v.ndim not in (1, 2) or v.shape[0] != self.shape[-1]:
            raise ValueError(f"v has shape {tuple(v.shape)}; expected ({self.shape[-1]},) or ({self.shape[-1]}, k)")
        host = to_host(v)
        if host.dtype != self.dtype:
            raise TypeError(f"v has dtype {host.dtype}, the store has {self.dtype}; cast v")
        result = self.product(None, None, host if v.ndim == 2 else host[:, None])
        return home(v).asarray(result if v.ndim == 2 else result[..., 0])

    def product(self, rows: np.ndarray | None, columns: np.ndarray | None, v: np.ndarray) -> np.ndarray:
        """``store[rows, columns] @ v`` for row and column numbers, without that part in memory; None stands for all.

        v is (number of columns, k), or (C, number of columns, k) with columns of their own for each output.
        """
        chosen = tuple(
            np.arange(n) if own is None else own for own, n in zip((rows, columns), self.shape[-2:], strict=True)
        )
        out = np.zeros((*self.shape[:-2], len(chosen[0]), v.shape[-1]), dtype=self.dtype)
        for at_row, at_column, values in self._pieces(*chosen):
            out[..., at_row, :] += values @ v[..., at_column, :]
        return out

    def _pieces(self, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The parts of ``store[rows, columns]``, each with its places there; every block is read once."""
        blocks = list(self._needed(rows, columns))
        unfinished = [] if self.finished else [tile for tile, *_ in blocks if not self._blocks.marked(tile)]
        if unfinished:
            named = "; ".join(words(self.layout, tile) for tile in unfinished[:SHOWN])
            more = f"; and {len(unfinished) - SHOWN} more" if len(unfinished) > SHOWN else ""
            raise ValueError(
                f"{self.path} is not finished: the blocks of {named}{more} are not computed yet; call "
                "ntk_array.gram.assemble as before, which goes on from there"
            )
        for tile, own, across in blocks:
            values = self._blocks.read(tile)
            for places, block in ((own, values), (across, np.matrix_transpose(values))):
                if places is not None:
                    (at_row, row), (at_column, column) = places
                    yield at_row, at_column, cut(block, row, column)

    def _needed(self, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[Tile, Any, Any]]:
        """The stored blocks with a part of these rows and columns, and where that is: in the block itself, and in what
        it stands for across the diagonal."""
        by_row, by_column = (
            by_block(own, side) for own, side in zip((rows, columns), self.layout.chunk[-2:], strict=True)
        )
        wanted = {(i, j) for i in by_row for j in by_column}
        stored = {(min(pair), max(pair)) for pair in wanted} if self.symmetric else wanted
        for i, j in sorted(stored):
            across = self.symmetric and i != j and (j, i) in wanted
            yield (
                self.layout.tile(i, j),
                (by_row[i], by_column[j]) if (i, j) in wanted else None,
                (by_row[j], by_column[i]) if across else None,
            )

    def _empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """Memory for a result; MemoryError where there is not enough for it and for a block that is read."""
        needed = math.prod(shape) * self.dtype.itemsize + 2 * self.layout.block_bytes
        what, advice = f"a part of the shape {shape}", "ask for fewer rows or columns, or for store @ v"
        refuse_without_room(needed, home(np.empty(0)), what, advice)
        return np.empty(shape, dtype=self.dtype)


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open the Gram matrix that ``ntk_array.gram.assemble(..., store=path)`` made, or has begun to make.

    Nothing is read but the description of the matrix, and nothing in the folder is executed.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    Store

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no store in it.
    ValueError
        If the description of the matrix is damaged, or from another version.
    """
    folder = Path(path).absolute()
    spec = Spec.read(folder)
    if spec is None:
        raise FileNotFoundError(f"{folder} is not the folder of a Gram matrix")
    store = Store(folder, spec)
    Blocks(folder, spec).check_metadata()
    return store
