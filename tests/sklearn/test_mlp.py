"""Perceptrons of scikit-learn as networks: predictions, and Jacobians by finite differences of predictions."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

import ntk_array as ntk
from ntk_array.sklearn import from_sklearn


def fitted(estimator, y):
    x = np.random.default_rng(0).normal(size=(40, 3))
    return estimator.set_params(
        hidden_layer_sizes=(6, 5), solver="lbfgs", max_iter=10000, tol=1e-2, random_state=0
    ).fit(x, y(x)), x


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_regressor(activation):
    mlp, x = fitted(
        MLPRegressor(activation=activation, alpha=0.1), lambda x: np.stack([x[:, 0], np.sin(x[:, 1])], axis=1)
    )
    net, params = from_sklearn(mlp)
    np.testing.assert_allclose(net(params, x), mlp.predict(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_classifier(classes):
    mlp, x = fitted(MLPClassifier(alpha=0.1), lambda x: np.digitize(x[:, 0], [0.0, 0.5][: classes - 1]))
    net, params = from_sklearn(mlp)
    logits = net(params, x)
    if classes == 2:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(p / p.sum(axis=1, keepdims=True), mlp.predict_proba(x), rtol=1e-9, atol=1e-12)


def test_kernel_is_the_product_of_differences_of_predictions():
    mlp, x = fitted(MLPRegressor(activation="tanh", alpha=0.1), lambda x: np.sin(x[:, 0]))
    net, params = from_sklearn(mlp)
    kernel, columns, h = ntk.EmpiricalNTK(net, params, outputs="trace")(x[:4]), [], 1e-5
    for array in (*mlp.coefs_, *mlp.intercepts_):
        for index in np.ndindex(array.shape):
            values, before = [], array[index]
            for change in (h, -h):
                array[index] = before + change
                values.append(mlp.predict(x[:4]))
            array[index] = before
            columns.append((values[0] - values[1]) / (2 * h))
    np.testing.assert_allclose(kernel, np.asarray(columns).T @ np.asarray(columns), rtol=1e-7, atol=1e-8)


def test_errors():
    with pytest.raises(NotFittedError):
        from_sklearn(MLPRegressor())
    with pytest.raises(TypeError, match="of a pipeline give the last step"):
        from_sklearn(make_pipeline(MLPRegressor()))
