"""Formulas as CUDA kernels, by :class:`cupy.ElementwiseKernel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .formula import ARITHMETIC, NUMBER, Formula, NotElementwise, needed

__all__ = ["body", "kernels_of", "statements"]

EXPRESSIONS = {
    **ARITHMETIC,
    "abs": "fabs({0})",
    "maximum": "{0} < {1} ? {1} : {0}",
    "minimum": "{0} > {1} ? {1} : {0}",
    "sign": "T({0} > T(0)) - T({0} < T(0))",
    "where": "{0} ? {1} : {2}",
    "atan2": "atan2({0}, {1})",
}
"""Operations that are not functions of one argument with the same name in CUDA C++."""
BOOLEAN = {"less", "less_equal", "equal", "not_equal"}


def kernels_of(formula: Formula, dtype: Any) -> Callable[..., list[Any]]:
    """A function from arrays (N1, N2), (N1, 1) and (1, N2) to the results: one kernel for those of each shape."""
    import cupy

    del dtype
    operations = formula.operations
    if any(operations[place].axes == NUMBER for place in formula.results):
        raise NotElementwise("a result depends on no array")
    # A kernel broadcasts its arrays and writes results of one shape. So results of rows, of columns and of entries
    # have a kernel each, which takes only inputs that broadcast to that shape.
    kernels = []
    for axes in sorted({operations[place].axes for place in formula.results}):
        wanted = [i for i, place in enumerate(formula.results) if operations[place].axes == axes]
        inputs = [i for i, which in enumerate(formula.inputs) if which | axes == axes]
        kernel = cupy.ElementwiseKernel(
            ", ".join(f"T x{i}" for i in inputs),
            ", ".join(f"T y{i}" for i in wanted),
            body(formula, wanted),
            f"ntk_array_formula_{axes}",
        )
        kernels.append((kernel, inputs, wanted))

    def call(*arrays: Any) -> list[Any]:
        results: dict[int, Any] = {}
        for kernel, inputs, wanted in kernels:
            found = kernel(*(arrays[i] for i in inputs))
            results |= zip(wanted, found if isinstance(found, tuple | list) else [found], strict=True)
        return [results[i] for i in range(len(formula.results))]

    return call


def body(formula: Formula, wanted: list[int]) -> str:
    """Statements in CUDA C++ that set the wanted results y0, y1 ... from one entry x0, x1 ... of each input."""
    lines, names = statements(formula, [formula.results[i] for i in wanted], {})
    return "\n".join([*lines, *(f"y{i} = {names[formula.results[i]]};" for i in wanted)])


def statements(
    formula: Formula, wanted: Sequence[int], given: Mapping[int, str], other: Mapping[str, str] | None = None
) -> tuple[list[str], dict[int, str]]:
    """Statements in CUDA C++ for the numbers at the wanted places of a formula, and the names of all numbers.

    Some numbers are there already: ``given`` has their names. Other inputs are x0, x1 ... Operations may have ``other``
    expressions than usual, by their names.
    """
    expressions = EXPRESSIONS | dict(other or {})
    names = dict(given)
    lines = []
    for place in needed(formula, wanted, given):
        name, arguments, _ = formula.operations[place]
        if name == "input":
            names[place] = f"x{arguments[0]}"
        elif name == "constant":
            names[place] = f"T({formula.constants[arguments[0]]!r})"
        else:
            names[place] = f"t{place}"
            form = expressions.get(name, name + "({0})")
            kind = "bool" if name in BOOLEAN else "T"
            lines.append(f"{kind} t{place} = {form.format(*(names[argument] for argument in arguments))};")
    return lines, names
