"""Functions of Gram matrices applied to vectors, from products alone, by the Lanczos process."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array.linalg import norm
from .._array.namespace import Array, home, to_host
from .._array.validate import count as whole
from .._array.validate import positive
from .._support.progress import progress_asked, progress_bar
from .factor import Factorization
from .operator import GramOperator
from .power import largest_eigenvalue

__all__ = ["Lanczos", "LanczosFactor"]

CHECKED = 8
"""Steps between two looks at how much the result still changes."""


@dataclass(frozen=True)
class Lanczos:
    """phi(S) b in the Krylov space of b, grown until the result no longer changes.

    See Golub and Van Loan 2013, chapter 10. It is for gradient flow and descent at finite times: the shorter the time,
    the fewer products with K. One space serves all times. There are no variances, likelihoods or leave-one-out.

    Parameters
    ----------
    tolerance : float, optional
        How much the last eight steps may change the result, relative to it. eps^(2/3) of the dtype unless given.
    max_iterations : int
        The most products with K, and the vectors of the size of b that are kept. Where more were needed the result
        comes with a RuntimeWarning.
    matrix_free : bool
        Whether dynamics compute kernel values anew for each product, instead of keeping the Gram matrix.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.Precomputed(np.diag([4.0, 2.0, 1.0]))
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0], [1], [2]]))
    >>> cost = ntk.function_space.SquaredError(p_in, np.ones(3))
    >>> flow = ntk.dynamics.GradientFlow(K, cost, solver="lanczos")
    >>> bool(np.allclose(flow.predict(t=1.5), 1.0 - np.exp([-4.0, -2.0, -1.0])))
    True
    """

    tolerance: float | None = None
    max_iterations: int = 500
    matrix_free: bool = False

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            positive("tolerance", self.tolerance)
        whole("max_iterations", self.max_iterations)

    def matrices(self, ridge: float) -> float:
        return 0.0 if self.matrix_free else 1.1

    def factor(self, operator: GramOperator, ridge: float) -> "LanczosFactor":
        return LanczosFactor(self, operator, ridge, largest_eigenvalue(operator, operator.product))


class LanczosFactor(Factorization):
    """S by its products; what is prepared of a right-hand side is its Krylov space, which is that of every ridge."""

    method = "lanczos"
    refinements = 0
    singular = False

    def __init__(self, solver: Lanczos, operator: GramOperator, ridge: float, largest: float) -> None:
        self.solver, self.operator, self.ridge = solver, operator, ridge
        self._unregularized = largest
        self.rank, self.largest = operator.shape[-1], largest + ridge
        self.condition = self.largest / ridge if ridge else math.inf
        self.tolerance = solver.tolerance or operator.home.eps ** (2 / 3)
        self._change = 0.0

    def with_ridge(self, ridge: float) -> "LanczosFactor":
        return LanczosFactor(self.solver, self.operator, ridge, self._unregularized)

    def prepare(self, b: Array) -> "Krylov":
        return Krylov(self.operator, b)

    def prepared_solve(self, prepared: "Krylov") -> Array:
        return self.function(_reciprocal, math.inf, prepared)

    def function(self, phi: Callable[[Array], Array], bound: float, prepared: "Krylov") -> Array:
        del bound  # rounding of small eigenvalues is not amplified beyond what b has along them
        last: np.ndarray | None = None
        most = min(self.solver.max_iterations, self.rank)
        show = progress_asked()
        for steps in progress_bar(range(min(CHECKED, most), most + CHECKED, CHECKED), "Lanczos", "check", show):
            coefficients = prepared.function(phi, min(steps, most), self.ridge)
            if last is not None:
                change = coefficients.copy()
                change[..., : last.shape[-1]] -= last
                sizes = norm(coefficients, axis=-1)
                self._change = float((norm(change, axis=-1) / np.where(sizes > 0, sizes, 1.0)).max())
                self.converged = self._change <= self.tolerance
                if self.converged:
                    break
            last = coefficients
        # In a space of n vectors everything is exact.
        self.converged = self.converged or most == self.rank
        self.iterations = prepared.steps
        return prepared.combined(coefficients)

    def warn(self, name: str) -> None:
        if not self.converged:
            warnings.warn(
                f"Lanczos stopped after {self.iterations} products, where the last {CHECKED} changed the result by "
                f"{self._change:.1e}, more than {self.tolerance:.1e}: allow more with "
                f"ntk_array.solve.Lanczos(max_iterations=...), ask for a shorter time or a larger {name}, or take "
                'solver="spectrum"',
                RuntimeWarning,
                stacklevel=3,
            )


class Krylov:
    """An orthonormal basis of b, K b, K^2 b, ... for each column of b by itself, and K in it, which is tridiagonal."""

    def __init__(self, operator: GramOperator, b: Array) -> None:
        self.operator, self._home = operator, home(b)
        xp = self._home.xp
        # Vectors are (B, k, n, 1) here, so that bases are matrices (B, k, n, steps).
        start = xp.permute_dims(b, (0, 2, 1))[..., None]
        self._sizes = norm(start, axis=-2)
        self._next = _over(start, self._sizes)
        self._bases: list[Array] = []
        self._diagonal: list[np.ndarray] = []
        self._beside: list[np.ndarray] = []

    @property
    def steps(self) -> int:
        """Vectors so far."""
        return len(self._diagonal)

    def function(self, phi: Callable[[Array], Array], steps: int, ridge: float) -> np.ndarray:
        """phi(K + ridge I) b in the first ``steps`` vectors of the basis, (B, k, steps), on the host."""
        while self.steps < steps:
            self._grow()
        diagonal = np.stack(self._diagonal[:steps], axis=-1)
        matrix = diagonal[..., None] * np.eye(steps)
        beside = np.stack(self._beside[:steps], axis=-1)[..., : steps - 1]
        i = np.arange(steps - 1)
        matrix[..., i, i + 1] = matrix[..., i + 1, i] = beside
        values, vectors = np.linalg.eigh(matrix)
        # b is the first vector times its norm.
        along = to_host(self._sizes)[..., 0].astype(np.float64) * vectors[..., 0, :]
        result: np.ndarray = np.sum(vectors * (phi(np.maximum(values, 0.0) + ridge) * along)[..., None, :], axis=-1)
        return result

    def combined(self, coefficients: np.ndarray) -> Array:
        """The vectors with these coefficients (B, k, steps), as (B, n, k)."""
        xp, start = self._home.xp, 0
        total: Any = 0.0
        for basis in self._bases:
            stop = min(start + basis.shape[-1], coefficients.shape[-1])
            part = self._home.asarray(coefficients[..., start:stop, None])
            total = total + basis[..., : stop - start] @ part
            start = stop
            if start == coefficients.shape[-1]:
                break
        return xp.permute_dims(total[..., 0], (0, 2, 1))

    def _grow(self) -> None:
        xp, v = self._home.xp, self._next
        # Bases are joined in runs, so that no vector is copied more than CHECKED times.
        if self._bases and self._bases[-1].shape[-1] < CHECKED:
            self._bases[-1] = xp.concat([self._bases[-1], v], axis=-1)
        else:
            self._bases.append(v)
        w = xp.permute_dims(self.operator.product(xp.permute_dims(v[..., 0], (0, 2, 1))), (0, 2, 1))[..., None]
        diagonal = xp.sum(v * w, axis=-2, keepdims=True)
        # In exact arithmetic the last two vectors suffice. Rounding makes the others come back, unless they are taken
        # out again; twice is enough (Giraud et al. 2005).
        for _ in range(2):
            for basis in self._bases:
                w = w - basis @ (xp.matrix_transpose(basis) @ w)
        size = norm(w, axis=-2)
        # What is left of a space that K does not leave is rounding.
        scale = xp.abs(diagonal) + (0.0 if not self._beside else self._home.asarray(self._beside[-1])[..., None, None])
        size = xp.where(size > 8.0 * self._home.eps * scale, size, 0.0)
        self._next = _over(w, size)
        self._diagonal.append(to_host(diagonal)[..., 0, 0].astype(np.float64))
        self._beside.append(to_host(size)[..., 0, 0].astype(np.float64))


def _over(v: Array, size: Array) -> Array:
    """v / size, and 0 where the size is 0."""
    xp = home(v).xp
    return xp.where(size > 0, v / xp.where(size > 0, size, 1.0), 0.0)


def _reciprocal(s: Any) -> Any:
    xp = home(s).xp
    return xp.where(s > 0, 1.0 / xp.where(s > 0, s, 1.0), 0.0)
