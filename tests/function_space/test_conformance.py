"""What every cost functional does: its formula, its derivative by finite differences, and training with it."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.function_space import kernel_gradient

from .cases import CASES, WEIGHTS, N

every_cost = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
weights = pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])


@every_cost
@weights
def test_it_is_the_expectation_of_its_loss(backend, rng, case, weighted):
    f = rng.normal(size=(N, case.outputs))
    expected = np.sum((WEIGHTS if weighted else 1 / N) * case.loss(backend.host(backend.array(f)).astype(float)))
    backend.close(case.cost(backend, weighted)(backend.array(f)), expected, factor=50)


@every_cost
@weights
def test_its_derivative_is_the_limit_of_differences_in_function_space(backend, rng, case, weighted):
    """dC|_f(g) against C(f + h g), for every function g that is 1 at one output of one point and 0 elsewhere."""
    cost = case.cost(backend, weighted)
    f = rng.normal(size=(N, case.outputs))
    d = backend.host(cost.derivative(backend.array(f)).representer).reshape(N, -1)
    w = WEIGHTS if weighted else np.full(N, 1 / N)
    single = backend.dtype_name == "float32"
    h = 0.05 if single else 1e-3
    numerical = np.zeros_like(f)
    for i in range(N):
        for c in range(case.outputs):
            g = np.zeros_like(f)
            g[i, c] = 1.0

            def central(h, g=g):
                above, below = (float(backend.host(cost(backend.array(f + s * h * g)))) for s in (1, -1))
                return (above - below) / (2 * h)

            numerical[i, c] = (4 * central(h) - central(2 * h)) / 3
    # Fourth order in h, and rounding eps / h; the cost is of order 1 and in float32 values of f are rounded too.
    np.testing.assert_allclose(w[:, None] * d, numerical, rtol=0, atol=3e-5 * max(1, cost.factor) if single else 1e-9)


@every_cost
def test_its_derivative_is_linear_in_functions_of_x(backend, rng, case):
    cost = case.cost(backend, weighted=True)
    f, g = (rng.normal(size=(N, case.outputs)) for _ in range(2))
    mu = cost.derivative(backend.array(f))
    d = backend.host(mu.representer).reshape(N, -1)
    backend.close(mu(backend.array(g)), np.sum(WEIGHTS[:, None] * d * g), factor=100, scale=max(1.0, cost.factor))


@every_cost
@weights
def test_a_step_of_training_follows_its_kernel_gradient(backend, case, weighted):
    """The cost falls in training, and the first step moves the function along the kernel gradient."""
    cost = case.cost(backend, weighted)
    x = cost.p_in.x
    net = ntk.nn.mlp((16,), case.outputs, activation="tanh", bias_std=0.3)
    params = net.init(2, like=x)
    gradient = kernel_gradient(ntk.EmpiricalNTK(net, params), cost, net.bind(params))
    step = 1e-3 / cost.factor if backend.dtype_name == "float32" else 1e-5 / cost.factor
    moved = ntk.nn.train(net, params, cost, step=step, steps=1).params
    velocity = backend.host((net(moved, x) - net(params, x)) / -step)
    expected = backend.host(gradient()).reshape(velocity.shape)
    # The remainder is of the order of the step; in float32, f is rounded to eps and divided by the step.
    tolerance = 5e-3 if backend.dtype_name == "float32" else 1e-4
    np.testing.assert_allclose(velocity, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    training = ntk.nn.train(net, params, cost, step=0.1 / cost.factor, steps=50, record=[0, 10, 50])
    assert training.costs[0] > training.costs[1] > training.costs[2]
