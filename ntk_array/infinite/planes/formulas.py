"""What a stage does to each pair of positions, recorded from the layers.

Kept of each pair are the deficits d = s1 s2 - k12 and s1 s2 + k12 in place of the covariance k12, because angles come
from them without loss of digits. Over the terms of a window with A = sum s1^2 and B = sum s2^2

    1 - cos T = sum d / sqrt(A B) + (1/2) sum (s1 / sqrt(A) - s2 / sqrt(B))^2,

positive terms only (see :func:`.angle.sine_of_sum`). Pooling adds up values that depend on one another, of which no
such sum is known: angles behind it come from the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..._formula.formula import COLUMN, ENTRY, ROW, Formula, trace
from ..angle import over_root, side_of
from ..covariance import Covariance
from .layout import Key, Layout, StagePlan
from .tables import FUNCTIONS, OWN, SymbolicTable

__all__ = ["StageFormula"]

Both = tuple[Any, ...]
"""A number of the first image and of the second."""


class Pair(NamedTuple):
    """A state, and 1 - cos and 1 + cos of its angle where they are known without loss of digits."""

    state: Covariance
    near: Any = None
    far: Any = None


@dataclass(frozen=True)
class StageFormula:
    """The formula of one stage of a network.

    Attributes
    ----------
    layout : Layout
    plan : StagePlan
    """

    layout: Layout
    plan: StagePlan

    @property
    def gathered(self) -> tuple[int, ...]:
        """The places that are independent sums over windows: first those over this grid, then those over the other."""
        return (*self.plan.windows, *(p for p in self.plan.arrivals if not self.layout.pools(p)))

    @property
    def pooled(self) -> tuple[int, ...]:
        """The places that are pooled from the other grid."""
        return tuple(p for p in self.plan.arrivals if self.layout.pools(p))

    @cached_property
    def entries(self) -> list[Key]:
        """The inputs that depend on both images, each named by the place that reads it."""
        layout, plan = self.layout, self.plan
        found = [(p, name) for p in plan.windows for _, name in layout.deficits(layout.sources(p)[0])]
        found += [(p, name) for p in plan.arrivals for _, name in layout.crossing(p)]
        found += [(p, "apart") for p in self.gathered]
        found += [key for p in plan.points for key in layout.deficits(p)]
        return found + [(p, name) for p in self.tabulated for name in FUNCTIONS[: self.functions(p)]]

    @property
    def tabulated(self) -> tuple[int, ...]:
        """The places behind tabulated activations."""
        return tuple(p for p in self.plan.places if self.layout.layer(p).numerical)

    def functions(self, place: int) -> int:
        """How many functions of the table behind which it is are read: the value, and the slope by an NTK or a kink."""
        return 2 if self.layout.ntk or self.layout.steps[place - 1].before_kink else 1

    @cached_property
    def rows(self) -> list[Key]:
        """The inputs that depend on one image: sums of variances over windows and one over their roots, factors of
        pooling, variances, and what kinks behind tables ask for."""
        own = [(p, name) for p in self.gathered for name in ("total", "over")] + [(p, "factor") for p in self.pooled]
        own += [(p, "variance") for p in (*self.plan.points, *self.plan.places)]
        return own + [(p, name) for p in self.tabulated if self.layout.steps[p - 1].before_kink for name in OWN]

    def traced(self, dtype: np.dtype) -> Formula:
        """The formula: results of the stage, and the angles that tables are asked at. NotElementwise where a layer has
        none."""
        axes = [ENTRY] * len(self.entries) + [ROW] * len(self.rows) + [COLUMN] * len(self.rows)
        return trace(lambda *symbols: self._of(dtype.itemsize, *symbols), axes, dtype)

    def _of(self, itemsize: int, *symbols: Any) -> list[Any]:
        count = len(self.rows)
        entry = dict(zip(self.entries, symbols, strict=False))
        first = dict(zip(self.rows, symbols[-2 * count : -count], strict=True))
        second = dict(zip(self.rows, symbols[-count:], strict=True))
        variances = {p: (first[p, "variance"], second[p, "variance"]) for p in (*self.plan.points, *self.plan.places)}
        states = {p: self._state(entry, p, variances[p], tuple(map(over_root, variances[p]))) for p in self.plan.points}
        angles = []
        for place in self.plan.places:
            step, (k11, k22) = self.layout.steps[place - 1], variances[place]
            layer: Any = step.layer
            if place in self.gathered:
                totals, overs = ((first[place, name], second[place, name]) for name in ("total", "over"))
                total = self._state(entry, place, totals, overs, entry[place, "apart"])
                after = replace(layer.weighted(total.state, step.signals[0]), k11=k11, k22=k22)
                # Weights keep angles; biases do not.
                same = after.sine is total.state.sine
                states[place] = total._replace(state=after) if same else Pair(after)
            elif place in self.pooled:
                factor = first[place, "factor"] * second[place, "factor"]
                states[place] = Pair(self._mean(entry, place, factor, k11, k22))
            else:
                here = [states[source] for source in step.sources]
                quick = self._by_versines(layer, here[0], self.layout.signed[step.sources[0]], k11, k22, itemsize)
                if quick is None:
                    before = [pair.state for pair in here]
                    if place in self.tabulated:
                        own = [[side.get((place, name)) for name in OWN] for side in (first, second)]
                        value, slope = (entry.get((place, name)) for name in FUNCTIONS)
                        table = SymbolicTable(value, slope, own)
                        step = step._replace(layer=layer.with_table(table))
                    after = replace(step.layer.limit(before, step.signals), k11=k11, k22=k22)
                    quick = Pair(step.with_sine(after, before))
                    angles += [table.angle] if place in self.tabulated else []
                states[place] = quick
        return [self._arrays(states[place])[name] for place, name in self.plan.results] + angles

    @staticmethod
    def _by_versines(layer: Any, pair: Pair, signed: bool, k11: Any, k22: Any, itemsize: int) -> Pair | None:
        """The limit of a layer that knows what becomes of 1 - cos and 1 + cos; None for others."""
        far = pair.far if signed else None
        found = None if pair.near is None else layer.versines(pair.near, far, itemsize)
        if found is None:
            return None
        near, far, slope = found
        xp = near.__array_namespace__()
        size = xp.sqrt(k11) * xp.sqrt(k22)
        ntk = None if pair.state.ntk is None else pair.state.ntk * slope
        return Pair(Covariance(size * (0.5 * (far - near)), k11, k22, ntk, xp.sqrt(near * far)), near, far)

    def _state(self, entry: dict[Key, Any], place: int, variances: Both, overs: Both, apart: Any = 0.0) -> Pair:
        """The state at a place, or the sum over a window, from its deficits; ``overs`` are one over the norms."""
        (k11, k22), over = variances, overs[0] * overs[1]
        xp = k11.__array_namespace__()
        below, above, size = entry[place, "below"], entry.get((place, "above")), xp.sqrt(k11) * xp.sqrt(k22)
        h = xp.clip(below * over + apart, min=0.0)
        if above is None:
            g = xp.clip(2.0 - h, min=0.0)
            k12 = size * xp.clip(1.0 - h, min=0.0)
        else:
            g, k12 = xp.clip(above * over + apart, min=0.0), 0.5 * (above - below)
        # A zero row is orthogonal to everything. Its deficits are zeros, so that k12 is 0 without being asked.
        sine = xp.where(k11 > 0, xp.where(k22 > 0, xp.sqrt(h * g), 1.0), 1.0)
        return Pair(Covariance(k12, k11, k22, self._ntk(entry, place, k12), sine), h, g)

    def _mean(self, entry: dict[Key, Any], place: int, factor: Any, k11: Any, k22: Any) -> Covariance:
        """The state of pooled values, from sums over windows."""
        k12 = entry.get((place, "k12"))
        if k12 is None:
            k12 = 0.5 * (entry[place, "above"] - entry[place, "below"])
        ntk = self._ntk(entry, place, k12)
        return Covariance(factor * k12, k11, k22, None if ntk is None else factor * ntk)

    def _ntk(self, entry: dict[Key, Any], place: int, k12: Any) -> Any:
        """That of a place; inputs have none, which is 0."""
        return entry.get((place, "ntk"), k12.__array_namespace__().zeros_like(k12)) if self.layout.ntk else None

    @staticmethod
    def _arrays(pair: Pair) -> dict[str, Any]:
        """The numbers of a pair of positions, by name."""
        state, near, far = pair
        xp = state.k12.__array_namespace__()
        size = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        if near is None and state.sine is not None:
            small, _ = state.versine()
            side = side_of(state.k12)
            near, far = xp.where(side > 0, small, 2.0 - small), xp.where(side > 0, 2.0 - small, small)
        if near is None:
            below, above = size - state.k12, size + state.k12
        else:
            below, above = size * near, size * far
        return {"below": below, "above": above, "k12": state.k12, "ntk": state.ntk}
