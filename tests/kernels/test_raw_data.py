"""Data as users have it: far from the origin, of any size, with repeated, parallel and nearly equal rows."""

import math

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._array.namespace import standard_namespace
from ntk_array.nn.activations.names import activation_named

SMOOTH = ("erf", "gelu", "sin", "cos", "silu", "tanh")


def network(names, weight_std=1.4, bias_std=0.0):
    layers = [layer for name in names for layer in (nn.Dense(1, weight_std, bias_std), activation_named(name))]
    return nn.Sequential(*layers, nn.Dense(1))


@pytest.mark.parametrize(("low", "high"), [(500.0, 501.0), (-0.5, 0.5), (-1e6, -1e6 + 3.0)])
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_waves_far_from_the_origin(backend, name, low, high):
    """E[cos u cos v] = (exp(-(x - x')^2 / 2) + exp(-(x + x')^2 / 2)) / 2, of the inputs as they are rounded."""
    x = backend.array(np.linspace(low, high, 40)[:, None])
    exact = backend.host(x).astype(np.float64)
    near, far = (np.exp(-((exact - side * exact.T) ** 2) / 2) for side in (1, -1))
    expected = 0.5 * (near + far if name == "cos" else near - far)
    net = network([name], 1.0)
    for block in (ntk.InfiniteNNGP(net)(x), ntk.InfiniteNNGP(net)(x, x + 0.0)):
        backend.close(block, expected, factor=10, scale=0.5)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_waves_of_opposite_inputs_far_from_the_origin(backend, name):
    x = backend.array(np.asarray([[300.0, 1.0], [-300.0, -1.0], [-300.25, -1.0]]))
    exact = backend.host(x).astype(np.float64)
    squares = [((exact[:, None, :] - side * exact) ** 2).sum(-1) / 2 for side in (1, -1)]
    near, far = (np.exp(-s / 2) for s in squares)
    expected = 0.5 * (near + far if name == "cos" else near - far)
    backend.close(ntk.InfiniteNNGP(network([name], 1.0))(x), expected, factor=10, scale=0.5)


@pytest.mark.parametrize("name", ["erf", "gelu"])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_closed_forms_far_from_the_origin(backend, name, offset):
    """With a bias, so that the inputs are not parallel; against the formulas in 60 digits."""
    x = backend.array(np.asarray([[offset + 0.25], [offset + 1.0], [offset - 2.0]]))
    block = backend.host(ntk.InfiniteNNGP(network([name], 1.0, 0.5))(x)) - 0.0
    for i, one in enumerate(backend.host(x)[:, 0]):
        for j, two in enumerate(backend.host(x)[:, 0]):
            value, scale = dual_of(name, float(one), float(two))
            assert abs(block[i, j] - value) < 20 * backend.eps * scale


def dual_of(name, x, y):
    """The dual at k = x y + 1/4, and the root of the values of both with themselves."""
    with mpmath.workdps(60):

        def value(a, b):
            k12, k11, k22 = (mpmath.mpf(p) * mpmath.mpf(q) + mpmath.mpf("0.25") for p, q in ((a, b), (a, a), (b, b)))
            if name == "erf":
                return 2 / mpmath.pi * mpmath.asin(2 * k12 / mpmath.sqrt((1 + 2 * k11) * (1 + 2 * k22)))
            d = (1 + k11) * (1 + k22) - k12**2
            both = mpmath.mpf(1) / 4 + mpmath.asin(k12 / mpmath.sqrt((1 + k11) * (1 + k22))) / (2 * mpmath.pi)
            rest = k11 * k22 - k12**2 + k12**2 * (1 / (1 + k11) + 1 / (1 + k22))
            return k12 * both + rest / (2 * mpmath.pi * mpmath.sqrt(d))

        return float(value(x, y)), float(mpmath.sqrt(value(x, x) * value(y, y)))


