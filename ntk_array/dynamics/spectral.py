"""The part that gradient flow, gradient descent and ensembles share: each eigenvector of the kernel evolves alone."""

import copy
from collections.abc import Callable, Iterable

from .._array.namespace import Array
from ..function_space.cost import Cost, SquaredError
from ..kernels.base import Kernel
from ..solve.spectrum import decompose
from .problem import KernelProblem

__all__ = ["SpectralSolution"]


class SpectralSolution:
    """f(x) = f_0(x) + Theta(x, X) phi(S) (y - f_0(X)) for any function phi of the eigenvalues of S = Theta + ridge I.

    S is diagonalized once, at construction, and never inverted. The flows say what phi is at a time, as
    ``factor.filter(phi, bound)``, or None for phi(s) = 1 / s, the limit of long times: that is a linear system, whose
    solution is refined.

    Attributes
    ----------
    problem : KernelProblem
    cost : SquaredError
    gram : array (B, n, n)
        The weighted Gram matrix, without the ridge.
    factor : SpectralFactor
        Of S, for the weighted Gram matrix.
    coordinates : array (B, n, k)
        The weighted residual y - f_0 along the eigenvectors.
    rate : float
        2 c / N, c the factor of the cost: the residual along an eigenvector of eigenvalue s decays as exp(-rate s t).
    """

    def __init__(self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: float) -> None:
        self.problem = KernelProblem.of(kernel, cost, f0, ridge)
        if not isinstance(cost, SquaredError):
            raise TypeError(f"the dynamics have a closed form for SquaredError only, got {type(cost).__name__}")
        self.cost = cost
        self.gram = self.problem.gram()
        self.factor = decompose(self.gram).with_ridge(self.problem.ridge)
        self.coordinates = self.factor.prepare(self.problem.residual(cost.y))
        self.rate = 2.0 * cost.factor / len(cost.p_in)

    def with_ridge(self, ridge: float) -> "SpectralSolution":
        """The same problem with another ridge, from the same eigendecomposition."""
        other = copy.copy(self)
        other.problem, other.factor = self.problem.with_ridge(ridge), self.factor.with_ridge(ridge)
        return other

    def functions(self, x_new: Array | None, filters: Iterable[Array | None]) -> list[Array]:
        """f at new inputs (the training points if None), one array for each filter (B, n, 1)."""
        start = self.problem.start(x_new)
        if x_new is None:
            limit = self.factor.inverse[..., None]
            left = self.features(None)
            right = [(limit if filtered is None else filtered) * self.coordinates for filtered in filters]
        else:
            # Theta(x, X) (V c), not (Theta(x, X) V) c: along directions of small eigenvalues the product with V is
            # rounding, which the filter would multiply by up to the time.
            left, right = self.problem.cross(x_new), [self._weights(filtered) for filtered in filters]
        return [self.cost.shaped(start + self.problem.unstack(left @ one)) for one in right]

    def _weights(self, filtered: Array | None) -> Array:
        """phi(S) (y - f_0), (B, n, k), with sqrt(N w_i) in its rows as the residual has."""
        if filtered is not None:
            return self.factor.prepared_apply(filtered, self.coordinates)
        solution = self.factor.prepared_solve(self.coordinates)
        return self.factor.refined(solution, self.gram, self.problem.residual(self.cost.y))

    def features(self, x_new: Array | None) -> Array:
        """Theta(x, X) times the weighted eigenvectors, (B, rows, n), with x the training points if None."""
        spectrum = self.factor.spectrum
        if x_new is None:
            return self.problem.unweighted(spectrum.vectors * spectrum.values[:, None, :])
        return self.problem.cross(x_new) @ spectrum.vectors

    def coefficients(self, filtered: Array | None) -> Array:
        """c (N, C) of f(x) = f_0(x) + Theta(x, X) c, for one filter."""
        return self.problem.unstack(self.problem.weighted(self._weights(filtered)))
