"""Networks with kinks at angles near 0 and pi, against the recursion in mpmath."""

import math

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

ANGLES = [0.0, *(10.0 ** -np.arange(1.0, 9.0)), 0.3]
DIRECTIONS = np.linalg.qr(np.random.default_rng(0).normal(size=(24, 2)))[0].T


def inputs(ratio, opposite):
    """One input and others at small angles to it, or to its opposite, of another norm."""
    first, second = DIRECTIONS
    side = -1.0 if opposite else 1.0
    others = [side * ratio * (math.cos(t) * first + math.sin(t) * second) for t in ANGLES]
    return np.stack([first, *others])


def exact(x, slope, weight_std, bias_std, depth):
    """Kernels of leaky ReLU networks between the first row and all others, over the roots of the diagonals."""

    def dual(k12, k11, k22):
        root = mpmath.sqrt(k11 * k22)
        det = max(k11 * k22 - k12**2, mpmath.mpf(0))
        t = mpmath.atan2(mpmath.sqrt(det), k12)
        share = (1 - mpmath.mpf(slope)) ** 2 / (2 * mpmath.pi)
        toward = mpmath.pi / 2 - t
        mean2 = (1 + mpmath.mpf(slope)) ** 2 / 4
        return (
            mean2 * k12 + share * root * (mpmath.sin(t) + toward * mpmath.cos(t)),
            mean2 + share * toward,
        )

    def kernels(a, b):
        w2, b2 = mpmath.mpf(weight_std) ** 2, mpmath.mpf(bias_std) ** 2
        k = [mpmath.fdot(p, q) / len(a) for p, q in ((a, b), (a, a), (b, b))]
        k = [w2 * one + b2 for one in k]
        theta = k[0]
        for _ in range(depth):
            value, slope_ = dual(*k)
            k = [w2 * one + b2 for one in (value, dual(k[1], k[1], k[1])[0], dual(k[2], k[2], k[2])[0])]
            theta = k[0] + w2 * theta * slope_
        return k[0], theta

    rows = [[mpmath.mpf(float(v)) for v in row] for row in x]
    diagonals = [kernels(row, row) for row in rows]
    found = []
    for row, diagonal in zip(rows[1:], diagonals[1:], strict=True):
        both = kernels(rows[0], row)
        roots = [mpmath.sqrt(one * two) for one, two in zip(diagonals[0], diagonal, strict=True)]
        found.append([float(value / root) for value, root in zip(both, roots, strict=True)])
    return np.asarray(found), np.asarray(diagonals, dtype=float)


@pytest.mark.parametrize("opposite", [False, True], ids=["near", "opposite"])
@pytest.mark.parametrize(
    ("slope", "bias_std", "depth", "ratio"),
    [
        (0.0, 0.0, 3, 1.0),
        (0.0, 0.0, 20, 3.0),
        (0.0, 0.3, 3, 1.0),
        (0.0, 0.3, 3, 1.5),
        (0.2, 0.1, 2, 1.0),
        (-1.0, 0.0, 3, 0.7),
    ],
)
def test_full_accuracy_at_every_angle(backend, slope, bias_std, depth, ratio, opposite):
    x = backend.array(inputs(ratio, opposite))
    with mpmath.workdps(50):
        expected, diagonals = exact(backend.host(x), slope, 2**0.5, bias_std, depth)
    net = nn.mlp((1,) * depth, 1, activation=nn.LeakyReLU(slope), bias_std=bias_std)
    for column, kernel in enumerate((ntk.InfiniteNNGP(net), ntk.InfiniteNTK(net))):
        scale = np.sqrt(diagonals[0, column] * diagonals[1:, column])
        for block in (kernel(x)[0, 1:], kernel(x[:1, :], x[1:, :])[0, :]):
            error = np.abs(backend.host(block) / scale - expected[:, column])
            assert np.max(error) < (1e-6 if backend.eps > 1e-10 else 1e-14 * (1 + depth))


def test_many_near_inputs_at_once(backend, rng):
    """A cluster far from the origin: every pair is near, and all take the way of the differences."""
    host = 5.0 + 1e-4 * rng.normal(size=(40, 8))
    x = backend.array(host)
    with mpmath.workdps(50):
        expected, _ = exact(backend.host(x), 0.0, 2**0.5, 0.0, 1)
    block = backend.host(ntk.InfiniteNTK(nn.mlp((1,), 1))(x))
    diagonal = np.sqrt(np.diag(block))
    error = np.abs(block[0, 1:] / (diagonal[0] * diagonal[1:]) - expected[:, 1])
    assert np.max(error) < (1e-6 if backend.eps > 1e-10 else 1e-14)
    np.testing.assert_array_equal(block, block.T)
