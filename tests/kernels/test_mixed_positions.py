"""Kinks behind layers that mix positions: inputs that nearly coincide, in float32."""

import numpy as np
import pytest

from ntk_array import InfiniteNTK, gram, nn

SHAPE = (6, 3)


def _dense():
    return nn.Dense(1, weight_std=2**0.5)


def _conv():
    return nn.Conv(1, (3,), weight_std=2**0.5)


def _attention(mechanism):
    attention = nn.SelfAttention(1, heads=1, key_width=1, value_width=1, mechanism=mechanism, scaling="linear")
    return nn.Sequential(_dense(), nn.ReLU(), attention, nn.ReLU(), nn.GlobalAvgPool(), _dense())


NETS = {
    "pooling": nn.Sequential(_conv(), nn.ReLU(), nn.SumPool((2,)), _conv(), nn.ReLU(), nn.GlobalAvgPool(), _dense()),
    "a deep readout": nn.Sequential(_conv(), nn.ReLU(), nn.GlobalAvgPool(), _dense(), nn.ReLU(), nn.Dense(1)),
    "attention, identity": _attention("identity"),
    "attention, relu": _attention("relu"),
    "graphs": nn.GraphNetwork(
        nn.Aggregate(), _dense(), nn.ReLU(), nn.Aggregate(), _dense(), nn.ReLU(), nn.GraphPool("sum"), _dense()
    ),
}
NAMED = pytest.mark.parametrize("name", NETS)


def _nearly_equal(name):
    """Inputs in float32 that lie at angles of 1e-4 and 1e-3, and opposite and longer ones."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *SHAPE))
    x = np.concatenate([x, x * (1 + 1e-4 * rng.standard_normal(x.shape)), x + 1e-3, -x, 2 * x]).astype(np.float32)
    if name == "graphs":
        edges = np.triu(rng.random((SHAPE[0], SHAPE[0])) < 0.5) + np.eye(SHAPE[0])
        return nn.graphs(list(x), [np.minimum(edges + edges.T, 1).astype(np.float32)] * len(x))
    return x


@NAMED
def test_float32_loses_no_digits(name, backend):
    """Against float64. Cosines in float32 would be off by 2e-5 to 3e-4."""
    if backend.name == "numpy-compiled" and name == "pooling":
        pytest.skip("test_planes.py has pooling in the middle, and compiling takes long")
    x, K = _nearly_equal(name), InfiniteNTK(NETS[name])
    exact = K(x.astype(np.float64))
    size = np.sqrt(np.diag(exact)[:, None] * np.diag(exact))
    if backend.dtype_name == "float32":
        with pytest.warns(RuntimeWarning, match="no float64"):
            got = K(backend.array(x))
        assert np.max(np.abs(backend.host(got) - exact) / size) < 1e-3
        return
    given = backend.xp.asarray(x) if backend.device is None else backend.xp.asarray(x, device=backend.device)
    for got in (K(given), K(given, given)):
        assert got.dtype == backend.xp.float32
        assert np.max(np.abs(backend.host(got) - exact) / size) < 1e-6
    assert np.max(np.abs(backend.host(K.diag(given)) / np.diag(exact) - 1)) < 1e-6
    tiled = gram.assemble(K, given, memory="40 KB")
    assert tiled.dtype == backend.xp.float32
    assert np.max(np.abs(backend.host(tiled) - exact) / size) < 1e-6


def test_derivatives_keep_the_dtype():
    x = _nearly_equal("pooling")
    K = InfiniteNTK(NETS["pooling"]).gradient
    for name, one in K(x, wrt=("log_weight_std",)).items():
        exact = K(x.astype(np.float64), wrt=(name,))[name]
        assert one.dtype == np.float32
        assert np.max(np.abs(one - exact)) < 1e-5 * np.max(exact)


def test_smooth_networks_stay_in_float32():
    """Nothing is lost there, and float64 would take twice as long."""
    net = nn.Sequential(_conv(), nn.GELU(), nn.SumPool((2,)), _conv(), nn.Erf(), nn.GlobalAvgPool(), _dense())
    assert not InfiniteNTK(net).program(SHAPE).loses_angles
    assert all(InfiniteNTK(net).program(SHAPE).loses_angles for net in (NETS["pooling"], NETS["attention, relu"]))
