"""Gram matrices on disk: into which blocks they are cut, and what computes one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._array.kinds import numbers
from .._array.namespace import Array, itemsize, to_host
from .driver import drive
from .layout import Layout
from .matrix import matrix_of
from .memory import available, bytes_of, readable
from .plan import evenly, plan_for
from .spec import Spec
from .store import Store
from .tiled import Tile, Tiled

__all__ = ["OneBlock", "stored"]

BLOCK = 2000**2
"""Numbers in a block on disk, at most."""
COPIES = 4
"""So many arrays of the size of a block exist at once while it is written and read back."""


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


def stored(
    given: Tiled,
    kernel: Tiled,
    x1: Array,
    x2: Array | None,
    memory: Any,
    threads: Any,
    folder: Path,
    progress: bool,
) -> Store:
    """The matrix of the kernel that was given, by way of the one for these inputs, in a folder."""
    stated, budget = kernel.costs(x1, x2), bytes_of("memory", memory)
    inputs = (x1.shape[0], (x1 if x2 is None else x2).shape[0])
    dtype = f"float{8 * itemsize(stated.home)}"
    # An average holds the mean so far, one matrix and the difference of the two, beside the block itself.
    held = 4 if kernel.is_average else 1
    copies = max(COPIES, 2 * held)
    each = numbers(kernel.kind, stated.outputs)
    side = max(1, math.isqrt(min(BLOCK, budget // (copies * itemsize(stated.home))) // each))
    there = Spec.read(folder) if folder.is_dir() else None
    block = (evenly(inputs[0], side), evenly(inputs[1], side))
    if there is not None and there.layout.inputs == inputs:
        block = there.layout.block
    layout = Layout(kernel.kind, stated.outputs, inputs, block, x2 is None, dtype)
    tiles = budget - held * layout.block_bytes
    if copies * layout.block_bytes > budget:
        raise ValueError(
            f"memory={memory!r} is too little: blocks of {block[0]} x {block[1]} inputs take "
            f"{readable(copies * layout.block_bytes)}"
        )
    plan = plan_for(kernel, x1[: block[0], ...], (x1 if x2 is None else x2)[: block[1], ...], tiles, threads)
    needed, free = (
        max(copies * layout.block_bytes, held * layout.block_bytes + plan.working_bytes),
        available(plan.home),
    )
    if free is not None and needed > free:
        raise MemoryError(
            f"{needed} bytes ({readable(needed)}) are needed to make blocks of {block[0]} x {block[1]} inputs, and "
            f"{readable(free)} are available; give less memory="
        )
    return drive(folder, Spec.of(layout, given, x1, x2), OneBlock(kernel, x1, x2, tiles, threads), progress)
