"""Activations: phi and phi' against mpmath, from tiny to huge arguments."""

import math

import mpmath
import numpy as np
import pytest

from ntk_array import InfiniteNNGP, InfiniteNTK, nn
from ntk_array.nn.activations import NAMED, activation_named

POINTS = [-700.0, -30.0, -5.0, -1.7, -0.3, -1e-5, 1e-5, 0.3, 1.7, 5.0, 30.0, 700.0]
SELU, SELU_ALPHA = mpmath.mpf("1.0507009873554804934193349852946"), mpmath.mpf("1.6732632423543772848170429916717")


def between(x, low, high):
    return min(max(x, mpmath.mpf(low)), mpmath.mpf(high))


FORMULAS = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "leaky_relu": lambda x: x if x > 0 else x * mpmath.mpf(0.01),
    "abs": abs,
    "erf": mpmath.erf,
    "gelu": lambda x: x * mpmath.ncdf(x),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    "celu": lambda x: x if x > 0 else mpmath.expm1(x),
    "selu": lambda x: SELU * x if x > 0 else SELU * SELU_ALPHA * mpmath.expm1(x),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "logsigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "sigmoid_like": lambda x: (1 + mpmath.erf(x / mpmath.mpf("2.4020563531719796"))) / 2,
    "exp": mpmath.exp,
    "gaussian": lambda x: mpmath.exp(-x * x),
    "gabor": lambda x: mpmath.exp(-x * x) * mpmath.sin(x),
    "rbf": lambda x: mpmath.sqrt(2) * mpmath.sin(mpmath.sqrt(2) * x + mpmath.pi / 4),
    "sign": mpmath.sign,
    "hardtanh": lambda x: between(x, -1, 1),
    "relu6": lambda x: between(x, 0, 6),
    "hardsigmoid": lambda x: between(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * between(x + 3, 0, 6) / 6,
    "softshrink": lambda x: x - between(x, -0.5, 0.5),
}


def reference(name, x):
    with mpmath.workdps(40):
        x, h, phi = mpmath.mpf(float(x)), mpmath.mpf(10) ** -12, FORMULAS[name]
        return float(phi(x)), float((phi(x + h) - phi(x - h)) / (2 * h))


