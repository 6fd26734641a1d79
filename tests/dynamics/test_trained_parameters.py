"""The parameters that the coefficients of a flow give, against linearized networks and trained ones."""

import math

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import GradientFlow
from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, SquaredError
from ntk_array.nn.parameters import flatten

from .test_gradient_flow import WEIGHTS, C, data, network
from .test_ode import assert_near

LABELS = np.asarray([0, 1, 1, 0, 1, 1])
NET = network(C)


def problem(backend, name):
    x, x_new, y = (backend.array(part) for part in data())
    p_in = EmpiricalMeasure(x, backend.array(WEIGHTS))
    cost = SquaredError(p_in, y) if name == "squared" else CrossEntropy(p_in, backend.array(LABELS))
    return cost, x_new, NET.init(1, like=x)


@pytest.mark.parametrize(
    ("name", "t", "trainable", "options"),
    [
        ("squared", 3.0, None, {"ridge": 0.2}),
        ("squared", math.inf, "0.weight", {}),
        ("squared", 3.0, "last", {"friction": 0.3}),
        ("cross-entropy", 3.0, ("0.bias", "2"), {}),
    ],
)
def test_the_linearized_network_is_the_flow(backend, name, t, trainable, options):
    cost, x_new, params = problem(backend, name)
    kernel = ntk.EmpiricalNTK(NET, params, trainable=trainable)
    flow = GradientFlow(kernel, cost, NET.bind(params), **options)
    theta = kernel.parameters(cost.p_in.x, flow.advance(t).coefficients)
    lin = ntk.nn.Linearized(NET, params)
    for x in (x_new, cost.p_in.x):
        assert_near(backend, lin(theta, x), flow.predict(x, t=t))
    moved = {key for key, leaf in flatten(theta).items() if leaf is not flatten(params)[key]}
    expected = {None: set(flatten(params)), "last": {"2.weight", "2.bias"}, "0.weight": {"0.weight"}}
    assert moved == expected.get(trainable, {"0.bias", "2.weight", "2.bias"})


@pytest.mark.host
def test_images_have_them_too():
    rng = np.random.default_rng(0)
    x, x_new, y = rng.normal(size=(4, 5, 5, 2)), rng.normal(size=(3, 5, 5, 2)), rng.normal(size=4)
    net = ntk.nn.Sequential(ntk.nn.Conv(6, (3, 3)), ntk.nn.Tanh(), ntk.nn.GlobalAvgPool(), ntk.nn.Dense(1))
    params = net.init(0, like=x)
    kernel = ntk.EmpiricalNTK(net, params, outputs="trace")  # of one output, where it is the full kernel
    flow = GradientFlow(kernel, SquaredError(EmpiricalMeasure(x), y), net.bind(params))
    theta = kernel.parameters(x, flow.advance(5.0).coefficients)
    np.testing.assert_allclose(
        ntk.nn.Linearized(net, params)(theta, x_new)[:, 0], flow.predict(x_new, t=5.0), rtol=0, atol=1e-12
    )


@pytest.mark.host
def test_small_steps_of_the_linearized_network_reach_them():
    """Each parameter by itself, to first order in the step."""
    x, _, y = data()
    params, cost = NET.init(1, like=x), SquaredError(EmpiricalMeasure(x), y)
    kernel = ntk.EmpiricalNTK(NET, params)
    flow = GradientFlow(kernel, cost, NET.bind(params))
    theta = flatten(kernel.parameters(x, flow.advance(1.0).coefficients))
    errors = []
    for k in (100, 200):
        trained = ntk.nn.train(ntk.nn.Linearized(NET, params), params, cost, step=1.0 / k, steps=k).params
        errors.append(max(np.abs(leaf - theta[name]).max() for name, leaf in flatten(trained).items()))
    assert errors[0] < 0.05
    assert 1.8 < errors[0] / errors[1] < 2.2


@pytest.mark.host
def test_wide_networks_reach_them():
    """The distance of trained parameters from theirs, over the way they went, falls with the width."""
    x, _, y = data()
    cost, gaps = SquaredError(EmpiricalMeasure(x), 0.5 * y), []
    for width in (64, 4096):
        net = ntk.nn.mlp((width,), C, activation="tanh")
        params = net.init(3, like=x)
        kernel = ntk.EmpiricalNTK(net, params)
        flow = GradientFlow(kernel, cost, net.bind(params))
        theta = flatten(kernel.parameters(x, flow.advance(2.0).coefficients))
        trained = flatten(ntk.nn.train(net, params, cost, step=0.01, steps=200).params)
        apart = sum(np.sum((trained[name] - leaf) ** 2) for name, leaf in theta.items())
        way = sum(np.sum((leaf - flatten(params)[name]) ** 2) for name, leaf in theta.items())
        gaps.append(math.sqrt(apart / way))
    assert gaps[1] < 0.03
    assert gaps[1] < 0.3 * gaps[0]


@pytest.mark.host
def test_kernels_of_no_parameters_are_refused():
    x, _, _ = data()
    params, c = NET.init(1, like=x), np.zeros((len(x), C))
    for outputs in ("trace", "sum_of_logits", "classwise"):
        with pytest.raises(ValueError, match=f'outputs="{outputs}" for each of its 2 outputs: use outputs="full"'):
            ntk.EmpiricalNTK(NET, params, outputs=outputs).parameters(x, c)
    kernel = ntk.EmpiricalNTK(NET, params)
    with pytest.raises(ValueError, match=r"coefficients has shape \(6, 1\); expected \(6, 2\)"):
        kernel.parameters(x, c[:, :1])
    with pytest.raises(ValueError, match="coefficients has NaN"):
        kernel.parameters(x, c * np.nan)
