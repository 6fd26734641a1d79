"""Positions that are selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .axis_maps import AxisMaps

__all__ = ["Index"]


@dataclass(frozen=True)
class Index(AxisMaps):
    """Some positions of the inputs, as NumPy selects them: (N, *positions, channels) to (N, *fewer, channels).

    In the infinite-width limit K and Theta are those of the positions that are selected.

    Parameters
    ----------
    index : int, slice or tuple of them
        One for each axis of positions; axes without one are kept whole. A number drops its axis.

    Raises
    ------
    TypeError, ValueError
        For what is no such index, and for inputs without these positions.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> images = np.zeros((4, 8, 8, 3))
    >>> ntk.nn.Index((0, slice(2, 8, 2)))({}, images).shape
    (4, 3, 3)
    """

    index: Any

    selects = True

    def __post_init__(self) -> None:
        given = self.index if isinstance(self.index, tuple | list) else (self.index,)
        # A slice as three numbers: slices have no hash, and no place in a file.
        found = tuple(
            (one.start, one.stop, one.step) if isinstance(one, slice) else tuple(one) if isinstance(one, list) else one
            for one in given
        )
        for one in found:
            parts = one if isinstance(one, tuple) and len(one) == 3 else (one,)
            known = all(
                (isinstance(p, int) and not isinstance(p, bool)) or (p is None and len(parts) == 3) for p in parts
            )
            if not known:
                raise TypeError(f"index must be a number, a slice or a tuple of them, got {self.index!r}")
        object.__setattr__(self, "index", found)

    def maps(self, positions: tuple[int, ...]) -> list[np.ndarray]:
        if len(self.index) > len(positions):
            raise ValueError(f"{self!r} has {len(self.index)} axes; its inputs have positions {positions}")
        matrices = []
        for axis, n in enumerate(positions):
            one = self.index[axis] if axis < len(self.index) else (None, None, None)
            if isinstance(one, int) and not -n <= one < n:
                raise ValueError(f"{self!r} needs the position {one} along axis {axis} of positions, which has {n}")
            chosen = np.arange(n)[slice(*one)] if isinstance(one, tuple) else np.arange(n)[[one]]
            if not len(chosen):
                raise ValueError(f"{self!r} selects nothing along axis {axis} of positions, which has {n}")
            matrices.append(np.eye(n)[chosen])
        return matrices

    def dropped(self, count: int) -> tuple[bool, ...]:
        return tuple(axis < len(self.index) and isinstance(self.index[axis], int) for axis in range(count))
