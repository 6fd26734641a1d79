"""Flows with friction: their filter in many digits, their differential equation, and descent in small steps."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import softmax

import ntk_array as ntk
from ntk_array.dynamics import GradientDescent, GradientFlow
from ntk_array.dynamics.damped import damped_bound, damped_filter
from ntk_array.dynamics.heavy_ball import IntegratedHeavyBall
from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, SquaredError

from .test_gradient_flow import WEIGHTS, C, M, N, as_full, data, kernel_of_kind, start
from .test_ode import assert_near

LABELS = np.asarray([0, 1, 1, 0, 1, 1])
X, X_NEW, Y = data()


@pytest.fixture(autouse=True)
def _the_filter_alone_on_jax(request):
    name = request.getfixturevalue("backend").name if "backend" in request.fixturenames else None
    if name == "jax" and "digits" not in request.node.name:
        pytest.skip("JAX compiles each operation, for seconds; the filter is tested on it")


# ---- the filter ------------------------------------------------------------------------------------------------------

RATE = 0.37
FRICTIONS = (0.0, 1e-8, 1e-3, 0.7, 2.0, 1e3, 1e8)
TIMES = (1e-8, 1e-3, 0.1, 1.0, 30.0, 1e4, 1e8)


def eigenvalues(friction):
    """Small and large ones, and around critical damping."""
    critical = (0.5 * friction) ** 2 / RATE
    near = [critical * (1.0 + d) for d in (0.0, 1e-12, -1e-12, 1e-9, -1e-8, 1e-6, -1e-4, 1e-4)] if friction else []
    return np.asarray([0.0, 1e-30, 1e-16, 1e-8, 1e-4, 0.3, 1.0, 7.0, *near])


def exact(s, rate, friction, time):
    """(1 - g) / s by the two exponentials of the characteristic equation."""
    with mpmath.workdps(130):
        s, rate, a, t = mpmath.mpf(s), mpmath.mpf(rate), mpmath.mpf(friction) / 2, mpmath.mpf(time)
        if s == 0:
            return rate * (t / a - (1 - mpmath.exp(-2 * a * t)) / (2 * a**2)) / 2 if a else rate * t**2 / 2
        mu = mpmath.sqrt(a**2 - rate * s)
        if mu == 0:
            return (1 - (1 + a * t) * mpmath.exp(-a * t)) / s
        g = (mpmath.exp((mu - a) * t) * (1 + a / mu) + mpmath.exp(-(mu + a) * t) * (1 - a / mu)) / 2
        return mpmath.re((1 - g) / s)


@cache
def hard_points(dtype_name, friction):
    """Eigenvalues as they are in the dtype, the filter, and how far rounding of what goes in moves it."""
    values, eps = eigenvalues(friction).astype(dtype_name).astype(float), float(np.finfo(dtype_name).eps)
    right, allowed = [], []
    for time in TIMES:
        for s in values.tolist():
            value = exact(s, RATE, friction, time)
            moved = (s * (1 + eps), RATE, friction, time), (s, RATE, friction * (1 + eps), time)
            moved += ((s, RATE, friction, time * (1 + eps)),)
            right.append(float(value))
            allowed.append(float(sum(abs(exact(*one) - value) for one in moved)))
    shape = len(TIMES), len(values)
    return values, np.reshape(right, shape), np.reshape(allowed, shape)


@pytest.mark.parametrize("friction", FRICTIONS)
def test_the_filter_loses_no_digits(backend, friction):
    values, right, allowed = hard_points(backend.dtype_name, friction)
    s = backend.array(values)
    for i, time in enumerate(TIMES):
        got = backend.host(damped_filter(s, RATE, friction, time)).astype(float)
        assert (np.abs(got - right[i]) <= 2 * allowed[i] + 16 * backend.eps * right[i]).all()
        assert (got <= damped_bound(RATE, friction, time) * (1 + 16 * backend.eps)).all()
        assert math.isclose(damped_bound(RATE, friction, time), right[i, 0], rel_tol=1e-14)


# ---- the differential equation ---------------------------------------------------------------------------------------

COSTS = {
    "squared": (SquaredError, Y, lambda f: 2 * (f - Y)),
    "cross-entropy": (CrossEntropy, LABELS, lambda f: softmax(f, axis=1) - np.eye(C)[LABELS]),
}
MOMENTS = [0.0, 0.3, 2.0, 15.0]


@cache
def integrated(name, kind, weighted, ridge, friction):
    """f_t by d^2/dt^2 f = -K w d(f) - (2 ridge / N) (f - f_0) - friction d/dt f, on sample and new points."""
    everywhere = np.concatenate([X, X_NEW])
    block = as_full(kind, kernel_of_kind(kind, np.asarray)(everywhere, X), C)
    w = (WEIGHTS if weighted else np.full(N, 1 / N))[:, None]
    f0 = start(everywhere)

    def motion(_, flat):
        f, v = flat.reshape(2, N + M, C)
        force = -np.einsum("icjd,jd->ic", block, w * COSTS[name][2](f[:N])) - 2 * ridge / N * (f - f0)
        return np.stack([v, force - friction * v]).ravel()

    begin = np.stack([f0, np.zeros_like(f0)]).ravel()
    path = solve_ivp(motion, (0, MOMENTS[-1]), begin, t_eval=MOMENTS, method="DOP853", rtol=1e-12, atol=1e-13).y.T
    f = path.reshape(len(MOMENTS), 2, N + M, C)[:, 0]
    return f[:, :N], f[:, N:]


def flow_of(backend, name, kind, weighted, ridge, friction, **options):
    p_in = EmpiricalMeasure(backend.array(X), backend.array(WEIGHTS) if weighted else None)
    cost = COSTS[name][0](p_in, backend.array(COSTS[name][1]))
    return GradientFlow(kernel_of_kind(kind, backend.array), cost, start, ridge, friction=friction, **options)


@pytest.mark.parametrize(
    "setting",
    [
        ("squared", "scalar", False, 0.0, 0.0),
        ("squared", "classwise", True, 0.3, 0.4),
        ("squared", "full", True, 0.0, 5.0),
        ("cross-entropy", "scalar", True, 0.0, 0.0),
        ("cross-entropy", "full", False, 0.3, 0.4),
        ("cross-entropy", "classwise", True, 0.0, 5.0),
    ],
    ids=str,
)
def test_it_solves_the_differential_equation(backend, setting):
    flow = flow_of(backend, *setting)
    on_sample, at_new = integrated(*setting)
    assert_near(backend, flow.predict(t=MOMENTS), on_sample)
    assert_near(backend, flow.predict(backend.array(X_NEW), t=MOMENTS), at_new)


def test_lanczos_follows_it(backend):
    setting = ("squared", "scalar", True, 0.3, 0.4)
    got = flow_of(backend, *setting, solver="lanczos").predict(backend.array(X_NEW), t=MOMENTS)
    assert_near(backend, got, integrated(*setting)[1])


def test_the_squared_error_integrated_is_its_closed_form(backend):
    p_in = EmpiricalMeasure(backend.array(X), backend.array(WEIGHTS))
    cost = SquaredError(p_in, backend.array(Y), convention="half_sum")
    closed = GradientFlow(kernel_of_kind("full", backend.array), cost, start, 0.3, friction=0.4)
    ball = IntegratedHeavyBall(closed.kernel, cost, start, 0.3, 0.4)
    for time, f in zip(MOMENTS, ball.functions(None, ball.path(MOMENTS, None)), strict=True):
        assert_near(backend, f, closed.predict(t=time))


@pytest.mark.host
def test_descent_with_momentum_follows_it_to_second_order():
    """To first order at k sqrt(eta) with (1 - m) / sqrt(eta), to second order with the corrected friction and time."""
    kernel, cost = kernel_of_kind("scalar", np.asarray), SquaredError(EmpiricalMeasure(X), Y)
    first, second = [], []
    for k in (50, 100, 200):
        h, friction = 4.0 / k, 0.6
        descent = GradientDescent(kernel, cost, h**2, 1 - friction * h, start).predict(X_NEW, k=k)
        first.append(np.abs(descent - GradientFlow(kernel, cost, start, friction=friction).predict(X_NEW, t=4.0)).max())
        m = (2 - friction * h) / (2 + friction * h)
        eta = h**2 * (1 + m) / 2
        assert math.isclose((1 - m) * math.sqrt(2 / ((1 + m) * eta)), friction)
        flow = GradientFlow(kernel, cost, start, friction=friction)
        descent = GradientDescent(kernel, cost, eta, m, start).predict(X_NEW, k=k)
        second.append(np.abs(descent - flow.predict(X_NEW, t=(k + 0.5) * math.sqrt(2 * eta / (1 + m)))).max())
    for errors, low, high in ((first, 1.8, 2.2), (second, 3.6, 4.4)):
        assert low < errors[0] / errors[1] < high
        assert low < errors[1] / errors[2] < high


@pytest.mark.host
def test_large_friction_is_gradient_flow_in_slow_time():
    kernel, cost = kernel_of_kind("full", np.asarray), SquaredError(EmpiricalMeasure(X, WEIGHTS), Y)
    ball = GradientFlow(kernel, cost, start, friction=1e9).predict(X_NEW, t=[1e8, 1e10])
    np.testing.assert_allclose(ball, GradientFlow(kernel, cost, start).predict(X_NEW, t=[0.1, 10.0]), atol=1e-8)


# ---- long times ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1e5, 1e17, 1e200, math.inf])
def test_with_friction_it_ends_in_kernel_regression(backend, t):
    """What cannot be learned stays."""
    kernel = ntk.Precomputed(backend.array(np.diag([4.0, 1.0, 0.0])))
    cost = SquaredError(EmpiricalMeasure(backend.array(np.arange(3.0)[:, None])), backend.array(np.ones(3)))
    flow = GradientFlow(kernel, cost, friction=0.5)
    backend.close(flow.predict(t=t), [1.0, 1.0, 0.0], factor=10)
    assert flow.solved.rank == 2


def test_without_friction_there_is_no_limit(backend):
    flow = flow_of(backend, "squared", "scalar", False, 0.1, 0.0)
    questions = (flow.predict, flow.leave_one_out, lambda: flow.solved, lambda: flow.advance(math.inf))
    for question in questions:
        with pytest.raises(ValueError, match="oscillates forever and has no limit: give a finite t"):
            question()
    with pytest.raises(ValueError, match=r"has turned by .* radians, more than .*float.* give a shorter time or more"):
        flow.predict(t=1e15)


@pytest.mark.host
def test_another_ridge_or_solver_keeps_the_friction():
    flow = flow_of(HOST, "squared", "full", True, 0.0, 0.4)
    expected = integrated("squared", "full", True, 0.3, 0.4)[1]
    for other in (flow.with_ridge(0.3), flow.with_ridge(0.3).with_solver("lanczos")):
        assert other.friction == 0.4
        np.testing.assert_allclose(other.predict(X_NEW, t=MOMENTS), expected, rtol=0, atol=1e-8)


class HOST:
    """NumPy, for helpers that take a backend."""

    array = staticmethod(np.asarray)


# ---- states and crossings --------------------------------------------------------------------------------------------


def test_it_goes_on_from_a_state(backend):
    flow = flow_of(backend, "cross-entropy", "scalar", True, 0.0, 0.4)
    direct = flow.advance(9.0)
    state = flow.advance(9.0, start=flow.advance(4.0))
    assert_near(backend, state.coefficients, direct.coefficients)
    assert_near(backend, state.velocities, direct.velocities)
    slope = (flow.advance(9.001).coefficients - flow.advance(8.999).coefficients) / 0.002
    np.testing.assert_allclose(
        backend.host(direct.velocities), backend.host(slope), atol=1e-5 if backend.dtype_name == "float64" else 0.02
    )


@pytest.mark.host
def test_states_of_other_flows_are_refused():
    resting = flow_of(HOST, "cross-entropy", "scalar", True, 0.0, None)
    moving = flow_of(HOST, "cross-entropy", "scalar", True, 0.0, 0.4)
    for flow, other in ((resting, moving), (moving, resting)):
        with pytest.raises(TypeError, match="start must be a FlowState of this flow"):
            flow.predict(t=2.0, start=other.advance(1.0))
    with pytest.raises(ValueError, match="its limit need not exist"):
        moving.predict()
    with pytest.raises(ValueError, match="friction must be finite and not negative"):
        flow_of(HOST, "squared", "scalar", True, 0.0, -1.0)


def swinging(friction, solver="direct", slow=0.0):
    """One direction with rate s = 1, and another that may be slow."""
    values = np.asarray([1.0, slow])
    cost = SquaredError(EmpiricalMeasure(np.arange(2.0)[:, None]), np.asarray([2.0, 0.0]))  # C = g^2 * 4 / 2
    return GradientFlow(ntk.Precomputed(np.diag(values)), cost, friction=friction, solver=solver)


@pytest.mark.host
@pytest.mark.parametrize("solver", ["spectrum", "lanczos"])
def test_the_first_crossing_of_a_cost_that_rises_again(solver):
    """g = cos t: the cost is a quarter at t = pi / 3, and as large as at the start again at t = pi."""
    flow = swinging(0.0, solver)
    assert math.isclose(flow.until(cost=0.5, longest=math.pi).time, math.pi / 3, rel_tol=1e-12)
    # From pi on it falls again: cos t = -1/2 at 4 pi / 3.
    later = flow.until(cost=0.5, longest=1e3, start=flow.advance(math.pi))
    assert math.isclose(later.time, 4 * math.pi / 3, rel_tol=1e-12)
    with pytest.raises(ValueError, match="does not fall to"):
        flow.until(cost=0.5, longest=1.0)


@pytest.mark.host
@pytest.mark.parametrize("friction", [0.05, 2.0, 300.0])
def test_crossings_of_damped_swings(friction):
    """Against the root of g in many digits."""
    flow = swinging(friction)
    mu = mpmath.sqrt(mpmath.mpf(friction) ** 2 / 4 - 1)

    def g(t):
        a = mpmath.mpf(friction) / 2
        if mu == 0:
            return mpmath.exp(-a * t) * (1 + a * t)
        return mpmath.re(mpmath.exp(-a * t) * (mpmath.cosh(mu * t) + a * mpmath.sinh(mu * t) / mu))

    state = flow.until(cost=2 * 0.3**2, longest=1e4)
    bracket = (state.time * 0.9, state.time * 1.1)
    assert math.isclose(
        state.time, float(mpmath.findroot(lambda t: g(t) - 0.3, bracket, solver="anderson")), rel_tol=1e-10
    )
    assert g(0.99 * state.time) > 0.3


@pytest.mark.host
def test_the_integrated_cost_crosses_first_where_the_closed_form_does():
    flow = swinging(0.1)
    ball = IntegratedHeavyBall(flow.kernel, flow.cost, None, 0.0, 0.1)
    expected = flow.until(cost=0.02, longest=100.0)
    found = ball.until(0.02, 100.0, None)
    assert math.isclose(found.time, expected.time, rel_tol=1e-8)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, atol=1e-8)


@pytest.mark.host
def test_a_search_through_too_many_periods_gives_up(monkeypatch):
    monkeypatch.setattr("ntk_array.dynamics.heavy_ball.MOST_LOOKS", 100)
    cost = SquaredError(EmpiricalMeasure(np.arange(2.0)[:, None]), np.asarray([2.0, 1.0]))
    flow = GradientFlow(ntk.Precomputed(np.diag([1.0, 0.0])), cost, friction=0.0)
    with pytest.raises(ValueError, match=r"period of only 6\.28.*go on from there with start=flow.advance"):
        flow.until(cost=0.1, longest=1e6)
