"""``ntk-array info``: what is installed, and on what it computes."""

import argparse
import os
import platform
import sys
import warnings
from importlib import import_module, util

import numpy as np

from .. import __version__
from .._array.libraries import LIBRARIES
from .._array.namespace import home, standard_namespace
from .._formula.compilers import descriptions
from .._support.versions import installed_version
from ..gram.memory import available, host_memory, readable
from ..gram.threads import thread_count
from .options import Commands, add_command

__all__ = ["register"]

PACKAGES = ("numpy", "scipy", "array_api_compat", "numba", *LIBRARIES, "scikit-learn", "matplotlib", "zarr", "pyarrow")


def register(commands: Commands) -> None:
    """Add the command."""
    add_command(
        commands,
        "info",
        run,
        "versions, libraries, devices, memory and compilers",
        "Say what is installed: versions, array libraries with their devices, the memory that this process may "
        "take (limits of containers and of SLURM jobs count), and what compiles the formulas of infinite-width "
        "kernels.",
    )


def run(options: argparse.Namespace) -> int:
    """Print it."""
    del options
    print(f"ntk_array {__version__}, Python {sys.version.split()[0]}, {platform.system()} {platform.machine()}")
    _table("packages", {name: installed_version(name) or "not installed" for name in dict.fromkeys(PACKAGES)})
    _table("this machine", _machine())
    _table("devices", {name: _devices(name) for name in LIBRARIES})
    _table("formulas of infinite-width kernels on arrays of", descriptions())
    return 0


def _table(title: str, rows: dict[str, str]) -> None:
    print(f"\n{title}")
    for name, text in rows.items():
        print(f"  {name:<18}{text}")


def _machine() -> dict[str, str]:
    memory = host_memory()
    return {
        "memory": "not known" if memory is None else f"{readable(memory)} may be taken (limits of containers count)",
        "processors": f"{_processors()} of {os.cpu_count()} for this process",
        "matrix products": f"{thread_count(np.empty((1, 1)), None)} threads",
    }


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices(name: str) -> str:
    """The devices of a library, and the free memory of those that have memory of their own."""
    module = LIBRARIES[name].module
    if util.find_spec(module.partition(".")[0]) is None:
        return "not installed"
    try:
        # A library may warn about devices that it knows and nobody has.
        with warnings.catch_warnings(action="ignore"):
            xp = standard_namespace(import_module(module))
            devices = xp.__array_namespace_info__().devices()
    except Exception as error:  # a library without its driver fails in ways of its own
        return f"none can be used: {' '.join(str(error).split())}"
    # JAX lists None for its default device, and PyTorch one without memory, for shapes only.
    return ", ".join(_device(xp, device) for device in devices if str(device) not in ("None", "meta"))


def _device(xp: object, device: object) -> str:
    try:
        free = available(home(xp.empty(1, dtype=xp.float32, device=device)))  # type: ignore[attr-defined]
    except Exception as error:  # listed, and still not usable
        return f"{device} (cannot be used: {' '.join(str(error).split())})"
    return str(device) if free is None else f"{device} ({readable(free)} free)"
