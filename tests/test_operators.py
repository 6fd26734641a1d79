"""Kernels of differential operators, against mpmath: closed forms differentiated in many digits."""

from functools import cache

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.operators import Derivative, Laplacian, OperatorKernel, Value

from .backends import backend_named

HOST = backend_named("numpy")
DIGITS = 60
WEIGHT, BIAS = 1.3, 0.4

# Duals in closed form: E[phi(u) phi(v)] and E[phi'(u) phi'(v)] in mpmath, for phi of nn at its defaults.


def erf_dual(k11, k22, k12):
    square = (1 + 2 * k11) * (1 + 2 * k22)
    z = 2 * k12
    return 2 / mpmath.pi * mpmath.asin(z / mpmath.sqrt(square)), 4 / mpmath.pi / mpmath.sqrt(square - z * z)


def sin_dual(k11, k22, k12):
    size = mpmath.exp(-(k11 + k22) / 2)
    return size * mpmath.sinh(k12), size * mpmath.cosh(k12)


def exp_dual(k11, k22, k12):
    value = mpmath.exp((k11 + k22) / 2 + k12)
    return value, value


def gaussian_dual(k11, k22, k12):
    square = (1 + 2 * k11) * (1 + 2 * k22) - 4 * k12 * k12
    return 1 / mpmath.sqrt(square), 4 * k12 / square ** mpmath.mpf(1.5)


DUALS = {"erf": erf_dual, "sin": sin_dual, "exp": exp_dual, "gaussian": gaussian_dual}
OPERATORS = (Value(), Derivative(0), Laplacian())
POINTS = np.asarray([[0.7, -0.4], [-0.2, 0.9]])


def exact_kernel(dual, x, y, depth, bias_std=BIAS):
    """That of an mlp with these weights, at points in mpmath."""
    w2, b2 = mpmath.mpf(WEIGHT) ** 2, mpmath.mpf(bias_std) ** 2
    k11, k22, k12 = (
        w2 * mpmath.fsum(p * q for p, q in zip(u, v, strict=True)) / len(x) + b2 for u, v in ((x, x), (y, y), (x, y))
    )
    theta = k12
    for _ in range(depth):
        (value, slope), k11, k22 = dual(k11, k22, k12), dual(k11, k11, k11)[0], dual(k22, k22, k22)[0]
        k11, k22, k12 = (w2 * k + b2 for k in (k11, k22, value))
        theta = w2 * theta * slope + k12
    return theta


def applied(operator, function, point):
    """A linear operator on a function of two variables, by differences in many digits."""
    total = mpmath.mpf(0)
    for axes, factor in operator.terms:
        for own in [(0, 0), (1, 1)] if axes is None else [axes]:
            orders = tuple(own.count(axis) for axis in range(2))
            total += factor * (mpmath.diff(function, tuple(point), orders) if own else function(*point))
    return total


@cache
def exact(name, depth):
    """Every operator on either side, between two points and of one with itself: (operators, operators, 2, 2)."""
    n, found = len(OPERATORS), {}
    with mpmath.workdps(DIGITS):
        points = [[mpmath.mpf(float(v)) for v in row] for row in POINTS]
        for a, b, i, j in np.ndindex(n, n, 2, 2):
            if (b, a, j, i) in found:  # the kernel is symmetric
                found[a, b, i, j] = found[b, a, j, i]
                continue

            def inner(*x, b=b, j=j):
                return applied(OPERATORS[b], lambda *y: exact_kernel(DUALS[name], x, y, depth), points[j])

            found[a, b, i, j] = float(applied(OPERATORS[a], inner, points[i]))
    return np.reshape(np.asarray([found[at] for at in np.ndindex(n, n, 2, 2)]), (n, n, 2, 2))


def blocks(backend, kernel, x):
    """The same by the package, from all operators at all points."""
    K = OperatorKernel(kernel, OPERATORS)
    rows = K.rows(*[backend.array(x)] * len(OPERATORS))
    n = len(OPERATORS)
    gram = backend.host(K(rows))
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_array_equal(np.diagonal(gram), backend.host(K.diag(rows)))
    return np.reshape(gram, (n, 2, n, 2)).transpose(0, 2, 1, 3)


def close(got, expected, tolerance):
    scale = np.max(np.abs(expected), axis=(2, 3), keepdims=True)
    assert np.max(np.abs(got - expected) / scale) < tolerance


