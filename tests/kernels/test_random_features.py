"""Random features against the exact kernels that they estimate."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

NETS = {
    "relu": nn.mlp((1,), 1, bias_std=0.3),
    "erf": nn.mlp((1,), 1, activation="erf", weight_std=1.5, bias_std=0.5),
    "two Dense": nn.Sequential(nn.Dense(1, 1.2, 0.2), nn.Dense(1, 0.8, 0.1), nn.GELU(), nn.Dense(1, 1.5)),
    "no readout": nn.Sequential(nn.Dense(1, 1.2, 0.2), nn.ReLU()),
}


def mean_and_error(kernel, x, width, draws):
    drawn = np.stack([ntk.RandomFeatures(kernel, width, seed)(x) for seed in range(draws)])
    return drawn.mean(axis=0), drawn.std(axis=0) / draws**0.5


@pytest.mark.host
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("trainable", [None, "0.weight", "nngp"])
def test_one_hidden_layer_is_unbiased(rng, name, trainable):
    net, x = NETS[name], rng.normal(size=(4, 3)) * [[0.3], [1.0], [1.0], [2.0]]
    kernel = ntk.InfiniteNNGP(net) if trainable == "nngp" else ntk.InfiniteNTK(net, trainable=trainable)
    mean, error = mean_and_error(kernel, x, 20, 400)
    assert np.max(np.abs(mean - kernel(x)) / error) < 4.0


@pytest.mark.host
@pytest.mark.parametrize("kind", [ntk.InfiniteNTK, ntk.InfiniteNNGP])
def test_deeper_networks_have_a_bias_that_falls_with_the_width(rng, kind):
    x = rng.normal(size=(4, 3))
    kernel, width = kind(nn.mlp((1, 1), 1, bias_std=0.2)), 50
    mean, error = mean_and_error(kernel, x, width, 200)
    assert np.max(np.abs(mean - kernel(x)) - 4.0 * error) < 2.0 / width * kernel.diag(x).max()
    errors = [[ntk.RandomFeatures(kernel, n, seed).estimated_error(x) for seed in range(4)] for n in (16, 1024)]
    assert 0.06 < np.mean(errors[1]) / np.mean(errors[0]) < 0.25  # 1/8


def test_features_on_every_library(backend, rng):
    """From the same draws, in float64 on the host."""
    host = rng.normal(size=(5, 3))
    x = backend.array(host)
    for kernel in (ntk.InfiniteNTK(NETS["two Dense"], trainable="3.weight"), ntk.InfiniteNNGP(NETS["erf"])):
        near = ntk.RandomFeatures(kernel, 30, seed=1)
        phi = near.features(x)
        assert phi.shape == (5, near.feature_count(x))
        assert phi.dtype == x.dtype
        backend.close(phi, near.features(backend.host(x).astype(float)))


@pytest.mark.host
def test_a_seed_and_a_generator():
    x, kernel = np.random.default_rng(0).normal(size=(3, 2)), ntk.InfiniteNTK(NETS["relu"])
    generator = np.random.default_rng(0)
    one, two = (ntk.RandomFeatures(kernel, 5, generator) for _ in range(2))
    np.testing.assert_array_equal(one.features(x), one.features(x))
    np.testing.assert_array_equal(one.features(x)[:2], one.features(x[:2]))
    assert not np.allclose(one.features(x), two.features(x))


@pytest.mark.host
def test_other_layers_are_refused():
    x = np.ones((2, 3))
    for net, inputs in (
        (nn.mlp((1,), 1, parameterization="standard"), x),
        (nn.Sequential(nn.Dense(1), nn.LayerNorm(), nn.Dense(1)), x),
        (nn.Sequential(nn.Residual(nn.Dense(3)), nn.Dense(1)), x),
        (nn.cnn((1,), 1), np.ones((2, 4, 4, 1))),
    ):
        with pytest.raises(TypeError, match="random features are known for sequences of Dense layers"):
            ntk.RandomFeatures(ntk.InfiniteNTK(net), 5, seed=0)(inputs)
    with pytest.raises(ValueError, match=r"Sign\(\) has no NTK"):
        ntk.RandomFeatures(ntk.InfiniteNTK(nn.mlp((1,), 1, activation="sign")), 5, seed=0).features(x)
    with pytest.raises(ValueError, match="width must be"):
        ntk.RandomFeatures(ntk.InfiniteNTK(NETS["relu"]), 0, seed=0)
