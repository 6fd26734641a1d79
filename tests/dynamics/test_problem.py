"""The problem under all dynamics: weights, stacks of every kind, f_0 and refusals."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import Ensemble, GaussianProcess, GradientDescent, GradientFlow, max_step
from ntk_array.dynamics.problem import KernelProblem
from ntk_array.function_space import EmpiricalMeasure, Huber, SquaredError

from .test_gradient_flow import WEIGHTS, C, M, N, as_full, data, kernel_of_kind, start, start_vector

KINDS = ("scalar", "classwise", "full")


def problem_of(backend, kind, weighted, f0=None):
    x, _, y = (backend.array(part) for part in data())
    p_in = EmpiricalMeasure(x, backend.array(WEIGHTS) if weighted else None)
    return KernelProblem.of(kernel_of_kind(kind, backend.array), SquaredError(p_in, y), f0, 0.3)


def roots(weighted):
    """sqrt(N w_i)."""
    return np.sqrt(N * WEIGHTS) if weighted else np.ones(N)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_products_of_stacks_are_products_of_kernels_and_functions(backend, kind, weighted):
    """K(x, X) W v for weights W and any kind, with one formula for (N, C, N, C) on the host."""
    problem, (x, x_new, y) = problem_of(backend, kind, weighted), data()
    kernel = kernel_of_kind(kind, np.asarray)
    root, stacked = roots(weighted), problem.weighted(problem.stack(backend.array(y)))
    full, cross = as_full(kind, kernel(x), C), as_full(kind, kernel(x_new, x), C)
    expected = np.einsum("i,icjd,j,jd->ic", root, full, root**2, y)
    backend.close(problem.unstack(problem.gram() @ stacked), expected)
    at_new = problem.unstack(problem.cross(backend.array(x_new)) @ stacked)
    backend.close(at_new, np.einsum("icjd,j,jd->ic", cross, root**2, y))
    unweighted = problem.unstack(problem.block(backend.array(x_new)) @ problem.stack(backend.array(y)))
    backend.close(unweighted, np.einsum("icjd,jd->ic", cross, y))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_residuals_are_weighted_and_come_back(backend, kind, weighted):
    problem, (x, _, y) = problem_of(backend, kind, weighted, start), data()
    residual = problem.residual(backend.array(y))
    backend.close(problem.unstack(residual), roots(weighted)[:, None] * (y - start(x)))
    backend.close(problem.unstack(problem.unweighted(residual)), y - start(x))


def test_without_weights_nothing_is_multiplied(backend):
    problem = problem_of(backend, "scalar", False)
    gram = problem.gram()
    assert problem.weighted(gram) is gram
    assert problem.unweighted(gram) is gram


def test_f0_at_new_inputs(backend):
    x, x_new, _ = data()
    problem = problem_of(backend, "scalar", False, start)
    backend.close(problem.start(backend.array(x_new)), start(x_new))
    backend.close(problem.start(), start(x))
    assert problem.start() is problem.initial
    centred = problem_of(backend, "scalar", False)
    backend.close(centred.start(backend.array(x_new)), np.zeros((M, C)), factor=0)
    alone = KernelProblem(problem.kernel, problem.p_in, 1, start_vector)
    backend.close(alone.initial, start(x)[:, :1])


@pytest.mark.host
def test_without_targets_there_are_no_outputs():
    """Spectra and steps need the matrix only."""
    x = data()[0]
    problem = KernelProblem(kernel_of_kind("full", np.asarray), EmpiricalMeasure(x, WEIGHTS))
    assert (problem.outputs, problem.initial, problem.gram().shape) == (None, None, (1, N * C, N * C))


@pytest.mark.host
def test_another_ridge():
    def once(x):
        calls.append(x)
        return start(x)

    x, _, y = data()
    calls = []
    problem = KernelProblem.of(kernel_of_kind("scalar", np.asarray), SquaredError(EmpiricalMeasure(x), y), once, 0.3)
    other = problem.with_ridge(2.0)
    assert (problem.ridge, other.ridge, len(calls), other.initial is problem.initial) == (0.3, 2.0, 1, True)
    with pytest.raises(ValueError, match="ridge must be finite and not negative"):
        problem.with_ridge(-1.0)


@pytest.mark.host
def test_what_does_not_fit_is_refused():
    x, _, y = data()
    kernel, p_in = kernel_of_kind("full", np.asarray), EmpiricalMeasure(x)
    cost = SquaredError(p_in, y)
    with pytest.raises(TypeError, match="kernel must be a kernel such as"):
        KernelProblem(kernel(x), p_in)
    with pytest.raises(TypeError, match="p_in must be an EmpiricalMeasure, got ndarray"):
        KernelProblem(kernel, x)
    with pytest.raises(TypeError, match="cost must be a cost functional"):
        KernelProblem.of(kernel, p_in, None, 0.0)
    with pytest.raises(TypeError, match="f0 must be a function of x"):
        KernelProblem.of(kernel, cost, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"f0\(x\) has shape \(6, 1\); expected \(6, 2\)"):
        KernelProblem.of(kernel, cost, lambda x: x[:, 0], 0.0)
    with pytest.raises(TypeError, match=r"x has dtype float64, f0\(x\) has float32"):
        KernelProblem.of(kernel, cost, lambda x: y.astype(np.float32), 0.0)
    with pytest.raises(ValueError, match="ridge must be finite and not negative"):
        KernelProblem.of(kernel, cost, None, -0.1)
    three = SquaredError(p_in, np.ones((N, 3)))
    for kind, shape in (("classwise", r"\(2, 6, 6\)"), ("full", r"\(1, 12, 12\)")):
        problem = KernelProblem.of(kernel_of_kind(kind, np.asarray), three, None, 0.0)
        with pytest.raises(ValueError, match=rf"y is \(6, 3\), the kernel matrix {shape}"):
            problem.gram()


def test_a_scalar_kernel_has_any_number_of_outputs(backend):
    rows = backend.array(np.arange(3.0)[:, None])
    cost = SquaredError(EmpiricalMeasure(rows), backend.array(np.ones((3, 5))))
    problem = KernelProblem.of(ntk.Precomputed(backend.array(np.eye(3))), cost, None, 0.0)
    backend.close(problem.unstack(problem.gram() @ problem.residual(cost.y)), np.ones((3, 5)))


NET = ntk.nn.mlp((1,), 1)
ENDS_IN_ERF = ntk.nn.Sequential(ntk.nn.Dense(1), ntk.nn.ReLU(), ntk.nn.Dense(1), ntk.nn.Erf())


@pytest.mark.host
@pytest.mark.parametrize("wrap", [lambda k: k, lambda k: 2.0 * k, lambda k: ntk.InfiniteNNGP(NET) + k])
def test_networks_that_end_in_an_activation_are_refused(wrap):
    """Their outputs are not Gaussian, and their kernel does not stay put."""
    x, _, y = data()
    cost = SquaredError(EmpiricalMeasure(x), y)
    nngp, theta = wrap(ntk.InfiniteNNGP(ENDS_IN_ERF)), wrap(ntk.InfiniteNTK(ENDS_IN_ERF))
    for make in (
        lambda: GaussianProcess(nngp, x, y, noise=0.1),
        lambda: GradientFlow(theta, cost),
        lambda: GradientDescent(theta, cost, step=0.1),
        lambda: Ensemble(theta, nngp, cost),
        lambda: Ensemble(ntk.InfiniteNTK(NET), nngp, cost),
    ):
        with pytest.raises(ValueError, match=r"does not end in a dense layer.*append Dense\(1\)"):
            make()


@pytest.mark.host
def test_values_of_f0_are_finite():
    x, _, y = data()
    cost, values = SquaredError(EmpiricalMeasure(x), y), np.zeros((N, C))
    values[1] = np.nan
    with pytest.raises(ValueError, match=r"^f0\(x\) has NaN or infinity in 1 of its 6 rows, first in row 1"):
        GradientFlow(ntk.InfiniteNTK(NET), cost, f0=lambda z: values)


@pytest.mark.host
def test_matrices_that_are_not_positive_semidefinite_are_refused():
    """By every flow, whatever the cost, and by the largest stable step."""
    x, matrix = np.asarray([[0], [1]]), np.asarray([[1.0, 2.0], [2.0, 1.0]])
    p_in = EmpiricalMeasure(x)
    for cost in (SquaredError(p_in, np.ones(2)), Huber(p_in, np.ones(2), 1.0)):
        with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite: its eigenvalues reach from -1"):
            GradientFlow(ntk.Precomputed(matrix), cost).predict(t=1.0)
    with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite"):
        max_step(ntk.Precomputed(matrix), x)


@pytest.mark.host
@pytest.mark.parametrize("t", [1e-150, 1e-12, 1e-3])
def test_flows_of_any_cost_at_short_times(t):
    """c(t) = -t w d at first order: the time may be as short as it likes."""
    x, _, y = data()
    cost, kernel = Huber(EmpiricalMeasure(x), y, 1.0), ntk.InfiniteNTK(NET)
    state = GradientFlow(kernel, cost).advance(t)
    right = -t / len(x) * cost.representer(np.zeros_like(cost.y))
    np.testing.assert_allclose(state.coefficients, right, rtol=0, atol=0.01 * np.max(np.abs(right)))