def mlp(activation, depth=1, **options):
    return nn.mlp((1,) * depth, 1, activation=activation, weight_std=WEIGHT, bias_std=BIAS, **options)


def test_every_library(backend):
    got = blocks(backend, ntk.InfiniteNTK(mlp("sin")), POINTS)
    close(got, exact("sin", 1), 1e-13 if backend.eps < 1e-10 else 1e-4)


@pytest.mark.host
@pytest.mark.parametrize(
    ("name", "activation", "depth"),
    [("sin", nn.Sin(), 2), ("erf", nn.Erf(), 1), ("exp", nn.Exp(), 1), ("gaussian", nn.Gaussian(), 1)],
    ids=str,
)
def test_closed_forms_in_many_digits(name, activation, depth):
    close(blocks(HOST, ntk.InfiniteNTK(mlp(activation, depth)), POINTS), exact(name, depth), 1e-13)


@pytest.mark.host
@pytest.mark.parametrize(
    ("depth", "bias_std", "size", "tolerance"), [(3, BIAS, 1.0, 1e-13), (1, 0.05, 0.01, 1e-11)], ids=["deep", "small"]
)
def test_laplacians_on_the_diagonal(depth, bias_std, size, tolerance):
    """On either side at x = x', and at a small distance. Small standard deviations cost digits."""
    x = size * np.asarray([[0.7, -0.4], [0.7, -0.4 + 1e-6]])
    net = nn.mlp((1,) * depth, 1, activation="erf", weight_std=WEIGHT, bias_std=bias_std)
    K = OperatorKernel(ntk.InfiniteNTK(net), Laplacian())
    got = K(K.rows(x))[0]
    with mpmath.workdps(DIGITS):
        for j, value in enumerate(got):
            p, q = ([mpmath.mpf(float(v)) for v in row] for row in (x[0], x[j]))

            def inner(*x, q=q):
                return applied(Laplacian(), lambda *y: exact_kernel(erf_dual, x, y, depth, bias_std), q)

            assert abs(value - float(applied(Laplacian(), inner, p))) < tolerance * abs(value)


@pytest.mark.host
def test_sums_products_and_branches():
    """A sum of independent branches is a sum of kernels; a product of kernels against differences of it."""
    one, two = mlp("erf"), nn.Sequential(mlp("sin"), nn.Dropout(0.5))
    both = OperatorKernel(ntk.InfiniteNTK(nn.Sum(one, two)), OPERATORS)
    parts = OperatorKernel(ntk.InfiniteNTK(one) + ntk.InfiniteNTK(two), OPERATORS)
    rows = both.rows(*[POINTS] * 3)
    np.testing.assert_allclose(both(rows), parts(rows), rtol=1e-12, atol=1e-12)
    # exp(-g |x - y|^2) is a product of itself with smaller g.
    rbf = nn.Sequential(nn.Dense(1), nn.Rbf(0.6), nn.Dense(1))
    half = nn.Sequential(nn.Dense(1), nn.Rbf(0.3), nn.Dense(1))
    whole = OperatorKernel(2.0 * ntk.InfiniteNNGP(rbf), OPERATORS)
    product = OperatorKernel(2.0 * ntk.InfiniteNNGP(half) * ntk.InfiniteNNGP(half), OPERATORS)
    np.testing.assert_allclose(whole(rows), product(rows), rtol=1e-12, atol=1e-12)


@pytest.mark.host
def test_mixed_derivatives():
    """A general operator on either side of exp(-g |x - y|^2), in many digits."""
    rbf = nn.Sequential(nn.Dense(1), nn.Rbf(0.6), nn.Dense(1))
    mixed = Derivative(1) - 2.0 * Derivative(0, 1) + 0.5 * Laplacian((0,)) + 0.5 * Value()
    K = OperatorKernel(ntk.InfiniteNNGP(rbf), (mixed, Derivative(0)))
    got = K(K.rows(POINTS[:1]), K.rows(POINTS[1:], POINTS[1:]))[0]
    with mpmath.workdps(DIGITS):
        p, q = ([mpmath.mpf(float(v)) for v in row] for row in POINTS)

        def kernel(*xy):
            return mpmath.exp(-mpmath.mpf(0.6) / 2 * ((xy[0] - xy[2]) ** 2 + (xy[1] - xy[3]) ** 2))

        for value, operator in zip(got, K.operators, strict=True):
            expected = applied(mixed, lambda *x, o=operator: applied(o, lambda *y: kernel(*x, *y), q), p)
            assert abs(value - float(expected)) < 1e-13


