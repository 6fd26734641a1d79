"""Gaussian process regression: posterior, samples, marginal likelihood and leave-one-out, from one spectrum."""

import copy
import math
from collections.abc import Sequence
from typing import Literal, overload

from .._array.linalg import mirror
from .._array.namespace import Array, home
from .._array.random import Seed
from .._array.validate import nonnegative, one_of
from ..function_space.cost import SquaredError
from ..function_space.measure import EmpiricalMeasure
from ..kernels.base import Kernel
from ..solve.spectrum import Spectrum, decompose
from .gaussian import Gaussian, scalar_kernel
from .leave_one_out import LeaveOneOut, error_derivative, left_out_residual
from .problem import KernelProblem

__all__ = ["HYPERPARAMETERS", "GaussianProcess"]

HYPERPARAMETERS = ("log_weight_std", "log_bias_std", "log_noise")
"""The hyper-parameters of a likelihood: factors of all weight_std and bias_std, and the variance of the noise."""


class GaussianProcess:
    """Gaussian process regression, y_i = f(x_i) + N(0, noise) with f ~ GP(0, K), the outputs independent.

    With S = K(X, X) + noise I, the values of f at new inputs have the distribution

        mean(x) = K(x, X) S^{-1} y,
        covariance(x, x') = K(x, x') - K(x, X) S^{-1} K(X, x')

    (Rasmussen and Williams 2006, eq. 2.23 and 2.24). K(X, X) is diagonalized once, at construction. Its eigenvalues
    plus the noise are those of S. They give the posterior, the likelihood and leave-one-out alike, and they show which
    directions rounding leaves unresolved. S is never inverted.

    A Gaussian process has no time. Without noise, and with an NNGP kernel for K, it is the limit t = inf of training
    the last layer, ``Ensemble(nngp, nngp, cost)``. An ensemble whose ridge is the noise has the same mean in that
    limit, and another covariance.

    Parameters
    ----------
    kernel : Kernel
        K, scalar: the same for every output.
    x : array (N, ...)
        Training inputs.
    y : array (N, C) or (N,)
        Targets.
    noise : float
        The variance of the noise, at least 0, added to the diagonal.

    Attributes
    ----------
    noise : float
        The variance of the noise.
    factor : SpectralFactor
        The factorisation of S: its method, rank and condition number.
    spectrum : Spectrum
        Eigenvalues of K(X, X), its rank, condition number and the cut-off.
    singular : bool
        Whether S cannot be told from a singular matrix: eigenvalues of K are below the cut-off of the spectrum, and the
        noise is below 1/64 of the cut-off. This happens where inputs repeat and there is no noise. The posterior is
        then the limit of vanishing noise, which is the solution of minimum norm; the likelihood and leave-one-out do
        not exist. Predictions with a positive noise that is so small come with a RuntimeWarning.

    Raises
    ------
    ValueError
        If the kernel is not scalar, if y does not have one row an input, or if the noise is negative.
    numpy.linalg.LinAlgError
        If the matrix K(X, X) is not positive semidefinite.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.asarray([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> K = ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1))
    >>> gp = ntk.dynamics.GaussianProcess(K, x, np.asarray([0.0, 1.0, 0.0]), noise=0.1)
    >>> posterior = gp.predict(np.asarray([[0.0, 1.0], [3.0, 1.0]]))
    >>> posterior.mean.shape, posterior.covariance.shape
    ((2,), (2, 2))
    >>> bool(posterior.standard_deviation[0] < posterior.standard_deviation[1])
    True
    >>> gp.sample(x, 5, seed=0).shape
    (5, 3)
    """

    def __init__(self, kernel: Kernel, x: Array, y: Array, noise: float) -> None:
        scalar_kernel("kernel", kernel)
        # A problem takes its sample and targets from a cost. Only these are used of it here, never its value.
        self._cost = SquaredError(EmpiricalMeasure(x), y)
        self.problem = KernelProblem.of(kernel, self._cost, f0=None, ridge=nonnegative("noise", noise))
        self.kernel, self.x, self.y = kernel, self._cost.p_in.x, self._cost.y
        self._gram = self.problem.gram()
        self.factor = decompose(self._gram).with_ridge(self.problem.ridge)
        # The work on y that does not depend on the noise.
        self._prepared_y = self.factor.prepare(self.problem.residual(self.y))

    @property
    def noise(self) -> float:
        """The variance of the noise, which is the ridge of the problem."""
        return self.problem.ridge

    @property
    def spectrum(self) -> Spectrum:
        """The spectrum of K(X, X)."""
        return self.factor.spectrum

    @property
    def singular(self) -> bool:
        """Whether S cannot be told from a singular matrix."""
        return self.factor.singular

    def with_noise(self, noise: float) -> "GaussianProcess":
        """The same process with another variance of the noise, from the same eigendecomposition.

        ValueError if the noise is negative.
        """
        # Eigenvectors do not depend on the noise, nor do the targets along them: both are shared.
        other = copy.copy(self)
        other.problem = self.problem.with_ridge(nonnegative("noise", noise))
        other.factor = self.factor.with_ridge(other.noise)
        return other

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> "GaussianProcess":
        """The same process with the weight_std and bias_std of its kernel times factors; see ``Kernel.rescaled``."""
        kernel = self.kernel.rescaled(weight_std=weight_std, bias_std=bias_std)
        return GaussianProcess(kernel, self.x, self._cost.shaped(self.y), self.noise)

    def predict(self, x_new: Array | None = None) -> Gaussian:
        """The posterior distribution of f, without the noise of a new observation.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.

        Returns
        -------
        Gaussian
            ``mean`` (M, C), or (M,) where the targets were (N,), and ``covariance`` (M, M), the same for every output,
            exactly symmetric, and positive semidefinite up to rounding.
        """
        self.factor.warn_below_rounding("noise")
        return self._posterior(x_new)

    def _posterior(self, x_new: Array | None) -> Gaussian:
        # half(c)^T half(c) = c^T S^{-1} c for the kernel values c of new inputs with the sample.
        if x_new is None:
            prior, cross, half = self._gram[0, ...], self._gram, self.factor.half_of_gram()
        else:
            xp, cross = home(self.y).xp, self.problem.cross(x_new)
            prior, half = self.kernel(x_new), self.factor.half(xp.matrix_transpose(cross))
        half = half[0, ...]
        # K(x, X) (S^{-1} y), not half(c)^T half(y): that would divide the rounding of half(c) by small eigenvalues.
        mean = (cross @ self._coefficients())[0, ...]
        return Gaussian(self._cost.shaped(mean), mirror(prior - half.T @ half))

    def _coefficients(self) -> Array:
        """S^{-1} y, (1, N, C)."""
        alpha = self.factor.prepared_solve(self._prepared_y)
        return self.factor.refined(alpha, self._gram, self.problem.residual(self.y))

    def sample(self, x_new: Array | None, draws: int, seed: Seed) -> Array:
        """Independent draws of f from the posterior, (draws, M, C) or (draws, M).

        One seed gives the same draws on every library; see :meth:`Gaussian.sample`.
        """
        self.factor.warn_below_rounding("noise")
        return self._posterior(x_new).sample(draws, seed)

    @overload
    def log_marginal_likelihood(self, gradient: Literal[False] = False) -> Array: ...
    @overload
    def log_marginal_likelihood(
        self, gradient: Literal[True] | str | Sequence[str]
    ) -> tuple[Array, dict[str, Array]]: ...

    def log_marginal_likelihood(
        self, gradient: bool | str | Sequence[str] = False
    ) -> Array | tuple[Array, dict[str, Array]]:
        """log p(y | x), summed over the outputs, and its derivatives in hyper-parameters.

        -(1/2) sum_c y_c^T S^{-1} y_c - (C/2) log det S - (N C / 2) log(2 pi) (Rasmussen and Williams 2006, eq. 2.30).
        With alpha = S^{-1} y, its derivative is (1/2) sum_c alpha_c^T dS alpha_c - (C/2) tr(S^{-1} dS) (eq. 5.9).

        Parameters
        ----------
        gradient : bool, str or sequence of str
            Some of "log_weight_std" and "log_bias_std", see ``Kernel.gradient``, and "log_noise", the logarithm of the
            variance of the noise. True asks for all derivatives that exist.

        Returns
        -------
        array, or (array, dict)
            The value, and with a gradient one derivative for each name; arrays of no axes.

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is singular: the targets have no density.
        ValueError
            If a derivative does not exist: no layer has a bias, or there is no noise, so that its logarithm is -inf.
        TypeError
            For "log_weight_std" or "log_bias_std" of a kernel without hyper-parameters.

        Examples
        --------
        >>> import numpy as np, ntk_array as ntk
        >>> K = ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.1))
        >>> x = np.linspace(-1.0, 1.0, 5)[:, None]
        >>> gp = ntk.dynamics.GaussianProcess(K, x, np.sin(x[:, 0]), noise=0.1)
        >>> value, slope = gp.log_marginal_likelihood(gradient=True)
        >>> sorted(slope)
        ['log_bias_std', 'log_noise', 'log_weight_std']
        >>> bool(slope["log_noise"] < 0)                             # less noise explains these targets better
        True
        """
        self.factor.refuse_singular("noise", "the targets have no density")
        xp = home(self.y).xp
        n, outputs = self.y.shape
        # y^T S^{-1} y as the square of one half is never negative, whatever rounding does.
        fit = xp.sum(self.factor.prepared_half(self._prepared_y) ** 2)
        value = -0.5 * (fit + outputs * self.factor.log_determinant()[0] + n * outputs * math.log(2.0 * math.pi))
        if gradient is False:
            return value
        names = self._differentiable if gradient is True else (gradient,) if isinstance(gradient, str) else gradient
        alpha = self.factor.prepared_solve(self._prepared_y)
        return value, {name: self._slope(one_of("gradient", name, HYPERPARAMETERS), alpha) for name in names}

    def _slope(self, name: str, alpha: Array) -> Array:
        """The derivative of the log marginal likelihood in one hyper-parameter, for alpha = S^{-1} y, (1, N, C)."""
        xp, outputs = home(self.y).xp, self.y.shape[1]
        if name == "log_noise":
            if self.noise == 0.0:
                raise ValueError("there is no derivative with respect to log_noise: the noise is 0, its logarithm -inf")
            return 0.5 * self.noise * (xp.sum(alpha**2) - outputs * self.factor.inverse_trace()[0])
        change = self._gram_derivative(name)[None, ...]
        return 0.5 * (xp.sum(alpha * (change @ alpha)) - outputs * self.factor.trace_of(change)[0])

    def leave_one_out(self) -> LeaveOneOut:
        """The prediction of each target from all the others, without a refit.

        With alpha = S^{-1} y, the residual is alpha_i / [S^{-1}]_ii and the variance 1 / [S^{-1}]_ii
        (Rasmussen and Williams 2006, eq. 5.12).

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is singular: the formula would divide zero by zero.
        """
        self.factor.refuse_singular("noise", "leave-one-out has no closed form")
        residual = left_out_residual(self.problem, self.factor, self._prepared_y)
        # It is the variance of a new observation: the noise is in it.
        variance = 1.0 / self.factor.inverse_diagonal()[0, :]
        return LeaveOneOut(self._cost.shaped(self.y - residual), self._cost.shaped(residual), variance)

    def leave_one_out_gradient(self, wrt: Sequence[str]) -> dict[str, Array]:
        """Derivatives of ``leave_one_out().error`` in "log_weight_std" and "log_bias_std", one array for each name.

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is singular.
        TypeError, ValueError
            If a derivative does not exist; see ``Kernel.gradient``.
        """
        self.factor.refuse_singular("noise", "leave-one-out has no closed form")
        vectors, inverse, targets = self.spectrum.vectors[0, ...], self.factor.inverse[0, :], self._prepared_y[0, ...]
        return {name: error_derivative(vectors, inverse, targets, self._gram_derivative(name)) for name in wrt}

    @property
    def _differentiable(self) -> tuple[str, ...]:
        """The hyper-parameters in which a derivative exists: the logarithm of no noise is -inf."""
        present = self.kernel.hyperparameters | ({"log_noise"} if self.noise else set())
        return tuple(name for name in HYPERPARAMETERS if name in present)

    def _gram_derivative(self, name: str) -> Array:
        return self.kernel.gradient(self.x, wrt=(name,))[name]
