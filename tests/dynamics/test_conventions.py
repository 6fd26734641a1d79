"""The conventions of the squared error: a rescaling of time, the same for flow, descent and the largest stable step."""

import math

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import GradientDescent, GradientFlow, max_step
from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, Huber, SquaredError

N, C = 6, 2
WEIGHTS = np.asarray([0.05, 0.3, 0.1, 0.25, 0.2, 0.1])
conventions = pytest.mark.parametrize(("convention", "factor"), [("half_sum", N / 2), ("half_mean", 1 / (2 * C))])


def problem(backend, weighted=True):
    rng = np.random.default_rng(5)
    x, y = backend.array(rng.normal(size=(N, 3))), backend.array(rng.normal(size=(N, C)))
    return EmpiricalMeasure(x, backend.array(WEIGHTS) if weighted else None), y


@conventions
def test_time_is_rescaled(backend, convention, factor):
    p_in, y = problem(backend)
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.3))
    cost, mean = SquaredError(p_in, y, convention=convention), SquaredError(p_in, y)
    assert cost.factor == factor
    assert mean.factor == 1.0
    for ridge in (0.0, 0.4):
        flow, reference = (GradientFlow(kernel, c, ridge=ridge) for c in (cost, mean))
        times = np.asarray([0.1, 1.0, 10.0])
        backend.close(flow.predict(t=times), reference.predict(t=factor * times), factor=500)
        backend.close(flow.predict(t=math.inf), reference.predict(t=math.inf), factor=1)
        descent = GradientDescent(kernel, cost, 0.1, ridge=ridge)
        reference = GradientDescent(kernel, mean, 0.1 * factor, ridge=ridge)
        backend.close(descent.predict(k=[1, 7]), reference.predict(k=[1, 7]), factor=500)


@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
@conventions
def test_training_a_linearized_network_takes_these_steps(backend, convention, factor, weighted):
    """Literal steps on parameters, with the derivative of the same cost."""
    p_in, y = problem(backend, weighted)
    net = ntk.nn.mlp((9,), C, activation="tanh", bias_std=0.4)
    params = net.init(1, like=p_in.x)
    cost = SquaredError(p_in, y, convention=convention)
    kernel, step = ntk.EmpiricalNTK(net, params), 0.3 / factor
    training = ntk.nn.train(ntk.nn.Linearized(net, params), params, cost, step=step, steps=8)
    descent = GradientDescent(kernel, cost, step, f0=net.bind(params))
    expected = ntk.nn.Linearized(net, params)(training.params, p_in.x)
    backend.close(descent.predict(k=8), expected, factor=2e3)


@pytest.mark.parametrize("name", ["mean", "half_sum", "half_mean", "cross-entropy"])
def test_steps_of_training_meet_the_flow_at_step_times_their_number(backend, name):
    """Training of a network that is linear in its parameters: the error is of first order in the step."""
    p_in, y = problem(backend)
    net = ntk.nn.mlp((9,), C, activation="tanh", bias_std=0.4)
    params = net.init(1, like=p_in.x)
    tangent = ntk.nn.Linearized(net, params)
    if name == "cross-entropy":
        cost, time = CrossEntropy(p_in, backend.array(np.arange(N) % C)), 2.0
    else:
        cost = SquaredError(p_in, y, convention=name)
        time = 0.5 / cost.factor
    expected = backend.host(GradientFlow(ntk.EmpiricalNTK(net, params), cost, f0=net.bind(params)).predict(t=time))
    errors = []
    for steps in (20, 40, 80):
        training = ntk.nn.train(tangent, params, cost, step=time / steps, steps=steps)
        assert training.times[-1] == pytest.approx(time)
        errors.append(np.max(np.abs(backend.host(tangent(training.params, p_in.x)) - expected)))
    assert errors[0] < 0.1
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.15)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.1)


@pytest.mark.host
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize("convention", ["mean", "half_sum", "half_mean"])
@pytest.mark.parametrize("outputs", ["full", "trace"])
def test_the_largest_step_of_a_cost(convention, weighted, outputs):
    """Literal steps f <- f - step K (w d) shrink the residual below it and blow up above it."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(N, 3)), rng.normal(size=(N, C))
    net = ntk.nn.mlp((9,), C, activation="tanh", bias_std=0.4)
    kernel = ntk.EmpiricalNTK(net, net.init(1, like=x), outputs=outputs)
    p_in = EmpiricalMeasure(x, WEIGHTS if weighted else None)
    cost = SquaredError(p_in, y, convention=convention)
    step, gram = max_step(kernel, cost), kernel(x)
    products = "icjd,jd->ic" if outputs == "full" else "ij,jd->id"

    def largest_residual(step):
        f = np.zeros((N, C))
        for _ in range(2000):
            f = f - step * np.einsum(products, gram, p_in.column_weights * cost.representer(f))
        return np.abs(f - y).max()

    assert largest_residual(0.99 * step) < np.abs(y).max()
    assert largest_residual(1.01 * step) > 1e6
    if not weighted:
        assert math.isclose(cost.factor * step, max_step(kernel, x), rel_tol=1e-12)


@pytest.mark.host
def test_other_costs_and_conventions_are_refused():
    p_in, y = EmpiricalMeasure(np.zeros((2, 1))), np.zeros(2)
    with pytest.raises(TypeError, match="known for SquaredError only, got Huber"):
        max_step(ntk.Precomputed(np.eye(2)), Huber(p_in, y))
    with pytest.raises(ValueError, match="convention must be one of 'mean', 'half_sum', 'half_mean', got 'sum'"):
        SquaredError(p_in, y, convention="sum")
