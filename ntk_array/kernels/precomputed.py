"""A Gram matrix from elsewhere, as a kernel."""

from dataclasses import dataclass
from typing import Any

from .._array.namespace import Array, home, itemsize, namespace_of, to_host
from .._array.validate import inputs
from ..gram.tiled import Costs
from .base import Kernel

__all__ = ["Precomputed"]


@dataclass(frozen=True)
class Precomputed(Kernel):
    """A given matrix (n, n) as a kernel: its inputs are row numbers, (N, 1) of integers or whole floats.

    So dynamics take a matrix that was computed elsewhere, train and test rows together. Give row numbers as floats of
    the matrix's dtype where that is not the library's default one: cost functionals ask inputs and targets to share it.

    Parameters
    ----------
    matrix : array (n, n)
        Symmetric.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.Precomputed(np.asarray([[2.0, 1.0], [1.0, 3.0]]))
    >>> K(np.asarray([[1]]), np.asarray([[0], [1]]))
    array([[1., 3.]])
    """

    matrix: Array

    def __post_init__(self) -> None:
        matrix = inputs("matrix", self.matrix)
        xp = home(matrix).xp
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix has shape {tuple(matrix.shape)}; a Gram matrix is (n, n)")
        scale = float(to_host(xp.max(xp.abs(matrix))))
        if float(to_host(xp.max(xp.abs(matrix - matrix.T)))) > 1e3 * home(matrix).eps * scale:
            raise ValueError("matrix is not symmetric; use (matrix + matrix.T) / 2 if that is rounding")
        object.__setattr__(self, "matrix", matrix)

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Rows of the matrix, and the columns of these; a row number for each input."""
        here = home(self.matrix)
        return Costs(here, 1, 3 * itemsize(here), 8)

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """Row numbers, validated."""
        namespace_of(x1, self.matrix)
        x1, x2 = super().validated(x1, x2)
        for name, x in (("x1", x1), ("x2", x2)):
            if x is None:
                continue
            rows = to_host(x)
            n = self.matrix.shape[0]
            if x.shape[1:] != (1,) or (rows != rows.round()).any() or rows.min() < 0 or rows.max() >= n:
                raise ValueError(f"{name} must hold row numbers of the matrix, (N, 1) of whole numbers 0 .. {n - 1}")
        return x1, x2

    def prepare(self, x: Array) -> Array:
        """Row numbers as integers."""
        return self._rows(x)

    def prepared_block(self, prepared1: Array, prepared2: Array | None) -> Array:
        """Rows and columns of the matrix."""
        xp = home(self.matrix).xp
        return xp.take(xp.take(self.matrix, prepared1, axis=0), prepared1 if prepared2 is None else prepared2, axis=1)

    def block_diagonal(self, x: Array) -> Array:
        """Entries of the diagonal."""
        xp = home(self.matrix).xp
        return xp.take(xp.linalg.diagonal(self.matrix), self._rows(x))

    def _rows(self, x: Array) -> Array:
        xp = home(x).xp
        return xp.astype(x[:, 0], xp.int64)
