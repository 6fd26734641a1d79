"""Consecutive steps in one pass over arrays: what goes in, and where that comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._array.namespace import Array, home
from .._formula.stack import StackFunction
from .covariance import ROWS, Covariance, Rows

__all__ = ["Named", "Side", "Stretch"]

Named = tuple[int, str]
"""An array of a state: its place, and what it is there."""


class Side(NamedTuple):
    """Arrays of one batch by itself, one for each time: at this place, and so many places on from one to the next."""

    place: int
    name: str
    period: int
    times: int

    @property
    def last(self) -> int:
        """The place at the last time."""
        return self.place + self.period * (self.times - 1)

    def at(self, place: int, one: Sequence[Rows], two: Sequence[Rows]) -> Array:
        """The array (N,) at some place; where there is no mean another one, which nobody reads."""
        rows = (one if self.name in ROWS else two)[place]
        return rows.variance if rows.mean is None or not self.name.startswith("mean") else rows.mean


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps in one pass over arrays. Places are counted from that of the first of the ``count`` steps.

    Attributes
    ----------
    count : int
    arrays : list of Named
        What comes in of states.
    sides : list of Side
        What comes in of batches by themselves.
    results : list of Named
        What comes out of ``loop``.
    origins : dict
        Arrays that are only handed through, by what they become.
    loop : callable (arrays, sides) -> results
    """

    count: int
    arrays: list[Named]
    sides: list[Side]
    results: list[Named]
    origins: dict[Named, Named]
    loop: StackFunction

    def run(self, first: int, states: list[Any], one: Sequence[Rows], two: Sequence[Rows]) -> None:
        """Put the states that come out at their places, for steps from the place ``first`` on."""
        arrays = [getattr(states[first + place], name) for place, name in self.arrays]
        found: dict[int, dict[str, Array]] = {}
        sides = self._sides(first, one, two)
        for (place, name), array in zip(self.results, self.loop(arrays, sides), strict=True):
            found.setdefault(first + place, {})[name] = array
        for (place, name), (source, kept) in self.origins.items():
            found.setdefault(first + place, {})[name] = getattr(states[first + source], kept)
        for place, named in found.items():
            entries = dict.fromkeys(("k12", "k11", "k22")) | named
            states[place] = Covariance(**entries).facing(one[place], two[place])  # type: ignore[arg-type]

    def _sides(self, first: int, one: Sequence[Rows], two: Sequence[Rows]) -> list[Array]:
        """Those of all times, (times, N): views of one array, because many small copies take long on a GPU."""
        found, whole = [], dict[str, Array]()
        repeated = [side for side in self.sides if side.times > 1]
        low = min((side.place for side in repeated), default=0)
        for side in self.sides:
            if side.times == 1:
                found.append(side.at(first + side.place, one, two)[None, :])
                continue
            if side.name not in whole:
                places = range(low, max(own.last for own in repeated) + 1)
                arrays = [side.at(first + place, one, two) for place in places]
                whole[side.name] = home(arrays[0]).xp.stack(arrays)
            found.append(whole[side.name][side.place - low : side.last - low + 1 : side.period, :])
        return found
