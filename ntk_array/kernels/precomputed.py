"""A Gram matrix from elsewhere, as a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from .._array.kinds import Kind, as_block, numbers, stack_values, unstack_values
from .._array.libraries import is_numpy
from .._array.namespace import Array, Home, home, index_dtype, is_array, itemsize, namespace_of, to_host
from .._array.validate import count, inputs, one_of
from ..gram.tiled import Costs
from .base import Kernel

if TYPE_CHECKING:
    from ..gram.store import Store

__all__ = ["Precomputed"]


@dataclass(frozen=True)
class Precomputed(Kernel):
    """A given matrix (n, n) as a kernel: its inputs are row numbers, (N, 1) of integers or whole floats.

    So dynamics take a matrix that was computed elsewhere, train and test rows together. Give row numbers as floats of
    the matrix's dtype where that is not the library's default one: cost functionals ask inputs and targets to share it.

    Parameters
    ----------
    matrix : array or Store
        (n, n), (C, n, n) for ``kind="classwise"`` or (n C, n C) for ``kind="full"``, with output c of input n in row
        n C + c. Symmetric. Of a :class:`ntk_array.gram.Store` only the blocks that are asked for are read; its values
        are moved to the library of the row numbers.
    kind : str, optional
        "scalar" unless given; a store knows its own.
    outputs : int, optional
        C, for ``kind="full"``.

    Raises
    ------
    ValueError
        If the matrix is not symmetric or has another shape, or has a NaN or infinity.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.Precomputed(np.asarray([[2.0, 1.0], [1.0, 3.0]]))
    >>> K(np.asarray([[1]]), np.asarray([[0], [1]]))
    array([[1., 3.]])
    """

    matrix: Array | Store
    kind: Kind = None  # type: ignore[assignment]  # a store knows its own
    outputs: int | None = None

    def __post_init__(self) -> None:
        if self._is_stored:
            known = (self.matrix.kind, self.matrix.outputs)
            given = (self.kind or known[0], self.outputs or known[1])
            if given != known:
                raise ValueError(
                    f"the store is that of a {known[0]} kernel of {known[1]} outputs, not of a {given[0]} one of "
                    f"{given[1]}"
                )
            if not self.matrix.symmetric:
                raise ValueError(f"{self.matrix!r} is between two batches; a Gram matrix is assembled with x2=None")
        else:
            matrix = inputs("matrix", self.matrix)
            known = _kind_of(matrix, self.kind or "scalar", self.outputs)
            _check_symmetric(matrix)
            object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "kind", known[0])
        object.__setattr__(self, "outputs", known[1])

    @property
    def _is_stored(self) -> bool:
        if is_array(self.matrix):
            return False
        from ..gram.store import Store  # much that only matrices on disk need

        return isinstance(self.matrix, Store)

    @property
    def _rows_each(self) -> int:
        """Rows of the matrix for each input."""
        return int(self.outputs or 1) if self.kind == "full" else 1

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Rows of the matrix, and the columns of these; a row number for each input."""
        here, outputs = self._home(x1), int(self.outputs or 1)
        pair = itemsize(here) * numbers(self.kind, outputs)
        if not self._is_stored:
            return Costs(here, outputs, 3 * pair, 8)
        # Tiles of the size of a block on disk, so that blocks are not read many times, and room for one that is read.
        rows, columns = self.matrix.layout.block
        return Costs(here, outputs, 5 * pair, 8, least=rows * columns)

    def _home(self, x: Array) -> Home:
        """Where kernel values are."""
        if not self._is_stored:
            return home(self.matrix)
        xp, _, device = home(x)
        return Home(xp, getattr(xp, str(self.matrix.dtype)), device)

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """Row numbers, validated."""
        if not self._is_stored:
            namespace_of(x1, self.matrix)
        x1, x2 = super().validated(x1, x2)
        for name, x in (("x1", x1), ("x2", x2)):
            if x is None:
                continue
            rows = to_host(x)
            n = self.matrix.shape[-1] // self._rows_each
            if x.shape[1:] != (1,) or (rows != rows.round()).any() or rows.min() < 0 or rows.max() >= n:
                raise ValueError(f"{name} must hold row numbers of the matrix, (N, 1) of whole numbers 0 .. {n - 1}")
        return x1, x2

    def prepare(self, x: Array) -> Array:
        """Row numbers as integers."""
        return self._rows(x)

    def prepared_block(self, prepared1: Array, prepared2: Array | None) -> Array:
        """Rows and columns of the matrix."""
        rows, columns = prepared1, prepared1 if prepared2 is None else prepared2
        if self._is_stored:
            part = self._moved(self.matrix[self._on_host(rows), self._on_host(columns)], rows)
        else:
            xp = home(self.matrix).xp
            part = xp.take(xp.take(self.matrix, self._expanded(rows), axis=-2), self._expanded(columns), axis=-1)
        return as_block(self.kind, part, self._rows_each)

    def values(self, x1: Array, x2: Array | None) -> Array:
        """Of a store in one go, which reads each block once."""
        return self.block(x1, x2) if self._is_stored else super().values(x1, x2)

    def product(self, x1: Array, x2: Array | None, v: Array) -> Array:
        """Of a store block by block, without the matrix in memory."""
        if not self._is_stored:
            return super().product(x1, x2, v)
        rows, outputs = self._rows(x1), int(v.shape[1])
        columns = rows if x2 is None else self._rows(x2)
        if self.kind != "scalar" and outputs != self.outputs:
            raise ValueError(f"v has {outputs} columns, the kernel has {self.outputs} outputs")
        stacked = np.asarray(stack_values(self.kind, to_host(v)), dtype=self.matrix.dtype)
        own = stacked if self.kind == "classwise" else stacked[0]
        found = self.matrix.product(self._on_host(rows), self._on_host(columns), own)
        return self._moved(unstack_values(self.kind, found if self.kind == "classwise" else found[None], outputs), rows)

    def block_diagonal(self, x: Array) -> Array:
        """Entries of the diagonal."""
        rows = self._rows(x)
        if self._is_stored:
            axis = -1 if self.kind == "classwise" else 0
            return self._moved(np.take(self.matrix.diagonal(), to_host(rows), axis=axis), rows)
        xp, c = home(self.matrix).xp, self._rows_each
        if self.kind != "full":
            return xp.take(xp.linalg.diagonal(self.matrix), rows, axis=-1)
        each = xp.reshape(self._expanded(rows), (-1, c))
        flat = xp.reshape(self.matrix, (-1,))
        places = each[:, :, None] * self.matrix.shape[1] + each[:, None, :]
        return xp.reshape(xp.take(flat, xp.reshape(places, (-1,))), (-1, c, c))

    def _rows(self, x: Array) -> Array:
        xp = home(x).xp
        return xp.astype(x[:, 0], index_dtype(xp, home(x).device))

    def _expanded(self, rows: Array) -> Array:
        """Rows of the matrix from numbers of inputs."""
        xp, dtype, device = home(rows)
        c = self._rows_each
        return rows if c == 1 else xp.reshape(rows[:, None] * c + xp.arange(c, dtype=dtype, device=device), (-1,))

    def _on_host(self, rows: Array) -> np.ndarray:
        return to_host(self._expanded(rows))

    def _moved(self, values: np.ndarray, rows: Array) -> Array:
        """From the host to where the row numbers are."""
        return values if is_numpy(rows) else self._home(rows).asarray(values)


