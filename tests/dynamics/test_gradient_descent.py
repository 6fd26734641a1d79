"""Gradient descent in closed form against literal steps, and the largest stable step from both sides."""

import math

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import GradientDescent, GradientFlow, max_step
from ntk_array.function_space import EmpiricalMeasure, SquaredError

N, M, C = 6, 3, 2
WEIGHTS = np.asarray([0.05, 0.3, 0.1, 0.25, 0.2, 0.1])
KINDS = ["scalar", "classwise", "full"]


def data():
    rng = np.random.default_rng(5)
    return rng.normal(size=(N, 3)), rng.normal(size=(M, 3)), rng.normal(size=(N, C))


def kernel_of_kind(kind, like):
    if kind == "scalar":
        return ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.3))
    net = ntk.nn.mlp((9,), C, activation="tanh", weight_std=1.3, bias_std=0.4)
    return ntk.EmpiricalNTK(net, net.init(1, like=like), outputs=kind)


def as_full(kind, block):
    if kind == "full":
        return block
    return np.einsum("cij,cd->icjd", block if kind == "classwise" else np.stack([block] * C), np.eye(C))


def start(z):
    return 0.5 * z[:, :C]


def literal_steps(kind, step, steps, weights, ridge, with_f0, momentum=0.0):
    """f <- f - step grad_K C - step (2 ridge / N) (f - f_0) + momentum times the last change, at the numbers asked.

    On the sample and at new points.
    """
    x, x_new, y = data()
    everywhere = np.concatenate([x, x_new])
    gram = as_full(kind, kernel_of_kind(kind, x)(everywhere, x))
    f0 = start(everywhere) if with_f0 else np.zeros((N + M, C))
    f, change, path = f0, 0.0, {0: f0}
    for k in range(1, max(steps) + 1):
        d = weights[:, None] * 2 * (f[:N] - y)
        change = momentum * change - step * np.einsum("icjd,jd->ic", gram, d) - step * 2 * ridge / N * (f - f0)
        f = f + change
        path[k] = f
    return np.stack([path[k] for k in steps])


@pytest.mark.parametrize(("weighted", "ridge", "with_f0"), [(False, 0.0, False), (True, 0.3, True)])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_closed_form_is_the_literal_iteration(backend, kind, momentum, weighted, ridge, with_f0):
    x, x_new, y = data()
    device_x = backend.array(x)
    p_in = EmpiricalMeasure(device_x, backend.array(WEIGHTS) if weighted else None)
    kernel, cost = kernel_of_kind(kind, device_x), SquaredError(p_in, backend.array(y))
    steps, step = [0, 1, 2, 7, 60], 0.2
    descent = GradientDescent(kernel, cost, step, momentum, start if with_f0 else None, ridge)
    weights = WEIGHTS if weighted else np.full(N, 1 / N)
    expected = literal_steps(kind, step, steps, weights, ridge, with_f0, momentum)
    backend.close(descent.predict(k=steps), expected[:, :N], factor=2e3)
    backend.close(descent.predict(backend.array(x_new), k=steps), expected[:, N:], factor=2e3)
    backend.close(descent.predict(k=7), expected[3, :N], factor=2e3)


@pytest.mark.parametrize("k", [1, 7, 1000, 10**5, 10**7])
@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999, 0.9999])
def test_many_steps_lose_no_digits(backend, momentum, k):
    """Against the power of the map of one step in 50 digits, on a kernel whose eigenvalues are known.

    Rounding may move an eigenvalue and the momentum, and the answer as much as it depends on them.
    """
    values = np.asarray([2.0**-20, 2.0**-13, 2.0**-6, 0.25, 1.0])
    x = backend.array(np.arange(5.0)[:, None])
    # N = 5 points and a cost of (5/2) (1/5) sum of squares make a step of 1 move along s by s.
    cost = SquaredError(EmpiricalMeasure(x), backend.array(np.ones(5)), convention="half_sum")
    got = backend.host(
        GradientDescent(ntk.Precomputed(backend.array(np.diag(values))), cost, 1.0, momentum).predict(k=k)
    )

    def exact(s_factor, momentum):
        return np.asarray([float(s * power_of_one_step(s * s_factor, momentum, k)) for s in values])

    right = exact(1.0, momentum)
    moved = [exact(1.0 + backend.eps, momentum), exact(1.0, momentum * (1.0 - backend.eps))]
    allowed = sum(np.abs(one - right) for one in moved) + 4 * backend.eps
    assert (np.abs(got - right) <= 8 * allowed).all()


