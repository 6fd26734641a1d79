"""Gaussian process regression: posterior, samples, marginal likelihood and leave-one-out, from one factorisation."""

import copy
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, overload

from .._array.kinds import stack_block, unstack_block
from .._array.namespace import Array
from .._array.random import Seed
from .._array.validate import one_of, targets
from .._support.progress import progress_within
from ..function_space.cost import SquaredError
from ..function_space.measure import EmpiricalMeasure
from ..kernels.base import Kernel
from ..solve.factor import Factorization, Solution, Solver
from ..solve.kernel_matrix import KernelMatrix
from ..solve.ridge import Ridge, TimesMeanDiagonal, absolute_ridge
from ..solve.solvers import solver_of
from ..solve.spectrum import SpectralFactor, Spectrum, decompose
from .gaussian import Covariance, Gaussian, checked, scalar_kernel
from .leave_one_out import LeaveOneOut, error_derivative, left_out_residual, left_out_variance
from .likelihood import HYPERPARAMETERS, Likelihood
from .noise import Noise
from .posterior import Posterior
from .problem import KernelProblem
from .units import Units

__all__ = ["GaussianProcess"]


class GaussianProcess:
    """Gaussian process regression, y_i = f(x_i) + N(0, noise) with f ~ GP(0, K).

    With S = K(X, X) + noise I, the values of f at new inputs have the distribution

        mean(x) = K(x, X) S^{-1} y,
        covariance(x, x') = K(x, x') - K(x, X) S^{-1} K(X, x')

    (Rasmussen and Williams 2006, eq. 2.23 and 2.24). S is factored once, at construction, and that factorisation gives
    the posterior, the likelihood and leave-one-out alike.

    A Gaussian process has no time. Without noise, and with an NNGP kernel for K, it is the limit t = inf of training
    the last layer, ``Ensemble(nngp, nngp, cost)``. An ensemble whose ridge is the noise has the same mean in that
    limit, and another covariance.

    Parameters
    ----------
    kernel : Kernel
        K. With a scalar kernel the outputs are independent and have the same covariance; with a class-wise one each has
        its own, and with a full one, such as an empirical NTK, they are correlated.
    x : array (N, ...)
        Training inputs.
    y : array (N, C) or (N,)
        Targets.
    noise : float, array (N,) or TimesMeanDiagonal
        The variance of the noise, at least 0, added to the diagonal: one for all observations, or one for each; or
        :class:`ntk_array.solve.TimesMeanDiagonal`, a multiple of the mean diagonal of the kernel matrix.
    solver : str or solver
        "direct", "cholesky", "spectrum", "conjugate_gradient", or "low_rank" for kernels of explicit features; or one
        of the classes of :mod:`ntk_array.solve` with its options. "direct" is a Cholesky factor if there is noise, and
        else the spectrum, see :class:`ntk_array.solve.Direct`. Conjugate gradients give means and variances, and no
        covariances, likelihoods or leave-one-out.
    prior_mean : callable, optional
        The mean of f before any target is seen, a function of inputs such as ``net.bind(params)`` or an earlier model.
        None is 0.
    normalize_y : bool
        Fit the targets less their mean (of each output), over the root mean square of what is left (of all outputs);
        predictions are in the units of the targets again. The noise is that of normalized targets. Without it a kernel
        whose values are of order 1 takes targets around 1000 for noise.
    progress : bool
        Show bars: of the kernel matrix, its factorisation, iterations and the kernel values of new inputs.

    Attributes
    ----------
    noise : float or array (N,)
        The variance of the noise.
    y : array (N, C)
        The targets as they are fitted, normalized if that was asked for.
    factor : Factorization
        The factorisation of S: its method, rank and condition number.
    solved : Solution
        The coefficients S^{-1} y and how exact they are: solver, residual, backward error, iterations.
    spectrum : Spectrum
        Eigenvalues of K(X, X), its rank, condition number and the cut-off. It is made when it is asked for, unless the
        solver has made it.
    singular : bool
        Whether S cannot be told from a singular matrix: eigenvalues of K are below the cut-off of the spectrum, and the
        noise is below 1/64 of the cut-off. This happens where inputs repeat and there is no noise. The posterior is
        then the limit of vanishing noise, which is the solution of minimum norm; the likelihood and leave-one-out do
        not exist. Predictions with a positive noise that is so small come with a RuntimeWarning.

    Raises
    ------
    ValueError
        If y does not have one row an input, the kernel is of another number of outputs, or the noise is negative.
    numpy.linalg.LinAlgError
        If S is not positive definite, or without noise K(X, X) not positive semidefinite.

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

    def __init__(
        self,
        kernel: Kernel,
        x: Array,
        y: Array,
        noise: Ridge | Array,
        solver: Any = "direct",
        *,
        prior_mean: Callable[[Array], Array] | None = None,
        normalize_y: bool = False,
        progress: bool = False,
    ) -> None:
        p_in = EmpiricalMeasure(x)
        if prior_mean is not None and not callable(prior_mean):
            raise TypeError(f"prior_mean must be a function of x, such as net.bind(params), got {prior_mean!r}")
        if normalize_y and prior_mean is not None:
            raise ValueError("normalize_y takes the mean of the targets for a prior mean: give one of the two")
        self._units = Units(targets("y", y, p_in.x), normalize_y)
        # A problem takes its sample and targets from a cost. Only these are used of it here, never its value.
        self._cost = SquaredError(p_in, self._units.fitted)
        self.problem = KernelProblem.of(kernel, self._cost, f0=prior_mean, ridge=0.0)
        self.kernel, self.x, self.y = kernel, p_in.x, self._cost.y
        self._noise = self._noise_of(noise)
        self.problem = self.problem.with_ridge(self._noise.least)
        self.solver, self.progress = solver_of(solver), progress
        with progress_within(progress):
            self._prior = self.problem.operator(self.solver)
            self.factor = self._factored(self.solver, self._noise)

    def __repr__(self) -> str:
        noise = f"{self.noise:g}" if isinstance(self.noise, float) else "of each observation"
        return (
            f"GaussianProcess({type(self.kernel).__name__}, {self.y.shape[0]} observations of {self.y.shape[1]} "
            f"outputs, noise {noise}, {self.factor.method})"
        )

    def _factored(self, solver: Solver, noise: Noise) -> Factorization:
        return solver.factor(noise.added(self._prior), noise.least)

    @property
    def noise(self) -> Any:
        """The variance of the noise, a number or an array (N,)."""
        return self._noise.given

    def _noise_of(self, given: Any) -> Noise:
        if isinstance(given, TimesMeanDiagonal):
            given = absolute_ridge("noise", given, lambda: KernelMatrix(self.kernel, self.x))
        return Noise(given, self.x, self.problem.size)

    @cached_property
    def prepared_y(self) -> Array:
        """The work on y that does not depend on the noise."""
        return self.factor.prepare(self.problem.residual(self.y))

    @cached_property
    def solved(self) -> Solution:
        """S^{-1} y, (B, n, k) for B matrices of n rows, and how exact it is."""
        return self.factor.solution(self.problem.residual(self.y), self.prepared_y)

    @property
    def spectrum(self) -> Spectrum:
        """The spectrum of K(X, X)."""
        return self.factor.spectrum if isinstance(self.factor, SpectralFactor) else self._spectrum

    @cached_property
    def _spectrum(self) -> Spectrum:
        return decompose(self._prior.array())

    @property
    def singular(self) -> bool:
        """Whether S cannot be told from a singular matrix."""
        return self.factor.singular

    def with_noise(self, noise: Ridge | Array) -> "GaussianProcess":
        """The same process with another variance of the noise, from the same kernel matrix and, where the solver is the
        spectrum and there is one variance for all, the same eigendecomposition.

        ValueError if the noise is negative.
        """
        new = self._noise_of(noise)
        if isinstance(self.factor, SpectralFactor) and new.above is None and self._noise.above is None:
            # Eigenvectors do not depend on the noise, nor do the targets along them: both are shared.
            other = self._with(self.solver, self.factor.with_ridge(new.least))
            other.__dict__["prepared_y"] = self.prepared_y
        else:
            other = self._with(self.solver, self._factored(self.solver, new))
        vars(other).update(_noise=new, problem=self.problem.with_ridge(new.least))
        return other

    def with_solver(self, solver: Any) -> "GaussianProcess":
        """The same process by another solver, from the same kernel matrix."""
        solver = solver_of(solver)
        return self._with(solver, self._factored(solver, self._noise))

    def _with(self, solver: Solver, factor: Factorization) -> "GaussianProcess":
        other = copy.copy(self)
        for name in ("solved", "prepared_y"):
            other.__dict__.pop(name, None)
        other.solver, other.factor = solver, factor
        return other

    def with_amplitude(self, factor: float) -> "GaussianProcess":
        """The same process with its kernel times a factor, from the same kernel matrix and, where the solver is the
        spectrum and there is one variance of the noise for all, the same eigendecomposition.

        ValueError if the factor is not positive.
        """
        kernel = factor * self.kernel
        prior = self._prior.scaled(factor)
        if isinstance(self.factor, SpectralFactor) and self._noise.above is None:
            other = self._with(self.solver, SpectralFactor(self.spectrum.scaled(factor), prior, self._noise.least))
            other.__dict__["prepared_y"] = self.prepared_y
        else:
            other = self._with(self.solver, self.solver.factor(self._noise.added(prior), self._noise.least))
        other.__dict__.pop("_spectrum", None)
        vars(other).update(kernel=kernel, _prior=prior, problem=self.problem.with_kernel(kernel))
        return other

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> "GaussianProcess":
        """The same process with the weight_std and bias_std of its kernel times factors; see ``Kernel.rescaled``."""
        return GaussianProcess(
            self.kernel.rescaled(weight_std=weight_std, bias_std=bias_std),
            self.x,
            self._units.given,
            self.noise,
            self.solver,
            prior_mean=self.problem.f0,
            normalize_y=self._units.normalized,
            progress=self.progress,
        )

    def predict(
        self, x_new: Array | None = None, covariance: Covariance = "full", *, memory: str | int = "1 GiB"
    ) -> Gaussian:
        """The posterior distribution of f, without the noise of a new observation.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.
        covariance : "full", "diagonal" or None
            The whole covariance (M, M), the variances (M,) alone, or means alone, which take far less time and memory.
        memory : str or int
            What kernel values of new inputs with the sample may take, where the covariance is not full; new inputs come
            in blocks that fit.

        Returns
        -------
        Gaussian
            ``mean`` (M, C), or (M,) where the targets were (N,), and ``covariance`` (M, M) or None, the same for every
            output, exactly symmetric, and positive semidefinite up to rounding; ``variance`` is its diagonal. That of a
            class-wise kernel is (C, M, M) and of a full one (M, C, M, C), and variances are (M, C).

        Raises
        ------
        MemoryError
            If there is no room for the covariance, before work starts.
        ValueError
            If the solver gives no covariances.
        """
        checked(covariance)
        x_new = None if x_new is None else self.problem.new_inputs(x_new)
        with progress_within(self.progress):
            predicted = self._posterior(x_new, covariance, memory)
        self.factor.warn("noise")
        return predicted

    def _posterior(self, x_new: Array | None, covariance: Covariance, memory: str | int) -> Gaussian:
        units, kind = self._units, self.problem.kind
        posterior = Posterior(self.problem, self._prior, self._noise, self.factor)
        mean = self._cost.shaped(units.mean(posterior.mean(x_new, self.y, self.solved.x, memory)))
        if covariance is None:
            return Gaussian(mean, kind=kind)
        if covariance == "full":
            return Gaussian(mean, units.covariance(posterior.covariance(x_new)), kind=kind)
        return Gaussian(mean, variance=self._variance(posterior.variance(x_new, memory)), kind=kind)

    def _variance(self, fitted: Array) -> Array:
        """Variances in the units of the targets. Outputs that share the kernel share them, and there is no axis."""
        variance = self._units.covariance(fitted)
        return variance if self.problem.kind == "scalar" else self._cost.shaped(variance)

    def sample(self, x_new: Array | None, draws: int, seed: Seed) -> Array:
        """Independent draws of f from the posterior, (draws, M, C) or (draws, M).

        One seed gives the same draws on every library; see :meth:`Gaussian.sample`.
        """
        x_new = None if x_new is None else self.problem.new_inputs(x_new)
        draw = self._posterior(x_new, "full", "1 GiB").sample(draws, seed)
        self.factor.warn("noise")
        return draw

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
            Some of "log_weight_std" and "log_bias_std", see ``Kernel.gradient``, "log_amplitude", the logarithm of a
            factor of the kernel, and "log_noise", the logarithm of the variance of the noise. True asks for all
            derivatives that exist.

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
        ['log_amplitude', 'log_bias_std', 'log_noise', 'log_weight_std']
        >>> bool(slope["log_noise"] < 0)                             # less noise explains these targets better
        True
        """
        self.factor.refuse_singular("noise", "the targets have no density")
        # Targets in other units have another density.
        likelihood = self._likelihood
        value = likelihood.logarithm() - math.prod(self.y.shape) * math.log(self._units.scale)
        if gradient is False:
            return value
        names = self._differentiable if gradient is True else (gradient,) if isinstance(gradient, str) else gradient
        return value, {name: self._slope(likelihood, one_of("gradient", name, HYPERPARAMETERS)) for name in names}

    @property
    def data_fit(self) -> Array:
        """sum_c y_c^T S^{-1} y_c for the targets as they are fitted, an array of no axes; never negative."""
        return self._likelihood.data_fit

    @property
    def _likelihood(self) -> Likelihood:
        return Likelihood(self.factor, self._noise, self.prepared_y)

    def _slope(self, likelihood: Likelihood, name: str) -> Array:
        """The derivative of the likelihood in one hyper-parameter."""
        if name == "log_amplitude":
            return likelihood.in_log_amplitude()
        if name == "log_noise":
            if self._noise.least == 0.0:
                raise ValueError("there is no derivative with respect to log_noise: the noise is 0, its logarithm -inf")
            return likelihood.in_log_noise()
        return likelihood.along(stack_block(self.problem.kind, self._gram_derivative(name)))

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
        residual = left_out_residual(self.problem, self.factor, self.prepared_y)
        # It is the variance of a new observation: the noise is in it.
        variance = self._variance(left_out_variance(self.problem, self.factor))
        mean = self._cost.shaped(self._units.mean(self.y - residual))
        return LeaveOneOut(mean, self._cost.shaped(self._units.scale * residual), variance)

    def leave_one_out_gradient(self, wrt: Sequence[str]) -> dict[str, Array]:
        """Derivatives of ``leave_one_out().error`` in hyper-parameters of the kernel, one array for each name:
        "log_weight_std", "log_bias_std" and "log_amplitude".

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is singular.
        TypeError, ValueError
            If a derivative does not exist; see ``Kernel.gradient``. If the kernel is not scalar.
        """
        scalar_kernel("kernel", self.kernel)
        self.factor.refuse_singular("noise", "leave-one-out has no closed form")
        inverse, alpha = self.factor.inverse()[0, ...], self.factor.prepared_solve(self.prepared_y)[0, ...]
        return {name: error_derivative(inverse, alpha, self._gram_derivative(name)) for name in wrt}

    @property
    def _differentiable(self) -> tuple[str, ...]:
        """The hyper-parameters in which a derivative exists: the logarithm of no noise is -inf."""
        present = self.kernel.hyperparameters | {"log_amplitude"} | ({"log_noise"} if self._noise.least else set())
        return tuple(name for name in HYPERPARAMETERS if name in present)

    def _gram_derivative(self, name: str) -> Array:
        if name == "log_amplitude":
            return unstack_block(self.problem.kind, self._prior.array(), int(self.y.shape[1]))
        return self.kernel.gradient(self.x, wrt=(name,))[name]
