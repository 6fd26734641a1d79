"""Where a flow has got to."""

from dataclasses import dataclass

from .._array.namespace import Array

__all__ = ["FlowState", "not_reached"]


@dataclass(frozen=True)
class FlowState:
    """f_t as the coefficients of f_t(x) = f_0(x) + K(x, X) c: all that a flow needs to go on from time t.

    Attributes
    ----------
    time : float
        t.
    coefficients : array (N, C)
        c.
    evaluations : int
        How often its integration evaluated d/dt c, from t = 0; 0 for a closed form.
    """

    time: float
    coefficients: Array
    evaluations: int = 0


def not_reached(value: float, cost: float, longest: float) -> ValueError:
    """The error of a flow whose cost does not fall as far as was asked."""
    return ValueError(
        f"the cost does not fall to {value:g} by t = {longest:g}, where it is {cost:g}; allow a longer time or a "
        "larger cost"
    )
