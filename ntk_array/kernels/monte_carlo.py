"""Kernels of networks at random initialization, averaged over draws, with their standard errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._array.namespace import Array, home
from .._array.random import Seed, seed_sequence
from .._array.short import short_repr
from .._array.validate import count
from .._support.progress import progress_bar
from ..gram.tiled import Costs
from ..infinite.signal import Signal
from ..nn.layer import Layer
from ..nn.parameters import Params, selection
from .base import Kernel
from .empirical import EmpiricalNNGP, EmpiricalNTK

__all__ = ["Estimate", "MonteCarloNNGP", "MonteCarloNTK"]

NOISE = 2**32 - 1
"""The number of the stream of random numbers for noisy layers."""


class Estimate(NamedTuple):
    """A mean over draws and its standard error, each (N1, N2)."""

    def __repr__(self) -> str:
        return short_repr(self)

    mean: Array
    standard_error: Array


@dataclass(frozen=True)
class _MonteCarlo(Kernel):
    """A kernel averaged over random networks; ``_kernel`` makes the kernel of one from its parameters."""

    net: Layer
    draws: int
    seed: Seed

    def __post_init__(self) -> None:
        if count("draws", self.draws) < 2:
            raise ValueError("draws must be at least 2: a standard error needs two draws")
        # A Generator is advanced once, here: every block of one kernel comes from the same networks.
        object.__setattr__(self, "seed", seed_sequence(self.seed))

    def estimate(self, x1: Array, x2: Array | None = None, *, progress: bool = False) -> Estimate:
        """Mean and standard error over the draws, each (N1, N2).

        Every draw is a network of its own, the same ones for every call; ``progress`` shows a bar.
        """
        x1, x2 = self.validated(x1, x2)
        mean: Array = None
        squares: Array = None
        for draw, kernel in enumerate(self._drawn(x1, progress)):
            value = kernel.values(x1, x2)
            if draw == 0:
                mean, squares = value, home(value).xp.zeros_like(value)
                continue
            # Welford's recurrence for mean and variance, with one draw in memory at a time.
            change = value - mean
            mean = mean + change / (draw + 1)
            squares = squares + change * (value - mean)
        variance = squares / (self.draws - 1)
        return Estimate(mean, home(mean).xp.sqrt(variance / self.draws))

    is_average = True

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Those of the kernel of one network."""
        return self._kernel(self.net, self.net.parameters(Signal(tuple(x1.shape[1:])))).costs(x1, x2)

    def averaged(self, matrix: Callable[[Kernel], Array], x: Array) -> Array:
        """The mean over the draws of ``matrix(kernel)``, for networks that take inputs like x.

        Each call draws every network once: given what makes a whole matrix, once a matrix instead of once a tile. The
        mean is updated draw by draw, so that one draw is in memory at a time.
        """
        mean: Array = None
        for draw, kernel in enumerate(self._drawn(x)):
            value = matrix(kernel)
            mean = value if draw == 0 else mean + (value - mean) / (draw + 1)
        return mean

    def prepared_block(self, prepared1: Array, prepared2: Array | None) -> Array:
        return self.averaged(lambda kernel: kernel.block(prepared1, prepared2), prepared1)

    def block_diagonal(self, x: Array) -> Array:
        return self.averaged(lambda kernel: kernel.block_diagonal(x), x)

    def _drawn(self, x: Array, progress: bool = False) -> Iterator[Kernel]:
        """The kernel of each network, for inputs like x."""
        root = self.seed
        assert isinstance(root, np.random.SeedSequence)
        for draw in progress_bar(range(self.draws), "draws", "net", progress):
            seeds = np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, draw))
            net = self.net
            if net.noisy:
                # Beside the streams of parameters, which are numbered from 0.
                noise = np.random.SeedSequence(root.entropy, spawn_key=(*seeds.spawn_key, NOISE))
                net = net.sampled(np.random.default_rng(noise))
            yield self._kernel(net, self.net.init(seeds, like=x))

    @abstractmethod
    def _kernel(self, net: Layer, params: Params) -> Kernel:
        """The kernel of a network with these parameters."""


@dataclass(frozen=True)
class MonteCarloNTK(_MonteCarlo):
    """The mean empirical NTK (trace over outputs) of ``draws`` networks at initialization, (N1, N2).

    For networks without an infinite-width limit in closed form, and as an independent check of those with one:
    at width n its bias is O(1/n).

    Parameters
    ----------
    net : Layer
        The network, with the widths to draw it at.
    draws : int
        Number of networks, at least 2.
    seed : int or numpy.random.Generator
    trainable : str or sequence of str, optional
        Only these parameters, as for :class:`EmpiricalNTK`.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.eye(2)
    >>> net = ntk.nn.mlp((256,), 1)
    >>> mean, standard_error = ntk.MonteCarloNTK(net, draws=50, seed=0).estimate(x)
    >>> bool(np.all(abs(mean - ntk.InfiniteNTK(net)(x)) < 4 * standard_error))
    True
    """

    trainable: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "trainable", selection(self.trainable))

    def _kernel(self, net: Layer, params: Params) -> Kernel:
        return EmpiricalNTK(net, params, outputs="trace", trainable=self.trainable)


class MonteCarloNNGP(_MonteCarlo):
    """The mean of (1/C) f(x)^T f(x') over ``draws`` networks at initialization, (N1, N2).

    Parameters
    ----------
    net : Layer
        The network, with the widths to draw it at.
    draws : int
        Number of networks, at least 2.
    seed : int or numpy.random.Generator
    """

    def _kernel(self, net: Layer, params: Params) -> Kernel:
        return EmpiricalNNGP(net, params)
