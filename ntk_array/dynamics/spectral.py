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
    ``factor.filter(phi, bound)``.

    Attributes
    ----------
    problem : KernelProblem
    cost : SquaredError
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
        self.factor = decompose(self.problem.gram()).with_ridge(self.problem.ridge)
        self.coordinates = self.factor.prepare(self.problem.residual(cost.y))
        self.rate = 2.0 * cost.factor / len(cost.p_in)

    def with_ridge(self, ridge: float) -> "SpectralSolution":
        """The same problem with another ridge, from the same eigendecomposition."""
        other = copy.copy(self)
        other.problem, other.factor = self.problem.with_ridge(ridge), self.factor.with_ridge(ridge)
        return other

    def functions(self, x_new: Array | None, filters: Iterable[Array]) -> list[Array]:
        """f at new inputs (the training points if None), one array for each filter (B, n, 1)."""
        start = self.problem.start(x_new)
        along = [filtered * self.coordinates for filtered in filters]
        if x_new is None:
            left, right = self.features(None), along
        else:
            # Theta(x, X) (V c), not (Theta(x, X) V) c: along directions of small eigenvalues the product with V is
            # rounding, which the filter would multiply by up to the time.
            left, right = self.problem.cross(x_new), [self.factor.spectrum.vectors @ one for one in along]
        return [self.cost.shaped(start + self.problem.unstack(left @ one)) for one in right]

    def features(self, x_new: Array | None) -> Array:
        """Theta(x, X) times the weighted eigenvectors, (B, rows, n), with x the training points if None."""
        spectrum = self.factor.spectrum
        if x_new is None:
            return self.problem.unweighted(spectrum.vectors * spectrum.values[:, None, :])
        return self.problem.cross(x_new) @ spectrum.vectors

    def coefficients(self, filtered: Array) -> Array:
        """c (N, C) of f(x) = f_0(x) + Theta(x, X) c, for one filter."""
        stacked = self.factor.prepared_apply(filtered, self.coordinates)
        return self.problem.unstack(self.problem.weighted(stacked))
