"""Kernels of networks of which some parameters are trained: formulas by hand, other kernels, random networks."""

import math
import pickle

import numpy as np
import pytest

from ntk_array import EmpiricalNTK, InfiniteNNGP, InfiniteNTK, MonteCarloNTK, nn
from ntk_array._formula import numba_loops
from ntk_array.dynamics import Ensemble
from ntk_array.function_space import EmpiricalMeasure, SquaredError
from ntk_array.nn.parameters import flatten

from .test_infinite import arc_cosine

ATTENTION = nn.SelfAttention(
    8,
    2,
    mechanism="identity",
    scaling="sqrt",
    position_embedding="concat",
    position_in_values=True,
    bias_std=0.3,
)
NETS = {
    "dense": ((4,), nn.mlp((8, 8), 1, activation="erf", bias_std=0.3)),
    "standard": ((4,), nn.mlp((8, 8), 1, bias_std=0.3, parameterization="standard")),
    "zonal": ((4,), nn.mlp((8, 8, 8), 1)),
    "tabulated": ((4,), nn.mlp((8,), 1, activation="silu", bias_std=0.2)),
    "branches": (
        (4,),
        nn.Sequential(
            nn.Product(nn.Dense(8), nn.Sequential(nn.Dense(8, bias_std=0.5), nn.ReLU())),
            nn.Residual(nn.Sequential(nn.Dense(8), nn.Abs())),
            nn.Concatenate(nn.Dense(3), nn.Identity()),
            nn.Dense(1),
        ),
    ),
    "convolutions": ((3, 4, 2), nn.resnet((8,), 1, blocks=1, bias_std=0.2)),
    "local": (
        (3, 4, 2),
        nn.Sequential(nn.ConvLocal(8, (3, 3), bias_std=0.4), nn.ReLU(), nn.Flatten(), nn.Dense(1)),
    ),
    "attention": ((3, 2), nn.Sequential(nn.Dense(8), ATTENTION, nn.GlobalAvgPool(), nn.Dense(1, bias_std=0.1))),
}


def names_of(net, shape):
    return list(flatten(net.init(0, input_shape=shape)))


def batch(shape, rows=4, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, *shape))


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_each_parameter_of_one_hidden_layer_by_hand(backend, parameterization):
    host = batch((4,), rows=6)
    x, x2 = backend.array(host[:3]), backend.array(host[3:])
    a, b = backend.host(x).astype(float), backend.host(x2).astype(float)
    w2, b2 = 1.5**2, 0.3**2
    inner = w2 * a @ b.T / 4
    k12, k11, k22 = inner + b2, *(w2 * np.sum(z * z, axis=1) / 4 + b2 for z in (a, b))
    value, slope = arc_cosine(k12, k11, k22)
    # What a parameter moves is multiplied by its own scale, which is 1 in the standard parameterization.
    weight1, bias1, weight2, bias2 = (
        (inner, b2, w2 * value, b2) if parameterization == "ntk" else (a @ b.T, 1.0, 50 * value, 1.0)
    )
    shares = {
        "0.weight": w2 * weight1 * slope,
        "0.bias": w2 * bias1 * slope,
        "2.weight": weight2,
        "2.bias": np.full_like(value, bias2),
    }
    net = nn.mlp((50,), 1, weight_std=1.5, bias_std=0.3, parameterization=parameterization)
    for name, share in shares.items():
        backend.close(InfiniteNTK(net, name)(x, x2), share, factor=50)
    for trainable, chosen in {
        "last": ("2.weight", "2.bias"),
        "0": ("0.weight", "0.bias"),
        ("0.weight", "2.bias"): ("0.weight", "2.bias"),
    }.items():
        expected = sum(shares[name] for name in chosen)
        backend.close(InfiniteNTK(net, trainable)(x, x2), expected, factor=50)


