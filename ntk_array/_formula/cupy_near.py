"""Entries by a formula, and where it loses digits by another from the two inputs of the entry: one CUDA kernel.

Which entries these are is decided on the device, so that the host does not wait for an answer. They are few in most
data: a thread that has one reads both inputs, and those beside it wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._array.namespace import Array
from .cupy_kernels import statements
from .cupy_stacks import PLACE
from .formula import Formula

__all__ = ["near_of", "source"]

AGAIN = """T value = {value};
if (value < {limit}) {{
    {place}
    const T turn = {turn}, unit = {unit};
    T squares = 0;
    // Parts of a few terms: their sums round less than one long sum does.
    for (long long first = 0; first < features; first += 32) {{
        T part = 0;
        for (long long k = first; k < features && k < first + 32; ++k) {{
            const T gap = unit * (u[row * features + k] - turn * v[k * width + column]);
            part += gap * gap;
        }}
        squares += part;
    }}
    {lines}
    value = {again};
}}
y0 = value;"""


def near_of(first: Formula, again: Formula, dtype: Any) -> Callable[[Sequence[Array], Array, Array], Array]:
    """A function (arrays, u, v) -> values (N1, N2), for arrays (N1, N2), (N1, 1), (1, N2) or (1, 1).

    The formula ``first`` makes of these a value, a limit, and the numbers g and f. Where the value is below the limit,
    the value is what ``again`` makes of f^2 |u - g v|^2 and the same arrays, for the rows u (N1, d) and v (N2, d) of
    the entry.
    """
    import cupy

    del dtype
    arrays = [f"T x{i}" for i in range(len(first.inputs))]
    inputs = ", ".join([*arrays, "raw T u", "raw T v", "int64 width", "int64 features"])
    kernel = cupy.ElementwiseKernel(inputs, "T y0", source(first, again), "ntk_array_near")

    def call(arrays: Sequence[Array], u: Array, v: Array) -> Array:
        # Threads beside each other have neighbouring columns: they read neighbouring numbers of v transposed.
        found = kernel(*arrays, cupy.ascontiguousarray(u), cupy.ascontiguousarray(v.T), v.shape[0], v.shape[1])
        return found[0] if isinstance(found, tuple | list) else found

    return call


def source(first: Formula, again: Formula) -> str:
    """Statements in CUDA C++ that set y0 from one entry x0, x1 ... of each array."""
    lines, names = statements(first, first.results, {})
    value, limit, turn, unit = (names[place] for place in first.results)
    # The first input of the second formula is the sum of squares; the others are the arrays.
    inputs = {place: own.arguments[0] for place, own in enumerate(again.operations) if own.name == "input"}
    given = {place: f"x{number - 1}" if number else "squares" for place, number in inputs.items()}
    more, names = statements(again, again.results, given)
    return "\n".join([*lines, ""]) + AGAIN.format(
        value=value,
        limit=limit,
        place=PLACE.replace("\n", "\n    ").rstrip(),
        turn=turn,
        unit=unit,
        lines="\n    ".join(more),
        again=names[again.results[0]],
    )
