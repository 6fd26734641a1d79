"""Dropout: masks in training, and the limit of masked networks."""

import numpy as np
import pytest

from ntk_array import EmpiricalNTK, InfiniteNNGP, InfiniteNTK, MonteCarloNTK, nn

NET = nn.Sequential(nn.Dense(6), nn.Tanh(), nn.Dropout(0.4), nn.Dense(3), nn.Dropout(0.2))


def test_values_are_dropped_with_the_rate_and_the_others_divided(backend):
    x = backend.array(np.ones((300, 100)))
    y = backend.host(nn.Dropout(0.3)({}, x, rng=1))
    kept = y > 0
    backend.close(y[kept], np.full(kept.sum(), 1 / 0.7), factor=4)
    assert abs(np.mean(kept) - 0.7) < 4 * np.sqrt(0.3 * 0.7 / y.size)
    rows, columns = np.mean(kept, axis=1), np.mean(kept, axis=0)  # each value by itself
    np.testing.assert_allclose([rows.std(), columns.std()], np.sqrt(0.21 / np.asarray([100, 300])), rtol=0.2)


def test_seeds_repeat_and_generators_go_on(rng):
    x = rng.normal(size=(5, 4))
    params = NET.init(0, like=x)
    inference = NET(params, x)
    np.testing.assert_array_equal(NET(params, x, rng=3), NET(params, x, rng=3))
    generator = np.random.default_rng(3)
    assert np.any(NET(params, x, rng=generator) != NET(params, x, rng=generator))
    assert np.any(NET(params, x, rng=3) != inference)
    np.testing.assert_array_equal(NET(params, x), inference)


def test_layers_have_masks_of_their_own(rng):
    """Two dropouts with one mask would keep a quarter of the values as often as half of them."""
    twice = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    kept = np.mean(twice(({}, {}), np.ones((100, 100)), rng=0) > 0)
    assert abs(kept - 0.25) < 0.02


def test_derivatives_are_those_of_the_masked_network(rng):
    x = rng.normal(size=(4, 5))
    net, params = NET.sampled(7), NET.init(0, like=x)
    direction = NET.init(1, like=x)
    step = 1e-5

    def moved(t):
        return net(tuple({k: v + t * d[k] for k, v in p.items()} for p, d in zip(params, direction, strict=True)), x)

    change = net.jvp(params, direction, x)
    np.testing.assert_allclose(change, (moved(step) - moved(-step)) / (2 * step), atol=1e-8)
    jacobian = np.concatenate([j.reshape(4, 3, -1) for part in net.jacobian(params, x) for j in part.values()], axis=2)
    direct = np.concatenate([d.ravel() for part in direction for d in part.values()])
    np.testing.assert_allclose(jacobian @ direct, change, atol=1e-13)
    expected = np.einsum("icp,jdp->icjd", jacobian, jacobian)
    np.testing.assert_allclose(EmpiricalNTK(net, params)(x), expected, atol=1e-13)


def test_the_limit_in_closed_form(backend, rng):
    """Arc-cosine kernel of order 1, masked, and a readout: K(x, x) is divided by keep, and nothing else changes."""
    x = rng.normal(size=(4, 3))
    cosine = x @ x.T / np.sqrt(np.outer(*2 * [np.sum(x**2, 1)]))
    np.fill_diagonal(cosine, 1.0)
    t, scale = np.arccos(np.clip(cosine, -1, 1)), np.sqrt(np.outer(*2 * [np.mean(x**2, 1)]))
    k = scale * (np.sin(t) + (np.pi - t) * cosine) / (2 * np.pi)
    theta = k + scale * cosine * (np.pi - t) / (2 * np.pi)
    off = 1 + np.eye(4) / 3
    net = nn.Sequential(nn.Dense(1), nn.ReLU(), nn.Dropout(0.25, "train"), nn.Dense(1))
    backend.close(InfiniteNNGP(net)(backend.array(x)), off * k, factor=50)
    backend.close(InfiniteNTK(net)(backend.array(x)), off * theta, factor=50)
    backend.close(InfiniteNTK(net)(backend.array(x), backend.array(x)), theta, factor=50)


def test_two_batches_of_a_monte_carlo_kernel_have_masks_of_their_own(rng):
    x = rng.normal(size=(3, 4))
    net = nn.Sequential(nn.Dense(256), nn.ReLU(), nn.Dropout(0.5, "train"), nn.Dense(8))
    exact, kernel = InfiniteNTK(net), MonteCarloNTK(net, 60, 0)
    for other in (None, x.copy()):
        mean, error = kernel.estimate(x, other)
        assert np.max(np.abs(mean - exact(x, other)) / error) < 4


def test_what_has_no_limit():
    dropped = nn.Dropout(0.5, "train")
    with pytest.raises(ValueError, match="not Gaussian"):
        InfiniteNTK(nn.Sequential(nn.Dense(1), dropped, nn.ReLU(), nn.Dense(1)))(np.ones((2, 3)))
    with pytest.raises(ValueError, match="drops features of the inputs"):
        InfiniteNTK(nn.Sequential(nn.Flatten(), dropped, nn.Dense(1)))(np.ones((2, 3, 2)))


@pytest.mark.parametrize("arguments", [(-0.1,), (1.0,), (0.5, "training")])
def test_errors(arguments):
    with pytest.raises(ValueError, match=r"rate|mode"):
        nn.Dropout(*arguments)
