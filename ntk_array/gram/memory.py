"""Amounts of memory: as text, as bytes, and how much of it there is."""

import numbers
import os
import re
from typing import Any

import numpy as np

from .._array.namespace import Home

__all__ = ["available", "bytes_of", "on_accelerator", "readable"]

PREFIXES = "kmgt"

# glibc gives free memory above a threshold back to the system, and the next tile faults every page in again, which
# takes as long as the arithmetic. The threshold follows the largest block that was ever freed, up to 32 MiB: this is
# one, which nobody touches, once for each process.
np.empty(2**25 - 2**16, dtype=np.uint8)


def bytes_of(name: str, memory: Any) -> int:
    """A number of bytes, or text such as "2 GiB" or "512 MB" (powers of 1024 with an i, of 1000 without)."""
    number = 0
    if isinstance(memory, str):
        found = re.fullmatch(rf"\s*(\d+\.?\d*)\s*(?:([{PREFIXES}])(i?))?b?\s*", memory, re.IGNORECASE)
        if found:
            # The position of the prefix is the power: k is 1, m is 2.
            power = PREFIXES.index(found[2].lower()) + 1 if found[2] else 0
            number = int(float(found[1]) * (1024 if found[3] else 1000) ** power)
    elif isinstance(memory, numbers.Integral) and not isinstance(memory, bool):
        number = int(memory)
    if number < 1:
        raise ValueError(f'{name} must be text such as "2 GiB" or "512 MB", or a number of bytes, got {memory!r}')
    return number


def readable(n: int) -> str:
    """Bytes as text, to three digits."""
    size, unit = float(n), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1000:
            break
        size, unit = size / 1024, larger
    return f"{size:.3g} {unit}"


def on_accelerator(home: Home) -> bool:
    """Whether arrays live on a device with memory of its own."""
    return home.library.on_accelerator(home.device)


def available(home: Home) -> int | None:
    """Bytes that new arrays may take where these live; None where that is not known."""
    return home.library.free_memory(home.device) if on_accelerator(home) else _host_memory()


def _host_memory() -> int | None:
    """What is free and what caches would give up; all memory of the machine where only that is known."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            entries = dict(line.split(":", 1) for line in file)
        # The kernel's own estimate, in KiB. Free memory alone would leave out the caches that it gives up.
        return 1024 * int(entries["MemAvailable"].split()[0])
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
