"""Files that are there in full or not at all."""

import os

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file under another name in the same folder and rename it: an interruption leaves an older file as it was.

    A process that is killed may leave its ``.partial`` file; a power cut is not guarded against.
    """
    partial = f"{os.fspath(path)}.{os.urandom(4).hex()}.partial"  # another process may be writing the same file
    try:
        with open(partial, "wb") as file:
            file.write(content)
        # The other name is in the same folder, so the two are on one file system and the rename is atomic.
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
