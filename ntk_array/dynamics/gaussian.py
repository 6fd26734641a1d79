"""Gaussian distributions of function values: what ensembles and Gaussian processes predict."""

from typing import NamedTuple

from .._array.linalg import eigh
from .._array.namespace import Array, home
from .._array.random import Seed, normal, seed_sequence
from .._array.validate import count
from ..kernels.base import Kernel

__all__ = ["Gaussian", "scalar_kernel"]


class Gaussian(NamedTuple):
    """The values of a random function at M inputs: C independent outputs that share one covariance.

    Attributes
    ----------
    mean : array (M, C) or (M,), or (T, M, C) or (T, M) for T times
    covariance : array (M, M), or (T, M, M) for T times
        Of each output; exactly symmetric.
    """

    mean: Array
    covariance: Array

    @property
    def standard_deviation(self) -> Array:
        """The root of the diagonal of the covariance, (M,) or (T, M); variances are clipped at 0."""
        xp = home(self.covariance).xp
        return xp.sqrt(xp.clip(xp.linalg.diagonal(self.covariance), min=0.0))

    def sample(self, draws: int, seed: Seed) -> Array:
        """Independent draws, (draws, M, C) or (draws, M); with T times (draws, T, ...), each time drawn by itself.

        A draw is mean + covariance^(1/2) z with z ~ N(0, 1) drawn on the host. The root is the symmetric one, so that
        one seed gives the same draws on every library, up to the square root of its rounding error.
        """
        xp = home(self.mean).xp
        columns = self.mean if self.mean.ndim == self.covariance.ndim else self.mean[..., None]
        # The symmetric root is unique. A Cholesky factor does not exist for a singular covariance, and V Lambda^(1/2)
        # depends on the eigenvectors that the library chooses.
        values, vectors = eigh(self.covariance)
        root = vectors * xp.sqrt(xp.clip(values, min=0.0))[..., None, :] @ xp.matrix_transpose(vectors)
        z = home(self.mean).asarray(normal(seed_sequence(seed), count("draws", draws), *columns.shape))
        return xp.reshape(columns + root @ z, (draws, *self.mean.shape))


def scalar_kernel(name: str, kernel: Kernel) -> None:
    """Refuse kernels with a block for each output: a :class:`Gaussian` has one covariance for all outputs."""
    if not isinstance(kernel, Kernel):
        raise TypeError(f"{name} must be a kernel such as ntk_array.InfiniteNNGP(net), got {kernel!r}")
    if kernel.kind != "scalar":
        raise ValueError(
            f"{name} has blocks for each output ({kernel.kind}); the outputs here are independent and share one "
            'kernel: use an infinite-width kernel, or outputs="trace" for an empirical one'
        )
