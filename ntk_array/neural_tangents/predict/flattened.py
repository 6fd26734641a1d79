"""Kernels and values with several axes, as one matrix and its columns; and the dynamics of ours on them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..._array.namespace import Array, home, is_array, to_host
from ..._array.validate import finite, real_array
from ...dynamics import Ensemble, FlowState, GradientFlow
from ...function_space import EmpiricalMeasure, SquaredError
from ...kernels import Precomputed

__all__ = ["Flattened", "Trained", "interleaved", "ridge_of", "rows_of", "square"]


def square(k: Any) -> Array:
    """A kernel with the axes (N1, N2, C1, C2, ...) as a matrix (N1 C1 ..., N2 C2 ...)."""
    k = real_array("the kernel", k)
    if k.ndim < 2 or k.ndim % 2:
        raise ValueError(f"a kernel has pairs of axes, (N1, N2) or (N1, N2, C, C), got {tuple(k.shape)}")
    xp, n = home(k).xp, k.ndim
    rows = math.prod(k.shape[::2])
    return xp.reshape(xp.permute_dims(k, (*range(0, n, 2), *range(1, n, 2))), (rows, -1))


def interleaved(matrix: Array, sizes: tuple[int, ...]) -> Array:
    """The reverse for a square matrix (..., M C, M C), whose rows have the axes (M, C)."""
    xp, lead, n = home(matrix).xp, matrix.ndim - 2, len(sizes)
    split = xp.reshape(matrix, (*matrix.shape[:-2], *sizes, *sizes))
    pairs = [axis for i in range(n) for axis in (lead + i, lead + n + i)]
    return xp.permute_dims(split, (*range(lead), *pairs))


class Flattened(NamedTuple):
    """How targets y are laid out: the axes that are rows of kernel matrices, and those that are columns.

    Columns are ``trace_axes``: outputs that share one kernel, and so do not see one another.
    """

    y: Array
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @classmethod
    def of(cls, y: Any, trace_axes: Any, like: Array) -> Flattened:
        """Validated; whole numbers become floats of the dtype of ``like``."""
        y = finite("y_train", real_array("y_train", y, like=like))
        axes = (trace_axes,) if isinstance(trace_axes, int) else tuple(trace_axes)
        traced = sorted({axis % y.ndim for axis in axes})
        if 0 in traced or y.ndim < 2:
            raise ValueError(
                f"y_train has shape {tuple(y.shape)} and trace_axes is {trace_axes}: targets are (N, C), which is "
                "y_train[:, None] for one output, and the first axis is that of the inputs"
            )
        return cls(y, tuple(a for a in range(y.ndim) if a not in traced), tuple(traced))

    def flat(self, values: Any) -> Array:
        """Values (M, ...) as columns (rows, outputs)."""
        values = real_array("values", values, like=self.y)
        width = math.prod(self.y.shape[a] for a in self.columns)
        return home(values).xp.reshape(home(values).xp.permute_dims(values, (*self.rows, *self.columns)), (-1, width))

    def shaped(self, columns: Array) -> Array:
        """The reverse, for values at any number of inputs."""
        xp, order = home(columns).xp, (*self.rows, *self.columns)
        split = xp.reshape(columns, (-1, *(self.y.shape[a] for a in order[1:])))
        return xp.permute_dims(split, tuple(order.index(a) for a in range(self.y.ndim)))

    def filled(self, values: Any, like: Any = None) -> Array:
        """Values of the shape of the targets, or of ``like``, from a number or an array."""
        shape = (self.y if like is None else like).shape
        xp, dtype, device = home(self.y)
        if not is_array(values):
            return xp.full(shape, float(values), dtype=dtype, device=device)
        return xp.broadcast_to(values, shape)

    def square(self, k: Any) -> Array:
        """A kernel as a matrix, checked against the targets."""
        matrix = square(k)
        sizes = [int(self.y.shape[a]) for a in self.rows]
        if matrix.shape[1] != math.prod(sizes) or k.ndim != 2 * len(sizes):
            raise ValueError(
                f"the kernel has shape {tuple(k.shape)}; targets {tuple(self.y.shape)} with trace_axes={self.columns} "
                f"need {len(sizes)} pairs of axes, of which the second ones are {sizes}"
            )
        return matrix

    def covariance(self, matrix: Array) -> Array:
        """A covariance (..., rows, rows) of values at any number of inputs, with the axes of a kernel."""
        others = tuple(int(self.y.shape[a]) for a in self.rows[1:])
        return interleaved(matrix, (matrix.shape[-1] // math.prod(others), *others))


def ridge_of(matrix: Array, diag_reg: float, absolute: bool) -> float:
    """What is added to the diagonal: ``diag_reg``, or so many times its mean."""
    if absolute or not diag_reg:
        return float(diag_reg)
    return float(diag_reg) * float(to_host(home(matrix).xp.mean(home(matrix).xp.linalg.diagonal(matrix))))


def rows_of(matrix: Array, start: int, stop: int) -> Array:
    """Inputs of :class:`ntk_array.Precomputed` for these rows of a matrix."""
    xp, dtype, device = home(matrix)
    return xp.arange(start, stop, dtype=dtype, device=device)[:, None]


class Trained(NamedTuple):
    """Training on the rows of a kernel matrix: the loss is 1/(2 N C) sum ||f - y||^2, and time is learning_rate * t."""

    matrix: Array
    y: Array
    ridge: float

    @property
    def cost(self) -> SquaredError:
        """The squared error, in the convention of neural-tangents."""
        rows = rows_of(self.matrix, 0, self.y.shape[0])
        return SquaredError(EmpiricalMeasure(rows), self.y, convention="half_mean")

    @property
    def noisy(self) -> Array:
        """K + ridge I."""
        return self.matrix + self.ridge * home(self.matrix).eye(self.matrix.shape[0])

    def flow(self, f0: Array | None) -> GradientFlow:
        """From values at t = 0 on the sample."""
        return GradientFlow(Precomputed(self.matrix), self.cost, f0, self.ridge)

    def values(self, state: FlowState) -> Array:
        """(K + ridge I) c, how far values on the sample have moved."""
        return self.matrix @ state.coefficients + self.ridge * state.coefficients

    def ensemble(self, cross: Array, priors: tuple[Array, Array, Array]) -> Ensemble:
        """The distribution at new inputs, whose kernel values with the sample are ``cross``, (M, N).

        The priors are those of the sample, of new inputs with it, and of new inputs.
        """
        xp, m = home(cross).xp, cross.shape[0]
        # Nothing reads the kernel between new inputs.
        nothing = xp.zeros((m, m), dtype=cross.dtype, device=home(cross).device)
        theta = Precomputed(_joint(self.matrix, cross, nothing))
        return Ensemble(theta, Precomputed(_joint(*priors)), self.cost, self.ridge)


def _joint(old: Array, cross: Array, new: Array) -> Array:
    """The matrix of the sample and new inputs together."""
    xp = home(old).xp
    return xp.concat([xp.concat([old, xp.matrix_transpose(cross)], axis=1), xp.concat([cross, new], axis=1)])
