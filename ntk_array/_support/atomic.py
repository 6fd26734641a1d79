"""Files that are there in full or not at all."""

import os

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file under another name and rename it: an interruption leaves an older file as it was."""
    partial = f"{os.fspath(path)}.{os.urandom(4).hex()}.partial"  # another process may be writing the same file
    try:
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
