"""The questions that a factorisation of a regularized Gram matrix answers, whichever method made it."""

import math
import warnings
from abc import ABC, abstractmethod

from .._array.namespace import Array, home, to_host

__all__ = ["Factorization"]

REFINEMENTS = 3
"""Steps of iterative refinement. One is enough unless the ridge is near rounding."""


class Factorization(ABC):
    """A factorisation of S = K + ridge I, for a stack K of B Gram matrices (B, n, n).

    Regression, likelihoods and leave-one-out ask these questions only, so that a method is one subclass in one file.
    Right-hand sides b are stacks (B, n, k). S is never inverted. The determinant and parts of S^{-1} are those of a
    regular S: callers ask :meth:`refuse_singular` first.

    A right-hand side that is used again, with this ridge or another, is prepared once: :meth:`prepare` does the work
    that does not depend on the ridge, and the methods named ``prepared_...`` do the rest.

    Attributes
    ----------
    method : str
        The name of the method, such as "spectrum".
    ridge : float
        The number added to the diagonal of K.
    rank : int
        How many directions of S can be told from null directions, in the matrix of the stack that has the fewest.
    singular : bool
        Whether the rank is less than n. The solutions are then those of minimum norm, where the method has them.
    """

    method: str
    ridge: float
    rank: int
    singular: bool

    @property
    @abstractmethod
    def condition(self) -> float:
        """The largest eigenvalue of S over the smallest one that can be told from 0, or an estimate of it."""

    @abstractmethod
    def refuse_singular(self, name: str, consequence: str) -> None:
        """Raise numpy.linalg.LinAlgError if S is singular.

        ``name`` is the word that the caller has for the ridge, and ``consequence`` says what does not exist.
        """

    def warn_below_rounding(self, name: str) -> None:
        """A RuntimeWarning if the ridge is positive and too small to make S regular in this dtype.

        It is for the function that a user has called: the warning points to where that is called.
        """
        if self.ridge and self.singular:
            warnings.warn(
                f"the {name} {self.ridge:g} is below what rounding does to the kernel matrix: the answer is that of no "
                f"{name} and of minimum norm; use float64 if the inputs are float32, or a larger {name}",
                RuntimeWarning,
                stacklevel=3,
            )

    def prepare(self, b: Array) -> Array:
        """The part of the work on b that does not depend on the ridge; b itself unless a method has such a part."""
        return b

    @abstractmethod
    def prepared_solve(self, prepared: Array) -> Array:
        """S^{-1} b for b that was prepared."""

    @abstractmethod
    def prepared_half(self, prepared: Array) -> Array:
        """half(b) for b that was prepared."""

    def solve(self, b: Array) -> Array:
        """S^{-1} b, (B, n, k)."""
        return self.prepared_solve(self.prepare(b))

    def refined(self, solution: Array, gram: Array, b: Array) -> Array:
        """The solution of S x = b after a few steps of iterative refinement (Higham 2002, section 12.1).

        An eigendecomposition alone may be off by far more than a Cholesky factor. A solution for the residual mends
        that, for a product with the Gram matrix K that was factored. Where rounding decides the solution, residuals
        need not fall: the solution with the smallest one is returned. A singular S is left alone.
        """
        if self.singular:
            return solution
        xp, best, least = home(b).xp, solution, math.inf
        for step in range(REFINEMENTS + 1):
            residual = b - (gram @ solution + self.ridge * solution)
            size = float(to_host(xp.sqrt(xp.sum(residual * residual))))
            if not size < least:
                break
            best, least = solution, size
            if step < REFINEMENTS:
                solution = solution + self.solve(residual)
        return best

    def half(self, b: Array) -> Array:
        """One half of the quadratic form of S^{-1}: half(a)^T half(b) = a^T S^{-1} b, (B, n, k).

        A Gaussian process explains half(c)^T half(c) of the variance at a point whose kernel values with the sample are
        c. The half itself depends on the method: L^{-1} b for a Cholesky factor L, S^{-1/2} b up to a rotation for a
        spectrum.
        """
        return self.prepared_half(self.prepare(b))

    @abstractmethod
    def half_of_gram(self) -> Array:
        """half(K), (B, n, n), for predictions on the sample.

        K is the matrix that was factored, so that a method may know its half without a product of n x n matrices.
        """

    @abstractmethod
    def log_determinant(self) -> Array:
        """log det S, (B,)."""

    @abstractmethod
    def inverse_diagonal(self) -> Array:
        """The diagonals of S^{-1}, (B, n)."""

    @abstractmethod
    def inverse_blocks(self, size: int) -> Array:
        """The diagonal blocks of S^{-1}, (B, n / size, size, size).

        A full kernel with C outputs has a block of size C for each input.
        """

    def inverse_trace(self) -> Array:
        """tr S^{-1}, (B,)."""
        diagonal = self.inverse_diagonal()
        return home(diagonal).xp.sum(diagonal, axis=-1)

    @abstractmethod
    def trace_of(self, change: Array) -> Array:
        """tr(S^{-1} dS), (B,), for a change dS (B, n, n) of S: the derivative of log det S."""
