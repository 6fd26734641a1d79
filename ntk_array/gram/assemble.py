"""Gram matrices, tile by tile."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from .._array.kinds import as_block
from .._array.libraries import is_numpy
from .._array.namespace import Array, home
from .._support.progress import progress_asked, progress_sum, progress_within
from .plan import Plan, plan_for, validated
from .result import Result
from .threads import Each, Once, workers
from .tiled import Tile, Tiled, compute, named, part

__all__ = ["assemble", "in_tiles"]

SMALL = 2**14
"""Up to this many pairs of inputs are computed as one block, without tiles. On NumPy, where threads pay off sooner, up
to a quarter of that."""


def assemble(
    kernel: Tiled,
    x1: Array,
    x2: Array | None = None,
    *,
    memory: str | int = "2 GiB",
    out: Array | None = None,
    progress: bool = False,
    threads: int | None = None,
) -> Array:
    """A Gram matrix, computed in tiles so that only little memory is needed beside the result.

    The values are those of ``kernel(x1, x2)`` up to rounding. Where x2 is None, tiles below the diagonal are mirror
    images of those above: the matrix is symmetric to the last bit. An error in a tile has a note that names the tile.

    Parameters
    ----------
    kernel : Kernel
    x1, x2 : array
        Inputs (N1, ...) and (N2, ...). ``x2=None`` means that x2 is x1.
    memory : str or int
        What may be used beside the result, such as "2 GiB", "512 MB" or a number of bytes.
    out : array, optional
        Where to write the result, of its shape, library, device and dtype; a ``numpy.memmap`` for one that is larger
        than the memory. Not for JAX, whose arrays cannot be written to. After an error or Ctrl-C it holds the tiles
        that were finished.
    progress : bool
        Show a bar that counts entries, and before it, where dual activations have no closed form and are tabulated, one
        that counts layers.
    threads : int, optional
        How many tiles to compute at once, for NumPy arrays: by default as many as NumPy's matrix products use. Each
        matrix product has one thread then, in the whole process. Other libraries take one tile after the other.

    Returns
    -------
    array
        (N1, N2) for scalar kernels, (C, N1, N2) for class-wise ones, (N1 C, N2 C) for full ones: output c of input n is
        in row n C + c.

    Raises
    ------
    ValueError
        If the memory is too little for tiles of one entry, or ``out`` does not fit.
    TypeError
        If ``out`` is given for JAX arrays or is not an array.
    MemoryError
        If the result and what is needed beside it are more than what is available, before work starts.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(300, 4))
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
    >>> bool(np.allclose(ntk.gram.assemble(K, x, memory="1 MiB"), K(x)))
    True
    """
    with progress_within(progress):
        kernel, x1, x2 = validated(kernel, x1, x2)

    # Refused before work starts: an error after an hour would be worth little.
    plan = plan_for(kernel, x1, x2, memory, threads)
    plan.check_room(result=out is None)
    result = None if out is None else Result(plan.home, plan.shape, out)

    def matrix(kernel: Tiled, result: Result | None) -> Array:
        own = plan_for(kernel, x1, x2, memory, threads)
        return _filled(kernel, x1, x2, own, result or Result(own.home, own.shape, None), progress)

    if not kernel.is_average:
        return matrix(kernel, result)
    # Each part of an average is a matrix of its own, so that its networks are drawn once and not once a tile.
    mean = kernel.averaged(lambda own: matrix(own, None), x1)
    if result is None:
        return mean
    result.write(mean, 0, 0)
    return result.array


def in_tiles(kernel: Tiled, x1: Array, x2: Array | None) -> Array:
    """Kernel values for validated inputs, (N1, N2), (C, N1, N2) or (N1, C, N2, C): in tiles if there are many."""
    if kernel.is_average:
        return kernel.averaged(lambda own: in_tiles(own, x1, x2), x1)
    kernel = kernel.specialized(x1, x2)
    n1, n2 = x1.shape[0], (x1 if x2 is None else x2).shape[0]
    small = kernel.costs(x1, x2).least or (SMALL // 4 if is_numpy(x1) else SMALL)
    if n1 * n2 > small:
        plan = plan_for(kernel, x1, x2, "2 GiB", None)
        if len(plan) > 1:
            plan.check_room(result=True)
            matrix = _filled(kernel, x1, x2, plan, Result(plan.home, plan.shape, None), progress_asked())
            return as_block(kernel.kind, matrix, plan.outputs)
    return kernel.prepared_block(kernel.prepare(x1), None if x2 is None else kernel.prepare(x2))


def _filled(kernel: Tiled, x1: Array, x2: Array | None, plan: Plan, result: Result, progress: bool) -> Array:
    """The result, once all tiles are written to it."""

    def fill(tile: Tile) -> int:
        """Compute a tile and write it; the entries of the result that this made."""
        block = compute(kernel, rows(tile.rows), None if tile.diagonal else columns(tile.columns), tile)
        # A full kernel has a row of the result for each output of an input.
        row, column = tile.rows.start * plan.outputs, tile.columns.start * plan.outputs
        result.write(block, row, column)
        if tile.mirrored:
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
