"""The angle and the arc-cosine kernels as functions of 1 - cos t."""

import mpmath
import numpy as np
import pytest

from ntk_array.infinite.arc import arc, versines_of_abs

pytestmark = pytest.mark.host
SHARES = np.concatenate([10.0 ** -np.arange(1.0, 25.0), np.linspace(0.05, 1.0, 40)])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_angles_have_all_digits(dtype):
    """t and sin t - t cos t at 50 digits, down to angles of 1e-12, whose cube float32 still holds."""
    m = SHARES.astype(dtype)
    angle, share = arc(m, m.dtype.itemsize)
    with mpmath.workdps(50):
        t = [2 * mpmath.asin(mpmath.sqrt(mpmath.mpf(float(x)) / 2)) for x in m]
        shares = [mpmath.sin(x) - x * mpmath.cos(x) for x in t]
        for found, exact in ((angle, t), (share, shares)):
            errors = [abs(mpmath.mpf(float(a)) / b - 1) for a, b in zip(found, exact, strict=True)]
            assert max(errors) < 8 * np.finfo(dtype).eps


def test_absolute_values_on_both_sides():
    """E|u||v| of Gaussians with the correlation c, from 1 - c and 1 + c, and asin c."""
    c = np.linspace(-1.0, 1.0, 41)
    near, far, toward = versines_of_abs(1.0 - c, 1.0 + c, 8)
    exact = (2 / np.pi) * (np.sqrt((1.0 - c) * (1.0 + c)) + c * np.arcsin(c))
    np.testing.assert_allclose(1.0 - near, exact, atol=1e-15)
    np.testing.assert_allclose(far, 1.0 + exact, atol=2e-15)
    np.testing.assert_allclose(toward, np.arcsin(c), atol=1e-15)


def test_absolute_values_where_the_correlation_is_not_negative():
    """The same without 1 + c, and a little behind c = 0, where rounding may lead."""
    c = np.linspace(-1e-7, 1.0, 41)
    near, far, toward = versines_of_abs(1.0 - c, None, 8)
    exact = (2 / np.pi) * (np.sqrt((1.0 - c) * (1.0 + c)) + c * np.arcsin(c))
    np.testing.assert_allclose(1.0 - near, exact, atol=1e-15)
    np.testing.assert_allclose(far, 1.0 + exact, atol=2e-15)
    np.testing.assert_allclose(toward, np.arcsin(c), atol=1e-15)
