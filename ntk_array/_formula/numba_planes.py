"""Stages of a convolutional network as compiled loops over planes of pairs of positions, by Numba.

A plane holds, for a few pairs of inputs, all pairs of positions p and q = p + o (mod the size of the image) with one
offset o. Convolutions act within planes. So a plane goes through all layers while it is in
the cache, and innermost loops run over a row of positions and over the inputs of the second batch together.

A stage is what lies between two windows: see :mod:`.plane_stages`.

A course is what happens on one grid of positions. It starts from the inputs, or from sums that the course on another
grid has left. In the end its planes are added up, or added to those of the next grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .formula import COLUMN, ENTRY, ROW, Formula, needed
from .machine_code import OPTIONS, loop_from
from .numba_loops import EXPRESSIONS, angle_source
from .plane_stages import Stage, kept, sides_kept
from .plane_tables import FIRST, ask, names
from .plane_tables import source as tables_source
from .plane_windows import ARGUMENTS, WAY_IN, along_x, along_y, left_apart, places

__all__ = ["LANES", "LANES_OF_TABLES", "Course", "compiled_course", "without_constants"]

LANES = {"f": 8, "d": 4}
"""Pairs of inputs that are computed together, by the character of the dtype."""
LANES_OF_TABLES = {"f": 16, "d": 8}
"""The same where tables are summed, which takes longer than all else."""

HEAD = """from math import *
from numpy import empty, uint64 as index, {dtype} as number
from numba import njit
from ntk_array._formula.machine_code import distinct

compiled = njit(pipeline_class=distinct(), **{options})
LANES = {lanes}
"""
# Indices of inner loops are unsigned: for signed ones Numba looks whether each is negative, and no vector is read.


@dataclass(frozen=True)
class Course:
    """All stages on one grid of positions, in order.

    Attributes
    ----------
    stages : tuple of Stage
    starts : bool
        Whether it starts from inputs. The plane arrays 0 and 1 are s1 s2 - k12 and s1 s2 + k12 of these.
    outputs : tuple of int
        Plane arrays whose sums over all offsets are asked for.
    leaving : tuple of tuples of int
        For each way to the next grid the plane arrays that are added up there.
    lanes : int
        The number of pairs of inputs that are computed together, which is a number in the code.
    """

    stages: tuple[Stage, ...]
    starts: bool
    outputs: tuple[int, ...]
    leaving: tuple[tuple[int, ...], ...]
    lanes: int


def without_constants(stage: Stage) -> Stage:
    """The stage with zeros as constants: they are arguments of its code, which networks with other ones share."""
    formula = replace(stage.formula, constants=(0.0,) * len(stage.formula.constants))
    return replace(stage, formula=formula)


def compiled_course(course: Course, dtype: np.dtype) -> Callable[..., None]:
    """The compiled loop over the planes of a few pairs of inputs: see :func:`_source`. It is for the caller to keep."""
    return loop_from(_source(course, dtype), superword=any(stage.tables for stage in course.stages))


SPREAD = """@compiled
def spread(values, room, laned):
    # What is given for each position once is repeated for all lanes.
    if laned:
        return values
    for k in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                value, p = values[k, y, x], index(x * LANES)
                for t in range(LANES):
                    room[k, y, p + t] = value
    return room


"""
LOOP = """@compiled
def loop(height, width, oy, ox, planes, scratch, seen, own, margins, curves, {others}):
    for i in range(sums.shape[0]):
        for ky in range(oy.size):
            for kx in range(ox.size):
                dy, dx, plane = oy[ky], ox[kx], ky * ox.size + kx
"""
INPUTS = """                one = spread(images1[i], own, laned)
                for y in range(height):
                    qy = (y + dy) % height
                    for first, count, other in ((0, width - dx, dx), (width - dx, dx, 0)):
                        n, p, q = index(count * LANES), index(first * LANES), index(other * LANES)
                        for t in range(n):
                            planes[y, p + t] = 0
                            planes[height + y, p + t] = 0
                        for c in range(1, images2.shape[0]):
                            for t in range(n):
                                a, b = one[c, y, p + t], images2[c, qy, q + t]
                                planes[y, p + t] += (a - b) * (a - b)
                                planes[height + y, p + t] += (a + b) * (a + b)
                        for t in range(n):
                            half = number(0.5) * (one[0, y, p + t] * images2[0, qy, q + t])
                            planes[y, p + t] *= half
                            planes[height + y, p + t] *= half
"""
OUTPUT = """                for y in range(height):
                    for t in range(index(width * LANES)):
                        sums[i, {number}, t] += planes[{array} * height + y, t]
