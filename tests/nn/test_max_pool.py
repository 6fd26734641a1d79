"""MaxPool: its formula on every kind of padding, ties, and errors."""

import numpy as np
import pytest

from ntk_array import InfiniteNTK, MonteCarloNTK, nn


def test_the_formula(backend, rng):
    """Negative values: zeros of a padding would be larger."""
    x = -1.0 - rng.random(size=(3, 5, 4, 2))
    here = backend.array(x)
    valid = nn.MaxPool((2, 2))({}, here)
    backend.close(valid, x[:, :4].reshape(3, 2, 2, 2, 2, 2).max(axis=(2, 4)), factor=1)
    same = nn.MaxPool((3, 1), stride=(2, 1), padding="same")({}, here)
    edges = [x[:, 0:2].max(1), x[:, 1:4].max(1), x[:, 3:5].max(1)]
    backend.close(same, np.stack(edges, axis=1), factor=1)
    circular = nn.MaxPool((1, 2), stride=1, padding="circular")({}, here)
    backend.close(circular, np.maximum(x, np.roll(x, -1, axis=2)), factor=1)


def test_as_in_torch(backend, rng):
    if backend.name != "torch":
        pytest.skip("compared with PyTorch on its own arrays")
    x = backend.array(rng.normal(size=(2, 7, 6, 3)))
    expected = backend.xp.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), (3, 2), (2, 1)).permute(0, 2, 3, 1)
    backend.close(nn.MaxPool((3, 2), stride=(2, 1))({}, x), backend.host(expected), factor=1)


def test_of_equal_values_the_first_has_the_derivative():
    layer = nn.MaxPool((3,))
    _, tape = layer.forward({}, np.asarray([[[1.0], [2.0], [2.0]]]))
    back, _ = layer.backward({}, tape, np.ones((1, 1, 1, 1)))
    np.testing.assert_array_equal(back[0, 0, :, 0], [0.0, 1.0, 0.0])


def test_no_limit_but_monte_carlo_kernels(rng):
    net = nn.Sequential(nn.Conv(4, (2,)), nn.MaxPool((2,)), nn.Flatten(), nn.Dense(1))
    x = rng.normal(size=(2, 4, 1))
    with pytest.raises(ValueError, match=r"no infinite-width limit in closed form.*Monte Carlo"):
        InfiniteNTK(net)(x)
    assert MonteCarloNTK(net, 2, 0)(x).shape == (2, 2)


@pytest.mark.parametrize(("shape", "message"), [((3,), "0 axes of positions|axes of positions"), ((1, 2), "larger")])
def test_errors(shape, message):
    with pytest.raises(ValueError, match=message):
        nn.MaxPool((2,))({}, np.ones((1, *shape)))
