"""A cost functional that outliers among the targets cannot dominate."""

from typing import Any

from .._array.namespace import Array
from .._array.validate import positive
from .expected_loss import ExpectedLoss
from .measure import EmpiricalMeasure

__all__ = ["Huber"]


class Huber(ExpectedLoss):
    """C(f) = sum_i w_i sum_c h(f_c(x_i) - y_ic), with h(r) = r^2 / 2 up to |r| = delta, then delta (|r| - delta / 2).

    Its derivative is the residual, clipped: d|_f(x_i) = clip(f(x_i) - y_i, -delta, delta). Residuals that stay below
    delta give half of :class:`SquaredError`: the flow is at time t where that one is at t / 2.

    Parameters
    ----------
    p_in : EmpiricalMeasure
        Inputs and weights.
    y : array (N, C) or (N,)
        Targets.
    delta : float
        Where h becomes linear, in the units of y; positive.

    References
    ----------
    Huber 1964, "Robust estimation of a location parameter", section 4.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0.0], [1.0]]))
    >>> cost = ntk.function_space.Huber(p_in, np.asarray([0.5, 10.0]))
    >>> float(cost(np.zeros(2))), cost.derivative(np.zeros(2)).representer.tolist()
    (4.8125, [-0.5, -1.0])
    """

    def __init__(self, p_in: EmpiricalMeasure, y: Array, delta: float = 1.0) -> None:
        self.delta = positive("delta", delta)
        super().__init__(p_in, y, self._h, self._clipped)

    def _h(self, xp: Any, f: Array, y: Array) -> Array:
        size = xp.abs(f - y)
        near = xp.clip(size, max=self.delta)  # r^2 / 2 and delta |r| - delta^2 / 2 are both near (|r| - near / 2)
        return xp.sum(near * (size - 0.5 * near), axis=1)

    def _clipped(self, xp: Any, f: Array, y: Array) -> Array:
        return xp.clip(f - y, min=-self.delta, max=self.delta)
