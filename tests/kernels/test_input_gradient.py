"""Gradients of kernels and of networks in their inputs, against finite differences and against mpmath."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._array.namespace import standard_namespace
from ntk_array.nn.activations.higher import higher_derivative

from ..backends import backend_named

HOST = backend_named("numpy")
DIRECTIONS = np.eye(3)
"""The axes of the inputs."""


def points():
    """Two batches: a duplicate, a multiple, an opposite, a near-duplicate and a zero row among them."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    y[0], y[1], y[2], x[4] = x[0], 2 * x[1], -x[2], 0.0
    return x, y


def differences(function, x, h=2e-3):
    """The gradient of a function of a batch in each input, by central differences of order six; last axes."""
    parts = []
    for axis in np.ndindex(x.shape[1:]):
        step = np.zeros_like(x)
        step[(slice(None), *axis)] = h
        parts.append(
            sum(c * (function(x + k * step) - function(x - k * step)) for k, c in ((1, 45), (2, -9), (3, 1))) / (60 * h)
        )
    return np.reshape(np.stack(parts, axis=-1), (*parts[0].shape, *x.shape[1:]))


def mlp(activation, bias_std=0.4):
    return nn.mlp((1, 1), 1, activation=activation, weight_std=1.3, bias_std=bias_std)


NETS = {
    "shallow": nn.mlp((1,), 1, bias_std=0.4),
    "relu": mlp("relu"),
    "erf": mlp("erf"),
    "gelu, no bias": mlp("gelu", 0.0),
    "sin": mlp("sin"),
    "branches": nn.Sequential(
        nn.Dense(4, bias_std=0.3),
        nn.Sum(nn.Sequential(nn.Dense(4), nn.ReLU()), nn.GELU()),
        nn.LayerNorm(),
        nn.Dense(1, bias_std=0.2),
    ),
}


@cache
def case(name, kernel):
    """A kernel, two batches, and the gradient by differences."""
    x, y = points()
    # Differences with steps across a coincidence need derivatives there, which a kink takes away from the NTK.
    y = y[1:] if name in ("shallow", "relu", "branches") else y
    K = kernel(NETS[name])
    return K, x, y, differences(lambda x: K(x, y), x)


@pytest.mark.host
@pytest.mark.parametrize("kernel", [ntk.InfiniteNTK, ntk.InfiniteNNGP])
@pytest.mark.parametrize("name", NETS)
def test_finite_differences(name, kernel):
    K, x, y, expected = case(name, kernel)
    got = K.gradient(x, y, wrt="x1")["x1"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * np.max(np.abs(expected)))


def test_every_library(backend):
    """One hidden layer only: JAX compiles each operation."""
    K, x, y, expected = case("shallow", ntk.InfiniteNTK)
    got = backend.host(K.gradient(backend.array(x), backend.array(y), wrt="x1")["x1"])
    tolerance = 1e-9 if backend.eps < 1e-10 else 1e-4
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.max(np.abs(expected)))


@pytest.mark.host
def test_one_hidden_relu_layer_in_many_digits():
    """The formula of Cho and Saul, differentiated by mpmath, at angles from 1e-9 to pi."""
    K = ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.5))
    with mpmath.workdps(80):

        def theta(p, q):
            k11, k22, k12 = (
                2 * mpmath.fsum(a * b for a, b in zip(u, v, strict=True)) / 2 + mpmath.mpf(1) / 4
                for u, v in ((p, p), (q, q), (p, q))
            )
            s = mpmath.sqrt(k11 * k22)
            t = mpmath.acos(k12 / s)
            value = s / (2 * mpmath.pi) * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t))
            return 2 * value + mpmath.mpf(1) / 4 + 2 * k12 * (mpmath.pi - t) / (2 * mpmath.pi)

        for angle in (1e-9, 1e-6, 1e-3, 0.7, 2.0, 3.0, math.pi - 1e-6):
            for norm in (1.0, 1.5):
                x = np.asarray([[1.0, 0.0], [norm * math.cos(angle), norm * math.sin(angle)]])
                p, q = ([mpmath.mpf(float(v)) for v in row] for row in x)
                exact = [
                    mpmath.diff(lambda e, i=i, p=p, q=q: theta([v + e * (j == i) for j, v in enumerate(p)], q), 0)
                    for i in range(2)
                ]
                got = K.gradient(x[:1], x[1:], wrt="x1")["x1"][0, 0]
                # The kernel has a cone at x = x'. Norms are known to rounding, and so is its direction: to eps / angle.
                tolerance = max(1e-15, 4e-17 / angle) * np.max(np.abs(got))
                assert np.max(np.abs(got - np.asarray(exact, dtype=float))) < tolerance


