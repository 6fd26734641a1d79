"""Kernels as functions of one angle: where they are, and that the series gives what the layers give."""

import math

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.gram import assemble
from ntk_array.kernels.zonal import Zonal, zonal_series

KINDS = pytest.mark.parametrize("kind", [ntk.InfiniteNTK, ntk.InfiniteNNGP], ids=["ntk", "nngp"])


def sphere(backend, n, d=5, radius=1.0, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    x[1], x[2] = -x[0], x[0] + 1e-5 * x[3]
    return backend.array(radius * x / np.linalg.norm(x, axis=1, keepdims=True))


def series_of(kernel, x1, x2=None):
    specialized = kernel.specialized(x1, x2)
    return specialized.series if isinstance(specialized, Zonal) else None


def layer_by_layer(kernel, x1, x2=None):
    return kernel.block(x1, x2)


@KINDS
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize(
    ("activation", "depth"), [("relu", 3), ("relu", 20), ("relu", 60), ("abs", 2), (nn.LeakyReLU(0.3), 4)]
)
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
    assert series_of(kernel, x) is not None
    backend.close(kernel(x), layer_by_layer(kernel, x), factor=100)
    assert np.array_equal(backend.host(kernel(x)), backend.host(kernel(x)).T)


@KINDS
@pytest.mark.parametrize(("activation", "weight_std"), [("tanh", 2.0), ("erf", 1.2), ("sin", 1.5)])
def test_inputs_of_nearly_one_norm(backend, kind, activation, weight_std):
    """Norms that differ by as much as first order allows, in float64, against the layers one by one."""
    kernel = kind(nn.mlp((7,) * 4, 1, activation=activation, weight_std=weight_std, bias_std=0.3))
    stretch = 1.0 + 0.09 * backend.eps**0.5 * np.linspace(-1.0, 1.0, 12)[:, None]
    x = backend.array(backend.host(sphere(backend, 12, radius=2.0)) * stretch)
    series = series_of(kernel, x)
    assert series is not None
    assert series.slope is not None
    wide = backend.host(x).astype(np.float64)
    assert series_of(kernel, x[:4, :], x) is series  # a part of the batch has a spread of its own
    scale = np.sqrt(kernel.diag(wide))
    error = (backend.host(kernel(x)) - layer_by_layer(kernel, wide)) / scale / scale[:, None]
    assert np.max(np.abs(error)) < (1e-6 if backend.eps > 1e-10 else 3e-14)
    copies = backend.host(kernel(x, backend.array(backend.host(x).copy())))
    backend.close(np.diag(copies), backend.host(kernel.diag(x)), factor=100)


@pytest.mark.host
def test_where_there_is_no_series():
    unequal, equal = np.random.default_rng(0).normal(size=(6, 3)), np.asarray([[1.0, 0.0], [0.6, 0.8]])
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.1)), unequal) is None
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, activation="erf")), unequal) is None
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.3)), equal) is not None
    # a branch point a hair's breadth from t = pi
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.001)), equal) is None
    # a kink behind a bias sees an angle of the size of the spread
    spread = equal * np.asarray([[1.0], [1.0 + 1e-9]])
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.3)), spread) is None
    # far from the origin sin depends on the difference of norms that are equal to eight digits
    waves = ntk.InfiniteNTK(nn.mlp((1,), 1, activation="sin", bias_std=0.3))
    assert series_of(waves, 1e9 * spread) is None
    assert series_of(waves, spread).slope is not None
    # chaotic: variances grow with depth
    assert series_of(ntk.InfiniteNTK(nn.mlp((1,) * 20, 1, activation="erf", weight_std=4.0)), equal) is None


@pytest.mark.host
def test_the_series_is_short_at_any_depth():
    x = np.eye(3)
    series = [series_of(ntk.InfiniteNTK(nn.mlp((1,) * depth, 1)), x) for depth in (3, 20, 50, 100)]
    assert all(len(one.coefficients) < most for one, most in zip(series, (40, 48, 60, 72), strict=True))
    assert [one.stretch > 0 for one in series] == [False, True, True, True]
    narrow = series_of(ntk.InfiniteNTK(nn.mlp((1,) * 3, 1)), x.astype(np.float32))
    assert len(narrow.coefficients) < 0.7 * len(series[0].coefficients)


@pytest.mark.host
def test_deep_networks_against_mpmath():
    """The recursion of arc-cosine kernels in 40 digits, nearly equal and nearly opposite inputs included."""
    depth, angles = 50, np.asarray([1e-9, 1e-5, 1e-3, 0.02, 0.3, 1.0, 2.0, 3.0, math.pi - 1e-6])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    kernel = ntk.InfiniteNTK(nn.mlp((1,) * depth, 1))
    assert series_of(kernel, x) is not None
    got = kernel(np.asarray([[1.0, 0.0]]), x)[0]
    with mpmath.workdps(40):
        gain = mpmath.mpf(math.sqrt(2.0)) ** 2 / 2  # of the variance, by each layer: not quite 1
        for value, (along, across) in zip(got, x.tolist(), strict=True):
            t, variance = mpmath.atan2(across, along), gain
            theta = variance * mpmath.cos(t)
            for _ in range(depth):
                t, slope = mpmath.acos((mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / mpmath.pi), 1 - t / mpmath.pi
                variance *= gain
                theta = variance * mpmath.cos(t) + gain * slope * theta
            assert abs(value - theta) < 1.5e-16 * depth * (depth + 1)  # the square of weight_std is rounded


@pytest.mark.host
def test_another_variance_is_another_series():
    kernel = ntk.InfiniteNTK(nn.mlp((1,), 1, activation="erf"))
    for radius in (1.0, 2.0):
        x = radius * np.asarray([[1.0, 0.0], [math.cos(0.7), math.sin(0.7)]])
        np.testing.assert_allclose(kernel(x), layer_by_layer(kernel, x), rtol=1e-14)


@KINDS
@pytest.mark.host
@pytest.mark.parametrize(
    ("activation", "bias_std", "depth"), [("relu", 0.0, 3), ("relu", 0.0, 20), ("relu", 0.0, 60), ("tanh", 0.3, 2)]
)
def test_what_is_left_out_is_bounded(kind, activation, bias_std, depth):
    """A series for float32, summed in float64, against the recursion in float64."""
    kernel = kind(nn.mlp((1,) * depth, 1, activation=activation, bias_std=bias_std))
    angles = np.linspace(0.0, math.pi, 400)
    x = math.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    series = zonal_series(kernel.program((2,)), x.astype(np.float32)[:1], None, kind is ntk.InfiniteNTK, {}, {})
    exact = layer_by_layer(kernel, x[:1], x)[0]
    error = np.max(np.abs(Zonal(kernel, series).block(x[:1], x)[0] - exact)) / exact[0]
    assert 1e-12 < error <= series.error + 1e-14
    assert series.error < 1e-7


@pytest.mark.host
def test_it_is_decided_once_for_a_problem():
    """Tiles of inputs of one norm, in a batch of several, take the way of the batch."""
    x = np.random.default_rng(0).normal(size=(80, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[60:] *= 2.0
    kernel = ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.3))
    assert series_of(kernel, x[:60]) is not None
    assert series_of(kernel, x) is None
    assert series_of(kernel, x[:60], x) is None
    assert isinstance((2.0 * kernel + kernel).specialized(x[:60], None).left.kernel, Zonal)
    tiles = assemble(kernel, x, memory="100 kB", threads=1)
    np.testing.assert_allclose(tiles, layer_by_layer(kernel, x), rtol=1e-14)
