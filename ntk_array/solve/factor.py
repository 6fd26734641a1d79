"""The questions that a factorisation of a regularized Gram matrix answers, whichever method made it."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

from .._array.linalg import mirror, norm
from .._array.namespace import Array, home, to_host
from .._support.html import table
from .operator import GramOperator

__all__ = ["Factorization", "Solution", "Solver"]

REFINEMENTS = 3
"""Steps of iterative refinement. One is enough unless the ridge is near rounding."""


class Solver(Protocol):
    """A method, with its options.

    Attributes
    ----------
    matrix_free : bool
        Whether it is content with products, so that the matrix is not made.
    """

    @property
    def matrix_free(self) -> bool: ...

    def matrices(self, ridge: float) -> float:
        """How many matrices of the size of K there are at once, K included."""

    def factor(self, operator: GramOperator, ridge: float) -> "Factorization":
        """The factorisation of S = K + ridge I by this method."""


@dataclass(frozen=True, repr=False)
class Solution:
    """The solution of S x = b, and how it was found.

    Attributes
    ----------
    x : array
        The solution, of the shape of b.
    solver : str
        The method that ran: "cholesky", "spectrum", "conjugate_gradient" or "lanczos".
    residual : float
        The norm of b - S x over that of b.
    backward_error : float
        The norm of b - S x over that of b plus those of S and x: the relative change of S and b that x solves exactly.
        The norm of S is its largest eigenvalue, or an estimate of it.
    condition : float
        The largest eigenvalue of S over the smallest that can be told from 0, or an estimate of it: for a Cholesky
        factor and for iterative methods over the ridge, where that is enough to make S regular.
    rank : int
        How many directions of S can be told from null directions; the others are left out of x.
    iterations : int
        Of an iterative method, else 0.
    converged : bool
        Whether an iterative method reached what was asked of it; True for the others.
    """

    x: Array
    solver: str
    residual: float
    backward_error: float
    condition: float
    rank: int
    iterations: int
    converged: bool

    def __repr__(self) -> str:
        steps = f", {self.iterations} iterations" if self.iterations else ""
        return (
            f"Solution({self.solver}, x {tuple(self.x.shape)}, residual {self.residual:.1e}, backward error "
            f"{self.backward_error:.1e}, condition {self.condition:.1e}, rank {self.rank}{steps}"
            f"{'' if self.converged else ', not converged'})"
        )

    def _repr_html_(self) -> str:
        names = ("solver", "residual", "backward_error", "condition", "rank", "iterations", "converged")
        return table(f"Solution, x {tuple(self.x.shape)}", [(name, getattr(self, name)) for name in names])

    def with_x(self, x: Array) -> "Solution":
        """The same solution in another shape."""
        return replace(self, x=x)


class Factorization(ABC):
    """A factorisation of S = K + ridge I, for a stack K of B Gram matrices (B, n, n).

    Regression, likelihoods and leave-one-out ask these questions only, so that a method is one subclass in one file.
    Right-hand sides b are stacks (B, n, k). The determinant and parts of S^{-1} are those of a regular S: callers ask
    :meth:`refuse_singular` first. A method that cannot answer a question says so in a ValueError, which names those
    that can.

    A right-hand side that is used again, with this ridge or another, is prepared once: :meth:`prepare` does the work
    that does not depend on the ridge, and the methods named ``prepared_...`` do the rest.

    Attributes
    ----------
    method : str
        The name of the method, such as "spectrum".
    operator : GramOperator
        K.
    ridge : float
        The number added to the diagonal of K.
    rank : int
        How many directions of S can be told from null directions, in the matrix of the stack that has the fewest.
    singular : bool
        Whether the rank is less than n. The solutions are then those of minimum norm, where the method has them.
    largest : float
        The largest eigenvalue of S, or an estimate of it.
    condition : float
        The largest eigenvalue of S over the smallest one that can be told from 0, or an estimate of it.
    iterations : int
        Of the last solution by an iterative method.
    converged : bool
        Whether that reached what was asked of it.
    """

    method: str
    operator: GramOperator
    ridge: float
    rank: int
    singular: bool
    largest: float
    condition: float
    iterations: int = 0
    converged: bool = True

    @abstractmethod
    def with_ridge(self, ridge: float) -> "Factorization":
        """The same matrices with another ridge."""

    @abstractmethod
    def prepared_solve(self, prepared: Array) -> Array:
        """S^{-1} b for b that was prepared."""

    # ---- solutions ---------------------------------------------------------------------------------------------------

    def prepare(self, b: Array) -> Array:
        """The part of the work on b that does not depend on the ridge; b itself unless a method has such a part."""
        return b

    def solve(self, b: Array) -> Array:
        """S^{-1} b, (B, n, k)."""
        return self.prepared_solve(self.prepare(b))

    def solution(self, b: Array, prepared: Array | None = None) -> Solution:
        """S^{-1} b after a few steps of iterative refinement (Higham 2002, section 12.1), and what is known of it.

        An eigendecomposition alone may be off by far more than a Cholesky factor. A solution for the residual mends
        that. Where rounding decides the solution, residuals need not fall: the solution with the smallest one is
        returned. A singular S is left alone.
        """
        x = self.prepared_solve(self.prepare(b) if prepared is None else prepared)
        residual = self.residual(x, b)
        best, least = x, _size(residual)
        for _ in range(0 if self.singular else self.refinements):
            x = x + self.solve(residual)
            residual = self.residual(x, b)
            if not (size := _size(residual)) < least:
                break
            best, least = x, size
        scale, size = _size(b), _size(best)
        return Solution(
            best,
            self.method,
            least / scale if scale else 0.0,
            least / (self.largest * size + scale) if scale else 0.0,
            self.condition,
            self.rank,
            self.iterations,
            self.converged,
        )

    refinements: int = REFINEMENTS

    def residual(self, x: Array, b: Array) -> Array:
        """b - S x."""
        return b - (self.operator.product(x) + self.ridge * x)

    def fitted(self, b: Array, x: Array) -> Array:
        """K x for the solution x of S x = b: what is predicted on the sample for targets b."""
        # The product would lose digits where the targets are fitted to more digits than it has.
        return b - self.ridge * x

    def function(self, phi: Callable[[Array], Array], bound: float, prepared: Array) -> Array:
        """phi(S) b, (B, n, k), for b that was prepared and a function of eigenvalues that is at most ``bound``."""
        raise ValueError(
            f'solver="{self.method}" solves linear systems, which are the limit t = inf of training: for finite times '
            'take solver="spectrum" or solver="lanczos"'
        )

    def fitted_function(self, phi: Callable[[Array], Array], bound: float, prepared: Array) -> Array:
        """K phi(S) b: what is predicted on the sample."""
        return self.operator.product(self.function(phi, bound, prepared))

    # ---- parts of the inverse ----------------------------------------------------------------------------------------

    def prepared_half(self, prepared: Array) -> Array:
        """half(b) for b that was prepared."""
        return self._no("covariances and likelihoods")

    def half(self, b: Array) -> Array:
        """One half of the quadratic form of S^{-1}: half(a)^T half(b) = a^T S^{-1} b, (B, n, k).

        The half itself depends on the method: L^{-1} b for a Cholesky factor L, S^{-1/2} b up to a rotation for a
        spectrum.
        """
        return self.prepared_half(self.prepare(b))

    def quadratic(self, b: Array) -> Array:
        """b^T S^{-1} b, (B, k, k), exactly symmetric.

        A Gaussian process explains so much of the covariance of points whose kernel values with the sample are the
        columns of b.
        """
        half = self.half(b)
        return mirror(home(half).xp.matrix_transpose(half) @ half)

    def quadratic_diagonal(self, b: Array) -> Array:
        """The diagonal of b^T S^{-1} b, (B, k), without the rest."""
        half = self.half(b)
        return home(half).xp.sum(half * half, axis=-2)

    def quadratic_of_gram(self) -> Array:
        """K S^{-1} K, (B, n, n): K may have a known half."""
        return self.quadratic(self.operator.array())

    def log_determinant(self) -> Array:
        """log det S, (B,)."""
        return self._no("determinant")

    def inverse(self) -> Array:
        """S^{-1} itself, (B, n, n), where its entries are asked for; solutions do not need it."""
        return self._no("entries of the inverse, which leave-one-out and gradients need")

    def inverse_diagonal(self) -> Array:
        """The diagonals of S^{-1}, (B, n)."""
        inverse = self.inverse()
        return home(inverse).xp.linalg.diagonal(inverse)

    def inverse_blocks(self, size: int) -> Array:
        """The diagonal blocks of S^{-1}, (B, n / size, size, size).

        A full kernel with C outputs has a block of size C for each input.
        """
        inverse = self.inverse()
        xp, n = home(inverse).xp, inverse.shape[-1]
        grid = xp.reshape(inverse, (inverse.shape[0], n // size, size, n // size, size))
        # The diagonal of the two axes that count inputs comes last: (B, size, size, inputs).
        return xp.moveaxis(xp.linalg.diagonal(xp.permute_dims(grid, (0, 2, 4, 1, 3))), -1, 1)

    def inverse_trace(self) -> Array:
        """tr S^{-1}, (B,)."""
        diagonal = self.inverse_diagonal()
        return home(diagonal).xp.sum(diagonal, axis=-1)

    def trace_of(self, change: Array) -> Array:
        """tr(S^{-1} dS), (B,), for a change dS (B, n, n) of S: the derivative of log det S."""
        return home(change).xp.sum(self.inverse() * change, axis=(-2, -1))

    # ---- refusals ----------------------------------------------------------------------------------------------------

    def refuse_singular(self, name: str, consequence: str) -> None:
        """Raise numpy.linalg.LinAlgError if S is singular.

        ``name`` is the word that the caller has for the ridge, and ``consequence`` says what does not exist.
        """
        if self.singular:
            self._refuse_singular(name, consequence)

    def _refuse_singular(self, name: str, consequence: str) -> NoReturn:
        raise NotImplementedError

    def warn(self, name: str) -> None:
        """A RuntimeWarning if the ridge is positive and too small to make S regular in this dtype, or if the last
        solution is not what was asked for.

        It is for the function that a user has called: the warning points to where that is called.
        """
        if self.ridge and self.singular:
            warnings.warn(
                f"the {name} {self.ridge:g} is below what rounding does to the kernel matrix: the answer is that of no "
                f"{name} and of minimum norm; use float64 if the inputs are float32, or a larger {name}",
                RuntimeWarning,
                stacklevel=3,
            )

    def _no(self, what: str) -> NoReturn:
        raise ValueError(f'solver="{self.method}" gives no {what}; take solver="cholesky" or solver="spectrum"')


def _size(a: Array) -> float:
    """The Frobenius norm, read back: it decides how to go on."""
    size = float(to_host(norm(a)).max())
    return size if size == size else math.inf
