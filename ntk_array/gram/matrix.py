"""Gram matrices in memory, filled tile by tile."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from .._array.namespace import Array, home
from .._support.progress import progress_sum
from .plan import Plan, plan_for
from .result import Result
from .threads import Each, Once, workers
from .tiled import Tile, Tiled, compute, named, part

__all__ = ["filled", "matrix_of"]


def matrix_of(
    kernel: Tiled, x1: Array, x2: Array | None, memory: Any, threads: Any, result: Result | None, progress: bool
) -> Array:
    """The Gram matrix of a kernel that is specialised for the inputs, or for more of them."""

    def matrix(kernel: Tiled, result: Result | None) -> Array:
        plan = plan_for(kernel, x1, x2, memory, threads)
        return filled(kernel, x1, x2, plan, result or Result(plan.home, plan.shape, None), progress)

    if not kernel.is_average:
        return matrix(kernel, result)
    # Each part of an average is a matrix of its own, so that its networks are drawn once and not once a tile.
    mean = kernel.averaged(lambda own: matrix(own, None), x1)
    if result is None:
        return mean
    result.write(mean, 0, 0)
    return result.array


def filled(kernel: Tiled, x1: Array, x2: Array | None, plan: Plan, result: Result, progress: bool) -> Array:
    """The result, once all tiles are written to it."""

    def fill(tile: Tile) -> int:
        """Compute a tile and write it; the entries of the result that this made."""
        block = compute(kernel, rows(tile.rows), None if tile.diagonal else columns(tile.columns), tile)
        # A full kernel has a row of the result for each output of an input.
        row, column = tile.rows.start * plan.outputs, tile.columns.start * plan.outputs
        result.write(block, row, column)
        if tile.mirrored and not result.mirrors:
            result.write(home(block).xp.matrix_transpose(block), column, row)
        return int(math.prod(block.shape)) * (2 if tile.mirrored else 1)

    with workers(plan.threads) as each:
        rows = _preparation(kernel, x1, plan.rows(), plan, each, 2 * plan.threads)
        columns = (
            rows
            if x2 is None and plan.keeps
            else _preparation(kernel, x1 if x2 is None else x2, plan.columns(), plan, each, 0)
        )
        for _ in progress_sum(each(fill, plan.tiles()), math.prod(plan.shape), "Gram matrix", " entries", progress):
            pass
    if plan.symmetric and result.mirrors:
        result.mirror()
    return result.array


def _preparation(
    kernel: Tiled, x: Array, cuts: Iterable[slice], plan: Plan, each: Each, remembered: int
) -> Callable[[slice], Any]:
    """What the kernel prepares of each cut of the inputs: of all at once and kept, or when it is asked for.

    Then the last few are ``remembered``: tiles of one row share it.
    """
    if not plan.keeps:

        def prepare_cut(cut: slice) -> Any:
            with named(cut):
                return kernel.prepare(x[cut, ...])

        once = Once(prepare_cut, remembered)
        return (lambda cut: once(cut.start, cut)) if remembered else prepare_cut
    kept, cuts = {}, list(cuts)

    def prepare(batch: list[slice]) -> None:
        start = batch[0].start
        whole = kernel.prepare(x[start : batch[-1].stop, ...])
        for cut in batch:
            kept[cut.start] = part(whole, slice(cut.start - start, cut.stop - start))

    # One run of cuts for each thread: large batches make better use of matrix products than single cuts.
    size = -(-len(cuts) // plan.threads)
    for _ in each(prepare, [cuts[i : i + size] for i in range(0, len(cuts), size)]):
        pass
    return lambda cut: kept[cut.start]
