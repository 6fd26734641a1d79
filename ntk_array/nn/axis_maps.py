"""Layers that map positions linearly, along each axis by itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._array.namespace import Array, home
from ..infinite.covariance import Covariance
from ..infinite.signal import Signal
from .pooling import LinearMap

__all__ = ["AxisMaps"]


class AxisMaps(LinearMap):
    """A matrix for each axis of positions. In the limit it acts on the positions of both inputs.

    A subclass gives the matrices, and says whether it only selects positions: angles are then those of the pairs that
    are selected.
    """

    selects: bool

    @abstractmethod
    def maps(self, positions: tuple[int, ...]) -> list[np.ndarray]:
        """A matrix (outputs, inputs) for each axis. ValueError for positions that the layer cannot take."""

    def dropped(self, count: int) -> tuple[bool, ...]:
        """Which of so many axes of positions, then of length 1, the outputs do not have."""
        return (False,) * count

    def signal(self, before: Signal) -> Signal:
        self._needs_positions(before)
        sizes = [m.shape[0] for m in self.maps(before.shape[:-1])]
        return before.to(shape=(*self._kept(sizes), before.width))

    def needs_every_pair(self, after: bool) -> bool:
        return after or not self.selects

    def _kept(self, sizes: Sequence[int]) -> list[int]:
        return [n for n, dropped in zip(sizes, self.dropped(len(sizes)), strict=True) if not dropped]

    def apply(self, x: Array, positions: tuple[int, ...]) -> Array:
        mapped = _along(x, range(1, len(positions) + 1), self.maps(positions))
        return home(x).xp.reshape(mapped, (x.shape[0], *self._kept(mapped.shape[1:-1]), x.shape[-1]))

    def adjoint(self, y: Array, positions: tuple[int, ...]) -> Array:
        matrices = self.maps(positions)
        full = home(y).xp.reshape(y, (y.shape[0], *[m.shape[0] for m in matrices], y.shape[-1]))
        return _along(full, range(1, len(positions) + 1), [m.T for m in matrices])

    def of_state(self, state: Covariance) -> Covariance:
        """Variances of the result are those of the walk of each batch."""
        frame = state.frame
        matrices = self.maps(tuple(state.k12.shape[axis] for axis in frame.rows))
        dropped = self.dropped(frame.count)
        count = frame.count - sum(dropped)
        sides = [frame.rows, frame.columns] if frame.every else [frame.rows]
        gone = {axis for axes in sides for axis, drop in zip(axes, dropped, strict=True) if drop}

        def mapped(array: Array | None) -> Array | None:
            if array is None:
                return None
            for axes in sides:
                array = _along(array, axes, matrices)
            shape = [n for axis, n in enumerate(array.shape) if axis not in gone]
            return home(array).xp.reshape(array, tuple(shape))

        k12, ntk = mapped(state.k12), mapped(state.ntk)
        angle: dict[str, Any] = {}
        if self.selects:
            angle = {name: mapped(getattr(state, name)) for name in ("sine", "gap", "turn")}
        after = replace(frame, count=count, every=frame.every and count > 0)
        return Covariance(k12, k12, k12, ntk, **angle, frame=after)


def _along(array: Array, axes: Sequence[int], matrices: Sequence[np.ndarray]) -> Array:
    """An array multiplied by a matrix along each of these axes."""
    here = home(array)
    for axis, matrix in zip(axes, matrices, strict=True):
        moved = here.xp.moveaxis(array, axis, -1) @ here.asarray(matrix.T)
        array = here.xp.moveaxis(moved, -1, axis)
    return array
