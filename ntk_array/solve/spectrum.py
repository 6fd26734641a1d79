"""Eigendecomposition of Gram matrices, with what rounding leaves unresolved said openly."""

import math
from dataclasses import dataclass

import numpy as np

from .._array.linalg import eigh
from .._array.namespace import Array, home, to_host

__all__ = ["Spectrum", "decompose"]


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and eigenvectors of a stack of B Gram matrices.

    Attributes
    ----------
    values : array (B, n)
        Eigenvalues in ascending order, clipped at 0.
    vectors : array (B, n, n)
        Eigenvectors, as columns.
    cutoff : float
        n eps times the largest eigenvalue: a smaller eigenvalue cannot be told from 0.
    largest : float
        The largest eigenvalue.
    rank : int
        How many eigenvalues are above the cut-off, in the matrix of the stack that has the fewest.
    condition : float
        The largest eigenvalue over the smallest one above the cut-off.
    """

    values: Array
    vectors: Array
    cutoff: float
    largest: float
    rank: int
    condition: float


def decompose(gram: Array) -> Spectrum:
    """The spectrum of Gram matrices (B, n, n).

    Raises
    ------
    numpy.linalg.LinAlgError
        If an eigenvalue is negative beyond rounding: the matrix is not a Gram matrix.
    """
    values, vectors = eigh(gram)
    xp, eps = home(values).xp, home(values).eps
    host = to_host(values).astype(np.float64)
    largest = max(float(host.max()), 0.0)
    if float(host.min()) < -math.sqrt(eps) * max(largest, abs(float(host.min()))):
        raise np.linalg.LinAlgError(
            f"the kernel matrix is not positive semidefinite: its eigenvalues reach from {host.min():.3e} to "
            f"{host.max():.3e}"
        )
    cutoff = gram.shape[-1] * eps * largest
    resolved = host > cutoff
    condition = largest / float(host[resolved].min()) if resolved.any() else math.inf
    return Spectrum(xp.clip(values, min=0.0), vectors, cutoff, largest, int(resolved.sum(axis=-1).min()), condition)
