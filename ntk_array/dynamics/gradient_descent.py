"""Training by gradient descent in steps."""

from .._array.linalg import eigh
from .._array.namespace import Array, to_host
from ..kernels.base import Kernel
from .outputs import stack_block

__all__ = ["max_step"]


def max_step(kernel: Kernel, x: Array) -> float:
    """The largest stable step of gradient descent on C(f) = (1/N) sum ||f(x_i) - y_i||^2: N / lambda_max.

    Steps eta multiply the residual along an eigenvector of K(x, x) by 1 - 2 eta lambda / N, which must stay within
    -1 and 1.

    Parameters
    ----------
    kernel : Kernel
        The neural tangent kernel, empirical or infinite.
    x : array (N, ...)
        The training inputs.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ntk.dynamics.max_step(ntk.Precomputed(np.diag([4.0, 1.0])), np.asarray([[0], [1]]))
    0.5
    """
    gram = stack_block(kernel.kind, kernel(x))
    largest = float(to_host(eigh(gram)[0]).max())
    if largest <= 0:
        raise ValueError("the kernel matrix is zero: every step is stable and nothing is learned")
    return int(x.shape[0]) / largest
