"""Files that are there in full or not at all."""

import os

__all__ = ["PARTIAL", "flush", "write_whole"]

PARTIAL = ".partial"
"""How names of files end that are not finished."""


def write_whole(path: str | os.PathLike[str], content: bytes, durable: bool = False) -> None:
    """Write a file under another name in the same folder and rename it: an interruption leaves an older file as it was.

    A process that is killed may leave its ``.partial`` file. A power cut is guarded against where the file is
    ``durable``: its content is on the disk before it gets its name, and the name is when this returns.
    """
    partial = f"{os.fspath(path)}.{os.urandom(4).hex()}{PARTIAL}"  # another process may be writing the same file
    try:
        with open(partial, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # The other name is in the same folder, so the two are on one file system and the rename is atomic.
        os.replace(partial, path)
        if durable:
            flush(os.path.dirname(partial) or ".")
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def flush(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the list of the names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
