"""The Huber cost at its limits: squares for large delta, a bounded derivative for small."""

import math

import numpy as np
import pytest

from ntk_array.function_space import EmpiricalMeasure, Huber, SquaredError


def problem(backend, rng):
    p_in = EmpiricalMeasure(backend.array(rng.normal(size=(6, 2))))
    return p_in, backend.array(rng.normal(size=(6, 2))), backend.array(rng.normal(size=(6, 2)))


def test_large_delta_is_half_the_squared_error(backend, rng):
    p_in, y, f = problem(backend, rng)
    huber, squared = Huber(p_in, y, delta=1e3), SquaredError(p_in, y)
    backend.close(huber(f), 0.5 * squared(f), factor=10)
    backend.close(huber.derivative(f).representer, 0.5 * squared.derivative(f).representer, factor=4)


def test_small_delta_is_the_absolute_error(backend, rng):
    p_in, y, f = problem(backend, rng)
    delta = 1e-6
    huber = Huber(p_in, y, delta=delta)
    absolute = np.abs(backend.host(f) - backend.host(y)).sum() / 6
    backend.close(huber(f) / delta, absolute, factor=10, scale=absolute + delta / backend.eps)
    backend.close(huber.derivative(f).representer, delta * np.sign(backend.host(f) - backend.host(y)), factor=4)


def test_an_outlier_pulls_with_delta(backend):
    p_in = EmpiricalMeasure(backend.array([[0.0], [1.0]]))
    cost = Huber(p_in, backend.array([0.25, 1e30]), delta=0.5)
    backend.close(cost.derivative(backend.array([0.0, 0.0])).representer, [-0.25, -0.5], factor=0)
    assert math.isfinite(float(backend.host(cost(backend.array([0.0, 0.0])))))


@pytest.mark.parametrize("delta", [0.0, -1.0, math.inf])
def test_delta_must_be_positive(backend, rng, delta):
    p_in, y, _ = problem(backend, rng)
    with pytest.raises(ValueError, match="delta must be"):
        Huber(p_in, y, delta=delta)
