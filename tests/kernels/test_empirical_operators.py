"""The NTK between what operators make of a finite network, against a network in mpmath that is differentiated in many
digits: in its inputs, and in each of its parameters."""

from functools import cache

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.nn.activations.higher import higher_derivative
from ntk_array.nn.parameters import flatten
from ntk_array.operators import Derivative, Laplacian, OperatorKernel, Value

from ..backends import backend_named

HOST = backend_named("numpy")
OPERATORS = (Value(), Derivative(0), Laplacian(), Derivative(0, 1) - 0.3 * Derivative(1) + 2.0 * Value())
POINTS = np.random.default_rng(0).normal(size=(2, 2))
STEP = mpmath.mpf(10) ** -12
CASES = {
    "two outputs": (nn.mlp((4,), 2, activation="tanh", weight_std=1.2, bias_std=0.3), mpmath.tanh, None),
    "two layers": (nn.mlp((3, 3), 1, activation="sin", weight_std=1.2), mpmath.sin, None),
    "standard": (nn.mlp((4,), 1, activation="erf", bias_std=0.3, parameterization="standard"), mpmath.erf, None),
    "some trained": (nn.mlp((3, 3), 1, activation="sin", weight_std=1.2, bias_std=0.3), mpmath.sin, ("0.bias", "2")),
}


def output(net, phi, theta, x):
    """f(x) of an mlp in mpmath, for theta by the names of parameters."""
    h = list(x)
    for number, layer in enumerate(net.layers):
        if isinstance(layer, nn.Activation):
            h = [phi(z) for z in h]
            continue
        ntk_scaled = layer.parameterization == "ntk"
        scale = layer.weight_std / mpmath.sqrt(len(h)) if ntk_scaled else 1
        z = [
            scale * mpmath.fsum(theta[f"{number}.weight", i, j] * own for j, own in enumerate(h))
            for i in range(layer.width)
        ]
        if layer.bias_std:
            z = [own + (layer.bias_std if ntk_scaled else 1) * theta[f"{number}.bias", i] for i, own in enumerate(z)]
        h = z
    return h


def in_many_digits(params):
    """Parameters by name and place."""
    found = flatten(params).items()
    return {(name, *at): mpmath.mpf(float(v)) for name, own in found for at, v in np.ndenumerate(own)}


def change(function, point, name):
    """The central difference of a function of a dictionary along one of its names."""
    up, down = (function(point | {name: point[name] + sign * STEP}) for sign in (1, -1))
    return [(a - b) / (2 * STEP) for a, b in zip(up, down, strict=True)]


def differentiated(function, point, axes):
    if not axes:
        return function(point)
    return change(lambda x: differentiated(function, x, axes[1:]), point, axes[0])


def applied(operator, function, x):
    """(L f)(x), for each output."""
    point, total = dict(enumerate(x)), 0
    for axes, factor in operator.terms:
        for own in [(0, 0), (1, 1)] if axes is None else [axes]:
            values = differentiated(lambda p: function([p[0], p[1]]), point, own)
            total = total + factor * np.asarray(values, dtype=object)
    return total


@cache
def exact(case):
    """All operators at all points: the mean over outputs of products of gradients in the trained parameters."""
    net, phi, trained = CASES[case]
    with mpmath.workdps(50):
        theta = in_many_digits(net.init(0, like=POINTS))
        names = [key for key in theta if trained is None or any(key[0].startswith(own) for own in trained)]
        points = [[mpmath.mpf(float(v)) for v in row] for row in POINTS]
        rows = []
        for operator in OPERATORS:
            for x in points:

                def observed(theta, operator=operator, x=x):
                    return list(applied(operator, lambda p: output(net, phi, theta, p), x))

                rows.append([[float(v) for v in change(observed, theta, name)] for name in names])
    jacobian = np.asarray(rows)  # (operators and points, parameters, outputs)
    return np.einsum("apc,bpc->ab", jacobian, jacobian) / jacobian.shape[2]