def test_the_table_of_formulas_is_complete():
    assert set(FORMULAS) == set(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_function_and_derivative(name, backend):
    layer = activation_named(name)
    points = [p for p in POINTS if name != "exp" or p < 80]  # larger values overflow
    x = backend.array(points)[:, None]
    value, slope = layer.forward({}, x)
    values, slopes = zip(*(reference(name, point) for point in backend.host(x).ravel()), strict=True)
    for got, expected in ((value, values), (slope, slopes)):
        expected = np.asarray(expected)
        # relative to 1 + |phi|: large and small arguments in one array. Phi(x) rounds at 1 where it is a sum of 1
        # and erf, so that x Phi(x) has an error of eps |x| in its left tail. sqrt(2) x rounds before its sine is taken
        scale = 1 + np.abs(expected) + (np.abs(backend.host(x).ravel()) if name in ("gelu", "rbf") else 0)
        error = np.abs(backend.host(got).ravel() - expected) / scale
        assert np.max(error) <= 20 * backend.eps
        assert got.dtype == backend.dtype
    backend.close(layer({}, x), backend.host(value), factor=0)


@pytest.mark.parametrize("name", [name for name in NAMED if activation_named(name).breakpoints])
def test_at_a_kink_the_derivative_is_that_from_the_left(name, backend):
    layer = activation_named(name)
    x = backend.array(layer.breakpoints)[:, None]
    value, slope = layer.forward({}, x)
    with mpmath.workdps(40):
        h, kinks = mpmath.mpf(10) ** -12, [mpmath.mpf(b) for b in layer.breakpoints]
        values = [float(FORMULAS[name](b)) for b in kinks]
        left = [float((FORMULAS[name](b - h) - FORMULAS[name](b - 2 * h)) / h) for b in kinks]
    backend.close(value, np.asarray(values)[:, None], factor=2, scale=1.0)
    # the difference quotient has an error of h
    backend.close(slope, np.asarray(left)[:, None], factor=1e-10 / backend.eps if backend.eps < 1e-10 else 2, scale=1.0)


@pytest.mark.parametrize("name", NAMED)
def test_they_take_any_shape_and_have_no_parameters(name):
    layer = activation_named(name)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    assert layer.init(0, like=x) == {}
    np.testing.assert_array_equal(layer({}, x).ravel(), layer({}, x.reshape(2, -1)).ravel())


def test_leaky_relu_slope(backend):
    x = backend.array([[-2.0, 3.0]])
    backend.close(nn.LeakyReLU(0.25)({}, x), np.asarray([[-0.5, 3.0]]), factor=2)
    assert type(nn.LeakyReLU(np.float64(0.25)).negative_slope) is float


def test_names_are_resolved():
    assert activation_named("gelu") == nn.GELU()
    assert activation_named(nn.LeakyReLU(0.5)) == nn.LeakyReLU(0.5)
    with pytest.raises(ValueError, match=r"^activation must be one of identity, relu"):
        activation_named("gelu_new")


def test_elementwise_needs_two_functions():
    with pytest.raises(TypeError, match=r"^phi must be a function \(xp, x\) -> array, got 'tanh'"):
        nn.Elementwise("tanh", np.cos)
    with pytest.raises(TypeError, match=r"^phi_prime must be a function \(xp, x\) -> array, got None"):
        nn.Elementwise(np.sin, None)


def test_elementwise_is_the_users_function(backend):
    cubic = nn.Elementwise(lambda xp, x: x**3, lambda xp, x: 3 * x**2, breakpoints=(1, -1), name="cubic")
    assert cubic.breakpoints == (-1.0, 1.0)
    assert repr(cubic) == "Elementwise('cubic')"
    value, slope = cubic.forward({}, backend.array([[2.0, -1.0]]))
    backend.close(value, np.asarray([[8.0, -1.0]]), factor=4)
    backend.close(slope, np.asarray([[12.0, 3.0]]), factor=4)


def test_functions_of_the_user_have_erf(backend):
    layer = nn.Elementwise(lambda xp, x: x * xp.erf(x), lambda xp, x: xp.erf(x) + 2 * x * xp.exp(-x * x) / math.pi**0.5)
    x = backend.array([[-2.0, 0.0, 0.5]])
    value, slope = layer.forward({}, x)
    backend.close(value, [[2 * math.erf(2), 0.0, 0.5 * math.erf(0.5)]], factor=8)
    backend.close(slope[:, 2], [math.erf(0.5) + math.exp(-0.25) / math.pi**0.5], factor=8)


def arc_sine(xp, k11, k12, k22):
    return (2 / math.pi) * xp.asin(2 * k12 / xp.sqrt((1 + 2 * k11) * (1 + 2 * k22)))


def arc_sine_slope(xp, k11, k12, k22):
    return (4 / math.pi) / xp.sqrt((1 + 2 * k11) * (1 + 2 * k22) - 4 * k12 * k12)


def own_erf(dual_phi=arc_sine, dual_phi_prime=arc_sine_slope):
    return nn.Elementwise(
        lambda xp, x: xp.erf(x),
        lambda xp, x: 2 / math.pi**0.5 * xp.exp(-x * x),
        name="own erf",
        dual_phi=dual_phi,
        dual_phi_prime=dual_phi_prime,
    )


@pytest.mark.parametrize("kernel", [InfiniteNTK, InfiniteNNGP])
def test_closed_forms_of_the_user(kernel, backend):
    x = np.random.default_rng(0).normal(size=(6, 3))
    own, ours = (kernel(nn.mlp((1, 1), 1, activation=phi, weight_std=1.2, bias_std=0.3)) for phi in (own_erf(), "erf"))
    expected, slopes = ours(x), ours.gradient(x)
    x = backend.array(x)
    assert own.quadrature_error(x) == 0.0
    backend.close(own(x), expected, factor=64)
    for name, slope in own.gradient(x).items():
        # by differences, which have an error of eps^(4 / 5)
        backend.close(slope, slopes[name], factor=64 * backend.eps**-0.2)


@pytest.mark.host
def test_wrong_closed_forms_are_refused_with_numbers():
    with pytest.raises(
        ValueError, match=r"dual_phi of Elementwise\('own erf'\) is 0.*, and the integral of phi there is 0"
    ):
        own_erf(dual_phi=lambda *given: 1.001 * arc_sine(*given))
    with pytest.raises(
        ValueError, match=r"dual_phi_prime of .* is .* at k11 = 0.*, and the integral of phi_prime there"
    ):
        own_erf(dual_phi_prime=lambda *given: arc_sine_slope(*given) + 1e-6)
    with pytest.raises(ValueError, match=r"dual_phi of .* is nan at"):
        own_erf(dual_phi=lambda xp, k11, k12, k22: arc_sine(xp, k11, k12, k22) + np.sqrt(k12))
    with pytest.raises(ValueError, match=r"dual_phi_prime makes shape \(\) of \(3, 2, 2\)"):
        own_erf(dual_phi_prime=lambda *given: 1.0)
    with pytest.raises(TypeError, match=r"dual_phi_prime must be a function .* got None; give both"):
        own_erf(dual_phi_prime=None)


@pytest.mark.host
@pytest.mark.parametrize("layer", [nn.Sign(), nn.RectifiedMonomial(0)], ids=repr)
def test_functions_that_jump_have_no_ntk(layer):
    net, x = nn.mlp((8,), 1, activation=layer), np.asarray([[1.0, 0.5], [-0.3, 1.0]])
    with pytest.raises(ValueError, match=r"has no NTK at infinite width: the function jumps.*take its InfiniteNNGP"):
        InfiniteNTK(net)(x)
    assert np.isfinite(InfiniteNNGP(net)(x)).all()
    assert np.all(layer.forward({}, x)[1] == 0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Gaussian(b=0.5), r"b must be negative, got 0.5: E\[exp\(2 b u\^2\)\] is infinite as soon as"),
        (lambda: nn.ABReLU(0, 0), "a and b are both 0"),
        (lambda: nn.Monomial(0), "degree must be a whole number from 1 to 100, got 0"),
        (lambda: nn.Monomial(True), "degree must be a whole number from 1 to 100, got True"),
        (lambda: nn.RectifiedMonomial(-1), "degree must be a whole number from 0 to 100, got -1"),
        (lambda: nn.Hermite(101), "degree must be a whole number from 1 to 100, got 101"),
        (lambda: nn.Polynomial([1.0, 0.0]), "coefficients must make a polynomial of degree 1 or more"),
        (lambda: nn.Rbf(0.0), "gamma must be positive"),
        (lambda: nn.HardTanh(1.0, 1.0), "min_val must be below max_val"),
        (lambda: nn.Sin(math.inf), "a must be finite"),
    ],
)
def test_parameters_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parameters_are_python_numbers():
    """A NumPy scalar would turn float32 arrays into float64."""
    layers = [
        nn.Erf(np.float64(2)),
        nn.Cos(c=np.float32(1)),
        nn.Polynomial(np.asarray([1.0, 2.0])),
        nn.CELU(np.int64(2)),
    ]
    for layer in layers:
        for value in vars(layer).values():
            assert {type(v) for v in (value if isinstance(value, tuple) else (value,))} == {float}