@pytest.mark.host
@pytest.mark.parametrize(
    "activation",
    [nn.GELU(), nn.SiLU(), nn.Polynomial((0.3, 1.0, -0.4, 0.2)), nn.Gabor(), nn.Sin(b=6.0), nn.SigmoidLike()],
)
def test_values_and_slopes_are_those_of_the_recursion_by_angles(activation):
    """Which has closed forms or tables for these; a Hermite series has nothing in common with either."""
    x = np.random.default_rng(0).normal(size=(4, 3))
    x[1] = x[0]
    kernel = ntk.InfiniteNTK(mlp(activation, 2))
    K = OperatorKernel(kernel, (Value(), Derivative(0)))
    got, values, slopes = K(K.rows(x, x), K.rows(x)), kernel(x), kernel.gradient(x, wrt="x1")["x1"][..., 0]
    np.testing.assert_allclose(got[:4], values, rtol=0, atol=1e-13 * np.max(values))
    np.testing.assert_allclose(got[4:], slopes, rtol=0, atol=1e-11 * np.max(np.abs(slopes)))


@pytest.mark.host
def test_rescaling_is_that_of_the_kernel():
    K = OperatorKernel(ntk.InfiniteNTK(mlp("sin")), Derivative(0))
    rows = K.rows(POINTS)
    other = OperatorKernel(K.kernel.rescaled(weight_std=1.5), Derivative(0))
    np.testing.assert_array_equal(K.rescaled(weight_std=1.5)(rows), other(rows))


@pytest.mark.host
def test_rows_may_come_in_any_order(rng):
    K = OperatorKernel(ntk.InfiniteNTK(mlp("erf")), OPERATORS)
    x = rng.uniform(-1, 1, size=(12, 2))
    rows = K.rows(x[:5], x[3:7], x)
    order = rng.permutation(len(rows))
    whole, scale = K(rows), np.max(K.diag(rows))
    np.testing.assert_allclose(K(rows[order]), whole[order][:, order], atol=1e-13 * scale)
    np.testing.assert_allclose(K(rows[order], rows[:8]), whole[order][:, :8], atol=1e-13 * scale)
    assert np.min(np.linalg.eigvalsh(whole)) > -1e-13 * scale


@pytest.mark.host
def test_a_poisson_problem():
    """-u'' = pi^2 sin(pi x) on (-1, 1) with zeros at the ends; the solution is sin(pi x)."""
    K = OperatorKernel(ntk.InfiniteNNGP(mlp("sin")), (Value(), -Laplacian()))
    ends, inside = np.asarray([[-1.0], [1.0]]), np.linspace(-0.95, 0.95, 15)[:, None]
    y = np.concatenate([np.zeros(2), np.pi**2 * np.sin(np.pi * inside[:, 0])])
    u = ntk.dynamics.GaussianProcess(K, K.rows(ends, inside), y, noise=1e-9).predict(K.rows(inside)).mean
    assert np.max(np.abs(u - np.sin(np.pi * inside[:, 0]))) < 1e-4


@pytest.mark.host
def test_gradient_flow_takes_observations_of_derivatives():
    """Trained for long, the observed values and slopes are fitted."""
    K = OperatorKernel(ntk.InfiniteNTK(mlp("silu")), (Value(), Derivative(0)))
    x = np.linspace(-1, 1, 5)[:, None]
    z, y = K.rows(x, x), np.concatenate([np.sin(2 * x[:, 0]), 2 * np.cos(2 * x[:, 0])])
    p_in = ntk.function_space.EmpiricalMeasure(z)
    flow = ntk.dynamics.GradientFlow(K, ntk.function_space.SquaredError(p_in, y))
    np.testing.assert_allclose(flow.predict(), y, atol=1e-6)
    new = np.linspace(-0.9, 0.9, 7)[:, None]
    np.testing.assert_allclose(flow.predict(K.rows(new)), np.sin(2 * new[:, 0]), atol=2e-3)
    np.testing.assert_allclose(flow.predict(K.rows(None, new)), 2 * np.cos(2 * new[:, 0]), atol=2e-2)


UNMARKED = nn.Elementwise(lambda xp, x: xp.abs(x), lambda xp, x: xp.sign(x), name="abs")
"""A function with a kink that its breakpoints do not have."""


