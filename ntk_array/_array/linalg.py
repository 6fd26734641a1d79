"""Dense linear algebra over the array API, with one behaviour on every library."""

import numpy as np

from .namespace import Array, home, to_host

__all__ = ["eigh", "mirror", "with_diagonal"]


def eigh(a: Array) -> tuple[Array, Array]:
    """Eigenvalues (..., n) in ascending order and eigenvectors (..., n, n) of symmetric matrices.

    Raises numpy.linalg.LinAlgError where the library returns NaN instead of failing.
    """
    xp = home(a).xp
    values, vectors = xp.linalg.eigh(a)
    if not to_host(xp.all(xp.isfinite(values))):
        raise np.linalg.LinAlgError("the eigendecomposition did not converge: are all kernel values finite?")
    return values, vectors


def mirror(a: Array) -> Array:
    """Copy the upper triangle of (..., n, n) onto the lower one: exact symmetry."""
    xp = home(a).xp
    return xp.triu(a) + xp.matrix_transpose(xp.triu(a, k=1))


def with_diagonal(a: Array, diagonal: Array) -> Array:
    """A matrix (n, n) with this diagonal (n,)."""
    place = home(a)
    return place.xp.where(place.eye(a.shape[0]) == 1, diagonal, a)
