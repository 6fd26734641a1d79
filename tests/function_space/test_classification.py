"""Cross-entropy and logistic cost: extreme logits against mpmath, one against the other, and bad labels."""

import mpmath
import numpy as np
import pytest

from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, Logistic

N = 4
LABELS = np.asarray([0, 2, 1, 2])


def p_in(backend, n=N):
    return EmpiricalMeasure(backend.array(np.arange(float(n))[:, None]))


def exact(f, y):
    """Cost and derivative of one example in 50 digits."""
    with mpmath.workdps(50):
        total = mpmath.fsum(mpmath.exp(mpmath.mpf(v)) for v in f)
        p = [mpmath.exp(mpmath.mpf(v)) / total for v in f]
        cost = -mpmath.fsum(t * mpmath.log(q) for t, q in zip(y, p, strict=True) if t)
        return float(cost), [float(q - t) for q, t in zip(p, y, strict=True)]


@pytest.mark.parametrize(
    "f",
    [
        [0.0, 0.0, 0.0],
        [30.0, 0.0, -5.0],
        [60.0, 60.0, 60.0],
        [0.0, 60.0, 60.0],
        [1e4, 1e4 - 20, 0.0],
        [-80.0, 0.0, 1.0],
    ],
    ids=str,
)
@pytest.mark.parametrize("label", [0, 1])
def test_relative_accuracy_at_extreme_logits(backend, f, label):
    """Also where p is 1 but for rounding: the derivative there says how fast training still is."""
    cost = CrossEntropy(p_in(backend, 1), backend.array([label]), classes=3)
    value, d = exact(f, [1.0 if c == label else 0.0 for c in range(3)])
    tiny = float(np.finfo(backend.dtype_name).tiny)
    rtol = 20 * backend.eps
    # exp(-80) has 80 eps of relative error: logits are rounded before they are exponentiated.
    spread = max(1.0, max(f) - min(v for v in f if max(f) - v < 100))
    np.testing.assert_allclose(float(backend.host(cost(backend.array([f])))), value, rtol=rtol * spread, atol=tiny)
    representer = backend.host(cost.derivative(backend.array([f])).representer)
    np.testing.assert_allclose(representer, [d], rtol=rtol * spread, atol=tiny)


@pytest.mark.parametrize("margin", [-1e4, -40.0, -1.0, 0.0, 1.0, 40.0, 80.0])
def test_logistic_at_extreme_margins(backend, margin):
    cost = Logistic(p_in(backend, 1), backend.array([1]))
    value, d = exact([0.0, margin], [0.0, 1.0])
    rtol = 20 * backend.eps * max(1.0, abs(margin) if abs(margin) < 100 else 1.0)
    np.testing.assert_allclose(float(backend.host(cost(backend.array([margin])))), value, rtol=rtol)
    np.testing.assert_allclose(backend.host(cost.derivative(backend.array([margin])).representer), [d[1]], rtol=rtol)


def test_logistic_is_the_cross_entropy_of_a_difference_of_two_logits(backend, rng):
    f, labels = rng.normal(size=(N, 2)), np.asarray([0, 1, 1, 0])
    two, one = CrossEntropy(p_in(backend), backend.array(labels)), Logistic(p_in(backend), backend.array(labels))
    difference = backend.array(f[:, 1] - f[:, 0])
    backend.close(one(difference), two(backend.array(f)), factor=20)
    d = backend.host(two.derivative(backend.array(f)).representer)
    backend.close(one.derivative(difference).representer, d[:, 1], factor=20)
    backend.close(-d[:, 0], d[:, 1], factor=20)


def test_labels_and_one_hot_probabilities_are_the_same(backend, rng):
    f = backend.array(rng.normal(size=(N, 3)))
    labels, hot = CrossEntropy(p_in(backend), backend.array(LABELS)), np.eye(3)[LABELS]
    assert not labels.vector
    backend.close(labels.y, hot, factor=0)
    for y in (hot, hot.astype(int), hot.astype(bool)):
        backend.close(CrossEntropy(p_in(backend), backend.array(y))(f), labels(f), factor=0)
    small = CrossEntropy(p_in(backend), backend.array(LABELS.astype(np.int8)))
    backend.close(small.y, hot, factor=0)


def test_binary_labels_of_every_form_are_signs(backend):
    truth = np.asarray([True, False, False, True])
    for y in (truth, truth.astype(int), truth.astype(float), 2 * truth.astype(int) - 1, 2.0 * truth - 1.0):
        cost = Logistic(p_in(backend), backend.array(y))
        backend.close(cost.y, np.asarray([[1.0], [-1.0], [-1.0], [1.0]]), factor=0)
        assert cost.vector
    assert not Logistic(p_in(backend), backend.array(np.stack([truth, truth], axis=1))).vector


@pytest.mark.parametrize(
    ("y", "classes", "error", "message"),
    [
        ([0.0, 1.0, 2.0, 1.0], None, TypeError, r"labels \(N,\) are integers: cast"),
        ([0, 1, 3, 1], 3, ValueError, r"labels from 0 to 3; for 3 classes labels are 0 .. 2"),
        ([0, -1, 1, 1], None, ValueError, r"labels from -1 to 1; for 2 classes labels are 0 .. 1"),
        ([0, 0, 0, 0], None, ValueError, "one class only"),
        ([0, 1], None, ValueError, r"y has shape \(2,\); expected \(4,\)"),
        ([[0], [1], [1], [0]], None, ValueError, "two columns or more"),
        ([[0.5, 0.5]] * 3 + [[0.5, 0.6]], None, ValueError, "1 rows .* first in row 3.*divide each row by its sum"),
        ([[1.5, -0.5]] * 4, None, ValueError, "4 rows .* must not be negative"),
        ([[0.5, 0.5]] * 4, 3, ValueError, "y has 2 columns and classes is 3"),
        ([[0.5, 0.5]] * 4, 0, ValueError, "classes must be a whole number of at least 1"),
        ([[np.nan, 0.5]] * 4, None, ValueError, "y has NaN"),
    ],
    ids=str,
)
def test_bad_targets_of_the_cross_entropy(backend, y, classes, error, message):
    with pytest.raises(error, match=message):
        CrossEntropy(p_in(backend), backend.array(y), classes)


@pytest.mark.parametrize(
    "y", [[0.5, 1.0, 0.0, 1.0], [-1, 0, 1, 1], [0, 1, 2, 1], [[0.1], [0.9], [0.0], [1.0]]], ids=str
)
def test_bad_binary_labels(backend, y):
    with pytest.raises(ValueError, match="other values than the binary labels"):
        Logistic(p_in(backend), backend.array(y))


@pytest.mark.host
def test_what_is_no_array_or_of_another_dtype_is_refused():
    sample = EmpiricalMeasure(np.zeros((2, 1)))
    for cost in (CrossEntropy, Logistic):
        with pytest.raises(TypeError, match="y is a list"):
            cost(sample, [0, 1])
        with pytest.raises(TypeError, match="p_in must be an EmpiricalMeasure"):
            cost(np.zeros((2, 1)), np.asarray([0, 1]))
        with pytest.raises(TypeError, match="y has float32"):
            cost(sample, np.asarray([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32))


@pytest.mark.host
def test_integer_labels_take_the_dtype_of_the_inputs():
    sample = EmpiricalMeasure(np.zeros((2, 1), dtype=np.float32))
    for cost in (CrossEntropy, Logistic):
        assert cost(sample, np.asarray([0, 1])).y.dtype == np.float32