@pytest.mark.host
def test_what_is_refused():
    x = np.ones((2, 2))

    def values(kernel, *operators, x=x):
        K = OperatorKernel(kernel, operators or Laplacian())
        return K(K.rows(x))

    for net, message in (
        (nn.mlp((1,), 1), r"ReLU\(\) has a kink"),
        (nn.Sequential(nn.Dense(3), nn.LayerNorm(), nn.Dense(1)), r"not known through LayerNorm"),
        (nn.mlp((1,), 1, activation=UNMARKED), r"Hermite series of Elementwise\('abs'\) at standard deviations"),
        (nn.Sequential(nn.Dense(1), nn.Sum(nn.GELU(), nn.Sequential(nn.Dense(1), nn.Exp())), nn.Dense(1)), "means"),
    ):
        with pytest.raises(ValueError, match=message):
            values(ntk.InfiniteNTK(net))
    with pytest.raises(ValueError, match=r"standard deviation of 0 at some input.* at least 0.0032 .*bias_std > 0"):
        values(ntk.InfiniteNTK(nn.mlp((1,), 1, activation="erf")), x=0.0 * x)
    net = nn.mlp((3,), 1, activation="erf")
    with pytest.raises(TypeError, match="EmpiricalNNGP is not known as a function of the inner products"):
        values(ntk.EmpiricalNNGP(net, net.init(0, like=x)))
    K = ntk.InfiniteNTK(net)
    with pytest.raises(ValueError, match=r"along axis 2; inputs have the axes 0 to 1"):
        values(K, Derivative(2))
    for kernel, operators in ((net, Value()), (K, (Value(), 2.0))):
        with pytest.raises(TypeError, match="must be"):
            OperatorKernel(kernel, operators)
    with pytest.raises(ValueError, match="operators is empty"):
        OperatorKernel(K, ())
    with pytest.raises(TypeError, match=r"c u is c \* Value\(\)"):
        Laplacian() + 1.0
    for axes in ((), (0, 1, 2), (-1,), (0.5,)):
        with pytest.raises(ValueError, match="axis"):
            Derivative(*axes)
    with pytest.raises(ValueError, match="each axis of a Laplacian counts once"):
        Laplacian((1, 1))
    with pytest.raises(TypeError, match=r"along one axis: Derivative\(1, 1\)"):
        Laplacian(1)
    two = OperatorKernel(K, (Value(), Laplacian()))
    with pytest.raises(TypeError, match="derivative in log_weight_std of what operators make"):
        two.gradient(two.rows(x))
    with pytest.raises(ValueError, match="numbers of operators, from 0 to 1"):
        two(np.full((2, 3), 2.0))
    with pytest.raises(ValueError, match="made by its rows"):
        two(np.ones((2, 1)))
    for batches, message in (((x, x, x), "3 batches"), ((None,), "no points"), ((x, np.ones((2, 3))), "one d")):
        with pytest.raises(ValueError, match=message):
            two.rows(*batches)


@pytest.mark.host
def test_rows_are_not_taken_for_points():
    """Every kernel takes rows (number of the operator, point) for points of one axis more, if it is asked."""
    net = mlp("erf")
    K, x = OperatorKernel(ntk.InfiniteNTK(net), (Value(), Laplacian())), np.ones((2, 2))
    p_in = ntk.function_space.EmpiricalMeasure(K.rows(x))
    cost = ntk.function_space.SquaredError(p_in, np.zeros(2))
    for combine in (
        lambda: 2.0 * K + ntk.InfiniteNTK(net),
        lambda: ntk.InfiniteNTK(net) * (K + K),
        lambda: ntk.dynamics.Ensemble(K, ntk.InfiniteNNGP(net), cost),
    ):
        with pytest.raises(
            ValueError, match=r"rows .number of the operator, point.*give both kernels the same operators"
        ):
            combine()
    both = ntk.dynamics.Ensemble(K, OperatorKernel(ntk.InfiniteNNGP(net), K.operators), cost)
    assert both.predict(t=1.0).covariance.shape == (2, 2)


def test_operators_say_what_they_are():
    heat = Derivative(0) - 0.1 * Laplacian((1,))
    assert repr(heat) == "1 * Derivative(0) + -0.1 * Derivative(1, 1)"
    assert repr(Laplacian() + 4.0 * Value()) == "1 * Laplacian() + 4 * Value()"
    assert (heat.order, Value().order, (Value() - Value()).along(3)) == (2, 0, [])
