"""The Gram matrix of a kernel on inputs, by its products alone."""

from typing import Any

from .._array.kinds import stack_block, stack_values, unstack_values
from .._array.namespace import Array, Home, home, index_dtype
from .._array.short import short_repr
from .operator import GramOperator

__all__ = ["KernelMatrix"]


class KernelMatrix(GramOperator):
    """The Gram matrix of a kernel, without the matrix: kernel values are computed anew for each product.

    For matrices that no memory holds, and for empirical kernels with few parameters, whose products J (J^T v) take less
    than their matrix.

    Parameters
    ----------
    kernel : Kernel
        Of any kind. That of C outputs is a stack of C matrices (class-wise), or one of N C rows (full).
    x : array (N, ...)
        Inputs.
    factors : array (n, 1), optional
        Rows and columns of the matrix are multiplied by these.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(30, 3))
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
    >>> matrix = ntk.solve.KernelMatrix(K, x)
    >>> found = ntk.solve.solve(matrix, x[:, 0], ridge=0.1, solver="conjugate_gradient")
    >>> bool(np.allclose(K(x) @ found.x + 0.1 * found.x, x[:, 0]))
    True
    """

    __repr__ = short_repr

    def __init__(self, kernel: Any, x: Array, factors: Array | None = None) -> None:
        self.kernel, (self.x, _) = kernel, kernel.validated(x, None)
        self._factors = factors
        costs = kernel.costs(self.x, None)
        self._home: Home = costs.home
        self._outputs: int = costs.outputs
        rows = int(self.x.shape[0])
        stack, n = {"scalar": (1, rows), "classwise": (costs.outputs, rows), "full": (1, rows * costs.outputs)}[
            kernel.kind
        ]
        self._shape = (stack, n, n)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._shape

    @property
    def home(self) -> Home:
        return self._home

    def product(self, v: Array) -> Array:
        v, xp = self._times(v), home(v).xp
        if self.kernel.kind == "scalar":
            return self._times(self.kernel.product(self.x, None, v[0, ...])[None, ...])
        columns = [
            stack_values(
                self.kernel.kind,
                self.kernel.product(self.x, None, unstack_values(self.kernel.kind, v[..., j : j + 1], self._outputs)),
            )
            for j in range(v.shape[-1])
        ]
        return self._times(xp.concat(columns, axis=-1))

    def diagonal(self) -> Array:
        values, xp = self.kernel.diag(self.x), self._home.xp
        if self.kernel.kind == "full":
            values = xp.linalg.diagonal(values)
        return self._times(self._times(xp.reshape(values, (*self._shape[:2], 1))))[..., 0]

    def columns(self, index: list[int]) -> Array:
        xp, _, device = self._home
        outputs = self._outputs if self.kernel.kind == "full" else 1
        inputs = sorted({i // outputs for i in index})
        taken = xp.take(self.x, xp.asarray(inputs, dtype=index_dtype(xp, device), device=device), axis=0)
        block = stack_block(self.kernel.kind, self.kernel.values(self.x, taken))
        # Of each input that is taken there are as many columns as it has rows.
        place = {i: k for k, i in enumerate(inputs)}
        wanted = [place[i // outputs] * outputs + i % outputs for i in index]
        columns = self._times(xp.take(block, xp.asarray(wanted, dtype=index_dtype(xp, device), device=device), axis=-1))
        if self._factors is None:
            return columns
        return columns * xp.take(self._factors[:, 0], xp.asarray(index, dtype=index_dtype(xp, device), device=device))

    def feature_rows(self) -> Array:
        if not hasattr(self.kernel, "features"):
            return super().feature_rows()
        return self._times(self.kernel.features(self.x)[None, ...])

    def array(self) -> Array:
        block = self._times(stack_block(self.kernel.kind, self.kernel.values(self.x, None)))
        return block if self._factors is None else block * self._factors[:, 0]

    def _times(self, v: Array) -> Array:
        return v if self._factors is None else self._factors * v
