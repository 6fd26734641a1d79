"""Threads that compute tiles, and the threads that matrix products have meanwhile."""

import os
import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from threading import Lock, Thread
from typing import Any

from .._array.libraries import is_numpy
from .._array.namespace import Array
from .._array.validate import count

__all__ = ["Each", "Once", "one_thread_a_product", "thread_count", "workers"]

Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""A map over tasks, in any order."""


@contextmanager
def workers(threads: int) -> Iterator[Each]:
    """Threads that share tasks: this one and others. However it ends, none of the others is running afterwards."""
    if threads == 1:
        yield map
        return
    with one_thread_a_product:
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


class Once:
    """Results that several threads ask for, each made once, by the thread that asks first.

    Threads that ask for the same one wait for it. Those that ask for another do not: work is done outside the lock that
    guards the table.
    """

    def __init__(self, work: Callable[[Any], Any], keep: int) -> None:
        self._work, self._keep, self._lock = work, keep, Lock()
        self._entries: dict[Hashable, list[Any]] = {}

    def __call__(self, key: Hashable, argument: Any) -> Any:
        """The result for an argument, by its key; the oldest ones are forgotten."""
        with self._lock:
            entry = self._entries.setdefault(key, [Lock(), None])
            while len(self._entries) > self._keep:
                del self._entries[next(iter(self._entries))]
        with entry[0]:
            if entry[1] is None:
                entry[1] = self._work(argument)
        return entry[1]


class _OneThreadAProduct:
    """A limit of one thread for matrix products, in the whole process, while at least one assembly is running.

    Each of several that overlap in time would otherwise put back the limit that it found, in any order, and the last
    one to end might put back that of another.
    """

    def __init__(self) -> None:
        self._lock, self._running = Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._limit = _pools().limit(limits=1, user_api="blas")

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._limit.restore_original_limits()


one_thread_a_product = _OneThreadAProduct()


def thread_count(x: Array, threads: Any) -> int:
    """As many as NumPy's matrix products use, unless given; other libraries have threads of their own."""
    if threads is not None:
        number = count("threads", threads)
        if number > 1 and not is_numpy(x):
            raise ValueError(f"threads={number} is for NumPy arrays; leave threads=None: the library has its own")
        return number
    if not is_numpy(x):
        return 1
    used: list[int] = [pool["num_threads"] for pool in _pools().info() if pool["user_api"] == "blas"]
    return max(used, default=os.cpu_count() or 1)


def _pools() -> Any:
    return _thread_pools(len(sys.modules))


# For the whole process, because the pools are. To find them takes as long as a tile, and new ones come with modules.
@lru_cache(maxsize=1)
def _thread_pools(modules: int) -> Any:
    """The thread pools of BLAS libraries, while so many modules are loaded."""
    from threadpoolctl import ThreadpoolController

    del modules
    return ThreadpoolController()
