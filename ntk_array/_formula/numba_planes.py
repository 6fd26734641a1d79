"""Stages of a convolutional network as compiled loops over planes of pairs of positions, by Numba.

A plane holds, for one input of a first batch and a few of a second, all pairs of positions p and q = p + o (mod the
size of the image) with one offset o. Convolutions act within planes. So a plane goes through all layers while it is in
the cache, and the innermost loop runs over the inputs of the second batch, several numbers at once.

A stage is what lies between two windows: it sums windows over arrays of planes, and computes the arrays of the next
windows by a formula. What the formula needs of a row (a position of the first input) or a column (one of the second) by
itself is computed before all planes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from .formula import COLUMN, ENTRY, ROW, Formula
from .machine_code import OPTIONS, loop_from
from .numba_loops import EXPRESSIONS, angle_source

__all__ = ["LANES", "Course", "Stage", "compiled_course", "kept", "values_of", "without_constants"]

LANES = {"f": 16, "d": 8}
"""Inputs of the second batch that are computed together at most, by the character of the dtype."""

HEAD = """from math import *
from numpy import empty, {dtype} as number
from numba import njit

compiled = njit(**{options})
LANES = {lanes}
"""


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
    points : tuple of int
        The numbers of the plane arrays that are read at the position itself.
    results : tuple of int
        The numbers of the plane arrays that the results are written to.
    paired : bool
        Whether rows are those of the inputs of the second batch themselves: each lane has its own.
    """

    formula: Formula
    windows: tuple[tuple[int, ...], ...]
    points: tuple[int, ...]
    results: tuple[int, ...]
    paired: bool


@dataclass(frozen=True)
class Course:
    """All stages of a network, in order, and what comes before and after them.

    Attributes
    ----------
    stages : tuple of Stage
        The plane arrays 0 and 1 are s1 s2 - k12 and s1 s2 + k12 of the inputs when the first one starts.
    outputs : tuple of int
        Plane arrays whose sums over all positions and offsets are asked for.
    lanes : int
        The number of inputs of the second batch that are computed together, which is a number in the code.
    """

    stages: tuple[Stage, ...]
    outputs: tuple[int, ...]
    lanes: int

    @property
    def paired(self) -> bool:
        """As its stages are."""
        return self.stages[0].paired


@cache
def compiled_course(course: Course, dtype: np.dtype) -> Callable[..., None]:
    """The compiled loop over the planes of a few inputs: see :func:`_source`."""
    return loop_from(_source(course, dtype))


def without_constants(stage: Stage) -> Stage:
    """The stage with zeros as constants: they are arguments of its code, which networks with other ones share."""
    formula = replace(stage.formula, constants=(0.0,) * len(stage.formula.constants))
    return replace(stage, formula=formula)


def _source(course: Course, dtype: np.dtype) -> str:
    """A module with ``loop(n1, height, width, oy, ox, planes, scratch, sums, u1, s1, u2, s2, *stages)``.

    It runs the planes with the offsets ``oy``, ``ox`` of n1 inputs with ``lanes`` others, whose normalized pixels are
    u1 (n1, positions, channels) and u2 (positions, channels, lanes) and whose standard deviations are s1 and s2, and
    adds up the outputs in ``sums`` (outputs, n1, lanes). ``planes`` and ``scratch`` (arrays, height, width, lanes) are room
    to work in; scratch takes sums along rows of an image.

    Each stage has the arguments ``constants``, ``rows`` (kept, n1, positions), ``columns`` (kept, positions, lanes) and
    for each window: the offsets of its elements along both axes, whether it is circular, and for rows the roots of
    variances at its source with margins, (n1, height + margins, width + margins), and one over the root of their sum,
    (n1, positions); then the same for columns, with the lanes last and without n1. Where the course is paired, rows are
    as columns are, and n1 is 1.
    """
    kinds = list(dict.fromkeys(course.stages))
    head = [HEAD.format(dtype=dtype.name, options=OPTIONS, lanes=course.lanes)]
    if any(operation.name == "atan2" for stage in kinds for operation in stage.formula.operations):
        head.append(angle_source(dtype.name))
    for number, stage in enumerate(kinds):
        head += [*_stage_lines(f"stage{number}", stage), ""]
    names, calls = [], []
    at = ":" if course.paired else ":, i, :"
    one = "" if course.paired else "i, "
    for number, stage in enumerate(course.stages):
        own = [f"{name}_{number}" for name in ("constants", "rows", "columns")]
        passed = [own[0], own[1] if course.paired else f"{own[1]}[{at}]", own[2]]
        for w in range(len(stage.windows)):
            parts = [f"{name}{w}_{number}" for name in ("sy", "sx", "circular", "r", "u", "c", "v")]
            own += parts
            passed += [
                *parts[:3],
                f"{parts[3]}[{one}...]" if one else parts[3],
                f"{parts[4]}[{one}...]" if one else parts[4],
                *parts[5:],
            ]
        names += own
        calls.append(
            f"            stage{kinds.index(stage)}(height, width, dy, dx, planes, scratch, {', '.join(passed)})"
        )
    u, r = ("u1[p, c, j]", "s1[p, j]") if course.paired else ("u1[i, p, c]", "s1[i, p]")
    lines = f"""@compiled
def loop(n1, height, width, oy, ox, planes, scratch, sums, u1, s1, u2, s2, {", ".join(names)}):
    below, above = empty(LANES, number), empty(LANES, number)
    for i in range(n1):
        for o in range(oy.size):
            dy, dx = oy[o], ox[o]
            for y in range(height):
                for x in range(width):
                    p = y * width + x
                    q = (y + dy) % height * width + (x + dx) % width
                    for j in range(LANES):
                        below[j] = 0
                        above[j] = 0
                    for c in range(u2.shape[1]):
                        for j in range(LANES):
                            a, b = {u} - u2[q, c, j], {u} + u2[q, c, j]
                            below[j] += a * a
                            above[j] += b * b
                    for j in range(LANES):
                        half = number(0.5) * ({r} * s2[q, j])
                        planes[0, y, x, j] = half * below[j]
                        planes[1, y, x, j] = half * above[j]""".split("\n")
    lines += calls
    lines += [
        "            for y in range(height):",
        "                for x in range(width):",
        "                    for j in range(LANES):",
    ]
    lines += [
        f"                        sums[{n}, i, j] += planes[{array}, y, x, j]" for n, array in enumerate(course.outputs)
    ]
    return "\n".join(head + lines) + "\n"


