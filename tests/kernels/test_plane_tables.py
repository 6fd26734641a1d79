"""Tabulated activations on planes of pairs of positions: against closed forms, and against integrals by mpmath."""

import itertools
import math

import numpy as np
import pytest
from mpmath import mp, mpf

import ntk_array as ntk
from ntk_array import nn
from ntk_array._array.special import erf
from ntk_array._formula import numba_loops
from ntk_array.kernels.planes import PlanesKernel

from ..infinite import dual_oracle as oracle
from .test_planes import conv, images

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(numba_loops.available() is None, reason="planes are compiled by Numba"),
]

# Functions whose duals are known in closed form, and the same functions without them: these have tables.
KNOWN = nn.Erf(1.0, 0.7), nn.LeakyReLU(0.3)
TABULATED = (
    nn.Elementwise(lambda xp, x: erf(0.7 * x), lambda xp, x: 1.4 / math.pi**0.5 * xp.exp(-0.49 * x * x)),
    nn.Elementwise(
        lambda xp, x: xp.where(x > 0, x, 0.3 * x),
        lambda xp, x: xp.where(x > 0, xp.ones_like(x), xp.full_like(x, 0.3)),
        breakpoints=(0.0,),
    ),
)


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch):
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)


def network(smooth, kinked):
    """Two tables in one stage, one of them before a kink, and one behind the mean."""
    stage = conv(3, 3, bias_std=0.2), smooth, nn.Dense(1, weight_std=1.3), kinked
    return nn.Sequential(*stage, nn.GlobalAvgPool(), nn.Dense(1), smooth, nn.Dense(1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-6)])
def test_tables_give_what_closed_forms_give(dtype, tolerance):
    """For images that are equal, nearly equal, opposite or zero, relative to sqrt(K(x, x) K(x', x'))."""
    kernel, exact = ntk.InfiniteNTK(network(*TABULATED)), ntk.InfiniteNTK(network(*KNOWN))
    x = images((4, 5, 2), dtype)
    wide = x.astype(np.float64)
    planes = kernel.specialized(x, None)
    assert isinstance(planes, PlanesKernel)
    assert len(planes.planes.tables) == 2
    expected = exact.block(wide, wide.copy())
    scale = np.sqrt(np.diag(expected))
    for found in (kernel(x), kernel(x, x.copy())):
        assert found.dtype == dtype
        assert np.max(np.abs(found - expected) / scale / scale[:, None]) < tolerance
    np.testing.assert_array_equal(np.diag(kernel(x)), kernel.diag(x))


def leaky(s1, s2, t):
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] for phi(x) = 0.3 x + 0.7 max(x, 0) (Cho and Saul 2009, eq. 6)."""
    share = mpf("0.49") / (2 * mp.pi)
    value = mpf("0.3") * mp.cos(t) + share * (mp.sin(t) + (mp.pi - t) * mp.cos(t))
    return s1 * s2 * value, mpf("0.3") + share * (mp.pi - t)


def behind(dual, k11, k12, k22):
    """Value and slope of a dual activation at covariances."""
    s1, s2 = mp.sqrt(k11), mp.sqrt(k22)
    return dual(s1, s2, mp.acos(min(mpf(1), max(mpf(-1), k12 / s1 / s2))))


def tanh(s1, s2, t):
    return oracle.expectations(oracle.tanh(), s1, s2, t) if t > 0 else oracle.variance(oracle.tanh(), s1)


def pooled(one, two):
    """The means of K and Theta for two images of 1 x 2 positions, whose windows reach over both."""

    def seen(a, b):
        k = [[sum(mpf(x) * mpf(y) for x, y in zip(p, q, strict=True)) / 2 for q in b] for p in a]
        sums = [[k[0][0] + k[1][1], k[0][1]], [k[1][0], k[0][0] + k[1][1]]]
        return [[mpf("1.96") / 9 * total + mpf("0.04") for total in row] for row in sums]

    k11, k12, k22 = seen(one, one), seen(one, two), seen(two, two)
    means = [mpf(0), mpf(0)]
    for p, q in itertools.product(range(2), range(2)):
        k, slope = behind(tanh, k11[p][p], k12[p][q], k22[q][q])
        own = [behind(tanh, a[r][r], a[r][r], a[r][r])[0] for a, r in ((k11, p), (k22, q))]
        theta, weight = k12[p][q] * slope, mpf("1.69")
        after, slope = behind(leaky, weight * own[0], weight * k, weight * own[1])
        means[0] += after / 4
        means[1] += weight * (k + theta) * slope / 4
    return means


def mpmath_ntk(one, two):
    """Theta of :func:`network` with tanh."""
    (k11, _), (k12, theta), (k22, _) = pooled(one, one), pooled(one, two), pooled(two, two)
    after, slope = behind(tanh, k11, k12, k22)
    return after + (k12 + theta) * slope


def test_tanh_against_mpmath():
    """Images that are equal at one position, nearly equal, and nearly opposite."""
    x = np.asarray([[[0.9, -0.4], [0.3, 1.1]], [[0.9, -0.4], [0.3, 1.1 + 1e-7]], [[-0.9, 0.4], [-0.3, -1.1 + 1e-5]]])
    # Not nn.Tanh: a function that nobody knows to be odd shares its code with the test above.
    smooth = nn.Elementwise(lambda xp, x: xp.tanh(x), lambda xp, x: 1.0 - xp.tanh(x) ** 2)
    kernel = ntk.InfiniteNTK(network(smooth, TABULATED[1]))
    assert isinstance(kernel.specialized(x[:, None], None), PlanesKernel)
    found = kernel(x[:, None])
    scale = np.sqrt(np.diag(found))
    with mp.workdps(30):
        for i, j in ((0, 1), (0, 2)):
            assert abs(found[i, j] - float(mpmath_ntk(x[i], x[j]))) < 1e-13 * scale[i] * scale[j]


def test_kinks_away_from_zero_take_the_general_way():
    """Their duals are integrated at each entry."""
    kernel = ntk.InfiniteNTK(nn.Sequential(conv(3, 3), nn.HardTanh(), nn.GlobalAvgPool(), nn.Dense(1)))
    assert not isinstance(kernel.specialized(images((4, 4, 1)), None), PlanesKernel)
