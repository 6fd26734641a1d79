"""Kernels of convolutional networks whose planes of pairs of positions run as compiled loops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._array.libraries import is_numpy
from .._array.linalg import mirror, with_diagonal
from .._array.namespace import Array, home, itemsize
from .._formula import numba_loops
from .._formula.formula import NotElementwise
from ..gram.tiled import Costs
from ..infinite.covariance import Covariance, Rows
from ..infinite.planes import Batch, Planes, batch_of, planes_of
from ..infinite.program import Program
from .base import Kernel

__all__ = ["PlanesKernel", "in_planes"]


class Prepared(NamedTuple):
    """Images, their variances at every place before the mean over positions, and what the places from there on have."""

    pixels: np.ndarray
    before: list[np.ndarray]
    rows: list[Rows]
    diagonal: Any


@dataclass(frozen=True)
class PlanesKernel(Kernel):
    """An infinite-width kernel of a convolutional network, up to the mean over positions plane by plane."""

    kernel: Any
    program: Program
    planes: Planes

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        return self.kernel.validated(x1, x2)  # type: ignore[no-any-return]

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """A block takes a few numbers an entry; images, and a number for each position at every place."""
        here, kept = home(x1), sum(math.prod(signal.shape[:-1]) for signal in self.program.signals)
        return Costs(here, 1, 10 * itemsize(here), itemsize(here) * (2 * math.prod(x1.shape[1:]) + 3 * kept))

    def prepare(self, x: Array) -> Prepared:
        (one,), end, is_ntk = self.kernel.inputs_of(x), self.planes.end, self.kernel.is_ntk
        before = self.program.upto(end - 1, same=True).walk(one, ntk=False).rows
        batch = batch_of(one, before)
        start = self._averaged(self.planes.sums(batch, None, paired=True), x.dtype)
        zeros = np.zeros_like(start.k12)
        states = self.program.paired(Covariance.of_pairs(start.k12, start.ntk, zeros), first=end)
        last = states[-1]
        return Prepared(batch.pixels, batch.rows, [s.rows() for s in states], last.ntk if is_ntk else last.k12)

    def _averaged(self, means: dict[str, np.ndarray], dtype: Any) -> Covariance:
        """The state behind the mean, from the means."""
        k12, ntk = (None if a is None else a.astype(dtype) for a in (means["k12"], means.get("ntk")))
        count = math.prod(self.planes.positions)
        layer: Any = self.planes.steps[-1].layer
        average: Covariance = layer.of_average(Covariance(k12, k12, k12, ntk), count)
        return average

    def prepared_block(self, prepared1: Prepared, prepared2: Prepared | None) -> Array:
        one, two = prepared1, prepared1 if prepared2 is None else prepared2
        batches = [Batch(p.pixels, p.before) for p in (one, two)]
        means = self.planes.sums(batches[0], batches[1], symmetric=prepared2 is None)
        start = self._averaged(means, one.pixels.dtype)
        # Rows are numbered from the first place of the network on.
        ahead: list[Any] = [None] * self.planes.end
        block = self.program.run(start, ahead + one.rows, ahead + two.rows, self.kernel.read, first=self.planes.end)
        return with_diagonal(mirror(block), one.diagonal) if prepared2 is None else block

    def block_diagonal(self, x: Array) -> Array:
        return self.prepare(x).diagonal


def in_planes(kernel: Any, program: Program, x1: Array, x2: Array | None) -> PlanesKernel | None:
    """The kernel plane by plane, where its network and the library of its inputs allow it."""
    if not is_numpy(x1) or x1.dtype.char not in "fd" or numba_loops.available() is None:
        return None
    pairs = x1.shape[0] * (x1 if x2 is None else x2).shape[0]
    if pairs * program.largest_block < numba_loops.ENOUGH:
        return None
    # Kept with the program: tracing and loading compiled loops takes longer than a small block.
    key = ("planes", kernel.is_ntk, x1.dtype.char)
    if key not in program.stretches:
        program.stretches[key] = _planes(program, kernel.is_ntk, x1.dtype)
    planes = program.stretches[key]
    return None if planes is None else PlanesKernel(kernel, program, planes)


def _planes(program: Program, ntk: bool, dtype: np.dtype) -> Planes | None:
    planes = planes_of(program.steps, program.signals, ntk)
    if planes is not None:
        try:
            planes.check(dtype)
        except NotElementwise:
            return None
    return planes
