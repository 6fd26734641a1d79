"""The array that tiles are written to, on libraries whose arrays can be written in place and on those where not."""

from functools import cache
from typing import Any

import numpy as np

from .._array.namespace import Array, Home, home, is_array

__all__ = ["Result"]


class Result:
    """A matrix, or a stack of them, that is filled tile by tile; ``array`` is what it holds."""

    def __init__(self, place: Home, shape: tuple[int, ...], out: Any) -> None:
        self._functional = place.xp.__name__.startswith("jax")
        if out is None:
            self.array: Array = place.xp.empty(shape, dtype=place.dtype, device=place.device)
            return
        if self._functional:
            raise TypeError("JAX arrays cannot be written in place: leave out=None and use what is returned")
        if not is_array(out):
            raise TypeError(
                f"out must be an array of shape {shape} and dtype {place.dtype}, got a {type(out).__name__}"
            )
        if home(out) != place or tuple(out.shape) != shape:
            raise ValueError(
                f"out must have shape {shape}, dtype {place.dtype} and be of {place.xp.__name__} on {place.device}; "
                f"it has shape {tuple(out.shape)}, dtype {out.dtype} and is of {home(out).xp.__name__} on "
                f"{home(out).device}"
            )
        if isinstance(out, np.ndarray) and not out.flags.writeable:
            raise ValueError("out is read-only; give an array that can be written to")
        self.array = out

    def write(self, tile: Array, row: int, column: int) -> None:
        """Put a tile, or a stack of them, where its first entry is (row, column)."""
        if self._functional:
            self.array = _jax_writer()(self.array, tile, (*[0] * (tile.ndim - 2), row, column))
            return
        rows, columns = tile.shape[-2:]
        tile = tile.detach() if hasattr(tile, "detach") else tile
        self.array[..., row : row + rows, column : column + columns] = tile


@cache
def _jax_writer() -> Any:
    """An update that takes over the buffer of its first argument: the array is never there twice."""
    import jax

    return jax.jit(jax.lax.dynamic_update_slice, donate_argnums=0)
