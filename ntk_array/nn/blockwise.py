"""Matrices of m x n blocks (p, q), held as (m, p, n q), and one number for each block."""

import numpy as np

from .._array.libraries import is_numpy
from .._array.namespace import Array, home
from .._formula import numba_loops

__all__ = ["add_kronecker", "add_multiple"]


def add_multiple(total: Array | None, blocks: Array, factors: Array) -> Array:
    """Blocks (m, p, n q) times a factor (m, n) each, added to a total of their shape, if there is one.

    The total and the blocks are used up.
    """
    add_product = home(blocks).library.add_product
    if total is not None and add_product is not None:
        (m, p, _), n, xp = blocks.shape, factors.shape[1], home(blocks).xp
        entries, own = (xp.reshape(one, (m, p, n, -1)) for one in (total, blocks))
        return xp.reshape(add_product(entries, own, factors[:, None, :, None]), total.shape)
    # Repeated once a row of blocks: long inner loops.
    repeated = home(blocks).xp.repeat(factors, blocks.shape[2] // factors.shape[1], axis=1)
    if total is not None and numba_loops.compiles(blocks):
        _sum_loop(total, blocks, repeated)
        return total
    blocks *= repeated[:, None, :]
    if total is None:
        return blocks
    total += blocks
    return total


def add_kronecker(total: Array | None, a: Array, b: Array) -> Array:
    """The Kronecker product of a (m, n) and b (p, q), as blocks, added to a total of that shape, if there is one.

    The total is used up.
    """
    (m, n), (p, q) = a.shape, b.shape
    if is_numpy(total) and np.count_nonzero(b) <= max(p, q):
        # An identity, say: few entries of the total change.
        if numba_loops.compiles(total):
            _kronecker_loop(total, a, b)
            return total
        entries = total.reshape((m, p, n, q))
        for i, j in zip(*np.nonzero(b), strict=True):
            entries[:, i, :, j] += b[i, j] * a
        return total
    xp, add_product = home(a).xp, home(a).library.add_product
    if total is not None and add_product is not None:
        entries = add_product(xp.reshape(total, (m, p, n, q)), a[:, None, :, None], b[None, :, None, :])
        return xp.reshape(entries, total.shape)
    columns = xp.reshape(xp.broadcast_to(b[:, None, :], (p, n, q)), (p, n * q))
    product = xp.repeat(a, q, axis=1)[:, None, :] * columns
    if total is not None:
        product += total
    return product


@numba_loops.jit
def _sum_loop(total: np.ndarray, blocks: np.ndarray, factors: np.ndarray) -> None:
    for i in range(blocks.shape[0]):
        for j in range(blocks.shape[1]):
            for k in range(blocks.shape[2]):
                total[i, j, k] += blocks[i, j, k] * factors[i, k]


@numba_loops.jit
def _kronecker_loop(total: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    (m, n), (p, q) = a.shape, b.shape
    for i in range(m):
        for j in range(p):
            for k in range(q):
                if b[j, k] != 0:
                    for other in range(n):
                        total[i, j, other * q + k] += b[j, k] * a[i, other]
