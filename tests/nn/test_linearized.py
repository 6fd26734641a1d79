"""The linearized network: trained in parameter space against the kernel's flow, and against the network itself."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import ntk_array as ntk
from ntk_array.dynamics import GradientFlow
from ntk_array.function_space import EmpiricalMeasure, SquaredError
from ntk_array.nn.parameters import flatten, tree_map, unflatten

N, M, C = 5, 3, 2
WEIGHTS = np.asarray([0.1, 0.35, 0.05, 0.3, 0.2])


def problem(array, activation="tanh"):
    rng = np.random.default_rng(3)
    x, x_new, y = (array(rng.normal(size=shape)) for shape in ((N, 3), (M, 3), (N, C)))
    net = ntk.nn.mlp((6, 5), C, activation=activation, weight_std=1.4, bias_std=0.3)
    params = net.init(2, like=x)
    return net, params, x, x_new, y


def direction(params, array):
    rng = np.random.default_rng(8)
    return tree_map(lambda leaf: array(rng.normal(size=tuple(leaf.shape))), params)


def moved(params, change, h):
    return tree_map(lambda p, d: p + h * d, params, change)


@pytest.mark.host
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_flow_on_its_parameters_is_the_flow_of_its_kernel(weighted):
    net, params, x, x_new, y = problem(np.asarray)
    lin = ntk.nn.Linearized(net, params)
    cost = SquaredError(EmpiricalMeasure(x, WEIGHTS if weighted else None), y)
    shapes = {name: leaf.shape for name, leaf in flatten(params).items()}
    ends = np.cumsum([0, *(math.prod(shape) for shape in shapes.values())])

    def vector(tree):
        return np.concatenate([leaf.ravel() for leaf in flatten(tree).values()])

    def tree(theta):
        parts = (theta[a:b] for a, b in pairwise(ends))
        return unflatten(params, {k: part.reshape(s) for (k, s), part in zip(shapes.items(), parts, strict=True)})

    def velocity(_, theta):
        now = tree(theta)
        return -vector(lin.vjp(now, x, cost.p_in.column_weights * 2 * (lin(now, x) - y)))

    times = [0.1, 1.0, 10.0]
    solution = solve_ivp(velocity, (0, 10.0), vector(params), t_eval=times, method="DOP853", rtol=1e-11, atol=1e-12)
    flow = GradientFlow(ntk.EmpiricalNTK(net, params), cost, net.bind(params))
    for inputs in (x, x_new):
        path = np.stack([lin(tree(theta), inputs) for theta in solution.y.T])
        np.testing.assert_allclose(flow.predict(inputs, t=times), path, rtol=0, atol=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_it_differs_from_the_network_to_second_order(backend, activation):
    net, params, x, _, _ = problem(backend.array, activation)
    lin, change = ntk.nn.Linearized(net, params), direction(params, backend.array)
    # Steps are larger in float32, where rounding would hide the difference, and the third order is seen.
    h = (0.04 if backend.dtype_name == "float32" else 1e-3) * 0.5 ** np.arange(4.0)
    errors = [
        np.linalg.norm(backend.host(net(p, x) - lin(p, x)).astype(np.float64))
        for p in (moved(params, change, step) for step in h.tolist())
    ]
    slope = np.polyfit(np.log(h), np.log(errors), 1)[0]
    assert abs(slope - 2) < (0.2 if backend.dtype_name == "float32" else 0.05)


def test_it_is_the_network_at_its_own_parameters(backend):
    net, params, x, x_new, _ = problem(backend.array)
    lin = ntk.nn.Linearized(net, params)
    for inputs in (x, x_new):
        backend.close(lin(params, inputs), net(params, inputs), factor=0)
        backend.close(lin.bind(params)(inputs), net(params, inputs), factor=0)


def test_it_is_affine_in_the_parameters_with_the_jacobian_as_slope(backend):
    net, params, x, _, _ = problem(backend.array)
    lin, change = ntk.nn.Linearized(net, params), direction(params, backend.array)
    jacobian = flatten(net.jacobian(params, x))
    slope = sum(
        np.einsum("nck,k->nc", backend.host(jacobian[name]).reshape(N, C, -1), backend.host(d).ravel())
        for name, d in flatten(change).items()
    )
    f = backend.host(net(params, x))
    for h in (1.0, -3.0):
        backend.close(lin(moved(params, change, h), x), f + h * slope, factor=100)


def test_its_vjp_does_not_depend_on_the_parameters(backend):
    net, params, x, _, y = problem(backend.array)
    lin, change = ntk.nn.Linearized(net, params), direction(params, backend.array)
    here, there = lin.vjp(params, x, y), lin.vjp(moved(params, change, 2.0), x, y)
    jacobian = flatten(net.jacobian(params, x))
    for name, leaf in flatten(there).items():
        backend.close(leaf, flatten(here)[name], factor=0)
        expected = np.einsum("nc,nc...->...", backend.host(y), backend.host(jacobian[name]))
        backend.close(leaf, expected, factor=100)


def test_other_networks_parameters_are_refused(backend):
    net, params, x, _, y = problem(backend.array)
    other = ntk.nn.mlp((6, 4), C, activation="tanh", bias_std=0.3).init(0, like=x)
    lin = ntk.nn.Linearized(net, params)
    for call in (lambda: lin(other, x), lambda: lin.vjp(other, x, y)):
        with pytest.raises(ValueError, match="params does not match the network's parameters"):
            call()


def test_bad_inputs_are_refused(backend):
    net, params, x, _, _ = problem(backend.array)
    lin = ntk.nn.Linearized(net, params)
    with pytest.raises(ValueError, match="needs inputs"):
        lin(params, x[:, :2])
    with pytest.raises(ValueError, match=r"inputs are \(N, features\)"):
        lin(params, x[:, 0])
    with pytest.raises(ValueError, match="u has shape"):
        lin.vjp(params, x, x[:, :1])
