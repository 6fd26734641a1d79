"""The part that gradient flow and gradient descent share: f_0 + Theta(x, X) phi(S) (y - f_0(X))."""

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from .._array.namespace import Array, home
from ..function_space.cost import Cost, SquaredError
from ..kernels.base import Kernel
from ..solve.factor import Factorization, Solution, Solver
from ..solve.ridge import Ridge
from ..solve.solvers import Direct, solver_of
from ..solve.spectrum import Spectral, SpectralFactor, Spectrum
from .problem import KernelProblem

__all__ = ["Filter", "SpectralSolution"]


class Filter(NamedTuple):
    """A function phi of the eigenvalues of S, and the largest value that it may have."""

    phi: Callable[[Array], Array]
    bound: float


class SpectralSolution:
    """f(x) = f_0(x) + Theta(x, X) phi(S) (y - f_0(X)) for any function phi of the eigenvalues of S = Theta + ridge I.

    S is factored when it is first asked for. Which method does that follows from the question: phi(s) = 1 / s, the
    limit of long times (None here), is a linear system, whose solution is refined. Every other phi needs the spectrum
    or Lanczos.

    Attributes
    ----------
    problem : KernelProblem
    cost : SquaredError
    operator : GramOperator
        The weighted Gram matrix (B, n, n), without the ridge.
    rate : float
        2 c / N, c the factor of the cost: the residual along an eigenvector of eigenvalue s decays as exp(-rate s t).
    """

    def __init__(
        self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: Ridge, solver: Any = "direct"
    ) -> None:
        self.solver = solver_of(solver)
        self.problem = KernelProblem.of(kernel, cost, f0, ridge)
        if not isinstance(cost, SquaredError):
            raise TypeError(f"the dynamics have a closed form for SquaredError only, got {type(cost).__name__}")
        self.cost = cost
        self.operator = self.problem.operator(self.solver)
        self.residual = self.problem.residual(cost.y)
        self.rate = 2.0 * cost.factor / len(cost.p_in)

    @property
    def _for_times(self) -> Solver:
        # "direct" takes the spectrum for finite times. Any other solver has to do for all that is asked.
        return Spectral() if isinstance(self.solver, Direct) else self.solver

    @cached_property
    def limit_factor(self) -> Factorization:
        """Of S, for linear systems."""
        if self._for_times is self.solver:
            return self.time_factor
        return self.solver.factor(self.operator, self.problem.ridge)

    @cached_property
    def time_factor(self) -> Factorization:
        """Of S, for functions of it."""
        return self._for_times.factor(self.operator, self.problem.ridge)

    @property
    def spectral_factor(self) -> SpectralFactor:
        """Of S, by its spectrum."""
        if isinstance(self.time_factor, SpectralFactor):
            return self.time_factor
        raise ValueError(f'solver="{self.time_factor.method}" knows no spectrum: take solver="spectrum"')

    @property
    def spectrum(self) -> Spectrum:
        """Of the weighted Gram matrix."""
        return self.spectral_factor.spectrum

    @property
    def largest(self) -> float:
        """The largest eigenvalue of S, or an estimate of it."""
        return self.time_factor.largest

    @cached_property
    def coordinates(self) -> Any:
        """The weighted residual y - f_0, prepared for the factor for times."""
        return self.time_factor.prepare(self.residual)

    @cached_property
    def limit(self) -> Solution:
        """S^{-1} (y - f_0), (B, n, k), with sqrt(N w_i) in its rows as the residual has."""
        factor = self.limit_factor
        return factor.solution(self.residual, self.coordinates if factor is self.__dict__.get("time_factor") else None)

    def with_solver(self, solver: Any) -> "SpectralSolution":
        """The same problem by another solver, from the same Gram matrix."""
        other = copy.copy(self)
        for name in ("limit_factor", "limit", "time_factor", "coordinates"):
            other.__dict__.pop(name, None)
        other.solver = solver_of(solver)
        return other

    def with_ridge(self, ridge: Ridge) -> "SpectralSolution":
        """The same problem with another ridge, from the same eigendecomposition if there is one."""
        other = copy.copy(self)
        for name in ("limit_factor", "limit", "time_factor"):
            other.__dict__.pop(name, None)
        other.problem = self.problem.with_ridge(ridge)
        if "time_factor" in self.__dict__:
            other.__dict__["time_factor"] = self.time_factor.with_ridge(other.problem.ridge)
        else:
            other.__dict__.pop("coordinates", None)
        return other

    def functions(
        self, x_new: Array | None, filters: Sequence[Filter | None], memory: str | int = "1 GiB"
    ) -> list[Array]:
        """f at new inputs (the training points if None), one array for each filter; None is the limit."""
        x_new = None if x_new is None else self.problem.new_inputs(x_new)
        start = self.problem.start(x_new)
        if x_new is None:
            values = [self.problem.unweighted(self._fitted(filtered)) for filtered in filters]
        elif filters:
            # Theta(x, X) (V c), not (Theta(x, X) V) c: along directions of small eigenvalues the product with V is
            # rounding, which the filter would multiply by up to the time. All filters share the kernel values.
            xp, width = home(start).xp, self.residual.shape[-1]
            weights = xp.concat([self.weights(filtered) for filtered in filters], axis=-1)
            products = self.problem.products(x_new, weights, memory)
            values = [products[..., i * width : (i + 1) * width] for i in range(len(filters))]
        else:
            values = []
        return [self.cost.shaped(start + self.problem.unstack(one)) for one in values]

    def weights(self, filtered: Filter | None) -> Array:
        """phi(S) (y - f_0), (B, n, k), with sqrt(N w_i) in its rows as the residual has."""
        return self.limit.x if filtered is None else self.time_factor.function(*filtered, self.coordinates)

    def _fitted(self, filtered: Filter | None) -> Array:
        if filtered is None:
            return self.limit_factor.fitted(self.residual, self.limit.x)
        return self.time_factor.fitted_function(*filtered, self.coordinates)

    def coefficients(self, filtered: Filter | None) -> Array:
        """c (N, C) of f(x) = f_0(x) + Theta(x, X) c, for one filter."""
        return self.problem.unstack(self.problem.weighted(self.weights(filtered)))
