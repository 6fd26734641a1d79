"""Which networks run plane by plane, and how their steps are cut: into grids of positions, and these into stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ..._array.window import Window
from ..signal import Signal
from ..steps import Limit, Step

__all__ = ["Key", "Layout", "Segment", "StagePlan", "layout_of"]

Key = tuple[int, str]
"""An array of planes: a place of the network, and which number of its pairs the array holds."""


class StagePlan(NamedTuple):
    """Steps of one grid that are computed together, at each pair of positions by itself but for windows.

    ``windows`` are the places among them that sum windows over this grid, ``arrivals`` those that come from the grid
    before. Of ``points``, places of earlier stages, values are read at the position itself. ``results`` are kept.
    """

    places: tuple[int, ...]
    windows: tuple[int, ...]
    arrivals: tuple[int, ...]
    points: tuple[int, ...]
    results: tuple[Key, ...]


class Segment(NamedTuple):
    """The stages of one grid, height and width, and the places of the next grid that are summed from this one.

    ``slots`` are, for each stage, the numbers of the plane arrays that it reads and writes; ``kept`` those that are
    there in the end.
    """

    grid: tuple[int, int]
    stages: tuple[StagePlan, ...]
    slots: tuple[dict[Key, int], ...]
    leaving: tuple[int, ...]
    kept: dict[Key, int]


@dataclass(frozen=True)
class Layout:
    """The steps of a network up to the mean over positions, in grids and stages.

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

    @property
    def end(self) -> int:
        """The place of the mean."""
        return len(self.steps)

    @property
    def last(self) -> int:
        """The last place with positions."""
        return self.steps[-1].sources[0]

    def layer(self, place: int) -> Limit:
        """The layer whose outputs are at a place."""
        return self.steps[place - 1].layer

    def sources(self, place: int) -> tuple[int, ...]:
        """The places that it reads."""
        return self.steps[place - 1].sources

    def grid(self, place: int) -> tuple[int, int]:
        """Height and width at a place."""
        sizes = self.signals[place].shape[:-1]
        return (1, *sizes) if len(sizes) == 1 else sizes  # type: ignore[return-value]

    def window(self, place: int) -> Window:
        """That of a convolution or of pooling, along two axes."""
        layer = self.layer(place)
        window = layer.window or layer.pools
        assert window is not None
        return window if len(window.size) == 2 else window.below

    def pools(self, place: int) -> bool:
        """Whether sums over windows are of values that depend on one another."""
        return self.layer(place).pools is not None

    @property
    def pooled(self) -> bool:
        """Whether that is so at any place."""
        return any(self.pools(place) for place in range(1, self.end))

    @property
    def tabulated(self) -> bool:
        """Whether a dual activation before the mean is a table."""
        return any(step.layer.numerical for step in self.steps)

    @property
    def gaps(self) -> bool:
        """Whether a layer reads the gap between values, which planes have from the roots of variances."""
        return any(step.layer.reads_gap for step in self.steps)

    def _crosses(self, place: int) -> bool:
        return self.pools(place) or not _planar(self.layer(place).window)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """For each place up to the mean, how many times the way there goes to another grid.

        ValueError where branches that meet have gone there at different times, or to different grids.
        """
        found = [0]
        for place in range(1, self.end):
            before = {found[source] for source in self.sources(place)}
            number = max(before) + self._crosses(place)
            grids = {self.grid(p) for p, n in enumerate(found) if n == number}
            if len(before) > 1 or grids - {self.grid(place)}:
                raise ValueError("branches are on different grids")
            found.append(number)
        return tuple(found)

    @cached_property
    def signed(self) -> list[bool]:
        """Whether covariances at each place may be negative. Behind a function that is not, none is.

        No layer makes negative covariances from others: a dual activation is a power series in the correlation whose
        coefficients are squares (Daniely et al. 2016, section 3).
        """
        signed = [True]
        for place in range(1, self.end):
            signed.append(not self.layer(place).nonnegative and any(signed[s] for s in self.sources(place)))
        return signed

    def deficits(self, place: int) -> tuple[Key, ...]:
        """What is kept of a place for its own grid and for convolutions: s1 s2 - k12, s1 s2 + k12 and the NTK, without
        those that are known to be redundant or zero."""
        names = ("below", "above") if self.signed[place] else ("below",)
        return tuple((place, name) for name in names + (("ntk",) if self.ntk and place else ()))

    def values(self, place: int) -> tuple[Key, ...]:
        """What is kept of a place for means: k12 and the NTK."""
        # Covariances of inputs are (above - below) / 2.
        return self.deficits(place) if not place else ((place, "k12"), *(((place, "ntk"),) if self.ntk else ()))

    def crossing(self, place: int) -> tuple[Key, ...]:
        """What a place that comes from the grid before sums there."""
        (source,) = self.sources(place)
        return self.values(source) if self.pools(place) else self.deficits(source)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All grids, in order."""
        return tuple(self._segment(number) for number in range(max(self.numbers) + 1))

    def _segment(self, number: int) -> Segment:
        own = [place for place in range(1, self.end) if self.numbers[place] == number]
        arriving = {place for place in own if self._crosses(place)}
        leaving = tuple(p for p in range(1, self.end) if self.numbers[p] == number + 1 and self._crosses(p))
        wanted = [key for place in leaving for key in self.crossing(place)]
        wanted += [] if leaving else self.values(self.last)
        plans, ahead = [], dict.fromkeys(wanted)
        for places in reversed(self._stages(own, arriving)):
            windows = tuple(p for p in places if p not in arriving and self.layer(p).window is not None)
            read = {s for p in places if p not in arriving and p not in windows for s in self.sources(p)}
            results = tuple(key for key in ahead if key[0] in places)
            points = tuple(sorted(read - set(places)))
            plans.append(StagePlan(tuple(places), windows, tuple(sorted(arriving & set(places))), points, results))
            ahead |= dict.fromkeys(key for p in windows for key in self.deficits(self.sources(p)[0]))
            ahead |= dict.fromkeys(key for p in points for key in self.deficits(p))
        stages = tuple(reversed(plans))
        slots, kept = self._slots(stages, wanted, number)
        return Segment(self.grid(own[0] if own else 0), stages, slots, leaving, kept)

    def _stages(self, own: list[int], arriving: set[int]) -> list[list[int]]:
        """A stage ends before each window over what it computes."""
        groups: list[list[int]] = [[]]
        for place in sorted(own, key=lambda place: place not in arriving):
            over = place not in arriving and self.layer(place).window is not None
            if over and self.sources(place)[0] in groups[-1]:
                groups.append([])
            groups[-1].append(place)
        return [group for group in groups if group]

    def _slots(
        self, stages: Sequence[StagePlan], wanted: Sequence[Key], number: int
    ) -> tuple[tuple[dict[Key, int], ...], dict[Key, int]]:
        used = {} if number else {key: slot for slot, key in enumerate(self.deficits(0))}
        found = []
        for k, stage in enumerate(stages):
            # Windows are summed into room of their own first, so that arrays that nobody reads later may be written to.
            ahead = [p for s in stages[k + 1 :] for p in (*s.points, *(self.sources(w)[0] for w in s.windows))]
            later = {key for place in ahead for key in self.deficits(place)} | set(wanted)
            before, used = used, {key: slot for key, slot in used.items() if key in later}
            for key in stage.results:
                used[key] = next(i for i in range(len(used) + 1) if i not in used.values())
            found.append(before | used)
        return tuple(found), used


def _planar(window: Window | None) -> bool:
    """Whether windows act within planes: as many positions come out as go in."""
    if window is None or set(window.stride) != {1}:
        return window is None
    return window.padding in ("same", "circular") or (window.padding == "valid" and window.count == 1)


def layout_of(steps: Sequence[Step], signals: Sequence[Signal], ntk: bool) -> Layout | None:
    """The steps of a network up to a mean over positions, as far as they run plane by plane; None where they do not."""
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
            found = Layout(tuple(steps[:place]), tuple(signals[: place + 1]), layer.averages == "every", ntk)
            return found if _serves(found) else None
        if not (layer.entrywise or layer.window or layer.pools) or (layer.numerical and not layer.tabulated):
            return None
    return None


def _serves(layout: Layout) -> bool:
    """Whether there is a convolution, and branches meet on one grid."""
    try:
        return bool(layout.numbers) and any(step.layer.window is not None for step in layout.steps)
    except ValueError:
        return False
