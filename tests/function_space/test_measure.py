"""Inner product, norm and functionals of the input distribution, against explicit sums in NumPy."""

import numpy as np
import pytest

from ntk_array.function_space import EmpiricalMeasure, Functional

N = 6
WEIGHTS = np.asarray([0.05, 0.3, 0.1, 0.25, 0.2, 0.1])


@pytest.fixture(params=[False, True], ids=["uniform", "weighted"])
def weighted(request):
    return request.param


def measure(backend, x, weighted):
    return EmpiricalMeasure(backend.array(x), backend.array(WEIGHTS) if weighted else None)


def mean(values, weighted):
    """The expectation of one number a point."""
    return float(np.sum(values * (WEIGHTS if weighted else 1 / N)))


def test_inner_product_norm_and_functional_are_weighted_sums(backend, rng, weighted):
    x, f, g = rng.normal(size=(N, 2)), rng.normal(size=(N, 3)), rng.normal(size=(N, 3))
    p_in = measure(backend, x, weighted)
    expected = mean((f * g).sum(axis=1), weighted)
    size = mean(np.abs(f * g).sum(axis=1), weighted)
    backend.close(p_in.inner(backend.array(f), backend.array(g)), expected, factor=20, scale=size)
    norm = np.sqrt(mean((f * f).sum(axis=1), weighted))
    backend.close(p_in.norm(backend.array(f)), norm, factor=20)
    mu = p_in.functional(backend.array(f))
    assert isinstance(mu, Functional)
    backend.close(mu(backend.array(g)), expected, factor=20, scale=size)


def test_values_of_one_output_may_leave_out_its_axis(backend, rng, weighted):
    x, f, g = rng.normal(size=(N, 2)), rng.normal(size=N), rng.normal(size=(N, 1))
    p_in = measure(backend, x, weighted)
    expected = mean(f * g[:, 0], weighted)
    backend.close(p_in.inner(backend.array(f), backend.array(g)), expected, factor=20, scale=1.0)
    backend.close(p_in.functional(backend.array(f))(backend.array(g)), expected, factor=20, scale=1.0)


def test_callables_are_evaluated_on_the_sample(backend, rng, weighted):
    x = rng.normal(size=(N, 2))
    p_in = measure(backend, x, weighted)
    expected = mean(x[:, 0] ** 2 * x[:, 1], weighted)
    backend.close(p_in.inner(lambda z: z[:, 0] ** 2, lambda z: z[:, 1]), expected, factor=20, scale=5.0)
    backend.close(p_in.functional(lambda z: z[:, 1])(lambda z: z[:, 0] ** 2), expected, factor=20, scale=5.0)
    backend.close(p_in.norm(lambda z: z), np.sqrt(mean((x**2).sum(axis=1), weighted)), factor=20)


def test_the_norm_sees_the_sample_only(backend):
    p_in = EmpiricalMeasure(backend.array([[0.0], [1.0]]))
    backend.close(p_in.norm(lambda z: z * (1.0 - z)), 0.0, scale=1.0, factor=0)


def test_the_measure_has_a_length_and_weights_that_sum_to_one(backend, rng, weighted):
    p_in = measure(backend, rng.normal(size=(N, 2)), weighted)
    assert len(p_in) == N
    assert p_in.uniform is not weighted
    assert p_in.column_weights.shape == (N, 1)
    backend.close(backend.xp.sum(p_in.column_weights), 1.0, factor=4)


def test_equal_weights_are_the_uniform_measure(backend, rng):
    x, f = backend.array(rng.normal(size=(4, 2))), backend.array(rng.normal(size=(4, 2)))
    weighted = EmpiricalMeasure(x, backend.array(np.full(4, 0.25)))
    backend.close(weighted.norm(f), EmpiricalMeasure(x).norm(f), factor=4)


@pytest.mark.parametrize(
    "weights",
    [[0.5, 0.6, 0.1], [0.5, 0.5, 0.0], [1.2, -0.1, -0.1], [[0.2], [0.3], [0.5]], [0.5, 0.25, 0.25 - 1e-4]],
    ids=["sum above 1", "zero", "negative", "columns", "sum below 1"],
)
def test_bad_weights_are_refused(backend, weights):
    with pytest.raises(ValueError, match="weights must be"):
        EmpiricalMeasure(backend.array(np.zeros((3, 1))), backend.array(weights))


def test_weights_of_another_length_are_refused(backend):
    with pytest.raises(ValueError, match="weights has shape"):
        EmpiricalMeasure(backend.array(np.zeros((3, 1))), backend.array([0.5, 0.5]))


def test_weights_of_another_dtype_are_refused():
    with pytest.raises(TypeError, match="weights has float32"):
        EmpiricalMeasure(np.zeros((2, 1)), np.asarray([0.5, 0.5], dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_inputs_must_be_finite(backend, bad):
    x = np.zeros((3, 2))
    x[1, 0] = bad
    with pytest.raises(ValueError, match=r"x has NaN or infinity .* row 1"):
        EmpiricalMeasure(backend.array(x))


def test_inputs_need_a_feature_axis(backend):
    with pytest.raises(ValueError, match=r"x has shape \(3,\)"):
        EmpiricalMeasure(backend.array(np.zeros(3)))


def test_functions_of_other_shapes_are_refused(backend):
    p_in = EmpiricalMeasure(backend.array(np.zeros((3, 2))))
    with pytest.raises(ValueError, match=r"f has values of shape \(4,\)"):
        p_in.norm(backend.array(np.zeros(4)))
    with pytest.raises(ValueError, match="g has values of shape"):
        p_in.inner(backend.array(np.zeros(3)), lambda z: backend.array(np.zeros((3, 1, 1))))
    with pytest.raises(ValueError, match=r"f has values \(3, 2\) on the sample, g has \(3, 1\)"):
        p_in.inner(backend.array(np.zeros((3, 2))), backend.array(np.zeros(3)))
    with pytest.raises(TypeError, match="f is a list"):
        p_in.norm([0.0, 0.0, 0.0])
