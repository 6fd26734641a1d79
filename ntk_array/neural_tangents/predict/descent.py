"""Gradient descent of the squared error, and its largest step."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..._array.namespace import Array, home, is_array, to_host
from ...dynamics import FlowState, max_step
from ...kernels import Precomputed
from .flattened import Flattened, Trained, ridge_of, rows_of, square

__all__ = ["gradient_descent_mse", "max_learning_rate", "over_times", "times_of"]


def times_of(t: Any) -> np.ndarray:
    """Times, a number or any number of axes of them, on the host."""
    return np.asarray(to_host(t) if is_array(t) else t, dtype=np.float64)


def over_times(times: np.ndarray, value: Callable[[float], Array]) -> Array:
    """Values at all times, with the axes of the times first."""
    found = [value(time) for time in times.ravel().tolist()]
    xp = home(found[0]).xp
    return xp.reshape(xp.stack(found), (*times.shape, *found[0].shape))


def gradient_descent_mse(
    k_train_train: Array,
    y_train: Array,
    learning_rate: float = 1.0,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes: Any = (-1,),
) -> Callable[..., Any]:
    """``predict_fn(t, fx_train_0, fx_test_0, k_test_train)``: :class:`ntk_array.dynamics.GradientFlow`.

    Parameters
    ----------
    k_train_train : array (N, N), or (N, N, C, C) for ``trace_axes=()``
    y_train : array (N, C)
    learning_rate : float
    diag_reg : float
        Times the mean of the diagonal of the kernel, or as it is with ``diag_reg_absolute_scale``: the ``ridge``.
    trace_axes : int or tuple of int
        Axes of the targets that share the kernel.

    Returns
    -------
    callable
        ``t`` is a number of steps, an array of them, or None, which is the limit. Values on the test set need
        ``k_test_train``; those on the training set are without the ridge, so that their limit is ``y_train``.

    Examples
    --------
    >>> import numpy as np, ntk_array.neural_tangents as nt
    >>> predict_fn = nt.predict.gradient_descent_mse(np.diag([2.0, 1.0]), np.asarray([[1.0], [1.0]]))
    >>> train, test = predict_fn(None, 0.0, 0.0, np.asarray([[1.0, 0.0]]))
    >>> train[:, 0], test[:, 0]
    (array([1., 1.]), array([0.5]))
    """
    layout = Flattened.of(y_train, trace_axes, k_train_train)
    matrix = layout.square(k_train_train)
    ridge = ridge_of(matrix, diag_reg, diag_reg_absolute_scale)
    trained = Trained(matrix, layout.flat(layout.y), ridge)

    @cache
    def centred() -> Any:
        return trained.flow(None)

    def predict_fn(t: Any = None, fx_train_0: Any = 0.0, fx_test_0: Any = None, k_test_train: Any = None) -> Any:
        check_asked(fx_train_0, fx_test_0, k_test_train)
        start = None if fx_train_0 is None else layout.filled(fx_train_0)
        zero = start is None or (not is_array(fx_train_0) and not fx_train_0)
        flow = centred() if zero else trained.flow(layout.flat(start))
        times = np.asarray(math.inf) if t is None else learning_rate * times_of(t)
        states: dict[float, FlowState] = {time: flow.advance(time) for time in times.ravel().tolist()}
        found = []
        if start is not None:

            def train(time: float) -> Array:
                return start + layout.shaped(trained.values(states[time]))

            found.append(layout.y if t is None else over_times(times, train))
        if fx_test_0 is not None:
            cross = layout.square(k_test_train)

            def test(time: float) -> Array:
                return fx_test_0 + layout.shaped(cross @ states[time].coefficients)

            found.append(over_times(times, test))
        return found[0] if len(found) == 1 else tuple(found)

    return predict_fn


def check_asked(fx_train_0: Any, fx_test_0: Any, k_test_train: Any) -> None:
    """ValueError where nothing is asked for, or new inputs without their kernel."""
    if fx_train_0 is None and fx_test_0 is None:
        raise ValueError("fx_train_0 and fx_test_0 are both None: nothing is asked for")
    if fx_test_0 is not None and k_test_train is None:
        raise ValueError("values on the test set need its kernel with the training set, k_test_train")


def max_learning_rate(
    ntk_train_train: Array, y_train_size: int | None = None, momentum: float = 0.0, eps: float = 1e-12
) -> float:
    """The largest stable ``learning_rate``: 2 (1 + momentum) y_train_size / (lambda_max + eps).

    It is 2 C times :func:`ntk_array.dynamics.max_step`, which is for the cost (1/N) sum ||f - y||^2. Without
    ``y_train_size`` it is the number of rows of the kernel, that of targets with one column.

    Examples
    --------
    >>> import numpy as np, ntk_array.neural_tangents as nt
    >>> round(nt.predict.max_learning_rate(np.diag([4.0, 1.0]), y_train_size=2), 6)
    1.0
    """
    matrix = square(ntk_train_train)
    n = matrix.shape[0]
    largest = (1.0 + momentum) * n / max_step(Precomputed(matrix), rows_of(matrix, 0, n), momentum)
    return float(2.0 * (1.0 + momentum) * (n if y_train_size is None else y_train_size) / (largest + eps))
