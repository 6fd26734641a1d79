"""A cost of the user's own: what its functions are given, and what they may return."""

import numpy as np
import pytest

from ntk_array.function_space import EmpiricalMeasure, ExpectedLoss, SquaredError


def squares(xp, f, y):
    return xp.sum((f - y) ** 2, axis=1)


def slopes(xp, f, y):
    return 2.0 * (f - y)


def p_in(backend):
    return EmpiricalMeasure(backend.array([[0.0], [1.0], [2.0]]), backend.array([0.5, 0.25, 0.25]))


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_the_square_is_the_squared_error(backend, rng, shape):
    y, f = backend.array(rng.normal(size=shape)), backend.array(rng.normal(size=shape))
    own, squared = ExpectedLoss(p_in(backend), y, squares, slopes), SquaredError(p_in(backend), y)
    backend.close(own(f), squared(f), factor=4)
    backend.close(own.derivative(f).representer, squared.derivative(f).representer, factor=4)
    assert own.derivative(f).representer.shape == shape


def test_values_of_another_shape_are_refused(backend):
    y = backend.array(np.zeros((3, 2)))
    cost = ExpectedLoss(p_in(backend), y, lambda xp, f, y: (f - y) ** 2, lambda xp, f, y: xp.sum(f - y, axis=1))
    with pytest.raises(ValueError, match=r"^loss returned values of shape \(3, 2\) instead of \(3,\)"):
        cost(y)
    with pytest.raises(ValueError, match=r"loss_derivative returned values of shape \(3,\) instead of \(3, 2\)"):
        cost.derivative(y)


def test_functions_are_asked_for(backend):
    with pytest.raises(TypeError, match=r"loss_derivative must be a function \(xp, f, y\)"):
        ExpectedLoss(p_in(backend), backend.array(np.zeros(3)), squares, 2.0)
