"""BatchNorm at given statistics: its formula, where it has a limit, and errors."""

import numpy as np
import pytest

from ntk_array import InfiniteNTK, nn


def test_the_formula(backend, rng):
    x, mean, variance = rng.normal(size=(4, 2, 3)), rng.normal(size=3), rng.random(3)
    layer = nn.BatchNorm(backend.array(mean), list(variance), 0.01)
    # the statistics have the precision of the arrays that they came in
    backend.close(layer({}, backend.array(x)), (x - mean) / np.sqrt(variance + 0.01), factor=10)


def test_as_in_torch(backend, rng):
    if backend.name != "torch":
        pytest.skip("compared with PyTorch on its own arrays")
    x, mean, variance = (backend.array(a) for a in (rng.normal(size=(4, 3)), rng.normal(size=3), rng.random(3)))
    expected = backend.xp.nn.functional.batch_norm(x, mean, variance, eps=0.1)
    backend.close(nn.BatchNorm(mean, variance, 0.1)({}, x), backend.host(expected), factor=10)


def test_a_common_factor_is_that_of_the_weights(rng):
    x = rng.normal(size=(4, 3))
    normalized = InfiniteNTK(nn.Sequential(nn.Dense(1, 2.0), nn.BatchNorm(0.0, 15.5, 0.5), nn.ReLU(), nn.Dense(1)))(x)
    np.testing.assert_allclose(normalized, InfiniteNTK(nn.mlp((1,), 1, weight_std=1.0))(x) / 4, rtol=1e-13)


@pytest.mark.parametrize("layer", [nn.BatchNorm(1.0, 1.0), nn.BatchNorm(0.0, [1.0, 2.0])])
def test_no_limit_otherwise(layer):
    with pytest.raises(ValueError, match="BatchNorm has no infinite-width limit"):
        InfiniteNTK(nn.Sequential(nn.Dense(2), layer, nn.Dense(1)))(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, -1.0), "must be positive"),
        ((0.0, 0.0, 0.0), "must be positive"),
        (([0.0, np.nan], 1.0), "mean"),
        (([[0.0]], 1.0), "one number for each channel"),
        (([0.0, 1.0], 1.0), "mean of 2 channels; its inputs have 3"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        nn.BatchNorm(*arguments).init(0, input_shape=3)


def test_statistics_of_many_channels_are_not_printed():
    assert repr(nn.BatchNorm([0.5] * 64, 2.0)) == "BatchNorm(mean=64 items, variance=2)"
