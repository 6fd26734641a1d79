"""The kernel inside scikit-learn's Gaussian processes."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel

import ntk_array as ntk
from ntk_array.sklearn import NTKKernel

pytestmark = pytest.mark.host

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.sin(2.0 * X[:, 0])
MANY = np.random.default_rng(1).normal(size=(60, 3))
NOISY = np.sin(MANY[:, 0]) + 0.3 * np.random.default_rng(2).normal(size=60)
KERNELS = [
    NTKKernel(),
    NTKKernel("nngp", 1, "erf", 1.2, 0.4),
    NTKKernel(bias_std=0.0),
    ConstantKernel(0.7) * NTKKernel(activation="gelu", weight_std_bounds="fixed") + WhiteKernel(0.1),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradients_are_difference_quotients(kernel):
    """Through scikit-learn's own way of changing hyper-parameters."""
    values, slopes = kernel(X, eval_gradient=True)
    assert slopes.shape == (*values.shape, len(kernel.theta))
    for i, step in enumerate(1e-4 * np.eye(len(kernel.theta))):
        up, down = (kernel.clone_with_theta(kernel.theta + sign * step)(X) for sign in (1, -1))
        np.testing.assert_allclose(slopes[..., i], (up - down) / 2e-4, rtol=1e-6, atol=1e-6 * values.max())


def test_gradients_against_formulas():
    kernel = NTKKernel("ntk", 3, "erf", 1.2, 0.4)
    exact = ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1, activation="erf", weight_std=1.2, bias_std=0.4)).gradient(X)
    exact = np.stack([exact["log_bias_std"], exact["log_weight_std"]], axis=-1)
    np.testing.assert_allclose(kernel(X, eval_gradient=True)[1], exact, atol=1e-9 * exact.max())


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_the_protocol_of_kernels(kernel):
    np.testing.assert_allclose(kernel.diag(X), np.diagonal(kernel(X)), rtol=1e-12)
    assert not kernel.is_stationary()
    for same in (clone(kernel), kernel.clone_with_theta(kernel.theta), pickle.loads(pickle.dumps(kernel))):
        np.testing.assert_allclose(same(X, X[:2]), kernel(X, X[:2]), rtol=1e-12)
    assert clone(kernel) == kernel
    assert kernel != NTKKernel(depth=5)
    with pytest.raises(ValueError, match="only be evaluated when Y is None"):
        NTKKernel()(X, X, eval_gradient=True)


def test_hyperparameters_are_found():
    process = GaussianProcessRegressor(NTKKernel(activation="erf", bias_std_bounds="fixed") + WhiteKernel(0.1)).fit(
        MANY, NOISY
    )
    assert process.log_marginal_likelihood_value_ > process.log_marginal_likelihood(process.kernel.theta)
    found = process.kernel_.k1
    net = ntk.nn.mlp((1, 1), 1, activation="erf", weight_std=found.weight_std, bias_std=found.bias_std)
    ours = ntk.dynamics.GaussianProcess(ntk.InfiniteNTK(net), MANY, NOISY, noise=process.kernel_.k2.noise_level)
    np.testing.assert_allclose(process.predict(X[:3] + 0.1), ours.predict(X[:3] + 0.1).mean, rtol=1e-5)


def test_a_classifier():
    model = GaussianProcessClassifier(NTKKernel(activation="erf", bias_std=0.0)).fit(X, Y > 0)
    assert model.predict_proba(X).shape == (12, 2)
