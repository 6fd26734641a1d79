"""Gaussian processes with class-wise and full kernels, against dense formulas of one matrix of all outputs."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import ntk_array as ntk
from ntk_array.dynamics import GaussianProcess

from .test_gaussian_process import assert_near
from .test_gradient_flow import as_full, kernel_of_kind
from .test_leave_one_out import literal

N, M, C, NOISE = 8, 3, 2, 0.3
KINDS = ("classwise", "full")


def data():
    rng = np.random.default_rng(7)
    return rng.normal(size=(N, 3)), rng.normal(size=(M, 3)), rng.normal(size=(N, C))


def process(backend, kind, solver="direct", noise=NOISE):
    x, x_new, y = (backend.array(part) for part in data())
    noise = noise if isinstance(noise, float) else backend.array(noise)
    return GaussianProcess(kernel_of_kind(kind, backend.array), x, y, noise, solver), x_new


def dense(kind, noise=NOISE):
    """The mean (M, C) and covariance (M, C, M, C), from a matrix of N C rows on the host."""
    x, x_new, y = data()
    kernel = kernel_of_kind(kind, np.asarray)
    gram, cross, prior = (
        as_full(kind, kernel(one, two), C).reshape(C * len(one), C * len(two))
        for one, two in ((x, x), (x_new, x), (x_new, x_new))
    )
    s = gram + np.diag(np.repeat(np.broadcast_to(noise, (N,)), C))
    mean = cross @ np.linalg.solve(s, y.ravel())
    covariance = prior - cross @ np.linalg.solve(s, cross.T)
    return mean.reshape(M, C), covariance.reshape(M, C, M, C), s


@pytest.mark.parametrize("noise", [NOISE, np.linspace(0.1, 0.4, N)], ids=["one noise", "each its own"])
@pytest.mark.parametrize("solver", ["cholesky", "spectrum"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_posterior_is_that_of_one_matrix_of_all_outputs(backend, kind, solver, noise):
    gp, x_new = process(backend, kind, solver, noise)
    mean, covariance, _ = dense(kind, noise)
    got = gp.predict(x_new)
    assert_near(backend, got.mean, mean)
    assert_near(backend, as_full(kind, backend.host(got.covariance), C), covariance)
    variances = np.einsum("icic->ic", covariance)
    assert_near(backend, got.variance, variances)
    assert_near(backend, gp.predict(x_new, "diagonal").variance, variances)
    # On the sample, by another way than at new inputs that are equal to it.
    at_sample, at_copy = gp.predict(), gp.predict(backend.array(data()[0]))
    assert_near(backend, at_sample.mean, backend.host(at_copy.mean))
    assert_near(backend, at_sample.covariance, backend.host(at_copy.covariance))


@pytest.mark.parametrize("kind", KINDS)
def test_the_likelihood_and_its_slopes_are_those_of_scipy(backend, kind):
    gp, _ = process(backend, kind)
    _, _, s = dense(kind)
    flat, gram = data()[2].ravel(), s - NOISE * np.eye(N * C)

    def value(log_noise, log_amplitude):
        matrix = np.exp(log_amplitude) * gram + NOISE * np.exp(log_noise) * np.eye(N * C)
        return multivariate_normal(np.zeros(N * C), matrix).logpdf(flat)

    got, slopes = gp.log_marginal_likelihood(gradient=True)
    h = 1e-3
    assert_near(backend, got, value(0.0, 0.0))
    assert_near(backend, slopes["log_noise"], (value(h, 0.0) - value(-h, 0.0)) / (2 * h), 1e-5)
    assert_near(backend, slopes["log_amplitude"], (value(0.0, h) - value(0.0, -h)) / (2 * h), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_leave_one_out_is_a_refit(backend, kind):
    gp, _ = process(backend, kind)
    x, _, y = data()
    block = as_full(kind, kernel_of_kind(kind, np.asarray)(x), C)
    expected = literal(block, y, NOISE)
    variances = np.empty((N, C))
    for i in range(N):
        rest = np.arange(N) != i
        others = block[rest][:, :, rest].reshape(C * (N - 1), C * (N - 1)) + NOISE * np.eye(C * (N - 1))
        cross = block[i][:, rest].reshape(C, -1)
        variances[i] = np.diag(block[i, :, i] + NOISE * np.eye(C) - cross @ np.linalg.solve(others, cross.T))
    found = gp.leave_one_out()
    assert_near(backend, found.mean, expected)
    assert_near(backend, found.variance, variances)
    with pytest.raises(ValueError, match="blocks for each output"):
        gp.leave_one_out_gradient(["log_amplitude"])


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_covariance_of_all_outputs(backend, kind):
    gp, x_new = process(backend, kind)
    mean, covariance, _ = dense(kind)
    draws = backend.host(gp.sample(x_new, 4000, seed=1)).reshape(4000, M * C).astype("float64")
    scale = np.sqrt(np.diag(covariance.reshape(M * C, M * C)).max())
    assert np.abs(draws.mean(axis=0) - mean.ravel()).max() < 5 * scale / 4000**0.5
    assert np.abs(np.cov(draws.T) - covariance.reshape(M * C, M * C)).max() < 8 * scale**2 / 4000**0.5


def test_vector_targets_have_vector_variances(backend):
    x, x_new, y = (backend.array(part) for part in data())
    net = ntk.nn.mlp((30,), 1)
    kernel = ntk.EmpiricalNTK(net, net.init(0, like=x))
    gp = GaussianProcess(kernel, x, y[:, 0], NOISE)
    trace = GaussianProcess(ntk.EmpiricalNTK(net, kernel.params, outputs="trace"), x, y[:, 0], NOISE)
    for how in ("full", "diagonal"):
        assert_near(backend, gp.predict(x_new, how).variance, backend.host(trace.predict(x_new, how).variance))
    assert gp.leave_one_out().variance.shape == (N,)
    assert gp.sample(x_new, 2, seed=0).shape == (2, M)
