"""The record of a network in planes: what all ways to run it start from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..._array.namespace import Array, home
from ..._formula.formula import Formula, NotElementwise
from ..._formula.plane_stages import Stage
from ..angle import over_root
from ..covariance import Covariance
from ..dual import DualTable
from ..inputs import Inputs
from ..positions import Frame
from ..program import Program, refuse_overflow
from .formulas import StageFormula
from .layout import Key, Layout, StagePlan
from .sides import Batch, factor
from .tables import PlaneTable

__all__ = ["Recorded"]


@dataclass(frozen=True)
class Recorded(ABC):
    """The steps of a network up to the mean over positions, as formulas of stages in one dtype.

    Attributes
    ----------
    layout : Layout
    dtype : numpy.dtype
    tables : dict
        Those of the places behind tabulated activations, for one problem. Formulas and code do not depend on them.
    """

    layout: Layout
    dtype: np.dtype
    tables: dict[int, PlaneTable] = field(default_factory=dict, kw_only=True, compare=False)

    @cached_property
    def formulas(self) -> list[list[Formula]]:
        """Those of the stages on each grid. NotElementwise where a layer has none."""
        segments = self.layout.segments
        return [[StageFormula(self.layout, plan).traced(self.dtype) for plan in own.stages] for own in segments]

    def stages(self, k: int) -> tuple[Stage, ...]:
        """The stages on one grid, as their code knows them."""
        segment = self.layout.segments[k]
        parts = zip(segment.stages, segment.slots, self.formulas[k], strict=True)
        return tuple(self._stage(*part) for part in parts)

    def outputs(self, k: int) -> tuple[int, ...]:
        """The numbers of the plane arrays that are added up in the end."""
        segment, layout = self.layout.segments[k], self.layout
        return () if segment.leaving else tuple(segment.kept[key] for key in layout.values(layout.last))

    def leaving(self, k: int) -> tuple[tuple[int, ...], ...]:
        """For each place of the next grid that is summed from this one, the numbers of the plane arrays summed."""
        segment, layout = self.layout.segments[k], self.layout
        return tuple(tuple(segment.kept[key] for key in layout.crossing(place)) for place in segment.leaving)

    def _stage(self, plan: StagePlan, slots: dict[Key, int], formula: Formula) -> Stage:
        layout = self.layout
        sources = [layout.sources(p)[0] for p in plan.windows]
        windows = tuple(tuple(slots[key] for key in layout.deficits(source)) for source in sources)
        deficits = tuple(1 + layout.signed[source] for source in sources)
        sizes: Any = tuple(layout.window(p).size for p in plan.windows)
        left = sum(len(layout.crossing(p)) for p in plan.arrivals)
        distant = tuple(layout.window(p).count for p in plan.arrivals if not layout.pools(p))
        points = tuple(slots[key] for p in plan.points for key in layout.deficits(p))
        parts = StageFormula(layout, plan)
        tables = tuple(map(parts.functions, parts.tabulated))
        over = tuple(parts.rows.index((p, "over")) for p in plan.windows)
        results = tuple(slots[key] for key in plan.results)
        return Stage(formula, windows, deficits, sizes, over, left, distant, points, results, tables)

    def batch(self, inputs: Inputs, program: Program) -> Batch:
        """What is needed of images. ValueError where variances overflow."""
        return self.walked(inputs, program, None)[0]

    def fitted(self, inputs: Inputs, program: Program, kept: dict[Any, Any]) -> tuple[Any, Program, Batch] | None:
        """The same with tables for these images, the program with them, and what is needed of the images.

        None where a dual activation is no table. Tables are looked for among those that are ``kept``.
        """
        other = copy(self)
        object.__setattr__(other, "tables", {})
        try:
            batch, program = other.walked(inputs, program, kept)
        except NotElementwise:
            return None
        return other, program, batch

    def _tabulate(self, place: int, program: Program) -> None:
        """Take over the table of a place."""
        step = program.steps[place - 1]
        table: Any = step.layer
        if not isinstance(table.table, DualTable):
            raise NotElementwise("a dual activation is no table")
        functions = 2 if self.layout.ntk or step.before_kink else 1
        self.tables[place] = PlaneTable.of(table.table, functions, self.dtype)

    def walked(self, inputs: Inputs, program: Program, kept: dict[Any, Any] | None) -> tuple[Batch, Program]:
        """What is needed of images; where tables are ``kept`` with tables for these, which the program then has."""
        layout, xp = self.layout, home(inputs.scaled).xp
        same = program.upto(self.layout.end - 1, same=True)
        pixels = xp.astype(inputs.scaled * over_root(inputs.variance), self.dtype, copy=False)
        states: list[Any] = [same.start(inputs, False), *[None] * (layout.end - 1)]
        order = sorted(range(1, layout.end), key=lambda place: layout.numbers[place])
        for place in order:
            if kept is not None and layout.layer(place).numerical:
                program = program.fitted_at(place, states[layout.sources(place)[0]].k11, kept)
                self._tabulate(place, program)
                same = program.upto(self.layout.end - 1, same=True)
            if not layout.pools(place):
                states[place] = same.paired_step(place, states)
            elif states[place] is None:
                # Variances behind pooling are means over pairs of positions of one image.
                known = Batch(pixels, [None if state is None else state.k11 for state in states])
                for pooled, k in self.pooled_variances(known, layout.numbers[place]).items():
                    # What cancels may be negative by rounding.
                    k = xp.reshape(xp.clip(k, min=0.0), (pixels.shape[0], *layout.signals[pooled].shape[:-1]))
                    frame = Frame(k.ndim - 1, blocks=False)
                    states[pooled] = Covariance.of_pairs(k, None, xp.zeros_like(k), frame=frame)
        refuse_overflow([states[0], *(states[place] for place in order)])
        return Batch(pixels, [state.k11 for state in states]), program

    @property
    def laid_size(self) -> int:
        """How many numbers of each image :meth:`batch` lays out for all blocks."""
        return 0

    def pooled_variances(self, batch: Batch, number: int) -> dict[int, Array]:
        """The variances (N, height, width) at the places that are pooled from the grid before that of this number."""
        layout, here, found = self.layout, home(batch.pixels), dict[int, Array]()
        leaving = layout.segments[number - 1].leaving
        keys = [(place, name) for place in leaving for _, name in layout.crossing(place)]
        same = self.left_behind(batch, number)
        values = {key: same[:, i, ...] for i, key in enumerate(keys)}
        for place in filter(layout.pools, leaving):
            k = values.get((place, "k12"))
            k = 0.5 * (values[place, "above"] - values[place, "below"]) if k is None else k
            found[place] = k * here.asarray(factor(layout, place) ** 2)
        return found

    @abstractmethod
    def left_behind(self, batch: Batch, number: int) -> Array:
        """What the grid before that of this number leaves for each position of it with itself, for each image with
        itself: (N, arrays, height, width)."""

    def means(self, sums: Array) -> dict[str, Array]:
        """The means over positions of "k12" and, where it is asked for, "ntk", from sums (outputs, ...)."""
        height, width = self.layout.segments[-1].grid
        means = sums / (height * width) ** (2 if self.layout.every else 1)
        return {name: means[i, ...] for i, name in enumerate(("k12", "ntk")[: means.shape[0]])}
