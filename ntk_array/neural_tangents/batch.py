"""Kernels in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["batch"]


def batch(
    kernel_fn: Callable[..., Any], batch_size: int = 0, device_count: int = -1, store_on_device: bool = True
) -> Callable[..., Any]:
    """The same function: kernels are computed in tiles that fit the memory, whatever the numbers of inputs.

    neural-tangents cuts a batch size down to what divides both numbers of inputs, and spreads batches over devices.
    :func:`ntk_array.gram.assemble` has the say over memory, threads, a progress bar, a matrix on disk and an executor
    for more processes: ``ntk_array.gram.assemble(ntk_array.InfiniteNTK(kernel_fn.net), x1, x2)``.
    """
    del batch_size, device_count, store_on_device
    if not callable(kernel_fn):
        raise TypeError(f"kernel_fn must be a function, got {kernel_fn!r}")
    return kernel_fn
