"""The kernel gradient, which extends the derivative of a cost from the sample to every input."""

from dataclasses import dataclass
from typing import Protocol

from .._array.namespace import Array
from .._array.short import short_repr
from .cost import Cost
from .measure import Function

__all__ = ["KernelGradient", "kernel_gradient"]


class LinearOperator(Protocol):
    """A kernel, as far as the kernel gradient needs it."""

    def matvec(self, x1: Array, x2: Array, v: Array) -> Array:
        """K(x1, x2) v."""


@dataclass(frozen=True)
class KernelGradient:
    """grad_K C|_f, a function of x; ``coefficients`` (N, C) are w_j d|_f(x_j)."""

    __repr__ = short_repr

    kernel: LinearOperator
    cost: Cost
    coefficients: Array

    def __call__(self, x_new: Array | None = None) -> Array:
        """Values (M, C) at inputs (M, ...), or at the sample; (M,) where the targets are (N,)."""
        x = self.cost.p_in.x
        return self.cost.shaped(self.kernel.matvec(x if x_new is None else x_new, x, self.coefficients))


def kernel_gradient(kernel: LinearOperator, cost: Cost, f: Function) -> KernelGradient:
    """The kernel gradient of a cost at f: grad_K C|_f (x) = sum_j w_j K(x, x_j) d|_f(x_j), w_j = 1/N.

    Along kernel gradient descent, d/dt f_t = -grad_K C|_{f_t}, the cost falls at the rate ||d||_K^2 =
    sum_ij w_i w_j d(x_i)^T K(x_i, x_j) d(x_j) (Jacot et al. 2018, section 3).

    Parameters
    ----------
    kernel : Kernel
        The kernel K.
    cost : Cost
        The cost functional with its sample.
    f : array (N, C) or callable
        Where the derivative is taken.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), np.asarray([1.0, -1.0]))
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((64,), 1))
    >>> grad = ntk.function_space.kernel_gradient(K, cost, np.zeros(2))
    >>> grad(x).shape
    (2,)
    """
    return KernelGradient(kernel, cost, cost.p_in.column_weights * cost.representer(cost.values(f)))
