"""Low-rank approximations of Gram matrices from a few of their columns, as preconditioners."""

from typing import NamedTuple

import numpy as np

from .._array.linalg import cholesky, solve_lower
from .._array.namespace import Array, home, index_dtype, to_host
from .operator import GramOperator

__all__ = ["Preconditioner", "pivoted_factor"]

BLOCK = 64
"""Columns that are taken at once."""


class Pivoted(NamedTuple):
    """K ~ F F^T from some columns of K.

    Attributes
    ----------
    factor : array (B, n, r)
        F.
    remains : float
        The trace of K - F F^T over that of K; of the matrix of the stack that has the largest.
    """

    factor: Array
    remains: float


def pivoted_factor(operator: GramOperator, rank: int, remains: float = 0.0, seed: int = 0) -> Pivoted:
    """A partial Cholesky factor of K whose columns are drawn with the probabilities of the diagonal that remains.

    Blocked randomly pivoted Cholesky (Chen, Epperly, Tropp and Webber 2023). It takes ``rank`` columns of
    K, and n rank^2 operations.

    Parameters
    ----------
    rank : int
        The most columns.
    remains : float
        Stop where the trace of what remains is this share of the trace of K.
    seed : int
        Of the draws, which are the same on every library.
    """
    here, rng = operator.home, np.random.default_rng(seed)
    xp = here.xp
    diagonal = to_host(operator.diagonal()).astype(np.float64)
    left, total = diagonal.copy(), np.maximum(diagonal.sum(axis=-1), np.finfo(np.float64).tiny)
    parts: list[Array] = []
    found, chosen = 0, np.zeros(diagonal.shape[-1], bool)
    share = 1.0
    while found < rank and share > remains:
        # All matrices of a stack share their pivots.
        weights = np.where(chosen, 0.0, (left / total[:, None]).sum(axis=0).clip(min=0.0))
        if not weights.sum() > 0.0:
            break
        size = min(BLOCK, rank - found, int((weights > 0).sum()))
        pivots = np.sort(rng.choice(len(weights), size=size, replace=False, p=weights / weights.sum()))
        index = xp.asarray(pivots, dtype=index_dtype(xp, here.device), device=here.device)
        columns = operator.columns(pivots.tolist())
        if parts:
            known = xp.concat(parts, axis=-1)
            columns = columns - known @ xp.matrix_transpose(xp.take(known, index, axis=-2))
        core = xp.take(columns, index, axis=-2)
        # Pivots of one block may depend on one another: a share of their trace keeps the core positive definite.
        shift = size * here.eps * xp.sum(xp.linalg.diagonal(core), axis=-1)[:, None, None]
        try:
            lower = cholesky(core + shift * here.eye(size))
        except np.linalg.LinAlgError:
            break  # what remains is rounding
        part = xp.matrix_transpose(solve_lower(lower, xp.matrix_transpose(columns)))
        parts.append(part)
        left = (left - to_host(xp.sum(part * part, axis=-1))).clip(min=0.0)
        chosen[pivots] = True
        found += size
        share = float((left.sum(axis=-1) / total).max())
    b, n, _ = operator.shape
    empty = xp.zeros((b, n, 0), dtype=here.dtype, device=here.device)
    return Pivoted(xp.concat(parts, axis=-1) if parts else empty, share)


class Preconditioner:
    """(F F^T + ridge I)^{-1} for a factor F (B, n, r) and a ridge above 0.

    With the singular values s and left singular vectors U of F it is (I - U diag(s^2 / (s^2 + ridge)) U^T) / ridge.
    """

    def __init__(self, factor: Array, ridge: float) -> None:
        xp = home(factor).xp
        vectors, values, _ = xp.linalg.svd(factor, full_matrices=False)
        self._vectors, self._ridge = vectors, ridge
        self._shares = (values * values / (values * values + ridge))[..., None]

    def __call__(self, v: Array) -> Array:
        """The product with v (B, n, k)."""
        along = home(v).xp.matrix_transpose(self._vectors) @ v
        return (v - self._vectors @ (self._shares * along)) / self._ridge
