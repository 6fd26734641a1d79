"""Gradient descent of any loss, with momentum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._array.namespace import Array, home
from ...dynamics import FlowState, GradientFlow
from ...function_space import Cost, EmpiricalMeasure
from ...kernels import Precomputed
from .descent import check_asked, over_times, times_of
from .flattened import Flattened, rows_of

__all__ = ["ODEState", "gradient_descent"]


@dataclass(frozen=True)
class ODEState:
    """Values on both sets, and with momentum their velocities ``qx``, per unit of sqrt(learning_rate) * t."""

    fx_train: Any = None
    fx_test: Any = None
    qx_train: Any = None
    qx_test: Any = None


class _Loss(Cost):
    """A loss of all outputs, by its gradient."""

    def __init__(self, layout: Flattened, loss: Callable[..., Array], gradient: Callable[[Array], Array]) -> None:
        self.layout, self.loss, self.gradient = layout, loss, gradient
        columns = layout.flat(layout.y)
        super().__init__(EmpiricalMeasure(rows_of(columns, 0, columns.shape[0])), columns)

    def __call__(self, f: Any) -> Array:
        return self.loss(self.layout.shaped(self.values(f)), self.layout.y)

    def representer(self, f: Array) -> Array:
        """N times the gradient: each input has the weight 1/N."""
        return f.shape[0] * self.layout.flat(self.gradient(self.layout.shaped(f)))


def gradient_descent(
    loss: Callable[[Array, Array], Array],
    k_train_train: Array,
    y_train: Array,
    learning_rate: float = 1.0,
    momentum: float | None = None,
    trace_axes: Any = (-1,),
    loss_gradient: Callable[[Array, Array], Array] | None = None,
) -> Callable[..., Any]:
    """``predict_fn(t, fx_train_0, fx_test_0, k_test_train)``: :class:`ntk_array.dynamics.GradientFlow` of any loss.

    With momentum it is ``GradientFlow(friction=(1 - momentum) / sqrt(learning_rate))`` at the time sqrt(learning_rate)
    t. Costs with formulas of their own are in :mod:`ntk_array.function_space`.

    Parameters
    ----------
    loss : callable
        (fx, y) to one number, of all outputs. On JAX and PyTorch it is differentiated by the library.
    k_train_train, y_train, learning_rate, trace_axes
        As for :func:`gradient_descent_mse`.
    momentum : float, optional
    loss_gradient : callable, optional
        (fx, y) to the gradient in fx. It is no argument of neural-tangents. NumPy and CuPy need it.

    Returns
    -------
    callable
        As for :func:`gradient_descent_mse`, at finite times. Given an :class:`ODEState` for ``fx_train_0`` it gives
        one.

    Raises
    ------
    NotImplementedError
        Without a gradient of the loss, for t = None, and for states with velocities.
    """
    layout = Flattened.of(y_train, trace_axes, k_train_train)
    matrix, library = layout.square(k_train_train), home(layout.y).library
    if loss_gradient is None and library.gradient is None:
        raise NotImplementedError(
            f"{library.name} does not differentiate the loss: give loss_gradient=, or take GradientFlow of "
            "ntk_array.dynamics with a cost of ntk_array.function_space"
        )

    def gradient(f: Array) -> Array:
        if loss_gradient is not None:
            return loss_gradient(f, layout.y)
        assert library.gradient is not None
        return library.gradient(lambda values: loss(values, layout.y))(f)

    cost = _Loss(layout, loss, gradient)
    unit = learning_rate if momentum is None else learning_rate**0.5
    friction = None if momentum is None else (1.0 - momentum) / unit

    def predict_fn(
        t: Any = None, fx_train_or_state_0: Any = 0.0, fx_test_0: Any = None, k_test_train: Any = None
    ) -> Any:
        given = fx_train_or_state_0
        if isinstance(given, ODEState):
            if given.qx_train is not None or given.qx_test is not None:
                raise NotImplementedError("a state with velocities cannot be gone on from: GradientFlow.advance can")
            train_0, fx_test_0 = given.fx_train, given.fx_test
        else:
            train_0 = given
        check_asked(train_0, fx_test_0, k_test_train)
        if t is None:
            raise NotImplementedError("t=None: a loss need not have a limit; give a finite time")
        start = layout.filled(0.0 if train_0 is None else train_0)
        flow = GradientFlow(Precomputed(matrix), cost, layout.flat(start), friction=friction)
        times = unit * times_of(t)
        states = _states(flow, times)

        def moved(kernel: Array, velocities: bool = False) -> Array:
            def at(time: float) -> Array:
                state = states[time]
                return layout.shaped(kernel @ (state.velocities if velocities else state.coefficients))

            return over_times(times, at)

        cross = None if fx_test_0 is None else layout.square(k_test_train)
        train = None if train_0 is None else start + moved(matrix)
        test = None if cross is None else fx_test_0 + moved(cross)
        if isinstance(given, ODEState):
            speeds = [None if k is None or momentum is None else moved(k, True) for k in (matrix, cross)]
            return ODEState(train, test, *speeds)
        if train is None or test is None:
            return test if train is None else train
        return train, test

    return predict_fn


def _states(flow: GradientFlow, times: np.ndarray) -> dict[float, FlowState]:
    """At each time, in one integration."""
    state, found = None, {}
    for time in sorted(set(times.ravel().tolist())):
        state = found[time] = flow.advance(time, start=state)
    return found
