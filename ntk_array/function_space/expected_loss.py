"""Cost functionals that are the expectation of a loss, from the loss of one example and its derivative."""

from typing import Any, Protocol

from .._array.namespace import Array, home
from .cost import Cost
from .measure import EmpiricalMeasure, Function

__all__ = ["ExpectedLoss"]


class Pointwise(Protocol):
    """A function of outputs and targets, example by example."""

    def __call__(self, xp: Any, f: Array, y: Array, /) -> Array:
        """From f and y, both (N, C); xp is the namespace of their library."""


class ExpectedLoss(Cost):
    """C(f) = sum_i w_i l(f(x_i), y_i), the expectation over p^in of a loss l, with d|_f(x_i) = dl/df (f(x_i), y_i).

    The loss of one example and its derivative are functions ``(xp, f, y)``, written with the namespace they are given,
    so that they run on every library. Where l has a kink the derivative may be any subgradient.

    Parameters
    ----------
    p_in : EmpiricalMeasure
        Inputs and weights.
    y : array (N, C) or (N,)
        Targets.
    loss : callable
        ``(xp, f, y) -> (N,)`` from f and y (N, C): l of each example.
    loss_derivative : callable
        ``(xp, f, y) -> (N, C)``: dl/df of each example.

    Raises
    ------
    ValueError
        If a function returns another shape than it should. The call that uses it raises.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0.0], [1.0]]))
    >>> cost = ntk.function_space.ExpectedLoss(
    ...     p_in,
    ...     np.asarray([1.0, 3.0]),
    ...     loss=lambda xp, f, y: xp.sum(xp.abs(f - y), axis=1),
    ...     loss_derivative=lambda xp, f, y: xp.sign(f - y),
    ... )
    >>> float(cost(np.zeros(2))), cost.derivative(np.zeros(2)).representer.tolist()
    (2.0, [-1.0, -1.0])
    """

    of_examples = True

    def __init__(self, p_in: EmpiricalMeasure, y: Array, loss: Pointwise, loss_derivative: Pointwise) -> None:
        super().__init__(p_in, y)
        for name, function in (("loss", loss), ("loss_derivative", loss_derivative)):
            if not callable(function):
                raise TypeError(f"{name} must be a function (xp, f, y), got {function!r}")
        self.loss, self.loss_derivative = loss, loss_derivative

    def __call__(self, f: Function) -> Array:
        """sum_i w_i l(f(x_i), y_i)."""
        values = self.values(f)
        xp = home(values).xp
        losses = _of_shape("loss", self.loss(xp, values, self.y), (values.shape[0],))
        return xp.sum(self.p_in.column_weights[:, 0] * losses)

    def representer(self, f: Array) -> Array:
        """dl/df at each example."""
        return _of_shape("loss_derivative", self.loss_derivative(home(f).xp, f, self.y), tuple(f.shape))


def _of_shape(name: str, values: Array, shape: tuple[int, ...]) -> Array:
    # Losses (N, 1) would broadcast against the weights (N,) to (N, N), and their sum would be wrong without an error.
    if tuple(values.shape) != shape:
        raise ValueError(f"{name} returned values of shape {tuple(values.shape)} instead of {shape}")
    return values
