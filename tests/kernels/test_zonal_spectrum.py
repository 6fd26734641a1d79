"""Zonal spectra against Bessel functions, mpmath quadrature of the arc-cosine formulas, and eigenvalues of samples."""

import math

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.kernels import Kernel, zonal_spectrum

pytestmark = pytest.mark.host


class OfAngle(Kernel):
    """A kernel that is a given function of the angle."""

    def __init__(self, function):
        self.function = function

    def prepared_block(self, x1, x2):
        x2 = x1 if x2 is None else x2
        unit1, unit2 = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (x1, x2))
        return self.function(2 * np.arcsin(np.linalg.norm(unit1[:, None] - unit2, axis=2).clip(max=2) / 2))

    def block_diagonal(self, x):
        return self.function(np.zeros(len(x)))


def relu_ntk(depth, bias=0.0):
    """The recursion of ReLU layers with weight_std sqrt(2) on inputs of norm sqrt(d), and the network."""

    def kappa(t):
        variance, k = 2 + mpmath.mpf(bias) ** 2, 2 * mpmath.cos(t) + mpmath.mpf(bias) ** 2
        theta = k
        for _ in range(depth):
            angle = mpmath.acos(k / variance)
            slope = (mpmath.pi - angle) / mpmath.pi
            k = variance * mpmath.sin(angle) / mpmath.pi + k * slope + mpmath.mpf(bias) ** 2
            theta, variance = k + slope * theta, variance + mpmath.mpf(bias) ** 2
        return theta

    widths = (1,) * depth
    return kappa, ntk.InfiniteNTK(ntk.nn.mlp(widths, 1, activation="relu", weight_std=2**0.5, bias_std=bias))


def legendre(d, k, u):
    if d == 2:
        return mpmath.chebyt(k, u)
    return mpmath.gegenbauer(k, mpmath.mpf(d - 2) / 2, u) / mpmath.gegenbauer(k, mpmath.mpf(d - 2) / 2, 1)


@pytest.mark.parametrize("d", [2, 3, 7, 50])
def test_the_exponential_kernel_has_bessel_functions(d):
    """E[exp(s u) P_k(u)] = Gamma(d/2) (2/s)^(d/2 - 1) I_{k + d/2 - 1}(s), for all degrees up to 200."""
    s = 3.0
    got = zonal_spectrum(OfAngle(lambda t: np.exp(s * np.cos(t))), d, 200)
    half = mpmath.mpf(d) / 2
    scale = mpmath.gamma(half) * (2 / mpmath.mpf(s)) ** (half - 1)
    exact = np.asarray([float(scale * mpmath.besseli(k + half - 1, s)) for k in got.degrees])
    assert (np.abs(got.values - exact) <= got.error).all()
    np.testing.assert_allclose(got.values[:4], exact[:4], rtol=1e-13)
    # In orthonormal polynomials every coefficient is right to rounding.
    assert np.max(got.error * np.sqrt(got.multiplicities)) < 1e-14 * np.exp(s)


@pytest.mark.parametrize("d", [2, 3, 20])
@pytest.mark.parametrize(("depth", "bias"), [(1, 0.0), (2, 0.3)])
def test_relu_networks_by_quadrature_in_mpmath(d, depth, bias):
    kappa, kernel = relu_ntk(depth, bias)
    got = zonal_spectrum(kernel, d, 200)

    def mean(function):
        return mpmath.quad(lambda t: function(t) * mpmath.sin(t) ** (d - 2), [0, 1, 2, mpmath.pi])

    for k in (0, 1, 2, 3, 14):
        exact = mean(lambda t, k=k: kappa(t) * legendre(d, k, mpmath.cos(t))) / mean(lambda t: 1)
        assert abs(got.values[k] - float(exact)) <= 1e-15 * got.values[0] + got.error[k], k


def test_a_linear_network_has_degrees_zero_and_one():
    """b^2 + s^2 <x, x'> / d, with <x, x'> = r^2 cos t."""
    kernel = ntk.InfiniteNTK(ntk.nn.Sequential(ntk.nn.Dense(1, weight_std=1.5, bias_std=0.5)))
    for radius, square in ((None, 4.0), (3.0, 9.0)):
        got = zonal_spectrum(kernel, 4, 8, radius=radius)
        np.testing.assert_allclose(got.values[:2], [0.25, 2.25 * square / 16], rtol=1e-14)
        assert (np.abs(got.values[2:]) <= got.error[2:]).all()
        assert (got.error < 1e-14).all()


@pytest.mark.parametrize("d", [3, 5, 10])
def test_one_hidden_relu_layer_decays_as_degree_to_minus_d(d):
    """Odd degrees from 3 on vanish without bias and do not with it (Bietti and Mairal 2019, Proposition 5)."""
    got = zonal_spectrum(relu_ntk(1)[1], d, 200)
    assert (np.abs(got.values[3::2]) <= got.error[3::2]).all()
    even = got.degrees[40::2]
    # In the variable k + (d - 2) / 2 the power law sets in early.
    slope = np.polyfit(np.log(even + (d - 2) / 2), np.log(got.values[40::2]), 1)[0]
    assert abs(slope + d) < 0.02
    assert (zonal_spectrum(relu_ntk(1, 0.3)[1], d, 9).values[3::2] > 1e-7).all()


