"""Leave-one-out of every kind of kernel against literal refits, and the derivative of its error."""

import numpy as np
import pytest
from scipy.linalg import solve

from ntk_array.dynamics import GaussianProcess, GradientFlow
from ntk_array.dynamics.leave_one_out import error_derivative
from ntk_array.function_space import EmpiricalMeasure, Huber, SquaredError

from ..backends import backend_named
from .test_gaussian_process import assert_near
from .test_gradient_flow import WEIGHTS, N, as_full, data, kernel_of_kind, start, start_vector

SETTINGS = [
    # kind, ridge, with f_0, targets as (N,)
    ("scalar", 0.0, False, False),
    ("scalar", 0.3, True, True),
    ("classwise", 0.0, True, False),
    ("classwise", 0.3, False, False),
    ("full", 0.0, False, False),
    ("full", 0.3, True, False),
    ("full", 0.02, True, True),
]


def literal(block, y, ridge):
    """The prediction of each row of y (N, C) by kernel regression on the others, with a block (N, C, N, C)."""
    predictions = []
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        others = y[rest].ravel()
        gram = block[rest][:, :, rest].reshape(others.size, others.size) + ridge * np.eye(others.size)
        predictions.append(block[i][:, rest].reshape(-1, others.size) @ solve(gram, others, assume_a="pos"))
    return np.stack(predictions)


def refits(kind, ridge, with_f0, vector):
    x, _, y = data(vector)
    outputs = 1 if vector else y.shape[1]
    block = as_full(kind, kernel_of_kind(kind, np.asarray, outputs)(x), outputs)
    f0 = start(x)[:, :outputs] if with_f0 else np.zeros((N, outputs))
    return (f0 + literal(block, y.reshape(N, outputs) - f0, ridge)).reshape(y.shape)


def flow_of(backend, kind, ridge, with_f0, vector):
    x, _, y = (backend.array(part) for part in data(vector))
    kernel = kernel_of_kind(kind, backend.array, 1 if vector else y.shape[1])
    f0 = (start_vector if vector else start) if with_f0 else None
    return GradientFlow(kernel, SquaredError(EmpiricalMeasure(x), y), f0, ridge)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_is_a_refit_without_each_input(backend, setting):
    left_out = flow_of(backend, *setting).leave_one_out()
    expected, y = refits(*setting), data(setting[-1])[2]
    assert_near(backend, left_out.mean, expected)
    assert_near(backend, left_out.residual, y - expected)
    assert_near(backend, left_out.error, np.sum((y - expected) ** 2) / N)
    assert left_out.mean.dtype == left_out.error.dtype == backend.dtype
    assert left_out.error.shape == ()
    assert left_out.variance is None


@pytest.mark.host
def test_the_refits_are_flows_with_the_same_ridge():
    """Of whatever convention of the squared error: it rescales time only."""
    x, _, y = data()
    kernel = kernel_of_kind("full", np.asarray)
    for convention in ("mean", "half_sum", "half_mean"):
        for i in range(N):
            rest = np.arange(N) != i
            cost = SquaredError(EmpiricalMeasure(x[rest]), y[rest], convention=convention)
            refit = GradientFlow(kernel, cost, start, ridge=0.3).predict(x[i : i + 1])[0]
            whole = GradientFlow(kernel, SquaredError(EmpiricalMeasure(x), y, convention=convention), start, ridge=0.3)
            np.testing.assert_allclose(whole.leave_one_out().mean[i], refit, rtol=0, atol=1e-12)


def test_a_gaussian_process_leaves_out_alike(backend):
    flow = flow_of(backend, "scalar", 0.3, False, False)
    process = GaussianProcess(flow.kernel, flow.cost.p_in.x, flow.cost.y, noise=0.3)
    backend.close(process.leave_one_out().mean, flow.leave_one_out().mean)
    backend.close(process.leave_one_out().error, flow.leave_one_out().error)


def test_one_input_is_predicted_by_f0(backend):
    x, y = backend.array([[1.0, 2.0, 3.0]]), backend.array([[0.5, -1.0]])
    kernel = kernel_of_kind("full", backend.array)
    flow = GradientFlow(kernel, SquaredError(EmpiricalMeasure(x), y), start, ridge=0.1)
    backend.close(flow.leave_one_out().mean, start(x), scale=1.0)


@pytest.mark.parametrize("kind", ["scalar", "classwise", "full"])
def test_singular_matrices_have_no_closed_form(backend, kind):
    x, _, y = data()
    twice, targets = (backend.array(np.concatenate([part, part])) for part in (x, y))
    cost = SquaredError(EmpiricalMeasure(twice), targets)
    with pytest.raises(np.linalg.LinAlgError, match="no closed form; drop repeated inputs or give a larger ridge"):
        GradientFlow(kernel_of_kind(kind, backend.array), cost).leave_one_out()
    residual = GradientFlow(kernel_of_kind(kind, backend.array), cost, ridge=0.1).leave_one_out().residual
    assert np.isfinite(backend.host(residual)).all()


def test_the_derivative_of_the_error_is_its_difference_quotient(backend, rng):
    """Along a direction of S of no structure; Richardson's difference of the error with a dense inverse."""
    n = 7
    root, direction, y = rng.normal(size=(n, n + 4)), rng.normal(size=(n, n)), rng.normal(size=(n, 2))
    s, direction = root @ root.T / n + 0.3 * np.eye(n), direction + direction.T

    def error(step):
        inverse = np.linalg.inv(s + step * direction)
        return np.sum((inverse @ y / np.diag(inverse)[:, None]) ** 2) / n

    def slope(h):
        return (error(h) - error(-h)) / (2 * h)

    inverse = np.linalg.inv(s)
    parts = (inverse, inverse @ y, direction)
    got = error_derivative(*(backend.array(part) for part in parts))
    assert got.shape == ()
    assert_near(backend, got, (4 * slope(1e-3) - slope(2e-3)) / 3, 1e-8)


@pytest.mark.host
def test_a_flow_with_another_ridge_is_one_made_with_it(monkeypatch):
    flow = flow_of(backend_named("numpy"), "full", 0.0, True, False)
    made = flow_of(backend_named("numpy"), "full", 0.3, True, False).with_solver("spectrum")
    flow, known = flow.with_solver("spectrum"), made.spectrum
    assert flow.spectrum.rank == known.rank
    monkeypatch.setattr("ntk_array.solve.spectrum.decompose", None)
    other = flow.with_ridge(0.3)
    assert (flow.ridge, other.ridge, other.spectrum) == (0.0, 0.3, flow.spectrum)
    np.testing.assert_array_equal(other.predict(t=[0.5, 20.0]), made.predict(t=[0.5, 20.0]))
    np.testing.assert_array_equal(other.leave_one_out().mean, made.leave_one_out().mean)
    with pytest.raises(ValueError, match="ridge must be finite and not negative"):
        flow.with_ridge(-0.1)


@pytest.mark.host
def test_other_costs_and_weights_are_refused():
    x, _, y = data()
    kernel = kernel_of_kind("scalar", np.asarray)
    with pytest.raises(TypeError, match="SquaredError only, got Huber"):
        GradientFlow(kernel, Huber(EmpiricalMeasure(x), y)).leave_one_out()
    with pytest.raises(ValueError, match=r"equal weights only.*EmpiricalMeasure\(x\) without weights"):
        GradientFlow(kernel, SquaredError(EmpiricalMeasure(x, WEIGHTS), y)).leave_one_out()
