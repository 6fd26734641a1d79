"""Errors as one line for the terminal."""

import errno

__all__ = ["line_for"]

REASONS = {
    errno.ENOSPC: "no space is left on the disk; make room, and the same command goes on from what was finished",
    errno.EDQUOT: "your share of the disk is used up; make room, and the same command goes on from what was finished",
    errno.EACCES: "you may not read or write there",
    errno.EROFS: "the disk can only be read",
}


def line_for(error: BaseException) -> str:
    """What went wrong and what to do, on one line, with the notes that were added on the way."""
    text = _of_system(error) if isinstance(error, OSError) and error.errno else str(error)
    if not text and isinstance(error, MemoryError):
        text = "out of memory; take fewer rows, a narrower network or a smaller --memory"
    # A message of a library may have several lines.
    return " ".join("; ".join([text or type(error).__name__, *getattr(error, "__notes__", [])]).split())


def _of_system(error: OSError) -> str:
    reason = REASONS.get(error.errno or 0, error.strerror or str(error))
    return f"{error.filename}: {reason}" if error.filename is not None else reason
