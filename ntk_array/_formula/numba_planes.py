"""Stages of a convolutional network as compiled loops over planes of pairs of positions, by Numba.

A plane holds, for one input of a first batch and a few of a second, all pairs of positions p and q = p + o (mod the
size of the image) with one offset o. Convolutions act within planes. So a plane goes through all layers while it is in
the cache, and innermost loops run over a row of positions and over the inputs of the second batch together.

A stage is what lies between two windows: it sums windows over arrays of planes, and computes the arrays of the next
windows by a formula. What the formula needs of a row (a position of the first input) or a column (one of the second) by
itself is computed before all planes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .formula import COLUMN, ENTRY, ROW, Formula
from .machine_code import OPTIONS, loop_from
from .numba_loops import EXPRESSIONS, angle_source

__all__ = ["LANES", "Course", "Stage", "compiled_course", "kept", "values_of", "without_constants"]

LANES = {"f": 8, "d": 4}
"""Inputs of the second batch that are computed together, by the character of the dtype."""

HEAD = """from math import *
from numpy import empty, uint64 as index, {dtype} as number
from numba import njit

compiled = njit(**{options})
LANES = {lanes}
"""
# Indices of inner loops are unsigned: for signed ones Numba looks whether each is negative, and no vector is read.


def kept(formula: Formula, axes: int) -> tuple[int, ...]:
    """The places of the numbers that depend on a row (or a column) only and that entries need."""
    operations = formula.operations
    found = {
        place
        for operation in operations
        if operation.axes == ENTRY and operation.name not in ("input", "constant")
        for place in operation.arguments
        if operations[place].axes == axes and operations[place].name != "constant"
    }
    found |= {p for p in formula.results if operations[p].axes == axes and operations[p].name != "constant"}
    return tuple(sorted(found))


def values_of(formula: Formula, axes: int, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The kept numbers of rows (or columns), from the input arrays of these axes in their order."""
    values: dict[int, Any] = {}
    own = iter(arrays)
    dtype = arrays[0].dtype if arrays else np.dtype(float)
    for place, operation in enumerate(formula.operations):
        if operation.name == "constant":
            values[place] = dtype.type(formula.constants[operation.arguments[0]])
        elif operation.axes == axes:
            if operation.name == "input":
                values[place] = next(own)
            else:
                function = getattr(np, {"atan2": "arctan2"}.get(operation.name, operation.name))
                values[place] = function(*(values[argument] for argument in operation.arguments))
    return [values[place] for place in kept(formula, axes)]


@dataclass(frozen=True)
class Stage:
    """What the code of a stage depends on.

    Attributes
    ----------
    formula : Formula
        Of entries: first the sums over windows, then the distances of norms of each window, then arrays of planes at
        the position itself; and of rows and columns.
    windows : tuple of tuples of int
        For each window the numbers of the plane arrays that it sums.
    widths : tuple of int
        For each window its size along x.
    points : tuple of int
        The numbers of the plane arrays that are read at the position itself.
    results : tuple of int
        The numbers of the plane arrays that the results are written to.
    """

    formula: Formula
    windows: tuple[tuple[int, ...], ...]
    widths: tuple[int, ...]
    points: tuple[int, ...]
    results: tuple[int, ...]


@dataclass(frozen=True)
class Course:
    """All stages of a network, in order.

    Attributes
    ----------
    stages : tuple of Stage
        The plane arrays 0 and 1 are s1 s2 - k12 and s1 s2 + k12 of the inputs when the first one starts.
    outputs : tuple of int
        Plane arrays whose sums over all offsets are asked for.
    lanes : int
        The number of inputs of the second batch that are computed together, which is a number in the code.
    """

    stages: tuple[Stage, ...]
    outputs: tuple[int, ...]
    lanes: int


def without_constants(stage: Stage) -> Stage:
    """The stage with zeros as constants: they are arguments of its code, which networks with other ones share."""
    formula = replace(stage.formula, constants=(0.0,) * len(stage.formula.constants))
    return replace(stage, formula=formula)


def compiled_course(course: Course, dtype: np.dtype) -> Callable[..., None]:
    """The compiled loop over the planes of one input with a few: see :func:`_source`. It is for the caller to keep."""
    return loop_from(_source(course, dtype))