@pytest.mark.parametrize("case", ["dense", "zonal", "tabulated", "branches", "convolutions", "attention"])
def test_the_last_layer_has_the_covariance_of_the_outputs(case):
    """In the NTK parameterization, where it is a Dense layer."""
    shape, net = NETS[case]
    x = batch(shape)
    last, expected = InfiniteNTK(net, trainable="last"), InfiniteNNGP(net)(x)
    np.testing.assert_allclose(last(x), expected, rtol=0, atol=1e-14 * np.max(expected))
    np.testing.assert_allclose(last.diag(x), np.diag(expected), rtol=0, atol=1e-14 * np.max(expected))


@pytest.mark.parametrize("case", NETS)
def test_parameters_add_up(case):
    """The NTK and its derivatives are sums over parameters; each share is positive semidefinite."""
    shape, net = NETS[case]
    x, x2 = batch(shape), batch(shape, 3, 1)
    kernels = [InfiniteNTK(net, trainable=name) for name in names_of(net, shape)]
    for x_other in (None, x2):
        whole = InfiniteNTK(net)(x, x_other)
        np.testing.assert_allclose(sum(k(x, x_other) for k in kernels), whole, rtol=0, atol=1e-13 * np.max(whole))
    assert all(np.linalg.eigvalsh(k(x))[0] > -1e-13 * np.max(np.abs(k(x))) for k in kernels)
    wrt = sorted(net.hyperparameters)
    slopes = [k.gradient(x, x2, wrt) for k in kernels]
    for name, whole in InfiniteNTK(net).gradient(x, x2, wrt).items():
        atol = 1e-12 * np.max(np.abs(whole))
        np.testing.assert_allclose(sum(own[name] for own in slopes), whole, rtol=0, atol=atol)


@pytest.mark.parametrize("case", ["dense", "convolutions", "attention"])
def test_derivatives_are_difference_quotients(case):
    shape, net = NETS[case]
    kernel, x, h = InfiniteNTK(net, names_of(net, shape)[1:3]), batch(shape), 1e-4
    for name, value in kernel.gradient(x).items():
        up, down = (kernel.rescaled(**{name.removeprefix("log_"): math.exp(e)})(x) for e in (h, -h))
        np.testing.assert_allclose(value, (up - down) / (2 * h), rtol=0, atol=1e-6 * np.max(np.abs(value)))


def wide(case, width):
    """A network of a case, at another width."""
    return {
        "dense": nn.mlp((width, width), 1, activation="erf", bias_std=0.3),
        "convolutions": nn.cnn((width, width), 1, bias_std=0.3),
        "residual": nn.resnet((width,), 1, blocks=1, bias_std=0.3),
    }[case]


@pytest.mark.parametrize("case", ["dense", "convolutions", "residual"])
def test_random_networks_tend_to_it(case):
    """Some layers, weights alone and biases alone: the mean over networks is off by a few standard errors, and by no
    more than a multiple of 1 / width. It is far from the kernel of all parameters."""
    shape = (4,) if case == "dense" else (3, 3, 2)
    x, names = batch(shape, 3), names_of(wide(case, 2), shape)
    chosen = [names[0], names[3], names[-1]]
    for width, draws in ((16, 60), (128, 30)):
        net = wide(case, width)
        limit = InfiniteNTK(net, chosen)(x)
        mean, error = MonteCarloNTK(net, draws, 0, trainable=chosen).estimate(x)
        scale = np.max(limit)
        assert np.all(np.abs(mean - limit) < 5 * error + scale / width)
    assert np.max(np.abs(InfiniteNTK(net)(x) - limit)) > 0.2 * scale


@pytest.mark.skipif(numba_loops.available() is None, reason="planes are compiled by Numba")
def test_plane_by_plane(monkeypatch):
    """Against the layers one by one, which the sums above are about; with the first convolution frozen Theta is zero
    up to the second."""
    conv = nn.Conv(1, (3, 3), bias_std=0.3)
    net = nn.Sequential(conv, nn.ReLU(), conv, nn.ReLU(), nn.GlobalAvgPool(), nn.Dense(1))
    x, trainable = batch((3, 4, 2)), "2.bias"
    expected = InfiniteNTK(net, trainable)(x)
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    np.testing.assert_allclose(InfiniteNTK(net, trainable)(x), expected, rtol=0, atol=1e-13 * np.max(expected))


