"""Kernels of explicit features, K(x, x') = phi(x)^T phi(x'), which regression at large N needs no N x N matrix for."""

import math
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from .._array.linalg import inner
from .._array.namespace import Array, home, index_dtype, itemsize, to_host
from .._array.random import Seed, seed_sequence
from .._array.validate import count
from ..gram.tiled import Costs
from .base import Kernel, only_scalar_kernels

__all__ = ["Approximation", "FeatureKernel", "scalar_only", "taken"]

NUMBERS = 2**23
"""So many features are computed at once, about: 64 MiB in float64, far more than what starts a matrix product."""


class FeatureKernel(Kernel):
    """A scalar kernel of R features, K(x, x') = phi(x)^T phi(x').

    It is a kernel like any other. Beside values it has :meth:`features`, and its products with vectors take a number of
    operations and an amount of memory that are linear in N.
    """

    @abstractmethod
    def feature_count(self, x: Array) -> int:
        """R, for validated inputs like x."""

    @abstractmethod
    def feature_rows(self, x: Array) -> Array:
        """phi of a few validated inputs, (N, R), all at once."""

    def features(self, x: Array) -> Array:
        """phi(x), (N, R)."""
        x = self.validated(x, None)[0]
        return home(x).xp.concat(list(self.feature_blocks(x)))

    def feature_blocks(self, x: Array, least: int = 1) -> Iterator[Array]:
        """phi of validated inputs in order, a block of rows at a time, of at least so many rows."""
        kernel = self.specialized(x, None)
        for rows in self.blocks_of_rows(x, least):
            yield kernel.feature_rows(x[rows, ...])

    def blocks_of_rows(self, x: Array, least: int = 1) -> list[slice]:
        """The rows of each of these blocks."""
        size = max(least, NUMBERS // self.feature_count(x), 1)
        return [slice(start, min(start + size, x.shape[0])) for start in range(0, x.shape[0], size)]

    def specialized(self, x1: Array, x2: Array | None) -> "FeatureKernel":
        del x1, x2
        return self

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """The features of each input, and a product of matrices with its mirror image."""
        here = home(x1)
        return Costs(here, 1, 3 * itemsize(here), itemsize(here) * (self.feature_count(x1) + math.prod(x1.shape[1:])))

    def prepare(self, x: Array) -> Array:
        """The features (N, R)."""
        return self.feature_rows(x)

    def prepared_block(self, prepared1: Array, prepared2: Array | None) -> Array:
        """One matrix product."""
        return inner(prepared1, prepared1 if prepared2 is None else prepared2)

    def block_diagonal(self, x: Array) -> Array:
        """Sums of squares."""
        xp = home(x).xp
        return xp.concat([xp.sum(phi * phi, axis=1) for phi in self.feature_blocks(x)])

    def product(self, x1: Array, x2: Array | None, v: Array) -> Array:
        """phi(x1) (phi(x2)^T v), a block of rows at a time."""
        x2 = x1 if x2 is None else x2
        pairs = zip(self.blocks_of_rows(x2), self.feature_blocks(x2), strict=True)
        weights = sum(phi.T @ v[rows, :] for rows, phi in pairs)
        return home(x1).xp.concat([phi @ weights for phi in self.feature_blocks(x1)])


class Approximation(FeatureKernel):
    """A kernel of features that stands for another kernel, and measures how far it is from that."""

    kernel: Kernel
    """The kernel that is approximated."""

    def estimated_error(self, x: Array, pairs: int = 10_000, seed: Seed = 0) -> float:
        """The root mean square of K~(x, x') - K(x, x') over random pairs, relative to sqrt(K(x, x) K(x', x')).

        Parameters
        ----------
        x : array (N, ...)
            Inputs that pairs are drawn from.
        pairs : int
            About how many pairs: all those between two random samples of ceil(sqrt(pairs)) inputs, or of all N.
        seed : int or numpy.random.Generator

        Returns
        -------
        float
            0.01 means that a kernel value is off by 1 % of the values for equal inputs, in the root mean square.
        """
        x = self.validated(x, None)[0]
        rng, n = np.random.default_rng(seed_sequence(seed)), x.shape[0]
        side = min(n, math.isqrt(count("pairs", pairs) - 1) + 1)
        one, two = (taken(x, rng.choice(n, side, replace=False)) for _ in range(2))
        exact, xp = self.kernel.values(one, two), home(x).xp
        scale = xp.sqrt(self.kernel.block_diagonal(one))[:, None] * xp.sqrt(self.kernel.block_diagonal(two))
        # Where an input has the kernel value 0 with itself, it has it with all others, and there is no error.
        error = xp.where(scale > 0, (self.values(one, two) - exact) / xp.where(scale > 0, scale, 1.0), 0.0)
        return float(to_host(xp.sqrt(xp.mean(error * error))))

    def net_with_other_outputs(self, x: Array) -> object:
        return self.kernel.net_with_other_outputs(x)


def taken(x: Array, rows: np.ndarray) -> Array:
    """Rows of x by their numbers."""
    xp, _, device = home(x)
    return xp.take(x, xp.asarray(rows, dtype=index_dtype(xp, device), device=device), axis=0)


def scalar_only(kernel: Kernel) -> None:
    """Refuse what is no scalar kernel."""
    only_scalar_kernels("kernel", kernel, "features are for scalar kernels")
