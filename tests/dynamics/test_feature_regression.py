"""Regression on features against scikit-learn on the same features, and in closed form."""

import tracemalloc

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.dynamics import FeatureRegression
from ntk_array.kernels import features

RIDGE = 0.2
K = ntk.InfiniteNTK(nn.mlp((1, 1), 1, bias_std=0.2))


LINEAR = nn.Sequential(nn.Dense(1))
"""Its features are x / sqrt(d)."""


@pytest.fixture(params=[12, 60], ids=["few features", "more features than inputs"])
def problem(request, backend, rng, monkeypatch):
    monkeypatch.setattr(features, "NUMBERS", 1)  # small blocks
    x, y, x_new = (rng.normal(size=size) for size in ((40, request.param), (40, 2), (9, request.param)))
    kernel = ntk.RandomFeatures(ntk.InfiniteNNGP(LINEAR), 1, seed=0)
    fit = FeatureRegression(kernel, backend.array(x), backend.array(y), RIDGE)
    phi, new = (backend.host(kernel.features(backend.array(a))).astype(float) for a in (x, x_new))
    return fit, phi, backend.host(backend.array(y)).astype(float), backend.array(x_new), new


def test_predictions_and_variances(backend, problem):
    sklearn = pytest.importorskip("sklearn.linear_model", reason="the other implementation")
    fit, phi, y, x_new, new = problem
    ridge = sklearn.Ridge(alpha=RIDGE, fit_intercept=False, solver="cholesky").fit(phi, y)
    backend.close(fit.weights, ridge.coef_.T, factor=1e4)
    backend.close(fit.predict(x_new), ridge.predict(new), factor=1e4)
    backend.close(fit.predict(), ridge.predict(phi), factor=1e4)
    inverse = np.linalg.inv(phi.T @ phi + RIDGE * np.eye(phi.shape[1]))
    backend.close(fit.variance(x_new), RIDGE * np.sum(new @ inverse * new, axis=1), factor=1e4)
    other = fit.with_ridge(3.0)
    ridge = sklearn.Ridge(alpha=3.0, fit_intercept=False, solver="cholesky").fit(phi, y)
    backend.close(other.predict(x_new), ridge.predict(new), factor=1e4)
    assert (fit.ridge, other.ridge) == (RIDGE, 3.0)


def test_leave_one_out_is_a_refit(backend, problem):
    fit, phi, y, _, _ = problem
    left = fit.leave_one_out()
    for i in (0, 17):
        f, t = np.delete(phi, i, axis=0), np.delete(y, i, axis=0)
        inverse = np.linalg.inv(f.T @ f + RIDGE * np.eye(phi.shape[1]))
        backend.close(left.mean[i, :], phi[i] @ inverse @ f.T @ t, factor=1e4, scale=1.0)
        variance = RIDGE * phi[i] @ inverse @ phi[i] + RIDGE
        backend.close(left.variance[i : i + 1], [variance], factor=1e4)
    backend.close(left.mean + left.residual, y)


@pytest.mark.host
def test_gaussian_process_of_scikit_learn(rng):
    gaussian_process = pytest.importorskip("sklearn.gaussian_process", reason="the other implementation")
    x, y, x_new = rng.normal(size=(30, 4)), rng.normal(size=30), rng.normal(size=(7, 4))
    kernel = ntk.RandomFeatures(ntk.InfiniteNNGP(LINEAR), 1, seed=0)
    fit = FeatureRegression(kernel, x, y, RIDGE)
    dot = 0.25 * gaussian_process.kernels.DotProduct(0.0, sigma_0_bounds="fixed")
    other = gaussian_process.GaussianProcessRegressor(dot, alpha=RIDGE, optimizer=None).fit(x, y)
    mean, deviation = other.predict(x_new, return_std=True)
    np.testing.assert_allclose(fit.predict(x_new), mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fit.variance(x_new), deviation**2, rtol=1e-8)
    np.testing.assert_allclose(fit.log_marginal_likelihood(), other.log_marginal_likelihood_value_, rtol=1e-10)


