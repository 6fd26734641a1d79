"""Whole matrices on CuPy, each in one pass over the memory of the device."""

from typing import Any

import numpy as np

from .cuda_launch import NUMBER, Launcher, integers

__all__ = ["add_product", "mirror", "mirror_source", "upper"]

Array = Any

SIDE, THREADS = 32, 256

MIRROR = """typedef {number} T;
// A block of threads takes {side} x {side} entries above the diagonal, and turns them in shared memory: threads beside
// each other read and write neighbours.
extern "C" __global__ void mirror(const int* sizes, const T* above, T* below) {{
    extern __shared__ double memory[];
    T* tile = (T*)memory;
    const long long n = sizes[0], across = blockIdx.x * {side}, down = blockIdx.y * {side};
    if (across > down) return;
    for (int matrix = 0; matrix < sizes[1]; ++matrix) {{
        const long long start = matrix * n * n;
        for (int k = threadIdx.x; k < {side} * {side}; k += {threads}) {{
            const int y = k / {side}, x = k % {side};
            if (across + y < n && down + x < n) tile[y * ({side} + 1) + x] = above[start + (across + y) * n + down + x];
        }}
        __syncthreads();
        for (int k = threadIdx.x; k < {side} * {side}; k += {threads}) {{
            const int y = k / {side}, x = k % {side};
            if (down + y < n && across + x < down + y)
                below[start + (down + y) * n + across + x] = tile[x * ({side} + 1) + y];
        }}
        __syncthreads();
    }}
}}
"""


def upper(a: Array) -> Array:
    """A A^T of (m, k), entries on the diagonal and above it; those below are zeros. Half of the operations (SYRK)."""
    import cupy
    from cupy import cublas

    with cupy.cuda.Device(a.device):
        found = cupy.zeros((a.shape[0], a.shape[0]), dtype=a.dtype)
        return cublas.syrk("N", cupy.ascontiguousarray(a), out=found) if a.size else found


def mirror(a: Array) -> Array:
    """The upper triangle of matrices (..., n, n) copied onto the lower one, in place where they lie row by row."""
    import cupy

    a, n = cupy.ascontiguousarray(a), a.shape[-1]
    if a.size:
        # CuPy compiles a source once.
        launcher = Launcher(mirror_source(a.dtype.char), "mirror", THREADS, SIDE * (SIDE + 1) * a.dtype.itemsize)
        blocks = -(-n // SIDE)
        launcher((blocks, blocks), integers(a, np.asarray([n, a.size // n**2])), a, a)
    return a


def mirror_source(character: str) -> str:
    """The kernel for numbers of this character of a dtype."""
    return MIRROR.format(number=NUMBER[character], side=SIDE, threads=THREADS)


def add_product(total: Array, a: Array, b: Array) -> Array:
    """total + a b in place, for a and b that broadcast to the shape of the total."""
    import cupy

    kernel = cupy.ElementwiseKernel("T total, T a, T b", "T sum", "sum = total + a * b;", "ntk_array_add_product")
    return kernel(total, a, b, total)
