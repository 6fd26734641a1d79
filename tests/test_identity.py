"""The identity everything here stands on: gradient descent on parameters is kernel gradient descent on functions.

Jacot et al. 2018, section 3: to first order in the step the network moves by minus the step times the kernel gradient
with the empirical NTK, on the sample and off it.
"""

import math

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import GradientFlow
from ntk_array.function_space import EmpiricalMeasure, SquaredError, kernel_gradient
from ntk_array.nn.parameters import flatten, unflatten

from .backends import backend_named

N, M, C = 5, 4, 2
WEIGHTS = np.asarray([0.1, 0.35, 0.05, 0.3, 0.2])


def problem(array, activation="tanh", weighted=False, parameterization="ntk"):
    rng = np.random.default_rng(11)
    x, x_new, y = (array(rng.normal(size=shape)) for shape in ((N, 3), (M, 3), (N, C)))
    net = ntk.nn.mlp((8, 7), C, activation=activation, weight_std=1.4, bias_std=0.3, parameterization=parameterization)
    p_in = EmpiricalMeasure(x, array(WEIGHTS) if weighted else None)
    return net, net.init(4, like=x), SquaredError(p_in, y), x_new


def remainders(backend, steps, **setting):
    """|f(theta - step grad) - (f - step grad_K C)| on the sample and at new points, for each step."""
    net, params, cost, x_new = problem(backend.array, **setting)
    x = cost.p_in.x
    gradient = kernel_gradient(ntk.EmpiricalNTK(net, params), cost, net.bind(params))
    rows = []
    for step in steps:
        moved = ntk.nn.train(net, params, cost, step=step, steps=1).params
        rows.append(
            [
                np.linalg.norm(backend.host(net(moved, z) - net(params, z) + step * gradient(z)).astype(np.float64))
                for z in (x, x_new)
            ]
        )
    return np.asarray(rows).T


def order(steps, errors):
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize("activation", ["tanh", "erf", "gelu"])
def test_a_step_moves_the_function_along_the_kernel_gradient(backend, activation, weighted):
    single = backend.dtype_name == "float32"
    # In float32 rounding hides the remainder of smaller steps, and at these the third order is seen.
    steps = 0.02 * 0.6 ** np.arange(4.0) if single else 1e-3 * 0.5 ** np.arange(6.0)
    for errors in remainders(backend, steps.tolist(), activation=activation, weighted=weighted):
        assert abs(order(steps, errors) - 2) < (0.2 if single else 0.05)


@pytest.mark.host
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "silu", "softplus", "sin", "cos", "erf", "gelu"])
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_second_order_for_every_smooth_activation(activation, parameterization):
    steps = 1e-3 * 0.5 ** np.arange(6.0)
    setting = {"activation": activation, "parameterization": parameterization}
    for errors in remainders(backend_named("numpy"), steps.tolist(), **setting):
        assert abs(order(steps, errors) - 2) < 0.05


@pytest.mark.host
def test_another_kernel_leaves_a_first_order():
    """Negative control: with a layer left out of the kernel the remainder is of order one."""
    net, params, cost, _ = problem(np.asarray)
    wrong = kernel_gradient(ntk.EmpiricalNTK(net, params, trainable="last"), cost, net.bind(params))
    steps, x = 1e-3 * 0.5 ** np.arange(6.0), cost.p_in.x
    errors = [
        np.linalg.norm(net(ntk.nn.train(net, params, cost, step=s, steps=1).params, x) - net(params, x) + s * wrong(x))
        for s in steps.tolist()
    ]
    assert abs(order(steps, errors) - 1) < 0.05


@pytest.mark.host
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
def test_gradient_of_the_cost_by_finite_differences(weighted):
    """J^T (w d) against differences of the cost in every single parameter (central, extrapolated once)."""
    net, params, cost, _ = problem(np.asarray, weighted=weighted)
    x = cost.p_in.x
    d = cost.derivative(net.bind(params)).representer
    gradient = flatten(net.vjp(params, x, cost.p_in.column_weights * d))
    leaves = flatten(params)
    worst = 0.0
    for name, leaf in leaves.items():
        for index in np.ndindex(leaf.shape):

            def central(h, name=name, leaf=leaf, index=index):
                values = []
                for sign in (1, -1):
                    changed = leaf.copy()
                    changed[index] += sign * h
                    values.append(float(cost(net.bind(unflatten(params, {**leaves, name: changed})))))
                return (values[0] - values[1]) / (2 * h)

            numerical = (4 * central(1e-3) - central(2e-3)) / 3
            worst = max(worst, abs(numerical - gradient[name][index]))
    assert worst < 1e-10  # h^4 and eps / h are both near 1e-12


@pytest.mark.host
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize("t", [0.0, 0.4, 2.0])
def test_the_cost_falls_by_the_kernel_norm_along_the_flow(weighted, t):
    """d/dt C(f_t) = -||d||_K^2 = -sum_ij w_i w_j d_i^T K_ij d_j, the left side by differences in time."""
    net, params, cost, _ = problem(np.asarray, weighted=weighted)
    kernel = ntk.EmpiricalNTK(net, params)
    flow = GradientFlow(kernel, cost, net.bind(params))
    d = 2 * (flow.predict(t=t) - cost.y)
    weights = WEIGHTS if weighted else np.full(N, 1 / N)
    norm = np.einsum("i,ic,icjd,j,jd->", weights, d, kernel(cost.p_in.x), weights, d)

    def forward(h):
        """Second order from one side, so that it serves t = 0 too."""
        now, one, two = (float(cost(flow.predict(t=s))) for s in (t, t + h, t + 2 * h))
        return (-3 * now + 4 * one - two) / (2 * h)

    h = 2e-4
    first, second, third = forward(h), forward(h / 2), forward(h / 4)
    once = ((4 * second - first) / 3, (4 * third - second) / 3)
    rate = (8 * once[1] - once[0]) / 7
    assert abs(rate + norm) < 1e-7 * abs(norm)
    assert norm > 0


@pytest.mark.host
def test_the_cost_falls_by_the_gradient_norm_of_the_parameters():
    """||d||_K^2 is the squared gradient in parameter space, when K is the empirical NTK."""
    net, params, cost, _ = problem(np.asarray, weighted=True)
    gradient = kernel_gradient(ntk.EmpiricalNTK(net, params), cost, net.bind(params))
    norm = float(cost.derivative(net.bind(params))(gradient()))
    pulled = net.vjp(params, cost.p_in.x, gradient.coefficients)
    squares = [float(np.sum(leaf**2)) for leaf in flatten(pulled).values()]
    assert math.isclose(norm, math.fsum(squares), rel_tol=1e-13)
