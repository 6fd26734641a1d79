"""Blocks of matrices on disk: how one is computed, in this process or in another."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._array.description import fingerprint
from .._array.libraries import is_numpy
from .._array.namespace import Array, to_host
from .._support.atomic import PARTIAL, flush
from .blocks import Blocks
from .driver import INPUTS, computed_block, finish_block, keep_block
from .executors import Job, completed
from .matrix import matrix_of
from .plan import validated
from .spec import Spec
from .threads import one_thread_a_product
from .tiled import Tile, Tiled

__all__ = ["Elsewhere", "Here", "OneBlock", "refuse_other_libraries"]


@dataclass(frozen=True)
class OneBlock:
    """What computes blocks of a matrix on disk: called with a tile it gives that part of the matrix, on the host."""

    kernel: Tiled
    x1: Array
    x2: Array | None
    memory: int
    threads: int | None

    def __call__(self, tile: Tile) -> np.ndarray:
        columns = None if tile.diagonal else (self.x1 if self.x2 is None else self.x2)[tile.columns, ...]
        return to_host(matrix_of(self.kernel, self.x1[tile.rows, ...], columns, self.memory, self.threads, None, False))


@dataclass(frozen=True)
class Here:
    """Blocks one after the other, in this process: each is written while the next one is computed, if they overlap."""

    compute: OneBlock
    overlap: bool

    def __call__(self, blocks: Blocks, left: list[Tile]) -> Generator[int, None, None]:
        """The entries of each block once it is finished."""
        if self.overlap:
            return self._overlapping(blocks, left)
        return (finish_block(blocks, self.compute, tile) for tile in left)

    def _overlapping(self, blocks: Blocks, left: list[Tile]) -> Generator[int, None, None]:
        """One block is computed and the one before it is written, no more. However it ends, no thread is left."""
        before: Future[int] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="ntk_array-gram-writer") as writer:
            for tile in left:
                try:
                    values = computed_block(blocks, self.compute, tile)
                finally:
                    # Also where computing failed: the block before is finished then, or its error is the first.
                    if before is not None:
                        yield before.result()
                before = writer.submit(keep_block, blocks, tile, values)
            if before is not None:
                yield before.result()


@dataclass(frozen=True)
class Elsewhere:
    """Blocks as tasks of an executor, each with all that it needs: the folder of the store, the kernel and a block."""

    executor: Any
    kernel: Tiled
    x1: Array
    x2: Array | None
    memory: int
    threads: int

    def __call__(self, blocks: Blocks, left: list[Tile]) -> Generator[int, None, None]:
        """The entries of each block once it is finished."""
        for name, x in (("x1", self.x1), ("x2", self.x2)):
            if x is not None:
                _keep(blocks.folder / INPUTS / f"{name}.npy", x)
        job = (os.fspath(blocks.folder), blocks.digest, self.kernel, self.memory, self.threads, blocks.layout)
        return completed(self.executor, Job(finish_from_folder, *job), left)


def finish_from_folder(path: str, digest: str, kernel: Tiled, memory: int, threads: int, row: int, column: int) -> int:
    """Compute a block from what is in the folder of its store, and put it there; the entries that this gives."""
    folder = Path(path)
    spec = Spec.read(folder)
    if spec is None:
        raise FileNotFoundError(f"{folder} is not the folder of a Gram matrix")
    if spec.digest != digest:
        raise ValueError(f"{folder} holds another Gram matrix than the one that this block is of")
    blocks, tile = Blocks(folder, spec), spec.layout.tile(row, column)
    # A cluster asks again where it lost the answer, not the block.
    if blocks.marked(tile) and blocks.intact(tile):
        return spec.layout.entries(tile)
    compute = _problem(folder, spec, kernel, memory, threads)
    with one_thread_a_product:
        return finish_block(blocks, compute, tile)


_LAST: dict[tuple[str, int, int], OneBlock] = {}
"""The last problem of this process, by the hash of its spec. Tables of a kernel take a second, and tasks are many."""


def _problem(folder: Path, spec: Spec, kernel: Tiled, memory: int, threads: int) -> OneBlock:
    key = (spec.digest, memory, threads)
    found = _LAST.get(key)
    if found is None:
        x1, x2 = (
            None if spec.matrix[name] is None else _kept(folder / INPUTS / f"{name}.npy", spec.matrix[name])
            for name in ("x1", "x2")
        )
        found = OneBlock(*validated(kernel, x1, x2), memory, threads)
        _LAST.clear()
        _LAST[key] = found
    return found


def _keep(path: Path, x: Array) -> None:
    """Write inputs, unless they are there."""
    expected = fingerprint(x)
    try:
        _kept(path, expected)
    except (OSError, ValueError, EOFError):
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(PARTIAL)
        with open(partial, "wb") as file:
            np.save(file, x, allow_pickle=False)
        flush(partial)
        os.replace(partial, path)
        flush(path.parent)


def _kept(path: Path, expected: str | None) -> np.ndarray:
    """The inputs in a file. ValueError where they are others."""
    # Not by a memory map, although processes would share it: what happens to the file later would change the inputs.
    x = np.asarray(np.load(path, allow_pickle=False))
    if fingerprint(x) != expected:
        raise ValueError(f"{path} is damaged: it does not hold the inputs that are named in spec.json")
    return x


def refuse_other_libraries(x: Array) -> None:
    """ValueError for inputs that are not NumPy's, which are what tasks read from the folder."""
    if not is_numpy(x):
        raise ValueError("executor= is for NumPy arrays: the processes of an executor read the inputs from files")