def test_the_likelihood(backend, problem):
    fit, phi, y, _, _ = problem
    s = phi @ phi.T + RIDGE * np.eye(40)
    quadratic = np.sum(y * np.linalg.solve(s, y))
    expected = -0.5 * (quadratic + 2 * np.linalg.slogdet(s)[1] + 80 * np.log(2 * np.pi))
    backend.close(fit.log_marginal_likelihood(), expected)


@pytest.mark.host
def test_features_are_never_all_there(rng, monkeypatch):
    monkeypatch.setattr(features, "NUMBERS", 2**15)
    x, width = rng.normal(size=(50_000, 2)), 50
    kernel = ntk.RandomFeatures(ntk.InfiniteNNGP(nn.mlp((1,), 1)), width, seed=0)
    tracemalloc.start()
    try:
        fit = FeatureRegression(kernel, x, x[:, 0], RIDGE)
        fit.variance()
        fit.leave_one_out()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Leave-one-out has a few numbers for each input.
    assert peak < 0.4 * 8 * len(x) * width


@pytest.mark.host
def test_digits_in_float32(rng):
    """With a condition number of 3000 of F, whose square is beyond float32. Features are the inputs, halved exactly."""
    x = rng.normal(size=(20_000, 4)) @ np.linalg.qr(rng.normal(size=(4, 4)))[0] * [1.0, 1.0, 1.0, 3000.0]
    x = (x @ np.linalg.qr(rng.normal(size=(4, 4)))[0]).astype(np.float32)
    y, near = np.sin(x[:, 0]), ntk.RandomFeatures(ntk.InfiniteNNGP(LINEAR), 1, seed=0)
    narrow = FeatureRegression(near, x, y, 1e-2)
    wide = FeatureRegression(near, x.astype(float), y.astype(float), 1e-2)
    np.testing.assert_allclose(narrow.singular_values, wide.singular_values, rtol=3000 * 1e-6)
    assert np.max(np.abs(narrow.weights - wide.weights)) < 0.01 * np.max(np.abs(wide.weights))


@pytest.mark.host
def test_with_every_input_a_landmark_it_is_kernel_regression(rng):
    x, y, x_new = rng.normal(size=(30, 3)), rng.normal(size=30), rng.normal(size=(7, 3))
    fit = FeatureRegression(ntk.Nystroem(K, x), x, y, 1e-6, progress=True)
    expected = K(x_new, x) @ np.linalg.solve(K(x) + 1e-6 * np.eye(30), y)
    np.testing.assert_allclose(fit.predict(x_new, progress=True), expected, rtol=1e-7)
    assert fit.leave_one_out().mean.shape == (30,)


@pytest.mark.host
def test_what_is_refused(rng, monkeypatch):
    x, y = rng.normal(size=(5, 3)), rng.normal(size=5)
    kernel = ntk.Nystroem(K, x)
    with pytest.raises(TypeError, match=r"kernel must be a kernel with features, such as Nystroem\.of"):
        FeatureRegression(K, x, y, 1.0)
    with pytest.raises(ValueError, match="ridge must be positive"):
        FeatureRegression(kernel, x, y, 0.0)
    with pytest.raises(ValueError, match="y has shape"):
        FeatureRegression(kernel, x, y[:4], 1.0)
    with pytest.raises(TypeError, match="x1 has dtype float32, landmarks has float64"):
        FeatureRegression(kernel, x, y, 1.0).predict(x.astype("float32"))
    ends = ntk.Nystroem(ntk.InfiniteNNGP(nn.Sequential(nn.Dense(1), nn.ReLU())), x)
    with pytest.raises(ValueError, match="does not end in a dense layer"):
        FeatureRegression(ends, x, y, 1.0)
    with pytest.raises(np.linalg.LinAlgError, match="fit a target up to rounding"):
        FeatureRegression(kernel, x, y, 1e-15).leave_one_out()
    with pytest.warns(RuntimeWarning, match="below what rounding of the features does"):
        FeatureRegression(kernel, x, y, 1e-40).predict(x)
    monkeypatch.setattr("ntk_array.gram.memory.available", lambda here: 100)
    with pytest.raises(MemoryError, match="regression on 5 features takes"):
        FeatureRegression(kernel, x, y, 1.0)
