"""One formula, several compilers: elementwise code becomes one pass over its arrays where a compiler is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .._array.libraries import LIBRARIES
from .._array.namespace import Array, home
from .._support.hints import install_hint
from . import cupy_kernels, cupy_near, cupy_stacks, cupy_tables, numba_loops
from .formula import COLUMN, ENTRY, ROW, Formula, NotElementwise, trace
from .stack import Stack, StackFunction

__all__ = ["COMPILERS", "Compiler", "apply", "apply_near", "compiler_for", "descriptions"]

INTERPRETED = "operation by operation"


@dataclass(frozen=True)
class Compiler:
    """What turns formulas into functions on the arrays of one library.

    Attributes
    ----------
    compile : callable (formula, dtype) -> function
        The function takes arrays (N1, N2), (N1, 1) and (1, N2) of the dtype, and returns the results of the formula.
    together : int
        How many steps of a network are worth one function. On a GPU each saves a trip of whole arrays through memory,
        but a kernel of many steps runs out of registers: for the 41 steps of 20 hidden layers one kernel took three
        times as long as kernels of six. On the host, tiles stay in the cache between steps, and registers run out at
        once. Where repeated steps are a loop they count once.
    installed : callable
        Whether it can be used.
    description : callable
        A line about it for ``ntk-array info``.
    stack : callable (stack, dtype) -> function, optional
        Makes loops of repeated steps; see :func:`.cupy_stacks.stack_of`. None where steps are formulas one by one.
    near : callable (formula, formula, dtype) -> function, optional
        Computes some entries again from their inputs; see :func:`.cupy_near.near_of`.
    sum_mixed : callable (shares, left, right, y) -> array, optional
        Sums the series of a table at all entries; see :func:`ntk_array.infinite.series.sum_mixed`.
    """

    compile: Callable[[Formula, Any], Callable[..., Sequence[Array]]]
    together: int
    installed: Callable[[], bool]
    description: Callable[[], str]
    stack: Callable[[Stack, Any], StackFunction] | None = None
    near: Callable[[Formula, Formula, Any], Callable[[Sequence[Array], Array, Array], Array]] | None = None
    sum_mixed: Callable[[Sequence[np.ndarray], Array, Array, Array], Array] | None = None


def compiler_for(x: Array) -> Compiler | None:
    """The compiler for the library of a matrix (N1, N2); None if there is none, or if it does not pay."""
    if x.ndim != 2 or min(x.shape) < 2 or x.shape[0] * x.shape[1] < numba_loops.ENOUGH:
        return None
    compiler = COMPILERS.get(home(x).library.compiler or "")
    return compiler if compiler is not None and compiler.installed() else None


def apply(function: Callable[..., Array], first: Array, *rest: Array) -> Array:
    """``function(first, *rest)`` for a matrix (N1, N2) and others of that shape, (N1, 1) or (1, N2)."""
    compiler = compiler_for(first)
    if compiler is not None:
        fast = _compiled_function(function, None, _axes(first, *rest), compiler, first.dtype)
        if fast is not None:
            return fast(first, *rest)[0]
    return function(first, *rest)


def apply_near(
    function: Callable[..., Sequence[Array]], again: Callable[..., Array], arrays: Sequence[Array], u: Array, v: Array
) -> Array | None:
    """Values (N1, N2), some of them computed again from the rows u (N1, d) and v (N2, d), in one pass over entries.

    ``function(*arrays)`` gives a value, a limit, g and f. Where the value is below the limit it becomes
    ``again(f^2 |u - g v|^2, *arrays)``. None where nothing compiles that for these arrays.
    """
    compiler = compiler_for(arrays[0])
    if compiler is None or compiler.near is None:
        return None
    fast = _compiled_function(function, again, _axes(*arrays), compiler, arrays[0].dtype)
    return None if fast is None else fast(arrays, u, v)


def _axes(*arrays: Array) -> tuple[int, ...]:
    return tuple((ROW if a.shape[0] > 1 else 0) | (COLUMN if a.shape[1] > 1 else 0) for a in arrays)


# For the whole process, because these functions are: module-level ones, and descriptions that compare by value.
@lru_cache(maxsize=64)
def _compiled_function(
    function: Callable[..., Any],
    again: Callable[..., Array] | None,
    axes: tuple[int, ...],
    compiler: Compiler,
    dtype: Any,
) -> Callable[..., Any] | None:
    """A function of arrays, or with ``again`` one for :func:`apply_near`."""
    try:
        if again is None:
            return compiler.compile(trace(lambda *symbols: [function(*symbols)], axes, dtype), dtype)
        first, second = trace(function, axes, dtype), trace(lambda *symbols: [again(*symbols)], (ENTRY, *axes), dtype)
        return None if compiler.near is None else compiler.near(first, second, dtype)
    except NotElementwise:
        return None


def _jax_function(formula: Formula, dtype: Any) -> Callable[..., Sequence[Array]]:
    import jax

    del dtype
    return jax.jit(lambda *arrays: formula.evaluate(jax.numpy, *arrays))  # type: ignore[no-any-return]


def _numba_description() -> str:
    version = numba_loops.available()
    if version is None:
        return f"{INTERPRETED}; {install_hint('cpu')} for loops compiled by Numba"
    return f"loops compiled by Numba {version}"


COMPILERS = {
    "numba": Compiler(numba_loops.loop_of, 1, lambda: numba_loops.available() is not None, _numba_description),
    "jax.jit": Compiler(_jax_function, 64, lambda: True, lambda: "one function compiled by jax.jit"),
    "cupy": Compiler(
        cupy_kernels.kernels_of,
        6,
        lambda: True,
        lambda: "one kernel compiled by cupy.ElementwiseKernel",
        cupy_stacks.stack_of,
        cupy_near.near_of,
        cupy_tables.sum_mixed,
    ),
}
"""Compilers by the word that stands for them in the entries of libraries, ``Library.compiler``."""


def descriptions() -> dict[str, str]:
    """How formulas are computed on each library, in words."""
    words = {name: library.compiler for name, library in LIBRARIES.items()}
    return {name: COMPILERS[word].description() if word else INTERPRETED for name, word in words.items()}
