"""The largest value of each window of positions."""

from __future__ import annotations

import math
from typing import NamedTuple

from .._array.namespace import Array, home
from ..infinite.signal import Signal
from .layer import Factors, Layer
from .parameters import Params
from .pooling import Windows

__all__ = ["MaxPool"]


class Maxima(NamedTuple):
    """Which element of the window is the largest, (N, *fewer positions, channels), and the positions of the input."""

    element: Array
    positions: tuple[int, ...]


class MaxPool(Windows, Layer):
    """Maxima over windows of positions: (N, *positions, channels) to (N, *fewer positions, channels).

    Each channel has maxima of its own. Of equal values the first in the window counts: derivatives are those of that
    one. There is no infinite-width limit in closed form: for kernels at large width use a Monte Carlo kernel, or
    :class:`AvgPool` in its place.

    Parameters
    ----------
    window_size : tuple of int
        Along each axis of positions.
    stride : int or tuple of int, optional
        By default that of windows side by side.
    padding : "valid", "same", "circular" or a pair of int for each axis
        As for :class:`Conv`, but that positions outside of the input are left out: no zero of the padding is a maximum.

    Raises
    ------
    ValueError
        For inputs with other axes of positions, or fewer positions than a window has.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ntk.nn.MaxPool((2,))({}, np.asarray([[[1.0], [3.0], [-1.0], [-2.0]]]))[0, :, 0]
    array([ 3., -1.])
    """

    entrywise = False

    def signal(self, before: Signal) -> Signal:
        obstacle = before.obstacle or (
            f"{self!r} has no infinite-width limit in closed form: the covariances of maxima of more than two Gaussian "
            "values have none; use a Monte Carlo kernel, or AvgPool in its place"
        )
        return super().signal(before).to(gaussian=False, centred=False, obstacle=obstacle)

    def forward(self, params: Params, x: Array) -> tuple[Array, Maxima]:
        """The tape says which elements were the largest."""
        self.signal(Signal(tuple(x.shape[1:])))  # refuses shapes that it cannot take
        place, positions = home(x), tuple(x.shape[1:-1])
        xp = place.xp
        ones = xp.ones((1, *positions, 1), dtype=place.dtype, device=place.device)
        axes = range(1, x.ndim - 1)
        largest = element = None
        for i, (part, inside) in enumerate(
            zip(self.reach.gathered(x, axes), self.reach.gathered(ones, axes), strict=True)
        ):
            if self.padding not in ("valid", "circular"):
                part = xp.where(inside > 0, part, -math.inf)
            if largest is None:
                largest = part
                element = xp.zeros(part.shape, dtype=xp.int32, device=place.device)
                continue
            larger = part > largest
            largest, element = xp.where(larger, part, largest), xp.where(larger, i, element)
        return largest, Maxima(element, positions)

    def backward(self, params: Params, tape: Maxima, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Each cotangent goes to the position of its maximum."""
        if not to_inputs:
            return None, []
        xp, element = home(delta).xp, tape.element[:, None, ...]
        parts = [xp.where(element == i, delta, 0.0) for i in range(self.reach.count)]
        shape = parts[0].shape
        rows = [xp.reshape(part, (-1, *shape[2:])) for part in parts]
        back = self.reach.scattered(rows, range(1, len(shape) - 2), tape.positions)
        return xp.reshape(back, (*shape[:2], *tape.positions, shape[-1])), []

    def tangent(self, params: Params, tape: Maxima, dx: Array, dparams: Params) -> Array:
        xp, axes = home(dx).xp, range(1, dx.ndim - 1)
        parts = [xp.where(tape.element == i, part, 0.0) for i, part in enumerate(self.reach.gathered(dx, axes))]
        return sum(parts[1:], parts[0])
