"""Planes on a GPU, by :class:`cupy.RawKernel`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._array.namespace import Array, home
from .cuda_planes import PlaneCode

__all__ = ["GIVEN_BYTES", "Launcher", "shared_memory"]

GIVEN_BYTES = 48 * 2**10
"""Shared memory that every block may have. A kernel has to ask for more, where the device has it."""


def shared_memory(device: Any) -> int:
    """The bytes of shared memory that a block may ask for on a device of CuPy."""
    import cupy

    attributes = cupy.cuda.Device(device).attributes
    return int(attributes.get("MaxSharedMemoryPerBlockOptin", GIVEN_BYTES))


class Launcher:
    """The kernel of a network. CuPy compiles it at the first launch on each device, and keeps it in files."""

    def __init__(self, code: PlaneCode) -> None:
        import cupy

        self.code, self.kernel = code, cupy.RawKernel(code.source, "run_planes")

    def __call__(self, first: np.ndarray, second: np.ndarray, rows: Array, columns: Array) -> Array:
        """Sums over positions (pairs, outputs), in float64, of the pairs of inputs with these numbers in both batches.

        Rows and columns are (inputs, numbers), see :class:`PlaneCode`.
        """
        import cupy

        code, (xp, _, device) = self.code, home(rows)
        pairs = len(first)
        sums = xp.empty((pairs, code.planes, len(code.outputs)), dtype=xp.float64, device=device)
        numbers = (xp.asarray(i, dtype=xp.int32, device=device) for i in (first, second))
        # The kernel knows nothing of strides.
        given = (xp.reshape(a, (-1,)) for a in (rows, columns))
        # A kernel is launched on the current device, which need not be that of its arrays.
        with cupy.cuda.Device(device):
            if code.shared_bytes > GIVEN_BYTES:
                self.kernel.max_dynamic_shared_size_bytes = code.shared_bytes
            grid, block = (pairs * code.planes,), (code.threads,)
            self.kernel(grid, block, (*numbers, *given, sums), shared_mem=code.shared_bytes)
        return xp.sum(sums, axis=1)
