"""Chebyshev series: made of functions that are known, and summed on every library as numpy.polynomial sums them."""

import math

import mpmath
import numpy as np
import pytest
from numpy.polynomial import chebyshev

from ntk_array.infinite.series import adaptive_series, points, quotient, sum_from_end, sum_mixed, to_coefficients


def exact_sum(series, left, right, y):
    """Entry by entry, in extended precision."""
    t = np.stack([np.cos(k * np.arccos(np.longdouble(y))) for k in range(len(series))])
    return np.einsum("kpq,np,mq,knm->nm", series.astype(np.longdouble), left, right, t, optimize=True).astype(float)


@pytest.mark.host
def test_coefficients_of_a_known_function():
    """exp(a y) = I_0(a) + 2 sum_k I_k(a) T_k(y)."""
    from scipy.special import iv

    got = to_coefficients(np.exp(1.5 * points(-1.0, 1.0, 24)))
    expected = 2 * iv(np.arange(24), 1.5)
    expected[0] /= 2
    np.testing.assert_allclose(got, expected, atol=1e-15)


@pytest.mark.host
@pytest.mark.parametrize("tolerance", [1e-6, 1e-15])
def test_what_a_series_leaves_out_is_said(tolerance):
    u = np.linspace(0.0, 2.0, 1001)
    coefficients, left_out = adaptive_series(lambda u: 1.0 / (0.1 + u), tolerance, 0.0, 192)
    error = np.max(np.abs(chebyshev.chebval(u - 1.0, coefficients) - 1.0 / (0.1 + u)))
    assert error <= left_out + 1e-13
    assert left_out < 10.0 * 100.0 * tolerance
    assert adaptive_series(lambda u: np.abs(u - 1.1), tolerance, 1e-14, 192) is None


@pytest.mark.host
def test_rounding_of_the_function_is_not_resolved(rng):
    def noisy(u):
        return np.exp(u) * (1.0 + 1e-14 * rng.normal(size=u.shape))

    assert adaptive_series(noisy, 2e-16, 0.0, 192) is None
    coefficients, left_out = adaptive_series(noisy, 2e-16, 1e-13, 192)
    u = np.linspace(0.0, 2.0, 1001)
    assert len(coefficients) < 20
    assert np.max(np.abs(chebyshev.chebval(u - 1.0, coefficients) - np.exp(u))) < 1e-13 < 10.0 * left_out


@pytest.mark.parametrize("terms", [2, 7, 30])
def test_sums_from_an_end(backend, rng, terms):
    """f(-1) + u q(u - 1) is f, to all digits of f - f(-1) where u is small."""
    c = rng.normal(size=terms) * 0.7 ** np.arange(terms)
    u = backend.array(np.concatenate([10.0 ** -np.arange(1.0, 9.0), np.linspace(0.1, 2.0, 24)]).reshape(4, 8))
    got = backend.host(sum_from_end(0.0, quotient(c), u)).ravel()
    slope = np.sum(np.abs(c) * np.arange(terms) ** 2)  # the most that it can be
    with mpmath.workdps(40):
        for value, place in zip(got, backend.host(u).ravel(), strict=True):
            y = mpmath.mpf(float(place)) - 1
            exact = mpmath.fsum(c[k] * (mpmath.chebyt(k, y) - (-1) ** k) for k in range(terms))
            assert abs(value - exact) < 20 * backend.eps * slope * float(place)
    assert backend.host(sum_from_end(3.0, quotient(c[:1]), u)).tolist() == np.full((4, 8), 3.0).tolist()


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 3), (12, 4, 9), (40, 18, 18)])
def test_sums_of_products(backend, rng, shape):
    decay = 0.6 ** np.arange(max(shape))
    series = rng.normal(size=shape) * math.prod(np.ix_(*(decay[:n] for n in shape)))
    series[1::2] = 0.0  # an even function: every other term is missing
    left, right, y = (backend.array(rng.uniform(-1, 1, size)) for size in ((7, shape[1]), (9, shape[2]), (7, 9)))
    hosts = [backend.host(a).astype(float) for a in (left, right, y)]
    expected = exact_sum(series, *hosts)
    backend.close(sum_mixed(series, left, right, y), expected, factor=30, scale=float(np.sum(np.abs(series))))
    rows = np.diagonal(exact_sum(series, hosts[0], hosts[1][:7], hosts[2][:, :7]))
    one = backend.array(np.diagonal(hosts[2][:, :7]))
    backend.close(sum_mixed(series, left, right[:7, :], one), rows, factor=30, scale=float(np.sum(np.abs(series))))


@pytest.mark.host
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_products_longer_than_a_lane(dtype, rng):
    """Compiled, over several lanes and a ragged one."""
    series = rng.normal(size=(6, 5, 6)) * 0.5 ** np.arange(6)
    left, right, y = (rng.uniform(-1, 1, size).astype(dtype) for size in ((80, 5), (600, 6), (80, 600)))
    got = sum_mixed(series, left, right, y)
    assert got.dtype == dtype
    expected = exact_sum(series, left, right, y)
    scale = float(np.sum(np.abs(series)))
    assert np.max(np.abs(got - expected)) < 30 * np.finfo(dtype).eps * scale
    assert math.isclose(float(got[3, 599]), expected[3, 599], rel_tol=0, abs_tol=30 * np.finfo(dtype).eps * scale)
