"""ChannelsLast: values and kernels are those of arrays that were transposed, first or behind other layers."""

import numpy as np
import pytest

from ntk_array import EmpiricalNTK, InfiniteNNGP, InfiniteNTK, MonteCarloNTK, nn
from ntk_array._formula import numba_loops
from ntk_array.gram import plan

CONV = nn.Conv(4, (2, 2), stride=2, bias_std=0.3)
TOP = (nn.ReLU(), nn.Flatten(), nn.Dense(1, 1.2, 0.1))
FIRST = nn.Sequential(nn.Sequential(nn.ChannelsLast(), CONV), *TOP)
SAME = nn.Sequential(CONV, *TOP)


def test_it_is_that_of_numpy(backend, rng):
    for shape in ((2, 3, 5), (2, 3, 4, 5), (2, 3, 4, 5, 2)):
        x = rng.normal(size=shape)
        backend.close(nn.ChannelsLast()({}, backend.array(x)), np.moveaxis(x, 1, -1), factor=1)


def test_infinite_kernels_are_those_of_transposed_images(backend, rng):
    first = [rng.normal(size=(n, 3, 2)) for n in (4, 3)]
    last = [a.transpose(0, 2, 1) for a in first]
    same = nn.Sequential(nn.Dense(4, bias_std=0.3), nn.ReLU(), nn.Flatten(), nn.Dense(1))
    kernel = InfiniteNTK(nn.Sequential(nn.ChannelsLast(), same))
    backend.close(kernel(*map(backend.array, first)), InfiniteNTK(same)(*last), factor=10)


@pytest.mark.host
def test_so_are_all_that_kernels_give(rng):
    x = rng.normal(size=(4, 2, 3, 4))
    last = x.transpose(0, 2, 3, 1)
    for kind in (InfiniteNTK, InfiniteNNGP):
        one, two = kind(FIRST), kind(SAME)
        np.testing.assert_allclose(one(x), two(last), rtol=1e-12)
        np.testing.assert_allclose(one.diag(x), two.diag(last), rtol=1e-12)
        slopes = two.gradient(last)
        for name, slope in one.gradient(x).items():
            np.testing.assert_allclose(slope, slopes[name], rtol=1e-12)
    np.testing.assert_allclose(InfiniteNTK(FIRST, "0.1.bias")(x), InfiniteNTK(SAME, "0.bias")(last), rtol=1e-12)


@pytest.mark.host
@pytest.mark.skipif(numba_loops.available() is None, reason="planes are compiled by Numba")
def test_plane_by_plane(monkeypatch, rng):
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    x, net = rng.normal(size=(4, 2, 3, 4)), nn.cnn((4,), 1)
    expected = InfiniteNTK(net)(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(InfiniteNTK(nn.Sequential(nn.ChannelsLast(), net))(x), expected, rtol=1e-13)


@pytest.mark.host
def test_plans_are_those_of_transposed_images(rng):
    x = rng.normal(size=(4, 2, 3, 4))
    assert repr(plan(InfiniteNTK(FIRST), x)) == repr(plan(InfiniteNTK(SAME), x.transpose(0, 2, 3, 1)))


@pytest.mark.host
def test_elsewhere_it_is_for_finite_networks(rng):
    x = rng.normal(size=(2, 3, 4, 4))
    conv = nn.Sequential(nn.Conv(4, (2, 2)), nn.Tanh())
    net = nn.Sequential(nn.Residual(conv), nn.ChannelsLast(), nn.Flatten(), nn.Dense(1))
    branch = nn.Sequential(nn.ChannelsLast(), nn.Dense(4))
    inside = nn.Sequential(nn.Sum(branch, nn.Dense(4)), nn.Flatten(), nn.Dense(1))
    for other, own in ((net, x), (inside, x[..., :3, :3])):
        assert EmpiricalNTK(other, other.init(0, like=own), "trace")(own).shape == (2, 2)
        assert MonteCarloNTK(other, 2, 0)(own).shape == (2, 2)
        with pytest.raises(ValueError, match=r"ChannelsLast\(\) is not the first layer.*put it at the start"):
            InfiniteNTK(other)(own)


@pytest.mark.host
def test_inputs_without_positions_are_refused():
    with pytest.raises(ValueError, match=r"ChannelsLast\(\) needs inputs \(N, channels, \*positions\); got \(N, 3\)"):
        nn.ChannelsLast().init(0, input_shape=3)
