"""Gradient flow against integration of its differential equation, and against exact solutions of singular kernels."""

import math
from functools import cache
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve

import ntk_array as ntk
from ntk_array.dynamics import GradientDescent, GradientFlow
from ntk_array.function_space import EmpiricalMeasure, Huber, SquaredError
from ntk_array.nn.parameters import flatten, tree_map, unflatten

N, M, C = 6, 3, 2
WEIGHTS = np.asarray([0.05, 0.3, 0.1, 0.25, 0.2, 0.1])
TIMES = (0.0, 0.01, 0.3, 2.0, 20.0)


def tolerance(backend):
    """1e-8 in float64, the accuracy promised; in float32 its eps times condition numbers of about 1e3."""
    return 1e-8 if backend.dtype_name == "float64" else 3e-4


def assert_near(backend, actual, desired):
    actual, desired = backend.host(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance(backend) * max(1.0, np.abs(desired).max()))


def data(vector=False):
    rng = np.random.default_rng(7)
    x, x_new, y = rng.normal(size=(N, 3)), rng.normal(size=(M, 3)), rng.normal(size=(N, C))
    return x, x_new, y[:, 0] if vector else y


def network(outputs):
    return ntk.nn.mlp((9,), outputs, activation="tanh", weight_std=1.3, bias_std=0.4)


def kernel_of_kind(kind, array, outputs=C):
    """A kernel of each kind; ``array`` moves host arrays to where its parameters shall live."""
    if kind == "scalar":
        return ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, activation="erf", weight_std=1.4, bias_std=0.3))
    net = network(outputs)
    return ntk.EmpiricalNTK(net, tree_map(array, net.init(1, input_shape=(3,))), outputs=kind)


def start(z):
    """An f_0 with two outputs."""
    return 0.5 * z[:, :C] + 0.25 * z[:, 1:]


def start_vector(z):
    return start(z)[:, 0]


def as_full(kind, block, outputs):
    """Kernel values of any kind as (N1, C, N2, C)."""
    if kind == "full":
        return block
    return np.einsum("cij,cd->icjd", block if kind == "classwise" else np.stack([block] * outputs), np.eye(outputs))


@cache
def integrated(kind, weighted, ridge, with_f0, vector):
    """f_t at TIMES on the sample and at new points, by integrating df/dt = -grad_K C - (2 ridge / N) (f - f_0)."""
    x, x_new, y = data(vector)
    outputs = 1 if vector else C
    everywhere = np.concatenate([x, x_new])
    block = as_full(kind, kernel_of_kind(kind, np.asarray, outputs)(everywhere, x), outputs)
    flat = block.reshape((N + M) * outputs, N * outputs)
    target = y.reshape(-1)
    weights = np.repeat(WEIGHTS if weighted else np.full(N, 1 / N), outputs)
    f0 = start(everywhere)[:, :outputs].ravel() if with_f0 else np.zeros(len(flat))

    def velocity(_, f):
        return -flat @ (weights * 2 * (f[: len(target)] - target)) - 2 * ridge / N * (f - f0)

    flow = solve_ivp(velocity, (0, TIMES[-1]), f0, t_eval=TIMES, method="DOP853", rtol=1e-12, atol=1e-13)
    values = flow.y.T.reshape(len(TIMES), N + M, outputs)
    values = values[..., 0] if vector else values
    return values[:, :N], values[:, N:]


SETTINGS = [
    # kind, weighted, ridge, with f_0, targets as (N,)
    ("scalar", False, 0.0, False, False),
    ("scalar", False, 0.0, False, True),
    ("scalar", True, 0.3, True, False),
    ("scalar", True, 0.0, True, True),
    ("classwise", False, 0.3, True, False),
    ("classwise", True, 0.0, False, False),
    ("full", False, 0.0, True, False),
    ("full", True, 0.3, False, False),
    ("full", True, 0.0, True, True),
]