def test_layers_that_differ_in_being_trained_share_no_code(monkeypatch):
    """Six equal layers, of which the third is trained: Theta is w^(2 * 3) K there, and 0 up to it."""
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    net = nn.mlp((4,) * 5, 1, activation="identity", weight_std=1.2, bias_std=0.5)
    x, w2, b2 = batch((3,)), 1.2**2, 0.5**2
    k = w2**3 * x @ x.T / 3 + b2 * sum(w2**j for j in range(3))
    kernel = InfiniteNTK(net, "4")
    np.testing.assert_allclose(kernel.block(x, x.copy()), w2**3 * k, rtol=1e-12)
    np.testing.assert_allclose(kernel(x), w2**3 * k, rtol=1e-12)


def test_it_is_a_value():
    net = NETS["dense"][1]
    kernel, x = InfiniteNTK(net, ["0.weight", "2"]), batch((4,))
    assert kernel == InfiniteNTK(net, trainable=("0.weight", "2")) != InfiniteNTK(net)
    assert hash(kernel) == hash(InfiniteNTK(net, ("0.weight", "2")))
    assert repr(kernel).endswith("trainable=('0.weight', '2'))")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(kernel))(x), kernel(x))
    assert kernel.rescaled(2.0).trainable == ("0.weight", "2")
    assert kernel.costs(x, None) == InfiniteNTK(net).costs(x, None)
    assert (kernel + kernel).specialized(x, None)(x).shape == (4, 4)


WRONG = [
    ("7", ValueError, r"^trainable names '7'; the network's parameters are 0\.weight, 0\.bias"),
    ((), ValueError, r"^trainable selects no parameter; use None for all of them"),
    (3, TypeError, r'^trainable must be "last" or names of parameters such as "0\.weight", got 3'),
]


@pytest.mark.parametrize(("trainable", "kind", "match"), WRONG)
def test_what_names_no_parameter_is_refused(trainable, kind, match):
    """In the same words as for a finite network."""
    net, x = NETS["dense"][1], batch((4,))
    with pytest.raises(kind, match=match):
        InfiniteNTK(net, trainable)(x)
    with pytest.raises(kind, match=match):
        EmpiricalNTK(net, net.init(0, like=x), trainable=trainable)
    with pytest.raises(kind, match=match):
        MonteCarloNTK(net, 2, 0, trainable).estimate(x)


def test_a_layer_that_knows_nothing_of_frozen_parameters_is_refused():
    """Its share of Theta would be added to a kernel that it is no part of."""
    from ..nn.strangers.gain import Gain

    class Unaware(Gain):
        can_freeze = False

    net = nn.Sequential(nn.Dense(8), Unaware(), nn.Dense(1))
    x = batch((4,))
    np.testing.assert_allclose(InfiniteNTK(net, ["0", "1", "2"])(x), InfiniteNTK(net)(x))
    with pytest.raises(TypeError, match=r"Unaware\(\) does not give the share of some of its parameters"):
        InfiniteNTK(net, "last")(x)
    aware = nn.Sequential(nn.Dense(8), Gain(), nn.Dense(1))
    expected = InfiniteNTK(aware, "0")(x) + InfiniteNTK(aware, "1")(x) + InfiniteNTK(aware, "2")(x)
    np.testing.assert_allclose(expected, InfiniteNTK(aware)(x))


def test_an_ensemble_with_the_last_layer_trained_ends_in_the_posterior():
    """Lee et al. 2019, section 2.3.1."""
    x, net = batch((4,), 6), nn.mlp((1,), 1, activation="erf", bias_std=0.2)
    cost = SquaredError(EmpiricalMeasure(x[:4]), x[:4, 0])
    found = Ensemble.of(net, cost, trainable="last").predict(x[4:])
    kernel = InfiniteNNGP(net)(x)
    weights = np.linalg.solve(kernel[:4, :4], kernel[:4, 4:])
    np.testing.assert_allclose(found.mean, weights.T @ x[:4, 0], atol=1e-9)
    np.testing.assert_allclose(found.covariance, kernel[4:, 4:] - kernel[4:, :4] @ weights, atol=1e-9)
