"""Gram matrices, tile by tile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._array.kinds import as_block
from .._array.namespace import Array
from .._support.progress import progress_asked, progress_within
from .matrix import filled, matrix_of
from .memory import DEFAULT_BYTES
from .plan import most_in_one, plan_for, validated
from .result import Result
from .tiled import Tiled

if TYPE_CHECKING:
    from .store import Store

__all__ = ["assemble", "in_tiles"]


def assemble(
    kernel: Tiled,
    x1: Array,
    x2: Array | None = None,
    *,
    memory: str | int | None = None,
    out: Array | None = None,
    progress: bool = False,
    threads: int | None = None,
    store: str | os.PathLike[str] | None = None,
    executor: Any = None,
) -> Array | Store:
    """A Gram matrix, computed in tiles so that only little memory is needed beside the result.

    The values are those of ``kernel(x1, x2)`` up to rounding. Where x2 is None, tiles below the diagonal are mirror
    images of those above: the matrix is symmetric to the last bit. An error in a tile has a note that names the tile.

    Parameters
    ----------
    kernel : Kernel
    x1, x2 : array
        Inputs (N1, ...) and (N2, ...). ``x2=None`` means that x2 is x1.
    memory : str or int, optional
        What may be used beside the result, such as "2 GiB", "512 MB" or a number of bytes. By default 2 GiB; without
        ``store`` on a GPU, a quarter of the memory that the result leaves where that is more.
    out : array, optional
        Where to write the result, of its shape, library, device and dtype; a ``numpy.memmap`` for one that is larger
        than the memory. Not for JAX, whose arrays cannot be written to. After an error or Ctrl-C it holds the tiles
        that were finished.
    progress : bool
        Show a bar that counts entries, and before it, where dual activations have no closed form and are tabulated, one
        that counts layers.
    threads : int, optional
        How many tiles to compute at once, for NumPy arrays: by default as many as NumPy's matrix products use, fewer
        where ``memory`` is too little for those. Each matrix product has one thread then, in the whole process. Other
        libraries take one tile after the other.
    store : path, optional
        A folder to write the matrix to, block by block, for one that is larger than the memory or takes long.
        ``memory`` is then all that may be used, and blocks are moved to the host. The same call goes on after an
        interruption of any kind: blocks that are finished are compared with their hashes and not computed again,
        damaged ones are. Needs zarr, the extra ``scale``.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        With ``store``, and for NumPy arrays: where blocks are computed, such as a ``ProcessPoolExecutor``, or the
        client of a Dask cluster whose machines share the folder. ``memory`` and ``threads`` (one unless given) are then
        those of each task. The kernel travels by pickle; the inputs are read from the folder.

    Returns
    -------
    array or Store
        (N1, N2) for scalar kernels, (C, N1, N2) for class-wise ones, (N1 C, N2 C) for full ones: output c of input n is
        in row n C + c. With ``store`` this is a :class:`ntk_array.gram.Store`.

    Raises
    ------
    ValueError
        If the memory is too little for tiles of one entry, or ``out`` does not fit. If ``store`` is a folder with
        another matrix, or with files of another kind: nothing is changed, and the message says what differs.
    TypeError
        If ``out`` is given for JAX arrays or is not an array. If ``store`` is given and the kernel refers to something
        that cannot be described in a file. If ``executor`` is neither an executor nor a client.
    MemoryError
        If the result and what is needed beside it are more than what is available, before work starts.
    OSError
        If there is too little room for the store on its disk, before work starts, or once the disk is full. If another
        process writes to the store (a BlockingIOError).
    FloatingPointError
        If a block that would be stored is not finite.
    concurrent.futures.BrokenExecutor
        If a process of the executor died, or, with Dask, as many workers as it allows died with one block.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(300, 4))
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
    >>> bool(np.allclose(ntk.gram.assemble(K, x, memory="1 MiB"), K(x)))
    True
    """
    given = kernel
    with progress_within(progress):
        kernel, x1, x2 = validated(kernel, x1, x2)
    if store is not None:
        if out is not None:
            raise ValueError("give out= or store=, not both")
        from .stored import stored  # much that only matrices on disk need

        memory = DEFAULT_BYTES if memory is None else memory
        return stored(given, kernel, x1, x2, memory, threads, Path(store).absolute(), progress, executor)
    if executor is not None:
        raise ValueError("executor= needs store=, the folder that its processes write to")

    # Refused before work starts: an error after an hour would be worth little.
    plan = plan_for(kernel, x1, x2, memory, threads)
    plan.check_room(result=out is None)
    result = None if out is None else Result(plan.home, plan.shape, out)
    return matrix_of(kernel, x1, x2, memory, threads, result, progress)


def in_tiles(kernel: Tiled, x1: Array, x2: Array | None) -> Array:
    """Kernel values for validated inputs, (N1, N2), (C, N1, N2) or (N1, C, N2, C): in tiles if there are many."""
    if kernel.is_average:
        return kernel.averaged(lambda own: in_tiles(own, x1, x2), x1)
    kernel = kernel.specialized(x1, x2)
    n1, n2 = x1.shape[0], (x1 if x2 is None else x2).shape[0]
    if n1 * n2 > most_in_one(kernel.costs(x1, x2), x1):
        plan = plan_for(kernel, x1, x2, None, None)
        if len(plan) > 1:
            plan.check_room(result=True)
            matrix = filled(kernel, x1, x2, plan, Result(plan.home, plan.shape, None), progress_asked())
            return as_block(kernel.kind, matrix, plan.outputs)
    return kernel.prepared_block(kernel.prepare(x1), None if x2 is None else kernel.prepare(x2))
