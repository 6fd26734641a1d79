"""Dual activations with parameters: closed forms and their slopes against integrals by mpmath and exact moments."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

import ntk_array as ntk
from ntk_array import nn
from ntk_array.infinite.covariance import Covariance
from ntk_array.nn.activations import activation_named

from ..infinite.dual_oracle import Elementary, expectations
from .test_activations import FORMULAS


def erf(a, b, c=0.0):
    a, b, c = mpf(a), mpf(b), mpf(c)

    def width(q):
        return mpmath.sqrt(1 + 2 * (b * q) ** 2)

    def bell(z):
        return 2 * a * b / mpmath.sqrt(mp.pi) * mpmath.exp(-z * z)

    return Elementary(
        lambda x: a * mpmath.erf(b * x + c),
        lambda x: bell(b * x + c),
        lambda m, q: a * mpmath.erf((b * m + c) / width(q)),
        lambda m, q: bell((b * m + c) / width(q)) / width(q),
    )


def sin(a, b, c):
    def damping(q):
        return mpmath.exp(-((b * q) ** 2) / 2)

    return Elementary(
        lambda x: a * mpmath.sin(b * x + c),
        lambda x: a * b * mpmath.cos(b * x + c),
        lambda m, q: a * mpmath.sin(b * m + c) * damping(q),
        lambda m, q: a * b * mpmath.cos(b * m + c) * damping(q),
    )


def exp(a, b):
    def mean(m, q):
        return a * mpmath.exp(b * m + (b * q) ** 2 / 2)

    return Elementary(lambda x: mean(x, 0), lambda x: b * mean(x, 0), mean, lambda m, q: b * mean(m, q))


def gaussian(a, b):
    def mean(m, q):
        wide = 1 - 2 * b * q * q
        return a * mpmath.exp(b * m * m / wide) / mpmath.sqrt(wide)

    def slope(m, q):
        return 2 * b * m / (1 - 2 * b * q * q) * mean(m, q)

    return Elementary(lambda x: mean(x, 0), lambda x: slope(x, 0), mean, slope)


def gabor():
    """The imaginary part of exp(-x^2 + i x)."""

    def wave(m, q):
        wide = 1 + 2 * q * q
        return mpmath.exp((-m * m + mpmath.mpc(0, 1) * m - q * q / 2) / wide) / mpmath.sqrt(wide)

    def slope(m, q):
        return (wave(m, q) * (mpmath.mpc(0, 1) - 2 * m) / (1 + 2 * q * q)).imag

    return Elementary(lambda x: wave(x, 0).imag, lambda x: slope(x, 0), lambda m, q: wave(m, q).imag, slope)


def rectified(n):
    def power(x, p):
        return (x**p if p else mpf(1)) if x > 0 else mpf(0)

    def mean(m, q, p=n):
        """By parts: E[v^p] = m E[v^(p - 1)] + (p - 1) q^2 E[v^(p - 2)], over v > 0."""
        before, now = mpmath.ncdf(m / q), m * mpmath.ncdf(m / q) + q * mpmath.npdf(m / q)
        if p == 0:
            return before
        for j in range(2, p + 1):
            before, now = now, m * now + (j - 1) * q * q * before
        return now

    return Elementary(
        lambda x: power(x, n),
        lambda x: n * power(x, n - 1) if n else mpf(0),
        mean,
        lambda m, q: n * mean(m, q, n - 1) if n else mpf(0),
        (0.0,),
    )


SIGN = Elementary(
    mpmath.sign, lambda x: mpf(0), lambda m, q: mpmath.erf(m / q / mpmath.sqrt(2)), lambda m, q: 0, (0.0,)
)
ROOT = math.sqrt(2.0)

ORACLES = {
    nn.Erf(1.5, 0.75): erf(1.5, 0.75),
    nn.Sin(1.5, 0.75, 0.5): sin(1.5, 0.75, 0.5),
    nn.Cos(0.5, 1.25, -1.0): sin(0.5, 1.25, math.pi / 2 - 1.0),
    nn.Rbf(0.5): sin(ROOT, 1.0, math.pi / 4),
    nn.Exp(0.5, 0.75): exp(0.5, 0.75),
    nn.Gaussian(1.5, -0.75): gaussian(1.5, -0.75),
    nn.Gabor(): gabor(),
    nn.Sign(): SIGN,
    nn.RectifiedMonomial(0): rectified(0),
    nn.RectifiedMonomial(2): rectified(2),
    nn.RectifiedMonomial(5): rectified(5),
}
SMALL = 2.0**-14
POINTS = (
    (0.75, 0.75, 0.9),
    (0.5, 1.5, 2.4),
    (1.0, 1.0, SMALL),
    (1.0, 1.0, math.pi - SMALL),
    (1.5, 1.5, 0.0),
    (0.5, 1.5, 0.0),
    (1.5, 1.5, math.pi),
    (0.5, 1.5, math.pi),
    (0.0, 1.5, math.pi / 2),
)
"""Standard deviations, whose squares are exact in float32, and angles."""


def state_at(array, points=POINTS):
    s1, s2, t = np.asarray(points).T
    sine = np.where((t == 0) | (t == math.pi), 0.0, np.sin(t))
    return Covariance(*map(array, (s1 * s2 * np.cos(t), s1 * s1, s2 * s2)), sine=array(sine))


def exactly(phi, s1, s2, t):
    """Both expectations. At an angle of 0 or pi, and where a value is 0, they are integrals in one variable."""
    if 0 < t < math.pi and s1 > 0:
        return expectations(phi, s1, s2, t)
    with mp.workdps(20):
        edges = [-10, -3, 0, 3, 10]
        side = -1 if t == math.pi else 1
        s1, s2 = mpf(s1), side * mpf(s2)
        return [
            mpmath.quad(lambda x, f=f: f(s1 * x) * f(s2 * x) * mpmath.npdf(x), edges)
            for f in (phi.function, phi.derivative)
        ]


@cache
def reference(layer):
    """Values, slopes and their scales, (points, 2) each."""
    oracle = ORACLES[layer]
    exact = np.asarray([[float(part) for part in exactly(oracle, *point)] for point in POINTS])
    stds = {s for point in POINTS for s in point[:2]}
    sizes = {s: np.sqrt([max(float(part), 0.0) for part in exactly(oracle, s, s, 0.0)]) for s in stds}
    return exact, np.asarray([sizes[s1] * sizes[s2] for s1, s2, _ in POINTS])


@pytest.mark.parametrize("layer", ORACLES, ids=repr)
def test_closed_forms(layer, backend):
    exact, scale = reference(layer)
    dual = layer.dual(state_at(backend.array))
    for i, got in enumerate((dual.value, dual.slope)):
        error = np.abs(backend.host(got) - exact[:, i])
        # The largest scale: the variances of a zero input are zero.
        assert np.all(error <= 64 * backend.eps * np.where(scale[:, i] > 0, scale[:, i], np.max(scale[:, i]))), error


def moments_of(given, k11, k12, k22):
    """E[f(u) f(v)] for a polynomial and for its derivative.

    By Isserlis: E[u^i v^j] = (i - 1) k11 E[u^(i - 2) v^j] + j k12 E[u^(i - 1) v^(j - 1)].
    """

    @cache
    def moment(i, j):
        if i == 0:
            return mpmath.fac2(j - 1) * k22 ** (j // 2) if j % 2 == 0 else mpf(0)
        lower = (i - 1) * k11 * moment(i - 2, j) if i > 1 else mpf(0)
        return lower + (j * k12 * moment(i - 1, j - 1) if j else 0)

    def expectation(f):
        return float(mpmath.fsum(a * b * moment(i, j) for i, a in enumerate(f) for j, b in enumerate(f)))

    with mp.workdps(40):
        k11, k12, k22 = mpf(k11), mpf(k12), mpf(k22)
        return [expectation(f) for f in (given, [j * a for j, a in enumerate(given)][1:])]


def hermite(n):
    """Coefficients of He_n / sqrt(n!), the constant first."""
    return np.polynomial.hermite_e.herme2poly([0.0] * n + [1.0]) / math.sqrt(math.factorial(n))


POLYNOMIALS = {
    nn.Monomial(1): [0.0, 1.0],
    nn.Monomial(2): [0.0, 0.0, 1.0],
    nn.Monomial(7): [0.0] * 7 + [1.0],
    nn.Hermite(1): hermite(1),
    nn.Hermite(2): hermite(2),
    nn.Hermite(5): hermite(5),
    nn.Polynomial([0.5, -1.0, 0.0, 0.25]): [0.5, -1.0, 0.0, 0.25],
    nn.Polynomial([0.0, 2.0]): [0.0, 2.0],
    nn.Polynomial([1.0, 0.0, -0.5]): [1.0, 0.0, -0.5],
}


@pytest.mark.parametrize("layer", POLYNOMIALS, ids=repr)
def test_polynomials(layer, backend):
    """Against exact moments at the covariances of the dtype, so that rounding of angles does not count."""
    state = state_at(backend.array)
    k11, k12, k22 = (backend.host(k).astype(float) for k in (state.k11, state.k12, state.k22))
    given = POLYNOMIALS[layer]
    exact = np.asarray([moments_of(given, *point) for point in zip(k11, k12, k22, strict=True)])
    sizes = [np.asarray([moments_of(given, k, k, k) for k in ks]) for ks in (k11, k22)]
    scale = np.sqrt(sizes[0] * sizes[1])
    dual = layer.dual(state)
    for i, got in enumerate((dual.value, dual.slope)):
        error = np.abs(backend.host(got) - exact[:, i])
        assert np.all(error <= 32 * backend.eps * np.where(scale[:, i] > 0, scale[:, i], np.max(scale[:, i]))), error


@pytest.mark.host
def test_hermite_polynomials_are_powers_of_the_correlation():
    t = np.asarray([0.0, 0.4, 1.3, 2.8])
    state = Covariance(np.cos(t), np.ones(4), np.ones(4))
    for n in (1, 4, 20):
        np.testing.assert_allclose(nn.Hermite(n).dual(state).value, np.cos(t) ** n, rtol=0, atol=1e-14)


@pytest.mark.host
def test_rbf_is_the_rbf_kernel():
    x = np.random.default_rng(0).normal(size=(5, 3)) + 1e4  # far from the origin
    kernel = ntk.InfiniteNNGP(nn.Sequential(nn.Dense(1, 1.5), nn.Rbf(0.5), nn.Dense(1)))
    squares = np.sum((x[:, None] - x) ** 2, axis=2)
    np.testing.assert_allclose(kernel(x), np.exp(-0.5 * 1.5**2 / 3 * squares), rtol=0, atol=1e-14)


@pytest.mark.host
def test_rectified_monomials_of_low_degree_are_the_step_and_relu():
    x = np.random.default_rng(1).normal(size=(5, 3))
    for kernel in (ntk.InfiniteNTK, ntk.InfiniteNNGP):
        one, two = (kernel(nn.mlp((1, 1), 1, activation=phi)) for phi in (nn.RectifiedMonomial(1), nn.ReLU()))
        np.testing.assert_allclose(one(x), two(x), rtol=1e-14)


INTEGRATED = {
    name: activation_named(name)
    for name in (
        "selu",
        "mish",
        "logsigmoid",
        "softsign",
        "hardtanh",
        "relu6",
        "hardsigmoid",
        "hardswish",
        "softshrink",
    )
}
INTEGRATED["erf, shifted"] = nn.Erf(1.5, 0.75, 0.5)


@pytest.mark.host
@pytest.mark.parametrize("name", INTEGRATED)
def test_integrated_duals(name):
    """At angles of 0, pi / 2 and pi, where the expectations are integrals in one variable."""
    layer, std = INTEGRATED[name], 1.5
    phi = FORMULAS.get(name, lambda x: 1.5 * mpmath.erf(0.75 * x + 0.5))
    edges = sorted({mpf(e) for e in (-12, -5, -2, 0, 2, 5, 12)} | {mpf(b) / std for b in layer.breakpoints})

    def slope(x):
        h = mpf(10) ** -15
        return (phi(x + h) - phi(x - h)) / (2 * h)

    exact = []
    with mp.workdps(32):
        for f in (phi, slope):
            at_zero, opposite, mean = (
                mpmath.quad(lambda x, g=g: g(std * x) * mpmath.npdf(x), edges, maxdegree=5)
                for g in (lambda x, f=f: f(x) ** 2, lambda x, f=f: f(x) * f(-x), f)
            )
            exact.append([float(at_zero), float(mean**2), float(opposite)])
    stds, t = np.full(3, std), np.asarray([0.0, math.pi / 2, math.pi])
    state = state_at(np.asarray, np.stack([stds, stds, t], axis=1))
    fitted = layer.fitted(std, std)
    assert fitted.quadrature_error < 1e-12
    for got, expected in zip(fitted.dual(state)[:2], exact, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * expected[0])


@pytest.mark.host
@pytest.mark.parametrize(
    ("layer", "dual"),
    [
        (nn.Monomial(2), lambda k11, k12, k22: k11 * k22 + 2 * k12**2),
        (nn.Cos(), lambda k11, k12, k22: mpmath.exp(-(k11 + k22) / 2) * mpmath.cosh(k12)),
        (nn.Gaussian(), lambda k11, k12, k22: 1 / mpmath.sqrt((1 + 2 * k11) * (1 + 2 * k22) - 4 * k12**2)),
    ],
    ids=["monomial", "cos", "gaussian"],
)
@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-8])
def test_nearly_opposite_inputs_of_even_functions(layer, dual, gap):
    """Their values nearly coincide, and the NTK of a ReLU behind them has a kink at an angle of 0."""
    x = np.asarray([[1.0, 0.5], [-1.0 - gap, gap - 0.5]])
    net = nn.Sequential(nn.Dense(1, 1.0), layer, nn.Dense(1, 1.0), nn.ReLU(), nn.Dense(1, 1.0))
    with mp.workdps(60):
        one, two = ([mpf(v) for v in row] for row in x.tolist())
        k11, k12, k22 = (mpmath.fdot(a, b) / 2 for a, b in ((one, one), (one, two), (two, two)))
        h = mpf(10) ** -20
        pulled = k12 * (dual(k11, k12 + h, k22) - dual(k11, k12 - h, k22)) / (2 * h)
        k11, k12, k22 = dual(k11, k11, k11), dual(k11, k12, k22), dual(k22, k22, k22)
        angle = mpmath.acos(k12 / mpmath.sqrt(k11 * k22))
        slope = (mp.pi - angle) / (2 * mp.pi)
        value = mpmath.sqrt(k11 * k22) * mpmath.sin(angle) / (2 * mp.pi) + k12 * slope
        expected = float(value + (pulled + k12) * slope)
    # 1e-12: the kernel of a homogeneous network is summed as a series in the angle
    assert abs(ntk.InfiniteNTK(net)(x)[0, 1] - expected) <= 1e-12 * abs(expected)
