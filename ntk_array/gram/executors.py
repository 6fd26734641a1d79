"""Where the blocks of a matrix on disk are computed: an executor of concurrent.futures, or a cluster of Dask."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed, wait
from dataclasses import dataclass
from typing import Any

from .layout import Layout, in_block
from .tiled import Tile

__all__ = ["CALL_AGAIN", "Job", "completed", "refuse_other_executors"]

CALL_AGAIN = "no finished block is lost: call the same again, with fewer processes or less memory="


@dataclass(frozen=True)
class Job:
    """Blocks to be computed: ``function(folder, digest, kernel, memory, threads, row, column)`` finishes one of them.

    A task has nothing else. The inputs are in the folder of the store, so that no process has the only copy of them.
    The digest is that of spec.json: a task that outlives its job does nothing to the next matrix in the folder.
    """

    function: Callable[..., int]
    folder: str
    digest: str
    kernel: Any
    memory: int
    threads: int
    layout: Layout

    def name(self, error: Exception, tile: Tile) -> None:
        """Have an error say which block it is about, where it does not yet."""
        note = in_block(self.layout, tile, self.folder)
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


def completed(executor: Any, job: Job, left: list[Tile]) -> Generator[int, None, None]:
    """Compute the blocks that are left, in any order; the entries of each once it is finished."""
    if isinstance(executor, Executor):
        return _in_pool(executor, job, left)
    from .dask_cluster import on_cluster

    return on_cluster(executor, job, left)


def refuse_other_executors(executor: Any) -> None:
    """TypeError for what cannot run tasks, before work starts."""
    of_dask = type(executor).__module__.partition(".")[0] == "distributed" and hasattr(executor, "get_executor")
    if not isinstance(executor, Executor) and not of_dask:
        raise TypeError(
            "executor must be an executor of concurrent.futures or a dask.distributed.Client, "
            f"got a {type(executor).__name__}"
        )
    if of_dask and executor.asynchronous:
        raise TypeError("executor is an asynchronous client, for which nothing here can wait; give another client")


def _in_pool(executor: Executor, job: Job, left: list[Tile]) -> Generator[int, None, None]:
    """However this ends, no task of a pool is running afterwards. A worker of Dask may finish its block, which does no
    harm."""
    task = (job.folder, job.digest, job.kernel, job.memory, job.threads)
    tiles: dict[Future[int], Tile] = {
        executor.submit(job.function, *task, *job.layout.number(tile)): tile for tile in left
    }
    try:
        for future in as_completed(tiles):
            try:
                entries = future.result()
            except BrokenExecutor as error:
                error.add_note(f"a process that computed blocks has died, perhaps for want of memory; {CALL_AGAIN}")
                raise
            except Exception as error:
                job.name(error, tiles[future])
                raise
            yield entries
    finally:
        # What is cancelled never runs, and is not waited for. Where a task ends while it is cancelled, the executor of
        # Dask never says so.
        wait([future for future in tiles if not future.cancel()])
