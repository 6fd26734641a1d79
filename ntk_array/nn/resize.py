"""Images of another size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._array.validate import count, one_of
from .axis_maps import AxisMaps

__all__ = ["Resize"]


@dataclass(frozen=True)
class Resize(AxisMaps):
    """Values at more or fewer positions: (N, *positions, channels) to (N, *shape, channels).

    Positions are the centres of intervals of equal length: output i of m is at (i + 1/2) n / m - 1/2 among n inputs.
    "nearest" takes the value of the input nearest to it, "linear" interpolates between the two inputs on its sides,
    and takes that of the edge outside of them. There is no smoothing before fewer positions are taken.

    In the infinite-width limit K and Theta are mapped so in the positions of both inputs.

    Parameters
    ----------
    shape : tuple of int
        The new number of positions along each axis.
    method : "nearest" or "linear"

    Raises
    ------
    ValueError
        For numbers that are not positive, another method, and inputs with another number of axes.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ntk.nn.Resize((4,), "linear")({}, np.asarray([[[0.0], [1.0]]]))[0, :, 0]
    array([0.  , 0.25, 0.75, 1.  ])
    """

    shape: tuple[int, ...]
    method: str = "nearest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(count("shape", n) for n in self.shape))
        one_of("method", self.method, ("nearest", "linear"))

    @property
    def selects(self) -> bool:  # type: ignore[override]
        """Whether outputs are copies of inputs."""
        return self.method == "nearest"

    def maps(self, positions: tuple[int, ...]) -> list[np.ndarray]:
        if len(self.shape) != len(positions):
            raise ValueError(f"{self!r} needs inputs with {len(self.shape)} axes of positions, got {positions}")
        return [self._map(n, m) for n, m in zip(positions, self.shape, strict=True)]

    def _map(self, n: int, m: int) -> np.ndarray:
        # In whole numbers: (2 i + 1) n / (2 m), so that no rounding decides between two neighbours.
        doubled = (2 * np.arange(m) + 1) * n
        if self.selects:
            return np.eye(n)[doubled // (2 * m)]
        place = np.clip(doubled / (2 * m) - 0.5, 0.0, n - 1.0)
        return np.clip(1.0 - np.abs(place[:, None] - np.arange(n)), 0.0, None)
