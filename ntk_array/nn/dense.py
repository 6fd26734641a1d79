"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._array.namespace import Array
from ..infinite.covariance import Covariance
from ..infinite.signal import Signal
from .linear import Linear

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Linear):
    """A fully connected layer: (N, n) to (N, width). Positions share its weights: (N, *P, n) to (N, *P, width).

    NTK parameterization: z = weight_std / sqrt(n) W h + bias_std b with W, b ~ N(0, 1).
    Standard parameterization: z = W h + b with W ~ N(0, weight_std^2 / n), b ~ N(0, bias_std^2).
    Parameters are "weight" (width, n) and, unless bias_std is 0, "bias" (width,).

    In the infinite-width limit K -> weight_std^2 K + bias_std^2 and Theta -> K_new + weight_std^2 Theta (Jacot et
    al. 2018, Theorem 1). The NTK of the standard parameterization grows with the width, so that it is given at the
    network's own widths: Theta -> n K + 1 + weight_std^2 Theta, the 1 only where there is a bias.

    Parameters
    ----------
    width : int
        Number of output features.
    weight_std : float
        sigma_w, positive.
    bias_std : float
        sigma_b; 0.0 means that there is no bias parameter.
    parameterization : "ntk" or "standard"

    Raises
    ------
    ValueError, TypeError
        For a width below 1, a weight_std that is not positive or a bias_std that is negative.
    """

    width: int
    weight_std: float = 1.0
    bias_std: float = 0.0
    parameterization: str = "ntk"

    def __post_init__(self) -> None:
        self._validate()

    def outputs(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        return positions

    def gathered(self, x: Array) -> Array:
        return x

    def scattered(self, seen: Array, positions: tuple[int, ...]) -> Array:
        return seen

    def terms(self, state: Covariance) -> list[Covariance]:
        return [state]

    def limit_taylor(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        return self.limit(states, signals)