def power_of_one_step(s, momentum, k):
    """phi_k(s) of a step of 1: the position after k times v' = momentum v + 1 - s x, x' = x + v'."""
    with mpmath.workdps(50):
        s, momentum = mpmath.mpf(float(s)), mpmath.mpf(momentum)
        return (mpmath.matrix([[1 - s, momentum, 1], [-s, momentum, 1], [0, 0, 1]]) ** k)[0, 2]


def test_a_run_that_overflows_says_that_it_diverges(backend):
    x = backend.array(np.arange(2.0)[:, None])
    cost = SquaredError(EmpiricalMeasure(x), backend.array(np.ones(2)))
    descent = GradientDescent(ntk.Precomputed(backend.array(np.diag([4.0, 1.0]))), cost, step=1.0)
    assert np.isfinite(backend.host(descent.predict(k=3))).all()
    with pytest.raises(OverflowError, match=r"step 1 diverges: .* largest stable step is 0\.5"):
        descent.predict(k=10_000)


def test_small_steps_follow_the_flow(backend):
    """To first order in the step: a tenth of the step, a tenth of the difference."""
    x, _, y = data()
    device_x = backend.array(x)
    kernel = kernel_of_kind("scalar", device_x)
    cost = SquaredError(EmpiricalMeasure(device_x), backend.array(y))
    flow = backend.host(GradientFlow(kernel, cost).predict(t=1.0))
    errors = [
        np.max(np.abs(backend.host(GradientDescent(kernel, cost, 1.0 / k).predict(k=k)) - flow)) for k in (100, 1000)
    ]
    assert 8 < errors[0] / errors[1] < 12


def diagonal(backend, *values):
    """A kernel with these eigenvalues, and its inputs."""
    n = len(values)
    return ntk.Precomputed(backend.array(np.diag(np.asarray(values)))), backend.array(np.arange(float(n))[:, None])


def test_max_step_of_a_known_spectrum(backend):
    kernel, rows = diagonal(backend, 4.0, 1.0, 0.5)
    assert isinstance(max_step(kernel, rows), float)
    assert math.isclose(max_step(kernel, rows), 3 / 4, rel_tol=10 * backend.eps)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_is_stable_up_to_max_step(momentum):
    """Just below it the fastest direction decays, just above it grows, by the literal heavy ball."""
    eigenvalues = np.asarray([4.0, 1.0])
    kernel, rows = ntk.Precomputed(np.diag(eigenvalues)), np.asarray([[0], [1]])
    for factor, grows in ((0.99, False), (1.01, True)):
        step = factor * max_step(kernel, rows, momentum)
        error, change = np.ones(2), np.zeros(2)
        for _ in range(2000):
            change = momentum * change - step * eigenvalues * error
            error = error + change
        assert (np.abs(error) > 1e3).any() == grows
        assert np.abs(error[1]) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_steps_below_max_step_converge_and_above_diverge(backend, kind):
    """The literal iteration f <- f - step (2/N) K (f - y), on the host, with the step of each library."""
    x, _, y = data()
    step = max_step(kernel_of_kind(kind, backend.array(x)), backend.array(x))
    gram = as_full(kind, kernel_of_kind(kind, x)(x)).reshape(N * C, N * C)

    def error_after(steps, step):
        power = np.linalg.matrix_power(np.eye(N * C) - step * 2 / N * gram, steps)
        return np.linalg.norm(power @ y.ravel())

    assert error_after(2**17, 0.999 * step) < 1e-2 * np.linalg.norm(y)
    assert error_after(20_000, 1.001 * step) > 1e6


@pytest.mark.host
def test_training_a_linearized_network_on_either_side_of_max_step():
    x, _, y = data()
    net = ntk.nn.mlp((9,), C, activation="tanh", bias_std=0.4)
    params = net.init(1, like=x)
    lin, cost = ntk.nn.Linearized(net, params), SquaredError(EmpiricalMeasure(x), y)
    step = max_step(ntk.EmpiricalNTK(net, params), x)
    below = ntk.nn.train(lin, params, cost, step=0.98 * step, steps=1000, record=[0, 500, 1000])
    assert below.costs[0] > below.costs[1] > below.costs[2]
    above = ntk.nn.train(lin, params, cost, step=1.02 * step, steps=1000, record=[0, 500, 1000])
    assert above.costs[2] > 1e6 * above.costs[1] > 1e6 * above.costs[0]


