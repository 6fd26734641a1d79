"""Infinite-width kernels against formulas by hand, and where rounding would show."""

import numpy as np
import pytest

from ntk_array import InfiniteNNGP, InfiniteNTK, nn
from ntk_array.gram import assemble, plan

KINDS = pytest.mark.parametrize("kind", [InfiniteNTK, InfiniteNNGP], ids=["ntk", "nngp"])


def hosts(backend, *shapes, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [backend.array(rng.normal(size=shape)) for shape in shapes]
    return [(a, backend.host(a).astype(float)) for a in arrays]


def arc_cosine(k12, k11, k22):
    """Cho and Saul 2009: E[relu relu] and E[relu' relu']."""
    s = np.sqrt(np.outer(k11, k22))
    t = np.arccos(np.clip(k12 / s, -1, 1))
    return s / (2 * np.pi) * (np.sin(t) + (np.pi - t) * np.cos(t)), (np.pi - t) / (2 * np.pi)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_one_hidden_relu_layer_by_hand(backend, parameterization, bias):
    (x, a), (x2, b) = hosts(backend, (5, 4), (3, 4))
    w2, b2 = 1.5**2, bias**2
    k12 = w2 * a @ b.T / 4 + b2
    k11, k22 = (w2 * np.sum(z * z, axis=1) / 4 + b2 for z in (a, b))
    value, slope = arc_cosine(k12, k11, k22)
    nngp = w2 * value + b2
    if parameterization == "ntk":
        ntk = nngp + w2 * k12 * slope
    else:  # at widths 4 and 50
        one = 1.0 if bias else 0.0
        ntk = 50 * value + one + w2 * (a @ b.T + one) * slope
    net = nn.mlp((50,), 1, weight_std=1.5, bias_std=bias, parameterization=parameterization)
    backend.close(InfiniteNNGP(net)(x, x2), nngp, factor=50)
    backend.close(InfiniteNTK(net)(x, x2), ntk, factor=50)


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_linear_networks_by_hand(backend, depth):
    (x, a), (x2, b) = hosts(backend, (5, 4), (3, 4))
    w2, b2 = 1.2**2, 0.5**2
    net = nn.mlp((1,) * depth, 1, activation="identity", weight_std=1.2, bias_std=0.5)
    k = w2 ** (depth + 1) * a @ b.T / 4 + b2 * sum(w2**i for i in range(depth + 1))
    # Theta = sum over layers l of w^(2 (D - l)) K^l
    layers = [w2 ** (i + 1) * a @ b.T / 4 + b2 * sum(w2**j for j in range(i + 1)) for i in range(depth + 1)]
    ntk = sum(w2 ** (depth - i) * kernel for i, kernel in enumerate(layers))
    backend.close(InfiniteNNGP(net)(x, x2), k, factor=50)
    backend.close(InfiniteNTK(net)(x, x2), ntk, factor=50)


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
def test_relu_networks_on_the_diagonal(backend, depth):
    """weight_std^2 = 2 and no bias: K(x, x) = 2 |x|^2 / d, Theta(x, x) = (depth + 1) K(x, x)."""
    ((x, a),) = hosts(backend, (6, 3))
    net = nn.mlp((1,) * depth, 1)
    k = 2 * np.sum(a * a, axis=1) / 3
    # rounding of 2 (1/2 + 1/2) and of weight_std^2 = 2 adds up over the layers
    backend.close(InfiniteNNGP(net).diag(x), k, factor=10 * depth)
    backend.close(InfiniteNTK(net).diag(x), (depth + 1) * k, factor=10 * depth)
    backend.close(np.diag(backend.host(InfiniteNTK(net)(x))), (depth + 1) * k, factor=10 * depth)


def test_relu_is_homogeneous_and_leaky_relu_reaches_from_identity_to_abs(backend):
    (x, _), (x2, _) = hosts(backend, (5, 4), (3, 4))
    relu = InfiniteNTK(nn.mlp((1, 1), 1))
    backend.close(relu(4.0 * x, 0.5 * x2), 2 * backend.host(relu(x, x2)), factor=50)
    for slope, other in ((0.0, "relu"), (1.0, "identity"), (-1.0, "abs")):
        leaky = InfiniteNTK(nn.mlp((1, 1), 1, activation=nn.LeakyReLU(slope)))
        backend.close(leaky(x, x2), backend.host(InfiniteNTK(nn.mlp((1, 1), 1, activation=other))(x, x2)), factor=50)


# ---- where rounding would show -------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_self_products_above_one_make_no_nan(kind, dtype):
    """Rounding takes the cosine of a unit vector with itself above 1 in about a third of all rows."""
    x = np.random.default_rng(0).normal(size=(2000, 30)).astype(dtype)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert np.sum(np.sum(x * x, axis=1) > 1) > 200, "the inputs do not probe what they should"
    kernel = kind(nn.mlp((1, 1), 1))
    for block in (kernel(x), kernel(x, x.copy())):
        assert np.all(np.isfinite(block))
        exact = (3 if kind is InfiniteNTK else 1) * 2 / 30
        assert np.max(np.abs(np.diag(block) - exact)) < 50 * np.finfo(dtype).eps * exact


@KINDS
@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "softplus"])
def test_symmetric_and_the_same_against_a_copy(backend, kind, activation):
    ((x, a),) = hosts(backend, (40, 6))
    x = backend.array(a / np.linalg.norm(a, axis=1, keepdims=True))
    kernel = kind(nn.mlp((1, 1), 1, activation=activation, bias_std=0.1))
    k = backend.host(kernel(x))
    np.testing.assert_array_equal(k, k.T)
    backend.close(kernel(x, backend.array(backend.host(x).copy())), k, factor=20)


