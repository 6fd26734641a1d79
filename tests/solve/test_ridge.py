"""A ridge that follows the kernel matrix, against the mean of a diagonal that is taken here."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import Ensemble, GaussianProcess, GradientFlow
from ntk_array.function_space import EmpiricalMeasure, SquaredError
from ntk_array.solve import TimesMeanDiagonal, solve

NET = ntk.nn.mlp((1, 1), 1, weight_std=1.5, bias_std=0.2)
K = ntk.InfiniteNTK(NET)
N = 12


def sample(seed=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, 3)), rng.normal(size=N)


def test_a_ridge_is_the_mean_diagonal_times_its_factor(backend):
    x, y = sample()
    diagonal = float(np.mean(np.diag(K(x))))
    x, y = backend.array(x), backend.array(y)
    relative, near = TimesMeanDiagonal(0.05), pytest.approx(0.05 * diagonal, rel=1e2 * backend.eps)
    assert GaussianProcess(K, x, y, relative).noise == near
    assert GaussianProcess(K, x, y, 1.0).with_noise(relative).noise == near
    cost = SquaredError(EmpiricalMeasure(x), y)
    assert GradientFlow(K, cost, ridge=relative).ridge == near
    assert GradientFlow(K, cost).with_ridge(relative).ridge == near
    assert Ensemble.of(NET, cost, ridge=relative).ridge == near
    found = solve(K(x), y, ridge=relative).x
    backend.close(found, solve(K(x), y, ridge=0.05 * diagonal).x)


def test_predictions_do_not_depend_on_the_scale_of_the_kernel(backend):
    x, y = (backend.array(part) for part in sample())
    cost = SquaredError(EmpiricalMeasure(x), y)
    one, other = (GradientFlow(kernel, cost, ridge=TimesMeanDiagonal(0.05)).predict() for kernel in (K, 1e3 * K))
    backend.close(one, other)


@pytest.mark.host
def test_weights_and_kernels_of_several_outputs():
    x, y = sample()
    weights = np.arange(1.0, N + 1.0) / np.sum(np.arange(1.0, N + 1.0))
    flow = GradientFlow(K, SquaredError(EmpiricalMeasure(x, weights), y), ridge=TimesMeanDiagonal(0.1))
    assert flow.ridge == pytest.approx(0.1 * np.sum(weights * np.diag(K(x))))
    net = ntk.nn.mlp((20,), 2)
    full = ntk.EmpiricalNTK(net, net.init(0, like=x))
    flow = GradientFlow(
        full, SquaredError(EmpiricalMeasure(x), np.stack([y, -y], axis=1)), ridge=TimesMeanDiagonal(0.1)
    )
    assert flow.ridge == pytest.approx(0.1 * np.trace(full(x).reshape(2 * N, 2 * N)) / (2 * N))


@pytest.mark.host
def test_a_factor_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="factor must be finite and not negative"):
        TimesMeanDiagonal(-1.0)
