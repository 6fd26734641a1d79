"""Gaussian distributions of function values: what ensembles and Gaussian processes predict."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .._array.linalg import eigh
from .._array.namespace import Array, home, itemsize
from .._array.random import Seed, normal, seed_sequence
from .._array.short import short_repr
from .._array.validate import count
from ..gram.memory import available, readable
from ..kernels.base import Kernel

__all__ = ["Covariance", "Gaussian", "checked", "room_for_covariance", "scalar_kernel"]


Covariance = Literal["full", "diagonal"] | None
"""How much of the covariance of a prediction is asked for."""


@dataclass(frozen=True)
class Gaussian:
    """The values of a random function at M inputs: C independent outputs that share one covariance.

    Attributes
    ----------
    mean : array (M, C) or (M,), or (T, M, C) or (T, M) for T times
    covariance : array (M, M), or (T, M, M) for T times, or None
        Of each output; exactly symmetric. None where it was not asked for.
    variance : array (M,) or (T, M), or None
        The diagonal of the covariance, at least 0. None where only means were asked for.
    """

    __repr__ = short_repr

    mean: Array
    covariance: Array | None = None
    variance: Array | None = None

    def __post_init__(self) -> None:
        if self.variance is None and self.covariance is not None:
            xp = home(self.covariance).xp
            object.__setattr__(self, "variance", xp.clip(xp.linalg.diagonal(self.covariance), min=0.0))

    def __iter__(self) -> Iterator[Array]:
        """``mean, covariance = process.predict(x)``."""
        return iter((self.mean, self.covariance))

    @property
    def standard_deviation(self) -> Array:
        """The root of the variance, (M,) or (T, M)."""
        if self.variance is None:
            raise AttributeError('only means were asked for: predict with covariance="diagonal" or "full"')
        return home(self.variance).xp.sqrt(self.variance)

    def sample(self, draws: int, seed: Seed) -> Array:
        """Independent draws, (draws, M, C) or (draws, M); with T times (draws, T, ...), each time drawn by itself.

        A draw is mean + covariance^(1/2) z with z ~ N(0, 1) drawn on the host. The root is the symmetric one, so that
        one seed gives the same draws on every library, up to the square root of its rounding error.
        """
        if self.covariance is None:
            raise AttributeError('draws need the covariance: predict with covariance="full"')
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


def checked(covariance: Covariance) -> None:
    """ValueError for another word."""
    if covariance not in ("full", "diagonal", None):
        raise ValueError(f'covariance must be "full", "diagonal" or None, got {covariance!r}')


def room_for_covariance(x: Array, rows: int, columns: int, times: int = 1) -> None:
    """MemoryError where a covariance of so many new inputs has no room, before anything of it is computed.

    ``columns`` counts the sample, whose kernel values with the new inputs exist twice while it is computed.
    """
    here = home(x)
    needed, free = itemsize(here) * rows * ((2 + times) * rows + 2 * columns), available(here)
    if free is not None and needed > free:
        raise MemoryError(
            f"the covariance of {rows} new inputs takes {readable(needed)}, and {readable(free)} are available: ask "
            'for covariance="diagonal" or None, or for fewer inputs at a time'
        )
