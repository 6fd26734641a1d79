"""Cholesky factors with pivots, which show the rank of a Gram matrix."""

import math
from typing import NamedTuple

import numpy as np

__all__ = ["PivotedCholesky", "pivoted_cholesky"]


class PivotedCholesky(NamedTuple):
    """L L^T = K[rows, rows] for the rows of a Gram matrix K (n, n) that rounding resolves.

    Attributes
    ----------
    rows : array (r,) of int
        In the order of the pivots.
    inverse : array (r, r)
        L^{-1}, lower triangular.
    """

    rows: np.ndarray
    inverse: np.ndarray


def pivoted_cholesky(gram: np.ndarray, eps: float) -> PivotedCholesky:
    """Of a Gram matrix (n, n) on the host, by LAPACK's ``dpstrf`` (Higham 2002, section 10.3).

    ``eps`` is the rounding unit of the dtype that K was computed in. The largest remaining pivot is always the next.
    Pivots of at most n eps max K_ii are rounding, and their rows are left out.

    Raises
    ------
    numpy.linalg.LinAlgError
        If K has NaN or infinity, is zero, or is not positive semidefinite.
    """
    from scipy.linalg import lapack

    gram, n = np.asarray(gram, dtype=np.float64), len(gram)
    largest = float(np.max(np.diagonal(gram)))
    if not np.isfinite(gram).all():
        raise np.linalg.LinAlgError("the kernel matrix has NaN or infinity, and no factor")
    if not largest > 0:
        raise np.linalg.LinAlgError("the kernel is 0 at all of these inputs: there is nothing to factor")
    factor, order, rank, _ = lapack.dpstrf(gram, tol=n * eps * largest, lower=1)
    rows = order - 1  # LAPACK counts from 1
    inverse = lapack.dtrtri(factor[:rank, :rank], lower=1)[0]
    # The entries above the diagonal are what LAPACK found there.
    inverse, kept, left = np.tril(inverse), rows[:rank], rows[rank:]
    # Where rows are left out, rounding is what remains of the diagonal. Far below zero, the matrix is no Gram matrix.
    remainder = np.diagonal(gram)[left] - np.sum((inverse @ gram[np.ix_(kept, left)]) ** 2, axis=0)
    least = float(np.min(remainder, initial=0.0))
    if least < -math.sqrt(eps) * largest:
        raise np.linalg.LinAlgError(
            f"the kernel matrix is not positive semidefinite: a pivot is {least:.3e}, beside entries to {largest:.3e}"
        )
    return PivotedCholesky(kept, inverse)
