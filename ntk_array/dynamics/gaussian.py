"""Gaussian distributions of function values: what ensembles and Gaussian processes predict."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .._array.kinds import Kind, stack_block, stack_values, unstack_diagonal
from .._array.linalg import eigh
from .._array.namespace import Array, home, itemsize
from .._array.random import Seed, normal, seed_sequence
from .._array.short import short_repr
from .._array.validate import count
from ..gram.memory import refuse_without_room
from ..kernels.base import only_scalar_kernels

__all__ = ["Covariance", "Gaussian", "checked", "room_for_covariance", "scalar_kernel"]


Covariance = Literal["full", "diagonal"] | None
"""How much of the covariance of a prediction is asked for."""


@dataclass(frozen=True)
class Gaussian:
    """The values of a random function at M inputs.

    With a scalar kernel the C outputs are independent and share one covariance. With a class-wise kernel each has its
    own, and with a full one they are correlated.

    Attributes
    ----------
    mean : array (M, C) or (M,), or (T, M, C) or (T, M) for T times
    covariance : array (M, M), or (T, M, M) for T times, or None
        Of each output; exactly symmetric. (C, M, M) where the kernel is class-wise, (M, C, M, C) where it is full. None
        where it was not asked for.
    variance : array (M,) or (T, M), or None
        The diagonal of the covariance, at least 0. (M, C) where the kernel is class-wise or full. None where only means
        were asked for.
    kind : "scalar", "classwise" or "full"
        Of the kernel.
    """

    __repr__ = short_repr

    mean: Array
    covariance: Array | None = None
    variance: Array | None = None
    kind: Kind = "scalar"

    def __post_init__(self) -> None:
        if self.variance is None and self.covariance is not None:
            xp = home(self.covariance).xp
            stack = self.covariance if self.kind == "scalar" else stack_block(self.kind, self.covariance)
            variance = xp.clip(xp.linalg.diagonal(stack), min=0.0)
            if self.kind != "scalar":
                variance = xp.reshape(unstack_diagonal(self.kind, variance, self._outputs), self.mean.shape)
            object.__setattr__(self, "variance", variance)

    @property
    def _outputs(self) -> int:
        return int(self.mean.shape[1]) if self.mean.ndim > 1 else 1

    def __iter__(self) -> Iterator[Array]:
        """``mean, covariance = process.predict(x)``."""
        return iter((self.mean, self.covariance))

    @property
    def standard_deviation(self) -> Array:
        """The root of the variance, of its shape."""
        if self.variance is None:
            raise AttributeError('only means were asked for: predict with covariance="diagonal" or "full"')
        return home(self.variance).xp.sqrt(self.variance)

    def plot(self, at: Any, observed: tuple[Any, Any] | None = None, *, output: int = 0, ax: Any = None) -> Any:
        """The mean with a band of two standard deviations, over times (T,) or over inputs of one variable (M,).

        See :func:`ntk_array.plotting.dynamics` and :func:`ntk_array.plotting.process`; returns the matplotlib Axes.
        """
        from .. import plotting

        if self.variance is not None and self.variance.ndim == 2:
            return plotting.dynamics(at, self, output=output, ax=ax)
        return plotting.process(at, self, observed, output=output, ax=ax)

    def sample(self, draws: int, seed: Seed) -> Array:
        """Independent draws, (draws, M, C) or (draws, M); with T times (draws, T, ...), each time drawn by itself.

        A draw is mean + covariance^(1/2) z with z ~ N(0, 1) drawn on the host. The root is the symmetric one, so that
        one seed gives the same draws on every library, up to the square root of its rounding error.
        """
        if self.covariance is None:
            raise AttributeError('draws need the covariance: predict with covariance="full"')
        xp = home(self.mean).xp
        if self.kind == "scalar":
            covariance = self.covariance
            columns = self.mean if self.mean.ndim == covariance.ndim else self.mean[..., None]
        else:
            covariance, columns = stack_block(self.kind, self.covariance), self.mean
            columns = stack_values(self.kind, columns if columns.ndim == 2 else columns[:, None])
        # The symmetric root is unique. A Cholesky factor does not exist for a singular covariance, and V Lambda^(1/2)
        # depends on the eigenvectors that the library chooses.
        values, vectors = eigh(covariance)
        root = vectors * xp.sqrt(xp.clip(values, min=0.0))[..., None, :] @ xp.matrix_transpose(vectors)
        z = home(self.mean).asarray(normal(seed_sequence(seed), count("draws", draws), *columns.shape))
        drawn = columns + root @ z
        if self.kind != "scalar":
            drawn = unstack_diagonal(self.kind, drawn[..., 0], self._outputs)
        return xp.reshape(drawn, (draws, *self.mean.shape))


def scalar_kernel(name: str, kernel: Any) -> None:
    """Refuse kernels with a block for each output: a :class:`Gaussian` has one covariance for all outputs."""
    only_scalar_kernels(name, kernel, "the outputs here are independent and share one kernel")


def checked(covariance: Covariance) -> None:
    """ValueError for another word."""
    if covariance not in ("full", "diagonal", None):
        raise ValueError(f'covariance must be "full", "diagonal" or None, got {covariance!r}')


def room_for_covariance(x: Array, rows: int, columns: int, times: int = 1, stack: int = 1) -> None:
    """MemoryError where a covariance of so many new inputs has no room, before anything of it is computed.

    ``columns`` counts the sample, whose kernel values with the new inputs exist twice while it is computed; ``stack``
    covariances are computed at once.
    """
    here = home(x)
    needed = stack * itemsize(here) * rows * ((2 + times) * rows + 2 * columns)
    advice = 'ask for covariance="diagonal" or None, or for fewer inputs at a time'
    refuse_without_room(needed, here, f"the covariance of {rows} new inputs", advice)
