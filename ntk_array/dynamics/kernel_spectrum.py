"""The spectrum of a kernel on a sample: its principal components, and how soon training learns along each."""

import math
from collections.abc import Callable
from typing import Any

from .._array.namespace import Array, home, to_host
from .._array.short import short_repr
from .._array.validate import count as whole
from .._array.validate import nonnegative, time_points
from ..function_space.cost import Cost, SquaredError
from ..function_space.measure import EmpiricalMeasure, Function
from ..kernels.base import Kernel
from ..solve.spectrum import decompose
from .problem import KernelProblem

__all__ = ["KernelSpectrum"]


class KernelSpectrum:
    """Eigenvalues and eigenfunctions of the integral operator of a kernel on p^in.

    The operator T_K f = sum_j w_j K(., x_j) f(x_j) (w_j = 1/N unless the sample has weights) is symmetric in the inner
    product of p^in, so that

        T_K e_k = mu_k e_k,  <e_k, e_l>_{p^in} = 1 if k = l else 0,  K(x_i, x_j) = sum_k mu_k e_k(x_i) e_k(x_j)^T,

    with mu_1 >= mu_2 >= ... > 0: the kernel principal components. Without weights N mu_k are the eigenvalues of the
    kernel matrix. Gradient flow of C(f) = (1/N) sum ||f(x_i) - y_i||^2 learns along each component by itself,

        <e_k, f_t - y>_{p^in} = exp(-2 mu_k t) <e_k, f_0 - y>_{p^in}

    (Jacot et al. 2018, section 5; c mu_k in place of mu_k for c times that cost, another convention of
    :class:`~ntk_array.function_space.SquaredError`): large eigenvalues first.

    Parameters
    ----------
    kernel : Kernel
        K. A kernel (N, N) is the same for every output, and has functions with one output for eigenfunctions; those of
        a "full" kernel have C outputs. Class-wise kernels are C operators: take one "full" kernel, or the "trace".
    p_in : EmpiricalMeasure
        The sample and its weights.

    Attributes
    ----------
    eigenvalues : array (R,)
        mu_k, in descending order.
    rank : int
        R, how many eigenvalues are above the cut-off of 4 eps times the largest.
        The others cannot be told from zero and are left out everywhere.
    condition : float
        mu_1 / mu_R.

    Notes
    -----
    An eigenfunction is unique up to its sign; where eigenvalues coincide, only the span of their eigenfunctions is.

    Raises
    ------
    TypeError
        If kernel is not a kernel, or p_in not a measure.
    ValueError
        If the kernel is class-wise.
    numpy.linalg.LinAlgError
        If the kernel matrix is not positive semidefinite.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> angles = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    >>> spectrum = ntk.dynamics.KernelSpectrum(ntk.InfiniteNTK(ntk.nn.mlp((1,), 1)), p_in)
    >>> np.cumsum(spectrum.explained(np.cos(angles)))[[0, 2]].round(6)     # e_2 and e_3 span cos and sin
    array([0., 1.])
    """

    __repr__ = short_repr

    def __init__(self, kernel: Kernel, p_in: EmpiricalMeasure) -> None:
        self._problem = KernelProblem(kernel, p_in)
        if kernel.kind == "classwise":
            raise ValueError('a class-wise kernel has a spectrum for each output: use outputs="full" or "trace"')
        self.kernel, self.p_in = kernel, p_in
        gram = self._problem.gram()
        self._outputs = int(gram.shape[-1]) // len(p_in)  # of the eigenfunctions
        xp, spectrum = home(gram).xp, decompose(gram)
        self.rank, self.condition = spectrum.rank, spectrum.condition
        # Eigenvalues ascend. The resolved ones are the last, and are turned round.
        resolved = slice(gram.shape[-1] - self.rank, None)
        self.eigenvalues = xp.flip(spectrum.values[0, resolved]) / len(p_in)
        self._vectors = xp.flip(spectrum.vectors[:, :, resolved], axis=-1)
        self._largest = spectrum.largest / len(p_in)

    def eigenfunctions(self, x_new: Array | None = None, count: int | None = None) -> Array:
        """e_1, ..., e_count at new inputs, or on the sample.

        At new inputs it is the Nystrom extension e_k(x) = (1/mu_k) sum_j w_j K(x, x_j) e_k(x_j) (Rasmussen and
        Williams 2006, section 4.3.2), which magnifies the rounding error of the kernel by mu_1 / mu_k.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the sample if None.
        count : int, optional
            How many, from the first; all R if None.

        Returns
        -------
        array
            (M, count), or (M, C, count) for a full kernel.

        Raises
        ------
        ValueError
            If count is more than the rank.
        """
        count = self.rank if count is None else whole("count", count)
        if count > self.rank:
            raise ValueError(f"count is {count}, and {self.rank} eigenvalues can be told from zero: ask for no more")
        # e_k(x_i) = v_ik / sqrt(w_i), for eigenvectors v_k of the matrix sqrt(w_i) K(x_i, x_j) sqrt(w_j).
        root_n, vectors = math.sqrt(len(self.p_in)), self._vectors[:, :, :count]
        if x_new is None:
            values = root_n * self._problem.unweighted(vectors)[0, ...]
        else:
            product = (self._problem.block(x_new) @ self._problem.weighted(vectors))[0, ...]
            values = product / (root_n * self.eigenvalues[:count])
        if self.kernel.kind == "full":
            return home(values).xp.reshape(values, (values.shape[0] // self._outputs, self._outputs, count))
        return values

    def coefficients(self, f: Function) -> Array:
        """<e_k, f>_{p^in} for every component.

        Parameters
        ----------
        f : array (N, C) or (N,), or callable
            A function, such as the targets or a residual: its values on the sample, or x -> values.

        Returns
        -------
        array
            (R, C), or (R,) for f of one axis; for a full kernel, whose eigenfunctions have all outputs, (R,).

        Raises
        ------
        ValueError
            If f is not a function on the sample, or if it does not have the C outputs of a full kernel.
        """
        f = f(self.p_in.x) if callable(f) else f
        columns = self.p_in.values("f", f)
        if self.kernel.kind == "full" and columns.shape[1] != self._outputs:
            raise ValueError(f"f has {columns.shape[1]} outputs, the kernel has {self._outputs}; they must agree")
        # With v_ik = e_k(x_i) sqrt(w_i), <e_k, f> is the product of v_k with sqrt(w_i) f(x_i).
        stacked = self._problem.weighted(self._problem.stack(columns))
        result = self._vectors[0, ...].T @ stacked[0, ...] / math.sqrt(len(self.p_in))
        return result[:, 0] if self.kernel.kind == "full" or f.ndim == 1 else result

    def explained(self, f: Function) -> Array:
        """The share of ||f||^2_{p^in} that lies along each component, (R,).

        The shares sum to 1 unless part of f lies in null directions of the kernel, where nothing is learned.

        Raises
        ------
        ValueError
            If f is zero on the sample.
        """
        columns = self.p_in.values("f", f)
        squares, norm = self.coefficients(columns) ** 2, self.p_in.norm(columns)
        if float(to_host(norm)) == 0.0:
            raise ValueError("f is zero on the sample: there is nothing to share out")
        return (home(squares).xp.sum(squares, axis=1) if squares.ndim == 2 else squares) / norm**2

    def learning_times(self, cost: Cost) -> Array:
        """1 / (2 c mu_k), (R,): the time in which the error along a component falls by the factor e.

        Parameters
        ----------
        cost : SquaredError
            On this sample; its convention says what c is.

        Raises
        ------
        TypeError
            If the cost is another one: its components do not decay by themselves.
        ValueError
            If the cost is on another sample.
        """
        return 1.0 / (2.0 * self._factor(cost) * self.eigenvalues)

    def remaining(self, cost: Cost, t: Any) -> Array:
        """exp(-2 c mu_k t): the share of the error along each component that gradient flow has left at time t.

        Gradient descent with a small step is at t = step * k after k steps.

        Parameters
        ----------
        cost : SquaredError
            As for :meth:`learning_times`.
        t : float or sequence of float
            Times from 0 to inf.

        Returns
        -------
        array
            (R,), or (T, R) for T times.
        """
        return self._over_time(cost, t, home(self.eigenvalues).xp.exp)

    def learned_dimension(self, cost: Cost, t: Any) -> Array:
        """sum_k 1 - exp(-2 c mu_k t): how many components are learned at time t, an array of no axes, or (T,).

        It is the trace of the map from targets to predictions on the sample, of each output for a scalar kernel:
        the effective degrees of freedom of training that stops at t.
        """
        xp = home(self.eigenvalues).xp
        return xp.sum(-self._over_time(cost, t, xp.expm1), axis=-1)

    def effective_dimension(self, ridge: float) -> Array:
        """sum_k lambda_k / (lambda_k + ridge) with lambda_k = N mu_k, an array of no axes; R without a ridge.

        The trace of the map from targets to predictions at t = inf of :class:`GradientFlow` with this ridge
        (effective degrees of freedom: Hastie, Tibshirani and Friedman 2009, eq. 3.50).
        """
        xp = home(self.eigenvalues).xp
        return xp.sum(self.eigenvalues / (self.eigenvalues + nonnegative("ridge", ridge) / len(self.p_in)))

    def plot(self, label: str | None = None, ax: Any = None) -> Any:
        """The eigenvalues over their number; see :func:`ntk_array.plotting.spectrum`. Returns the matplotlib Axes."""
        from .. import plotting

        return plotting.spectrum(self.eigenvalues, label=label, ax=ax)

    def _over_time(self, cost: Cost, t: Any, function: Callable[[Array], Array]) -> Array:
        """function(-2 c mu_k t)."""
        xp, dtype, _ = home(self.eigenvalues)
        times, fastest = time_points(t), 2.0 * self._factor(cost) * self._largest
        relative = self.eigenvalues / self._largest
        # mu_k t overflows at long times. Relative eigenvalues are at least eps, so that exp(-longest * relative) is
        # exactly 0 for all of them: a time cut to this length has the limit t = inf.
        longest = float(xp.finfo(dtype).max)
        parts = [function(-min(fastest * time, longest) * relative) for time in times.ravel().tolist()]
        return xp.stack(parts) if times.ndim else parts[0]

    def _factor(self, cost: Cost) -> float:
        if not isinstance(cost, SquaredError):
            raise TypeError(f"components decay by themselves for SquaredError only, got {type(cost).__name__}")
        if cost.p_in is not self.p_in:
            raise ValueError("the cost is on another sample: make the cost and the spectrum from one EmpiricalMeasure")
        return cost.factor