def test_the_closed_form_grows_above_max_step(backend):
    kernel, rows = diagonal(backend, 4.0, 1.0)
    cost = SquaredError(EmpiricalMeasure(rows), backend.array([1.0, 1.0]))
    step = max_step(kernel, rows)
    for factor, grows in ((0.9, False), (1.1, True)):
        f = backend.host(GradientDescent(kernel, cost, factor * step).predict(k=40))
        assert (abs(float(f[0]) - 1) > 1e3) is grows
        # (1 - 2 step s / N)^k by hand; 40 multiplications and the rounding of the step
        exact = 1 - (1 - factor * step * np.asarray([4.0, 1.0])) ** 40
        np.testing.assert_allclose(f, exact, rtol=500 * backend.eps)


def test_many_steps_reach_kernel_regression(backend):
    """With a singular kernel: what cannot be learned stays, and nothing is NaN."""
    kernel, rows = diagonal(backend, 4.0, 1.0, 0.0)
    descent = GradientDescent(kernel, SquaredError(EmpiricalMeasure(rows), backend.array(np.ones(3))), step=0.3)
    backend.close(descent.predict(k=[10**6, 10**12]), [[1.0, 1.0, 0.0]] * 2, factor=10)


def test_a_zero_kernel_has_no_largest_step(backend):
    with pytest.raises(ValueError, match="the kernel matrix is zero"):
        max_step(*diagonal(backend, 0.0, 0.0))


@pytest.mark.parametrize("k", [-1, 1.5, [0, -2], [[1], [2]], math.inf])
def test_bad_numbers_of_steps_are_refused(backend, k):
    kernel, rows = diagonal(backend, 2.0, 1.0)
    cost = SquaredError(EmpiricalMeasure(rows), backend.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="k must be a number of steps"):
        GradientDescent(kernel, cost, 0.1).predict(k=k)


@pytest.mark.host
@pytest.mark.parametrize("step", [0.0, -0.1, math.inf])
def test_steps_must_be_positive(step):
    kernel = ntk.Precomputed(np.eye(2))
    cost = SquaredError(EmpiricalMeasure(np.asarray([[0.0], [1.0]])), np.ones(2))
    with pytest.raises(ValueError, match="step must be"):
        GradientDescent(kernel, cost, step)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 2.0])
def test_momentum_must_be_below_one(momentum):
    kernel, rows = ntk.Precomputed(np.eye(2)), np.asarray([[0.0], [1.0]])
    cost = SquaredError(EmpiricalMeasure(rows), np.ones(2))
    with pytest.raises(ValueError, match="momentum must be"):
        GradientDescent(kernel, cost, 0.1, momentum=momentum)
    with pytest.raises(ValueError, match="momentum must be"):
        max_step(kernel, rows, momentum)


def test_a_linearized_network_with_momentum_follows_the_closed_form(backend):
    x, _, y = data()
    x, y = backend.array(x), backend.array(y)
    net = ntk.nn.mlp((9,), C, activation="tanh", bias_std=0.4)
    params = net.init(1, like=x)
    lin, cost = ntk.nn.Linearized(net, params), SquaredError(EmpiricalMeasure(x), y)
    descent = GradientDescent(ntk.EmpiricalNTK(net, params), cost, 0.1, momentum=0.8, f0=net.bind(params))
    trained = ntk.nn.train(lin, params, cost, step=0.1, steps=40, momentum=0.8)
    # Rounding of 40 steps, each of some dozens of eps.
    backend.close(lin(trained.params, x), descent.predict(k=40), factor=3e3)


def test_it_says_its_spectrum(backend):
    kernel, rows = diagonal(backend, 2.0, 1.0)
    descent = GradientDescent(kernel, SquaredError(EmpiricalMeasure(rows), backend.array([1.0, 1.0])), 0.1, ridge=0.5)
    assert (descent.spectrum.rank, descent.ridge) == (2, 0.5)
    backend.close(descent.spectrum.values, [[1.0, 2.0]])


def test_a_kernel_and_a_cost_of_other_outputs_have_no_step(backend):
    x, y = backend.array(np.eye(3)), backend.array(np.ones((3, 3)))
    net = ntk.nn.mlp((4,), 2)
    kernel = ntk.EmpiricalNTK(net, net.init(0, like=x))
    with pytest.raises(ValueError, match="disagree on the number of outputs"):
        max_step(kernel, SquaredError(EmpiricalMeasure(x), y))
