"""The state of a flow at one time."""

from dataclasses import dataclass

from .._array.namespace import Array
from .._array.short import short_repr

__all__ = ["FlowState", "not_reached"]


@dataclass(frozen=True)
class FlowState:
    """f_t as the coefficients of f_t(x) = f_0(x) + K(x, X) c: all that a flow needs to continue from time t.

    Attributes
    ----------
    time : float
        t.
    coefficients : array (N, C)
        c.
    evaluations : int
        How many times d/dt c was evaluated in the integration from t = 0; 0 for a closed form.
    velocities : array (N, C), optional
        d/dt c, of an integrated flow with friction; None for all others.
    """

    __repr__ = short_repr

    time: float
    coefficients: Array
    evaluations: int = 0
    velocities: Array | None = None


def not_reached(value: float, cost: float, longest: float) -> ValueError:
    """The error for a cost that has not fallen to ``value`` at the longest time allowed."""
    return ValueError(
        f"the cost does not fall to {value:g} by t = {longest:g}, where it is {cost:g}; allow a longer time or a "
        "larger cost"
    )
