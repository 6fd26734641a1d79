"""Images with channels first, as the layers take them."""

from __future__ import annotations

from dataclasses import dataclass

from .._array.namespace import Array, home
from ..infinite.covariance import Covariance
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .activations import Identity
from .layer import Layer
from .pooling import LinearMap

__all__ = ["ChannelsLast"]


@dataclass(frozen=True)
class ChannelsLast(LinearMap):
    """(N, channels, *positions), as PyTorch has images, to (N, *positions, channels), as all other layers take them.

    In the infinite-width limit it may only be the first layer of a network: it says which axis of the inputs is that of
    the channels. Behind weights the last axis has infinitely many entries, which cannot become positions.

    Raises
    ------
    ValueError
        For inputs without positions; in an infinite-width kernel, where it is not the first layer.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> images = np.random.default_rng(0).normal(size=(4, 3, 8, 8))
    >>> net = ntk.nn.Sequential(ntk.nn.ChannelsLast(), *ntk.nn.cnn((16,), 1).layers)
    >>> net.init(0, like=images)[1]["weight"].shape
    (16, 3, 3, 3)
    >>> K = ntk.InfiniteNTK(ntk.nn.cnn((16,), 1))(images.transpose(0, 2, 3, 1))
    >>> bool(np.allclose(ntk.InfiniteNTK(net)(images), K))
    True
    """

    def signal(self, before: Signal) -> Signal:
        if len(before.shape) < 2:
            raise ValueError(f"{self!r} needs inputs (N, channels, *positions); got (N, {before.width})")
        channels, *positions = before.shape
        obstacle = before.obstacle or (
            f"{self!r} is not the first layer: no infinite-width limit, because the axis of the channels has no end; "
            "put it at the start of the network, before branches too, or use a Monte Carlo kernel"
        )
        return before.to(shape=(*positions, channels), obstacle=obstacle)

    def arrangement(self) -> tuple[Layer, Layer]:
        return self, Arranged()

    def apply(self, x: Array, positions: tuple[int, ...]) -> Array:
        return home(x).xp.moveaxis(x, 1, -1)

    def adjoint(self, y: Array, positions: tuple[int, ...]) -> Array:
        return home(y).xp.moveaxis(y, -1, 1)

    def of_state(self, state: Covariance) -> Covariance:
        raise TypeError(f"{self!r} arranges inputs, and has no state")


class Arranged(Identity):
    """In the place of a layer whose work on the inputs is done: no step of the limit."""

    def unroll(self, steps: Steps, place: int) -> int:
        return place