@pytest.mark.parametrize("name", ["relu", "abs", "erf", "gelu", "sin", "cos", "identity"])
@pytest.mark.parametrize("share", [-0.49, -0.3, 0.3, 0.45])
def test_inputs_of_any_size(backend, name, share):
    """Up to near the smallest and the largest number, there is no NaN, and equal inputs have the diagonal."""
    size = float(np.finfo(backend.dtype_name).max) ** share
    x = backend.array(size * np.asarray([[0.3, -0.7, 0.2], [0.4, 0.1, -0.9], [0.3, -0.7, 0.2]]))
    for kernel in (ntk.InfiniteNTK, ntk.InfiniteNNGP):
        block = backend.host(kernel(network([name]))(x, x + 0.0))
        assert np.isfinite(block).all()
        backend.close(block[0, 2], block[0, 0], factor=4)


@pytest.mark.parametrize("share", [0.55, 0.9])
def test_inputs_whose_squares_overflow_are_refused(backend, share):
    x = backend.array(float(np.finfo(backend.dtype_name).max) ** share * np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^the inputs are too large: squares of numbers up to .* overflow"):
        ntk.InfiniteNTK(network(["relu"]))(x)


@pytest.mark.parametrize("bias_std", [0.0, 0.3])
@pytest.mark.parametrize(
    "names", [("elu", "relu"), ("silu", "relu"), ("sin", "relu", "abs"), ("cos", "gelu", "abs"), ("erf", "erf", "relu")]
)
def test_kinks_behind_smooth_layers(backend, names, bias_std):
    """A copy of the inputs gives the same kernel, and equal inputs the diagonal."""
    x = backend.array(np.random.default_rng(1).normal(size=(6, 4)))
    kernel = ntk.InfiniteNTK(network(names, bias_std=bias_std))
    block, diagonal = backend.host(kernel(x, x + 0.0)), backend.host(kernel.diag(x))
    backend.close(np.diagonal(block), diagonal, factor=40)
    backend.close(block, kernel(x), factor=40)


@pytest.mark.parametrize("name", SMOOTH)
def test_small_angles_behind_smooth_layers(backend, name):
    """Behind a smooth layer ReLU's NTK falls in proportion to the angle, down to the smallest angles."""
    eps = backend.eps
    angles = np.asarray([eps**0.6, eps**0.45, eps**0.3, eps**0.22])
    plane = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 2)))[0].T
    first = 2.0 * plane[:1]
    # Differences of the first order in the angle, which the rounding of inputs of this size does not reach.
    others = first * np.cos(angles)[:, None] + 2.0 * plane[1:] * np.sin(angles)[:, None]
    x, y = backend.array(first), backend.array(others)
    true = np.arcsin(np.clip(np.linalg.norm(backend.host(y) - backend.host(x), axis=1) / 4.0, 0, 1)) * 2.0
    kernel = ntk.InfiniteNTK(network([name, "relu"]))
    falls = backend.host(kernel.diag(x))[0] - backend.host(kernel(x, y))[0]
    rate = falls[-1] / true[-1]
    assert np.max(np.abs(falls / rate - true)) < 0.03 * true[-1]
    assert abs(falls[1] / rate - true[1]) < 0.2 * true[1] + 30 * eps


@pytest.mark.parametrize("activation", ["relu", "abs", nn.LeakyReLU(0.2)], ids=str)
def test_derivatives_for_parallel_inputs(backend, activation):
    """Without biases a kernel of depth 2 is of degree 6 in a factor of all three weight_std."""
    kernel = ntk.InfiniteNTK(nn.mlp((1, 1), 1, activation=activation))
    a = backend.array(np.asarray([[0.3, -1.2, 0.7], [0.6, -2.4, 1.4], [-0.3, 1.2, -0.7]]))
    backend.close(
        kernel.gradient(a, 3.0 * a, wrt="log_weight_std")["log_weight_std"], 6.0 * backend.host(kernel(a, 3.0 * a))
    )


