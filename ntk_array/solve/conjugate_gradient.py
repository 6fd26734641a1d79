"""Conjugate gradients: solutions from products with the Gram matrix alone."""

import hashlib
import io
import math
import os
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import Array, home, to_host
from .._array.validate import count as whole
from .._array.validate import positive
from .._support.atomic import write_whole
from .._support.progress import progress_asked, progress_bar
from .factor import Factorization
from .operator import GramOperator
from .power import largest_eigenvalue
from .preconditioner import Preconditioner, pivoted_factor

__all__ = ["ConjugateGradient", "ConjugateGradientFactor"]

REPLACED = 50
"""After so many steps the residual is computed afresh: the one that is updated drifts away from it by rounding."""
STALLED = 4
"""So many fresh residuals that are rounding, none of them half as large as the smallest before, are a stall."""
ROUNDING = 10.0
"""A residual of so many eps times the norms of S and x is rounding of the product."""
ENOUGH = 0.5
"""A preconditioner takes columns until the trace that remains is this share of n times the ridge: the condition number
is then of order 1."""


@dataclass(frozen=True)
class ConjugateGradient:
    """Preconditioned conjugate gradients, for all right-hand sides at once (Hestenes and Stiefel 1952).

    A step is a product with K. The preconditioner is (F F^T + ridge I)^{-1}, F F^T a partial Cholesky factor of K whose
    pivots are drawn (Chen, Epperly, Tropp and Webber 2023). There are solutions only, no variances or likelihoods.

    Parameters
    ----------
    tolerance : float, optional
        The residual to reach, relative to the right-hand side, for each of them. eps^(2/3) of the dtype unless given:
        4e-11 in float64 and 2e-5 in float32.
    max_iterations : int
        The most steps. Where the tolerance is not reached by then, or rounding keeps the residual from falling, the
        solution comes with a RuntimeWarning and ``converged`` is False.
    rank : int, optional
        Columns of the preconditioner; 0 is none. Unless given, they are added until what remains of K is below the
        ridge, up to 5 sqrt(n); where that many leave more than half of the trace of K there is no preconditioner.
    seed : int
        Of the pivots.
    checkpoint : str or path, optional
        A file that keeps the state, about once a minute. The same solve, called again, continues from there; the file
        is removed at the end. One that belongs to another problem is refused.
    matrix_free : bool
        Whether dynamics compute kernel values anew for each product, instead of keeping the Gram matrix.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> a = np.diag(np.arange(1.0, 101.0))
    >>> found = ntk.solve.solve(a, np.ones(100), solver=ntk.solve.ConjugateGradient(tolerance=1e-8, rank=0))
    >>> found.converged, found.residual <= 1e-8, found.iterations < 100
    (True, True, True)
    """

    tolerance: float | None = None
    max_iterations: int = 1000
    rank: int | None = None
    seed: int = 0
    checkpoint: str | os.PathLike[str] | None = None
    matrix_free: bool = False

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            positive("tolerance", self.tolerance)
        whole("max_iterations", self.max_iterations)
        if self.rank != 0 and self.rank is not None:
            whole("rank", self.rank)

    def matrices(self, ridge: float) -> float:
        return 0.0 if self.matrix_free else 1.1

    def factor(self, operator: GramOperator, ridge: float) -> "ConjugateGradientFactor":
        return ConjugateGradientFactor(self, operator, ridge)


class _State(NamedTuple):
    """All that a step needs, (B, n, k) each but the last, (B, 1, k)."""

    x: Array
    residual: Array
    direction: Array
    product: Array


