"""LayerNorm: its formula, its limit on inputs in closed form, small angles and errors."""

import mpmath
import numpy as np
import pytest

from ntk_array import InfiniteNNGP, InfiniteNTK, nn

ALONE = nn.Sequential(nn.Dense(3), nn.LayerNorm(groups=3), nn.Dense(1))


@pytest.mark.parametrize(("axes", "numpy_axes"), [((-1,), (3,)), ((-1, -2), (2, 3)), ((1, 2, 3), (1, 2, 3))])
def test_the_formula(backend, rng, axes, numpy_axes):
    x = 3.0 + 2.0 * rng.normal(size=(4, 3, 2, 5))
    mean, variance = x.mean(axis=numpy_axes, keepdims=True), x.var(axis=numpy_axes, keepdims=True)
    y = nn.LayerNorm(0.01, axes)({}, backend.array(x))
    backend.close(y, (x - mean) / np.sqrt(variance + 0.01), factor=50)


def test_as_in_torch(backend, rng):
    if backend.name != "torch":
        pytest.skip("compared with PyTorch on its own arrays")
    x = backend.array(rng.normal(size=(4, 3, 5)))
    y = nn.LayerNorm(0.1, (-2, -1))({}, x)
    backend.close(y, backend.host(backend.xp.nn.functional.layer_norm(x, (3, 5), eps=0.1)), factor=20)
    images = backend.array(rng.normal(size=(4, 3, 2, 6)))  # channels last
    first = backend.xp.moveaxis(images, -1, 1)
    expected = backend.xp.moveaxis(backend.xp.nn.functional.group_norm(first, 3, eps=0.1), 1, -1)
    backend.close(nn.LayerNorm(0.1, (-3, -2, -1), 3)({}, images), backend.host(expected), factor=20)


def test_groups_are_layers_of_their_own(backend, rng):
    x = 1.0 + rng.normal(size=(3, 4, 6))
    parts = [nn.LayerNorm(0.2, (-2, -1))({}, backend.array(x[..., i : i + 2])) for i in (0, 2, 4)]
    together = nn.LayerNorm(0.2, (-2, -1), 3)({}, backend.array(x))
    backend.close(together, np.concatenate([backend.host(part) for part in parts], axis=-1), factor=20)


def test_equal_features_without_eps_are_zero_at_any_width(rng):
    x = np.full((2, 3), 0.1)
    layer = nn.LayerNorm(eps=0.0)
    np.testing.assert_array_equal(layer({}, x), 0.0)
    np.testing.assert_array_equal(InfiniteNNGP(nn.Sequential(layer, nn.Dense(1)))(x, x + 1.0), 0.0)


def test_normalized_inputs_have_the_covariances_of_their_values(backend, rng):
    """The features of the inputs are all there is: the limit is what NumPy computes of the normalized inputs."""
    x1, x2 = 1.0 + rng.normal(size=(3, 6)), 2.0 - rng.normal(size=(4, 6))
    net = nn.Sequential(nn.LayerNorm(0.3), nn.Dense(1, 1.5, 0.2))
    y1, y2 = ((x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 0.3) for x in (x1, x2))
    expected = 1.5**2 * y1 @ y2.T / 6 + 0.2**2
    backend.close(InfiniteNNGP(net)(backend.array(x1), backend.array(x2)), expected, factor=20)
    backend.close(InfiniteNTK(net)(backend.array(x1), backend.array(x2)), expected, factor=20)


def test_inputs_of_one_norm_are_not_taken_for_a_function_of_their_angle(rng):
    """Their means differ, which their angle does not tell."""
    x = rng.normal(size=(5, 3))
    x /= np.sqrt(np.mean(x**2, axis=1, keepdims=True))
    y = x - x.mean(1, keepdims=True)
    y /= np.sqrt(np.mean(y**2, axis=1, keepdims=True))
    net = nn.mlp((1, 1), 1, activation="relu")
    normalized = InfiniteNTK(nn.Sequential(nn.LayerNorm(0.0), net))(x)
    np.testing.assert_allclose(normalized, InfiniteNTK(net)(y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
def test_small_angles_of_normalized_inputs_are_exact(rng, distance):
    """A ReLU network has a kink at angle 0: a cosine would give half of the digits of the angle."""
    x1 = 1.0 + rng.normal(size=(1, 5))
    x2 = x1 + distance * rng.normal(size=(1, 5))
    net = nn.Sequential(nn.LayerNorm(0.0), nn.Dense(1), nn.ReLU(), nn.Dense(1, 2**0.5))
    with mpmath.workdps(50):
        rows = [[mpmath.mpf(float(v)) for v in x[0]] for x in (x1, x2)]
        rows = [[v - mpmath.fsum(x) / len(x) for v in x] for x in rows]
        rows = [[v / mpmath.sqrt(mpmath.fdot(x, x)) for v in x] for x in rows]
        cosine = mpmath.fdot(*rows)
        t = mpmath.acos(cosine)
        slope, value = (mpmath.pi - t) / mpmath.pi, (mpmath.sin(t) + (mpmath.pi - t) * cosine) / mpmath.pi
        expected = float(value + cosine * slope)
    assert abs(InfiniteNTK(net)(x1, x2)[0, 0] - expected) < 2e-15


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LayerNorm(-1.0), ValueError, "eps must be finite and not negative"),
        (lambda: nn.LayerNorm(groups=2).init(0, input_shape=3), ValueError, "3 channels are no multiple of 2 groups"),
        (lambda: InfiniteNTK(nn.LayerNorm(groups=2))(np.ones((2, 4))), ValueError, "groups of the few channels of the"),
        (lambda: nn.LayerNorm(groups=2)({}, np.ones((2, 3))), ValueError, "3 channels are no multiple of 2 groups"),
        (lambda: InfiniteNTK(ALONE)(np.ones((2, 4))), ValueError, "groups of single channels"),
        (lambda: nn.LayerNorm(axes=()), TypeError, "axes must be whole numbers"),
        (lambda: nn.LayerNorm(axes=(0, 1)).init(0, input_shape=3), ValueError, "not over the inputs, the first"),
        (lambda: nn.LayerNorm(axes=(-2,)).init(0, input_shape=(4, 3)), ValueError, "must normalize over the channels"),
        (lambda: nn.LayerNorm(axes=(-3, -1)).init(0, input_shape=3), ValueError, "needs more axes than its inputs"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
