"""erf and the normal distribution, against mpmath."""

import math

import mpmath
import numpy as np

from ntk_array._array.special import _erf_by_quadrature, erf, normal_cdf, normal_pdf

POINTS = np.concatenate([np.linspace(-7, 7, 57), 10.0 ** np.arange(-12, 1), -(10.0 ** np.arange(-12, 1)), [0.0, 30.0]])


def exact(function, host):
    with mpmath.workdps(30):
        return np.asarray([float(function(mpmath.mpf(float(x)))) for x in host])


def test_erf_to_the_last_digits(backend):
    x = backend.array(POINTS)
    backend.close(erf(x), exact(mpmath.erf, backend.host(x)), factor=10)


def test_the_fallback_is_as_good_as_a_library(backend):
    x = backend.array(POINTS)
    backend.close(_erf_by_quadrature(x), exact(mpmath.erf, backend.host(x)), factor=10)


def test_erf_of_small_numbers_has_all_its_relative_digits(backend):
    x = backend.array(np.asarray([1e-12, 1e-6, 1e-3, 0.1]))
    expected = exact(mpmath.erf, backend.host(x))
    backend.close(backend.host(erf(x)) / expected, np.ones(4), factor=10)


def test_erf_keeps_dtype_and_shape(backend):
    x = backend.array(np.ones((2, 3)))
    assert erf(x).dtype == backend.dtype
    assert erf(x).shape == (2, 3)


def test_the_normal_distribution(backend):
    x = backend.array(POINTS)
    host = backend.host(x)
    backend.close(normal_cdf(x), exact(mpmath.ncdf, host), factor=10)
    backend.close(normal_pdf(x), exact(mpmath.npdf, host), factor=10)
    assert math.isclose(float(np.max(backend.host(normal_pdf(x)))), 1 / math.sqrt(2 * math.pi), rel_tol=8 * backend.eps)