INPUTS = """@compiled
def loop(height, width, oy, ox, planes, scratch, acc, apart, sums, u1, s1, u2, s2{stages}):
    for o in range(oy.size):
        dy, dx = oy[o], ox[o]
        for y in range(height):
            qy = (y + dy) % height
            for first, count, other in ((0, width - dx, dx), (width - dx, dx, 0)):
                n, p, q = index(count * LANES), index(first * LANES), index(other * LANES)
                for t in range(n):
                    planes[y, p + t] = 0
                    planes[height + y, p + t] = 0
                for c in range(u1.shape[0]):
                    for t in range(n):
                        a, b = u1[c, y, p + t], u2[c, qy, q + t]
                        planes[y, p + t] += (a - b) * (a - b)
                        planes[height + y, p + t] += (a + b) * (a + b)
                for t in range(n):
                    half = number(0.5) * (s1[y, p + t] * s2[qy, q + t])
                    planes[y, p + t] *= half
                    planes[height + y, p + t] *= half
"""
OUTPUT = """        for y in range(height):
            for t in range(index(width * LANES)):
                sums[{number}, t] += planes[{array} * height + y, t]
"""


def _source(course: Course, dtype: np.dtype) -> str:
    """A module with ``loop(height, width, oy, ox, planes, scratch, acc, apart, sums, u1, s1, u2, s2, *stages)``.

    It runs the planes with the offsets ``oy``, ``ox`` of one input with ``LANES`` others. In all arrays the last axis
    is that of x and, within it, of lanes. Normalized pixels are u1 and u2 (channels, height, width LANES), standard
    deviations s1 and s2 (height, width LANES); those of the one input are repeated for all lanes. Outputs are added up
    in ``sums`` (outputs, width LANES). There is room to work in: ``planes`` and ``scratch`` (arrays height, width
    LANES), ``acc`` (arrays, width LANES) and ``apart`` (windows, width LANES).

    Each stage has the arguments ``constants``, ``rows`` and ``columns`` (kept, height, width LANES) and for each
    window: the offsets of its elements along both axes, whether it is circular, and for rows the roots of variances at
    its source with margins, (height + margins, (width + margins) LANES), and one over the root of their sum, (height,
    width LANES); then the same for columns.
    """
    kinds = list(dict.fromkeys(course.stages))
    text = [HEAD.format(dtype=dtype.name, options=OPTIONS, lanes=course.lanes)]
    if any(operation.name == "atan2" for stage in kinds for operation in stage.formula.operations):
        text.append(angle_source(dtype.name))
    text += [_stage_source(f"stage{number}", stage) for number, stage in enumerate(kinds)]
    names, calls = "", ""
    for number, stage in enumerate(course.stages):
        own = [f"{name}_{number}" for name in ("constants", "rows", "columns")]
        own += [f"{name}{w}_{number}" for w in range(len(stage.windows)) for name in WINDOW]
        names += ", " + ", ".join(own)
        common = "height, width, dy, dx, planes, scratch, acc, apart"
        calls += f"        stage{kinds.index(stage)}({common}, {', '.join(own)})\n"
    outputs = [OUTPUT.format(number=number, array=array) for number, array in enumerate(course.outputs)]
    return "\n".join([*text, INPUTS.format(stages=names) + calls + "".join(outputs)])


WINDOW = ("sy", "sx", "circular", "r", "u", "c", "v")
"""The arguments of a window."""

ALONG_X = """    for y in range(height):
        to, at = {number} * height + y, {array} * height + y
        for t in range(index(width * LANES)):
            scratch[to, t] = 0
        for d in range(sx{w}.size):
            s = sx{w}[d] % width if circular{w} else sx{w}[d]
            # Windows end at the edge of either image, which is where x or x + dx wraps.
            edge = width - s if circular{w} else width - dx
            for low, high in ((0, edge), (edge, width)):
                z = s if low == 0 else s - width
                if not circular{w}:
                    z = s
                    low, high = max(low, low - s), min(high, high - s)
                if high > low:
                    p, q = index(low * LANES), index((low + z) * LANES)
                    for t in range(index((high - low) * LANES)):
                        scratch[to, p + t] += planes[at, q + t]
"""
"""Sums along the rows of an image, for one plane array of one window."""