"""
LEAVING = """                for y in range(height):
                    for a in range(by{w}[ky, y], by{w}[ky, y + 1]):
                        for x in range(width):
                            s = index(x * LANES)
                            for b in range(bx{w}[kx, x], bx{w}[kx, x + 1]):
                                to, at, z = ny{w}[a] * across + nx{w}[b], py{w}[a], index(px{w}[b] * LANES)
                                for t in range(LANES):
{sums}
"""
WAY = ("by", "py", "ny", "bx", "px", "nx")
"""The arguments of a way to the next grid, along both axes: see ``Crossing`` in infinite/planes/crossings.py."""


def _source(course: Course, dtype: np.dtype) -> str:
    """A module with ``loop(height, width, oy, ox, planes, scratch, seen, own, margins, curves, sums, left, target,
    across, laned, *ways, images1, images2, *stages)``.

    It runs pairs of inputs through the planes with all offsets that ``oy`` and ``ox`` have along the two axes, LANES at
    once: those of several inputs of a first batch, one after the other, with LANES inputs of a second one. In arrays of
    the second the last axis is that of x and, within it, of lanes. Those of the first lead with its inputs, and where
    it is ``laned`` have lanes too, one for each of the second.

    Where it starts from inputs, ``images`` (1 + channels, height, width) have their standard deviations and normalized
    pixels; else ``left`` (arrays, planes, height, width LANES) holds what the grid before has left. Outputs are added
    up in ``sums`` (inputs, outputs, width LANES), and sums for the next grid in ``target`` (arrays, planes, its height,
    its width LANES), whose planes have ``across`` offsets along the second axis. There is room to work in: ``planes``
    (arrays height + 1, width LANES) with zeros in the last row, ``scratch`` (arrays height, width LANES with room for
    gaps), ``seen`` (elements), ``own`` and ``margins`` (arrays, height, width LANES) for what inputs of the first batch
    have, ``curves`` (see :mod:`.plane_tables`).

    Each way to the next grid has the arguments ``WAY``. Each stage has the arguments ``constants``, ``rows`` and
    ``columns`` (kept, height, width), and for each window ``ARGUMENTS`` of :mod:`.plane_windows`. Behind what its
    formula keeps, ``rows`` and ``columns`` have sqrt(1/2) over the norms along y for each window, and for each
    independent sum that the grid before has left the roots of the variances of its terms over that of their sum, and in
    the end the modes of tables. Last come the arguments of tables: see ``PlaneTable.arguments`` in
    infinite/planes/tables.py.
    """
    kinds = list(dict.fromkeys(course.stages))
    text = [HEAD.format(dtype=dtype.name, options=OPTIONS, lanes=course.lanes), SPREAD]
    if any(operation.name == "atan2" for stage in kinds for operation in stage.formula.operations):
        text.append(angle_source(dtype.name))
    if any(stage.tables for stage in kinds):
        text.append(tables_source(dtype, course.lanes))
    text += [_stage_source(f"stage{number}", stage) for number, stage in enumerate(kinds)]
    ways = [f"{name}{w}" for w in range(len(course.leaving)) for name in WAY]
    names = ["sums", "left", "target", "across", "laned", *ways, "images1", "images2"]
    body = INPUTS if course.starts else ""
    for number, stage in enumerate(course.stages):
        first = {"rows", *(f"{name}{w}" for name in "ru" for w in range(len(stage.windows)))}
        first |= {f"mixed{i}_{f}" for i, functions in enumerate(stage.tables) for f in range(functions)}
        own = {name: f"{name}_{number}" for name in ("constants", "rows", "columns", *_arguments(stage))}
        names += own.values()
        given = ", ".join(f"{value}[i]" if name in first else value for name, value in own.items())
        common = "height, width, dy, dx, plane, planes, scratch, seen, own, margins, curves, left, laned"
        body += f"                stage{kinds.index(stage)}({common}, {given})\n"
    body += "".join(OUTPUT.format(number=number, array=array) for number, array in enumerate(course.outputs))
    numbers = itertools.count()
    for w, arrays in enumerate(course.leaving):
        add = "target[{0}, to, at, z + t] += planes[{1} * height + y, s + t]"
        sums = "\n".join(" " * 36 + add.format(next(numbers), array) for array in arrays)
        body += LEAVING.format(w=w, sums=sums)
    return "\n".join([*text, LOOP.format(others=", ".join(names)) + body])


def _arguments(stage: Stage) -> list[str]:
    """The names of the arguments of a stage for its windows and tables."""
    windows = [f"{name}{w}" for w in range(len(stage.windows)) for name in ARGUMENTS]
    return windows + [name for table, functions in enumerate(stage.tables) for name in names(table, functions)]


def _stage_source(name: str, stage: Stage) -> str:
    """The function of a stage, for one plane."""
    formula, windows, more = stage.formula, range(len(stage.windows)), sides_kept(stage.formula)
    own = "".join(f", {argument}" for argument in _arguments(stage))
    text = "@compiled\n"
    text += f"def {name}(height, width, dy, dx, plane, planes, scratch, seen, own, margins, curves, left, laned, "
    text += f"constants, rows, columns{own}):\n    mine = spread(rows, own, laned)\n    nothing = planes.shape[0] - 1\n"
    for number, argument in enumerate(f"{name}{w}" for w in windows for name in "ru"):
        text += f"    {argument}m = spread({argument}, margins[{number} : {number + 1}], laned)\n"
    text += "".join(f"    k{i} = constants[{i}]\n" for i in range(len(formula.constants)))
    first = [sum(map(len, stage.windows[:w])) for w in windows]
    for w in windows:
        text += along_y(w, first[w], stage.windows[w], stage.deficits[w], stage.sizes[w][0], more + w)
    text += "    for y in range(height):\n        qy = (y + dy) % height\n"
    way = WAY_IN + "".join(places(w, stage.sizes[w][1]) for w in windows)
    inputs, before = _inputs(stage, first)
    results = dict[int, list[str]]()
    for array, place in zip(stage.results, formula.results, strict=False):
        results.setdefault(place, []).append(f"planes[{array} * height + y, p + t]")
    function, pairs = FIRST, FIRST + sum(stage.tables)
    angles = formula.results[len(stage.results) :]
    for table, (functions, place) in enumerate(zip(stage.tables, angles, strict=True)):
        text += way + _written(formula, inputs, before, {place: "curves[0, p + t]"})
        text += ask(table, functions, function, pairs)
        function += functions
    return text + way + _written(formula, inputs, before, {place: " = ".join(to) for place, to in results.items()})


def _inputs(stage: Stage, first: Sequence[int]) -> tuple[list[str], dict[int, list[str]]]:
    """The inputs of the formula of a stage that entries have, and lines that come before some of them.

    ``first`` are the numbers of the first sums of each window.
    """
    formula = stage.formula
    sums, apart, before = list[str](), list[tuple[list[str], str]](), {}
    for w, arrays in enumerate(stage.windows):
        over = _over(formula, ROW, stage.over[w]), _over(formula, COLUMN, stage.over[w])
        added, lines, name = along_x(w, first[w], len(arrays), stage.sizes[w][1], over)
        sums += added
        apart.append((lines, name))
    number = sides_kept(formula) + len(stage.windows)
    for terms in stage.distant:
        apart.append(left_apart(number, number, terms))
        number += terms
    inputs = sums + [f"left[{number}, plane, y, p + t]" for number in range(stage.left)]
    for lines, name in apart:
        before[len(inputs)] = lines
        inputs.append(name)
    inputs += [f"planes[{array} * height + y, p + t]" for array in stage.points]
    return inputs + [f"curves[{FIRST + number}, p + t]" for number in range(sum(stage.tables))], before


def _over(formula: Formula, axes: int, number: int) -> int:
    """Where one over a norm is among what is kept of rows (or columns), from its number among their inputs.

    Where no angle is read, as in front of a mean, it is not kept. Nobody reads the distance of norms there either, so
    that any number will do.
    """
    places = kept(formula, axes)
    place = formula.inputs.index(axes) + number  # inputs come first of all operations
    return places.index(place) if place in places else 0


def _written(formula: Formula, inputs: list[str], before: dict[int, list[str]], results: dict[int, str]) -> str:
    """A loop over a row of positions that writes numbers of a formula, by their places."""
    lines, numbers = _entries(formula, inputs, before, results)
    lines += [f"{to} = {numbers[place]}" for place, to in results.items()]
    return "            for t in range(n):\n" + "".join(f"                {line}\n" for line in lines)


def _entries(
    formula: Formula, inputs: list[str], before: dict[int, list[str]], wanted: Collection[int]
) -> tuple[list[str], dict[int, str]]:
    """The code of a formula for entries that are wanted, and the names of its numbers."""
    names: dict[int, str] = {}
    for axes, array in ((ROW, "mine[{0}, y, p + t]"), (COLUMN, "columns[{0}, qy, q + t]")):
        names |= {place: array.format(number) for number, place in enumerate(kept(formula, axes))}
    lines, used = [], set(needed(formula, list(wanted)))
    for place, operation in enumerate(formula.operations):
        if operation.name == "constant":
            names[place] = f"k{operation.arguments[0]}"
        elif operation.axes == ENTRY and place in used:
            if operation.name == "input":
                number = operation.arguments[0]
                lines += before.get(number, [])
                value = inputs[number]
            else:
                form = EXPRESSIONS.get(operation.name, operation.name + "({0})")
                value = form.format(*(names[argument] for argument in operation.arguments))
            lines.append(f"t{place} = {value}")
            names[place] = f"t{place}"
    return lines, names