@pytest.mark.host
@pytest.mark.parametrize("bias_std", [0.0, 0.3])
@pytest.mark.parametrize("names", [("relu",), ("relu", "relu"), ("sin", "relu"), ("relu", "cos")])
def test_derivatives_for_one_feature(names, bias_std):
    """Against central differences: all inputs of one feature are parallel."""
    x, h = np.linspace(0.1, 2.0, 9)[:, None], 1e-5
    kernel = ntk.InfiniteNTK(network(names, bias_std=bias_std))
    for name in sorted(kernel.hyperparameters):
        scaled = [kernel.rescaled(**{name.removeprefix("log_"): math.exp(s * h)})(x) for s in (1, -1)]
        expected = (scaled[0] - scaled[1]) / (2 * h)
        np.testing.assert_allclose(
            kernel.gradient(x, wrt=name)[name], expected, rtol=0, atol=1e-8 * np.max(np.abs(expected))
        )


def test_overflow_with_depth(backend):
    """Values up to 1e20 fit into float32, though their products do not."""
    layers = [layer for std in range(1, 16) for layer in (nn.Dense(1, float(std)), nn.GELU())]
    kernel = ntk.InfiniteNTK(nn.Sequential(*layers, nn.Dense(1)))
    host = np.random.default_rng(0).random((5, 100))
    x = backend.array(host)
    exact = kernel(backend.host(x).astype(np.float64))
    backend.close(backend.host(kernel(x, x + 0.0)) / exact, np.ones((5, 5)), factor=100)


@pytest.mark.parametrize("kind", [ntk.InfiniteNTK, ntk.InfiniteNNGP])
def test_networks_that_overflow_with_depth_are_refused(backend, kind):
    kernel = kind(nn.mlp((1,) * 400, 1, weight_std=20.0, bias_std=0.1))
    x = backend.array(np.ones((3, 2)))
    for call in (lambda: kernel(x), lambda: kernel.diag(x)):
        with pytest.raises(ValueError, match=r"^values overflow .* at layer \d+ of 801: make weight_std"):
            call()


@pytest.mark.host
@pytest.mark.parametrize("name", ["erf", "gelu"])
def test_tables_for_raw_data(name):
    """Of functions whose duals are known in closed form: the stated error holds, and a bound on the values of phi that
    quadrature takes keeps the first entry quick. With near-duplicates, near-opposites and parallel inputs."""
    phi, host, sizes = activation_named(name), standard_namespace(np), []

    def counted(f):
        return lambda xp, x: sizes.append(x.size) or f(host, x)

    own = nn.Elementwise(counted(phi.function), counted(phi.derivative))
    x = np.random.default_rng(0).uniform(-1000.0, 1000.0, (40, 5))
    x = np.concatenate([x, x[:5] + 0.1, x[:5] + 10.0, 1.0 - x[:5], 1.5 * x[:5]])
    table, exact = (ntk.InfiniteNTK(nn.mlp((1, 1), 1, activation=a, bias_std=1.0)) for a in (own, phi))
    scale = np.sqrt(exact.diag(x))
    assert np.max(np.abs(table(x) - exact(x)) / np.outer(scale, scale)) <= table.quadrature_error(x) < 1e-9
    assert sum(sizes) < 1.8e8  # of phi and phi' together: about a second


@pytest.mark.host
def test_tables_state_the_error_at_small_angles_between_large_values():
    """GELU at values of 1e5: an angle of 1e-7 is one that its table tells from 0."""
    phi, host, rng = nn.GELU(), standard_namespace(np), np.random.default_rng(0)
    own = nn.Elementwise(lambda xp, x: phi.function(host, x), lambda xp, x: phi.derivative(host, x))
    x = rng.normal(size=(6, 4)) * 1e5
    x[1] = x[0] * (1.0 + 1e-7 * rng.normal(size=4))
    table, exact = (ntk.InfiniteNTK(nn.mlp((1, 1), 1, activation=a, weight_std=1.4)) for a in (own, phi))
    scale = np.sqrt(exact.diag(x))
    assert np.max(np.abs(table(x) - exact(x)) / np.outer(scale, scale)) <= table.quadrature_error(x) < 1e-7
