"""Eigendecomposition of Gram matrices, and which eigenvalues rounding leaves unresolved."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NoReturn

import numpy as np

from .._array.linalg import eigh, mirror, refuse_indefinite
from .._array.namespace import Array, home, to_host
from .factor import Factorization
from .operator import GramOperator

__all__ = ["Spectral", "SpectralFactor", "Spectrum", "decompose"]


RESOLVES = 64.0
"""A ridge above the cut-off divided by this resolves all directions; docs/accuracy.md says how far off solutions are
then. With a smaller ridge they would be noise divided by noise."""
GAP = 100.0
"""Eigenvalues of smooth kernels fall by a smaller factor than this from one to the next. Those of repeated inputs, or
of few parameters, fall to zero at once."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and eigenvectors of a stack of B Gram matrices.

    Attributes
    ----------
    values : array (B, n)
        Eigenvalues in ascending order, clipped at 0.
    vectors : array (B, n, n)
        Eigenvectors, as columns.
    cutoff : float
        A smaller eigenvalue cannot be told from 0: 4 eps times the largest one, or twice the most negative one where
        that is more.
    largest : float
        The largest eigenvalue.
    rank : int
        How many eigenvalues are above the cut-off, in the matrix of the stack that has the fewest.
    condition : float
        The largest eigenvalue over the smallest one above the cut-off.
    gap : bool
        Whether the smallest eigenvalue above the cut-off is far above it. The ones below are then zeros, and otherwise
        most likely a continuation of those above.
    """

    values: Array
    vectors: Array
    cutoff: float
    largest: float
    rank: int
    condition: float
    gap: bool

    def scaled(self, factor: float) -> "Spectrum":
        """That of the matrices times a positive factor."""
        return replace(self, values=factor * self.values, cutoff=factor * self.cutoff, largest=factor * self.largest)


@dataclass(frozen=True)
class Spectral:
    """The eigendecomposition: for every time, every ridge, and kernel matrices that are singular or nearly so.

    It takes about ten times as long as a Cholesky factor, and three times the memory of the matrix.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> found = ntk.solve.solve(np.ones((2, 2)), np.asarray([1.0, 1.0]), solver=ntk.solve.Spectral())
    >>> found.x.round(6), found.rank                                          # the solution of minimum norm
    (array([0.5, 0.5]), 1)
    """

    matrix_free: ClassVar[bool] = False

    def matrices(self, ridge: float) -> float:
        return 5.0  # K, the eigenvectors, a copy that LAPACK overwrites, and its workspace of two

    def factor(self, operator: GramOperator, ridge: float) -> "SpectralFactor":
        return SpectralFactor(decompose(operator.array()), operator, ridge)


class SpectralFactor(Factorization):
    """S = V (Lambda + ridge I) V^T, from the eigenvalues Lambda and eigenvectors V of K.

    An eigendecomposition costs about ten times a Cholesky factor. In return it serves every ridge and every function of
    S, and it shows which directions rounding leaves unresolved. Without a ridge those count as null directions, so that
    solutions are the limit of a vanishing ridge, of minimum norm. A ridge above cutoff / 64, which is at least
    eps lambda_max / 16, resolves them: S is as regular as rounding lets a matrix be, and nothing is left out. A smaller
    ridge cannot be told from none.

    Attributes
    ----------
    spectrum : Spectrum
        Of K.
    values : array (B, n)
        The eigenvalues of S.
    resolved : array (B, n) of bool
        Which of them can be told from 0.
    reciprocals : array (B, n)
        The eigenvalues of S^{-1}, with 0 where S is unresolved.
    """

    method = "spectrum"

    def __init__(self, spectrum: Spectrum, operator: GramOperator, ridge: float) -> None:
        self.spectrum, self.operator, self.ridge = spectrum, operator, ridge
        self.values = spectrum.values + ridge
        self.resolved = _resolved(self.values, 0.0 if ridge > spectrum.cutoff / RESOLVES else spectrum.cutoff)
        # Left out directions get 0, not infinity: that is the pseudo-inverse.
        xp = home(self.values).xp
        self.reciprocals = xp.where(self.resolved, 1.0 / xp.where(self.resolved, self.values, 1.0), 0.0)
        self.rank = int(to_host(self.resolved).sum(axis=-1).min())
        self.singular = self.rank < int(self.values.shape[-1])
        self.largest = spectrum.largest + ridge

    @property
    def condition(self) -> float:  # type: ignore[override]
        xp = home(self.values).xp
        # Read back once: a number decides, and no array moves.
        least = float(to_host(xp.min(xp.where(self.resolved, self.values, math.inf))))
        return math.inf if least == math.inf else self.largest / least

    def with_ridge(self, ridge: float) -> "SpectralFactor":
        """The same matrices with another ridge, without a new decomposition."""
        return SpectralFactor(self.spectrum, self.operator, ridge)

    def _refuse_singular(self, name: str, consequence: str) -> NoReturn:
        raise np.linalg.LinAlgError(
            f"the kernel matrix of {self.values.shape[-1]} rows has rank {self.spectrum.rank}, and the {name} "
            f"{self.ridge:g} is not above {self.spectrum.cutoff / RESOLVES:.1e}: {consequence}; drop repeated "
            f"inputs or give a larger {name}"
        )

    def prepare(self, b: Array) -> Array:
        """The coordinates V^T b."""
        return home(b).xp.matrix_transpose(self.spectrum.vectors) @ b

    def prepared_solve(self, prepared: Array) -> Array:
        return self.prepared_apply(self.reciprocals[..., None], prepared)

    def prepared_half(self, prepared: Array) -> Array:
        return self._root * prepared

    def quadratic_of_gram(self) -> Array:
        # V^T K = Lambda V^T, without the product.
        xp = home(self.values).xp
        half = self._root * self.spectrum.values[..., None] * xp.matrix_transpose(self.spectrum.vectors)
        return mirror(xp.matrix_transpose(half) @ half)

    def fitted(self, b: Array, x: Array) -> Array:
        # Directions that are left out are not fitted.
        return self.prepared_apply(self.spectrum.values[..., None] * self.reciprocals[..., None], self.prepare(b))

    def log_determinant(self) -> Array:
        xp = home(self.values).xp
        return xp.sum(xp.log(self.values), axis=-1)

    def inverse(self) -> Array:
        vectors = self.spectrum.vectors
        return (vectors * self.reciprocals[..., None, :]) @ home(vectors).xp.matrix_transpose(vectors)

    def inverse_diagonal(self) -> Array:
        return home(self.values).xp.sum(self.spectrum.vectors**2 * self.reciprocals[..., None, :], axis=-1)

    def inverse_blocks(self, size: int) -> Array:
        xp, vectors = home(self.values).xp, self.spectrum.vectors
        # Row i * size + c of the eigenvectors belongs to output c of input i.
        rows = xp.reshape(vectors, (vectors.shape[0], -1, size, vectors.shape[-1]))
        return (rows * self.reciprocals[:, None, None, :]) @ xp.matrix_transpose(rows)

    def inverse_trace(self) -> Array:
        return home(self.values).xp.sum(self.reciprocals, axis=-1)

    def filter(self, phi: Callable[[Array], Array], bound: float) -> Array:
        """phi of the eigenvalues of S, (B, n, 1), for a function of which ``bound`` is the largest value.

        An unresolved eigenvalue is noise of at most the size of the cut-off, and its share in phi(S) K is at most
        bound * cutoff. Kept or left out, the error is up to that share of the residual. Early times of a flow see the
        whole kernel. Late ones leave unresolved directions out: where they are zeros, once their share is above
        sqrt(eps); where they continue the spectrum, once rounding decides about it, above 1 / 4.
        """
        phi_of_s = phi(self.values)
        late = home(self.values).eps ** 0.5 if self.spectrum.gap else 0.25
        if bound * max(self.spectrum.cutoff, 1e-300) > late:
            phi_of_s = home(self.values).xp.where(self.resolved, phi_of_s, 0.0)
        return phi_of_s[..., None]

    def function(self, phi: Callable[[Array], Array], bound: float, prepared: Array) -> Array:
        return self.prepared_apply(self.filter(phi, bound), prepared)

    def fitted_function(self, phi: Callable[[Array], Array], bound: float, prepared: Array) -> Array:
        # K V = V Lambda, without the product.
        return self.prepared_apply(self.spectrum.values[..., None] * self.filter(phi, bound), prepared)

    def prepared_apply(self, filtered: Array, prepared: Array) -> Array:
        """V (filtered * V^T b) for b that was prepared and values (B, n, 1) of a function of the eigenvalues."""
        return self.spectrum.vectors @ (filtered * prepared)

    @property
    def _root(self) -> Array:
        return home(self.reciprocals).xp.sqrt(self.reciprocals)[..., None]


def decompose(gram: Array) -> Spectrum:
    """The spectrum of Gram matrices (B, n, n).

    Raises
    ------
    numpy.linalg.LinAlgError
        If an eigenvalue is negative beyond rounding: the matrix is not a Gram matrix.
    """
    values, vectors = eigh(gram)
    xp, eps = home(values).xp, home(values).eps
    host = to_host(values).astype(np.float64)
    largest = max(float(host.max()), 0.0)
    refuse_indefinite(host, eps)
    # Reciprocals of smaller numbers overflow, and so do those of their cut-off.
    if 0.0 < eps * largest < float(xp.finfo(values.dtype).smallest_normal):
        raise np.linalg.LinAlgError(
            f"the eigenvalues of the kernel matrix, up to {largest:.1e}, are too small for {values.dtype}; "
            "multiply the kernel by a factor"
        )
    # Rounding of the kernel and of LAPACK moves every eigenvalue, the smallest ones included, by a few eps lambda_max,
    # whatever n (docs/accuracy.md). A Gram matrix has no negative eigenvalues. So those that are found show how large
    # the error is where it is larger.
    cutoff = max(4.0 * eps * largest, -2.0 * float(host.min()))
    resolved = _resolved(host, cutoff)
    least = float(host[resolved].min()) if resolved.any() else math.inf
    rank, condition = int(resolved.sum(axis=-1).min()), largest / least if least < math.inf else math.inf
    return Spectrum(xp.clip(values, min=0.0), vectors, cutoff, largest, rank, condition, least > GAP * cutoff)


def _resolved(values: Array, cutoff: float) -> Array:
    """Which eigenvalues can be told from 0: the one place that decides it, for K and for S = K + ridge I."""
    return values > cutoff
