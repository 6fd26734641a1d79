"""Cholesky factors of NumPy matrices: in place, by blocks, with a bar."""

from collections.abc import Iterator

import numpy as np

from .._support.progress import progress_asked, progress_sum

__all__ = ["cholesky", "solve_lower"]

WHOLE = 12_000
"""Up to so many rows LAPACK does all at once, in a few seconds."""
BLOCK = 4096
"""Columns of a block beyond that."""
ROWS = 1024
"""Rows of it that are worked on at once."""


def cholesky(a: np.ndarray) -> np.ndarray:
    """The lower factors of symmetric matrices (..., n, n), which are overwritten.

    A large one is done block by block, from the left. LAPACK alone would show no progress, and would not listen to
    Ctrl-C before its end; and that of OpenBLAS 0.3.30 and 0.3.31, on two threads, crashes the process at 16,000 rows in
    float64.
    """
    if not a.flags.c_contiguous or not a.flags.writeable:
        a = np.array(a, order="C")
    for matrix in a.reshape(-1, *a.shape[-2:]):
        if len(matrix) <= WHOLE:
            _whole(matrix)
            continue
        for _ in progress_sum(
            _blocks(matrix), len(matrix) ** 3, "Cholesky factor", " operations / 3", progress_asked()
        ):
            pass
    return a


def solve_lower(lower: np.ndarray, b: np.ndarray, transposed: bool) -> np.ndarray:
    """L^{-1} b, or L^{-T} b."""
    from scipy.linalg.lapack import get_lapack_funcs

    (trtrs,) = get_lapack_funcs(("trtrs",), (lower, b))
    result = np.empty(b.shape, b.dtype)
    for index in np.ndindex(b.shape[:-2]):
        # The transpose of an array in the order of C is one in the order of Fortran, which LAPACK takes as it is.
        result[index] = trtrs(lower[index].T, b[index], lower=False, trans=int(not transposed))[0]
    return result


def _whole(matrix: np.ndarray) -> None:
    from scipy.linalg.lapack import get_lapack_funcs

    (potrf,) = get_lapack_funcs(("potrf",), (matrix,))
    # The upper factor of the transpose, in the order of Fortran, is the lower one of the matrix: nothing is copied.
    factor, info = potrf(matrix.T, lower=False, overwrite_a=True, clean=True)
    if info:
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    if not np.shares_memory(factor, matrix):
        matrix[...] = factor.T


def _blocks(matrix: np.ndarray) -> Iterator[int]:
    """A block of columns after the other; what is yielded adds up to n^3.

    NumPy and SciPy have a BLAS each, whose threads spin for a while when they are done. So all products come first, by
    NumPy, and then all that SciPy does.
    """
    from scipy.linalg.blas import get_blas_funcs

    (trsm,) = get_blas_funcs(("trsm",), (matrix,))
    n = len(matrix)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        done = matrix[start:stop, :start]
        for rows in _rows(start, n):
            # Of the corner, the columns up to the diagonal.
            last = min(rows.stop, stop)
            matrix[rows, start:last] -= matrix[rows, :start] @ done[: last - start].T
        corner = np.array(matrix[start:stop, start:stop])
        _whole(corner)
        matrix[start:stop, start:stop] = corner
        matrix[start:stop, stop:] = 0.0
        for rows in _rows(stop, n):
            # X L^T = A, as L X^T = A^T in the order of Fortran.
            below = np.array(matrix[rows, start:stop])
            matrix[rows, start:stop] = trsm(1.0, corner.T, below.T, trans_a=True, overwrite_b=True).T
        # The rest of the matrix, of k columns, takes k^3 / 3 operations.
        yield (n - start) ** 3 - (n - stop) ** 3


def _rows(start: int, n: int) -> Iterator[slice]:
    """Some rows at a time, so that copies of them stay small."""
    return (slice(row, min(row + ROWS, n)) for row in range(start, n, ROWS))
