"""Formulas as compiled loops over NumPy arrays, by Numba (the extra ``cpu``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from .._array.libraries import is_numpy
from .formula import ARITHMETIC, COLUMN, ENTRY, NUMBER, ROW, Formula, NotElementwise
from .machine_code import OPTIONS, jit, loop_from

__all__ = ["EXPRESSIONS", "angle_source", "available", "compiles", "jit", "loop_of"]

ENOUGH = 2**15
"""From this many numbers on, a compiled loop pays. NumPy is done with fewer before the loop is loaded."""

HEAD = """from math import *
from numpy import empty, {dtype} as number
from numba import njit

compiled = njit(**{options})
"""
EXPRESSIONS = {
    **ARITHMETIC,
    "abs": "fabs({0})",
    "maximum": "{1} if {0} < {1} else {0}",
    "minimum": "{1} if {0} > {1} else {0}",
    "sign": "number({0} > 0) - number({0} < 0)",
    "where": "{1} if {0} else {2}",
    "atan2": "angle({0}, {1})",
}
"""Operations that are not functions of the same name in :mod:`math`; those get their arguments in brackets."""


def available() -> str | None:
    """The version of Numba, or None where it is not installed."""
    try:  # quick once it is loaded
        import numba
    except ImportError:
        return None
    return str(numba.__version__)


def compiles(x: object) -> bool:
    """Whether x is an array that loops are compiled for: of NumPy, real, and large enough."""
    return is_numpy(x) and x.dtype.char in "fd" and x.size >= ENOUGH and available() is not None


def loop_of(formula: Formula, dtype: np.dtype) -> Callable[..., list[np.ndarray]]:
    """A function from arrays (N1, N2), (N1, 1) and (1, N2) to the results of a formula, of those shapes too."""
    # A result of no axes has no place in a loop over entries.
    if any(formula.operations[place].axes == NUMBER for place in formula.results):
        raise NotElementwise("a result depends on no array")
    loop = _loop(replace(formula, constants=(0.0,) * len(formula.constants)), dtype)
    constants, inputs = np.asarray(formula.constants, dtype=dtype), formula.inputs
    axes = [formula.operations[place].axes for place in formula.results]

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        n1, n2 = max(a.shape[0] for a in arrays), max(a.shape[1] for a in arrays)
        plain = map(_plain, arrays, inputs)
        shapes = {ROW: (n1, 1), COLUMN: (1, n2), ENTRY: (n1, n2)}
        results = [np.empty(shapes[which], dtype) for which in axes]
        loop(n1, n2, constants, *plain, *map(_plain, results, axes))
        return results

    return call


# For the whole process, because machine code is: networks that do the same arithmetic share their loops, whatever their
# constants are. Formulas are compared, not their sources, because a source takes a millisecond to write.
@cache
def _loop(formula: Formula, dtype: np.dtype) -> Callable[..., None]:
    return loop_from(source(formula, dtype))


def _plain(a: np.ndarray, axes: int) -> np.ndarray:
    """Contiguous, writeable and without axes of length 1: one type for Numba to compile for."""
    a = a if axes == ENTRY else a.reshape(-1)
    return a if a.flags.carray else a.copy()


def source(formula: Formula, dtype: np.dtype) -> str:
    """A module with the function ``loop(n1, n2, constants, *inputs, *results)``."""
    # The loop runs over columns first, then over rows and, in each row, over entries. A number that depends on the
    # column only is computed n2 times and kept in an array u. One of the row only is computed n1 times, in the outer
    # loop.
    operations = formula.operations
    names = {axes: _names(formula, axes) for axes in (ROW, COLUMN, ENTRY)}
    kept = {
        place
        for operation in operations
        if operation.axes == ENTRY and operation.name not in ("input", "constant")
        for place in operation.arguments
        if operations[place].axes == COLUMN and operations[place].name not in ("input", "constant")
    }

    def steps(axes: int, index: str) -> list[str]:
        """The lines of code for each row, each column or each entry."""
        lines = []
        for place, operation in enumerate(operations):
            if operation.axes == axes and operation.name == "input":
                lines.append(f"t{place} = x{operation.arguments[0]}[{index}]")
            elif operation.axes == axes and operation.name != "constant":
                arguments = [names[axes][argument] for argument in operation.arguments]
                form = EXPRESSIONS.get(operation.name, operation.name + "({0})")
                lines.append(f"t{place} = {form.format(*arguments)}")
                if place in kept:
                    lines.append(f"u{place}[j] = t{place}")
        for number, place in enumerate(formula.results):
            if operations[place].axes == axes:
                lines.append(f"y{number}[{index}] = {names[axes][place]}")
        return lines

    arrays = [f"x{i}" for i in range(len(formula.inputs))] + [f"y{i}" for i in range(len(formula.results))]
    code = [HEAD.format(dtype=dtype.name, options=OPTIONS)]
    if any(operation.name == "atan2" for operation in operations):
        code.append(angle_source(dtype.name))
    code += ["@compiled", f"def loop(n1, n2, constants, {', '.join(arrays)}):"]
    code += [f"    c{i} = constants[{i}]" for i in range(len(formula.constants))]
    code += [f"    u{place} = empty(n2, number)" for place in sorted(kept)]
    code += ["    for j in range(n2):", *("        " + line for line in (steps(COLUMN, "j") or ["pass"]))]
    code += ["    for i in range(n1):", *("        " + line for line in steps(ROW, "i"))]
    code += ["        for j in range(n2):", *("            " + line for line in (steps(ENTRY, "i, j") or ["pass"]))]
    return "\n".join(code) + "\n"


def _names(formula: Formula, axes: int) -> list[str]:
    """The name of each number in the code for these axes: a variable, a constant, or an entry of an array."""

    def name(place: int) -> str:
        operation = formula.operations[place]
        if operation.name == "constant":
            return f"c{operation.arguments[0]}"
        if operation.axes == COLUMN and axes == ENTRY:
            return f"x{operation.arguments[0]}[j]" if operation.name == "input" else f"u{place}[j]"
        return f"t{place}"

    return [name(place) for place in range(len(formula.operations))]


def angle_source(dtype: str) -> str:
    """Source of atan2 that runs on several numbers at once: a + a z p(z) for a = tan t <= 1, z = a^2.

    p is a Chebyshev series on [0, 1], made in extended precision and written in powers of u = 2 z - 1: no coefficient
    is larger than 1 / 3.
    """
    n, terms = 64, 21 if dtype == "float64" else 10
    theta = np.arccos(np.longdouble(-1)) * (np.arange(n) + 0.5) / n
    # Chebyshev points on [0, 1]. Near z = 0 the quotient cancels, and its power series serves.
    z = (1 + np.cos(theta)) / 2
    near = sum((-1) ** k * z ** (k - 1) / np.longdouble(2 * k + 1) for k in range(1, 16))
    samples = np.where(z > 0.05, (np.arctan(np.sqrt(z)) / np.sqrt(z) - 1) / z, near)
    series = 2 * np.cos(np.outer(np.arange(terms), theta)) @ samples / n
    series[0] /= 2
    coefficients = np.polynomial.chebyshev.cheb2poly(series).astype(float)
    first, *rest = (f"number({c!r})" for c in coefficients[::-1].tolist())
    lines = [
        "@compiled",
        "def angle(y, x):",
        "    across, along = fabs(y), fabs(x)",
        "    larger = along if along > across else across",
        "    a = (across if along > across else along) / (larger if larger > 0 else number(1.0))",
        "    z = a * a",
        "    u = z + z - number(1.0)",
        f"    p = {first}",
        *(f"    p = p * u + {c}" for c in rest),
        "    t = a + a * (z * p)",
        f"    t = number({np.pi / 2!r}) - t if across > along else t",
        f"    t = number({np.pi!r}) - t if x < 0 else t",
        "    return copysign(t, y)",
        "",
        "",
    ]
    return "\n".join(lines)
