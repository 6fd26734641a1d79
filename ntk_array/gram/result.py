"""The array that tiles are written to, on libraries whose arrays can be written in place and on those where not."""

from typing import Any

from .._array.libraries import is_numpy
from .._array.linalg import mirror
from .._array.namespace import Array, Home, home, is_array

__all__ = ["Result"]


class Result:
    """A matrix, or a stack of them, that is filled tile by tile; ``array`` is what it holds."""

    def __init__(self, its_home: Home, shape: tuple[int, ...], out: Any) -> None:
        xp, dtype, device = its_home
        self._library = its_home.library
        if out is None:
            self.array: Array = xp.empty(shape, dtype=dtype, device=device)
            return
        if not self._library.writable:
            raise TypeError(
                f"{self._library.name} arrays cannot be written in place: leave out=None and use what is returned"
            )
        if not is_array(out):
            raise TypeError(f"out must be an array of shape {shape} and dtype {dtype}, got a {type(out).__name__}")
        given = home(out)
        if given != its_home or tuple(out.shape) != shape:
            raise ValueError(
                f"out must have shape {shape}, dtype {dtype} and be of {xp.__name__} on {device}; it has shape "
                f"{tuple(out.shape)}, dtype {out.dtype} and is of {given.xp.__name__} on {given.device}"
            )
        if is_numpy(out) and not out.flags.writeable:
            raise ValueError("out is read-only; give an array that can be written to")
        self.array = out

    @property
    def mirrors(self) -> bool:
        """Whether its library turns an upper triangle in one pass, quicker than tile by tile."""
        return self._library.mirror is not None

    def mirror(self) -> None:
        """Copy the upper triangle onto the lower one, in one pass."""
        whole = mirror(self.array)
        if whole is not self.array:  # the user's array does not lie row by row
            self.write(whole, 0, 0)

    def write(self, tile: Array, row: int, column: int) -> None:
        """Put a tile, or a stack of them, where its first entry is (row, column)."""
        self.array = self._library.write(self.array, tile, row, column)