def flow_of(backend, kind, weighted, ridge, with_f0, vector):
    x, x_new, y = data(vector)
    p_in = EmpiricalMeasure(backend.array(x), backend.array(WEIGHTS) if weighted else None)
    kernel = kernel_of_kind(kind, backend.array, 1 if vector else C)
    f0 = (start_vector if vector else start) if with_f0 else None
    return GradientFlow(kernel, SquaredError(p_in, backend.array(y)), f0, ridge), backend.array(x_new)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_solves_the_differential_equation(backend, setting):
    flow, x_new = flow_of(backend, *setting)
    on_sample, at_new = integrated(*setting)
    assert_near(backend, flow.predict(t=TIMES), on_sample)
    assert_near(backend, flow.predict(x_new, t=TIMES), at_new)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_its_limit_is_kernel_regression(backend, setting):
    """f_0 + Theta(x, X) (Theta + ridge / (N W))^-1 (y - f_0): without a ridge the weights do not matter."""
    kind, weighted, ridge, with_f0, vector = setting
    flow, x_new = flow_of(backend, *setting)
    x, host_new, y = data(vector)
    outputs = 1 if vector else C
    kernel = kernel_of_kind(kind, np.asarray, outputs)
    gram = as_full(kind, kernel(x), outputs).reshape(N * outputs, N * outputs)
    cross = as_full(kind, kernel(host_new, x), outputs).reshape(M * outputs, N * outputs)
    weights = np.repeat(WEIGHTS if weighted else np.full(N, 1 / N), outputs)
    f0 = (start(x)[:, :outputs].ravel(), start(host_new)[:, :outputs].ravel()) if with_f0 else (0.0, 0.0)
    dual = solve(gram + np.diag(ridge / (N * weights)), y.ravel() - f0[0], assume_a="pos")
    expected = (f0[1] + cross @ dual).reshape((M,) if vector else (M, C))
    assert_near(backend, flow.predict(x_new), expected)
    fitted = (f0[0] + gram @ dual).reshape(y.shape)
    assert_near(backend, flow.predict(), fitted if ridge else y)


def test_many_times_in_one_call_are_the_single_times(backend):
    flow, x_new = flow_of(backend, "full", True, 0.3, False, False)
    times = [0.0, 0.5, 30.0, math.inf]
    together = flow.predict(x_new, t=times)
    assert together.shape == (4, M, C)
    for i, t in enumerate(times):
        backend.close(together[i, :, :], flow.predict(x_new, t=t), factor=10)
    backend.close(flow.predict(x_new, t=backend.array([0.5, 30.0])), together[1:3, :, :], factor=10)


def test_at_time_zero_it_is_f0(backend):
    flow, x_new = flow_of(backend, "scalar", False, 0.0, True, True)
    backend.close(flow.predict(x_new, t=0.0), start_vector(x_new), factor=0)
    backend.close(flow.predict(t=0), start_vector(flow.cost.p_in.x), factor=0)


def test_the_training_points_are_new_points_too(backend):
    flow, _ = flow_of(backend, "full", True, 0.3, True, True)
    assert_near(backend, flow.predict(flow.cost.p_in.x, t=TIMES), backend.host(flow.predict(t=TIMES)))


def test_a_network_starts_the_flow(backend):
    x, x_new, y = (backend.array(part) for part in data())
    net = network(C)
    params = net.init(1, like=x)
    cost = SquaredError(EmpiricalMeasure(x), y)
    flow = GradientFlow(ntk.EmpiricalNTK(net, params), cost, net.bind(params))
    backend.close(flow.predict(x_new, t=0.0), net(params, x_new), factor=0)
    assert_near(backend, flow.predict(), backend.host(y))


# ---- degenerate kernels ----------------------------------------------------------------------------------------------

LONG = (0.0, 1e-3, 1.0, 1e3, 1e5, 3e5, 5e5, 1e6, 1e7, 3e7, 1e8, 1e9, 1e12, 1e15, 1e17, math.inf)


def exact_flow(features, features_new, residual, times, n):
    """B phi_t(A^T A) A^T r in 50 digits: in feature space, where the matrix is not singular."""
    with mpmath.workdps(50):
        a, b, r = (mpmath.matrix(part.tolist()) for part in (features, features_new, residual))
        values, vectors = mpmath.eigsy(a.T * a)
        right, left = vectors.T * (a.T * r), b * vectors
        flows = []
        for t in times:
            phi = [(1 if math.isinf(t) else -mpmath.expm1(-2 * mpmath.mpf(t) * s / n)) / s for s in values]
            flows.append([float(v) for v in left * mpmath.matrix([p * c for p, c in zip(phi, right, strict=True)])])
    return np.asarray(flows)


@pytest.mark.parametrize("consistent", [True, False], ids=["consistent", "inconsistent"])
@pytest.mark.parametrize("rank", [1, 4])
def test_singular_kernels_at_every_time(backend, rng, rank, consistent):
    """A Gram matrix of whole numbers, of exact rank, at times up to 1e17 and inf: the solution of minimum norm."""
    n, m = 9, 3
    features = rng.integers(-3, 4, size=(n + m, rank)).astype(float)
    features[0, :] = 1.0
    y = features[:n] @ rng.integers(-3, 4, size=rank) if consistent else rng.integers(-3, 4, size=n).astype(float)
    kernel = ntk.Precomputed(backend.array(features @ features.T))
    rows = backend.array(np.arange(float(n + m))[:, None])
    flow = GradientFlow(kernel, SquaredError(EmpiricalMeasure(rows[:n, :]), backend.array(y)))
    assert_near(backend, flow.predict(rows[n:, :], t=LONG), exact_flow(features[:n], features[n:], y, LONG, n))
    assert_near(backend, flow.predict(t=LONG), exact_flow(features[:n], features[:n], y, LONG, n))
    assert flow.spectrum.rank == rank
    squares = np.linalg.svd(features[:n], compute_uv=False) ** 2
    condition = squares[0] / squares[rank - 1]
    assert math.isclose(flow.spectrum.condition, condition, rel_tol=100 * backend.eps * condition)


