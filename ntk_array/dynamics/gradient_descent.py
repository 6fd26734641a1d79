"""Training by gradient descent in steps, in closed form."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._array.linalg import eigh
from .._array.namespace import Array, home, is_array, to_host
from .._array.validate import momentum_below_one, positive
from ..function_space.cost import Cost, SquaredError
from ..function_space.measure import EmpiricalMeasure
from ..kernels.base import Kernel
from ..solve.spectrum import Spectrum
from .problem import KernelProblem
from .spectral import SpectralSolution

__all__ = ["GradientDescent", "max_step"]


class GradientDescent:
    """Kernel gradient descent of the squared error with step eta, after any number k of steps in closed form.

    f_{k+1} = f_k - eta grad_K C|_{f_k} + momentum (f_k - f_{k-1}), f_{-1} = f_0, moves each eigenvector of
    S = Theta + ridge I by itself, so that

        f_k(x) = f_0(x) + Theta(x, X) phi_k(S) (y - f_0(X)),
        phi_{k+1}(s) = 2 eta / N + (1 + momentum - 2 eta s / N) phi_k(s) - momentum phi_{k-1}(s),  phi_0 = phi_{-1} = 0,

    for C(f) = (1/N) sum ||f(x_i) - y_i||^2; for c times that, another convention of
    :class:`~ntk_array.function_space.SquaredError`, read c eta for eta. Without momentum
    phi_k(s) = (1 - (1 - 2 eta s / N)^k) / s, and f_k follows :class:`GradientFlow` at t = eta k to first order in eta.
    With momentum (heavy ball, Polyak 1964) it follows the flow at about t = eta k / (1 - momentum).

    Parameters
    ----------
    kernel, cost, f0, ridge
        As for :class:`GradientFlow`.
    step : float
        eta. Above :func:`max_step` the prediction grows without bound, as training does.
    momentum : float
        From 0 to below 1.

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
        momentum: float = 0.0,
        f0: Callable[[Array], Array] | None = None,
        ridge: float = 0.0,
    ) -> None:
        self.step, self.momentum = positive("step", step), momentum_below_one(momentum)
        self._solution = SpectralSolution(kernel, cost, f0, ridge)
        self.kernel, self.cost, self.f0, self.ridge = kernel, cost, f0, self._solution.problem.ridge

    @property
    def spectrum(self) -> Spectrum:
        """Eigenvalues of the weighted kernel matrix, its rank, condition number and the cut-off."""
        return self._solution.factor.spectrum

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
        # Any number of steps is reached directly: no iteration over steps.
        functions = self._solution.functions(x_new, (self._filter(one) for one in steps.ravel().tolist()))
        return home(self.cost.y).xp.stack(functions) if steps.ndim else functions[0]

    def _filter(self, steps: int) -> Array:
        """phi_k of the eigenvalues of S, (B, n, 1)."""
        # At s = 0 each step adds 2 eta / N, which the momentum repeats as a geometric series.
        largest = self._solution.rate * self.step * steps / (1.0 - self.momentum)
        return self._solution.factor.filter(lambda s: self._phi(s, steps), largest)

    def _phi(self, s: Array, steps: int) -> Array:
        """The recurrence, an affine map of (phi_k, phi_{k-1}), to the power of k by repeated squaring."""
        xp = home(s).xp
        rate = self._solution.rate * self.step
        one, zero = xp.ones_like(s), xp.zeros_like(s)
        single = _Affine(1.0 + self.momentum - rate * s, -self.momentum * one, one, zero, rate * one, zero)
        result = _Affine(one, zero, zero, one, zero, zero)
        while steps:
            if steps % 2:
                result = single.after(result)
            single = single.after(single) if steps > 1 else single
            steps //= 2
        return result.p


class _Affine(NamedTuple):
    """The map (x, y) -> (a x + b y + p, c x + d y + q), entry by entry."""

    a: Array
    b: Array
    c: Array
    d: Array
    p: Array
    q: Array

    def after(self, first: "_Affine") -> "_Affine":
        """The map that applies ``first``, then this one."""
        a, b, c, d, p, q = self
        e, f, g, h, r, s = first
        return _Affine(a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h, a * r + b * s + p, c * r + d * s + q)


def max_step(kernel: Kernel, x: Array | Cost, momentum: float = 0.0) -> float:
    """The largest stable step of gradient descent on C(f) = (1/N) sum ||f(x_i) - y_i||^2.

    It is (1 + momentum) N / lambda_max(K(x, x)). With this step the fastest direction neither grows nor decays.

    Parameters
    ----------
    kernel : Kernel
        The neural tangent kernel, empirical or infinite.
    x : array (N, ...) or SquaredError
        The training inputs, for the cost above; or a cost, whose weights and convention then count.
    momentum : float
        Of the heavy ball, from 0 to below 1.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ntk.dynamics.max_step(ntk.Precomputed(np.diag([4.0, 1.0])), np.asarray([[0], [1]]))
    0.5
    """
    momentum = momentum_below_one(momentum)
    if not isinstance(x, Cost):
        problem, factor = KernelProblem(kernel, EmpiricalMeasure(x)), 1.0
    elif isinstance(x, SquaredError):
        problem, factor = KernelProblem.of(kernel, x, None, 0.0), x.factor
    else:
        raise TypeError(f"the largest stable step is known for SquaredError only, got {type(x).__name__}")
    largest = float(to_host(eigh(problem.gram())[0]).max())
    if largest <= 0:
        raise ValueError("the kernel matrix is zero: every step is stable and nothing is learned")
    return (1.0 + momentum) * len(problem.p_in) / (factor * largest)
