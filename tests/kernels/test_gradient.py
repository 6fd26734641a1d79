"""Derivatives of kernels with respect to hyper-parameters, against finite differences of the kernels."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

from ..infinite.dual_cases import ACTIVATIONS

NAMES = ("log_weight_std", "log_bias_std")
CHEAP = sorted({*ACTIVATIONS} - {"tanh_8x", "hard_tanh", "bent", "sigmoid", "softplus", "silu", "elu"})


def points():
    """Inputs of many norms: a multiple, an opposite, an exact duplicate and a zero row among them."""
    x = np.random.default_rng(3).normal(size=(7, 3))
    x[1], x[2], x[3], x[4] = 2 * x[0], -x[0], x[0], 0.0
    return x


def difference(function):
    """The derivative at 0 by central differences of order six."""
    h = 4e-3
    return sum(c * (function(k * h) - function(-k * h)) for k, c in ((1, 45), (2, -9), (3, 1))) / (60 * h)


def differences(kernel, x, x2=None):
    """Those of a kernel, by name."""
    return {
        "log_weight_std": difference(lambda e: kernel.rescaled(weight_std=math.exp(e))(x, x2)),
        "log_bias_std": difference(lambda e: kernel.rescaled(bias_std=math.exp(e))(x, x2)),
    }


@cache
def case(name, nngp, depth):
    net = nn.mlp((1,) * depth, 1, activation=ACTIVATIONS[name], weight_std=1.3, bias_std=0.4, readout_weight_std=0.9)
    kernel = (ntk.InfiniteNNGP if nngp else ntk.InfiniteNTK)(net)
    return kernel, differences(kernel, points())


def close(backend, got, expected):
    for name, value in expected.items():
        scale = np.max(np.abs(value))
        tolerance = 1e-10 if backend.eps < 1e-10 else 2e-4
        np.testing.assert_allclose(backend.host(got[name]), value, rtol=0, atol=tolerance * scale)


# The twelve tables of a difference take seconds: tanh has them for the NTK alone, whose derivative takes the NNGP's.
@pytest.mark.parametrize(
    ("name", "nngp"),
    [(name, nngp) for name in CHEAP for nngp in (False, True) if (name, nngp) != ("tanh", True)],
    ids=lambda value: value if isinstance(value, str) else "nngp" if value else "ntk",
)
def test_finite_differences(backend, name, nngp):
    kernel, expected = case(name, nngp, 1 if name == "tanh" else 2)
    close(backend, kernel.gradient(backend.array(points())), expected)


@pytest.mark.host
def test_finite_differences_with_other_kinks():
    kernel, expected = case("hard_tanh", False, 1)
    got = kernel.gradient(points())
    for key in NAMES:
        assert np.max(np.abs(got[key] - expected[key])) < 1e-8 * np.max(np.abs(expected[key]))


def test_inputs_of_one_norm(backend):
    """A table for one norm has no slope in the norm: the derivative needs a wider one."""
    x = points()[4:, :] + 1.0
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    kernel = ntk.InfiniteNTK(nn.mlp((1,), 1, activation="tanh", bias_std=0.3))
    close(backend, kernel.gradient(backend.array(x)), differences(kernel, x))


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_rectangular_blocks(backend, parameterization):
    net = nn.mlp((5, 7), 1, activation="erf", weight_std=1.3, bias_std=0.4, parameterization=parameterization)
    kernel, x, x2 = ntk.InfiniteNTK(net), points()[:4, :], points()[3:, :]
    got = kernel.gradient(backend.array(x), backend.array(x2))
    close(backend, got, differences(kernel, x, x2))


def test_symmetric_to_the_last_bit(backend):
    for value in case("gelu", False, 2)[0].gradient(backend.array(points())).values():
        value = backend.host(value)
        assert np.array_equal(value, value.T)


@pytest.mark.host
def test_one_hidden_relu_layer_in_many_digits():
    """The formula of Cho and Saul, differentiated by mpmath, at angles from 1e-6 to pi."""
    with mpmath.workdps(40):
        for angle in (0.0, 1e-6, 1e-3, 0.7, 2.0, 3.0, math.pi - 1e-6):
            x = np.asarray([[1.0, 0.0], [1.5 * math.cos(angle), 1.5 * math.sin(angle)]])
            exact = [[mpmath.mpf(float(v)) for v in row] for row in x]

            def theta(w, b, exact=exact):
                w2, b2 = mpmath.exp(2 * w) * 2, mpmath.exp(2 * b) / 4
                k = [[w2 * (p[0] * q[0] + p[1] * q[1]) / 2 + b2 for q in exact] for p in exact]
                s = mpmath.sqrt(k[0][0] * k[1][1])
                t = mpmath.acos(min(k[0][1] / s, mpmath.mpf(1)))
                value = s / (2 * mpmath.pi) * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t))
                return w2 * value + b2 + w2 * k[0][1] * (mpmath.pi - t) / (2 * mpmath.pi)

            got = ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.5)).gradient(x)
            for name, exact_value in (
                ("log_weight_std", mpmath.diff(lambda w, f=theta: f(w, 0), 0)),
                ("log_bias_std", mpmath.diff(lambda b, f=theta: f(0, b), 0)),
            ):
                assert abs(got[name][0, 1] - float(exact_value)) < 1e-9 * abs(float(exact_value))


def test_sums_products_and_multiples(backend):
    one = case("erf", True, 2)[0]
    two = ntk.InfiniteNTK(nn.mlp((1,), 1, weight_std=1.1))  # no bias
    kernel = 2.0 * one * two + two
    expected = differences(kernel, points())
    got = kernel.gradient(backend.array(points()))
    assert kernel.hyperparameters == set(NAMES)
    close(backend, got, expected)
    fixed = ntk.Precomputed(backend.array(np.eye(2)))
    assert (fixed + one).hyperparameters == set(NAMES)
    assert (fixed + one).rescaled(weight_std=2.0).left is fixed


def test_one_name_is_enough(backend):
    kernel = ntk.InfiniteNTK(nn.mlp((1,), 1))
    assert list(kernel.gradient(backend.array(points()), wrt="log_weight_std")) == ["log_weight_std"]


def test_derivatives_that_do_not_exist(backend):
    x = backend.array(points())
    without_bias = ntk.InfiniteNTK(nn.mlp((1,), 1))
    with pytest.raises(ValueError, match=r"log_bias_std: no layer has a bias \(bias_std = 0\)"):
        without_bias.gradient(x)
    with pytest.raises(ValueError, match="wrt must be one of"):
        without_bias.gradient(x, wrt="weight_std")
    net = nn.mlp((3,), 1, bias_std=0.1)
    empirical = ntk.EmpiricalNTK(net, net.init(0, like=x))
    with pytest.raises(TypeError, match="EmpiricalNTK does not depend on hyper-parameters: it has no gradient"):
        empirical.gradient(x)
    with pytest.raises(TypeError, match="cannot be rescaled"):
        empirical.rescaled(weight_std=2.0)
    with pytest.raises(TypeError, match="derivative of its infinite-width limit"):
        ntk.InfiniteNTK(nn.Sequential(nn.Dense(2, bias_std=1.0), Unlimited(), nn.Dense(1))).gradient(x)


class Unlimited(nn.ReLU):
    """A layer of the user's that knows its limit and not the derivative of that."""

    propagate_tangent = nn.Layer.propagate_tangent


def test_rescaling_multiplies_every_layer():
    net = nn.mlp((4,), 2, activation="tanh", weight_std=1.5, bias_std=0.5, readout_weight_std=0.25)
    first, phi, readout = net.rescaled(weight_std=2.0, bias_std=0.5).layers
    assert (first.weight_std, first.bias_std, first.width) == (3.0, 0.25, 4)
    assert (readout.weight_std, readout.bias_std, readout.width) == (0.5, 0.25, 2)
    assert phi is net.layers[1]


def test_tables_of_dual_activations_are_kept():
    calls = []

    def phi(xp, x):
        calls.append(1)
        return xp.tanh(x)

    kernel = ntk.InfiniteNTK(
        nn.mlp((1,), 1, activation=nn.Elementwise(phi, lambda xp, x: 1 - xp.tanh(x) ** 2, name="counted"))
    )
    x = points()[5:, :]
    first = kernel(x)
    made = len(calls)
    assert np.array_equal(kernel(x), first)
    kernel(1.001 * x)  # about the same norms
    assert len(calls) == made > 0
