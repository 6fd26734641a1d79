"""Dense linear algebra over the array API, with one behaviour on every library."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .libraries import is_numpy
from .namespace import Array, home, to_host

__all__ = [
    "cholesky",
    "eigenvalues",
    "eigh",
    "inner",
    "mirror",
    "norm",
    "plus_diagonal",
    "refuse_indefinite",
    "singular_values",
    "solve_lower",
    "triangular",
    "with_diagonal",
]

NOT_FINITE = "the matrix has NaN or infinity, and no eigenvalues: are all kernel values finite?"


def eigh(a: Array) -> tuple[Array, Array]:
    """Eigenvalues (..., n) in ascending order and eigenvectors (..., n, n) of symmetric matrices.

    Raises numpy.linalg.LinAlgError, on every library, for NaN or infinity and where the method does not converge.
    """
    xp = home(a).xp
    # CuPy returns numbers for a matrix with NaN, so the input is checked. The largest and the smallest entry are NaN
    # or infinite if any entry is, and take no mask of the size of the matrix.
    if not to_host(xp.isfinite(xp.max(a)) & xp.isfinite(xp.min(a))):
        raise np.linalg.LinAlgError(NOT_FINITE)
    values, vectors = _each(xp.linalg.eigh, a)
    # A library that returns NaN where the method fails has to raise the same error as NumPy.
    if not to_host(xp.all(xp.isfinite(values))):
        raise np.linalg.LinAlgError("the eigendecomposition did not converge")
    return values, vectors


def eigenvalues(a: Array) -> np.ndarray:
    """Eigenvalues (..., n) of symmetric matrices in ascending order, computed on the host.

    Raises numpy.linalg.LinAlgError for NaN or infinity, as :func:`eigh` does.
    """
    host = to_host(a)
    if not np.isfinite(host).all():
        raise np.linalg.LinAlgError(NOT_FINITE)
    return np.linalg.eigvalsh(host)


def cholesky(a: Array) -> Array:
    """The lower Cholesky factors (..., n, n) of positive definite matrices, which may be overwritten.

    Raises numpy.linalg.LinAlgError, on every library, for a matrix that is not positive definite or has NaN.
    """
    its_home = home(a)
    xp, library = its_home.xp, its_home.library
    try:
        lower = library.cholesky(xp, a)
        # A library that returns NaN where there is no factor has to raise the same error as NumPy.
        exists = bool(to_host(xp.all(xp.isfinite(xp.linalg.diagonal(lower)))))
    except np.linalg.LinAlgError:
        exists = False
    if not exists:
        raise np.linalg.LinAlgError("the matrix is not positive definite to rounding: it has no Cholesky factor")
    return lower


def solve_lower(lower: Array, b: Array, transposed: bool = False) -> Array:
    """L^{-1} b, or L^{-T} b, for lower triangular factors (..., n, n) and right-hand sides (..., n, k)."""
    its_home = home(b)
    return its_home.library.solve_lower(its_home.xp, lower, b, transposed)


def triangular(a: Array) -> Array:
    """The upper triangular factor of matrices (..., m, n), (..., min(m, n), n), of which a^T a is the square."""
    # The standard gives both factors of a QR decomposition. NumPy can leave out the one that nobody asks for.
    if is_numpy(a):
        return np.linalg.qr(a, mode="r")
    return _each(home(a).xp.linalg.qr, a)[1]


def singular_values(a: Array) -> tuple[Array, Array, Array]:
    """U (..., n, n), singular values (..., n) in descending order and V (..., n, n) with U diag(s) V^T = a, for square
    matrices.

    Raises numpy.linalg.LinAlgError, on every library, for NaN or infinity and where the method does not converge.
    """
    xp = home(a).xp
    if not to_host(xp.all(xp.isfinite(a))):
        raise np.linalg.LinAlgError("the features have NaN or infinity, or their squares overflow")
    left, values, right = _each(xp.linalg.svd, a)
    if not to_host(xp.all(xp.isfinite(values))):
        raise np.linalg.LinAlgError("the singular value decomposition did not converge")
    return left, values, xp.matrix_transpose(right)


def _each(decomposed: Callable[[Array], Sequence[Array]], a: Array) -> Sequence[Array]:
    """The parts of a decomposition; a stack of one matrix is decomposed as that matrix."""
    # CuPy decomposes a stack by a batched Jacobi method, about 20 times slower than its method for one matrix.
    if a.ndim == 3 and a.shape[0] == 1:
        return tuple(part[None, ...] for part in decomposed(a[0, ...]))
    return decomposed(a)


def refuse_indefinite(values: np.ndarray, eps: float) -> None:
    """numpy.linalg.LinAlgError if eigenvalues (..., n) of a Gram matrix are negative beyond rounding."""
    least, largest = float(values.min()), float(values.max())
    if least < -math.sqrt(eps) * max(largest, abs(least)):
        raise np.linalg.LinAlgError(
            f"the kernel matrix is not positive semidefinite: its eigenvalues reach from {least:.3e} to {largest:.3e}"
        )


def mirror(a: Array) -> Array:
    """The upper triangle of (..., n, n) copied onto the lower one: exact symmetry. The argument may be overwritten."""
    xp, _, device = home(a)
    own = home(a).library.mirror
    if own is not None:
        return own(a)
    i = xp.arange(a.shape[-1], dtype=xp.int32, device=device)
    return xp.where(i[:, None] <= i, a, xp.matrix_transpose(a))


HALVED = 256
"""Rows and columns of a matrix from which half of its product with itself is worth two copies of the result."""
MANY_ROWS = 4096
"""The same on an accelerator, where small products take about as long as it takes to launch them."""


def inner(a: Array, b: Array, exact: bool = True) -> Array:
    """A B^T of (..., m, k) and (..., n, k), a new array; exactly symmetric where b is a.

    Without ``exact`` what is below the diagonal is then for :func:`mirror` to overwrite: where the other half would
    cost another pass it is symmetric to rounding only, or not computed.
    """
    if b is not a:
        return a @ (b.T if b.ndim == 2 else home(b).xp.matrix_transpose(b))
    if is_numpy(a):
        # NumPy computes one triangle of A A^T (SYRK) and copies it, unless it has to copy A first.
        a = np.ascontiguousarray(a)
        return a @ (a.T if a.ndim == 2 else np.matrix_transpose(a))
    # Other libraries compute A A^T as any product, equal on both sides of the diagonal to rounding only.
    (xp, _, _), (rows, columns), library = home(a), a.shape[-2:], home(a).library
    if library.upper is not None and a.ndim == 2:
        product = library.upper(a)
        return mirror(product) if exact else product
    least = MANY_ROWS if library.on_accelerator(home(a).device) else HALVED
    if library.compiles_each_shape or rows < least or columns < HALVED:
        product = a @ xp.matrix_transpose(a)
        return mirror(product) if exact else product
    # The product of two halves stands for that of the halves exchanged.
    one, two = a[..., : rows // 2, :], a[..., rows // 2 :, :]
    across = one @ xp.matrix_transpose(two)
    upper = xp.concat([inner(one, one, exact), across], axis=-1)
    lower = xp.concat([xp.matrix_transpose(across), inner(two, two, exact)], axis=-1)
    return xp.concat([upper, lower], axis=-2)


def norm(a: Array, axis: int | None = None) -> Array:
    """Euclidean norms along an axis, or of all numbers, whose axes stay with length 1.

    The numbers are divided by the largest of them first, because squares overflow and vanish long before they do.
    """
    xp = home(a).xp
    unit = xp.max(xp.abs(a), axis=axis, keepdims=True)
    unit = xp.where((unit > 0) & xp.isfinite(unit), unit, 1.0)
    scaled = a / unit
    return unit * xp.sqrt(xp.sum(scaled * scaled, axis=axis, keepdims=True))


def plus_diagonal(a: Array, number: Any) -> Array:
    """a + number I for matrices (..., n, n), or a + diag(number) for numbers (n,); a new array."""
    its_home = home(a)
    if is_numpy(a):
        result = np.array(a, order="C")
        places = np.arange(a.shape[-1])
        result[..., places, places] += number
        return result
    if not its_home.library.writable:
        return a + its_home.eye(a.shape[-1]) * number
    # Every (n + 1)-th entry of a copy, and no other matrix of this size.
    (xp, dtype, device), n = its_home, a.shape[-1]
    flat = xp.reshape(xp.asarray(a, dtype=dtype, device=device, copy=True), (-1, n * n))
    flat[:, :: n + 1] += number
    return xp.reshape(flat, a.shape)


def with_diagonal(a: Array, diagonal: Array) -> Array:
    """A matrix (n, n) with this diagonal (n,). The matrix that is given may be overwritten."""
    if is_numpy(a):
        np.fill_diagonal(a, diagonal)
        return a
    its_home = home(a)
    if its_home.library.writable:
        flat = its_home.xp.reshape(a, (-1,))
        flat[:: a.shape[0] + 1] = diagonal
        return its_home.xp.reshape(flat, a.shape)
    # A diagonal (n,) broadcasts along rows: column j of the array that is chosen from holds diagonal[j].
    return its_home.xp.where(its_home.eye(a.shape[0]) == 1, diagonal, a)
