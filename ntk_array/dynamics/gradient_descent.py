"""Training by gradient descent in steps, in closed form."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._array.linalg import eigenvalues, refuse_indefinite
from .._array.namespace import Array, home, is_array, to_host
from .._array.short import short_repr
from .._array.validate import momentum_below_one, positive
from ..function_space.cost import Cost, SquaredError
from ..function_space.measure import EmpiricalMeasure
from ..kernels.base import Kernel
from ..solve.ridge import Ridge
from ..solve.spectrum import Spectrum
from .problem import KernelProblem
from .spectral import Filter, SpectralSolution

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
    With momentum m (heavy ball, Polyak 1964) and small eta it follows that flow at about t = eta k / (1 - m). Where
    1 - m is of the order of sqrt(eta), it follows ``GradientFlow(friction=...)`` with friction = (1 - m) / sqrt(eta) at
    t = k sqrt(eta) to first order in sqrt(eta), and with

        friction = (1 - m) sqrt(2 / ((1 + m) eta)),  t = (k + 1/2) sqrt(2 eta / (1 + m))

    to second order: f_{k+1} - 2 f_k + f_{k-1} and f_{k+1} - f_{k-1} are central differences, and f_{-1} = f_0 means
    that f is at rest half a step before k = 0.

    Parameters
    ----------
    kernel, cost, f0, ridge
        As for :class:`GradientFlow`.
    step : float
        eta. Above :func:`max_step` the prediction grows without bound, as training does.
    momentum : float
        From 0 to below 1.
    solver : str or solver
        "direct" is the spectrum here; "lanczos" needs only products with the kernel matrix.

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

    __repr__ = short_repr

    def __init__(
        self,
        kernel: Kernel,
        cost: Cost,
        step: float,
        momentum: float = 0.0,
        f0: Callable[[Array], Array] | None = None,
        ridge: Ridge = 0.0,
        solver: Any = "direct",
    ) -> None:
        self.step, self.momentum = positive("step", step), momentum_below_one(momentum)
        self._solution = SpectralSolution(kernel, cost, f0, ridge, solver)
        self.kernel, self.cost, self.f0, self.ridge = kernel, cost, f0, self._solution.problem.ridge

    @property
    def spectrum(self) -> Spectrum:
        """Eigenvalues of the weighted kernel matrix, its rank, condition number and the cut-off."""
        return self._solution.spectrum

    def predict(self, x_new: Array | None = None, k: Any = 1, *, memory: str | int = "1 GiB") -> Array:
        """f_k at new inputs.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.
        k : int or sequence of int
            Numbers of steps.
        memory : str or int
            What kernel values of new inputs with the sample may take; new inputs come in blocks that fit.

        Returns
        -------
        array
            (M, C), or (T, M, C) for T numbers of steps; without the last axis where the targets were (N,).
        """
        steps = np.asarray(to_host(k) if is_array(k) else k)
        if steps.ndim > 1 or steps.dtype.kind not in "iu" or (steps < 0).any():
            raise ValueError(f"k must be a number of steps or a sequence of them, whole and not negative, got {k!r}")
        # Any number of steps is reached directly: no iteration over steps.
        filters = [self._filter(one) for one in steps.ravel().tolist()]
        functions = self._solution.functions(x_new, filters, memory)
        if filters and not self._solution.time_factor.converged:
            self._solution.time_factor.warn("ridge")
        return home(self.cost.y).xp.stack(functions) if steps.ndim else functions[0]

    def _filter(self, steps: int) -> Filter:
        """phi_k."""
        # At s = 0 each step adds 2 eta / N, which the momentum repeats as a geometric series.
        largest = self._solution.rate * self.step * steps / (1.0 - self.momentum)
        return Filter(lambda s: self._checked(self._phi(s, steps), steps), largest)

    def _checked(self, phi: Array, steps: int) -> Array:
        xp = home(phi).xp
        if not to_host(xp.all(xp.isfinite(phi))):
            raise OverflowError(
                f"gradient descent with step {self.step:g} diverges: before step {steps} values overflow; the largest "
                f"stable step is {2.0 * (1.0 + self.momentum) / (self._solution.rate * self._solution.largest):g}"
            )
        return phi

    def _phi(self, s: Array, steps: int) -> Array:
        """phi_k, the position x after k steps of v' = momentum v + rate (1 - s x), x' = x + v' from 0.

        One step is a linear map of (1 - s x, v). Its power comes by repeated squaring.
        """
        xp = home(s).xp
        one, zero = xp.ones_like(s), xp.zeros_like(s)
        rate = self._solution.rate * self.step * one
        # momentum - 1 in float64 on the host: in float32 few digits of it would be left.
        single = _Map(rate, self.momentum * one, rate, (self.momentum - 1.0) * one)
        result = _Map(zero, zero, zero, zero)
        with np.errstate(over="ignore", invalid="ignore"):
            while steps:
                if steps % 2:
                    result = single.after(result, s)
                single = single.after(single, s) if steps > 1 else single
                steps //= 2
        # From x = 0 and v = 0: 1 - s x = 1 - s a.
        return result.a


class _Map(NamedTuple):
    """The map ((1 - s a) r - s b v, c r + (1 + d) v) of (r, v), r = 1 - s x, for each eigenvalue s.

    It is kept as its difference from the identity, divided by s. Where a step moves x by a small part e of it, 1 + e
    would round e to a multiple of eps, and k steps would add up to an error of k eps.
    """

    a: Array
    b: Array
    c: Array
    d: Array

    def after(self, first: "_Map", s: Array) -> "_Map":
        """The map that applies ``first``, then this one."""
        a, b, c, d = self
        e, f, g, h = first
        return _Map(
            a + e + (b * g - s * a * e),
            b + f + (b * h - s * a * f),
            c + g + (d * g - s * c * e),
            d + h + (d * h - s * c * f),
        )


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
    values = eigenvalues(problem.gram())
    refuse_indefinite(values, float(np.finfo(values.dtype).eps))
    largest = float(values.max())
    if largest <= 0:
        raise ValueError("the kernel matrix is zero: every step is stable and nothing is learned")
    return (1.0 + momentum) * len(problem.p_in) / (factor * largest)
