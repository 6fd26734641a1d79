"""Pairs of images through the planes of a network, a few at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..._formula.formula import COLUMN, ROW, Formula
from ..._formula.numba_planes import LANES, LANES_OF_TABLES, Course, compiled_course, without_constants
from ..._formula.plane_stages import Stage
from ..._formula.plane_tables import FIRST
from ..inputs import Inputs
from ..program import Program
from .crossings import Route, route
from .formulas import StageFormula
from .layout import StagePlan
from .recorded import Recorded
from .sides import Batch, sides
from .tables import PlaneTable

__all__ = ["Planes"]

CHUNK = 8
"""How many runs share what is computed of each image by itself."""
MIXED = 4
"""Images whose modes are mixed at once: all of them take much memory, and for one alone what the others have by
themselves would be computed again."""
LINE = 64
"""Bytes of a line of the cache."""
MANY = 64
"""With so many planes a pair of images takes longer than to lay out what the images have."""

Pairs = tuple[np.ndarray, np.ndarray]
"""The numbers of images in two batches."""


class Room(NamedTuple):
    """Arrays to work in on one grid: those of planes, what is added up in the end, and what is left for the next grid,
    whose planes have ``across`` offsets along the second axis."""

    work: list[np.ndarray]
    sums: np.ndarray
    target: np.ndarray
    across: int

    def of(self, inputs: int) -> Room:
        """The room of so many inputs of the first batch at once, which are no more than it is for."""
        return self._replace(sums=self.sums[:inputs])

    @property
    def nbytes(self) -> int:
        """All of them."""
        return sum(a.nbytes for a in (*self.work, self.sums, self.target))


class Code(NamedTuple):
    """What runs on one grid: all stages, the formula of each, and the compiled loop."""

    course: Course
    formulas: list[Formula]
    loop: Callable[..., None]


@dataclass(frozen=True)
class Planes(Recorded):
    """The steps of a network up to the mean over positions, run plane by plane by Numba in one dtype."""

    sums_tables = True
    """Whether there may be tabulated activations."""

    def runs_on(self, device: Any) -> bool:
        """Whether all stages have code. NotElementwise where a layer has none."""
        del device
        return bool(self.codes)

    def batch(self, inputs: Inputs, program: Program) -> Batch:
        """With what images have by themselves, where to lay it out for each block would take as long as the block."""
        batch = super().batch(inputs, program)
        if not self._laid_once:
            return batch
        formulas = [code.formulas for code in self.codes]
        rows, columns = (sides(self.layout, formulas, batch, axes, self.tables) for axes in (ROW, COLUMN))
        return batch._replace(laid=(rows, columns))

    @property
    def laid_size(self) -> int:
        if not self._laid_once:
            return 0
        size = math.prod(self.layout.grid(0)) * (1 + self.layout.signals[0].width)
        for segment, code in zip(self.layout.segments, self.codes, strict=True):
            both = zip(segment.stages, code.course.stages, strict=True)
            size += math.prod(segment.grid) * sum(self._given(*one) for one in both)
            height, width = segment.grid
            for place in (place for plan in segment.stages for place in plan.windows):
                above, beside = map(sum, self.layout.window(place).margins(segment.grid))
                size += (height + above) * width + height * (width + beside)
        return 2 * size

    @property
    def lanes(self) -> int:
        """How many pairs run together; always as many, because another number would be compiled anew."""
        return (LANES_OF_TABLES if self.layout.tabulated else LANES)[self.dtype.char]

    @property
    def least(self) -> int:
        """The number of pairs that are worth a block of their own."""
        return self.lanes if self._many else 2**12

    @property
    def room_bytes(self) -> int:
        """What a few pairs take on their way, and the mixed modes of some images."""
        sizes = [(math.prod(self.layout.grid(place)), table) for place, table in self.tables.items()]
        mixed = sum(size * part.mixing.shape[1] for size, table in sizes for part in table.parts)
        work = sum(self._room(k, self._whole_route).nbytes for k in range(len(self.codes)))
        return work + MIXED * int(mixed) * self.dtype.itemsize

    def left_behind(self, batch: Batch, number: int) -> np.ndarray:
        layout, n, images = self.layout, len(batch.pixels), np.arange(len(batch.pixels))
        grid, parts = layout.segments[number].grid, []
        for start, _, target in self._runs(batch, batch, (images, images), route(layout, number, every=False)):
            # The plane number 0 has the pairs of each position with itself.
            same = target[:, 0].reshape(len(target), *grid, self.lanes)
            parts.append(np.moveaxis(same, -1, 0)[: n - start].copy())
        return np.concatenate(parts)

    def of_pairs(self, one: Batch, two: Batch, pairs: Pairs) -> dict[str, np.ndarray]:
        """The means over positions of "k12" and "ntk", for pairs of images given by their numbers in both batches."""
        count = len(pairs[0])
        result = np.zeros((1 + self.layout.ntk, count))
        for start, sums, _ in self._runs(one, two, pairs, self._whole_route):
            result[:, start : start + self.lanes] = self._over_positions(sums)[0, :, : count - start]
        return self.means(result)

    def of_block(self, one: Batch, two: Batch, symmetric: bool) -> dict[str, np.ndarray]:
        """The same for all pairs of two batches, (N1, N2); where ``symmetric``, only what is above the diagonal."""
        n1, n2 = len(one.pixels), len(two.pixels)
        result = np.zeros((1 + self.layout.ntk, n1, n2))
        if not self._many or self.layout.tabulated:
            self._fill(result, one, two, symmetric)
            return self.means(result)
        pairs = np.triu_indices(n1, 1) if symmetric else np.divmod(np.arange(n1 * n2), n2)
        result[:, pairs[0], pairs[1]] = list(self.of_pairs(one, two, pairs).values())
        return dict(zip(("k12", "ntk"), result, strict=False))

    def _fill(self, result: np.ndarray, one: Batch, two: Batch, symmetric: bool) -> None:
        """Sums over positions where there are few planes, because to lay out the images of each pair would take as
        long; or where there are tables, which are mixed for one image and serve all pairs with it."""
        n1, n2, count = len(one.pixels), len(two.pixels), len(self.codes)
        size = MIXED if self.layout.tabulated else n1
        together = size if count == 1 else 1
        rooms = [self._room(k, self._whole_route, together) for k in range(count)]
        for first in range(0, n1, size):
            rows = self._rows(one, np.arange(first, min(first + size, n1)))
            # Where pairs are symmetric, columns that all are before these rows are left out.
            for start in range(first // self.lanes * self.lanes if symmetric else 0, n2, self.lanes):
                chosen, stop = np.minimum(np.arange(start, start + self.lanes), n2 - 1), min(start + self.lanes, n2)
                columns = [_beside(a) for a in self._columns(two, chosen)]
                last = min(first + size, stop if symmetric else n1, n1)
                for i in range(first, last, together):
                    end = min(i + together, last)
                    own, fewer = [a[i - first : end - first] for a in rows], [room.of(end - i) for room in rooms]
                    sums, _ = self._pass(self._whole_route, fewer, own, columns, laned=False)
                    found = np.moveaxis(self._over_positions(sums), 0, 1)
                    result[:, i:end, start:stop] = found[..., : stop - start]

    def _rows(self, batch: Batch, images: np.ndarray) -> list[np.ndarray]:
        """What images of the first batch have that are not in lanes: of all where it is laid out."""
        if batch.laid is not None:
            return batch.laid[0]
        formulas = [code.formulas for code in self.codes]
        return sides(self.layout, formulas, batch.taken(images), ROW, self.tables, mixed=True)

    def _columns(self, batch: Batch, images: np.ndarray) -> list[np.ndarray]:
        """What images of the second batch have."""
        if batch.laid is not None:
            return [a[images] for a in batch.laid[1]]
        formulas = [code.formulas for code in self.codes]
        return sides(self.layout, formulas, batch.taken(images), COLUMN, self.tables)

    def _over_positions(self, sums: np.ndarray) -> np.ndarray:
        """(inputs, outputs, lanes) of (inputs, outputs, width lanes)."""
        return np.asarray(sums.reshape(*sums.shape[:2], -1, self.lanes).sum(axis=2))

    def _runs(self, one: Batch, two: Batch, pairs: Pairs, way: Route) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Pairs on a route, a few at a time: the number of the first pair, the sums over the last grid and what it
        leaves for the next."""
        count, rooms = len(pairs[0]), [self._room(k, way) for k in range(len(way.ways))]
        formulas = [code.formulas for code in self.codes[: len(rooms)]]
        together = self.lanes * (1 if self.layout.tabulated else CHUNK)
        for first in range(0, count, together):
            part, both = slice(first, min(first + together, count)), []
            for side, (batch, axes) in enumerate(((one, ROW), (two, COLUMN))):
                numbers = pairs[side][part]
                if batch.laid is not None:
                    both.append((batch.laid[side], numbers))
                    continue
                images, where = np.unique(numbers, return_inverse=True)
                both.append((sides(self.layout, formulas, batch.taken(images), axes, self.tables), where))
            for start in range(part.start, part.stop, self.lanes):
                chosen = np.minimum(np.arange(start, start + self.lanes), part.stop - 1) - part.start
                rows, columns = ([_beside(a[where[chosen]]) for a in arrays] for arrays, where in both)
                yield start, *self._pass(way, rooms, [a[None] for a in rows], columns, laned=True)

    def _pass(
        self, way: Route, rooms: Sequence[Room], rows: list[np.ndarray], columns: list[np.ndarray], laned: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """A few pairs on a route, from what both sides have, in the order of :func:`sides`: the sums over the last grid
        and what it leaves for the next. The rows are ``laned`` where each lane has its own."""
        one, two = iter(rows), iter(columns)
        images = next(one), next(two)
        left = np.zeros((1, 1, 1, 1), self.dtype)
        for k, room in enumerate(rooms):
            segment, (course, formulas, loop) = self.layout.segments[k], self.codes[k]
            arguments: list[Any] = []
            for plan, formula, stage in zip(segment.stages, formulas, course.stages, strict=True):
                arguments += [np.asarray(formula.constants or (0.0,), self.dtype), next(one), next(two)]
                for place in plan.windows:
                    arguments += [*self._reach(place), next(one), next(two), next(one), next(two)]
                first = stage.given
                for table in self._tables_of(plan):
                    mixed = None if laned else [next(one) for _ in table.parts]
                    arguments += table.arguments(first, self.dtype, mixed)
                    first += table.count
            room.sums[...] = 0.0
            room.target[...] = 0.0
            results = (room.sums, left, room.target, room.across)
            loop(*segment.grid, *way.offsets[k], *room.work, *results, laned, *way.ways[k], *images, *arguments)
            left = room.target
        return rooms[-1].sums, left

    @cached_property
    def _whole_route(self) -> Route:
        """To the end."""
        return route(self.layout, len(self.layout.segments), self.layout.every)

    @property
    def _laid_once(self) -> bool:
        # Mixed tables of many images would take too much memory.
        return not (self._many or self.layout.tabulated)

    @property
    def _many(self) -> bool:
        return self._whole_route.planes(0) >= MANY

    def _room(self, k: int, way: Route, inputs: int = 1) -> Room:
        """Arrays to work in on one grid."""
        segment, lanes, course = self.layout.segments[k], self.lanes, self.codes[k].course
        height, width = segment.grid
        slots = [*segment.kept.values(), *(slot for stage in segment.slots for slot in stage.values())]
        arrays = 1 + max(slots, default=0)
        summed = max([1, *(sum(map(len, stage.windows)) for stage in course.stages)])
        tables = [self._tables_of(plan) for plan in segment.stages]
        own = [self._given(*both) for both in zip(segment.stages, course.stages, strict=True)]
        own.append(0 if k else 1 + self.layout.signals[0].width)
        curves = max(FIRST + sum(s.tables) for s in course.stages) if course.stages else 1
        curves += max((table.pairs for used in tables for table in used), default=0)
        windows = [self.layout.window(place) for plan in segment.stages for place in plan.windows]
        y, x = (max([0, *(sum(w.margins(segment.grid)[axis]) for w in windows)]) for axis in (0, 1))
        sides = 2 * max([1, *(len(stage.windows) for stage in course.stages)])
        # An element of a window reaches no further than both margins together. Sums along y have three gaps as wide.
        shapes: list[tuple[int, ...]] = [(arrays * height + 1, width), (summed * height, width + 3 * x)]
        shapes += [(max(own), height, width), (sides, height + y, width + x), (curves, width)]
        work = [_aligned((*shape[:-1], shape[-1] * lanes), self.dtype) for shape in shapes]
        work.insert(2, np.zeros(max([1, *(w.size[0] for w in windows)]), np.int64))
        sums = np.zeros((inputs, max(len(course.outputs), 1), width * lanes))
        if not segment.leaving:
            return Room(work, sums, np.zeros((1, 1, 1, 1), self.dtype), 1)
        after, size = self.layout.segments[k + 1].grid
        shape = (sum(map(len, course.leaving)), way.planes(k + 1), after, size * lanes)
        return Room(work, sums, _aligned(shape, self.dtype), len(way.offsets[k + 1][1]))

    def _given(self, plan: StagePlan, stage: Stage) -> int:
        """How many arrays of :func:`sides` go with the positions of a stage."""
        return stage.given + sum(table.count for table in self._tables_of(plan))

    def _tables_of(self, plan: StagePlan) -> list[PlaneTable]:
        """The tables of a stage."""
        return [self.tables[place] for place in StageFormula(self.layout, plan).tabulated]

    def _reach(self, place: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """The offsets of the elements of a window along both axes, and whether it is circular."""
        window = self.layout.window(place)
        axes = zip(window.size, window.dilation, window.margins(self.layout.grid(place)), strict=True)
        y, x = (np.arange(size) * dilation - before for size, dilation, (before, _) in axes)
        return y, x, window.padding == "circular"

    @cached_property
    def codes(self) -> list[Code]:
        """What runs on each grid. NotElementwise where a layer has no code."""
        return [self._code(k) for k in range(len(self.layout.segments))]

    def _code(self, k: int) -> Code:
        stages = tuple(map(without_constants, self.stages(k)))
        course = Course(stages, not k, self.outputs(k), self.leaving(k), self.lanes)
        return Code(course, self.formulas[k], compiled_course(course, self.dtype))


def _aligned(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """Zeros that start at a line of the cache, so that no vector that is read reaches over two of them."""
    size = math.prod(shape) * dtype.itemsize
    room = np.zeros(size + LINE, np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : first + size].view(dtype).reshape(shape)


def _beside(a: np.ndarray) -> np.ndarray:
    """Of several inputs (N, ..., width) as (..., width N): the inputs are lanes."""
    n, *shape = a.shape
    lanes = _aligned((*shape, n), a.dtype)
    lanes[...] = np.moveaxis(a, 0, -1)
    return lanes.reshape(*shape[:-1], -1)
