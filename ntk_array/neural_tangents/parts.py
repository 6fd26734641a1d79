"""What layers of stax are made of, and the network of ours that they are.

A part is one layer of ours, or an arrangement of parts. stax arranges branches by layers of their own, FanOut, parallel
and FanInSum, which is no tree of our layers. So parts are walked from the inputs to the outputs, with what came before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ..infinite.signal import Signal
from ..nn.branches import Branches
from .layouts import from_ours, to_ours

__all__ = ["Aggregation", "FanIn", "FanOut", "Fork", "One", "Parallel", "Part", "Path", "Serial", "joined"]

Shape = Any
"""The shape of one input, or a list of shapes where there are branches."""
Path = tuple[tuple[nn.Layer, Any], ...]
"""Layers of ours one after another, each with its parameters."""


@dataclass(frozen=True)
class Fork:
    """Layers up to where branches start, and the branches."""

    before: Path
    branches: tuple[Any, ...]


class Part(ABC):
    """A layer of stax, as the three functions that it gives see it."""

    @abstractmethod
    def shape(self, before: Shape) -> Shape:
        """The shape of the outputs, without the axis of the inputs."""

    def draw(self, before: Shape, seeds: np.random.SeedSequence, place: dict[str, Any]) -> Any:
        """Initial parameters in the layout of neural-tangents, in the library of ``place``."""
        del before, seeds, place
        return ()

    @abstractmethod
    def walk(self, before: Path | Fork, params: Any) -> Path | Fork:
        """What came before, and the layers of this part; with parameters of ours where there are some, else None."""


@dataclass(frozen=True)
class One(Part):
    """A layer of ours."""

    layer: nn.Layer

    def shape(self, before: Shape) -> Shape:
        return self.layer.signal(Signal(_of_one(self, before))).shape

    def draw(self, before: Shape, seeds: np.random.SeedSequence, place: dict[str, Any]) -> Any:
        drawn = self.layer.init(seeds, input_shape=_of_one(self, before), **place)
        return from_ours(self.layer, drawn, len(before) + 1)

    def walk(self, before: Path | Fork, params: Any) -> Path | Fork:
        own = None if params is None else to_ours(self.layer, params)
        return (*_of_path(self, before), (self.layer, own))


@dataclass(frozen=True)
class Aggregation(One):
    """Aggregation over the nodes of graphs, and how patterns become adjacencies: to_dense, or None for edges."""

    to_dense: Any = None


@dataclass(frozen=True)
class Several(Part):
    """Parts in some arrangement; their parameters are a list of theirs."""

    parts: tuple[Part, ...]

    def listed(self, params: Any) -> Sequence[Any]:
        """The parameters of each part; None for each where there are none."""
        if params is None:
            return [None] * len(self.parts)
        if not isinstance(params, list | tuple) or len(params) != len(self.parts):
            got = f"{len(params)} entries" if isinstance(params, list | tuple) else f"a {type(params).__name__}"
            raise ValueError(f"the parameters of {len(self.parts)} layers are a list of as many entries, got {got}")
        return params


class Serial(Several):
    """One after another."""

    def shape(self, before: Shape) -> Shape:
        for part in self.parts:
            before = part.shape(before)
        return before

    def draw(self, before: Shape, seeds: np.random.SeedSequence, place: dict[str, Any]) -> Any:
        drawn = []
        for part, own in zip(self.parts, seeds.spawn(len(self.parts)), strict=True):
            drawn.append(part.draw(before, own, place))
            before = part.shape(before)
        return drawn

    def walk(self, before: Path | Fork, params: Any) -> Path | Fork:
        for part, own in zip(self.parts, self.listed(params), strict=True):
            before = part.walk(before, own)
        return before


class Parallel(Several):
    """Side by side, each on a branch of its own."""

    def shape(self, before: Shape) -> Shape:
        return [part.shape(own) for part, own in self._each(before)]

    def draw(self, before: Shape, seeds: np.random.SeedSequence, place: dict[str, Any]) -> Any:
        streams = seeds.spawn(len(self.parts))
        return [part.draw(own, seed, place) for (part, own), seed in zip(self._each(before), streams, strict=True)]

    def walk(self, before: Path | Fork, params: Any) -> Path | Fork:
        if not isinstance(before, Fork):
            raise self._refusal
        pairs = zip(self._each(list(before.branches)), self.listed(params), strict=True)
        return Fork(before.before, tuple(part.walk(branch, own) for (part, branch), own in pairs))

    def _each(self, branches: Any) -> list[tuple[Part, Any]]:
        if not isinstance(branches, list) or len(branches) != len(self.parts):
            raise self._refusal
        return list(zip(self.parts, branches, strict=True))

    @property
    def _refusal(self) -> Exception:
        return NotImplementedError(
            f"parallel of {len(self.parts)} layers needs FanOut({len(self.parts)}) before it: networks with several "
            "inputs have no counterpart in ntk_array, whose networks have one input and one output"
        )


@dataclass(frozen=True)
class FanOut(Part):
    """Copies, one for each branch."""

    number: int

    def shape(self, before: Shape) -> Shape:
        return [before] * self.number

    def walk(self, before: Path | Fork, params: Any) -> Path | Fork:
        return Fork(_of_path(self, before), ((),) * self.number)


@dataclass(frozen=True)
class FanIn(Part):
    """Branches that meet, in one of our layers of branches."""

    kind: type[Branches]

    def shape(self, before: Shape) -> Shape:
        if not isinstance(before, list):
            raise ValueError(_UNFORKED.format(self.kind.__name__))
        joint = self.kind(*(nn.Identity() for _ in before))
        return joint.join_signals([Signal(_of_one(self, shape)) for shape in before]).shape

    def walk(self, before: Path | Fork, params: Any) -> Path | Fork:
        if not isinstance(before, Fork):
            raise ValueError(_UNFORKED.format(self.kind.__name__))
        branches = [joined(_of_path(self, branch)) for branch in before.branches]
        layer = self.kind(*(branch for branch, _ in branches))
        return (*before.before, (layer, tuple(own for _, own in branches)))


_UNFORKED = "{} joins branches: put FanOut and parallel before it"


def joined(path: Path) -> tuple[nn.Layer, Any]:
    """Layers one after another as one, and its parameters."""
    if not path:
        return nn.Identity(), {}
    if len(path) == 1:
        return path[0]
    return nn.Sequential(*(layer for layer, _ in path)), tuple(own for _, own in path)


def _of_one(part: Part, shape: Shape) -> tuple[int, ...]:
    if isinstance(shape, list):
        raise ValueError(f"{part!r} acts on one value, and there are {len(shape)} branches: join them by FanInSum")
    return tuple(shape)


def _of_path(part: Part, before: Path | Fork) -> Path:
    if isinstance(before, Fork):
        raise ValueError(f"{part!r} acts on one value, and there are {len(before.branches)} branches: join them first")
    return before
