"""Training by gradient descent in steps, in closed form."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._array.linalg import eigh
from .._array.namespace import Array, home, is_array, to_host
from .._array.validate import positive
from ..function_space.cost import Cost
from ..kernels.base import Kernel
from .outputs import stack_block
from .spectral import SpectralDynamics

__all__ = ["GradientDescent", "max_step"]


class GradientDescent(SpectralDynamics):
    """Kernel gradient descent of the squared error with step eta, after any number k of steps in closed form.

    f <- f - eta grad_K C|_f multiplies the residual along an eigenvector of S = Theta + ridge I by
    1 - 2 eta s / N, so that

        f_k(x) = f_0(x) + Theta(x, X) phi_k(S) (y - f_0(X)),  phi_k(s) = (1 - (1 - 2 eta s / N)^k) / s,

    for C(f) = (1/N) sum ||f(x_i) - y_i||^2. It follows :class:`GradientFlow` at t = eta k to first order in eta.

    Parameters
    ----------
    kernel, cost, f0, ridge
        As for :class:`GradientFlow`.
    step : float
        eta. Above :func:`max_step` the prediction grows without bound, as training does.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.Precomputed(np.diag([2.0, 1.0]))
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0], [1]]))
    >>> cost = ntk.function_space.SquaredError(p_in, np.asarray([1.0, 1.0]))
    >>> ntk.dynamics.GradientDescent(K, cost, step=0.25).predict(k=[1, 2])
    array([[0.5   , 0.25  ],
           [0.75  , 0.4375]])
    """

    def __init__(
        self,
        kernel: Kernel,
        cost: Cost,
        step: float,
        f0: Callable[[Array], Array] | None = None,
        ridge: float = 0.0,
    ) -> None:
        self.step = positive("step", step)
        super().__init__(kernel, cost, f0, ridge)

    def predict(self, x_new: Array | None = None, k: Any = 1) -> Array:
        """f_k at new inputs.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.
        k : int or sequence of int
            Numbers of steps.

        Returns
        -------
        array
            (M, C), or (T, M, C) for T numbers of steps; without the last axis where the targets were (N,).
        """
        steps = np.asarray(to_host(k) if is_array(k) else k)
        if steps.ndim > 1 or steps.dtype.kind not in "iu" or (steps < 0).any():
            raise ValueError(f"k must be a number of steps or a sequence of them, whole and not negative, got {k!r}")
        functions = self._evolve(x_new, steps.ravel().tolist())
        return home(self.cost.y).xp.stack(functions) if steps.ndim else functions[0]

    def _speed(self, time: float) -> float:
        return 2.0 * self.step * time / len(self.cost.p_in)

    def _phi(self, s: Array, time: float) -> Array:
        xp, positive = home(s).xp, s > 0
        decay = self._speed(1.0) * s
        # 1 - (1 - decay)^k without cancellation for small decay; beyond decay 1 the power alternates in sign.
        learned = xp.where(
            decay < 0.5,
            -xp.expm1(time * xp.log1p(-xp.clip(decay, max=0.5))),
            1.0 - (1.0 - decay) ** time,
        )
        return xp.where(positive, learned / xp.where(positive, s, 1.0), self._speed(time))


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
