"""The way from planes of one grid of positions to those of the next, along each axis by itself.

The pair (P, Q) of the next grid sums pairs (p, q) of this one: for a convolution p and q are seen by one element of the
window of P and of Q, for pooling by any two. Planes are numbered by their offset q - p on the torus.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..._array.window import Window
from .layout import Layout, Segment

__all__ = ["Crossing", "Route", "reached_from", "route"]


class Route(NamedTuple):
    """For each grid the offsets of the planes that are wanted, along both axes, and for each grid that is left the
    arguments of the ways to the next one: those of :class:`Crossing` for both axes."""

    offsets: list[tuple[np.ndarray, np.ndarray]]
    ways: list[list[np.ndarray]]

    def planes(self, k: int) -> int:
        """How many planes of a grid are wanted."""
        y, x = self.offsets[k]
        return len(y) * len(x)


class Crossing(NamedTuple):
    """Where the pairs of a plane go, along one axis.

    Those at the position p of the plane number k go to the positions ``places[i]`` of the planes number ``planes[i]``,
    for i from ``starts[k, p]`` to before ``starts[k, p + 1]``.
    """

    starts: np.ndarray
    places: np.ndarray
    planes: np.ndarray


Targets = dict[tuple[int, int], list[tuple[int, int]]]
"""By offset and position of a pair of this grid, the position and the number of the plane that it goes to."""


def route(layout: Layout, count: int, every: bool) -> Route:
    """The way over so many grids, for every pair of positions in the end, or for each with itself.

    It ends on the last grid of the network, or in sums for the grid behind those.
    """
    beyond = layout.segments[count : count + 1]
    end = (beyond or layout.segments)[-1].grid
    offsets = [[list(range(n if every else 1)) for n in end]]
    ways: list[list[np.ndarray]] = [] if beyond else [[]]
    for segment in reversed(layout.segments[: count if beyond else count - 1]):
        there = offsets[0]
        targets = _targets(layout, segment, there)
        # A plane is wanted where any way leads to one that is.
        here = [sorted({offset for way in targets[axis::2] for offset, _ in way}) for axis in (0, 1)]
        crossings = [_crossing(way, segment.grid[i % 2], here[i % 2]) for i, way in enumerate(targets)]
        offsets.insert(0, here)
        ways.insert(0, [a for crossing in crossings for a in crossing])
    return Route([(np.asarray(y), np.asarray(x)) for y, x in offsets], ways)


def _targets(layout: Layout, segment: Segment, wanted: list[list[int]]) -> list[Targets]:
    """For each way that leaves a grid, along both axes."""
    return [
        _axis_targets(layout.window(place), axis, segment.grid[axis], layout.pools(place), wanted[axis])
        for place in segment.leaving
        for axis in (0, 1)
    ]


def _axis_targets(window: Window, axis: int, n: int, pools: bool, wanted: Sequence[int]) -> Targets:
    seen = (
        np.stack(list(window.along(axis).gathered(np.arange(1, n + 1), (0,)))) - 1
    )  # (elements, positions); -1 outside
    elements, after = range(len(seen)), seen.shape[1]
    both = list(itertools.product(elements, elements)) if pools else [(e, e) for e in elements]
    found: Targets = {}
    for there, (number, offset), (e, f) in itertools.product(range(after), enumerate(wanted), both):
        p, q = int(seen[e, there]), int(seen[f, (there + offset) % after])
        if p >= 0 and q >= 0:
            found.setdefault(((q - p) % n, p), []).append((there, number))
    return found


def _crossing(targets: Targets, n: int, offsets: Sequence[int]) -> Crossing:
    """The way of the planes with these offsets, of n positions."""
    lists = [[targets.get((offset, p), []) for p in range(n)] for offset in offsets]
    flat = [target for plane in lists for found in plane for target in found]
    ends = np.cumsum([len(found) for plane in lists for found in plane]).reshape(len(offsets), n)
    starts = np.concatenate([np.concatenate([[0], ends[:-1, -1]])[:, None], ends], axis=1)
    places, planes = np.asarray(flat).T
    return Crossing(starts, np.ascontiguousarray(places), np.ascontiguousarray(planes))


def reached_from(crossing: Crossing, planes: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same from the other side, for so many planes of the next grid, of n positions along the axis.

    ``starts``, ``planes`` and ``places``: the pairs at the position p of the plane number k come from the positions
    ``places[i]`` of the planes number ``planes[i]``, for i from ``starts[k n + p]`` to before ``starts[k n + p + 1]``.
    """
    counts = np.diff(crossing.starts, axis=1)
    from_planes, from_places = np.divmod(np.repeat(np.arange(counts.size), counts.reshape(-1)), counts.shape[1])
    targets = crossing.planes * n + crossing.places
    order = np.argsort(targets, kind="stable")
    return np.searchsorted(targets[order], np.arange(planes * n + 1)), from_planes[order], from_places[order]