ALONG_Y = """        for t in range(index(width * LANES)):
            acc[{number}, t] = 0
        for d in range(sy{w}.size):
            z = y + sy{w}[d]
            if circular{w}:
                z %= height
            elif z < 0 or z >= height or (z >= height - dy) != (y >= height - dy):
                continue
            at = {number} * height + z
            for t in range(index(width * LANES)):
                acc[{number}, t] += scratch[at, t]
"""

APART = """            for t in range(n):
                apart[{w}, p + t] = 0
            for a in range(sy{w}.size):
                yr, yc = y + sy{w}[a] - sy{w}[0], qy + sy{w}[a] - sy{w}[0]
{bases}
                for t in range(n):
                    f, g = u{w}[y, p + t], v{w}[qy, q + t]
{terms}
                    apart[{w}, p + t] += {total}
"""
"""sum (s1 / sqrt(A) - s2 / sqrt(B))^2 over a window."""


def _stage_source(name: str, stage: Stage) -> str:
    """The function of a stage, for one plane."""
    formula, text = stage.formula, ""
    own = "".join(f", {part}{w}" for w in range(len(stage.windows)) for part in WINDOW)
    text += "@compiled\n"
    text += f"def {name}(height, width, dy, dx, planes, scratch, acc, apart, constants, rows, columns{own}):\n"
    text += "".join(f"    k{i} = constants[{i}]\n" for i in range(len(formula.constants)))
    summed = [(w, array) for w, arrays in enumerate(stage.windows) for array in arrays]
    for number, (w, array) in enumerate(summed):
        text += ALONG_X.format(number=number, w=w, array=array)
    text += "    for y in range(height):\n        qy = (y + dy) % height\n"
    for number, (w, _) in enumerate(summed):
        text += ALONG_Y.format(number=number, w=w)
    text += "        for first, count, other in ((0, width - dx, dx), (width - dx, dx, 0)):\n"
    text += "            n, p, q = index(count * LANES), index(first * LANES), index(other * LANES)\n"
    for w, size in enumerate(stage.widths):
        bases = "".join(
            f"                xr{b} = index((first + sx{w}[{b}] - sx{w}[0]) * LANES)\n"
            f"                xc{b} = index((other + sx{w}[{b}] - sx{w}[0]) * LANES)\n"
            for b in range(size)
        )
        terms = "".join(
            f"                    d{b} = r{w}[yr, xr{b} + t] * f - c{w}[yc, xc{b} + t] * g\n" for b in range(size)
        )
        total = " + ".join(f"d{b} * d{b}" for b in range(size))
        text += APART.format(w=w, bases=bases.rstrip("\n"), terms=terms.rstrip("\n"), total=total)
    inputs = [f"acc[{number}, p + t]" for number in range(len(summed))]
    inputs += [f"apart[{w}, p + t]" for w in range(len(stage.windows))]
    inputs += [f"planes[{array} * height + y, p + t]" for array in stage.points]
    lines, names = _entries(formula, inputs)
    text += "            for t in range(n):\n" + "".join(f"                {line}\n" for line in lines)
    for array, place in zip(stage.results, formula.results, strict=True):
        text += f"                planes[{array} * height + y, p + t] = {names[place]}\n"
    return text


def _entries(formula: Formula, inputs: list[str]) -> tuple[list[str], dict[int, str]]:
    """The code of a formula for entries, and the names of its numbers."""
    names: dict[int, str] = {}
    for axes, array in ((ROW, "rows[{0}, y, p + t]"), (COLUMN, "columns[{0}, qy, q + t]")):
        names |= {place: array.format(number) for number, place in enumerate(kept(formula, axes))}
    lines = []
    for place, operation in enumerate(formula.operations):
        if operation.name == "constant":
            names[place] = f"k{operation.arguments[0]}"
        elif operation.axes == ENTRY:
            if operation.name == "input":
                value = inputs[operation.arguments[0]]
            else:
                form = EXPRESSIONS.get(operation.name, operation.name + "({0})")
                value = form.format(*(names[argument] for argument in operation.arguments))
            lines.append(f"t{place} = {value}")
            names[place] = f"t{place}"
    return lines, names
