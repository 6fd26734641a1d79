"""Flows of costs without a closed form: against other integrators, closed forms at their limits, and networks."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import softmax

import ntk_array as ntk
from ntk_array.dynamics import GradientFlow
from ntk_array.dynamics.ode import IntegratedFlow
from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, ExpectedLoss, Huber, Logistic, SquaredError
from ntk_array.nn.parameters import tree_map

N, M, C = 6, 3, 2
WEIGHTS = np.asarray([0.05, 0.3, 0.1, 0.25, 0.2, 0.1])
LABELS = np.asarray([0, 1, 1, 0, 1, 1])
TIMES = [0.0, 0.3, 2.0, 40.0, 1e3]
RNG = np.random.default_rng(7)
X, X_NEW, Y = RNG.normal(size=(N, 3)), RNG.normal(size=(M, 3)), RNG.normal(size=(N, C))


def assert_near(backend, actual, desired, digits=1e-8):
    """1e-8 in float64. In float32 the tolerance of the integration is 2e-5, and condition numbers are near 40."""
    tolerance = digits if backend.dtype_name == "float64" else 1e-3
    actual, desired = backend.host(actual), backend.host(desired)
    assert actual.shape == desired.shape
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance * max(1.0, np.abs(desired).max()))


def kernel_of_kind(kind, array):
    if kind == "scalar":
        return ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, activation="erf", weight_std=1.4, bias_std=0.3))
    net = ntk.nn.mlp((9,), C, activation="tanh", weight_std=1.3, bias_std=0.4)
    return ntk.EmpiricalNTK(net, tree_map(array, net.init(1, input_shape=(3,))), outputs=kind)


def start(z):
    return 0.5 * z[:, :C] + 0.25 * z[:, 1:]


def measure(backend, weighted=True):
    return EmpiricalMeasure(backend.array(X), backend.array(WEIGHTS) if weighted else None)


@pytest.mark.parametrize(
    ("kind", "weighted", "ridge", "f0", "convention"),
    [
        ("scalar", False, 0.0, None, "mean"),
        ("classwise", True, 0.3, start, "half_mean"),
        ("full", True, 0.3, start, "half_sum"),
        ("full", False, 0.0, None, "half_mean"),
    ],
)
def test_the_squared_error_integrated_is_its_closed_form(backend, kind, weighted, ridge, f0, convention):
    kernel = kernel_of_kind(kind, backend.array)
    cost = SquaredError(measure(backend, weighted), backend.array(Y), convention=convention)
    closed, integrated = GradientFlow(kernel, cost, f0, ridge), IntegratedFlow(kernel, cost, f0, ridge)
    states = integrated.path(TIMES, None)
    for x_new in (None, backend.array(X_NEW)):
        for time, f in zip(TIMES, integrated.functions(x_new, states), strict=True):
            assert_near(backend, f, closed.predict(x_new, t=time))
    assert_near(backend, states[3].coefficients, closed.advance(TIMES[3]).coefficients, digits=1e-7)


@pytest.mark.host
@pytest.mark.parametrize("rank", [1, 4])
def test_singular_kernels_integrated_are_the_closed_form(rank):
    features = np.random.default_rng(1).integers(-3, 4, size=(9, rank)).astype(float)
    kernel, rows = ntk.Precomputed(features @ features.T), np.arange(9.0)[:, None]
    cost = SquaredError(EmpiricalMeasure(rows), np.random.default_rng(2).normal(size=9))
    integrated = IntegratedFlow(kernel, cost, None, 0.0)
    f = np.stack(integrated.functions(None, integrated.path([0.1, 10.0, 1e4], None)))
    np.testing.assert_allclose(f, GradientFlow(kernel, cost).predict(t=[0.1, 10.0, 1e4]), rtol=0, atol=1e-8)


@pytest.mark.host
def test_another_ridge_takes_no_other_kernel_matrix():
    p_in = measure_on_host()
    kernel = CountedKernel(X @ X.T + np.eye(N))
    flow = GradientFlow(kernel, Huber(p_in, Y), ridge=0.5)
    other = flow.with_ridge(2.0)
    assert (flow.ridge, other.ridge, kernel.calls) == (0.5, 2.0, 1)
    expected = GradientFlow(kernel, Huber(p_in, Y), ridge=2.0).predict(t=1.5)
    np.testing.assert_array_equal(other.predict(t=1.5), expected)
    assert np.abs(flow.predict(t=1.5) - expected).max() > 1e-3


class CountedKernel(ntk.Precomputed):
    """A precomputed kernel that counts its calls."""

    calls = 0

    def __call__(self, *inputs):
        self.calls += 1
        return super().__call__(*inputs)


def measure_on_host():
    return EmpiricalMeasure(np.arange(float(N))[:, None])


def quartic(p_in, y):
    return ExpectedLoss(p_in, y, lambda xp, f, y: xp.sum((f - y) ** 4, axis=1), lambda xp, f, y: 4.0 * (f - y) ** 3)


SIGNS = np.where(Y > 0, 1.0, -1.0)
COSTS = {
    "cross-entropy": (CrossEntropy, LABELS, lambda f: softmax(f, axis=1) - np.eye(C)[LABELS]),
    "logistic": (Logistic, SIGNS, lambda f: -SIGNS / (1 + np.exp(SIGNS * f))),
    "huber": (Huber, 3 * Y, lambda f: np.clip(f - 3 * Y, -1, 1)),
    "of one's own": (quartic, Y, lambda f: 4 * (f - Y) ** 3),
}


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize(
    ("kind", "weighted", "ridge"), [("scalar", False, 0.0), ("classwise", True, 0.0), ("full", True, 0.3)]
)
def test_it_solves_the_differential_equation_of_functions(backend, name, kind, weighted, ridge):
    """d/dt f = -K w d(f) - (2 ridge / N) (f - f_0) on sample and new points together, by an explicit method."""
    make, y, d = COSTS[name]
    everywhere = np.concatenate([X, X_NEW])
    block = kernel_of_kind(kind, np.asarray)(everywhere, X)
    if kind != "full":
        block = np.einsum("cij,cd->icjd", block if kind == "classwise" else np.stack([block] * C), np.eye(C))
    w = (WEIGHTS if weighted else np.full(N, 1 / N))[:, None]
    f0, times = start(everywhere), [0.3, 2.0, 40.0]

    def velocity(_, flat):
        f = flat.reshape(N + M, C)
        return (-np.einsum("icjd,jd->ic", block, w * d(f[:N])) - 2 * ridge / N * (f - f0)).ravel()

    path = solve_ivp(velocity, (0, 40.0), f0.ravel(), t_eval=times, method="DOP853", rtol=1e-11, atol=1e-12).y.T
    flow = GradientFlow(
        kernel_of_kind(kind, backend.array), make(measure(backend, weighted), backend.array(y)), start, ridge
    )
    expected = path.reshape(3, N + M, C)
    assert_near(backend, flow.predict(t=times), expected[:, :N])
    assert_near(backend, flow.predict(backend.array(X_NEW), t=times), expected[:, N:])


def test_huber_with_a_large_delta_is_the_squared_error_at_half_the_time(backend):
    kernel, p_in, y = kernel_of_kind("full", backend.array), measure(backend), backend.array(Y)
    huber, squared = (
        GradientFlow(kernel, Huber(p_in, y, delta=100.0), start),
        GradientFlow(kernel, SquaredError(p_in, y), start),
    )
    times = np.asarray([0.5, 5.0, 200.0])
    assert_near(
        backend, huber.predict(backend.array(X_NEW), t=times), squared.predict(backend.array(X_NEW), t=times / 2)
    )


def test_logistic_is_two_class_cross_entropy_at_twice_the_time(backend):
    kernel, p_in, labels = kernel_of_kind("scalar", backend.array), measure(backend), backend.array(LABELS)
    times = np.asarray([0.5, 5.0, 200.0])
    two = GradientFlow(kernel, CrossEntropy(p_in, labels), start).predict(backend.array(X_NEW), t=times)
    one = GradientFlow(kernel, Logistic(p_in, labels), lambda z: start(z)[:, 1] - start(z)[:, 0])
    assert_near(backend, one.predict(backend.array(X_NEW), t=2 * times), two[:, :, 1] - two[:, :, 0])


# ---- states ----------------------------------------------------------------------------------------------------------


def cross_entropy_flow(backend, ridge=0.0):
    cost = CrossEntropy(measure(backend), backend.array(LABELS))
    return GradientFlow(kernel_of_kind("scalar", backend.array), cost, start, ridge), backend.array(X_NEW)


def test_it_goes_on_from_a_state(backend):
    flow, x_new = cross_entropy_flow(backend)
    direct = flow.predict(x_new, t=20.0)
    state = flow.advance(8.0, start=flow.advance(3.0))
    assert state.time == 8.0
    assert_near(backend, flow.predict(x_new, t=20.0, start=state), direct)
    assert state.evaluations > flow.advance(3.0).evaluations > 0
    # at the time of the state nothing is integrated: f_0 + K c
    c, kernel = state.coefficients, kernel_of_kind("scalar", backend.array)
    expected = start(x_new) + kernel.matvec(x_new, flow.cost.p_in.x, c)
    backend.close(flow.predict(x_new, t=8.0, start=state), expected, factor=50)
    assert flow.advance(8.0, start=state) is state


def test_times_come_in_any_order(backend):
    flow, x_new = cross_entropy_flow(backend)
    f = flow.predict(x_new, t=[5.0, 0.0, 1.0, 5.0])
    assert f.shape == (4, M, C)
    backend.close(f[0, :, :], f[3, :, :], factor=0)
    backend.close(f[1, :, :], start(x_new), factor=0)
    assert_near(backend, f[2, :, :], flow.predict(x_new, t=1.0))


@pytest.mark.parametrize("closed", [False, True], ids=["integrated", "closed form"])
def test_until_the_cost_falls_below_a_value(backend, closed):
    if closed:
        kernel = kernel_of_kind("scalar", backend.array)
        flow = GradientFlow(kernel, SquaredError(measure(backend), backend.array(Y)), start)
    else:
        flow, _ = cross_entropy_flow(backend)
    value = 0.2 * float(backend.host(flow.cost(flow.predict(t=0.0))))
    state = flow.until(cost=value, longest=1e4)
    assert 0 < state.time < 1e4
    assert_near(backend, flow.cost(flow.predict(t=state.time)), np.asarray(value))
    assert float(backend.host(flow.cost(flow.predict(t=0.9 * state.time)))) > value
    again = flow.until(cost=value, longest=1e4, start=flow.advance(0.5 * state.time))
    assert math.isclose(again.time, state.time, rel_tol=1e-7 if backend.dtype_name == "float64" else 1e-2)
    later = flow.advance(2 * state.time, start=state)
    assert flow.until(cost=value, longest=1e4, start=later).time == later.time
    with pytest.raises(ValueError, match=r"does not fall to .* by t = .*; allow a longer time or a larger cost"):
        flow.until(cost=value, longest=0.5 * state.time)
    with pytest.raises(ValueError, match="does not fall to"):
        flow.until(cost=0.5 * value, longest=0.5 * state.time, start=state)
    with pytest.raises(ValueError, match="must not lie before the state"):
        flow.predict(t=0.5 * state.time, start=state)


@pytest.mark.host
def test_the_state_of_a_closed_form_gives_the_same_function():
    p_in = EmpiricalMeasure(X, WEIGHTS)
    for kind in ("scalar", "classwise", "full"):
        kernel = kernel_of_kind(kind, np.asarray)
        flow = GradientFlow(kernel, SquaredError(p_in, Y), start, ridge=0.1)
        for t in (2.0, math.inf):
            state = flow.advance(t)
            expected = start(X_NEW) + kernel.matvec(X_NEW, X, state.coefficients)
            np.testing.assert_allclose(flow.predict(X_NEW, t=t), expected, rtol=0, atol=1e-12)


def test_a_sample_that_fits_already_stays(backend):
    flow = GradientFlow(kernel_of_kind("scalar", backend.array), Huber(measure(backend), backend.array(0 * Y)))
    backend.close(flow.predict(backend.array(X_NEW), t=1e3), np.zeros((M, C)), factor=0)


# ---- what bad input gets ---------------------------------------------------------------------------------------------


def test_the_limit_is_refused_with_what_to_do(backend):
    flow, x_new = cross_entropy_flow(backend)
    with pytest.raises(
        ValueError, match=r"CrossEntropy .* its limit need not exist: give a finite t, or .* flow.until"
    ):
        flow.predict(x_new)
    with pytest.raises(AttributeError, match="CrossEntropy is integrated and has no spectrum"):
        _ = flow.spectrum


@pytest.mark.host
def test_what_is_no_state_or_no_time_is_refused():
    p_in = EmpiricalMeasure(X)
    flow = GradientFlow(kernel_of_kind("scalar", np.asarray), CrossEntropy(p_in, LABELS))
    other = GradientFlow(kernel_of_kind("scalar", np.asarray), Huber(p_in, Y[:, 0])).advance(1.0)
    closed = GradientFlow(kernel_of_kind("scalar", np.asarray), SquaredError(p_in, Y))
    for wrong in (3.0, other):
        for one in (flow, closed):
            with pytest.raises(TypeError, match="start must be a FlowState of this flow"):
                one.predict(t=2.0, start=wrong)
            with pytest.raises(TypeError, match="start must be a FlowState of this flow"):
                one.until(cost=0.1, longest=1.0, start=wrong)
    with pytest.raises(ValueError, match="t must be one time"):
        flow.advance([1.0, 2.0])
    with pytest.raises(ValueError, match="disagree on the number of outputs"):
        GradientFlow(kernel_of_kind("full", np.asarray), CrossEntropy(p_in, LABELS, classes=3))


@pytest.mark.host
def test_a_derivative_that_is_not_finite_is_an_error():
    cost = ExpectedLoss(EmpiricalMeasure(X), Y, lambda xp, f, y: f[:, 0], lambda xp, f, y: xp.sqrt(f - 10.0) + y)
    with np.errstate(invalid="ignore"), pytest.raises(RuntimeError, match="ExpectedLoss did not reach t = 1"):
        GradientFlow(kernel_of_kind("scalar", np.asarray), cost).predict(t=1.0)


# ---- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_wide_networks_trained_with_cross_entropy_follow_it():
    """The gap to the flow of the infinite-width kernel falls like width^(-1/2): by 4 from width 128 to 2048."""
    x, x_new = X / np.linalg.norm(X, axis=1, keepdims=True), X_NEW / np.linalg.norm(X_NEW, axis=1, keepdims=True)
    cost, steps, step = CrossEntropy(EmpiricalMeasure(x), LABELS), 100, 0.05
    gaps = []
    for width in (128, 512, 2048):
        net = ntk.nn.mlp((width,), C, weight_std=2**0.5)
        squares = []
        for seed in range(6):
            params = net.init(seed, like=x)
            trained = ntk.nn.train(net, params, cost, step=step, steps=steps).params
            flow = GradientFlow(ntk.InfiniteNTK(net), cost, net.bind(params))
            predicted = flow.predict(x_new, t=step * steps)
            squares.append(np.mean((net(trained, x_new) - predicted) ** 2))
        gaps.append(np.sqrt(np.mean(squares)))
    assert gaps[0] > 1.4 * gaps[1] > 1.4**2 * gaps[2]
    moved = np.sqrt(np.mean((predicted - net(params, x_new)) ** 2))
    assert gaps[2] < 0.05 * moved
