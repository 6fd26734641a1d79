"""Series of tables summed at all entries of a matrix, by one CUDA kernel: see :func:`.series.sum_mixed`.

The numbers of a row turn each coefficient of the series, a matrix, into a vector, by one matrix product for all of
them. What is left for an entry is the product of that vector with the numbers of its column, term by term of Clenshaw's
recurrence, in registers. A thread has one column and a few rows, so that each number of a column is read once for all
of these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._array.cuda_launch import NUMBER, Launcher, integers
from .._array.namespace import Array, home

__all__ = ["THREADS", "source", "sum_mixed"]

THREADS, ROWS = 128, 4
MOST_BLOCKS = 2**16 - 1
"""Along the second axis of a grid."""

SOURCE = """typedef {number} T;
extern "C" __global__ void __launch_bounds__({threads}) sum_mixed(
    const int* sizes, const int* counts, const T* mixed, const T* columns, const T* y, T* out
) {{
    const int height = sizes[0], width = sizes[1], terms = sizes[2], total = sizes[3];
    const int column = blockIdx.x * {threads} + threadIdx.x;
    if (column >= width) return;
    for (int row = blockIdx.y * {rows}; row < height; row += gridDim.y * {rows}) {{
        T twice[{rows}], newer[{rows}], older[{rows}];
        const T* own[{rows}];
        #pragma unroll
        for (int r = 0; r < {rows}; ++r) {{
            // Behind the last row that row is summed again, and not written.
            const int at = row + r < height ? row + r : height - 1;
            own[r] = mixed + (long long)at * total + total;
            twice[r] = 2 * y[(long long)at * width + column], newer[r] = older[r] = 0;
        }}
        for (int k = terms - 1; k >= 0; --k) {{
            T sums[{rows}];
            #pragma unroll
            for (int r = 0; r < {rows}; ++r) {{
                own[r] -= counts[k];
                sums[r] = 0;
            }}
            for (int b = 0; b < counts[k]; ++b) {{
                const T number = columns[(long long)b * width + column];
                #pragma unroll
                for (int r = 0; r < {rows}; ++r) sums[r] += own[r][b] * number;
            }}
            #pragma unroll
            for (int r = 0; r < {rows}; ++r) {{
                // The term of degree 0 takes y and not 2 y.
                const T next = sums[r] + (k ? twice[r] : twice[r] / 2) * newer[r] - older[r];
                older[r] = newer[r], newer[r] = next;
            }}
        }}
        #pragma unroll
        for (int r = 0; r < {rows}; ++r) if (row + r < height) out[(long long)(row + r) * width + column] = newer[r];
    }}
}}
"""


def source(dtype: np.dtype) -> str:
    """The kernel for numbers of a dtype.

    ``sum_mixed(sizes, counts, mixed, columns, y, out)`` has a block for so many columns, and along the second axis one
    for so many rows, or fewer. ``sizes`` are the rows and columns of y, the terms of the series, and all ``counts``
    together: how many numbers of a column each term takes. ``mixed`` (rows, all counts) has those of the terms one
    after the other. ``columns`` is (numbers, columns).
    """
    return SOURCE.format(number=NUMBER[dtype.char], threads=THREADS, rows=ROWS)


def sum_mixed(shares: Sequence[np.ndarray], left: Array, right: Array, y: Array) -> Array:
    """Sum of shares[k][i, j] T_k(y) left_i right_j, for left (N1, p), right (N2, q) and y (N1, N2)."""
    import cupy

    here, (height, width) = home(y), y.shape
    counts = [share.shape[1] for share in shares]
    rows = max(share.shape[0] for share in shares)
    # One product for all terms: a term of few numbers of a row has zeros for the others.
    whole = np.zeros((rows, sum(counts)))
    for share, stop in zip(shares, np.cumsum(counts), strict=True):
        whole[: share.shape[0], stop - share.shape[1] : stop] = share
    mixed = left[:, :rows] @ here.asarray(whole)
    columns = cupy.ascontiguousarray(right[:, : max(counts)].T)
    out = here.xp.empty((height, width), dtype=here.dtype, device=here.device)
    sizes = integers(y, np.asarray([height, width, len(counts), sum(counts)]))
    given = sizes, integers(y, np.asarray(counts)), mixed, columns, cupy.ascontiguousarray(y), out
    # CuPy compiles a source once.
    launcher = Launcher(source(np.dtype(here.dtype)), "sum_mixed", THREADS)
    launcher((-(-width // THREADS), min(-(-height // ROWS), MOST_BLOCKS)), *given)
    return out
