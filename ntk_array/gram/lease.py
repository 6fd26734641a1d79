"""A folder that one process at a time writes to."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["lease"]

FILE = "lock"
MAX_BYTES = 1000

_HELD: set[int] = set()
"""Open files whose locks this process holds."""


def _let_go() -> None:
    """In a process that was forked off: it would keep the lock as long as it lives, whatever becomes of its parent."""
    while _HELD:
        os.close(_HELD.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold a folder. The system takes the lease back where the process dies.

    Raises
    ------
    BlockingIOError
        If another process, or another thread of this one, holds it; the message says which.
    OSError
        If the system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError("stores need file locks (fcntl), which this system does not have") from error
    # The file is never removed: another process may have it open and wait for the lock of a file without a name.
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.pread(descriptor, MAX_BYTES, 0))
            raise BlockingIOError(
                f"{folder} is being written by {holder}; wait until that is done, or end it"
            ) from None
        _HELD.add(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)


def _holder(content: bytes) -> str:
    try:
        tree = json.loads(content)
        return f"process {int(tree['pid'])} on {str(tree['host'])[:100]}"
    except (ValueError, TypeError, KeyError):  # it is just about to say so
        return "another process"
