"""The infinite-width limit of layers, each in one pass over the entries, where its formulas can be compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .._array.namespace import Array
from .._array.same import Same
from .._formula.compilers import Compiler, compiled, compiler_for
from .._formula.formula import COLUMN, ENTRY, ROW
from .covariance import Covariance

__all__ = ["propagate"]

AXES = {"k12": ENTRY, "k11": ROW, "k22": COLUMN, "ntk": ENTRY, "sine": ENTRY}


def propagate(layers: Sequence[Any], state: Covariance) -> Covariance:
    """``layer.propagate(state)`` for one layer after the other.

    What each does to the arrays of a state is recorded once and compiled where that is worth it.
    """
    compiler = compiler_for(state.k12)
    if compiler is None:
        for layer in layers:
            state = layer.propagate(state)
        return state
    outline, arrays = _split(state)
    for layer in layers:
        # Tables are not elementwise, and a tabulated layer is another one for every problem.
        step = None if layer.numerical else _step(Same(layer), outline, tuple(arrays), compiler, state.k12.dtype)
        if step is None:
            outline, arrays = _split(layer.propagate(outline.to(**arrays)))
        else:
            outline, arrays = step.outline, dict(zip(step.names, step.loop(*arrays.values()), strict=True))
    return outline.to(**arrays)


def _split(state: Covariance) -> tuple[Covariance, dict[str, Array]]:
    """A state without its arrays, and those that it has."""
    arrays = {name: getattr(state, name) for name in AXES if getattr(state, name) is not None}
    return state.to(**dict.fromkeys(AXES)), arrays


class _Step(NamedTuple):
    """A layer as a loop over the arrays of a state, and the state of its results."""

    loop: Callable[..., Sequence[Array]]
    outline: Covariance
    names: tuple[str, ...]


@lru_cache(maxsize=256)
def _step(key: Same, outline: Covariance, names: tuple[str, ...], compiler: Compiler, dtype: Any) -> _Step | None:
    """A layer for states that are like ``outline`` but for the arrays of these names; None if it is not elementwise."""
    layer = key.item
    after: list[tuple[Covariance, tuple[str, ...]]] = []

    def function(*symbols: Array) -> list[Array]:
        state, arrays = _split(layer.propagate(outline.to(**dict(zip(names, symbols, strict=True)))))
        after.append((state, tuple(arrays)))
        return list(arrays.values())

    loop = compiled(function, [AXES[name] for name in names], compiler, dtype)
    return None if loop is None else _Step(loop, *after[0])
