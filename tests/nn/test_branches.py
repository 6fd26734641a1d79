"""Branches: what they refuse, and their limits near coincident inputs against mpmath."""

import math

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

ANGLES = [0.0, *(10.0 ** -np.arange(1.0, 9.0)), 0.3]


def residual_net(depth, bias_std, skip=None):
    """Residual blocks whose branches end in ReLU: their values have means, and blocks after the first add to these."""
    branch, around = nn.Sequential(nn.Dense(1, 1.2, bias_std), nn.ReLU()), skip and nn.Dense(1, skip)
    blocks = [nn.Residual(branch, around)] * depth
    return nn.Sequential(nn.Dense(1, 1.3, bias_std), *blocks, nn.Dense(1, 1.1, bias_std))


class Exact:
    """Covariance, NTK and mean over features between two inputs, in mpmath: k = (k12, k11, k22), m = (m1, m2)."""

    def __init__(self, a, b):
        self.k = [mpmath.fdot(p, q) / len(a) for p, q in ((a, b), (a, a), (b, b))]
        self.theta, self.m = mpmath.mpf(0), [mpmath.mpf(0)] * 2

    def dense(self, weight_std, bias_std):
        after = Exact.__new__(Exact)
        w2, b2 = mpmath.mpf(weight_std) ** 2, mpmath.mpf(bias_std) ** 2
        after.k = [w2 * k + b2 for k in self.k]
        after.theta, after.m = after.k[0] + w2 * self.theta, [mpmath.mpf(0)] * 2
        return after

    def relu(self):
        after = Exact.__new__(Exact)
        k12, k11, k22 = self.k
        det = max(k11 * k22 - k12**2, mpmath.mpf(0))
        t = mpmath.atan2(mpmath.sqrt(det), k12)
        value = mpmath.sqrt(k11 * k22) * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / (2 * mpmath.pi)
        after.k = [value, k11 / 2, k22 / 2]
        after.theta = self.theta * (mpmath.pi - t) / (2 * mpmath.pi)
        after.m = [mpmath.sqrt(k / (2 * mpmath.pi)) for k in (k11, k22)]
        return after

    def plus(self, other):
        after = Exact.__new__(Exact)
        (a, b), (c, d) = self.m, other.m
        cross = (a * d + b * c, 2 * a * c, 2 * b * d)
        after.k = [one + two + three for one, two, three in zip(self.k, other.k, cross, strict=True)]
        after.theta, after.m = self.theta + other.theta, [a + c, b + d]
        return after


def exact(a, b, depth, bias_std, skip):
    state = Exact(a, b).dense(1.3, bias_std)
    for _ in range(depth):
        around = state.dense(skip, 0.0) if skip else state
        state = state.dense(1.2, bias_std).relu().plus(around)
    return state.dense(1.1, bias_std)


@pytest.mark.parametrize("opposite", [False, True], ids=["near", "opposite"])
@pytest.mark.parametrize(
    ("depth", "bias_std", "ratio", "skip"),
    [(1, 0.0, 1.0, None), (3, 0.0, 1.5, None), (3, 0.3, 0.7, None), (2, 0.2, 1.3, 0.8)],
)
def test_residual_networks_at_every_angle(backend, depth, bias_std, ratio, skip, opposite):
    """1e-14 a layer in float64, relative to sqrt(K(x, x) K(x', x'))."""
    first, second = np.linalg.qr(np.random.default_rng(0).normal(size=(24, 2)))[0].T
    side = -ratio if opposite else ratio
    host = np.stack([first, *(side * (math.cos(t) * first + math.sin(t) * second) for t in ANGLES)])
    x, net = backend.array(host), residual_net(depth, bias_std, skip)
    with mpmath.workdps(50):
        rows = [[mpmath.mpf(float(v)) for v in row] for row in backend.host(x)]
        states = [exact(rows[0], row, depth, bias_std, skip) for row in rows[1:]]
        selves = [exact(row, row, depth, bias_std, skip) for row in rows]
        for kernel, read in ((ntk.InfiniteNNGP(net), lambda s: s.k[0]), (ntk.InfiniteNTK(net), lambda s: s.theta)):
            scale = [mpmath.sqrt(read(selves[0]) * read(own)) for own in selves[1:]]
            expected = np.asarray([float(read(s) / c) for s, c in zip(states, scale, strict=True)])
            scale = np.asarray([float(c) for c in scale])
            for block in (kernel(x)[0, 1:], kernel(x[:1, :], x[1:, :])[0, :]):
                error = np.max(np.abs(backend.host(block) / scale - expected))
                assert error < (1e-6 if backend.eps > 1e-10 else 1e-14 * (2 * depth + 2)), error


def test_a_product_at_every_angle(backend):
    """The product of two ReLU branches: cos T is the product of the cosines."""
    host = np.stack([[1.0, 0.0]] + [[math.cos(t), math.sin(t)] for t in (1e-8, 1e-5, 1e-2, 1.0, math.pi - 1e-5)])
    x = backend.array(host)
    branch = nn.Sequential(nn.Dense(1), nn.ReLU())
    net = nn.Sequential(nn.Product(branch, branch), nn.Dense(1, 1.2), nn.ReLU(), nn.Dense(1))
    with mpmath.workdps(50):
        expected = []
        for row in backend.host(x)[1:]:
            one = Exact(*([mpmath.mpf(float(v)) for v in r] for r in (backend.host(x)[0], row))).dense(1.0, 0.0).relu()
            one.theta, one.k = 2 * one.theta * one.k[0], [k * k for k in one.k]
            expected.append(float(one.dense(1.2, 0.0).relu().dense(1.0, 0.0).theta))
    backend.close(ntk.InfiniteNTK(net)(x[:1, :], x[1:, :])[0, :], np.asarray(expected), factor=50)


