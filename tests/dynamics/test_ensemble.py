"""Ensembles against integration of the differential equation, simulated Gaussian functions and trained networks."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import cho_factor, cho_solve

import ntk_array as ntk
from ntk_array.dynamics import Ensemble
from ntk_array.function_space import Cost, EmpiricalMeasure, SquaredError

N, M, C = 6, 4, 2
WEIGHTS = np.asarray([0.05, 0.3, 0.1, 0.25, 0.2, 0.1])
TIMES = (0.0, 0.01, 0.3, 2.0, 20.0)
NET = ntk.nn.mlp((1, 1), 1, activation="erf", weight_std=1.4, bias_std=0.3)


def tolerance(backend):
    """1e-8 in float64; in float32 its eps times condition numbers of about 1e3."""
    return 1e-8 if backend.dtype_name == "float64" else 3e-4


def assert_near(backend, actual, desired):
    actual, desired = backend.host(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance(backend) * max(1.0, np.abs(desired).max()))


def data(vector=False):
    rng = np.random.default_rng(7)
    x, x_new, y = rng.normal(size=(N, 3)), rng.normal(size=(M, 3)), rng.normal(size=(N, C))
    return x, x_new, y[:, 0] if vector else y


def ensemble_of(backend, weighted=False, ridge=0.0, vector=False, readout_only=False):
    x, x_new, y = data(vector)
    p_in = EmpiricalMeasure(backend.array(x), backend.array(WEIGHTS) if weighted else None)
    cost = SquaredError(p_in, backend.array(y))
    nngp = ntk.InfiniteNNGP(NET)
    ensemble = Ensemble(nngp, nngp, cost, ridge) if readout_only else Ensemble.of(NET, cost, ridge)
    return ensemble, backend.array(x_new)


@cache
def integrated(weighted, ridge, vector, readout_only):
    """Mean and covariance at TIMES on the sample and then at new points.

    df/dt = -grad_K C - (2 ridge / N) (f - f_0) is linear: integrated from each unit vector as f_0 with y = 0, and
    from f_0 = 0 with y, it gives f_t = P f_0 + q.
    """
    x, x_new, y = data(vector)
    everywhere = np.concatenate([x, x_new])
    kernel = ntk.InfiniteNNGP(NET) if readout_only else ntk.InfiniteNTK(NET)
    block = kernel(everywhere, x)
    weights = (WEIGHTS if weighted else np.full(N, 1 / N))[:, None]
    columns = y.reshape(N, -1)
    target = np.concatenate([np.zeros((N, N + M)), columns], axis=1)
    f0 = np.concatenate([np.eye(N + M), np.zeros((N + M, columns.shape[1]))], axis=1)

    def velocity(_, flat):
        f = flat.reshape(f0.shape)
        return (-block @ (weights * 2 * (f[:N] - target)) - 2 * ridge / N * (f - f0)).ravel()

    flow = solve_ivp(velocity, (0, TIMES[-1]), f0.ravel(), t_eval=TIMES, method="DOP853", rtol=1e-11, atol=1e-12)
    values = flow.y.T.reshape(len(TIMES), *f0.shape)
    propagator, mean = values[:, :, : N + M], values[:, :, N + M :]
    covariance = propagator @ ntk.InfiniteNNGP(NET)(everywhere) @ np.swapaxes(propagator, 1, 2)
    return (mean[..., 0] if vector else mean), covariance


SETTINGS = [
    # weighted, ridge, targets as (N,), only the last layer trained
    (False, 0.0, False, False),
    (False, 0.3, True, False),
    (True, 0.0, True, False),
    (True, 0.3, False, False),
    (False, 0.0, True, True),
    (True, 0.1, False, True),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_solves_the_differential_equation(backend, setting):
    ensemble, x_new = ensemble_of(backend, *setting)
    mean, covariance = integrated(*setting)
    on_sample, at_new = ensemble.predict(t=TIMES), ensemble.predict(x_new, t=TIMES)
    assert_near(backend, on_sample.mean, mean[:, :N])
    assert_near(backend, on_sample.covariance, covariance[:, :N, :N])
    assert_near(backend, at_new.mean, mean[:, N:])
    assert_near(backend, at_new.covariance, covariance[:, N:, N:])
    both = ensemble.predict(backend.array(np.concatenate(data()[:2])), t=TIMES)
    assert_near(backend, both.covariance, covariance)


@pytest.mark.host
def test_simulated_gaussian_functions_have_this_distribution():
    """10,000 draws of f_0 from the NNGP, each evolved by a Runge-Kutta integration; four standard errors."""
    draws, steps, t = 10_000, 200, 1.5
    x, x_new, y = data(vector=True)
    everywhere = np.concatenate([x, x_new])
    theta, prior = ntk.InfiniteNTK(NET)(everywhere, x), ntk.InfiniteNNGP(NET)(everywhere)
    f = np.linalg.cholesky(prior) @ np.random.default_rng(1).normal(size=(N + M, draws))

    def velocity(f):
        return -theta @ (2 / N * (f[:N] - y[:, None]))

    h = t / steps
    for _ in range(steps):
        k1 = velocity(f)
        k2 = velocity(f + h / 2 * k1)
        k3 = velocity(f + h / 2 * k2)
        f = f + h / 6 * (k1 + 2 * k2 + 2 * k3 + velocity(f + h * k3))
    predicted = Ensemble.of(NET, SquaredError(EmpiricalMeasure(x), y)).predict(everywhere, t)
    assert_within_errors(f.T, predicted, 4.0)
    # A negative control: at half the time the distribution is another one.
    early = Ensemble.of(NET, SquaredError(EmpiricalMeasure(x), y)).predict(everywhere, t / 2)
    with pytest.raises(AssertionError):
        assert_within_errors(f.T, early, 4.0)


def assert_within_errors(draws, predicted, errors):
    """Means and covariances of draws (D, M) of a Gaussian, within standard errors."""
    count = len(draws)
    covariance = predicted.covariance
    variances = np.diag(covariance)
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - predicted.mean), errors * np.sqrt(variances / count))
    spread = np.sqrt((variances[:, None] * variances + covariance**2) / count)
    np.testing.assert_array_less(np.abs(np.cov(draws.T) - covariance), errors * spread)


@pytest.mark.host
@pytest.mark.parametrize("readout_only", [False, True], ids=["all layers", "last layer"])
def test_trained_networks_have_this_distribution(readout_only):
    """Wide networks trained by gradient descent from 200 initializations: their error of 1/width is below sampling."""
    networks, width, steps = 200, 512, 50
    x, x_new, y = data(vector=True)
    net = ntk.nn.mlp((width,), 1, activation="erf", weight_std=1.4, bias_std=0.3)
    cost = SquaredError(EmpiricalMeasure(x), y)
    nngp = ntk.InfiniteNNGP(net)
    ensemble = Ensemble(nngp, nngp, cost) if readout_only else Ensemble.of(net, cost)
    step = 0.05 * ntk.dynamics.max_step(ensemble.ntk_kernel, x)
    everywhere = np.concatenate([x[:2], x_new])
    outputs = []
    for seed in range(networks):
        params = net.init(seed, like=x)
        if readout_only:
            outputs.append(train_readout(net, params, cost, step, steps)(everywhere)[:, 0])
        else:
            outputs.append(net(ntk.nn.train(net, params, cost, step=step, steps=steps).params, everywhere)[:, 0])
    predicted = ensemble.predict(everywhere, t=step * steps)
    assert_within_errors(np.stack(outputs), predicted, 4.0)
    # The training moved the distribution by far more than that.
    with pytest.raises(AssertionError):
        assert_within_errors(np.stack(outputs), ensemble.predict(everywhere, t=0.0), 4.0)


def train_readout(net, params, cost, step, steps):
    """Gradient descent on the parameters of the last layer alone."""
    x, y = cost.p_in.x, cost.y
    for _ in range(steps):
        gradient = net.vjp(params, x, 2 / N * (net(params, x) - y))
        last = {name: value - step * gradient[-1][name] for name, value in params[-1].items()}
        params = (*params[:-1], last)
    return net.bind(params)


def test_at_time_zero_it_is_the_prior(backend):
    ensemble, x_new = ensemble_of(backend)
    start = ensemble.predict(x_new, t=0.0)
    backend.close(start.mean, np.zeros((M, C)), factor=0)
    backend.close(start.covariance, ensemble.nngp_kernel(x_new), factor=0)
    backend.close(start.standard_deviation**2, ensemble.nngp_kernel.diag(x_new), factor=10)


@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_training_the_last_layer_ends_in_the_posterior(backend, ridge):
    """Without a ridge the noise-free posterior. With one the mean is that of noise, the covariance is not."""
    ensemble, x_new = ensemble_of(backend, ridge=ridge, readout_only=True)
    x, host_new, y = data()
    kernel = ntk.InfiniteNNGP(NET)
    cross = kernel(host_new, x)
    factor = cho_factor(kernel(x) + ridge * np.eye(N))
    assert_near(backend, ensemble.predict(x_new).mean, cross @ cho_solve(factor, y))
    posterior = kernel(host_new) - cross @ cho_solve(factor, cross.T)
    if not ridge:
        assert_near(backend, ensemble.predict(x_new).covariance, posterior)
        assert_near(backend, ensemble.predict(x_new, t=1e12).covariance, posterior)
        assert_near(backend, ensemble.predict().mean, y)
        assert_near(backend, ensemble.predict().covariance, np.zeros((N, N)))
    else:
        excess = backend.host(ensemble.predict(x_new).covariance) - posterior
        assert np.linalg.eigvalsh(excess).max() < -1e-3


def test_training_all_layers_does_not_end_in_the_posterior(backend):
    ensemble, x_new = ensemble_of(backend)
    last, _ = ensemble_of(backend, readout_only=True)
    difference = backend.host(ensemble.predict(x_new).covariance) - backend.host(last.predict(x_new).covariance)
    assert np.abs(difference).max() > 1e-3


def test_covariances_are_symmetric_and_positive_semidefinite(backend, rng):
    """Exactly symmetric; eigenvalues at least -1e-9 (float32: -1e-4) of a smooth kernel of condition 1e16."""
    line, grid = np.sort(rng.uniform(-2, 2, size=(30, 1)), axis=0), np.linspace(-3, 3, 25)[:, None]
    cost = SquaredError(EmpiricalMeasure(backend.array(line)), backend.array(np.sin(line[:, 0])))
    ensemble = Ensemble.of(NET, cost)
    assert ensemble.spectrum.rank < 30
    for result in (ensemble.predict(backend.array(grid), t=[0.0, 1.0, 1e3, 1e8, math.inf]), ensemble.predict(t=[2.0])):
        covariance = backend.host(result.covariance)
        np.testing.assert_array_equal(covariance, np.swapaxes(covariance, 1, 2))
        floor = -1e-9 if backend.dtype_name == "float64" else -1e-4
        assert np.linalg.eigvalsh(covariance.astype(float)).min() >= floor * covariance[0].max()


def test_many_times_in_one_call_are_the_single_times(backend):
    ensemble, x_new = ensemble_of(backend, True, 0.1)
    times = [0.0, 0.5, 30.0, math.inf]
    together = ensemble.predict(x_new, t=times)
    assert (together.mean.shape, together.covariance.shape) == ((4, M, C), (4, M, M))
    assert together.standard_deviation.shape == (4, M)
    for i, t in enumerate(times):
        alone = ensemble.predict(x_new, t=t)
        backend.close(together.mean[i, ...], alone.mean, factor=10)
        # Rounding is of the size of the prior, of which late times leave little.
        backend.close(together.covariance[i, ...], alone.covariance, factor=100)
    assert together.mean.dtype == together.covariance.dtype == backend.dtype


@pytest.mark.host
def test_another_convention_of_the_cost_rescales_time():
    x, x_new, y = data()
    half_sum = Ensemble.of(NET, SquaredError(EmpiricalMeasure(x), y, convention="half_sum")).predict(x_new, t=0.1)
    mean = Ensemble.of(NET, SquaredError(EmpiricalMeasure(x), y)).predict(x_new, t=0.1 * N / 2)
    np.testing.assert_allclose(half_sum.mean, mean.mean, rtol=0, atol=1e-13)
    np.testing.assert_allclose(half_sum.covariance, mean.covariance, rtol=0, atol=1e-13)


def test_the_training_points_are_new_points_too(backend):
    ensemble, _ = ensemble_of(backend, True, 0.1)
    again, direct = ensemble.predict(ensemble.cost.p_in.x, t=TIMES), ensemble.predict(t=TIMES)
    assert_near(backend, again.mean, backend.host(direct.mean))
    assert_near(backend, again.covariance, backend.host(direct.covariance))


def test_repeated_inputs_are_one_input_with_their_mean_target(backend):
    x, x_new, y = data()
    twice = np.concatenate([x, x])
    targets = np.concatenate([y + 1.0, y - 1.0])
    repeated = Ensemble.of(NET, SquaredError(EmpiricalMeasure(backend.array(twice)), backend.array(targets)))
    assert repeated.spectrum.rank == N
    single, _ = ensemble_of(backend)
    for t in (0.0, 0.5, 1e9, math.inf):
        got, expected = repeated.predict(backend.array(x_new), t=t), single.predict(backend.array(x_new), t=t)
        assert_near(backend, got.mean, backend.host(expected.mean))
        assert_near(backend, got.covariance, backend.host(expected.covariance))


def test_a_zero_kernel_leaves_the_prior(backend):
    rows = backend.array(np.arange(3.0)[:, None])
    prior = np.asarray([[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
    zero, nngp = ntk.Precomputed(backend.array(np.zeros((3, 3)))), ntk.Precomputed(backend.array(prior))
    ensemble = Ensemble(zero, nngp, SquaredError(EmpiricalMeasure(rows), backend.array(np.ones(3))))
    result = ensemble.predict(t=math.inf)
    backend.close(result.mean, np.zeros(3), factor=0)
    backend.close(result.covariance, prior, factor=0)


@pytest.mark.host
def test_directions_that_are_not_trained_keep_their_covariance():
    """A singular Theta with a regular K: only what Theta sees becomes certain."""
    direction = np.asarray([1.0, 2.0, 2.0]) / 3
    prior = np.diag([1.0, 2.0, 3.0])
    theta = ntk.Precomputed(np.outer(direction, direction))
    cost = SquaredError(EmpiricalMeasure(np.arange(3)[:, None]), np.asarray([1.0, 0.0, 1.0]))
    result = Ensemble(theta, ntk.Precomputed(prior), cost).predict()
    rest = np.eye(3) - np.outer(direction, direction)
    np.testing.assert_allclose(result.covariance, rest @ prior @ rest, rtol=0, atol=1e-14)
    np.testing.assert_allclose(result.mean, direction, rtol=0, atol=1e-14)  # <direction, y> = 1


class OtherCost(Cost):
    def __call__(self, f):
        return self.values(f).sum()

    def representer(self, f):
        return f


@pytest.mark.host
def test_arguments_of_other_kinds_are_refused():
    x, x_new, y = data()
    p_in = EmpiricalMeasure(x)
    cost = SquaredError(p_in, y)
    theta, nngp = ntk.InfiniteNTK(NET), ntk.InfiniteNNGP(NET)
    net = ntk.nn.mlp((5,), C)
    full = ntk.EmpiricalNTK(net, net.init(0, like=x))
    with pytest.raises(ValueError, match=r"^ntk_kernel has blocks for each output \(full\).*infinite-width kernel"):
        Ensemble(full, nngp, cost)
    with pytest.raises(ValueError, match=r"^nngp_kernel has blocks for each output \(classwise\)"):
        Ensemble(theta, ntk.EmpiricalNTK(net, full.params, outputs="classwise"), cost)
    with pytest.raises(TypeError, match="ntk_kernel must be a kernel"):
        Ensemble(theta(x), nngp, cost)
    with pytest.raises(TypeError, match="nngp_kernel must be a kernel"):
        Ensemble(theta, None, cost)
    with pytest.raises(TypeError, match="SquaredError only, got OtherCost"):
        Ensemble(theta, nngp, OtherCost(p_in, y))
    with pytest.raises(ValueError, match="ridge must be finite and not negative"):
        Ensemble.of(NET, cost, ridge=-1.0)
    with pytest.raises(TypeError, match="net must be a network"):
        Ensemble.of(theta, cost)
    with pytest.raises(ValueError, match=r"outputs are not Gaussian at infinite width.*append Dense"):
        Ensemble.of(ntk.nn.Sequential(ntk.nn.Dense(C), ntk.nn.ReLU()), cost)
    with pytest.raises(ValueError, match="t must be a time or a sequence of times"):
        Ensemble.of(NET, cost).predict(x_new, t=-1.0)
    with pytest.raises(ValueError, match="differ beyond the first axis"):
        Ensemble.of(NET, cost).predict(x_new[:, :2])
