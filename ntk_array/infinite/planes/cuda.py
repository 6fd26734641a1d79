"""Pairs of images through the planes of a network on a GPU, many at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ..._array.cuda_launch import MOST_PAIRS, Launcher, integers, shared_memory
from ..._array.namespace import Array, home
from ..._formula.cuda_crossings import THREADS, CrossingCode
from ..._formula.cuda_planes import ENOUGH_BYTES, MOST_THREADS, PlaneCode
from ..._formula.formula import COLUMN, ROW
from .crossings import Crossing, Route, reached_from, route
from .recorded import Recorded
from .sides import Batch, sides

__all__ = ["CudaPlanes"]

ROOM = 2**28
"""Bytes that a few pairs work with: what their images have, and what their planes leave."""

TOGETHER = 2
"""Planes that a thread takes at once, where it may."""

Pairs = tuple[np.ndarray, np.ndarray]
"""The numbers of images in two batches."""
Ways = list[tuple[CrossingCode, Launcher, list[np.ndarray]]]
"""Each way to the next grid: its code, what launches it, and its lists of positions along both axes."""


class OnGrid(NamedTuple):
    """What runs on one grid: its code, what launches it, the number of planes, and tasks as the code reads them."""

    code: PlaneCode
    launcher: Launcher
    planes: int
    tasks: np.ndarray

    @property
    def blocks(self) -> int:
        """Of threads, for each pair of images."""
        return self.code.blocks(int(self.tasks[1]))


class Road(NamedTuple):
    """A route with what launches it on each grid, and the ways that leave the grid."""

    grids: list[OnGrid]
    ways: list[Ways]


@dataclass(frozen=True)
class CudaPlanes(Recorded):
    """The steps of a network up to the mean over positions, run plane by plane on a GPU in one dtype."""

    least = 2**12
    """The number of pairs that are worth a block of their own."""
    room_bytes = ROOM
    sums_tables = False

    def runs_on(self, device: Any) -> bool:
        """Whether planes fit into a block on the device. NotElementwise where a layer has no formula."""
        numbers, room = range(len(self.layout.segments)), shared_memory(device)
        codes = [self._code(k, together) for k in numbers for together in (1, TOGETHER)]
        taken = [code for code in codes if code.together == 1 or code.shared_bytes <= ENOUGH_BYTES]
        return all(code.shared_bytes <= room and code.threads <= MOST_THREADS for code in taken)

    def _code(self, k: int, together: int) -> PlaneCode:
        layout, segment, leaves = self.layout, self.layout.segments[k], self._leaves(k)
        windows = tuple(tuple(map(layout.window, plan.windows)) for plan in segment.stages)
        channels = None if k else layout.signals[0].width
        outputs = leaves or self.outputs(k)
        return PlaneCode(self.stages(k), windows, outputs, bool(leaves), segment.grid, channels, together, self.dtype)

    def _leaves(self, k: int) -> tuple[int, ...]:
        """The plane arrays that leave for the next grid, each once."""
        return tuple(dict.fromkeys(array for arrays in self.leaving(k) for array in arrays))

    @cached_property
    def whole(self) -> Road:
        """To the end."""
        return self._road(route(self.layout, len(self.layout.segments), self.layout.every))

    @cached_property
    def behind(self) -> dict[int, Road]:
        """For images by themselves, to the grids that are pooled from others."""
        layout = self.layout
        numbers = {layout.numbers[place] for place in range(1, layout.end) if layout.pools(place)}
        return {number: self._road(route(layout, number, every=False)) for number in numbers}

    def _road(self, way: Route) -> Road:
        ways = range(len(way.ways))
        return Road([self._on_grid(k, way) for k in ways], [self._ways(k, way) for k in ways])

    def _on_grid(self, k: int, way: Route) -> OnGrid:
        code, tasks = self.code_on(k, way)
        launcher = Launcher(code.source, "run_planes", code.threads, code.shared_bytes)
        return OnGrid(code, launcher, way.planes(k), tasks)

    def code_on(self, k: int, way: Route) -> tuple[PlaneCode, np.ndarray]:
        """What runs on a grid, and its tasks."""
        y, x = way.offsets[k]
        # Two planes that are neighbours along y share what they read, unless that leaves room for too few warps.
        code, starts = self._code(k, TOGETHER), _neighbours(y)
        if 4 * len(starts) > 3 * len(y) or code.shared_bytes > ENOUGH_BYTES:
            code, starts = self._code(k, 1), [(i, -1) for i in range(len(y))]
        numbers = np.asarray([[n * len(x) if n >= 0 else -len(x) for n in own[: code.together]] for own in starts])
        across = np.arange(len(x))
        tasks = [np.repeat(y[numbers[:, 0] // len(x)], len(x)), np.tile(x, len(starts))]
        tasks += [np.maximum(np.add.outer(own, across).reshape(-1), -1) for own in numbers.T]
        return code, np.concatenate([[len(y) * len(x), len(tasks[0])], *tasks])

    def _ways(self, k: int, way: Route) -> Ways:
        """Those that leave a grid."""
        segments, leaves, leaving = self.layout.segments, self._leaves(k), self.leaving(k)
        found: Ways = []
        for w, arrays in enumerate(leaving):
            before, after = ((*map(len, way.offsets[g]), *segments[g].grid) for g in (k, k + 1))
            done = sum(map(len, leaving[:w]))
            sums = tuple((done + i, leaves.index(array)) for i, array in enumerate(arrays))
            code = CrossingCode(len(leaves), sum(map(len, leaving)), sums, before, after, self.dtype)
            lists: list[np.ndarray] = []
            for axis in (0, 1):
                crossing = Crossing(*way.ways[k][6 * w + 3 * axis :][:3])
                lists += reached_from(crossing, len(way.offsets[k + 1][axis]), segments[k + 1].grid[axis])
            found.append((code, Launcher(code.source, "cross", THREADS), lists))
        return found

    def of_pairs(self, one: Batch, two: Batch, pairs: Pairs) -> dict[str, Array]:
        """The means over positions of "k12" and "ntk", for pairs of images given by their numbers in both batches."""
        found = self._all(self.whole, one, two, self._parts(self.whole, pairs))
        return self.means(home(found).xp.moveaxis(found, 0, 1))

    def left_behind(self, batch: Batch, number: int) -> Array:
        road, images = self.behind[number], np.arange(batch.pixels.shape[0])
        # The plane number 0 has the pairs of each position with itself.
        return self._all(road, batch, batch, self._parts(road, (images, images)))[:, :, 0, ...]

    def of_block(self, one: Batch, two: Batch, symmetric: bool) -> dict[str, Array]:
        """The same for all pairs of two batches, (N1, N2); 0 on the diagonal where ``symmetric``."""
        (xp, _, device), n1, n2 = home(one.pixels), one.pixels.shape[0], two.pixels.shape[0]
        squares = [pairs for pairs in self._squares(n1, n2, symmetric) if len(pairs[0])]
        # The place of each pair of images among those that are computed; that behind them for the diagonal.
        count, places = sum(len(first) for first, _ in squares), np.full((n1, n2), -1)
        if squares:
            first, second = (np.concatenate(own) for own in zip(*squares, strict=True))
            places[first, second] = np.arange(count)
            places = np.maximum(places, places.T) if symmetric else places
        last = xp.zeros((1, len(self.outputs(len(self.layout.segments) - 1))), dtype=xp.float64, device=device)
        found = xp.concat([self._all(self.whole, one, two, squares), last] if squares else [last])
        chosen = xp.asarray(places.reshape(-1) % (count + 1), dtype=xp.int64, device=device)
        block = xp.reshape(xp.take(found, chosen, axis=0), (n1, n2, -1))
        return self.means(xp.moveaxis(block, -1, 0))

    def _bytes(self, road: Road) -> tuple[int, int]:
        """What an image takes on one side, and what is there of a pair: sums, and arrays that leave and arrive."""
        size, pair = self.dtype.itemsize, 0
        for on, ways in zip(road.grids, road.ways, strict=True):
            pair += on.planes * len(on.code.outputs) * (on.code.size * size if on.code.leave else 8)
            pair += sum(len(way.sums) * way.elements * size for way, _, _ in ways)
        return sum(on.code.image for on in road.grids) * size, pair

    def _parts(self, road: Road, pairs: Pairs) -> Iterator[Pairs]:
        """Pairs, so many at a time as there is room for."""
        image, pair = self._bytes(road)
        size = min(max(1, ROOM // (2 * image + pair)), MOST_PAIRS)
        for start in range(0, len(pairs[0]), size):
            part = slice(start, start + size)
            yield pairs[0][part], pairs[1][part]

    def _squares(self, n1: int, n2: int, symmetric: bool) -> Iterator[Pairs]:
        """All pairs, or those above the diagonal, cut into squares: few images for each launch."""
        image, pair = self._bytes(self.whole)
        # A square of n x n pairs takes 2 n image + n^2 pair.
        side = min(max(1, int((math.sqrt(image**2 + pair * ROOM) - image) / pair)), math.isqrt(MOST_PAIRS))
        for i in range(0, n1, side):
            for j in range(i if symmetric else 0, n2, side):
                shape = min(side, n1 - i), min(side, n2 - j)
                first, second = np.indices(shape).reshape(2, -1) + np.asarray([[i], [j]])
                wanted = first < second if symmetric else slice(None)
                yield first[wanted], second[wanted]

    def _all(self, road: Road, one: Batch, two: Batch, parts: Iterable[Pairs]) -> Array:
        """What comes of all pairs, a few at a time."""
        return home(one.pixels).xp.concat([self._run(road, one, two, pairs) for pairs in parts])

    def _run(self, road: Road, one: Batch, two: Batch, pairs: Pairs) -> Array:
        """The sums over positions (pairs, outputs), or those left for the grid where the road ends."""
        (xp, dtype, device), count = home(one.pixels), len(pairs[0])
        sides1, sides2 = self._sides(one, pairs[0], ROW, road), self._sides(two, pairs[1], COLUMN, road)
        left = xp.zeros((1,), dtype=dtype, device=device)
        for k, (on, ways) in enumerate(zip(road.grids, road.ways, strict=True)):
            code, planes, outputs, blocks = on.code, on.planes, len(on.code.outputs), (on.blocks, count)
            given = (sides1[0], sides2[0], sides1[k + 1], sides2[k + 1], integers(left, on.tasks), left)
            if not code.leave:
                sums = xp.empty((count, planes, outputs), dtype=xp.float64, device=device)
                on.launcher(blocks, *given, sums)
                return xp.sum(sums, axis=1)
            here = xp.empty((count, outputs, planes, *code.grid), dtype=dtype, device=device)
            on.launcher(blocks, *given, here)
            down, across, *grid = ways[0][0].after
            left = xp.empty((count, ways[0][0].numbers, down * across, *grid), dtype=dtype, device=device)
            for way, launcher, lists in ways:
                launcher((way.blocks, count), here, *(integers(left, a) for a in lists), left)
        return left

    def _sides(self, batch: Batch, images: np.ndarray, axes: int, road: Road) -> list[Array]:
        """The numbers of images among those that are there, and what these have on each grid, (images, numbers)."""
        chosen, where = np.unique(images, return_inverse=True)
        formulas, xp = self.formulas[: len(road.ways)], home(batch.pixels).xp
        arrays = iter(sides(self.layout, formulas, batch.taken(chosen), axes, directions=True))
        found = [integers(batch.pixels, where)]
        for k in range(len(formulas)):
            own = list(islice(arrays, (k == 0) + len(formulas[k])))
            flat = [_in_pairs(a) for a in own]
            # Kernels know nothing of strides. A grid on which nothing is computed has no numbers.
            none = xp.zeros((1,), dtype=self.dtype, device=home(batch.pixels).device)
            found.append(xp.reshape(xp.concat(flat, axis=1), (-1,)) if flat else none)
        return found


def _neighbours(offsets: np.ndarray) -> list[tuple[int, int]]:
    """The numbers of offsets that are neighbours, two at a time; -1 where one is left alone."""
    found, k = list[tuple[int, int]](), 0
    while k < len(offsets):
        follows = k + 1 < len(offsets) and offsets[k + 1] == offsets[k] + 1
        found.append((k, k + 1 if follows else -1))
        k += 1 + follows
    return found


def _in_pairs(a: Array) -> Array:
    """(N, arrays, height, width) as (N, arrays / 2, height, width, 2), flat; behind an odd number are zeros."""
    (xp, dtype, device), (n, count, height, width) = home(a), a.shape
    if count % 2:
        a = xp.concat([a, xp.zeros((n, 1, height, width), dtype=dtype, device=device)], axis=1)
    pairs = xp.moveaxis(xp.reshape(a, (n, -1, 2, height, width)), 2, -1)
    return xp.reshape(pairs, (n, -1))
