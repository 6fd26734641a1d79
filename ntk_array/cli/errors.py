"""Errors as one line for the terminal."""

import errno

__all__ = ["line_for", "next_time"]

FULL = {
    errno.ENOSPC: "no space is left on the disk; make room, and",
    errno.EDQUOT: "your share of the disk is used up; make room, and",
}
"""Errors after which :func:`next_time` says what the same command does."""
REASONS = {
    errno.EACCES: "you may not read or write there",
    errno.EROFS: "the disk can only be read",
}


def next_time(goes_on: bool) -> str:
    """What the same command does when it is given again."""
    return f"the same command {'goes on from what was finished' if goes_on else 'starts anew'}"


def line_for(error: BaseException, *, goes_on: bool = False) -> str:
    """What went wrong and what to do, on one line, with the notes that were added on the way."""
    text = _of_system(error, goes_on) if isinstance(error, OSError) and error.errno else str(error)
    if not text and isinstance(error, MemoryError):
        text = "out of memory; take fewer rows, a narrower network or a smaller --memory"
    # A message of a library may have several lines.
    return " ".join("; ".join([text or type(error).__name__, *getattr(error, "__notes__", [])]).split())


def _of_system(error: OSError, goes_on: bool) -> str:
    number = error.errno or 0
    if number in FULL:
        reason = f"{FULL[number]} {next_time(goes_on)}"
    else:
        reason = REASONS.get(number, error.strerror or str(error))
    return f"{error.filename}: {reason}" if error.filename is not None else reason
