"""Gram matrices of explicit features, S = F F^T + ridge I, by matrices of the number of features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, NoReturn

import numpy as np

from .._array.linalg import singular_values, triangular
from .._array.namespace import Array, Home, home, index_dtype, to_host
from .._array.validate import positive
from .factor import Factorization
from .operator import GramOperator

__all__ = ["Features", "LowRank", "LowRankFactor", "Reduced", "reduced"]

RESOLVES = 1.0 / 16.0
"""In units of eps lambda_max: a larger ridge keeps digits of every direction, as for an eigendecomposition."""
NOISE = 4.0
"""In the same units: smaller eigenvalues of F F^T are rounding, where the ridge does not resolve them."""
LEAST = 1024
"""A block of rows has no fewer."""


class Reduced(NamedTuple):
    """What ridge regression asks of features F = U diag(s) V^T (n, R) and targets y (n, C), in the size of R.

    Attributes
    ----------
    values : array (R,)
        Singular values s of F in descending order; zeros where n is less than R.
    vectors : array (R, R)
        V.
    coordinates : array (R, C)
        U^T y.
    remainder : array (C,)
        ||y||^2 - ||U^T y||^2, the part of y that no features explain.
    """

    values: Array
    vectors: Array
    coordinates: Array
    remainder: Array


def reduced(blocks: Iterable[tuple[Array, Array]]) -> Reduced:
    """From blocks of the rows of F and y, (m, R) and (m, C), of which one is needed at a time.

    The triangular factor of the rows of [F, y] so far and of the next block, one below the other, is that of all rows
    up to there. Products F^T F would square the condition number of F instead, and lose half of its digits.
    """
    factor: Array = None
    size = 0
    for features, y in blocks:
        rows, size = home(features).xp.concat([features, y], axis=1), int(features.shape[1])
        factor = _extended(factor, rows)
    xp = home(factor).xp
    left, values, vectors = singular_values(_square(factor[:, :size]))
    coordinates = xp.matrix_transpose(left) @ _square(factor[:, size:], size)
    # Below the rows of F the factor has a triangle of y alone.
    below = min(size, factor.shape[0])
    return Reduced(values, vectors, coordinates, xp.sum(factor[below:, size:] ** 2, axis=0))


def _extended(factor: Array, rows: Array) -> Array:
    """The triangular factor with more rows."""
    return triangular(rows if factor is None else home(rows).xp.concat([factor, rows], axis=-2))


def _square(factor: Array, size: int | None = None) -> Array:
    """The first rows of (..., m, k), as many as there are columns unless given; zeros where there are fewer."""
    size = factor.shape[-1] if size is None else size
    xp, dtype, device = home(factor)
    missing = size - factor.shape[-2]
    if missing <= 0:
        return factor[..., :size, :]
    zeros = xp.zeros((*factor.shape[:-2], missing, factor.shape[-1]), dtype=dtype, device=device)
    return xp.concat([factor, zeros], axis=-2)


@dataclass(frozen=True)
class LowRank:
    """S = F F^T + ridge I for kernels of explicit features, by matrices of the number of features.

    For :class:`ntk_array.Nystroem`, :class:`ntk_array.RandomFeatures` and :class:`ntk_array.EmpiricalFeatures`, whose
    regression it solves exactly. :class:`ntk_array.dynamics.FeatureRegression` does the same without keeping F, and
    with more digits where the ridge is small.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> K = ntk.Nystroem.of(ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1)), x, rank=20, seed=0)
    >>> gp = ntk.dynamics.GaussianProcess(K, x, x[:, 0], noise=0.1, solver="low_rank")
    >>> gp.solved.solver, gp.predict(x[:5], covariance="diagonal").variance.shape
    ('low_rank', (5,))
    """

    matrix_free: ClassVar[bool] = True

    def matrices(self, ridge: float) -> float:
        return 0.0

    def factor(self, operator: GramOperator, ridge: float) -> LowRankFactor:
        return LowRankFactor.of(operator.feature_rows(), ridge)


class Features(GramOperator):
    """K = F F^T for features F (B, n, R)."""

    def __init__(self, features: Array) -> None:
        self.features = features

    @property
    def shape(self) -> tuple[int, int, int]:
        b, n, _ = self.features.shape
        return int(b), int(n), int(n)

    @property
    def home(self) -> Home:
        return home(self.features)

    def feature_rows(self) -> Array:
        return self.features

    def along(self, v: Array) -> Array:
        """F^T v, (B, R, k)."""
        return self.home.xp.matrix_transpose(self.features) @ v

    def product(self, v: Array) -> Array:
        return self.features @ self.along(v)

    def diagonal(self) -> Array:
        return self.home.xp.sum(self.features * self.features, axis=-1)

    def columns(self, index: list[int]) -> Array:
        xp, _, device = self.home
        rows = xp.take(self.features, xp.asarray(index, dtype=index_dtype(xp, device), device=device), axis=1)
        return self.features @ xp.matrix_transpose(rows)

    def array(self) -> Array:
        return self.features @ self.home.xp.matrix_transpose(self.features)


class LowRankFactor(Factorization):
    """S = F F^T + ridge I for a stack of B matrices of features F (B, n, R), such as those of a Nystroem approximation.

    With the singular values s and right singular vectors V of F, from its rows a block at a time, every function of S
    is f(ridge) I + F V diag(q) V^T F^T, where q is (f(s^2 + ridge) - f(ridge)) / s^2. For f(S) = S^{-1} that is the
    matrix inversion lemma (Rasmussen and Williams 2006, eq. A.9). Work and memory are linear in n, but where the answer
    is itself (B, n, n).

    Solutions are as exact as those of a dense solve, or more so (tests/solve/test_low_rank.py, against 50 digits), and
    so are their products with F, which with a small ridge means few digits. For predictions there is
    :class:`ntk_array.dynamics.FeatureRegression`, which needs no solution of size n and keeps the digits.

    Attributes
    ----------
    operator : Features
        F F^T.
    squares : array (B, R)
        s^2 in descending order, the eigenvalues of F F^T, with zeros where n is less than R.
    vectors : array (B, R, R)
        V.
    ridge : float
        Positive: without a ridge S is singular.
    rank : int
        n, unless the ridge is at most eps s_max^2 / 16: then how many eigenvalues of F F^T are above 4 eps s_max^2, and
        solutions are those of minimum norm.
    """

    method = "low_rank"

    def __init__(self, operator: Features, squares: Array, vectors: Array, ridge: float) -> None:
        self.operator: Features = operator
        self.squares, self.vectors = squares, vectors
        self.ridge, self._n = positive("ridge", ridge), operator.shape[1]
        # Numbers decide below, and no array moves.
        self._host, unit = to_host(squares).astype(np.float64), home(squares).eps * float(to_host(squares).max())
        self.singular = not self.ridge > RESOLVES * unit
        self._cutoff = NOISE * unit if self.singular else -1.0
        self.rank = int((self._host > self._cutoff).sum(axis=-1).min()) if self.singular else self._n
        self.largest = float(self._host.max()) + self.ridge
        self.condition = self.largest / self._least()

    def _least(self) -> float:
        """The smallest eigenvalue of S that can be told from 0."""
        # Where there are fewer features than rows, the ridge is an eigenvalue.
        if self._n > self._host.shape[-1] and not self.singular:
            return self.ridge
        seen = self._host[..., : self._n]
        return float(np.min(seen, where=seen > self._cutoff, initial=np.inf)) + self.ridge

    @classmethod
    def of(cls, features: Array, ridge: float) -> LowRankFactor:
        """From F (B, n, R).

        Raises
        ------
        ValueError
            If the ridge is not positive.
        numpy.linalg.LinAlgError
            If F has NaN or infinity.
        """
        factor: Array = None
        for rows in _blocks(features):
            factor = _extended(factor, features[:, rows, :])
        _, values, vectors = singular_values(_square(factor))
        return cls(Features(features), values * values, vectors, ridge)

    def with_ridge(self, ridge: float) -> LowRankFactor:
        """The same features with another ridge, without a new decomposition."""
        return LowRankFactor(self.operator, self.squares, self.vectors, ridge)

    def prepared_solve(self, prepared: Array) -> Array:
        return self._applied(self._rest, self._inverse_change(), prepared)

    def prepared_half(self, prepared: Array) -> Array:
        root, of_ridge = self._shifted() ** 0.5, self.ridge**0.5
        if self.singular:
            return self._applied(0.0, self._over_squares(1.0 / root), prepared)
        # With a = s^2 + r: (a^{-1/2} - r^{-1/2}) / s^2 = -1 / ((a r)^{1/2} (a^{1/2} + r^{1/2})), without cancellation.
        return self._applied(1.0 / of_ridge, -1.0 / (of_ridge * root * (root + of_ridge)), prepared)

    def quadratic_of_gram(self) -> Array:
        # F F^T S^{-1} F F^T = F V diag(s^2 / (s^2 + r)) V^T F^T.
        along = self._along(slice(0, self._n))
        shares = self._resolved(self.squares / self._shifted())[:, None, :]
        return (along * shares) @ home(along).xp.matrix_transpose(along)

    def log_determinant(self) -> Array:
        xp = home(self.squares).xp
        # S has n - R more eigenvalues, all equal to the ridge; where n is less, the zeros among R are taken off.
        rest = (self._n - self._host.shape[-1]) * float(np.log(self.ridge))
        return xp.sum(xp.log(self._shifted()), axis=-1) + rest

    def inverse(self) -> Array:
        along, here = self._along(slice(0, self._n)), home(self.squares)
        change = self._inverse_change()[:, None, :]
        return self._rest * here.eye(self._n) + (along * change) @ here.xp.matrix_transpose(along)

    def inverse_diagonal(self) -> Array:
        change = self._inverse_change()[:, None, :]
        xp = home(change).xp
        parts = [xp.sum(self._along(rows) ** 2 * change, axis=-1) for rows in self._blocks()]
        return self._rest + xp.concat(parts, axis=-1)

    def inverse_blocks(self, size: int) -> Array:
        here, change = home(self.squares), self._inverse_change()[:, None, None, :]
        parts = []
        for rows in self._blocks(size):
            along = self._along(rows)
            along = here.xp.reshape(along, (along.shape[0], -1, size, along.shape[-1]))
            parts.append((along * change) @ here.xp.matrix_transpose(along))
        return self._rest * here.eye(size) + here.xp.concat(parts, axis=1)

    def trace_of(self, change: Array) -> Array:
        xp, along = home(change).xp, self._along(slice(0, self._n))
        low = xp.sum(along * (change @ along) * self._inverse_change()[:, None, :], axis=(-2, -1))
        return self._rest * xp.sum(xp.linalg.diagonal(change), axis=-1) + low

    @property
    def _rest(self) -> float:
        """S^{-1} where the features are 0: the pseudo-inverse has 0 there where the ridge is none."""
        return 0.0 if self.singular else 1.0 / self.ridge

    def _shifted(self) -> Array:
        """The eigenvalues s^2 + ridge of S."""
        return self.squares + self.ridge

    def _resolved(self, values: Array) -> Array:
        """These values, and 0 in directions that are rounding."""
        return home(values).xp.where(self.squares > self._cutoff, values, 0.0)

    def _over_squares(self, values: Array) -> Array:
        """Values over s^2, and 0 in directions that are rounding."""
        xp = home(values).xp
        return self._resolved(values / xp.where(self.squares > self._cutoff, self.squares, 1.0))

    def _inverse_change(self) -> Array:
        """(1 / (s^2 + r) - rest) / s^2, (B, R)."""
        return self._over_squares(1.0 / self._shifted()) if self.singular else -self._rest / self._shifted()

    def _applied(self, rest: float, change: Array, b: Array) -> Array:
        """rest b + F V diag(change) V^T F^T b."""
        turned = home(b).xp.matrix_transpose(self.vectors)
        weights = self.vectors @ (change[..., None] * (turned @ self.operator.along(b)))
        return rest * b + self.operator.features @ weights

    def _along(self, rows: slice) -> Array:
        """Rows of F V, the features along the singular vectors."""
        return self.operator.features[:, rows, :] @ self.vectors

    def _blocks(self, multiple: int = 1) -> list[slice]:
        return _blocks(self.operator.features, multiple)

    def _refuse_singular(self, name: str, consequence: str) -> NoReturn:
        raise np.linalg.LinAlgError(
            f"the {name} {self.ridge:g} is below rounding beside the largest eigenvalue of the kernel matrix, "
            f"{self._host.max():.1e}: {consequence}; give a larger {name}"
        )


def _blocks(features: Array, multiple: int = 1) -> list[slice]:
    """Rows of F a block at a time: twice as many as features, so that the triangle on top is the smaller part."""
    n, size = int(features.shape[1]), max(2 * int(features.shape[2]), LEAST)
    size = -(-size // multiple) * multiple
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
