"""Blocks of a matrix on disk as tasks of a Dask cluster, whose workers may die."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import BrokenExecutor
from queue import Empty, SimpleQueue
from typing import Any

from .executors import CALL_AGAIN, Job
from .layout import words
from .store import SHOWN

__all__ = ["on_cluster"]

RETRIES = 2
"""So often a block is computed again after an error: disks that machines share fail for a moment now and then."""
PATIENCE = 20.0
"""After so many seconds without a finished block there is a look at whether the cluster has workers at all."""
SUSPICIOUS = 2
"""A block that so many workers died with is named where no worker is left; with fewer there may be other reasons."""


def on_cluster(client: Any, job: Job, left: list[Any]) -> Generator[int, None, None]:
    """Compute the blocks that are left; the entries of each once it is finished.

    Dask gives the blocks of a worker that dies to others, and computes results again that were lost with it. For that
    it has to know how each came about: nothing is scattered, because scattered data are lost for good with their
    worker. When this ends early, workers finish the blocks that they are in, which does no harm.
    """
    from distributed import KilledWorker

    run = uuid.uuid4().hex
    # A task of its own, so that the scheduler keeps the kernel once and not with each block.
    kernel = client.submit(_itself, job.kernel, key=f"kernel-{run}")
    numbers = [job.layout.number(tile) for tile in left]
    keys = {f"block-{row}-{column}-{run}": tile for (row, column), tile in zip(numbers, left, strict=True)}
    task = (job.function, job.folder, job.digest, job.memory, job.threads)
    futures = client.map(_finish, numbers, key=list(keys), retries=RETRIES, task=task, kernel=kernel)
    try:
        for future in _in_order_of_completion(client, futures, job, keys):
            try:
                entries = future.result()
            except KilledWorker as error:
                raise _killed(job, keys, _deaths_of(client, keys)) from error
            except Exception as error:
                job.name(error, keys[future.key])
                raise
            # A result that nobody holds is not computed again where its worker dies later.
            future.release()
            yield entries
    finally:
        client.cancel(futures)


def _itself(kernel: Any) -> Any:
    return kernel


def _finish(number: tuple[int, int], *, task: tuple[Any, ...], kernel: Any) -> int:
    function, folder, digest, memory, threads = task
    return int(function(folder, digest, kernel, memory, threads, *number))


def _in_order_of_completion(client: Any, futures: list[Any], job: Job, keys: dict[str, Any]) -> Iterator[Any]:
    """As ``distributed.as_completed``, but a cluster that has lost its workers is no reason to wait in silence."""
    done: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    warned = False
    for _ in futures:
        while True:
            try:
                future = done.get(timeout=PATIENCE)
                break
            except Empty:
                if client.nthreads():
                    continue
            deaths = _deaths_of(client, keys)
            if max(deaths.values(), default=0) >= SUSPICIOUS:
                raise _killed(job, keys, deaths)
            if not warned:
                warnings.warn("the Dask cluster has no worker at present: waiting for one", stacklevel=2)
                warned = True
        yield future


def _deaths_of(client: Any, keys: dict[str, Any]) -> dict[str, int]:
    """How many workers died that had these blocks."""
    found: dict[str, int] = client.run_on_scheduler(_suspicions)
    return {key: deaths for key, deaths in found.items() if key in keys}


def _suspicions(dask_scheduler: Any) -> dict[Any, int]:
    return {key: task.suspicious for key, task in dask_scheduler.tasks.items() if task.suspicious}


def _killed(job: Job, keys: dict[str, Any], deaths: dict[str, int]) -> BrokenExecutor:
    """The error for workers that died.

    Blocks are blamed for others that their workers had too. One that kills was there each time, so that it is among
    those with the most deaths.
    """
    most = max(deaths.values())
    named = [words(job.layout, tile) for key, tile in keys.items() if deaths.get(key) == most]
    blocks = " or ".join(named[:SHOWN]) + (f" or {len(named) - SHOWN} more" if len(named) > SHOWN else "")
    return BrokenExecutor(
        f"{most} workers have died that had the block of {blocks} of {job.folder}, perhaps for want of memory, or "
        f"because their machines were taken away; {CALL_AGAIN}. How many deaths a block survives is Dask's setting "
        "distributed.scheduler.allowed-failures"
    )