def test_repeated_inputs_with_different_targets(backend):
    """They are one input with the mean target and the sum of the weights."""
    x, x_new, y = data()
    repeats = np.asarray([3, 1, 2, 1, 1, 1])
    index = np.repeat(np.arange(N), repeats)
    noise = np.random.default_rng(0).normal(size=(len(index), C))
    targets = y[index] + noise
    mean = np.stack([targets[index == i].mean(axis=0) for i in range(N)])
    kernel = kernel_of_kind("scalar", np.asarray)
    gram, cross = kernel(x), kernel(x_new, x)
    flow = GradientFlow(
        kernel_of_kind("scalar", backend.array),
        SquaredError(EmpiricalMeasure(backend.array(x[index])), backend.array(targets)),
    )
    assert flow.spectrum.rank == N
    limit = cross @ solve(gram, mean, assume_a="pos")
    for t in (1e10, 1e14, 1e17, math.inf):
        assert_near(backend, flow.predict(backend.array(x_new), t=t), limit)
        assert_near(backend, flow.predict(t=t), mean[index])
    root = np.sqrt(repeats)
    values, vectors = np.linalg.eigh(root[:, None] * gram * root)
    for t in (0.1, 3.0, 40.0):
        phi = -np.expm1(-2 * t * values / len(index)) / values
        weighted = root[:, None] * (vectors @ (phi[:, None] * (vectors.T @ (root[:, None] * mean))))
        assert_near(backend, flow.predict(backend.array(x_new), t=t), cross @ weighted)


@pytest.mark.host
def test_more_points_than_parameters(rng):
    """The empirical NTK has at most the rank of its parameters; its flow is the one of their least squares."""
    net = ntk.nn.mlp((2,), 1, activation="tanh", bias_std=0.5)
    x, x_new, y = rng.normal(size=(20, 2)), rng.normal(size=(4, 2)), rng.normal(size=20)
    params = net.init(0, like=x)
    jacobian, jacobian_new = (
        np.concatenate([j.reshape(len(z), -1) for j in flatten(net.jacobian(params, z)).values()], axis=1)
        for z in (x, x_new)
    )
    assert jacobian.shape[1] == 9
    f0 = net.bind(params)
    flow = GradientFlow(ntk.EmpiricalNTK(net, params), SquaredError(EmpiricalMeasure(x), y), f0)
    assert flow.spectrum.rank == 9
    residual = y - f0(x)[:, 0]
    expected = f0(x_new)[:, 0] + exact_flow(jacobian, jacobian_new, residual, LONG, 20)
    np.testing.assert_allclose(flow.predict(x_new, t=LONG), expected, rtol=0, atol=1e-8)
    fitted = f0(x)[:, 0] + exact_flow(jacobian, jacobian, residual, LONG, 20)
    np.testing.assert_allclose(flow.predict(t=LONG), fitted, rtol=0, atol=1e-8)


def test_a_zero_kernel_learns_nothing(backend):
    kernel = ntk.Precomputed(backend.array(np.zeros((3, 3))))
    rows = backend.array(np.arange(3.0)[:, None])
    flow = GradientFlow(kernel, SquaredError(EmpiricalMeasure(rows), backend.array(np.ones(3))))
    backend.close(flow.predict(t=[0.0, 1.0, 1e17, math.inf]), np.zeros((4, 3)), factor=0)
    assert flow.spectrum.rank == 0


@pytest.mark.host
def test_singular_kernels_with_a_ridge(rng):
    features = rng.integers(-3, 4, size=(9, 3)).astype(float)
    gram, y, rows = features @ features.T, rng.normal(size=9), np.arange(9)[:, None]
    flow = GradientFlow(ntk.Precomputed(gram), SquaredError(EmpiricalMeasure(rows), y), ridge=0.1)
    expected = features @ solve(features.T @ features + 0.1 * np.eye(3), features.T @ y)
    for t in (1e4, 1e17, math.inf):
        np.testing.assert_allclose(flow.predict(t=t), expected, rtol=0, atol=1e-12)


