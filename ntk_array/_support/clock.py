"""How long this process has been running, imports included."""

import os
import time

__all__ = ["seconds_since_start"]

_IMPORTED = time.monotonic()


def seconds_since_start() -> float:
    """Wall time since the process began; where the system does not say that, since this module was imported."""
    return max(_by_system(), time.monotonic() - _IMPORTED)


def _by_system() -> float:
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            # Behind the name of the program, which may hold blanks and ends with ")". Field 22 of proc(5) is the start
            # in ticks since boot; the list begins with field 3.
            started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        with open("/proc/uptime", encoding="ascii") as file:
            return float(file.read().split()[0]) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
