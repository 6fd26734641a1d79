"""Tabulated dual activations on planes: what stands for a table while a formula is recorded, and what loops need of it.

The formula of a stage gives the angle in front of the activation, and takes the sums of the table there as inputs. So
it depends on no table, and neither does its code: degrees and coefficients are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._array.namespace import Array, home
from ..covariance import Covariance
from ..dual import Dual, DualTable
from ..separated import Separated

__all__ = ["FUNCTIONS", "OWN", "PlaneTable", "SymbolicTable"]

FUNCTIONS = ("table value", "table slope")
"""What a table gives at each entry."""
OWN = ("own value", "own slope", "own value moved", "own slope moved")
"""What a kink behind an activation asks of inputs with themselves: value and slope, and their derivatives in log s."""


class SymbolicTable:
    """A table of symbols: the state that it is asked at is recorded by its angle.

    Parameters
    ----------
    value, slope
        What it gives; no slope where nobody reads it.
    own
        For the first inputs and for the second the numbers :data:`OWN`, where they are asked for.
    """

    def __init__(self, value: Any, slope: Any, own: Sequence[Sequence[Any]]) -> None:
        self.value, self.slope, self.own = value, slope, own
        self.state: Covariance | None = None

    def __call__(self, state: Covariance) -> Dual:
        if state.paired:
            return Dual(*self._side(state)[:2])
        self.state = state
        return Dual(self.value, self.slope)

    def tangent(self, state: Covariance, change: Covariance) -> Dual:
        """Of inputs with themselves, along log s."""
        del change
        return Dual(*self._side(state)[2:])

    def _side(self, state: Covariance) -> Sequence[Any]:
        assert self.state is not None
        return self.own[0 if state.k12 is self.state.k11 else 1]

    @property
    def angle(self) -> Any:
        """Where the table is asked."""
        assert self.state is not None
        return self.state.angle()


@dataclass(frozen=True)
class PlaneTable:
    """A table for the loops of planes.

    Attributes
    ----------
    table : DualTable
    parts : tuple of Separated
        Of the value, and of the slope where it is read.
    """

    table: DualTable
    parts: tuple[Separated, ...]

    @classmethod
    def of(cls, table: DualTable, functions: int, dtype: np.dtype) -> PlaneTable:
        """The first so many functions of a table."""
        return cls(table, table.separated(float(np.finfo(dtype).eps))[:functions])

    @property
    def count(self) -> int:
        """The number of modes of all functions."""
        return sum(part.modes.shape[1] for part in self.parts)

    @property
    def pairs(self) -> int:
        """The most pairs of modes that a function has."""
        return max(len(part.pairs) for part in self.parts)

    def modes(self, variance: Array) -> list[Array]:
        """Those of all functions at these variances."""
        return [one for i, part in enumerate(self.parts) for one in self.table.modes(i, part.modes, variance)]

    def own(self, variance: Array) -> dict[str, Array]:
        """The numbers :data:`OWN` at variances of any shape."""
        xp = home(variance).xp
        flat = xp.reshape(variance, (-1,))
        zeros = xp.zeros_like(flat)
        pairs = Covariance.of_pairs(flat, None, zeros)
        dual = self.table(pairs)
        moved = self.table.tangent(pairs, Covariance.of_pairs(2.0 * flat, None, None).to(turn=zeros))
        numbers = (dual.value, dual.slope, moved.value, moved.slope)
        return {name: xp.reshape(one, variance.shape) for name, one in zip(OWN, numbers, strict=True)}

    def mixed(self, variance: Array) -> list[Array]:
        """For each function the modes of the first side (..., L), mixed for each degree and mode of the second."""
        here, found = home(variance), []
        for i, part in enumerate(self.parts):
            modes = here.xp.stack(self.table.modes(i, part.modes, variance), axis=-1)
            found.append(modes @ here.asarray(part.mixing))
        return found

    def arguments(self, first: int, dtype: np.dtype, mixed: Sequence[Array] | None) -> list[Any]:
        """What a loop takes: the layer of the table with its scale, and for each function the pairs of modes, numbered
        from ``first`` on, how many are summed at each degree, and the coefficients; then the number of the first mode,
        how many are summed where the first side is ``mixed`` before, and what is mixed."""
        layer = self.table.layer
        found: list[Any] = [np.asarray([layer, 1.0 / math.log1p(math.pi / layer) if layer else 0.0], dtype)]
        none = np.zeros((1, 1, 1, 1), dtype)
        for i, part in enumerate(self.parts):
            found += [part.pairs + first, part.counts, part.series.astype(dtype)]
            found += [np.uint64(first), part.ends, none if mixed is None else mixed[i]]
            first += part.modes.shape[1]
        return found
