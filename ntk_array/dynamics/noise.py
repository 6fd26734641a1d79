"""Noise on observations: one variance for all, or one for each."""

from typing import Any

from .._array.linalg import plus_diagonal
from .._array.namespace import Array, home, index_dtype, is_array, to_host
from .._array.validate import nonnegative, same_home, targets
from ..solve.operator import ChangedOperator, GramOperator

__all__ = ["Noise", "NoisyMatrix"]


class Noise:
    """The variances D of observations: a number for all of them, or an array (N,).

    S = K + D is K plus a diagonal matrix of what is above the least variance, plus the least variance times I, which
    solvers take as their ridge.

    Attributes
    ----------
    given : float or array (N,)
    least : float
        The smallest variance.
    above : array (N,) or None
        The variances less the smallest, one for each row of the Gram matrix; None if they are all the same.
    """

    def __init__(self, given: Any, x: Array, rows: int | None = None) -> None:
        if not is_array(given) or given.ndim == 0:
            self.given: Any = nonnegative("noise", float(to_host(given)) if is_array(given) else given)
            self.least, self.above = self.given, None
            return
        self.given = targets("noise", given, x)
        same_home(x=x, noise=self.given)
        host = to_host(self.given)
        if host.ndim != 1 or (host < 0).any():
            raise ValueError(f"noise must be a number or {x.shape[0]} of them, none negative, got {given!r}")
        self.least = float(host.min())
        above, xp = self.given - self.least, home(self.given).xp
        # A full kernel has a row for each output of an input.
        self.above = above if rows is None else xp.repeat(above, rows // x.shape[0])

    def times(self, values: Array) -> Array:
        """D times values (..., n, k), for n rows of the Gram matrix."""
        return self.least * values if self.above is None else (self.least + self.above[:, None]) * values

    def added(self, operator: GramOperator) -> GramOperator:
        """K plus what is above the least variance."""
        return operator if self.above is None else NoisyMatrix(operator, self.above)


class NoisyMatrix(ChangedOperator):
    """K + diag(d), for d (N,)."""

    def __init__(self, operator: GramOperator, diagonal: Array) -> None:
        super().__init__(operator)
        self._diagonal = diagonal

    def product(self, v: Array) -> Array:
        return self._operator.product(v) + self._diagonal[:, None] * v

    def diagonal(self) -> Array:
        return self._operator.diagonal() + self._diagonal

    def columns(self, index: list[int]) -> Array:
        xp, _, device = self.home
        places = xp.asarray(index, dtype=index_dtype(xp, device), device=device)
        rows = xp.arange(self.shape[-1], dtype=index_dtype(xp, device), device=device)
        marks = xp.astype(rows[:, None] == places, self.home.dtype)
        return self._operator.columns(index) + marks * self._diagonal[:, None]

    def array(self) -> Array:
        return plus_diagonal(self._operator.array(), self._diagonal)
