"""Cholesky factors: the quickest way to solutions, likelihoods and leave-one-out for one positive ridge."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NoReturn

import numpy as np

from .._array.linalg import cholesky, plus_diagonal, solve_lower
from .._array.namespace import Array, home
from .factor import Factorization
from .operator import GramOperator
from .power import largest_eigenvalue

__all__ = ["REGULAR", "Cholesky", "CholeskyFactor"]


REGULAR = 4.0
"""A condition number below 1 / (REGULAR eps) can be told from that of a singular matrix."""


@dataclass(frozen=True)
class Cholesky:
    """S = L L^T, for a ridge that makes S positive definite to rounding.

    It takes n^3 / 3 operations and one more matrix of memory. Where S is singular to rounding there is no factor, but a
    LinAlgError.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> found = ntk.solve.solve(np.eye(2), np.asarray([1.0, 3.0]), ridge=1.0, solver="cholesky")
    >>> found.x, found.solver
    (array([0.5, 1.5]), 'cholesky')
    """

    matrix_free: ClassVar[bool] = False

    def matrices(self, ridge: float) -> float:
        return 2.2  # K, L, and blocks of columns

    def factor(self, operator: GramOperator, ridge: float) -> "CholeskyFactor":
        return CholeskyFactor(operator, ridge)


class CholeskyFactor(Factorization):
    """S = L L^T.

    Attributes
    ----------
    lower : array (B, n, n)
        L.
    """

    method = "cholesky"
    # It is backward stable: refinement in the same precision gains nothing.
    refinements = 0

    def __init__(self, operator: GramOperator, ridge: float) -> None:
        self.operator, self.ridge = operator, ridge
        array = operator.array()
        try:
            self.lower = cholesky(plus_diagonal(array, ridge))
        except np.linalg.LinAlgError as error:
            raise np.linalg.LinAlgError(
                f"K + {ridge:g} I is not positive definite to rounding in {operator.home.dtype}: it has no Cholesky "
                'factor; give a larger ridge or noise, use float64 if the inputs are float32, or take solver="spectrum"'
            ) from error
        self.rank = array.shape[-1]
        # Two steps are enough for kernels, whose largest eigenvalue is far above the next.
        self.largest = largest_eigenvalue(operator, operator.product, steps=2) + ridge
        # No eigenvalue is below the ridge. Where that is enough to make S regular, nothing more is computed.
        self.condition = self.largest / ridge if ridge else np.inf
        if not REGULAR * self.condition * operator.home.eps < 1.0:
            self.condition = min(self.condition, self.largest * largest_eigenvalue(operator, self.solve))
        self.singular = not self.condition * operator.home.eps < 1.0

    def with_ridge(self, ridge: float) -> "CholeskyFactor":
        """Another factor: that of one ridge says nothing about another."""
        return CholeskyFactor(self.operator, ridge)

    def prepared_solve(self, prepared: Array) -> Array:
        return solve_lower(self.lower, solve_lower(self.lower, prepared), transposed=True)

    def prepared_half(self, prepared: Array) -> Array:
        return solve_lower(self.lower, prepared)

    def log_determinant(self) -> Array:
        xp = home(self.lower).xp
        return 2.0 * xp.sum(xp.log(xp.linalg.diagonal(self.lower)), axis=-1)

    def inverse(self) -> Array:
        return self._inverse

    @cached_property
    def _inverse(self) -> Array:
        half = self._half_of_identity()
        return home(half).xp.matrix_transpose(half) @ half

    def inverse_diagonal(self) -> Array:
        return self._inverse_diagonal

    @cached_property
    def _inverse_diagonal(self) -> Array:
        half = self._half_of_identity()
        return home(half).xp.sum(half * half, axis=-2)

    def _half_of_identity(self) -> Array:
        its_home = home(self.lower)
        return solve_lower(self.lower, its_home.xp.broadcast_to(its_home.eye(self.rank), self.lower.shape))

    def _refuse_singular(self, name: str, consequence: str) -> NoReturn:
        raise np.linalg.LinAlgError(
            f"the condition number of the kernel matrix with the {name} {self.ridge:g} is about {self.condition:.0e}, "
            f"which {home(self.lower).dtype} cannot tell from a singular one: {consequence}; drop repeated inputs or "
            f"give a larger {name}"
        )
