"""The units in which targets are fitted."""

import math

from .._array.namespace import Array, home, to_host

__all__ = ["Units"]


class Units:
    """Targets as they were given, and as they are fitted: less a shift of each output, over a scale of all.

    One scale for all outputs keeps one covariance for all of them.

    Attributes
    ----------
    given, fitted : array (N, C) or (N,)
    normalized : bool
        Else nothing is changed.
    shift : array (C,) or (), or 0.0
        The mean of each output; 0.0 where targets are not normalized.
    scale : float
        The root mean square of the targets less their means; 1 where that is 0.
    """

    def __init__(self, given: Array, normalized: bool) -> None:
        self.given = self.fitted = given
        self.normalized, self.scale = normalized, 1.0
        self.shift: Array | float = 0.0
        if not normalized:
            return
        xp = home(given).xp
        self.shift = xp.mean(given, axis=0)
        centred = given - self.shift
        # Squares of very large targets overflow, and those of very small ones vanish. In units of a power of two near
        # the largest they do neither, and no digit changes.
        unit = _power_of_two(float(to_host(xp.max(xp.abs(centred)))))
        parts = centred / unit
        self.scale = unit * float(to_host(xp.sqrt(xp.mean(parts * parts)))) or 1.0
        self.fitted = centred / self.scale

    def mean(self, fitted: Array) -> Array:
        """Values (M, C) in the units of the targets."""
        return self.scale * fitted + self.shift if self.normalized else fitted

    def covariance(self, fitted: Array) -> Array:
        """Covariances in the units of the targets."""
        return self.scale**2 * fitted if self.normalized else fitted


def _power_of_two(size: float) -> float:
    """The largest power of two up to a positive size; 1 for 0.

    ValueError if the size is not finite.
    """
    if not math.isfinite(size):
        raise ValueError("the targets are too large: differences from their means overflow; give them in another unit")
    return math.ldexp(1.0, math.frexp(size)[1] - 1) if size else 1.0
