"""Convolutional networks on images, plane by plane: each pair of images goes through all layers in the cache.

A stride-1 convolution acts along lines of constant offset q - p between positions p of one image and q of another. So
the pairs of positions with one offset, a plane, go through all layers by themselves until pooling adds the planes up.
Offsets (dy, dx) and (dy - height, dx - width) share one torus of exactly height x width pairs.

Kept of each pair are the deficits d = s1 s2 - k12 and s1 s2 + k12 in place of the covariance k12, because angles come
from them without loss of digits. Over the terms of a window with A = sum s1^2 and B = sum s2^2

    1 - cos T = sum d / sqrt(A B) + (1/2) sum (s1 / sqrt(A) - s2 / sqrt(B))^2,

positive terms only (see :func:`.angle.sine_of_sum`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._array.window import Window
from .._formula.formula import COLUMN, ENTRY, ROW, Formula, NotElementwise, trace
from .._formula.numba_planes import LANES, Course, Stage, compiled_course, values_of, without_constants
from .angle import over_root, side_of
from .covariance import Covariance, Rows
from .inputs import Inputs
from .signal import Signal
from .steps import Step

__all__ = ["Planes", "planes_of"]


class StagePlan(NamedTuple):
    """One stage: its places, the convolutions among them, and places before and in it whose arrays are read or kept."""

    places: tuple[int, ...]
    convolutions: tuple[int, ...]
    points: tuple[int, ...]
    results: tuple[int, ...]


class Batch(NamedTuple):
    """What planes need of images: normalized pixels, and variances at every place up to the mean over positions."""

    pixels: np.ndarray
    rows: list[np.ndarray]

    def taken(self, chosen: np.ndarray) -> Batch:
        """Some of the images."""
        return Batch(self.pixels[chosen], [rows[chosen] for rows in self.rows])


@dataclass(frozen=True)
class Planes:
    """The steps of a network up to the mean over positions, as stages.

    Attributes
    ----------
    steps : tuple of Step
    signals : tuple of Signal
        Those of the network, up to the mean.
    every : bool
        Whether the mean is over every pair of positions, or over each position with itself.
    ntk : bool
        Whether the NTK is asked for.
    """

    steps: tuple[Step, ...]
    signals: tuple[Signal, ...]
    every: bool
    ntk: bool
    kept: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def end(self) -> int:
        """The place of the mean."""
        return len(self.steps)

    @property
    def last(self) -> int:
        """The last place with positions."""
        return self.steps[-1].sources[0]

    @property
    def positions(self) -> tuple[int, int]:
        """Height and width."""
        sizes = self.signals[0].shape[:-1]
        return (1, *sizes) if len(sizes) == 1 else sizes  # type: ignore[return-value]

    @cached_property
    def stages(self) -> list[StagePlan]:
        """A stage ends before each convolution of what it computes."""
        groups: list[list[int]] = [[]]
        for place, step in enumerate(self.steps[:-1], start=1):
            if step.layer.window is not None and step.sources[0] in groups[-1]:
                groups.append([])
            groups[-1].append(place)
        stages = []
        for number, places in enumerate(groups):
            convolutions = tuple(p for p in places if self.steps[p - 1].layer.window is not None)
            read = {s for p in places if p not in convolutions for s in self.steps[p - 1].sources}
            later = {s for group in groups[number + 1 :] for p in group for s in self.steps[p - 1].sources}
            results = tuple(p for p in places if p in later or p == self.last)
            stages.append(StagePlan(tuple(places), convolutions, tuple(sorted(read - set(places))), results))
        return stages

    @cached_property
    def signed(self) -> list[bool]:
        """Whether covariances at each place may be negative. Behind a function that is not, none is.

        No layer makes negative covariances from others: a dual activation is a power series in the correlation whose
        coefficients are squares (Daniely et al. 2016, section 3).
        """
        signed = [True]
        for step in self.steps[:-1]:
            signed.append(not step.layer.nonnegative and any(signed[source] for source in step.sources))
        return signed

    def names(self, place: int) -> tuple[str, ...]:
        """The arrays of a place: those that are known to be redundant or zero are missing."""
        names = ("below", "above") if self.signed[place] else ("below",)
        return names + (("ntk",) if self.ntk and place else ())

    @cached_property
    def slots(self) -> list[dict[tuple[int, str], int]]:
        """For each stage the numbers of the plane arrays that it reads and writes, by place and name."""
        used = {(0, "below"): 0, (0, "above"): 1}
        found = []
        for number, stage in enumerate(self.stages):
            # Windows are summed into room of their own first, so that arrays that nobody reads later may be written to.
            ahead = self.stages[number + 1 :]
            later = {self.steps[p - 1].sources[0] for s in ahead for p in s.convolutions} | {
                p for s in ahead for p in s.points
            }
            own = dict(used)
            used = {key: slot for key, slot in used.items() if key[0] in later}
            for place in stage.results:
                for name in ("k12", "ntk")[: 1 + self.ntk] if place == self.last else self.names(place):
                    key = (place, "last " + name if place == self.last else name)
                    used[key] = next(i for i in range(len(used) + 1) if i not in used.values())
                if place == self.last and place in later:
                    raise NotElementwise("the last place is read again")
            found.append(own | used)
        return found

    def sums(
        self, one: Batch, two: Batch | None, paired: bool = False, symmetric: bool = False
    ) -> dict[str, np.ndarray]:
        """The means over positions of "k12" and "ntk", (N1, N2) in float64; or (N,) of each input with itself.

        Where they are symmetric, what is far below the diagonal is left out.
        """
        other = one if two is None else two
        n1, n2, dtype = len(one.pixels), len(other.pixels), other.pixels.dtype
        lanes = LANES[dtype.char]  # always as many: another number would be compiled anew
        height, width = self.positions
        course, formulas, loop = self._course(dtype, lanes)
        offsets = np.divmod(np.arange(height * width if self.every else 1), width)
        arrays, summed, windows = self._room()
        room = [np.empty((count * height, width * lanes), dtype) for count in (arrays, summed)]
        room += [np.empty((count, width * lanes), dtype) for count in (summed, windows)]
        result = np.zeros((len(course.outputs), 1 if paired else n1, n2))
        rows = [] if paired else self._sides(one, formulas, ROW)
        for start in range(0, n2, lanes):
            chosen, stop = np.minimum(np.arange(start, start + lanes), n2 - 1), min(start + lanes, n2)
            part = other.taken(chosen)
            columns = [_beside(a) for a in self._sides(part, formulas, COLUMN)]
            for i in range(1 if paired else min(n1, stop) if symmetric else n1):
                if paired:
                    own = [_beside(a) for a in self._sides(part, formulas, ROW)]
                else:
                    own = [_repeated(a[i], lanes) for a in rows]
                sums = np.zeros((len(course.outputs), width * lanes))
                merged = self._merged(formulas, own, columns)
                loop(height, width, *offsets, *room, sums, *own[:2], *columns[:2], *merged)
                result[:, i, start:stop] = sums.reshape(-1, width, lanes).sum(axis=1)[:, : stop - start]
        result /= len(offsets[0]) * height * width
        named = dict(zip(("k12", "ntk"), result, strict=False))
        return {name: values[0] for name, values in named.items()} if paired else named

    def _merged(self, formulas: list[Formula], own: list[np.ndarray], columns: list[np.ndarray]) -> list[Any]:
        """The arguments of all stages, from what both sides have, in the order of :meth:`_sides`."""
        arguments: list[Any] = []
        first, second = iter(own[2:]), iter(columns[2:])
        for plan, formula in zip(self.stages, formulas, strict=True):
            arguments.append(np.asarray(formula.constants or (0.0,), own[0].dtype))
            arguments += [next(first), next(second)]
            for place in plan.convolutions:
                arguments += [*self._reach(place), next(first), next(first), next(second), next(second)]
        return arguments

    def _sides(self, batch: Batch, formulas: list[Formula], axes: int) -> list[np.ndarray]:
        """What planes need of each input of a batch, (N, ..., height, width): pixels, standard deviations, and for each
        stage the numbers for its formula, and for its windows the roots of variances with margins and one over the
        root of their sum."""
        n, (height, width) = len(batch.pixels), self.positions
        places = [rows.reshape(n, height, width) for rows in batch.rows]
        found = [np.moveaxis(batch.pixels.reshape(n, height, width, -1), -1, 1), np.sqrt(places[0])]
        for plan, formula in zip(self.stages, formulas, strict=True):
            arrays, windows = [], []
            for place in plan.convolutions:
                source, window = places[self.steps[place - 1].sources[0]], self._window(place)
                total = np.sum(np.stack(list(window.gathered(source, (1, 2)))), axis=0)
                arrays.append(total)
                windows += [window.padded(np.sqrt(source), (1, 2)), np.asarray(over_root(total))]
            arrays += [places[place] for place in self._row_places(plan)]
            kept = values_of(formula, axes, arrays) or [places[0]]
            found += [np.stack([np.broadcast_to(a, places[0].shape) for a in kept], axis=1), *windows]
        return found

    def check(self, dtype: np.dtype) -> None:
        """NotElementwise where the network has no code for planes."""
        self._course(dtype, LANES[dtype.char])

    def _room(self) -> tuple[int, int, int]:
        """How many plane arrays there are, and how many sums of windows and windows a stage has at most."""
        arrays = 1 + max(max(slots.values()) for slots in self.slots)
        summed = [[len(self._summed(p)) for p in stage.convolutions] for stage in self.stages]
        return arrays, max(1, *map(sum, summed)), max(1, *map(len, summed))

    def _summed(self, place: int) -> tuple[str, ...]:
        return self.names(self.steps[place - 1].sources[0])

    def _window(self, place: int) -> Window:
        """That of a convolution, along two axes."""
        window: Window = self.steps[place - 1].layer.window  # type: ignore[assignment]
        return (
            window
            if len(window.size) == 2
            else Window((1, *window.size), (1, 1), (1, *window.dilation), window.padding)
        )

    def _reach(self, place: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """The offsets of the elements of a window along both axes, and whether it is circular."""
        window = self._window(place)
        sides = zip(window.size, window.dilation, window.margins(self.positions), strict=True)
        y, x = (np.arange(size) * dilation - before for size, dilation, (before, _) in sides)
        return y, x, window.padding == "circular"

    @staticmethod
    def _row_places(plan: StagePlan) -> tuple[int, ...]:
        return (*plan.points, *plan.places)

    def _course(self, dtype: np.dtype, lanes: int) -> tuple[Course, list[Formula], Callable[..., None]]:
        """The code of all stages, their formulas, and the loop. NotElementwise where there is none."""
        key = (dtype.char, lanes)
        if key not in self.kept:
            stages, formulas = [], []
            for k, plan in enumerate(self.stages):
                formula, results = self._formula(plan, dtype)
                slots = self.slots[k]
                sources = [self.steps[p - 1].sources[0] for p in plan.convolutions]
                windows = tuple(tuple(slots[s, name] for name in self.names(s)) for s in sources)
                points = tuple(slots[s, name] for s in plan.points for name in self.names(s))
                written = tuple(slots[key] for key in results)
                widths = tuple(self._window(p).size[1] for p in plan.convolutions)
                stages.append(without_constants(Stage(formula, windows, widths, points, written)))
                formulas.append(formula)
            outputs = tuple(self.slots[-1][self.last, f"last {name}"] for name in ("k12", "ntk")[: 1 + self.ntk])
            course = Course(tuple(stages), outputs, lanes)
            self.kept[key] = course, formulas, compiled_course(course, dtype)
        found: tuple[Course, list[Formula], Callable[..., None]] = self.kept[key]
        return found

    def _formula(self, plan: StagePlan, dtype: np.dtype) -> tuple[Formula, list[tuple[int, str]]]:
        """A stage as a formula, and what its results are."""
        sources = [self.steps[p - 1].sources[0] for p in plan.convolutions]
        entries = [(p, name) for p, s in zip(plan.convolutions, sources, strict=True) for name in self.names(s)]
        entries += [(p, "apart") for p in plan.convolutions]
        entries += [(p, name) for p in plan.points for name in self.names(p)]
        rows = [(p, "total") for p in plan.convolutions] + [(p, "variance") for p in self._row_places(plan)]
        results: list[tuple[int, str]] = []

        def function(*symbols: Any) -> list[Any]:
            entry = dict(zip(entries, symbols, strict=False))
            first = dict(zip(rows, symbols[len(entries) :], strict=False))
            second = dict(zip(rows, symbols[len(entries) + len(rows) :], strict=True))
            states = {p: self._state(entry, p, first[p, "variance"], second[p, "variance"], 0.0) for p in plan.points}
            for place in plan.places:
                step = self.steps[place - 1]
                layer: Any = step.layer
                if place in plan.convolutions:
                    total = self._state(
                        entry, place, first[place, "total"], second[place, "total"], 0.5 * entry[place, "apart"]
                    )
                    here, after = [total], layer.weighted(total, step.signals[0])
                else:
                    here = [states[source] for source in step.sources]
                    after = step.layer.limit(here, step.signals)
                after = replace(after, k11=first[place, "variance"], k22=second[place, "variance"])
                states[place] = after if place in plan.convolutions else step.with_sine(after, here)
            found: list[Any] = []
            results.clear()
            for place in plan.results:
                named = self._arrays(states[place], place)
                results.extend((place, name) for name in named)
                found.extend(named.values())
            return found

        axes = [ENTRY] * len(entries) + [ROW] * len(rows) + [COLUMN] * len(rows)
        return trace(function, axes, dtype), results

    def _state(self, entry: dict[tuple[int, str], Any], place: int, k11: Any, k22: Any, apart: Any) -> Covariance:
        """The state at a place, or the sum over a window, from its deficits."""
        xp = k11.__array_namespace__()
        below, above = entry[place, "below"], entry.get((place, "above"))
        size, over = xp.sqrt(k11) * xp.sqrt(k22), over_root(k11) * over_root(k22)
        h = below * over + apart
        if above is None:
            g, k12 = 2.0 - h, size * xp.clip(1.0 - h, min=0.0)
        else:
            g, k12 = above * over + apart, 0.5 * (above - below)
        sine = xp.sqrt(xp.clip(h * g, min=0.0))
        # A zero row is orthogonal to everything.
        sine = xp.where(k11 > 0, xp.where(k22 > 0, sine, 1.0), 1.0)
        k12 = xp.where(k11 > 0, xp.where(k22 > 0, k12, 0.0), 0.0)
        ntk = entry.get((place, "ntk"), xp.zeros_like(k12)) if self.ntk else None
        return Covariance(k12, k11, k22, ntk, sine)

    def _arrays(self, state: Covariance, place: int) -> dict[str, Any]:
        """The arrays of a place, by name."""
        if place == self.last:
            return {"last k12": state.k12} | ({"last ntk": state.ntk} if self.ntk else {})
        xp = state.k12.__array_namespace__()
        size = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        arrays = {"below": size - state.k12, "above": size + state.k12}
        if state.sine is not None:
            small, _ = state.versine()
            near, far = size * small, size * (2.0 - small)
            if self.signed[place]:
                side = side_of(state.k12)
                arrays = {"below": xp.where(side > 0, near, far), "above": xp.where(side > 0, far, near)}
            else:
                arrays = {"below": near}
        named = {name: arrays[name] for name in self.names(place) if name in arrays}
        return named | ({"ntk": state.ntk} if self.ntk else {})


def _beside(a: np.ndarray) -> np.ndarray:
    """Of several inputs (N, ..., width) as (..., width N): the inputs are lanes."""
    last = np.moveaxis(a, 0, -1)
    return np.ascontiguousarray(last).reshape(*last.shape[:-2], -1)


def _repeated(a: np.ndarray, lanes: int) -> np.ndarray:
    """Of one input (..., width) as (..., width lanes): the same in all lanes."""
    return np.repeat(a, lanes, axis=-1)


def batch_of(inputs: Inputs, rows: Sequence[Rows]) -> Batch:
    """What planes need of a batch."""
    pixels = np.ascontiguousarray(inputs.scaled * over_root(inputs.variance))
    return Batch(pixels, [np.asarray(row.variance) for row in rows])


def planes_of(steps: Sequence[Step], signals: Sequence[Signal], ntk: bool) -> Planes | None:
    """The steps of a network up to a mean over positions as planes; None where they are none."""
    # The mean over positions has no means over features, for steps before it or behind it that ask for them.
    if len(signals[0].shape) not in (2, 3) or any(step.layer.asks_for_means(step.signals) for step in steps):
        return None
    for place, step in enumerate(steps, start=1):
        layer = step.layer
        if layer.averages is not None:
            # Nothing before the mean may be read behind it; a later kink asks for the angle of a sum over positions.
            around = any(source < place for later in steps[place:] for source in later.sources)
            if around or (step.before_kink and layer.averages == "each"):
                return None
            found = Planes(tuple(steps[:place]), tuple(signals[: place + 1]), layer.averages == "every", ntk)
            return found if any(s.layer.window is not None for s in found.steps) else None
        window = layer.window
        planar = layer.entrywise or (
            window is not None and set(window.stride) == {1} and window.padding in ("same", "circular")
        )
        if not planar or layer.numerical or layer.reads_gap:
            return None
    return None