# ---- weight decay ----------------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_is_weight_decay_in_parameter_space(weighted):
    """Linearized network, cost + (rho / 2) ||theta - theta_0||^2, integrated over its parameters: ridge = rho N / 2."""
    x, x_new, y = data()
    rho = 0.05
    net = network(C)
    params = net.init(1, like=x)
    lin = ntk.nn.Linearized(net, params)
    cost = SquaredError(EmpiricalMeasure(x, WEIGHTS if weighted else None), y)
    shapes = {name: leaf.shape for name, leaf in flatten(params).items()}
    theta0 = np.concatenate([leaf.ravel() for leaf in flatten(params).values()])

    def tree(theta):
        ends = np.cumsum([0, *(math.prod(shape) for shape in shapes.values())])
        parts = (theta[a:b] for a, b in pairwise(ends))
        return unflatten(params, {k: part.reshape(s) for (k, s), part in zip(shapes.items(), parts, strict=True)})

    def velocity(_, theta):
        d = 2 * cost.p_in.column_weights * (lin(tree(theta), x) - y)
        gradient = np.concatenate([g.ravel() for g in flatten(net.vjp(params, x, d)).values()])
        return -gradient - rho * (theta - theta0)

    times = [0.3, 2.0, 20.0]
    path = solve_ivp(velocity, (0, times[-1]), theta0, t_eval=times, method="DOP853", rtol=1e-11, atol=1e-12).y.T
    flow = GradientFlow(ntk.EmpiricalNTK(net, params), cost, net.bind(params), ridge=rho * N / 2)
    for inputs in (x, x_new):
        expected = np.stack([lin(tree(theta), inputs) for theta in path])
        np.testing.assert_allclose(flow.predict(inputs, t=times), expected, rtol=0, atol=1e-8)


# ---- what bad input gets ---------------------------------------------------------------------------------------------


def test_kernel_and_targets_must_agree_on_the_outputs(backend):
    x, _, _ = data()
    x, y = backend.array(x), backend.array(np.zeros((N, C + 1)))
    for kind in ("classwise", "full"):
        with pytest.raises(ValueError, match="disagree on the number of outputs"):
            GradientFlow(kernel_of_kind(kind, backend.array), SquaredError(EmpiricalMeasure(x), y))


@pytest.mark.parametrize("t", [-1.0, [0.0, -1e-9], math.nan, [[1.0], [2.0]], []])
def test_bad_times_are_refused(backend, t):
    flow, _ = flow_of(backend, "scalar", False, 0.0, False, True)
    with pytest.raises(ValueError, match="t must be a time or a sequence of times"):
        flow.predict(t=t)


def test_indefinite_kernels_are_refused(backend):
    kernel = ntk.Precomputed(backend.array([[1.0, 2.0], [2.0, 1.0]]))
    cost = SquaredError(EmpiricalMeasure(backend.array([[0.0], [1.0]])), backend.array([0.0, 1.0]))
    with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite"):
        GradientFlow(kernel, cost).predict()


@pytest.mark.parametrize("vector", [False, True])
def test_f0_may_be_its_values_on_the_sample(backend, vector):
    flow, x_new = flow_of(backend, "scalar", True, 0.3, True, vector)
    values = flow.f0(flow.cost.p_in.x)
    known = GradientFlow(flow.kernel, flow.cost, values, 0.3)
    for t in (0.0, 1.0, math.inf):
        backend.close(known.predict(t=t), flow.predict(t=t), factor=0)
    with pytest.raises(ValueError, match="not known at new inputs: give f0 as a function"):
        known.predict(x_new)
    with pytest.raises(ValueError, match="f0 has shape"):
        GradientFlow(flow.kernel, flow.cost, values[:3, ...])


@pytest.mark.host
def test_arguments_of_other_kinds_are_refused():
    x, _, y = data()
    kernel, p_in = kernel_of_kind("scalar", np.asarray), EmpiricalMeasure(x)
    cost = SquaredError(p_in, y)
    with pytest.raises(TypeError, match="f0 must be a function of x"):
        GradientFlow(kernel, cost, "zero")
    with pytest.raises(TypeError, match="cost must be a cost functional"):
        GradientFlow(kernel, y)
    with pytest.raises(TypeError, match="SquaredError only, got Huber"):
        GradientDescent(kernel, Huber(p_in, y), 0.1)
    with pytest.raises(TypeError, match="kernel must be a kernel"):
        GradientFlow(kernel(x), cost)
    with pytest.raises(ValueError, match="ridge must be finite and not negative"):
        GradientFlow(kernel, cost, ridge=-1.0)
    with pytest.raises(ValueError, match=r"f0\(x\) has shape \(6, 1\); expected \(6, 2\)"):
        GradientFlow(kernel, cost, lambda z: z[:, 0])
    with pytest.raises(TypeError, match=r"f0\(x\) has float32"):
        GradientFlow(kernel, cost, lambda z: start(z).astype(np.float32))
    with pytest.raises(ValueError, match="differ beyond the first axis"):
        GradientFlow(kernel, cost).predict(x[:, :2])
