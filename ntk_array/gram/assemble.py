"""Gram matrices, tile by tile."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock, Thread
from typing import Any, NamedTuple

from .._array.libraries import is_numpy
from .._array.namespace import Array, home
from .._support.progress import progress_sum
from .memory import keep_what_is_freed
from .plan import Plan, checked, plan_for, thread_pools
from .result import Result
from .tiled import Tiled, part

__all__ = ["assemble", "in_tiles"]

SMALL = 2**14
"""Kernel values of no more pairs of inputs are one block, without a plan; on NumPy, which has threads for more, of a
quarter of them."""


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
        Show a bar that counts entries.
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
    kernel, x1, x2 = checked(kernel, x1, x2)
    plan, place = plan_for(kernel, x1, x2, memory, threads)
    plan.check_room(place, result=out is None)
    return _filled(kernel, x1, x2, plan, Result(place, plan.shape, out), progress)


def in_tiles(kernel: Tiled, x1: Array, x2: Array | None) -> Array:
    """Kernel values for validated inputs, (N1, N2), (C, N1, N2) or (N1, C, N2, C): in tiles if there are many."""
    kernel = kernel.restricted(x1, x2)
    n1, n2 = x1.shape[0], (x1 if x2 is None else x2).shape[0]
    if n1 * n2 > (SMALL // 4 if is_numpy(x1) else SMALL):
        plan, place = plan_for(kernel, x1, x2, "2 GiB", None)
        if len(plan) > 1:
            plan.check_room(place, result=True)
            matrix = _filled(kernel, x1, x2, plan, Result(place, plan.shape, None), False)
            if kernel.kind == "full":
                return place.xp.reshape(matrix, (n1, plan.outputs, n2, plan.outputs))
            return matrix
    return kernel.prepared_block(kernel.prepare(x1), None if x2 is None else kernel.prepare(x2))


def _filled(kernel: Tiled, x1: Array, x2: Array | None, plan: Plan, result: Result, progress: bool) -> Array:
    """The result, once all tiles are written to it."""
    scale = plan.outputs
    keep_what_is_freed()

    def tasks() -> Iterator[_Task]:
        for r in plan.rows():
            with _noted(r):
                prepared = rows(r)
            for c in plan.columns(r.start if x2 is None else 0):
                yield _Task(r, c, prepared)

    def fill(task: _Task) -> int:
        """Compute a tile and write it; the entries of the result that this made."""
        r, c, prepared = task
        mirrored = x2 is None and r != c
        with _noted(r, c):
            block = kernel.prepared_block(prepared, None if x2 is None and r == c else columns(c))
            xp = home(block).xp
            if kernel.kind == "full":
                block = xp.reshape(block, (block.shape[0] * scale, block.shape[2] * scale))
            result.write(block, r.start * scale, c.start * scale)
            if mirrored:
                result.write(xp.matrix_transpose(block), c.start * scale, r.start * scale)
        return int(math.prod(block.shape)) * (2 if mirrored else 1)

    with _workers(plan.threads) as each:
        rows = _preparation(kernel, x1, plan.rows(), plan, each)
        columns = rows if x2 is None else _preparation(kernel, x2, plan.columns(), plan, each)
        for _ in progress_sum(each(fill, tasks()), math.prod(plan.shape), "Gram matrix", " entries", progress):
            pass
    return result.array


class _Task(NamedTuple):
    rows: slice
    columns: slice
    prepared: Any


Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""A map over tasks, in any order."""


def _preparation(kernel: Tiled, x: Array, cuts: Iterable[slice], plan: Plan, each: Each) -> Callable[[slice], Any]:
    """What the kernel prepares of each cut of the inputs: of all at once and kept, or when it is asked for."""
    if not plan.keeps:
        return lambda cut: kernel.prepare(x[cut, ...])
    kept, cuts = {}, list(cuts)

    def prepare(batch: list[slice]) -> None:
        start = batch[0].start
        whole = kernel.prepare(x[start : batch[-1].stop, ...])
        for cut in batch:
            kept[cut.start] = part(whole, slice(cut.start - start, cut.stop - start))

    size = -(-len(cuts) // plan.threads)
    for _ in each(prepare, [cuts[i : i + size] for i in range(0, len(cuts), size)]):
        pass
    return lambda cut: kept[cut.start]


@contextmanager
def _workers(threads: int) -> Iterator[Each]:
    """Threads that share tasks: this one and others. However it ends, none of the others is running afterwards."""
    if threads == 1:
        yield map
        return
    with thread_pools().limit(limits=1, user_api="blas"):
        yield partial(_shared, threads)


def _shared(threads: int, work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
    """What ``work`` gives for each task, in any order.

    Every thread takes the next task when it is done with one. None waits for another: between tiles that take less than
    a millisecond, to be woken up would be a large part of the time.
    """
    left, lock = iter(tasks), Lock()
    done: deque[Any] = deque()
    failures: list[BaseException] = []

    def take() -> Iterator[Any]:
        while not failures:
            with lock:
                try:
                    task = next(left)
                except StopIteration:
                    return
            yield task

    def help_out() -> None:
        try:
            done.extend(map(work, take()))
        except BaseException as error:
            failures.append(error)

    helpers = [Thread(target=help_out, name=f"ntk_array-gram-{i}") for i in range(1, threads)]
    for helper in helpers:
        helper.start()
    try:
        for result in map(work, take()):
            yield result
            while done:
                yield done.popleft()
    except BaseException as error:
        failures.append(error)
        raise
    finally:
        for helper in helpers:
            helper.join()
    yield from done
    if failures:
        raise failures[0]


@contextmanager
def _noted(rows: slice, columns: slice | None = None) -> Iterator[None]:
    """Errors say which tile they come from."""
    try:
        yield
    except Exception as error:
        where = "" if columns is None else f" and columns {columns.start}:{columns.stop}"
        error.add_note(f"in the tile of rows {rows.start}:{rows.stop}{where}")
        raise
