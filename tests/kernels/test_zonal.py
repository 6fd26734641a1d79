"""Kernels as functions of one angle: where they are, and that the series gives what the layers give."""

import math

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.kernels.zonal import MOST_TERMS, zonal_series
from ntk_array.nn.covariance import Covariance, Inputs

KINDS = pytest.mark.parametrize("kind", [ntk.InfiniteNTK, ntk.InfiniteNNGP], ids=["ntk", "nngp"])


def sphere(backend, n, d=5, radius=1.0, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    x[1], x[2] = -x[0], x[0] + 1e-5 * x[3]
    return backend.array(radius * x / np.linalg.norm(x, axis=1, keepdims=True))


def series_of(kernel, x1, x2=None):
    one = Inputs.of(x1)
    return zonal_series(kernel.net, one, one if x2 is None else Inputs.of(x2), isinstance(kernel, ntk.InfiniteNTK))


def layer_by_layer(kernel, x1, x2=None):
    ntk_wanted = isinstance(kernel, ntk.InfiniteNTK)
    state = Covariance.between(Inputs.of(x1), None if x2 is None else Inputs.of(x2), ntk=ntk_wanted)
    state = kernel.net.propagate(state)
    return state.ntk if ntk_wanted else state.k12


@KINDS
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize(("activation", "depth"), [("relu", 3), ("relu", 20), ("abs", 2), (nn.LeakyReLU(0.3), 4)])
def test_norms_factor_out_of_homogeneous_networks(backend, kind, parameterization, activation, depth):
    kernel = kind(nn.mlp((7,) * depth, 1, activation=activation, parameterization=parameterization))
    x = sphere(backend, 12) * backend.array(np.geomspace(1e-3, 1e3, 12)[:, None])
    assert series_of(kernel, x) is not None
    scale = np.sqrt(backend.host(kernel.diag(x)))
    for x1, x2 in ((x, None), (x[:5, :], x)):
        wide1, wide2 = (None if part is None else backend.host(part).astype(np.float64) for part in (x1, x2))
        error = backend.host(kernel(x1, x2)) - layer_by_layer(kernel, wide1, wide2)
        share = np.abs(error) / (scale[: len(error), None] * scale)
        assert np.max(share) < (max(1e-6, 1e-7 * depth) if backend.eps > 1e-10 else 1e-14 * (1 + depth))


@KINDS
@pytest.mark.parametrize("activation", ["erf", "gelu", "tanh", "elu", "sin"])
def test_inputs_of_one_norm(backend, kind, activation):
    kernel = kind(nn.mlp((7, 7), 1, activation=activation, weight_std=1.2, bias_std=0.2))
    x = sphere(backend, 8, radius=2.0)
    if backend.eps < 1e-10:  # in float32 norms of one sphere differ by more than rounding allows
        assert series_of(kernel, x) is not None
    backend.close(kernel(x), layer_by_layer(kernel, x), factor=100)
    assert np.array_equal(backend.host(kernel(x)), backend.host(kernel(x)).T)


@pytest.mark.host
def test_where_there_is_no_series():
    unequal, equal = np.random.default_rng(0).normal(size=(6, 3)), np.asarray([[1.0, 0.0], [0.6, 0.8]])
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.1)), unequal) is None
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, activation="erf")), unequal) is None
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.3)), equal) is not None
    # a branch point a hair's breadth from t = pi
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.001)), equal) is None
    # chaotic: variances grow with depth
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,) * 20, 1, activation="erf", weight_std=4.0)), equal) is None


@pytest.mark.host
def test_the_series_is_short_at_any_depth():
    x = np.eye(3)
    terms = [len(series_of(ntk.InfiniteNTK(nn.mlp((1,) * depth, 1)), x).coefficients) for depth in (1, 3, 20, 50)]
    assert terms[1] <= 40
    assert max(terms) < MOST_TERMS / 1.5
    narrow = series_of(ntk.InfiniteNTK(nn.mlp((1,) * 3, 1)), x.astype(np.float32))
    assert len(narrow.coefficients) < 0.7 * terms[1]


@pytest.mark.host
def test_another_variance_is_another_series():
    kernel = ntk.InfiniteNTK(nn.mlp((1,), 1, activation="erf"))
    for radius in (1.0, 2.0):
        x = radius * np.asarray([[1.0, 0.0], [math.cos(0.7), math.sin(0.7)]])
        np.testing.assert_allclose(kernel(x), layer_by_layer(kernel, x), rtol=1e-14)