@pytest.mark.host
def test_a_kink_has_the_mean_of_both_sides():
    x = points()[0][:1]
    K = ntk.InfiniteNTK(NETS["relu"])
    sides = [(K(x + h * DIRECTIONS, x) - K(x, x)) / h for h in (1e-7, -1e-7)]
    assert np.max(np.abs(sides[0] - sides[1])) > 0.1
    np.testing.assert_allclose(K.gradient(x, wrt="x1")["x1"][0, 0], np.mean(sides, axis=0)[:, 0], atol=1e-6)


@pytest.mark.host
def test_sums_products_and_multiples():
    (x, y), (erf, sin) = points(), (ntk.InfiniteNTK(NETS[name]) for name in ("erf", "sin"))
    K = 2.0 * erf * sin + ntk.InfiniteNNGP(NETS["relu"])
    got, expected = K.gradient(x, y, wrt=("log_bias_std", "x1")), differences(lambda x: K(x, y), x)
    assert list(got) == ["log_bias_std", "x1"]
    np.testing.assert_allclose(got["x1"], expected, rtol=0, atol=1e-9 * np.max(np.abs(expected)))


def test_finite_networks(backend):
    check_network(backend, nn.mlp((6,), 2, activation="tanh", bias_std=0.5), (3,))


@pytest.mark.host
def test_finite_networks_on_images_and_without_activations():
    check_network(HOST, nn.Sequential(nn.Conv(3, (3,)), nn.GELU(), nn.Flatten(), nn.Dense(2)), (4, 2))
    check_network(HOST, nn.Dense(2), (3,))


def check_network(backend, net, shape):
    """Its outputs and their kernel, against differences."""
    x, y = np.random.default_rng(0).normal(size=(2, 3, *shape))
    here = backend.array(x)
    params = net.init(0, like=here)
    on_host = net.init(0, like=x)
    tolerance = 1e-9 if backend.eps < 1e-10 else 1e-4
    got = backend.host(net.input_jacobian(params, here))
    np.testing.assert_allclose(got, differences(lambda x: net(on_host, x), x), rtol=0, atol=tolerance)
    expected = differences(lambda x: ntk.EmpiricalNNGP(net, on_host)(x, y), x)
    got = ntk.EmpiricalNNGP(net, params).gradient(here, backend.array(y), wrt="x1")["x1"]
    np.testing.assert_allclose(backend.host(got), expected, rtol=0, atol=tolerance)


@pytest.mark.host
def test_ntk_of_finite_networks():
    check_ntk(backend_named("strict"), outputs="trace")
    check_ntk(HOST, outputs="sum_of_logits", trainable="1.1")


def check_ntk(backend, **options):
    """The NTK of a network, against differences."""
    net = nn.Sequential(
        nn.Dense(4, bias_std=0.3), nn.Sequential(nn.Tanh(), nn.Dense(3, 1.2, 0.5)), nn.GELU(), nn.Dense(2)
    )
    x, y = np.random.default_rng(0).normal(size=(2, 3, 3))
    K = ntk.EmpiricalNTK(net, net.init(0, like=x), **options)
    expected = differences(lambda x: K(x, y), x)
    here = ntk.EmpiricalNTK(net, net.init(0, like=backend.array(x)), **options)
    got = backend.host(here.gradient(backend.array(x), backend.array(y), wrt="x1")["x1"])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 if backend.eps < 1e-10 else 1e-4)


