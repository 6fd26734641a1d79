"""What is known of the values inside a network before any data is seen."""

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Signal"]


@dataclass(frozen=True)
class Signal:
    """Facts about the values at one place of a network: hashable, without arrays, walked through the layers alone.

    Attributes
    ----------
    shape : tuple of int
        Of the values of one input: positions first, then features.
    gaussian : bool
        Whether the features are independent copies of one centred Gaussian process at infinite width, which is what
        activations need.
    centred : bool
        Whether the mean over the features is zero at infinite width.
    wide : bool
        Whether the number of features goes to infinity in the limit, as behind every layer with weights.
    degree : float or None
        The degree of homogeneity: f(a x) = a^degree f(x) for every a > 0, so that norms factor out of the kernels. None
        where there is no such number.
    obstacle : str or None
        Why there is no infinite-width limit in closed form; None where there is one.
    """

    shape: tuple[int, ...]
    gaussian: bool = False
    centred: bool = False
    degree: float | None = 1.0
    obstacle: str | None = None
    wide: bool = False

    @property
    def width(self) -> int:
        """The number of features."""
        return self.shape[-1]

    def to(self, **changes: Any) -> "Signal":
        """A copy with some facts changed."""
        return replace(self, **changes)
