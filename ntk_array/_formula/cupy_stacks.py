"""Stacks of formulas as one CUDA kernel, by :class:`cupy.ElementwiseKernel`: repeated parts are loops.

The numbers of an entry stay in registers from the first part to the last, so that arrays are read and written once,
however deep a network is. A loop that is not unrolled has the code and the registers of one time. What a part needs of
a row or a column alone is computed before, by a small kernel for all times at once: (times, N1) and (times, N2).
Threads beside each other read neighbours along N2 of the second, and the same number of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._array.namespace import Array, home
from .cupy_kernels import kernels_of, statements
from .formula import COLUMN, ENTRY, ROW
from .plane_stages import kept
from .stack import Part, Stack, StackFunction

__all__ = ["source", "stack_of"]

PLACE = """// 64-bit division takes as long as a hundred other operations.
const long long row = i < (1LL << 31) ? (unsigned)i / (unsigned)width : i / width, column = i - row * width;
"""
PART = """{declared}#pragma unroll 1
for (int l = 0; l < {times}; ++l) {{
{body}}}
"""


def stack_of(stack: Stack, dtype: Any) -> StackFunction:
    """The function of a stack."""
    import cupy

    sides = [tuple(kept(part.formula, axes) for axes in (ROW, COLUMN)) for part in stack.parts]
    before = [
        kernels_of(replace(part.formula, results=rows + columns), dtype)
        for part, (rows, columns) in zip(stack.parts, sides, strict=True)
    ]
    inputs = [*(f"T x{i}" for i in range(stack.arrays)), "raw T rows", "raw T columns", "int64 height", "int64 width"]
    outputs = [f"T y{i}" for i in range(len(stack.results))]
    kernel = cupy.ElementwiseKernel(", ".join(inputs), ", ".join(outputs), source(stack), "ntk_array_stack")

    def call(arrays: Sequence[Array], given: Sequence[Array]) -> list[Array]:
        xp, numbers = home(arrays[0]).xp, dict[int, list[Array]]({ROW: [], COLUMN: []})
        pending = iter(given)
        for part, numbers_of, (rows, _) in zip(stack.parts, before, sides, strict=True):
            own = numbers_of(*(None if axes == ENTRY else next(pending) for axes in part.formula.inputs))
            for axes, axis, values in ((ROW, 2, own[: len(rows)]), (COLUMN, 1, own[len(rows) :])):
                numbers[axes] += [xp.reshape(xp.stack(values, axis=axis), (-1,))] if values else []
        # A kernel that reads none of one side gets some other array.
        joined = (xp.concat(own) if own else arrays[0] for own in numbers.values())
        found = kernel(*arrays, *joined, *arrays[0].shape)
        return list(found) if isinstance(found, tuple | list) else [found]

    return call


def source(stack: Stack) -> str:
    """Statements in CUDA C++ that set y0, y1 ... from one entry x0, x1 ... of each array.

    The numbers of rows are in ``rows``: (times, height, numbers) of each part, one after the other. Those of columns,
    which threads beside each other read, are in ``columns``: (times, numbers, width) of each part.
    """
    entries, code, done = [f"x{i}" for i in range(stack.arrays)], PLACE, {ROW: 0, COLUMN: 0}
    for part in stack.parts:
        results = [f"v{len(entries) + k}" for k in range(len(part.formula.results))]
        code += _loop(part, [entries[number] for number in part.reads], results, done)
        entries += results
        done = {axes: number + part.times * len(kept(part.formula, axes)) for axes, number in done.items()}
    return code + "\n".join(f"y{k} = {entries[number]};" for k, number in enumerate(stack.results))


def _loop(part: Part, reads: Sequence[str], results: Sequence[str], done: Mapping[int, int]) -> str:
    """The code of a part, between the names of the entries that it reads and of its results.

    ``done`` are the numbers of rows and of columns before its own.
    """
    formula = part.formula
    again = part.times > 1
    # Each time starts from the results of the time before, the first one from what is read.
    first = [f" = {read}" for read in reads] if again else [""] * len(results)
    declared = [f"T {name}{value};" for name, value in zip(results, first, strict=True)]
    values = {
        place: (results if again else reads)[operation.arguments[0]]
        for place, operation in enumerate(formula.operations)
        if operation.name == "input" and operation.axes == ENTRY
    }
    rows, columns = kept(formula, ROW), kept(formula, COLUMN)
    lines = [
        f"const T* r = &rows[{done[ROW]} * height + (l * height + row) * {len(rows)}];" * bool(rows),
        f"const T* c = &columns[({done[COLUMN]} + l * {len(columns)}) * width + column];" * bool(columns),
    ]
    values |= {place: f"r[{k}]" for k, place in enumerate(rows)}
    values |= {place: f"c[{k} * width]" for k, place in enumerate(columns)}
    computed, names = statements(formula, formula.results, {place: f"e{place}" for place in values})
    lines += [f"const T e{place} = {value};" for place, value in values.items()] + computed
    lines += [f"{name} = {names[place]};" for name, place in zip(results, formula.results, strict=True)]
    return PART.format(
        declared="".join(f"{line}\n" for line in declared),
        times=part.times,
        body="".join(f"    {line}\n" for line in lines),
    )
