"""The infinite-width limit of a layer in one pass over the entries, where its formulas can be compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .._array.compilers import Compiler, compiled, compiler_for
from .._array.formula import COLUMN, ENTRY, ROW
from .._array.namespace import Array
from .._array.same import Same
from .covariance import Covariance

if TYPE_CHECKING:
    from .layer import Layer

__all__ = ["propagate"]

AXES = {"k12": ENTRY, "k11": ROW, "k22": COLUMN, "ntk": ENTRY, "sine": ENTRY}


def propagate(layer: Layer, state: Covariance) -> Covariance:
    """``layer.propagate(state)``; what it does to the arrays is recorded once and compiled where that is worth it."""
    compiler = compiler_for(state.k12)
    if compiler is None:
        return layer.propagate(state)
    arrays = _arrays(state)
    step = _step(Same(layer), state.to(**dict.fromkeys(AXES)), tuple(arrays), compiler, state.k12.dtype)
    return layer.propagate(state) if step is None else step(arrays)


def _arrays(state: Covariance) -> dict[str, Array]:
    return {name: getattr(state, name) for name in AXES if getattr(state, name) is not None}


@lru_cache(maxsize=256)
def _step(
    key: Same, outline: Covariance, names: tuple[str, ...], compiler: Compiler, dtype: Any
) -> Callable[[dict[str, Array]], Covariance] | None:
    """A layer for states that are like ``outline`` but for the arrays of these names."""
    layer: Layer = key.item
    after: dict[str, Any] = {}

    def function(*symbols: Array) -> list[Array]:
        state = layer.propagate(outline.to(**dict(zip(names, symbols, strict=True))))
        arrays = _arrays(state)
        after.update(outline=state.to(**dict.fromkeys(AXES)), names=list(arrays))
        return list(arrays.values())

    loop = compiled(function, [AXES[name] for name in names], compiler, dtype)
    if loop is None:
        return None

    def step(arrays: dict[str, Array]) -> Covariance:
        results = dict(zip(after["names"], loop(*arrays.values()), strict=True))
        state: Covariance = after["outline"].to(**results)
        return state

    return step