def test_what_branches_refuse():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"^the branches of Sum must have outputs of one shape, got \(4,\) and \(3,\)"):
        nn.Sum(nn.Dense(4), nn.Identity()).init(0, like=x)
    with pytest.raises(ValueError, match=r"^the branches of Product must have outputs of one shape"):
        nn.Product(nn.Dense(4), nn.Dense(2)).init(0, like=x)
    with pytest.raises(ValueError, match="several branches without parameters"):
        ntk.InfiniteNTK(nn.Sequential(nn.Dense(4), nn.Sum(nn.ReLU(), nn.Identity()), nn.Dense(1)))(x)
    with pytest.raises(ValueError, match=r"acts on values that are not Gaussian"):
        ntk.InfiniteNTK(nn.Sequential(nn.Concatenate(nn.Dense(4), nn.Dense(3)), nn.ReLU(), nn.Dense(1)))(x)
    with pytest.raises(TypeError, match=r"^layer 1 of Sum is 3, not a layer"):
        nn.Sum(nn.Dense(1), 3)
    with pytest.raises(TypeError, match=r"write Product\(a, b, c\), not a list"):
        nn.Product([nn.Dense(1)])
    with pytest.raises(ValueError, match="Concatenate needs at least one layer"):
        nn.Concatenate()
    net = nn.Sum(nn.Dense(1), nn.Dense(1))
    with pytest.raises(ValueError, match=r"^params has 1 entries; the network has 2 layers"):
        net((net.init(0, like=x)[0],), x)


class Meanless(nn.Identity):
    """A layer of the user's that does not know the mean of its values."""

    limit_mean = nn.Layer.limit_mean
    limit_mean_change = nn.Layer.limit_mean_change


def test_a_layer_that_knows_no_mean():
    branch = nn.Sequential(nn.Dense(4), nn.ReLU(), Meanless())
    net = nn.Sequential(nn.Dense(4, bias_std=1.0), nn.Sum(branch, nn.Sequential(nn.Dense(4), nn.ReLU())), nn.Dense(1))
    with pytest.raises(TypeError, match="does not give the mean of its values at infinite width"):
        ntk.InfiniteNTK(net)(np.ones((2, 3)))


@pytest.mark.parametrize("name", ["cos", "gelu", "silu", "elu", "softplus", "sigmoid", "relu"])
def test_means_of_activations(name):
    """E[phi(u)] and its derivative in the variance, against mpmath's quadrature and differences of it."""
    phi = nn.mlp((1,), 1, activation=name).layers[1]
    k = np.asarray([0.0, 0.04, 1.0, 9.0, 400.0])
    mean, slope = phi.mean(k)

    def exact_mean(variance):
        s = mpmath.sqrt(variance)
        functions = {
            "cos": mpmath.cos,
            "gelu": lambda u: u * mpmath.ncdf(u),
            "silu": lambda u: u / (1 + mpmath.exp(-u)),
            "elu": lambda u: u if u > 0 else mpmath.expm1(u),
            "softplus": lambda u: mpmath.log1p(mpmath.exp(-abs(u))) + max(u, 0),
            "sigmoid": lambda u: 1 / (1 + mpmath.exp(-u)),
            "relu": lambda u: max(u, mpmath.mpf(0)),
        }
        panels = [-12, -6, -3, -1, -0.3, -0.1, 0, 0.1, 0.3, 1, 3, 6, 12]
        return mpmath.quad(lambda z: functions[name](s * z) * mpmath.npdf(z), panels)

    with mpmath.workdps(25):
        for i, variance in enumerate(k.tolist()):
            exact_value = exact_mean(mpmath.mpf(variance))
            assert abs(mean[i] - exact_value) < 1e-13 * max(1, math.sqrt(variance))
            if variance:
                h = mpmath.mpf(variance) * mpmath.mpf("1e-6")
                difference = (exact_mean(variance + h) - exact_mean(variance - h)) / (2 * h)
                assert abs(slope[i] - difference) < 1e-10 * max(1, abs(difference))


def test_means_of_the_inputs_count_where_norms_factor_out(rng):
    """x + relu(W x): the mean of relu over features meets that of x, which the angle between inputs does not tell."""
    x = 1.0 + rng.normal(size=(5, 4))
    k = x @ x.T / 4
    scale = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    cosine = np.clip(k / scale, -1, 1)
    np.fill_diagonal(cosine, 1.0)
    t = np.arccos(cosine)
    relu = scale * (np.sin(t) + (np.pi - t) * cosine) / (2 * np.pi)
    crossed = np.outer(x.mean(axis=1), np.sqrt(np.diag(k) / (2 * np.pi)))
    net = nn.Sequential(nn.Residual(nn.Sequential(nn.Dense(4), nn.ReLU())), nn.Dense(1))
    np.testing.assert_allclose(ntk.InfiniteNNGP(net)(x), k + relu + crossed + crossed.T, rtol=1e-12)
