"""float32 kernels of smooth networks, in which rounding grows: computed in float64 where it would grow too much."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.infinite.growth import rounding_growth
from ntk_array.infinite.inputs import Inputs
from ntk_array.kernels.infinite import InfiniteDerivative

PLANES = nn.Sequential(*[nn.Conv(1, (3, 3), weight_std=5.0), nn.Erf()] * 4)


def deep(activation, depth, weight_std):
    """Without biases, whose large share would keep angles from growing."""
    hidden = (layer for _ in range(depth) for layer in (nn.Dense(1, weight_std=weight_std), activation))
    return nn.Sequential(*hidden, nn.Dense(1))


def nearly_equal(shape=(12,)):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, *shape))
    x = [x, x * (1 + 1e-3 * rng.normal(size=x.shape)), x + 1e-4, -x, 1.5 * x]
    return np.concatenate(x).astype(np.float32)


@pytest.mark.parametrize(
    "net",
    [
        deep(nn.Erf(), 2, 1.5),
        deep(nn.Erf(), 12, 2.0),
        deep(nn.Tanh(), 3, 5.0),
        deep(nn.GELU(), 4, 2.5),
        nn.Sequential(PLANES, nn.GlobalAvgPool(), nn.Dense(1)),
    ],
    ids=["Erf", "deep Erf", "Tanh", "GELU", "images"],
)
def test_float32_loses_no_digits(net, backend):
    """In float32 all the way these are off by 1e-6, 4e-4, 5e-5, 9e-6 and 5e-6."""
    images = isinstance(net.layers[0], nn.Sequential)
    if images and backend.name != "numpy-compiled":
        pytest.skip("what planes compute in is asked on NumPy")
    x, K = nearly_equal((4, 5, 2) if images else (12,)), ntk.InfiniteNTK(net)
    exact = K(x.astype(np.float64))
    size = np.sqrt(np.diag(exact)[:, None] * np.diag(exact))
    if backend.dtype_name == "float32":
        if len(net.layers) > 5:
            with pytest.warns(RuntimeWarning, match="rounding errors grow, is computed in float32"):
                K(backend.array(x))
        return
    given = backend.xp.asarray(x)
    for found in (K(given), K(given, given), ntk.gram.assemble(K, given, memory="100 KB")):
        assert found.dtype == backend.xp.float32
        assert np.max(np.abs(backend.host(found) - exact) / size) < 2e-6


def test_both_batches_of_a_derivative_are_computed_alike():
    """By themselves the small inputs would stay in float32: a large bias keeps their angles from growing."""
    hidden = (layer for _ in range(3) for layer in (nn.Dense(1, weight_std=1.5, bias_std=0.5), nn.Erf()))
    K, x = ntk.InfiniteNTK(nn.Sequential(*hidden, nn.Dense(1))), nearly_equal()
    small, large = np.float32(0.05) * x[:3], np.float32(30.0) * x[3:7]
    assert not K.wide(small)
    assert K.wide(large)
    derivative = InfiniteDerivative(K, "log_weight_std").specialized(small, large)
    assert derivative.prepare(small)[0].x.dtype == derivative.prepare(large)[0].x.dtype == np.float64
    found, exact = (
        derivative.block(small, large),
        InfiniteDerivative(K, "log_weight_std").block(small.astype(np.float64), large.astype(np.float64)),
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_growth_is_that_of_a_small_angle():
    """Against the angle of two nearby inputs in float64, at the start and in the end."""
    net, x = deep(nn.Erf(), 6, 2.5), nearly_equal()[:1].astype(np.float64)
    other = x + 1e-5 * np.roll(x, 1) * [(-1) ** i for i in range(12)]
    one, two = (x / np.linalg.norm(x) for x in (x, other))
    K = ntk.InfiniteNNGP(net)
    (k11, k12), (_, k22) = K(np.concatenate([one, two]))
    growth = (1 - k12 / np.sqrt(k11 * k22)) / (1 - np.sum(one * two))
    # It counts the rounding of each layer, and the spread of values.
    assert growth < rounding_growth(K.program_for(one), Inputs.of(one)) < 50 * growth
