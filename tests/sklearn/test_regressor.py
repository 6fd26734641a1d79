"""Regression against scikit-learn's own estimators on the same matrix, refits and matrix exponentials."""

import numpy as np
import pytest
from scipy.linalg import expm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel
from sklearn.kernel_ridge import KernelRidge

import ntk_array as ntk
from ntk_array.sklearn import NTKKernel, NTKRegressor

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(40, 3)), RNG.normal(size=(7, 3))
Y = np.stack([np.sin(X[:, 0]) + 0.3 * RNG.normal(size=40), 5.0 * X[:, 1] * X[:, 2]], axis=1)
NOISY = np.stack([X[:, 0], np.sin(X[:, 1])], axis=1) + 0.5 * RNG.normal(size=(40, 2))
KERNEL = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))


@pytest.mark.parametrize("y", [Y, Y[:, 0]])
@pytest.mark.parametrize("solver", ["direct", "spectrum", "conjugate_gradient"])
def test_against_kernel_ridge(y, solver):
    model = NTKRegressor(ridge=0.3, solver=solver).fit(X, y)
    mean = y.mean(axis=0)
    other = KernelRidge(alpha=0.3, kernel="precomputed").fit(KERNEL(X), y - mean)
    np.testing.assert_allclose(model.predict(X_NEW), mean + other.predict(KERNEL(X_NEW, X)), rtol=1e-9, atol=1e-9)
    assert model.ridge_ == 0.3


@pytest.mark.parametrize("y", [Y, Y[:, 0]])
def test_standard_deviations_against_a_gaussian_process(y):
    model = NTKRegressor(kernel="nngp", activation="erf", ridge=0.3).fit(X, y)
    centred = y - y.mean(axis=0)

    def process(scale):
        kernel = ConstantKernel(scale**2) * NTKKernel("nngp", activation="erf")
        return GaussianProcessRegressor(kernel, alpha=0.3 * scale**2, optimizer=None).fit(X, centred)

    # The targets are most likely at this scale of kernel and noise.
    likelihoods = [process(model.scale_ * factor).log_marginal_likelihood_value_ for factor in (0.99, 1.0, 1.01)]
    assert np.argmax(likelihoods) == 1
    mean, std = process(model.scale_).predict(X_NEW, return_std=True)
    ours = model.predict(X_NEW, return_std=True)
    np.testing.assert_allclose(ours[0], y.mean(axis=0) + mean, rtol=1e-7)
    np.testing.assert_allclose(ours[1], std, rtol=1e-6)


def test_a_finite_time_against_the_matrix_exponential():
    y = Y - Y.mean(axis=0)
    model = NTKRegressor(t=3.0, ridge=0.2).fit(X, Y)
    # d/dt c = -(2 / N) (S c - y) in coefficients c.
    s = KERNEL(X) + 0.2 * np.eye(40)
    c = np.linalg.solve(s, (np.eye(40) - expm(-2.0 * 3.0 / 40 * s)) @ y)
    np.testing.assert_allclose(model.predict(X_NEW), Y.mean(axis=0) + KERNEL(X_NEW, X) @ c, rtol=1e-8, atol=1e-9)
    with pytest.raises(ValueError, match="Ensemble"):
        model.predict(X_NEW, return_std=True)


def refitted_error(log_ridge):
    """Each row left out by a fit to the others, around the means of all targets."""
    y, k = NOISY - NOISY.mean(axis=0), KERNEL(X) + np.exp(log_ridge) * np.eye(40)
    errors = []
    for i in range(40):
        rest = np.delete(np.arange(40), i)
        errors.append(y[i] - KERNEL(X[i : i + 1], X[rest]) @ np.linalg.solve(k[np.ix_(rest, rest)], y[rest]))
    return np.sum(np.square(errors))


def minus_likelihood(log_ridge):
    """Up to constants, at the best amplitude for this ridge."""
    y, s = NOISY - NOISY.mean(axis=0), KERNEL(X) + np.exp(log_ridge) * np.eye(40)
    return 40 * 2 * np.log(np.sum(y * np.linalg.solve(s, y))) + 2 * np.linalg.slogdet(s)[1]


@pytest.mark.parametrize(
    ("ridge", "criterion"), [("leave_one_out", refitted_error), ("marginal_likelihood", minus_likelihood)]
)
def test_the_chosen_ridge_is_the_best(ridge, criterion):
    chosen = np.log(NTKRegressor(ridge=ridge).fit(X, NOISY).ridge_)
    values = [criterion(chosen + step) for step in (-3.0, -0.1, 0.0, 0.1, 3.0)]
    assert np.argmin(values) == 2


def test_any_network_and_float32():
    net = ntk.nn.Sequential(ntk.nn.Dense(1), ntk.nn.Residual(ntk.nn.mlp((1,), 1, activation="erf")), ntk.nn.Dense(1))
    x = X.astype(np.float32)
    model = NTKRegressor(network=net, ridge=0.1).fit(x, Y[:, 0])
    assert model.predict(x).dtype == np.float32
    k = ntk.InfiniteNTK(net)
    y = Y[:, 0] - Y[:, 0].mean()
    expected = Y[:, 0].mean() + k(X_NEW, X) @ np.linalg.solve(k(X) + 0.1 * np.eye(40), y)
    np.testing.assert_allclose(model.predict(X_NEW.astype(np.float32)), expected, atol=1e-4)


def test_constant_targets_and_repeated_inputs():
    np.testing.assert_allclose(NTKRegressor().fit(X, np.full(40, 7.0)).predict(X_NEW), 7.0)
    twice = np.concatenate([X, X])
    model = NTKRegressor(ridge=0.0).fit(twice, np.concatenate([Y, Y]))
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-6)
