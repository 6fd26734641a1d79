"""Activations: phi and phi' against mpmath, from tiny to huge arguments."""

import mpmath
import numpy as np
import pytest

from ntk_array import nn
from ntk_array.nn.activations import NAMED, activation_named

POINTS = [-700.0, -30.0, -5.0, -1.7, -0.3, -1e-5, 1e-5, 0.3, 1.7, 5.0, 30.0, 700.0]
FORMULAS = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "leaky_relu": lambda x: x if x > 0 else x * mpmath.mpf(0.01),
    "abs": abs,
    "erf": mpmath.erf,
    "gelu": lambda x: x * mpmath.ncdf(x),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
}


def reference(name, x):
    with mpmath.workdps(40):
        x, h, phi = mpmath.mpf(float(x)), mpmath.mpf(10) ** -12, FORMULAS[name]
        return float(phi(x)), float((phi(x + h) - phi(x - h)) / (2 * h))


def test_the_table_of_formulas_is_complete():
    assert set(FORMULAS) == set(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_function_and_derivative(name, backend):
    layer = activation_named(name)
    x = backend.array(POINTS)[:, None]
    value, slope = layer.forward({}, x)
    values, slopes = zip(*(reference(name, point) for point in backend.host(x).ravel()), strict=True)
    for got, expected in ((value, values), (slope, slopes)):
        expected = np.asarray(expected)
        # relative to 1 + |phi|: large and small arguments in one array. Phi(x) rounds at 1 where it is a sum of 1
        # and erf, so that x Phi(x) has an error of eps |x| in its left tail
        scale = 1 + np.abs(expected) + (np.abs(backend.host(x).ravel()) if name == "gelu" else 0)
        error = np.abs(backend.host(got).ravel() - expected) / scale
        assert np.max(error) <= 20 * backend.eps
        assert got.dtype == backend.dtype
    backend.close(layer({}, x), backend.host(value), factor=0)


@pytest.mark.parametrize("name", [name for name in NAMED if activation_named(name).breakpoints])
def test_at_a_kink_the_derivative_is_that_from_the_left(name, backend):
    layer = activation_named(name)
    value, slope = layer.forward({}, backend.array(np.zeros((1, 1))))
    left = {"relu": 0.0, "leaky_relu": 0.01, "abs": -1.0, "elu": 1.0}[name]
    backend.close(slope, np.full((1, 1), left), factor=1)
    assert backend.host(value)[0, 0] == 0.0


@pytest.mark.parametrize("name", NAMED)
def test_they_take_any_shape_and_have_no_parameters(name):
    layer = activation_named(name)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    assert layer.init(0, like=x) == {}
    np.testing.assert_array_equal(layer({}, x).ravel(), layer({}, x.reshape(2, -1)).ravel())


def test_leaky_relu_slope(backend):
    x = backend.array([[-2.0, 3.0]])
    backend.close(nn.LeakyReLU(0.25)({}, x), np.asarray([[-0.5, 3.0]]), factor=2)
    assert type(nn.LeakyReLU(np.float64(0.25)).negative_slope) is float


def test_names_are_resolved():
    assert activation_named("gelu") == nn.GELU()
    assert activation_named(nn.LeakyReLU(0.5)) == nn.LeakyReLU(0.5)
    with pytest.raises(ValueError, match=r"^activation must be one of identity, relu"):
        activation_named("gelu_new")


def test_elementwise_needs_two_functions():
    with pytest.raises(TypeError, match=r"^phi must be a function \(xp, x\) -> array, got 'tanh'"):
        nn.Elementwise("tanh", np.cos)
    with pytest.raises(TypeError, match=r"^phi_prime must be a function \(xp, x\) -> array, got None"):
        nn.Elementwise(np.sin, None)


def test_elementwise_is_the_users_function(backend):
    cubic = nn.Elementwise(lambda xp, x: x**3, lambda xp, x: 3 * x**2, breakpoints=(1, -1), name="cubic")
    assert cubic.breakpoints == (-1.0, 1.0)
    assert repr(cubic) == "Elementwise('cubic')"
    value, slope = cubic.forward({}, backend.array([[2.0, -1.0]]))
    backend.close(value, np.asarray([[8.0, -1.0]]), factor=4)
    backend.close(slope, np.asarray([[12.0, 3.0]]), factor=4)
