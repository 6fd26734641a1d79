"""Quadrature rules against expectations known in closed form, and against each other."""

import math
from itertools import pairwise

import numpy as np
import pytest

from ntk_array.infinite.quadrature import Conditional, Polar, ScalarFunction, rules_for

pytestmark = pytest.mark.host

STD = np.asarray([0.1, 0.5, 1.0, 1.6])
T = np.asarray([0.0, 0.05, 0.8, math.pi / 2, 2.5, 3.1, math.pi])
S1, S2 = STD[None, :, None], STD[None, None, :]
COS = np.cos(T)[:, None, None]
POLAR = Polar(32, 48, 0)
CONDITIONAL = Conditional(24)
RULES = [POLAR, Polar(20, 24, 2), CONDITIONAL]

IDENTITY = ScalarFunction(lambda x: x, np.ones_like, ())
SQUARE = ScalarFunction(lambda x: x * x, lambda x: 2 * x, ())
CUBE = ScalarFunction(lambda x: x**3, lambda x: 3 * x * x, ())
EXPONENTIAL = ScalarFunction(lambda x: np.exp(x / 2), lambda x: np.exp(x / 2) / 2, ())
SINE = ScalarFunction(np.sin, np.cos, ())
RELU = ScalarFunction(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, (0.0,))
TANH = ScalarFunction(np.tanh, lambda x: 1 - np.tanh(x) ** 2, ())


def shifted_relu(*breakpoints):
    return ScalarFunction(lambda x: np.maximum(x - 0.5, 0), lambda x: (x > 0.5) * 1.0, breakpoints)


def moment(*powers):
    """E[u^a v^b] for a, b in {1, 2, 3} (Isserlis)."""
    k11, k22, k12 = S1 * S1 + 0 * COS, S2 * S2 + 0 * COS, S1 * S2 * COS
    return {(1, 1): k12, (2, 2): k11 * k22 + 2 * k12**2, (3, 3): 9 * k11 * k22 * k12 + 6 * k12**3}[powers]


def assert_sampled(rule, phi, value, slope, accuracy=3e-14):
    """Relative to the largest value."""
    for part, exact in zip(rule.sample(phi, STD, T), (value, slope), strict=True):
        exact = np.broadcast_to(exact, part.shape)
        assert np.max(np.abs(part - exact)) < accuracy * np.max(np.abs(exact))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_polynomials(rule):
    assert_sampled(rule, IDENTITY, moment(1, 1), 1.0)
    assert_sampled(rule, SQUARE, moment(2, 2), 4 * moment(1, 1))
    assert_sampled(rule, CUBE, moment(3, 3), 9 * moment(2, 2))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_exponential_and_sine(rule):
    """E[exp(a u + b v)] is the moment generating function, at real and imaginary arguments."""
    plus = np.exp((S1**2 + S2**2) / 8 + S1 * S2 * COS / 4)
    assert_sampled(rule, EXPONENTIAL, plus, plus / 4)
    minus, plus = (np.exp(-(S1**2 + S2**2) / 2 + sign * S1 * S2 * COS) for sign in (1, -1))
    assert_sampled(rule, SINE, (minus - plus) / 2, (minus + plus) / 2)


def test_a_kink_at_zero_is_exact_at_every_angle():
    """Arc-cosine kernels (Cho and Saul 2009)."""
    angles = T[:, None, None]
    value = S1 * S2 * (np.sin(angles) + (math.pi - angles) * COS) / (2 * math.pi)
    assert_sampled(Polar(16, 28, 0), RELU, value, (math.pi - angles) / (2 * math.pi))


def test_smooth_rules_agree():
    for phi in (TANH, SINE):
        parts = (rule.sample(phi, STD[:3], T) for rule in (Polar(24, 28, 3), CONDITIONAL))
        for polar, conditional in zip(*parts, strict=True):
            np.testing.assert_allclose(polar, conditional, rtol=0, atol=2e-14)


def test_finer_rules_agree_and_coarse_ones_do_not():
    """What the choice of a rule relies on."""
    steep = ScalarFunction(lambda x: np.tanh(8 * x), lambda x: 8 * (1 - np.tanh(8 * x) ** 2), ())
    coarse, fine, finer = (rule.sample(steep, STD, T)[1] for rule in (Polar(16, 28, 0), Polar(20, 24, 2), POLAR))
    finest = Polar(28, 32, 4).sample(steep, STD, T)[1]
    assert np.max(np.abs(fine - finest)) < 1e-8 * np.max(finest)
    assert np.max(np.abs(coarse - finest)) > 1e-4 * np.max(finest)
    assert np.max(np.abs(finer - finest)) < np.max(np.abs(coarse - finest))


def test_a_kink_elsewhere_needs_its_breakpoint():
    """E[relu(u - c)^2] and P(u > c) at coincident inputs, with and without it."""
    s, c = STD[1:], 0.5
    upper = np.asarray([0.5 * math.erfc(c / std / math.sqrt(2)) for std in s])
    density = np.exp(-0.5 * (c / s) ** 2) / math.sqrt(2 * math.pi)
    exact = ((s**2 + c**2) * upper - c * s * density, upper)
    declared = CONDITIONAL.sample(shifted_relu(c), s, np.zeros(1))
    undeclared = POLAR.sample(shifted_relu(), s, np.zeros(1))
    for part, rough, true in zip(declared, undeclared, exact, strict=True):
        assert np.max(np.abs(np.diag(part[0]) - true)) < 1e-14
        assert np.max(np.abs(np.diag(rough[0]) - true)) > 1e-6


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("phi", [TANH, RELU, EXPONENTIAL], ids=["tanh", "relu", "exponential"])
def test_symmetry_in_the_standard_deviations(rule, phi):
    for part in rule.sample(phi, STD, T):
        np.testing.assert_allclose(part, np.swapaxes(part, 1, 2), rtol=0, atol=2e-14 * np.max(np.abs(part)))


def test_points_of_the_conditional_rule_do_not_depend_on_their_order():
    """One-sided integration over v given u, at (s1, s2) and at (s2, s1), in chunks of any size."""
    phi = shifted_relu(0.5)
    s1, s2, t = (x.ravel() for x in np.meshgrid([0.3, 1.0], [0.6, 2.0], [0.05, 1.0, 3.0]))
    forward = CONDITIONAL.points(phi, s1, s2, t)
    for other in (CONDITIONAL.points(phi, s2, s1, t), CONDITIONAL.points(phi, s1, s2, t, chunk=5)):
        for one, two in zip(forward, other, strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-13)


def test_zero_variance():
    """A zero row: phi(0) times the mean of phi."""
    for rule in (POLAR, CONDITIONAL):
        value, slope = rule.sample(EXPONENTIAL, np.asarray([0.0, 1.0]), np.asarray([1.2]))
        mean, both = math.exp(0.125), math.exp(0.25 + math.cos(1.2) / 4)
        np.testing.assert_allclose(value[0], [[1.0, mean], [mean, both]], rtol=1e-13)
        np.testing.assert_allclose(slope, value / 4, rtol=1e-13)


def test_rules_by_breakpoints():
    assert all(isinstance(rule, Polar) for rule in rules_for(TANH))
    assert all(isinstance(rule, Polar) for rule in rules_for(RELU))
    assert all(isinstance(rule, Conditional) for rule in rules_for(shifted_relu(0.5)))
    graded = [rule for rule in rules_for(TANH) if rule.levels]
    assert all(one.angles != two.angles for one, two in pairwise(graded))
