"""Amounts of memory: as text, as bytes, and how much of it there is."""

import numbers
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import Home

__all__ = [
    "DEFAULT_BYTES",
    "available",
    "bytes_of",
    "default_budget",
    "host_memory",
    "on_accelerator",
    "readable",
    "refuse_without_room",
]

PREFIXES = "kmgt"
DEFAULT_BYTES = 2**31
UNLIMITED = 2**60

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
    return home.library.free_memory(home.device) if on_accelerator(home) else host_memory()


def default_budget(home: Home, result: int) -> int:
    """Bytes to work with where nobody says how many: more on an accelerator, whose speed large tiles need.

    ``result`` is what the result takes.
    """
    free = available(home) if on_accelerator(home) else None
    return max(DEFAULT_BYTES, ((free or 0) - result) // 4)


def refuse_without_room(needed: float, home: Home, what: str, advice: str) -> None:
    """MemoryError, before work starts, where so many bytes of new arrays have no room."""
    free = available(home)
    if free is not None and needed > free:
        raise MemoryError(
            f"{what} takes {int(needed)} bytes ({readable(int(needed))}), and {readable(free)} are available: {advice}"
        )


def host_memory() -> int | None:
    """Bytes that new arrays of this process may take: what the machine has, its container and its SLURM job allow."""
    known = [_of_machine(), _of_container(), _of_job()]
    return min((n for n in known if n is not None), default=None)


def _of_machine() -> int | None:
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


class _Controller(NamedTuple):
    """The files of a version of Linux's control groups: limit, what is used, and the part of that which is cache."""

    mounted: str
    limit: str
    used: str
    cache: str


CONTROLLERS = {
    "": _Controller("", "memory.max", "memory.current", "inactive_file"),
    "memory": _Controller("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By the name in /proc/self/cgroup: version 2 has none."""
CGROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def _of_container() -> int | None:
    """What the control groups of this process leave, those above them included."""
    try:
        lines = [line.split(":", 2) for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    left = []
    for _, names, path in (line for line in lines if len(line) == 3):
        for name in set(names.split(",")) & set(CONTROLLERS):
            files = CONTROLLERS[name]
            mount = CGROUPS / files.mounted
            own = mount / path.lstrip("/")
            # In a container the path may be that of the host, which is not mounted: the mount itself is the group then.
            groups = [own, *own.parents] if own.is_dir() else [mount]
            left += [_left(group, files) for group in groups if group == mount or mount in group.parents]
    return min((n for n in left if n is not None), default=None)


def _left(group: Path, files: _Controller) -> int | None:
    try:
        limit, used = (int((group / name).read_text(encoding="ascii")) for name in (files.limit, files.used))
        # A page cache counts as used, although the system gives it up when it is asked for memory.
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):  # no limit is the word "max", or a number that no machine has
        return None
    return max(0, limit - used + int(stat.get(files.cache, 0))) if limit < UNLIMITED else None


def _of_job() -> int | None:
    """What a SLURM job may take on each node, less what this process has."""
    try:
        limit = int(os.environ["SLURM_MEM_PER_NODE"]) * 2**20
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (KeyError, OSError, ValueError):
        return None
    # 0 stands for all memory of the node.
    return max(0, limit - resident) if limit else None
