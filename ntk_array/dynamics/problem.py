"""The problem that all dynamics solve: a kernel on a sample, the function at t = 0 and a ridge."""

import copy
from collections.abc import Callable
from typing import Any

from .._array.kinds import stack_block, stack_values, unstack_values
from .._array.namespace import Array, home, is_array, itemsize
from .._array.validate import finite, real_array, same_home
from ..function_space.cost import Cost
from ..function_space.measure import EmpiricalMeasure
from ..gram.memory import bytes_of, readable, refuse_without_room
from ..kernels.base import Kernel, only_kernels
from ..solve.factor import Solver
from ..solve.kernel_matrix import KernelMatrix
from ..solve.operator import GramOperator, Matrix
from ..solve.ridge import Ridge, absolute_ridge

__all__ = ["KernelProblem", "refuse_other_outputs"]


class KernelProblem:
    """A kernel on the sample of p^in, with f_0 and a ridge, checked against each other, as stacks of matrices.

    Kernels of every kind become B ordinary matrices with n rows (:mod:`ntk_array._array.kinds`), and values of
    functions (B, n, k). With weights w_i the dynamics are symmetric in the variables sqrt(N w_i) f(x_i), so that
    :meth:`gram`, :meth:`cross` and :meth:`residual` carry these factors. Equal weights make them 1, and nothing is
    multiplied.

    Parameters
    ----------
    kernel : Kernel
        K.
    p_in : EmpiricalMeasure
        The sample and its weights.
    outputs : int, optional
        C, the number of outputs of f_0 and of the targets. None where there are neither.
    f0 : callable or array (N, C), optional
        The function at t = 0, or its values on the sample; None is f_0 = 0.
    ridge : float or TimesMeanDiagonal
        Added to the diagonal of the weighted Gram matrix.

    Attributes
    ----------
    kind : "scalar", "classwise" or "full"
        Of the kernel.
    initial : array (N, C)
        f_0 on the sample.
    """

    def __init__(
        self,
        kernel: Kernel,
        p_in: EmpiricalMeasure,
        outputs: int | None = None,
        f0: Callable[[Array], Array] | Array | None = None,
        ridge: Ridge = 0.0,
    ) -> None:
        only_kernels("kernel", kernel)
        if not isinstance(p_in, EmpiricalMeasure):
            raise TypeError(f"p_in must be an EmpiricalMeasure, got {type(p_in).__name__}; write EmpiricalMeasure(x)")
        if f0 is not None and not callable(f0) and not is_array(f0):
            raise TypeError(
                "f0 must be a function of x, such as net.bind(params), its values on the sample, or None for a centred "
                "network"
            )
        self.kernel, self.kind, self.p_in = kernel, kernel.kind, p_in
        self.outputs, self.f0 = outputs, f0
        self.initial: Array = None
        if outputs is not None:
            values = is_array(f0) and not callable(f0)
            self.initial = self._values("f0", f0, p_in.x) if values else self.start(p_in.x)
        # sqrt(N w_i) as a column (N, 1).
        self._root = None if p_in.uniform else home(p_in.x).xp.sqrt(len(p_in) * p_in.column_weights)
        self.ridge = absolute_ridge("ridge", ridge, self._matrix_free)

    @classmethod
    def of(cls, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: Ridge) -> "KernelProblem":
        """The problem on the sample of a cost, with as many outputs as its targets have."""
        if not isinstance(cost, Cost):
            raise TypeError(f"cost must be a cost functional such as SquaredError(p_in, y), got {cost!r}")
        only_kernels("kernel", kernel)
        refuse_other_outputs(kernel, cost.p_in.x)
        return cls(kernel, cost.p_in, int(cost.y.shape[1]), f0, ridge)

    def with_ridge(self, ridge: Ridge) -> "KernelProblem":
        """The same problem with another ridge."""
        other = copy.copy(self)
        other.ridge = absolute_ridge("ridge", ridge, self._matrix_free)
        return other

    def with_kernel(self, kernel: Kernel) -> "KernelProblem":
        """The same problem with another kernel of the same kind."""
        other = copy.copy(self)
        other.kernel = kernel
        return other

    # ---- kernel values -----------------------------------------------------------------------------------------------

    def block(self, x_new: Array | None = None) -> Array:
        """K(x_new, X) without weights, (B, m, n); K(X, X) if x_new is None."""
        x = self.p_in.x
        if x_new is not None:
            return stack_block(self.kind, self.kernel(x_new, x))
        block = stack_block(self.kind, self.kernel(x))
        if self.initial is not None and block.shape[:2] != stack_values(self.kind, self.initial).shape[:2]:
            raise ValueError(
                f"the kernel and the targets disagree on the number of outputs: y is {tuple(self.initial.shape)}, the "
                f"kernel matrix {tuple(block.shape)} (stack, rows, columns)"
            )
        return block

    def gram(self) -> Array:
        """sqrt(N w_i) K(x_i, x_j) sqrt(N w_j), (B, n, n)."""
        return self._columns_weighted(self.weighted(self.block()))

    def cross(self, x_new: Array) -> Array:
        """K(x_new, x_j) sqrt(N w_j), (B, m, n)."""
        return self._columns_weighted(self.block(x_new))

    def operator(self, solver: Solver) -> GramOperator:
        """:meth:`gram`, as solvers take it; or what computes its products without it.

        MemoryError if the matrix and what the solver needs beside it have no room, before work starts.
        """
        if solver.matrix_free:
            return self._matrix_free()
        here = home(self.p_in.x)
        stack = (self.outputs or 1) if self.kind == "classwise" else 1
        needed = solver.matrices(self.ridge) * stack * self.size**2 * itemsize(here)
        what = f"the kernel matrix of {self.size} rows in {here.dtype}, with {type(solver).__name__} beside it,"
        advice = "take float32, fewer inputs, or solver=ntk_array.solve.ConjugateGradient(matrix_free=True)"
        refuse_without_room(needed, here, what, advice)
        return Matrix(self.gram())

    def _matrix_free(self) -> KernelMatrix:
        return KernelMatrix(self.kernel, self.p_in.x, None if self._root is None else self._factors(self.size))

    def new_inputs(self, x_new: Any) -> Array:
        """New inputs, validated whole: a row that an error names is then one of theirs, and not of a block."""
        return self.kernel.validated(x_new, self.p_in.x)[0]

    def cuts(self, x_new: Array, memory: str | int, blocks: int = 1) -> list[slice]:
        """Rows of new inputs, so few at a time that this many blocks of kernel values with the sample fit the memory.

        ValueError if there is no room for a single row.
        """
        here, budget, columns = home(self.p_in.x), bytes_of("memory", memory), self.size
        stack = columns // len(self.p_in) if self.kind == "full" else self.outputs if self.kind == "classwise" else 1
        row = blocks * (stack or 1) * columns * itemsize(here)
        if row > budget:
            raise ValueError(f"memory={memory!r} is too little: one row of kernel values takes {readable(row)}")
        size, rows = budget // row, x_new.shape[0]
        # As few cuts as are needed, of about one size.
        number = max(1, -(-rows // size))
        size = max(1, -(-rows // number))
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

    @property
    def size(self) -> int:
        """n, the rows of the Gram matrix: one an input, or for full kernels one for each of its outputs."""
        return len(self.p_in) * ((self.outputs or 1) if self.kind == "full" else 1)

    def products(self, x_new: Array, weights: Array, memory: str | int) -> Array:
        """K(x_new, x_j) sqrt(N w_j) times weights (B, n, k), (B, m, k), in blocks of rows."""
        parts = [self.cross(x_new[cut, ...]) @ weights for cut in self.cuts(x_new, memory)]
        return parts[0] if len(parts) == 1 else home(weights).xp.concat(parts, axis=-2)

    # ---- values of functions -----------------------------------------------------------------------------------------

    def start(self, x_new: Array | None = None) -> Array:
        """f_0 at new inputs (the sample if None), as (M, C)."""
        if x_new is None:
            return self.initial
        xp, dtype, device = home(self.p_in.x)
        if self.f0 is None:
            return xp.zeros((x_new.shape[0], self.outputs), dtype=dtype, device=device)
        if not callable(self.f0):
            raise ValueError(
                "f0 was given as its values on the sample, and is not known at new inputs: give f0 as a function of x"
            )
        return self._values("f0(x)", self.f0(x_new), x_new)

    def _values(self, name: str, values: Any, x: Array) -> Array:
        """Values (M, C) of f_0 at x, validated."""
        values = finite(name, real_array(name, values, like=x))
        values = values[:, None] if values.ndim == 1 else values
        same_home(**{"x": self.p_in.x, name: values})
        shape = (x.shape[0], self.outputs)
        if values.shape != shape:
            raise ValueError(f"{name} has shape {tuple(values.shape)}; expected {shape}")
        return values

    def residual(self, y: Array) -> Array:
        """sqrt(N w_i) (y_i - f_0(x_i)) for targets (N, C), as (B, n, k)."""
        return self.weighted(self.stack(y - self.initial))

    def stack(self, values: Array) -> Array:
        """Values (N, C) of a function on the sample as (B, n, k), without weights."""
        return stack_values(self.kind, values)

    def unstack(self, stacked: Array) -> Array:
        """Values (M, C) of a function, from (B, m, k) without weights."""
        return unstack_values(self.kind, stacked, self.initial.shape[1])

    def weighted(self, stacked: Array) -> Array:
        """sqrt(N w_i) times the rows of (B, n, k)."""
        return stacked if self._root is None else self._factors(stacked.shape[-2]) * stacked

    def unweighted(self, stacked: Array) -> Array:
        """The inverse of :meth:`weighted`."""
        return stacked if self._root is None else stacked / self._factors(stacked.shape[-2])

    def _columns_weighted(self, block: Array) -> Array:
        return block if self._root is None else block * self._factors(block.shape[-1])[:, 0]

    def _factors(self, rows: int) -> Array:
        """sqrt(N w_i) as (n, 1): a full kernel has a row for each output of an input, in the order i * C + c."""
        points = len(self.p_in)
        return home(self._root).xp.reshape(
            home(self._root).xp.broadcast_to(self._root, (points, rows // points)), (rows, 1)
        )


def refuse_other_outputs(kernel: Kernel, x: Array) -> None:
    """Refuse the infinite-width kernel of a network that ends in an activation, for inputs like x.

    Its outputs are not Gaussian, and its NTK does not stay put in training (Liu et al. 2020): neither a Gaussian
    process nor a linear equation with that kernel is the network.
    """
    if net := kernel.net_with_other_outputs(x):
        raise ValueError(
            f"{net!r} does not end in a dense layer: its outputs are not Gaussian at infinite width, and its kernel "
            "moves in training; append Dense(1), which leaves the NNGP kernel as it is"
        )