@KINDS
def test_duplicated_rows_have_equal_kernel_rows(backend, kind):
    ((_, a),) = hosts(backend, (12, 6))
    a[7] = a[2]
    k = backend.host(kind(nn.mlp((1, 1), 1))(backend.array(a)))
    backend.close(k[7], k[2], factor=4)  # matrix products may sum equal rows in another order
    backend.close(k[7, 2], k[2, 2], factor=4)


@KINDS
def test_opposite_and_near_inputs_stay_finite_and_in_range(backend, kind):
    ((_, a),) = hosts(backend, (6, 4))
    x = backend.array(np.concatenate([a, -a, a * (1 + 4 * backend.eps), 1e-12 * a, 1e6 * a]))
    k = backend.host(kind(nn.mlp((1, 1, 1), 1))(x)).astype(float)
    assert np.all(np.isfinite(k))
    scale = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    assert np.all(np.abs(k) <= scale * (1 + 100 * backend.eps))


@pytest.mark.parametrize("activation", ["relu", "abs", "erf", "gelu", "sin", "elu"])
def test_zero_rows(backend, activation):
    """Orthogonal to everything, variance 0: without bias their kernels are 0, and nothing is NaN."""
    host = np.zeros((4, 3))
    host[1:] = np.random.default_rng(0).normal(size=(3, 3))
    x = backend.array(host)
    for kind in (InfiniteNTK, InfiniteNNGP):
        k = backend.host(kind(nn.mlp((1, 1), 1, activation=activation))(x))
        assert np.all(np.isfinite(k))
        np.testing.assert_allclose(k[0], 0, atol=100 * backend.eps)
        assert np.all(np.diag(k)[1:] > 0)
        with_bias = backend.host(kind(nn.mlp((1, 1), 1, activation=activation, bias_std=0.5))(x))
        assert np.all(np.isfinite(with_bias))
        assert with_bias[0, 0] > 0


@pytest.mark.parametrize("seed", range(6))
def test_a_zero_row_through_two_tables(seed):
    """Interpolation may take its variance below 0, of which the next activation needs the root."""
    x = np.random.default_rng(seed).normal(size=(4, 3))
    x[0] = 0.0
    k = InfiniteNTK(nn.mlp((1, 1), 1, activation="elu"))(x)
    np.testing.assert_allclose(k[0], 0.0, atol=1e-14)
    assert np.all(np.isfinite(k))


