"""Derivatives of dual activations by Hermite series, against integrals of derivatives of the function."""

import math
from functools import cache

import numpy as np
import pytest

from ntk_array import nn
from ntk_array.infinite.covariance import Covariance
from ntk_array.infinite.hermite import expanded_dual
from ntk_array.infinite.taylor import Taylor

pytestmark = pytest.mark.host
NODES = np.linspace(-9.0, 9.0, 241)
WEIGHTS = (NODES[1] - NODES[0]) * np.exp(-0.5 * NODES**2) / math.sqrt(2 * math.pi)


def tanh_derivative(order, x):
    """The derivative of this order: a polynomial in t = tanh(x), by d/dx = (1 - t^2) d/dt."""
    p = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(order):
        p = p.deriv() * np.polynomial.Polynomial([1.0, 0.0, -1.0])
    return p(np.tanh(x))


def sigmoid_derivative(order, x):
    """sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    return 0.5 * (order == 0) + 0.5 ** (order + 1) * tanh_derivative(order, x / 2)


def silu_derivative(order, x):
    """Leibniz's rule for x sigmoid(x)."""
    lower = order * sigmoid_derivative(order - 1, x) if order else 0.0
    return x * sigmoid_derivative(order, x) + lower


@cache
def values(derivative, order, s1, s2, rho):
    """f^(order)(u) and f^(order)(v) at the nodes of the trapezoidal rule in two independent normal variables."""
    u, v = s1 * NODES[:, None], s2 * (rho * NODES[:, None] + math.sqrt(1 - rho * rho) * NODES)
    return derivative(order, u), derivative(order, v)


def expectation(derivative, p, q, *stds):
    """E[f^(p)(u) f^(q)(v)], and the root of E[f^(p)(u)^2] E[f^(q)(v)^2]."""
    one, two = values(derivative, p, *stds)[0], values(derivative, q, *stds)[1]
    mean = [float(WEIGHTS @ (product + 0.0 * NODES) @ WEIGHTS) for product in (one * two, one * one, two * two)]
    return mean[0], math.sqrt(mean[1] * mean[2])


@pytest.mark.parametrize(
    ("phi", "derivative"),
    [(nn.Tanh(), tanh_derivative), (nn.SiLU(), silu_derivative)],
    ids=["tanh", "silu"],
)
@pytest.mark.parametrize(("s1", "s2", "rho"), [(1.0, 1.0, 1.0), (0.4, 1.3, 0.6), (0.9, 0.3, -0.95)])
def test_every_derivative_is_an_expectation(phi, derivative, s1, s2, rho):
    """d^i/dk11^i d^j/dk22^j d^k/dk12^k E[f(u) f(v)] = E[f^(2i + k)(u) f^(2j + k)(v)] / 2^(i + j) (Price 1958)."""

    def moving(value, variable):
        return Taylor({(0, 0, 0): np.asarray([value]), variable: 1.0}, (2, 2))

    k12 = moving(s1 * s2 * rho, (0, 0, 1))
    state = Covariance(k12, moving(s1 * s1, (1, 0, 0)), moving(s2 * s2, (0, 1, 0)))
    host = phi._on_host()
    value, slope = expanded_dual("f", host, state, True)
    checked, worst = 0, 0.0
    for found, more in ((value, 0), (slope, 1)):
        for (i, j, k), term in found.terms.items():
            exact, size = expectation(derivative, 2 * i + k + more, 2 * j + k + more, s1, s2, rho)
            factor = math.factorial(i) * math.factorial(j) * math.factorial(k) * 2 ** (i + j)
            # Rounding of the coefficients grows by 1 / s^order.
            growth = min(1.0, s1) ** -(2.0 * i + k + more) * min(1.0, s2) ** -(2.0 * j + k + more)
            worst = max(worst, abs(factor * float(term[0]) - exact) / size / growth)
            checked += 1
    assert worst < 1e-13
    assert checked == 54


@pytest.mark.parametrize(
    ("phi", "within", "beyond"), [(nn.Tanh(), 3.0, 4.0), (nn.SiLU(), 6.0, 8.0)], ids=["tanh", "silu"]
)
def test_long_series_are_refused(phi, within, beyond):
    """Between a value and two derivatives on either side, at these standard deviations."""

    def value(s):
        k = Taylor({(0, 0, 0): np.asarray([s * s])}, (2, 2))
        return float(expanded_dual("f", phi._on_host(), Covariance(k, k, k), True)[0].constant[0])

    z = np.linspace(-12.0, 12.0, 4001)
    square = np.sum(phi.function(np, within * z) ** 2 * np.exp(-0.5 * z * z)) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    assert value(within) == pytest.approx(square, rel=1e-13)
    with pytest.raises(ValueError, match="does not end within 4096 terms"):
        value(beyond)