def gram(backend, case):
    net, _, trained = CASES[case]
    x = backend.array(POINTS)
    kernel = ntk.EmpiricalNTK(net, net.init(0, like=x), outputs="trace", trainable=trained)
    K = OperatorKernel(kernel, OPERATORS)
    rows = K.rows(*[x] * len(OPERATORS))
    found = backend.host(K(rows))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diagonal(found), backend.host(K.diag(rows)))
    return found


def test_every_library(backend):
    expected = exact("two outputs")
    tolerance = 1e-13 if backend.eps < 1e-10 else 1e-5
    assert np.max(np.abs(gram(backend, "two outputs") - expected)) < tolerance * np.max(np.abs(expected))


@pytest.mark.host
@pytest.mark.parametrize("case", CASES)
def test_against_differences_in_many_digits(case):
    expected = exact(case)
    assert np.max(np.abs(gram(HOST, case) - expected)) < 1e-14 * np.max(np.abs(expected))


@pytest.mark.host
@pytest.mark.parametrize("case", ["two outputs", "two layers"])
def test_what_operators_make_of_the_network(case):
    """The f_0 of flows, in any order of rows."""
    net, phi, _ = CASES[case]
    params = net.init(0, like=POINTS)
    K = OperatorKernel(ntk.EmpiricalNTK(net, params, outputs="trace"), OPERATORS)
    rows = K.rows(*[POINTS] * len(OPERATORS))
    with mpmath.workdps(50):
        theta = in_many_digits(params)
        points = [[mpmath.mpf(float(v)) for v in row] for row in POINTS]
        expected = np.asarray(
            [applied(operator, lambda p: output(net, phi, theta, p), x) for operator in OPERATORS for x in points],
            dtype=float,
        )
    np.testing.assert_allclose(K.observed(rows[::-1]), expected[::-1], rtol=1e-13, atol=1e-14)
    flow = ntk.dynamics.GradientFlow(
        K, ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(rows), 0.0 * expected), f0=K.observed
    )
    np.testing.assert_allclose(flow.predict(t=0.0), expected, rtol=1e-13, atol=1e-14)
    with pytest.raises(TypeError, match="InfiniteNTK is of no network in particular"):
        OperatorKernel(ntk.InfiniteNTK(net), OPERATORS).observed(rows)


@pytest.mark.host
def test_wide_networks_have_the_kernel_of_infinite_width():
    """Within four standard errors of the mean over draws, at every entry."""
    net, n = nn.mlp((512,), 1, activation="tanh", bias_std=0.5), len(OPERATORS)
    limit = OperatorKernel(ntk.InfiniteNTK(nn.mlp((1,), 1, activation="tanh", bias_std=0.5)), OPERATORS)
    rows, draws = limit.rows(*[POINTS] * n), []
    for seed in range(40):
        kernel = ntk.EmpiricalNTK(net, net.init(seed, like=POINTS), outputs="trace")
        draws.append(OperatorKernel(kernel, OPERATORS)(rows))
    error = np.std(draws, axis=0, ddof=1) / len(draws) ** 0.5
    assert np.max(np.abs(np.mean(draws, axis=0) - limit(rows)) / error) < 4.0


SMOOTH = [
    (nn.Identity(), lambda x: x),
    (nn.Sin(2.0, 1.5, 0.3), lambda x: 2 * mpmath.sin(1.5 * x + mpmath.mpf("0.3"))),
    (nn.Exp(1.5, 0.5), lambda x: 1.5 * mpmath.exp(x / 2)),
    (nn.Gaussian(1.5, -0.5), lambda x: 1.5 * mpmath.exp(-x * x / 2)),
    (nn.Gabor(), lambda x: mpmath.exp(-x * x) * mpmath.sin(x)),
    (nn.Polynomial((0.5, 1.0, -0.25, 0.125, 0.5)), lambda x: 0.5 + x - x**2 / 4 + x**3 / 8 + x**4 / 2),
    (nn.Monomial(4), lambda x: x**4),
    (nn.Hermite(4), lambda x: (x**4 - 6 * x**2 + 3) / mpmath.sqrt(24)),
    (nn.Erf(2.0, 1.5, 0.25), lambda x: 2 * mpmath.erf(1.5 * x + 0.25)),
    (nn.SigmoidLike(), lambda x: (mpmath.erf(x / mpmath.mpf("2.4020563531719796")) + 1) / 2),
    (nn.Tanh(), mpmath.tanh),
    (nn.Sigmoid(), lambda x: 1 / (1 + mpmath.exp(-x))),
    (nn.GELU(), lambda x: x * mpmath.ncdf(x)),
    (nn.SiLU(), lambda x: x / (1 + mpmath.exp(-x))),
    (nn.Softplus(), lambda x: mpmath.log(1 + mpmath.exp(x))),
    (nn.LogSigmoid(), lambda x: -mpmath.log(1 + mpmath.exp(-x))),
]


