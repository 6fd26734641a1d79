"""Training runs several at a time, each on one thread.

The matrices of one small network keep no more than one core busy: with two BLAS threads such a run takes longer than
with one, and ten times as long where other processes want the cores too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from threading import Event
from typing import Any, TypeVar

from .._array.namespace import Array
from .._support.progress import progress_sum
from ..gram.memory import host_memory
from ..gram.threads import thread_count, workers

__all__ = ["SMALL", "run_together", "stop_if_asked"]

Job = TypeVar("Job")

AT_ONCE = 4
"""More threads of Python wait for each other: between products of matrices only one of them runs."""

SMALL = 2**24
"""Bytes, for runs without matrices of the size of the sample."""

_STOP: ContextVar[Event | None] = ContextVar("stop", default=None)


class _Stopped(Exception):
    """Another run has failed, or the user has pressed Ctrl-C."""


def stop_if_asked() -> None:
    """Called by a run now and then: ends it where the runs beside it have been given up."""
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise _Stopped


def run_together(
    work: Callable[[Job, bool], Any], jobs: Sequence[Job], like: Array, memory: int, label: str, progress: bool
) -> list[Any]:
    """What ``work(job, alone)`` gives for each job, in their order.

    Parameters
    ----------
    work : callable
        ``alone`` says whether no other run is going on, so that it may show a bar of its own.
    jobs : sequence
    like : array
        Runs on NumPy arrays like this share the cores. Other libraries have threads of their own, and take one run at
        a time.
    memory : int
        Bytes that a run takes; so many run at once as there is room for.
    label : str
        Of the progress bar.
    progress : bool
        Whether to show it.
    """
    free = host_memory()
    room = AT_ONCE if free is None else max(free // max(2 * memory, 1), 1)
    threads = min(thread_count(like, None), len(jobs), AT_ONCE, room)
    stop = Event()
    found: dict[int, Any] = {}
    errors: list[BaseException] = []

    def run(number: int) -> tuple[int, Any]:
        token = _STOP.set(stop)
        try:
            return number, work(jobs[number], threads == 1)
        except BaseException as error:
            errors.append(error)
            # Before the threads are waited for, so that none of them goes on to its end.
            stop.set()
            raise
        finally:
            _STOP.reset(token)

    def finished() -> Any:
        with workers(threads) as each:
            for number, result in each(run, range(len(jobs))):
                found[number] = result
                yield 1

    try:
        for _ in progress_sum(finished(), len(jobs), label, "net", progress):
            pass
    except _Stopped:
        raise errors[0] from None  # of the run because of which this one was stopped
    return [found[number] for number in range(len(jobs))]
