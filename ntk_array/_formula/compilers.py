"""One formula, several compilers: elementwise code in one pass over its arrays, where something can compile it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .._array.namespace import Array, home
from . import cupy_kernels, numba_loops
from .formula import COLUMN, ROW, Formula, NotElementwise, trace

__all__ = ["Compiler", "apply", "compiled", "compiler_for", "descriptions"]


@dataclass(frozen=True)
class Compiler:
    """What turns formulas into functions on the arrays of one library.

    Attributes
    ----------
    compile : callable (formula, dtype) -> function
        The function takes arrays (N1, N2), (N1, 1) and (1, N2) of the dtype, and returns the results of the formula.
    together : int
        How many layers of a network are worth one function. On a GPU each saves a trip of whole arrays through memory.
        On the host, tiles stay in the cache between layers, and a loop over several of them runs out of registers.
    """

    compile: Callable[[Formula, Any], Callable[..., Sequence[Array]]]
    together: int


def compiler_for(x: Array) -> Compiler | None:
    """What compiles for the library of a matrix (N1, N2); None where nothing does, or where it is too small."""
    if x.ndim != 2 or min(x.shape) < 2 or x.shape[0] * x.shape[1] < numba_loops.ENOUGH:
        return None
    if isinstance(x, np.ndarray):
        return NUMBA if numba_loops.available() else None
    name = home(x).xp.__name__
    if name.startswith("jax"):
        return JAX
    return CUPY if name.endswith("cupy") else None


def compiled(
    function: Callable[..., Sequence[Array]], axes: Sequence[int], compiler: Compiler, dtype: Any
) -> Callable[..., Sequence[Array]] | None:
    """A function from arrays with these axes to a sequence of arrays, in one pass; None where it is not elementwise."""
    try:
        return compiler.compile(trace(function, axes, dtype), dtype)
    except NotElementwise:
        return None


def apply(function: Callable[..., Array], first: Array, *rest: Array) -> Array:
    """``function(first, *rest)`` for a matrix (N1, N2) and others of that shape, (N1, 1) or (1, N2)."""
    compiler = compiler_for(first)
    if compiler is not None:
        axes = tuple((ROW if a.shape[0] > 1 else 0) | (COLUMN if a.shape[1] > 1 else 0) for a in (first, *rest))
        fast = _compiled_function(function, axes, compiler, first.dtype)
        if fast is not None:
            return fast(first, *rest)[0]
    return function(first, *rest)


@lru_cache(maxsize=64)
def _compiled_function(
    function: Callable[..., Array], axes: tuple[int, ...], compiler: Compiler, dtype: Any
) -> Callable[..., Sequence[Array]] | None:
    return compiled(lambda *symbols: [function(*symbols)], axes, compiler, dtype)


def _jax_function(formula: Formula, dtype: Any) -> Callable[..., Sequence[Array]]:
    import jax

    del dtype
    return jax.jit(lambda *arrays: formula.evaluate(jax.numpy, *arrays))  # type: ignore[no-any-return]


NUMBA = Compiler(numba_loops.loop_of, together=1)
CUPY = Compiler(cupy_kernels.kernels_of, together=64)
JAX = Compiler(_jax_function, together=64)


def descriptions() -> dict[str, str]:
    """How formulas are computed on each library, in words."""
    numba = numba_loops.available()
    missing = "operation by operation; pip install 'ntk_array[cpu]' for loops compiled by Numba"
    return {
        "numpy": f"loops compiled by Numba {numba}" if numba else missing,
        "torch": "operation by operation",
        "jax": "one function compiled by jax.jit",
        "cupy": "one kernel compiled by cupy.ElementwiseKernel",
    }
