"""Kernels of convolutional networks whose planes of pairs of positions run as compiled loops."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .._array.linalg import mirror, with_diagonal
from .._array.namespace import Array, Home, home
from .._formula import numba_loops
from .._formula.compilers import COMPILERS
from .._formula.formula import NotElementwise
from ..gram.tiled import Costs
from ..infinite.covariance import Covariance, Rows
from ..infinite.planes import Batch, CudaPlanes, Planes, layout_of
from ..infinite.program import Program
from .base import Kernel

__all__ = ["PlanesKernel", "in_planes"]


class Prepared(NamedTuple):
    """Images with their variances at every place before the mean over positions, and what the places from there on
    have."""

    batch: Batch
    rows: list[Rows]
    diagonal: Any


@dataclass(frozen=True)
class PlanesKernel(Kernel):
    """An infinite-width kernel of a convolutional network, up to the mean over positions plane by plane.

    On NumPy arrays compiled loops run the planes, on CuPy arrays a CUDA kernel.

    Its values are of the ``dtype`` of the inputs. Planes of networks that pool, and those where float32 would lose
    digits, are in float64.
    """

    kernel: Any
    program: Program
    planes: Planes | CudaPlanes
    dtype: np.dtype

    def fitted(self, x1: Array, x2: Array | None) -> PlanesKernel | None:
        """The kernel with tables for the images of a problem; None where planes have no such tables."""
        xp, kept, end = home(x1).xp, self.kernel.kept.tables, self.planes.layout.end
        x = xp.astype(x1 if x2 is None else xp.concat([x1, x2]), self.planes.dtype, copy=False)
        (images,) = self.kernel.inputs_of(x)
        found = self.planes.fitted(images, self.program, kept)
        if found is None:
            return None
        planes, program, batch = found
        if any(step.layer.numerical for step in program.steps[end:]):
            program = program.fitted_behind(end, self._start(planes, batch), kept)
        return replace(self, program=program, planes=planes)

    def _start(self, planes: Planes | CudaPlanes, batch: Batch) -> Covariance:
        """The state of images with themselves behind the mean."""
        images = np.arange(batch.pixels.shape[0])
        start = self._averaged(planes.of_pairs(batch, batch, (images, images)))
        return Covariance.of_pairs(start.k12, start.ntk, home(start.k12).xp.zeros_like(start.k12))

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        return self.kernel.validated(x1, x2)  # type: ignore[no-any-return]

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Room for a few pairs at a time; images, and a number for each position at every place."""
        here, kept = home(x1), sum(math.prod(signal.shape[:-1]) for signal in self.program.signals)
        size = self.planes.dtype.itemsize
        least = self.planes.least
        entry = 10 * size + self.planes.room_bytes // least
        each = size * (2 * math.prod(x1.shape[1:]) + 3 * kept + self.planes.laid_size)
        return Costs(here, 1, entry, each, least)

    def prepare(self, x: Array) -> Prepared:
        xp = home(x).xp
        (one,) = self.kernel.inputs_of(xp.astype(x, self.planes.dtype, copy=False))
        end, is_ntk = self.planes.layout.end, self.kernel.is_ntk
        batch = self.planes.batch(one, self.program)
        states = self.program.paired(self._start(self.planes, batch), first=end)
        last = states[-1]
        diagonal = xp.astype(last.ntk if is_ntk else last.k12, self.dtype, copy=False)
        return Prepared(batch, [s.rows() for s in states], diagonal)

    def _averaged(self, means: dict[str, Array]) -> Covariance:
        """The state behind the mean, from the means."""
        xp, dtype = home(means["k12"]).xp, self.planes.dtype
        k12, ntk = (None if a is None else xp.astype(a, dtype) for a in (means["k12"], means.get("ntk")))
        layout = self.planes.layout
        layer: Any = layout.steps[-1].layer
        average: Covariance = layer.of_average(Covariance(k12, k12, k12, ntk), math.prod(layout.grid(layout.last)))
        return average

    def prepared_block(self, prepared1: Prepared, prepared2: Prepared | None) -> Array:
        one, two = prepared1, prepared1 if prepared2 is None else prepared2
        means = self.planes.of_block(one.batch, two.batch, symmetric=prepared2 is None)
        # Rows are numbered from the first place of the network on.
        ahead: list[Any] = [None] * self.planes.layout.end
        rows = (ahead + one.rows, ahead + two.rows)
        block = self.program.run(self._averaged(means), *rows, self.kernel.read, first=len(ahead))
        block = home(block).xp.astype(block, self.dtype, copy=False)
        return with_diagonal(mirror(block), one.diagonal) if prepared2 is None else block

    def block_diagonal(self, x: Array) -> Array:
        return self.prepare(x).diagonal


KINDS: dict[str, type[Planes] | type[CudaPlanes]] = {"numba": Planes, "cupy": CudaPlanes}
"""What runs planes, by the compiler of a library."""


def in_planes(kernel: Any, program: Program, x1: Array, x2: Array | None) -> PlanesKernel | None:
    """The kernel plane by plane, where its network and the library of its inputs allow it."""
    here = home(x1)
    word = here.library.compiler or ""
    if word not in KINDS or not COMPILERS[word].installed() or here.dtype.char not in "fd":
        return None
    pairs = x1.shape[0] * (x1 if x2 is None else x2).shape[0]
    if pairs * program.largest_block < numba_loops.ENOUGH:
        return None
    dtype = np.dtype(np.float64) if kernel.wide(x1, x2) else here.dtype
    # Kept with the program: tracing and loading compiled loops takes longer than a small block.
    key = ("planes", word, str(here.device), kernel.is_ntk, dtype.char)
    if key not in program.planes:
        program.planes[key] = _planes(KINDS[word], program, kernel.is_ntk, here._replace(dtype=dtype))
    planes = program.planes[key]
    if planes is None:
        return None
    found = PlanesKernel(kernel, program, planes, here.dtype)
    return found.fitted(x1, x2) if program.numerical else found


def _planes(kind: type[Planes] | type[CudaPlanes], program: Program, ntk: bool, here: Home) -> Any:
    layout = layout_of(program.steps, program.signals, ntk)
    if layout is None or (layout.tabulated and not kind.sums_tables):
        return None
    wide = layout.pooled or layout.gaps
    planes = kind(layout, np.dtype(np.float64) if wide else here.dtype)
    try:
        return planes if planes.runs_on(here.device) else None
    except NotElementwise:
        return None