def _stage_lines(name: str, stage: Stage) -> list[str]:
    """The function of a stage, for one plane."""
    formula, lines = stage.formula, list[str]()
    operations = formula.operations
    row_names = {place: number for number, place in enumerate(kept(formula, ROW))}
    column_names = {place: number for number, place in enumerate(kept(formula, COLUMN))}
    width = sum(map(len, stage.windows))
    arguments = ", ".join(f"sy{w}, sx{w}, circular{w}, r{w}, u{w}, c{w}, v{w}" for w in range(len(stage.windows)))
    head = ["@compiled", f"def {name}(height, width, dy, dx, planes, scratch, constants, rows, columns"]
    head[-1] += (f", {arguments}" if arguments else "") + "):"
    out = lines.append
    for i in range(len(formula.constants)):
        out(f"    k{i} = constants[{i}]")
    for number in range(width):
        out(f"    w{number} = empty(LANES, number)")
    for w in range(len(stage.windows)):
        out(f"    e{w} = empty(LANES, number)")
    number = 0
    for w, arrays in enumerate(stage.windows):
        for array in arrays:
            # Along x first, into scratch: windows end at the edge of either image, which is where x or x + dx wraps.
            lines += f"""    for y in range(height):
        for x in range(width):
            first = True
            for d in range(sx{w}.size):
                z = x + sx{w}[d]
                if circular{w}:
                    z %= width
                elif z < 0 or z >= width or (z >= width - dx) != (x >= width - dx):
                    continue
                if first:
                    for j in range(LANES):
                        scratch[{number}, y, x, j] = planes[{array}, y, z, j]
                    first = False
                else:
                    for j in range(LANES):
                        scratch[{number}, y, x, j] += planes[{array}, y, z, j]
            if first:
                for j in range(LANES):
                    scratch[{number}, y, x, j] = 0""".split("\n")
            number += 1
    out("    for y in range(height):")
    out("        for x in range(width):")
    out("            p = y * width + x")
    out("            q = (y + dy) % height * width + (x + dx) % width")
    number = 0
    for w, arrays in enumerate(stage.windows):
        mine = list(range(number, number + len(arrays)))
        number += len(arrays)
        out("            for j in range(LANES):")
        lines += [f"                w{n}[j] = 0" for n in mine]
        lines += f"""            for d in range(sy{w}.size):
                z = y + sy{w}[d]
                if circular{w}:
                    z %= height
                elif z < 0 or z >= height or (z >= height - dy) != (y >= height - dy):
                    continue
                for j in range(LANES):""".split("\n")
        lines += [f"                    w{n}[j] += scratch[{n}, z, x, j]" for n in mine]
        lane = ", j" if stage.paired else ""
        lines += f"""            for j in range(LANES):
                e{w}[j] = 0
            ya, xa = q // width - sy{w}[0], q % width - sx{w}[0]
            for a in range(sy{w}.size):
                yr, yc = y - sy{w}[0] + sy{w}[a], ya + sy{w}[a]
                for b in range(sx{w}.size):
                    xr, xc = x - sx{w}[0] + sx{w}[b], xa + sx{w}[b]
                    for j in range(LANES):
                        apart = r{w}[yr, xr{lane}] * u{w}[p{lane}] - c{w}[yc, xc, j] * v{w}[q, j]
                        e{w}[j] += apart * apart""".split("\n")
    inputs: list[str] = [f"w{n}[j]" for n in range(width)] + [f"e{w}[j]" for w in range(len(stage.windows))]
    inputs += [f"planes[{array}, y, x, j]" for array in stage.points]
    if not stage.paired:
        lines += [f"            h{n} = rows[{n}, p]" for n in row_names.values()]
    names: dict[int, str] = {}
    body = []
    for place, operation in enumerate(operations):
        if operation.name == "constant":
            names[place] = f"k{operation.arguments[0]}"
        elif operation.axes == ROW:
            if place in row_names:
                names[place] = f"rows[{row_names[place]}, p, j]" if stage.paired else f"h{row_names[place]}"
        elif operation.axes == COLUMN:
            if place in column_names:
                names[place] = f"columns[{column_names[place]}, q, j]"
        elif operation.name == "input":
            names[place] = f"t{place}"
            body.append(f"t{place} = {inputs[operation.arguments[0]]}")
        elif operation.axes == ENTRY:
            form = EXPRESSIONS.get(operation.name, operation.name + "({0})")
            body.append(f"t{place} = {form.format(*(names[argument] for argument in operation.arguments))}")
            names[place] = f"t{place}"
    out("            for j in range(LANES):")
    lines += [f"                {line}" for line in body]
    for array, place in zip(stage.results, formula.results, strict=True):
        out(f"                planes[{array}, y, x, j] = {names[place]}")
    return head + lines
