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

from .._array.linalg import norm
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

STALLED = 2
"""So many fresh residuals in a row, none of them half as large as the smallest before, are a stall."""
ENOUGH = 0.5
"""A preconditioner takes columns until the trace that remains is this share of n times the ridge: the condition number
is then of order 1."""


@dataclass(frozen=True)
class ConjugateGradient:
    """Preconditioned conjugate gradients, for all right-hand sides at once (Hestenes and Stiefel 1952).

    A step is a product with K. The preconditioner is (F F^T + (ridge + m) I)^{-1}, F F^T a partial Cholesky factor of K
    whose pivots are drawn (Chen, Epperly, Tropp and Webber 2023), and m the mean eigenvalue of what remains. There are
    solutions only, and variances one by one; no covariances, likelihoods or leave-one-out.

    Parameters
    ----------
    tolerance : float, optional
        The residual to reach, relative to the right-hand side, for each of them. 4 eps^(2/3) of the dtype unless given:
        1.5e-10 in float64 and 1e-4 in float32, where rounding of products often leaves no less.
    max_iterations : int
        The most steps. Where the tolerance is not reached by then, or rounding keeps the residual from falling, the
        solution comes with a RuntimeWarning and ``converged`` is False.
    rank : int, optional
        Columns of the preconditioner; 0 is none. Unless given, they are added until what remains of K is below the
        ridge, up to 5 sqrt(n); where that many leave more than half of the trace of K there is no preconditioner.
    seed : int
        Of the pivots.
    checkpoint : str or path, optional
        A file that keeps the state. The same solve, called again, continues from there; the file
        is removed at the end. One that belongs to another problem is refused.
    checkpoint_seconds : float
        The time between two of them.
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
    checkpoint_seconds: float = 60.0
    matrix_free: bool = False

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            positive("tolerance", self.tolerance)
        whole("max_iterations", self.max_iterations)
        positive("checkpoint_seconds", self.checkpoint_seconds)
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
        self.tolerance = solver.tolerance or 4.0 * operator.home.eps ** (2 / 3)
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
        # What remains of K is about its mean eigenvalue times I: a ridge may be far below that.
        return Preconditioner(found.factor, self.ridge + max(found.remains, self.operator.home.eps) * trace / n)

    def prepared_solve(self, prepared: Array) -> Array:
        # Products of residuals would overflow or vanish where the right-hand side is large or small. A power of two
        # changes no digit of it.
        exponents = np.frexp(to_host(home(prepared).xp.max(home(prepared).xp.abs(prepared), axis=-2, keepdims=True)))[1]
        unit = home(prepared).asarray(np.ldexp(1.0, exponents - 1))
        return unit * self._scaled_solve(prepared / unit)

    def _scaled_solve(self, b: Array) -> Array:
        xp = home(b).xp
        sizes = _norms(b)
        goal = self.tolerance * sizes
        checkpoint = _Checkpoint(self.solver, b, self.ridge)
        state = checkpoint.state or self._started(xp.zeros_like(b), b)
        least, fresh, stalled, self.iterations, self.converged = math.inf, True, 0, 0, False
        with closing(_ticks()) as ticks:
            while True:
                norms = _norms(state.residual)
                reached = bool((norms <= goal).all())
                last = self.iterations >= self.solver.max_iterations
                if fresh:
                    size = float((norms / np.where(sizes > 0, sizes, 1.0)).max())
                    stalled = 0 if size < 0.5 * least else stalled + 1
                    least, self.converged = min(least, size), reached
                    if reached or last or stalled >= STALLED:
                        break
                elif reached or last:
                    # The residual that is updated step by step says so; rounding makes it drift away from the residual
                    # itself, which counts. From there it goes on, for what is left.
                    state, fresh = self._started(state.x, b), True
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

    def __init__(self, solver: ConjugateGradient, b: Array, ridge: float) -> None:
        self._path, self._seconds, self._last = solver.checkpoint, solver.checkpoint_seconds, time.monotonic()
        self.state, path = None, solver.checkpoint
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
        if self._path is None or time.monotonic() - self._last < self._seconds:
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
    return to_host(norm(a, axis=-2)).astype(np.float64)


def _ticks() -> Any:
    yield from progress_bar(count(1), "conjugate gradients", "step", progress_asked())