class ConjugateGradientFactor(Factorization):
    """No factor: S is known by its products."""

    method = "conjugate_gradient"
    refinements = 0
    singular = False

    def __init__(self, solver: ConjugateGradient, operator: GramOperator, ridge: float) -> None:
        self.solver, self.operator, self.ridge = solver, operator, ridge
        self.rank = operator.shape[-1]
        self.largest = largest_eigenvalue(operator, operator.product) + ridge
        # The smallest eigenvalue is at least the ridge: this is a bound from above.
        self.condition = self.largest / ridge if ridge else math.inf
        self.tolerance = solver.tolerance or operator.home.eps ** (2 / 3)
        self.columns = 0
        self._precondition = self._preconditioner()

    def with_ridge(self, ridge: float) -> "ConjugateGradientFactor":
        """The same matrices with another ridge; nothing is known of them but their products."""
        return ConjugateGradientFactor(self.solver, self.operator, ridge)

    def _preconditioner(self) -> Callable[[Array], Array]:
        n = self.rank
        most = self.solver.rank if self.solver.rank is not None else min(n, max(64, int(5 * math.sqrt(n))))
        if not most:
            return _unchanged
        trace = float(to_host(self.operator.home.xp.max(self.operator.home.xp.sum(self.operator.diagonal(), axis=-1))))
        remains = ENOUGH * n * self.ridge / trace if trace else 1.0
        found = pivoted_factor(self.operator, most, 0.0 if self.solver.rank else remains, self.solver.seed)
        self.columns = int(found.factor.shape[-1])
        if not self.columns or (self.solver.rank is None and found.remains > 0.5):
            self.columns = 0
            return _unchanged
        # Without a ridge, what remains stands in for it.
        return Preconditioner(found.factor, self.ridge or max(found.remains, self.operator.home.eps) * trace / n)

    def prepared_solve(self, prepared: Array) -> Array:
        b, xp = prepared, home(prepared).xp
        sizes = _norms(b)
        goal = self.tolerance * sizes
        checkpoint = _Checkpoint(self.solver.checkpoint, b, self.ridge)
        state = checkpoint.state or self._started(xp.zeros_like(b), b)
        least, fresh, claimed, stalled = math.inf, True, False, 0
        self.iterations, self.converged = 0, False
        with closing(_ticks()) as ticks:
            while True:
                norms = _norms(state.residual)
                reached = bool((norms <= goal).all())
                if (reached or self.iterations >= self.solver.max_iterations) and not fresh:
                    # What was updated says so; what counts is the residual itself.
                    state, fresh, claimed = self._started(state.x, b), True, True
                    continue
                if fresh:
                    size = float((norms / np.where(sizes > 0, sizes, 1.0)).max())
                    # On the way the residual may rise, and stay for long. It stalls where it is rounding.
                    rounding = ROUNDING * home(b).eps * self.largest * _norms(state.x)
                    stalled += size > 0.5 * least and (claimed or bool((norms <= np.maximum(rounding, goal)).all()))
                    least, claimed = min(least, size), False
                    self.converged = reached
                    if reached or stalled >= STALLED or self.iterations >= self.solver.max_iterations:
                        break
                if self.iterations and self.iterations % REPLACED == 0 and not fresh:
                    state, fresh = state._replace(residual=self.residual(state.x, b)), True
                    continue
                next(ticks)
                state, fresh = self._step(state), False
                self.iterations += 1
                checkpoint.keep(state)
        checkpoint.remove()
        self._reached = least
        return state.x

    def _started(self, x: Array, b: Array) -> _State:
        residual = self.residual(x, b)
        direction = self._precondition(residual)
        return _State(x, residual, direction, _dot(residual, direction))

    def _step(self, state: _State) -> _State:
        xp = home(state.x).xp
        applied = self.operator.product(state.direction) + self.ridge * state.direction
        curvature = _dot(state.direction, applied)
        # A column that has its solution has no direction left.
        length = xp.where(curvature > 0, state.product / xp.where(curvature > 0, curvature, 1.0), 0.0)
        residual = state.residual - length * applied
        preconditioned = self._precondition(residual)
        product = _dot(residual, preconditioned)
        turn = xp.where(state.product > 0, product / xp.where(state.product > 0, state.product, 1.0), 0.0)
        return _State(state.x + length * state.direction, residual, preconditioned + turn * state.direction, product)

    def quadratic_diagonal(self, b: Array) -> Array:
        return home(b).xp.sum(b * self.solve(b), axis=-2)

    def warn(self, name: str) -> None:
        if not self.converged:
            warnings.warn(
                f"conjugate gradients stopped after {self.iterations} steps with a residual of {self._reached:.1e}, "
                f"above the tolerance {self.tolerance:.1e}: allow more steps or a larger tolerance, give a larger "
                f'{name}, or take solver="cholesky" or solver="spectrum"',
                RuntimeWarning,
                stacklevel=3,
            )


class _Checkpoint:
    """The state on disk, for the problem that it belongs to."""

    SECONDS = 60.0

    def __init__(self, path: Any, b: Array, ridge: float) -> None:
        self._path, self._last, self.state = path, time.monotonic(), None
        if path is None:
            return
        host = np.ascontiguousarray(to_host(b))
        self._mark = hashlib.sha256(f"{host.shape} {host.dtype} {ridge!r}".encode() + host.tobytes()).hexdigest()
        if not os.path.exists(path):
            return
        try:
            with np.load(path, allow_pickle=False) as file:
                mark, arrays = str(file["mark"]), [file[name] for name in _State._fields]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ValueError(f"{os.fspath(path)} is not a checkpoint of conjugate gradients: {error}") from error
        if mark != self._mark:
            raise ValueError(
                f"{os.fspath(path)} is a checkpoint of another problem: other targets, ridge or dtype; remove it or "
                "give another file"
            )
        self.state = _State(*(home(b).asarray(array) for array in arrays))

    def keep(self, state: _State) -> None:
        if self._path is None or time.monotonic() - self._last < self.SECONDS:
            return
        file = io.BytesIO()
        arrays: dict[str, Any] = {name: to_host(value) for name, value in state._asdict().items()}
        np.savez(file, mark=np.asarray(self._mark), **arrays)
        write_whole(self._path, file.getvalue())
        self._last = time.monotonic()

    def remove(self) -> None:
        if self._path is not None and os.path.exists(self._path):
            os.remove(self._path)


def _unchanged(v: Array) -> Array:
    return v


def _dot(a: Array, b: Array) -> Array:
    """Column by column, (B, 1, k)."""
    return home(a).xp.sum(a * b, axis=-2, keepdims=True)


def _norms(a: Array) -> np.ndarray:
    """Of each column, read back: they decide how to go on."""
    return np.sqrt(to_host(_dot(a, a)).astype(np.float64))


def _ticks() -> Any:
    yield from progress_bar(count(1), "conjugate gradients", "step", progress_asked())