@pytest.mark.host
@pytest.mark.parametrize(
    "phi",
    [
        *(nn.Identity(), nn.LeakyReLU(0.2), nn.Erf(0.7, 1.3, 0.2), nn.SigmoidLike(), nn.Tanh(), nn.Sigmoid()),
        *(nn.Softsign(), nn.GELU(), nn.SiLU(), nn.Softplus(), nn.LogSigmoid(), nn.ELU(1.5), nn.CELU(0.7), nn.SELU()),
        *(nn.Sin(1.2, 0.8, 0.3), nn.Cos(1.2, 0.8, 0.3), nn.Rbf(0.7), nn.Exp(0.5, 1.2), nn.Gaussian(1.2, -0.7)),
        *(nn.Gabor(), nn.Monomial(1), nn.Monomial(3), nn.Polynomial((1.0, 2.0)), nn.Polynomial((1.0, 2.0, -0.3, 0.4))),
        *(nn.Hermite(1), nn.Hermite(2), nn.Hermite(4), nn.RectifiedMonomial(1), nn.RectifiedMonomial(3)),
    ],
    ids=str,
)
def test_second_derivatives_of_activations(phi):
    x = np.asarray([-2.3, -1.1, -0.4, 0.3, 0.9, 2.1])
    xp = standard_namespace(np)
    expected = sum(
        c * (phi.derivative(xp, x + k * 1e-3) - phi.derivative(xp, x - k * 1e-3)) for k, c in ((1, 45), (2, -9), (3, 1))
    )
    np.testing.assert_allclose(higher_derivative(phi, xp, x, 2), expected / 0.06, rtol=1e-10, atol=1e-10)


@pytest.mark.host
def test_what_is_refused():
    x, y = points()
    K = ntk.InfiniteNTK(nn.mlp((1, 1), 1))
    with pytest.raises(MemoryError, match=r"\(300000, 300000, 3\), takes .* give fewer inputs x1 at a time"):
        K.gradient(np.ones((300_000, 3)), wrt="x1")
    with pytest.raises(ValueError, match="no gradient at an input x1 that is 0"):
        K.gradient(x, y, wrt="x1")
    images = np.ones((2, 4, 4, 1))
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 1\), with positions"):
        ntk.InfiniteNTK(nn.Sequential(nn.Flatten(), nn.Dense(1))).gradient(images, wrt="x1")
    means = nn.Sequential(nn.Sum(nn.Identity(), nn.Sequential(nn.Dense(3), nn.ReLU())), nn.Dense(1))
    with pytest.raises(ValueError, match="means of the inputs"):
        ntk.InfiniteNTK(means).gradient(x, wrt="x1")
    net = nn.mlp((3,), 1)
    with pytest.raises(TypeError, match=r"scalar kernels, not for full ones"):
        ntk.EmpiricalNTK(net, net.init(0, like=x)).gradient(x, wrt="x1")
    flat = nn.Sequential(nn.Flatten(), nn.Dense(1))
    for other, inputs, message in (
        (nn.Sequential(nn.Dense(2), nn.LayerNorm(), nn.Dense(1)), x, r"not for LayerNorm"),
        (nn.Sequential(nn.Dense(2), nn.Mish(), nn.Dense(1)), x, r"second derivative of Mish\(\) is not known"),
        (flat, images, r"\(2, 4, 4, 1\), with positions"),
    ):
        K = ntk.EmpiricalNTK(other, other.init(0, like=inputs), outputs="trace")
        with pytest.raises(TypeError, match=message):
            K.gradient(inputs, wrt="x1")
    with pytest.raises(TypeError, match="gradient of MonteCarloNTK in its inputs is not known"):
        ntk.MonteCarloNTK(net, 2, 0).gradient(x, wrt="x1")
