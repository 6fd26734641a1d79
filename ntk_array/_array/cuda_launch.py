"""CUDA kernels on arrays of CuPy, by :class:`cupy.RawKernel`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .namespace import Array, home

__all__ = ["GIVEN_BYTES", "MOST_PAIRS", "NUMBER", "OPTIONS", "Launcher", "integers", "shared_memory"]

NUMBER = {"f": "float", "d": "double"}
"""The type of numbers in CUDA C++, by the character of a dtype."""

GIVEN_BYTES = 48 * 2**10
"""Shared memory that every block may have. A kernel has to ask for more, where the device has it."""
MOST_PAIRS = 2**16 - 1
"""The largest number of blocks along the second axis of a grid, where each pair of inputs has its own."""
OPTIONS = ("--prec-sqrt=false",)
"""Of the compiler, beside CuPy's own, which make zeros of numbers below 1e-38. In float32 a square root then takes one
operation and not ten, with an error of one rounding more."""


def shared_memory(device: Any) -> int:
    """The bytes of shared memory that a block may ask for on a device of CuPy."""
    import cupy

    attributes = cupy.cuda.Device(device).attributes
    return int(attributes.get("MaxSharedMemoryPerBlockOptin", GIVEN_BYTES))


class Launcher:
    """A kernel from its source. CuPy compiles it at the first launch on each device, and keeps it in files."""

    def __init__(self, source: str, name: str, threads: int, shared_bytes: int = 0) -> None:
        import cupy

        self.kernel, self.threads, self.shared_bytes = cupy.RawKernel(source, name, OPTIONS), threads, shared_bytes

    def __call__(self, blocks: tuple[int, int], *arrays: Array) -> None:
        """Run it with so many blocks; the last array is written to."""
        import cupy

        # A kernel is launched on the current device, which need not be that of its arrays.
        with cupy.cuda.Device(home(arrays[-1]).device):
            if self.shared_bytes > GIVEN_BYTES:
                self.kernel.max_dynamic_shared_size_bytes = self.shared_bytes
            self.kernel(blocks, (self.threads,), arrays, shared_mem=self.shared_bytes)


def integers(like: Array, numbers: np.ndarray) -> Array:
    """int32 numbers of the host, beside an array."""
    xp, _, device = home(like)
    return xp.asarray(numbers, dtype=xp.int32, device=device)