def test_the_trace_is_the_kernel_at_equal_inputs():
    """sum_k mu_k N(d, k), short of K(x, x) = 4 by a tail that falls as 1 / K for a ReLU network."""
    kappa, kernel = relu_ntk(1)
    got = zonal_spectrum(kernel, 3, 200)
    partial = np.cumsum(got.values * got.multiplicities)
    tails = float(kappa(mpmath.mpf(0))) - partial[[50, 100, 200]]
    np.testing.assert_allclose(tails[:2] / tails[1:], 2.0, rtol=0.02)


@pytest.mark.parametrize("d", [2, 3, 20])
def test_the_series_is_the_kernel(d):
    kernel = OfAngle(lambda t: np.exp(2 * np.cos(t)))
    angles = np.linspace(0, np.pi, 12).reshape(3, 4)
    got = zonal_spectrum(kernel, d, 200).kernel(angles)
    # At t = 0 the smallest values that are kept have their error times sqrt(N(d, k)).
    np.testing.assert_allclose(got, np.exp(2 * np.cos(angles)), rtol=0, atol=1e-7 if d == 20 else 1e-11)


def test_multiplicities():
    got = zonal_spectrum(relu_ntk(1)[1], 6, 9).multiplicities
    assert got.tolist() == [1, *((2 * k + 4) / k * math.comb(k + 3, k - 1) for k in range(1, 10))]
    assert zonal_spectrum(relu_ntk(1)[1], 2, 3).multiplicities.tolist() == [1, 2, 2, 2]
    assert zonal_spectrum(relu_ntk(1)[1], 3, 3).multiplicities.tolist() == [1, 3, 5, 7]


def test_the_error_is_stated_where_the_integral_is_hard():
    """kappa = 2 - sqrt(t) on the circle, with a root at t = 0 that no polynomial rule gets right."""
    got = zonal_spectrum(OfAngle(lambda t: 2 - np.sqrt(t)), 2, 4)
    for k in range(5):
        exact = mpmath.quad(lambda s, k=k: 2 * s * (2 - s) * mpmath.cos(k * s * s), [0, mpmath.sqrt(mpmath.pi)])
        wrong = abs(got.values[k] - float(exact / mpmath.pi))
        assert 1e-9 < wrong <= got.error[k] < 1e-6


def test_eigenvalues_of_a_sample_gather_at_the_spectrum(rng):
    x = rng.normal(size=(1000, 3))
    x *= np.sqrt(3) / np.linalg.norm(x, axis=1, keepdims=True)
    kernel = relu_ntk(1)[1]
    sample = np.linalg.eigvalsh(kernel(x))[::-1] / len(x)
    got = zonal_spectrum(kernel, 3, 4)
    # The mean over a degree deviates by O(1/N) only, by the addition theorem; single ones by O(1/sqrt(N)).
    for k, rows in ((0, slice(0, 1)), (1, slice(1, 4)), (2, slice(4, 9))):
        np.testing.assert_allclose(sample[rows].mean(), got.values[k], rtol=0.02)
        np.testing.assert_allclose(sample[rows], got.values[k], rtol=0.15)
    assert sample[9] < 1.3 * got.values[4]


def empirical(outputs):
    net = ntk.nn.mlp((64,), 2)
    return ntk.EmpiricalNTK(net, net.init(0, input_shape=(3,)), outputs=outputs)


def test_an_empirical_kernel_is_refused():
    with pytest.raises(ValueError, match="not a function of the angle"):
        zonal_spectrum(empirical("trace"), 3, 4)


def test_a_small_dependence_on_more_than_the_angle_is_found():
    class Tilted(OfAngle):
        def prepared_block(self, x1, x2):
            return super().prepared_block(x1, x2) + 1e-6 * x1[:, :1] * x2[:, 0]

    with pytest.raises(ValueError, match=r"not a function of the angle: at equal angles .* differ by \d.\de-06"):
        zonal_spectrum(Tilted(np.cos), 3, 4)


@pytest.mark.parametrize("outputs", ["full", "classwise"])
def test_kernels_with_blocks_are_refused(outputs):
    with pytest.raises(ValueError, match=f"blocks for each output \\({outputs}\\)"):
        zonal_spectrum(empirical(outputs), 3, 4)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"kernel": np.cos}, TypeError, "kernel must be a kernel"),
        ({"dimension": 1}, ValueError, "dimension must be at least 2"),
        ({"dimension": 3.0}, ValueError, "dimension must be a whole number"),
        ({"max_degree": 0}, ValueError, "max_degree must be a whole number"),
        ({"radius": 0.0}, ValueError, "radius must be positive"),
        ({"dimension": 5000, "max_degree": 300}, ValueError, "over 1e308 harmonics of degree 300"),
    ],
)
def test_bad_arguments(changes, error, match):
    with pytest.raises(error, match=match):
        zonal_spectrum(**{"kernel": OfAngle(np.cos), "dimension": 3, "max_degree": 4, **changes})
