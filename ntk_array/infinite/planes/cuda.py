"""Pairs of images through the planes of a network on a GPU, many at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..._array.namespace import Array, home
from ..._formula.cuda_launch import Launcher, shared_memory
from ..._formula.cuda_planes import PlaneCode
from ..._formula.formula import COLUMN, ROW
from .recorded import Recorded
from .sides import Batch, sides

__all__ = ["CudaPlanes"]

ROOM = 2**28
"""Bytes that one launch works with: what its images have, and a sum for each plane."""

Pairs = tuple[np.ndarray, np.ndarray]
"""The numbers of images in two batches."""


@dataclass(frozen=True)
class CudaPlanes(Recorded):
    """The steps of a network up to the mean over positions, run plane by plane on a GPU in one dtype."""

    least = 2**12
    """The number of pairs that are worth a block of their own."""
    room_bytes = ROOM

    def runs_on(self, device: Any) -> bool:
        """Whether the network stays on one grid, whose planes fit into the shared memory of the device.

        NotElementwise where a layer has no formula.
        """
        return len(self.layout.segments) == 1 and self.code.shared_bytes <= shared_memory(device)

    @cached_property
    def code(self) -> PlaneCode:
        """The network as a CUDA kernel."""
        layout, (segment,) = self.layout, self.layout.segments
        windows = tuple(tuple(map(layout.window, plan.windows)) for plan in segment.stages)
        channels = layout.signals[0].width
        return PlaneCode(self.stages(0), windows, self.outputs(0), segment.grid, channels, layout.every, self.dtype)

    @cached_property
    def launcher(self) -> Launcher:
        """What runs it."""
        return Launcher(self.code)

    def of_pairs(self, one: Batch, two: Batch, pairs: Pairs) -> dict[str, Array]:
        """The means over positions of "k12" and "ntk", for pairs of images given by their numbers in both batches."""
        image, sums = self._bytes
        size = max(1, ROOM // (2 * image + sums))
        parts = (slice(start, start + size) for start in range(0, len(pairs[0]), size))
        return self._of_launches(one, two, ((pairs[0][part], pairs[1][part]) for part in parts))

    def of_block(self, one: Batch, two: Batch, symmetric: bool) -> dict[str, Array]:
        """The same for all pairs of two batches, (N1, N2); 0 on the diagonal where ``symmetric``."""
        here, (n1, n2) = home(one.pixels), (one.pixels.shape[0], two.pixels.shape[0])
        squares = [pairs for pairs in self._squares(n1, n2, symmetric) if len(pairs[0])]
        if not squares:  # one image with itself
            return self.means(here.xp.zeros((len(self.code.outputs), 1, 1), dtype=here.xp.float64, device=here.device))
        first, second = (np.concatenate(own) for own in zip(*squares, strict=True))
        found = self._of_launches(one, two, squares)
        # The place of each pair of images among the launched ones; that behind them for the diagonal.
        places = np.full((n1, n2), len(first))
        places[first, second] = np.arange(len(first))
        if symmetric:
            places = np.minimum(places, places.T)
        xp, end = here.xp, {"dtype": here.xp.float64, "device": here.device}
        chosen = xp.asarray(places.reshape(-1), dtype=xp.int64, device=here.device)
        return {
            name: xp.reshape(xp.take(xp.concat([values, xp.zeros((1,), **end)]), chosen, axis=0), (n1, n2))
            for name, values in found.items()
        }

    def _squares(self, n1: int, n2: int, symmetric: bool) -> Iterator[Pairs]:
        """All pairs, or those above the diagonal, cut into squares: few images for each launch."""
        image, sums = self._bytes
        # The images of a square of n x n pairs take 2 n image, and its sums n^2 sums.
        side = max(1, int((math.sqrt(image**2 + sums * ROOM) - image) / sums))
        for i in range(0, n1, side):
            for j in range(i if symmetric else 0, n2, side):
                shape = min(side, n1 - i), min(side, n2 - j)
                first, second = np.indices(shape).reshape(2, -1) + np.asarray([[i], [j]])
                wanted = first < second if symmetric else slice(None)
                yield first[wanted], second[wanted]

    @property
    def _bytes(self) -> tuple[int, int]:
        """What an image takes on one side, and the sums of a pair."""
        return self.code.image * self.dtype.itemsize, self.code.planes * len(self.code.outputs) * 8

    def _of_launches(self, one: Batch, two: Batch, launches: Any) -> dict[str, Array]:
        """The means of several launches, one after the other."""
        xp = home(one.pixels).xp
        found = [self._sums(one, two, pairs) for pairs in launches]
        return self.means(xp.moveaxis(xp.concat(found), 0, 1))

    def _sums(self, one: Batch, two: Batch, pairs: Pairs) -> Array:
        """The sums over positions (pairs, outputs) by one launch."""
        numbers, given = [], []
        for batch, images, axes in ((one, pairs[0], ROW), (two, pairs[1], COLUMN)):
            chosen, where = np.unique(images, return_inverse=True)
            arrays = sides(self.layout, self.formulas, batch.taken(chosen), axes)
            xp = home(batch.pixels).xp
            numbers.append(where)
            given.append(xp.concat([xp.reshape(a, (len(chosen), -1)) for a in arrays], axis=1))
        return self.launcher(*numbers, *given)
