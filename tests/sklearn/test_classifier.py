"""Classification: labels of any kind, scores of least squares, and probabilities from refits."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import log_loss

import ntk_array as ntk
from ntk_array.sklearn import NTKClassifier

pytestmark = pytest.mark.host

X, NUMBERS = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
TRAIN, TEST = slice(0, None, 3), slice(1, None, 3)
KERNEL = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))


@pytest.mark.parametrize(
    "names",
    [
        np.asarray(["setosa", "versicolor", "virginica"]),
        np.asarray(["b", "a", "c"], dtype=object),
        np.asarray([7, -3, 1000]),
        np.asarray([1.0, 2.0, 3.0]),
        np.asarray([True, False, False]),
    ],
    ids=str,
)
def test_labels_of_any_kind(names):
    labels = names[NUMBERS]
    model = NTKClassifier(ridge=0.1).fit(X[TRAIN], labels[TRAIN])
    assert model.score(X[TEST], labels[TEST]) >= 0.9
    assert model.classes_.tolist() == sorted(set(names.tolist()))
    assert model.predict(X[TEST]).dtype == labels.dtype
    probabilities = model.predict_proba(X[TEST])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X[TEST]))
    np.testing.assert_allclose(model.predict_log_proba(X[TEST]), np.log(probabilities))
    # Far away scores are large, and exp(-5000) is 0.
    scores = model.inverse_temperature_ * model.decision_function(1e4 * X[TEST][:2])
    scores = np.stack([-scores / 2, scores / 2], axis=1) if scores.ndim == 1 else scores
    logarithms = scores - logsumexp(scores, axis=1, keepdims=True)
    assert logarithms.min() < -5000
    np.testing.assert_allclose(model.predict_log_proba(1e4 * X[TEST][:2]), logarithms, atol=1e-11)


def test_several_binary_labels():
    labels = np.stack([NUMBERS == 0, NUMBERS != 1], axis=1).astype(int)
    model = NTKClassifier(ridge=0.1).fit(X[TRAIN], labels[TRAIN])
    np.testing.assert_array_equal(model.predict(X[TEST]), model.predict_proba(X[TEST]) > 0.5)
    assert (model.predict(X[TEST]) == labels[TEST]).mean() > 0.9


def left_out_scores(codes, ridge):
    """From refits with the means of all targets."""
    scores = np.empty_like(codes)
    for i in range(len(codes)):
        rest = np.delete(np.arange(len(codes)), i)
        x = X[TRAIN]
        fit = KernelRidge(alpha=ridge, kernel="precomputed").fit(KERNEL(x[rest]), (codes - codes.mean(axis=0))[rest])
        scores[i] = codes.mean(axis=0) + fit.predict(KERNEL(x[i : i + 1], x[rest]))
    return scores


@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_against_refits(classes):
    labels = np.minimum(NUMBERS[TRAIN], classes - 1)
    codes = np.eye(3)[labels] if classes == 3 else 2.0 * labels[:, None] - 1.0
    scores = left_out_scores(codes, 0.5)
    if classes == 2:
        scores = np.concatenate([-0.5 * scores, 0.5 * scores], axis=1)
    # The smoothed targets of Platt 1999, written out.
    targets = np.empty((len(labels), classes))
    for i, c in enumerate(labels):
        rest = 1 / (np.sum(labels == c) + 2)
        targets[i] = [1 - rest if k == c else rest / (classes - 1) for k in range(classes)]

    def loss(beta):
        logits = beta * scores
        return -np.mean(np.sum(targets * (logits - logsumexp(logits, axis=1, keepdims=True)), axis=1))

    best = minimize_scalar(loss, bounds=(0.01, 100.0), method="bounded", options={"xatol": 1e-9}).x
    found = NTKClassifier(ridge=0.5).fit(X[TRAIN], labels).inverse_temperature_
    np.testing.assert_allclose(found, best, rtol=1e-3)


@pytest.mark.parametrize(
    "options",
    [{"ridge": "leave_one_out"}, {"ridge": 0.1, "solver": "conjugate_gradient"}, {"ridge": 0.0, "t": 100.0}],
    ids=["closed form", "iterative", "stopped early"],
)
def test_probabilities_of_noisy_labels_are_honest(options):
    """A logistic model: its own probabilities have the least log loss that there can be."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 2))
    truth = 1.0 / (1.0 + np.exp(-2.0 * x[:, 0]))
    labels = rng.random(600) < truth
    model = NTKClassifier(**options).fit(x[:200], labels[:200])
    ours, best = (log_loss(labels[200:], p) for p in (model.predict_proba(x[200:]), truth[200:]))
    assert ours < best + 0.06


def test_one_class():
    with pytest.raises(ValueError, match="one class only, 3"):
        NTKClassifier().fit(X[:5], [3] * 5)
