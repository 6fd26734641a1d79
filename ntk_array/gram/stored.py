"""Gram matrices on disk: into which blocks they are cut, and within what memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .._array.kinds import numbers
from .._array.namespace import Array, itemsize
from .driver import drive
from .executors import refuse_other_executors
from .layout import Layout
from .memory import bytes_of, readable, refuse_without_room
from .one_block import Elsewhere, Here, OneBlock, refuse_other_libraries
from .plan import evenly, plan_for
from .spec import Spec
from .store import Store
from .tiled import Tiled

__all__ = ["stored"]

BLOCK = 2000**2
"""Numbers in a block on disk, at most."""
COPIES = 4
"""So many arrays of the size of a block exist at once while it is written and read back."""
SHARE = 4
"""A block is written while the next one is computed where the arrays of both take this part of the memory at most."""


def stored(
    given: Tiled,
    kernel: Tiled,
    x1: Array,
    x2: Array | None,
    memory: Any,
    threads: int | None,
    folder: Path,
    progress: bool,
    executor: Any,
) -> Store:
    """The matrix of the kernel that was given, by way of the one for these inputs, in a folder."""
    if executor is not None:
        refuse_other_executors(executor)
        refuse_other_libraries(x1)
    layout = _layout(kernel, x1, x2, bytes_of("memory", memory), folder)
    if executor is not None:
        threads = threads or 1
    budget = bytes_of("memory", memory)
    overlap = executor is None and _held(kernel, True) * layout.block_bytes * SHARE <= budget
    tiles = _memory_of_tiles(kernel, x1, x2, layout, memory, threads, overlap)
    spec = Spec.of(layout, given, x1, x2)
    if executor is None:
        return drive(folder, spec, Here(OneBlock(kernel, x1, x2, tiles, threads), overlap), progress)
    return drive(folder, spec, Elsewhere(executor, given, x1, x2, tiles, threads or 1), progress)


def _held(kernel: Tiled, overlap: bool) -> int:
    """How many arrays of the size of a block exist at once while one is computed, beside tiles."""
    # An average holds the mean so far, one matrix and the difference of the two, beside the block itself.
    return (4 if kernel.is_average else 1) + (COPIES if overlap else 0)


def _most(kernel: Tiled) -> int:
    """How many exist at any time where blocks are computed and written in turn."""
    return 8 if kernel.is_average else COPIES


def _layout(kernel: Tiled, x1: Array, x2: Array | None, budget: int, folder: Path) -> Layout:
    """Blocks as large as the memory allows, or those of a matrix that was begun in the folder."""
    stated = kernel.costs(x1, x2)
    size, each = itemsize(stated.home), numbers(kernel.kind, stated.outputs)
    inputs = (x1.shape[0], (x1 if x2 is None else x2).shape[0])
    side = max(1, math.isqrt(min(BLOCK, budget // (_most(kernel) * size)) // each))
    block = (evenly(inputs[0], side), evenly(inputs[1], side))
    there = Spec.read(folder) if folder.is_dir() else None
    if there is not None and there.layout.inputs == inputs:
        block = there.layout.block
    return Layout(kernel.kind, stated.outputs, inputs, block, x2 is None, f"float{8 * size}")


def _memory_of_tiles(
    kernel: Tiled, x1: Array, x2: Array | None, layout: Layout, memory: Any, threads: int | None, overlap: bool
) -> int:
    """What the tiles of a block may use. Refused before work starts where it is too little, or more than there is."""
    budget, held, most = bytes_of("memory", memory), _held(kernel, overlap), _most(kernel)
    rows, columns = layout.block
    if most * layout.block_bytes > budget:
        raise ValueError(
            f"memory={memory!r} is too little: blocks of {rows} x {columns} inputs take "
            f"{readable(most * layout.block_bytes)}"
        )
    tiles = budget - held * layout.block_bytes
    plan = plan_for(kernel, x1[:rows, ...], (x1 if x2 is None else x2)[:columns, ...], tiles, threads)
    needed = max(most * layout.block_bytes, held * layout.block_bytes + plan.working_bytes)
    refuse_without_room(needed, plan.home, f"making blocks of {rows} x {columns} inputs", "give less memory=")
    return tiles