@pytest.mark.host
@pytest.mark.parametrize(("phi", "function"), SMOOTH, ids=lambda own: type(own).__name__)
def test_third_derivatives_of_activations(phi, function):
    x = np.linspace(-2.5, 2.5, 7)
    with mpmath.workdps(40):
        expected = [float(mpmath.diff(function, mpmath.mpf(float(own)), 3)) for own in x]
    scale = max(map(abs, expected))
    np.testing.assert_allclose(higher_derivative(phi, HOST.xp, x, 3), expected, rtol=1e-12, atol=1e-14 * scale)


@pytest.mark.host
def test_sums_and_multiples():
    net = CASES["two layers"][0]
    kernels = ntk.EmpiricalNTK(net, net.init(0, like=POINTS), outputs="trace"), ntk.InfiniteNTK(net)
    rows = OperatorKernel(kernels[0], OPERATORS).rows(*[POINTS] * len(OPERATORS))
    one, two = (OperatorKernel(kernel, OPERATORS)(rows) for kernel in kernels)
    both = OperatorKernel(2.0 * kernels[0] + kernels[1], OPERATORS)(rows)
    np.testing.assert_allclose(both, 2.0 * one + two, rtol=1e-13, atol=1e-13 * np.max(both))
    nothing = OperatorKernel(kernels[0], 0.0 * Value())
    assert not nothing(nothing.rows(POINTS)).any()


@pytest.mark.host
@pytest.mark.parametrize(
    ("net", "outputs", "error", "message"),
    [
        (nn.mlp((4,), 1), "trace", ValueError, r"ReLU\(\) has a kink, where a network has no second derivatives"),
        (nn.mlp((4,), 2, activation="tanh"), "full", TypeError, 'full ones: take outputs="trace"'),
        (nn.mlp((4,), 1, activation="softsign"), "trace", ValueError, "kink|third derivative"),
        (nn.mlp((4,), 1, activation="mish"), "trace", TypeError, "derivative of Mish.* is not known here"),
        (nn.Sequential(nn.Residual(nn.Dense(2)), nn.Dense(1)), "trace", TypeError, "sequences of Dense layers"),
    ],
)
def test_what_is_refused(net, outputs, error, message):
    K = OperatorKernel(ntk.EmpiricalNTK(net, net.init(0, like=POINTS), outputs=outputs), Laplacian())
    with pytest.raises(error, match=message):
        K(K.rows(POINTS))


@pytest.mark.host
def test_points_that_the_network_cannot_take():
    net = nn.mlp((4,), 1, activation="tanh")
    theta = ntk.EmpiricalNTK(net, net.init(0, like=POINTS), outputs="trace")
    K = OperatorKernel(theta, Laplacian())
    with pytest.raises(TypeError, match="x1 has dtype float32, params has float64"):
        K(K.rows(POINTS.astype(np.float32)))
    with pytest.raises(ValueError, match=r"has a weight for 2 features and needs inputs \(N, 2\), got \(2, 3\)"):
        K(K.rows(np.ones((2, 3))))
    with pytest.raises(TypeError, match="a product with an EmpiricalNTK is not known"):
        OperatorKernel(theta * ntk.InfiniteNTK(net), Laplacian())(K.rows(POINTS))