def test_all_rows_zero(backend):
    k = backend.host(InfiniteNTK(nn.mlp((1, 1), 1))(backend.array(np.zeros((3, 2)))))
    np.testing.assert_array_equal(k, np.zeros((3, 3)))


# ---- what they refuse, and what they say ---------------------------------------------------------------------------


@KINDS
def test_activations_need_gaussian_values(kind):
    x = np.ones((2, 3))
    for net in (
        nn.Sequential(nn.ReLU(), nn.Dense(1)),
        nn.Sequential(nn.Dense(4), nn.ReLU(), nn.Tanh(), nn.Dense(1)),
        nn.Tanh(),
    ):
        for call in (lambda: kind(net)(x), lambda: kind(net).diag(x)):  # noqa: B023
            with pytest.raises(ValueError, match=r"acts on values that are not Gaussian .*: put a Dense layer before"):
                call()
    assert kind(nn.Sequential(nn.Identity(), nn.Dense(4), nn.Identity(), nn.ReLU(), nn.Dense(1)))(x).shape == (2, 2)


@KINDS
def test_bad_arguments(kind):
    with pytest.raises(TypeError, match=r"^net must be a network of ntk_array.nn, got 3"):
        kind(3)
    with pytest.raises(ValueError, match=r"output has the shape \(3, 1\) for each input; .* Flatten"):
        kind(nn.mlp((4,), 1))(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match=r"^x has NaN or infinity"):
        kind(nn.mlp((4,), 1)).quadrature_error(np.full((2, 3), np.nan))


def test_quadrature_error_is_stated(backend):
    ((x, _),) = hosts(backend, (3, 4))
    for activation in ("relu", "leaky_relu", "abs", "erf", "gelu", "sin", "cos", "identity"):
        assert InfiniteNTK(nn.mlp((1, 1), 1, activation=activation)).quadrature_error(x) == 0.0
    error = InfiniteNTK(nn.mlp((1,), 1, activation="tanh")).quadrature_error(x)
    assert 0.0 < error < 1e-12
    mixed = nn.Sequential(nn.Dense(1), nn.Tanh(), nn.Dense(1), nn.ReLU(), nn.Dense(1))
    assert InfiniteNNGP(mixed).quadrature_error(x) > 0.0


def test_widths_matter_in_the_standard_parameterization_only(backend):
    ((x, _),) = hosts(backend, (3, 4))

    def kernel(width, parameterization):
        return backend.host(InfiniteNTK(nn.mlp((width, width), 1, parameterization=parameterization))(x))

    np.testing.assert_array_equal(kernel(3, "ntk"), kernel(300, "ntk"))
    assert np.all(np.diag(kernel(300, "standard")) > 50 * np.diag(kernel(3, "standard")))


@pytest.mark.host
@KINDS
def test_tables_are_made_once_for_all_tiles(kind):
    """Of the range of all inputs, however unequal the norms in different tiles are, with two activations."""
    calls = []

    def tanh(xp, x):
        calls.append(x.shape)
        return xp.tanh(x)

    phi = nn.Elementwise(tanh, lambda xp, x: 1.0 - xp.tanh(x) ** 2)
    kernel = kind(nn.Sequential(nn.Dense(1, bias_std=0.3), phi, nn.Dense(1, bias_std=0.3), phi, nn.Dense(1)))
    x = np.random.default_rng(0).normal(size=(60, 3)) * np.geomspace(0.2, 4.0, 60)[:, None]
    tiles = assemble(kernel, x, memory="150 kB", threads=1)
    assert len(plan(kernel, x, memory="150 kB", threads=1)) > 4
    made = len(calls)
    np.testing.assert_allclose(assemble(kernel, x, memory="150 kB", threads=2), tiles, rtol=0, atol=1e-13)
    kernel.diag(x)
    assert len(calls) == made
    np.testing.assert_allclose(tiles[20:40, 20:40], kernel.block(x[20:40], None), rtol=0, atol=1e-12)
    assert len(calls) > made  # a narrower table