def _kind_of(matrix: Array, kind: Any, outputs: int | None) -> tuple[Kind, int]:
    """The kind and C, of a matrix of that shape."""
    one_of("kind", kind, get_args(Kind))
    shape = tuple(matrix.shape)
    square = len(shape) == (3 if kind == "classwise" else 2) and shape[-1] == shape[-2]
    if kind == "full" and outputs is None:
        raise ValueError('kind="full" needs outputs=, the number C of outputs: the matrix is (n C, n C)')
    known = {"scalar": 1, "classwise": shape[0], "full": outputs}[kind]
    number = count("outputs", known if outputs is None else outputs)
    if not square or number != known or (kind == "full" and shape[0] % number):
        expected = {"scalar": "(n, n)", "classwise": "(C, n, n)", "full": f"(n C, n C), with C = {outputs}"}[kind]
        raise ValueError(
            f'matrix has shape {shape}; a Gram matrix is {expected} for kind="{kind}"'
            + ("" if outputs in (None, known) else f", and outputs={outputs} is not that of the matrix")
        )
    return kind, number


def _check_symmetric(matrix: Array) -> None:
    xp = home(matrix).xp
    scale = float(to_host(xp.max(xp.abs(matrix))))
    if float(to_host(xp.max(xp.abs(matrix - xp.matrix_transpose(matrix))))) > 1e3 * home(matrix).eps * scale:
        raise ValueError("matrix is not symmetric; use (matrix + matrix.T) / 2 if that is rounding")
