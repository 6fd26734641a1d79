"""Gaussian processes against dense formulas, SciPy, scikit-learn and literal refits."""

from functools import cache

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

import ntk_array as ntk
from ntk_array.dynamics import Ensemble, GaussianProcess
from ntk_array.function_space import EmpiricalMeasure, SquaredError

N, M, C = 8, 4, 2
NOISES = (0.0, 0.05, 3.0)
NET = ntk.nn.mlp((1, 1), 1, activation="erf", weight_std=1.4, bias_std=0.3)
KERNEL = ntk.InfiniteNNGP(NET)


def assert_near(backend, actual, desired, accuracy=1e-10):
    """In float64 to the accuracy; in float32 to eps times condition numbers of about 1e3."""
    actual, desired = backend.host(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    accuracy = accuracy if backend.dtype_name == "float64" else 1e-3
    np.testing.assert_allclose(actual, desired, rtol=0, atol=accuracy * max(1.0, np.abs(desired).max()))


def data(vector=False):
    rng = np.random.default_rng(3)
    x, x_new, y = rng.normal(size=(N, 3)), rng.normal(size=(M, 3)), rng.normal(size=(N, C))
    return x, x_new, y[:, 0] if vector else y


def process_of(backend, noise, vector=False):
    x, x_new, y = (backend.array(part) for part in data(vector))
    return GaussianProcess(KERNEL, x, y, noise), x_new


def posterior(x, x_new, y, noise):
    """The formulas with a Cholesky factor, on the host."""
    factor = cho_factor(KERNEL(x) + noise * np.eye(len(x)))
    cross = KERNEL(x_new, x)
    return cross @ cho_solve(factor, y), KERNEL(x_new) - cross @ cho_solve(factor, cross.T)


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("noise", NOISES)
def test_the_posterior_is_that_of_the_dense_formulas(backend, noise, vector):
    process, x_new = process_of(backend, noise, vector)
    x, host_new, y = data(vector)
    for place, points in ((x_new, host_new), (None, x), (process.x, x)):
        got = process.predict(place)
        mean, covariance = posterior(x, points, y, noise)
        assert_near(backend, got.mean, mean)
        assert_near(backend, got.covariance, covariance)
        assert got.mean.dtype == got.covariance.dtype == backend.dtype
        symmetric = backend.host(got.covariance)
        np.testing.assert_array_equal(symmetric, symmetric.T)


def test_the_posterior_is_conditioning_of_the_joint_gaussian(backend):
    """An independent route: the precision matrix of everything, whose block belongs to the new points."""
    process, x_new = process_of(backend, 0.05)
    x, host_new, y = data()
    joint = KERNEL(np.concatenate([x, host_new])) + np.diag([0.05] * N + [0.0] * M)
    precision = np.linalg.inv(joint)
    covariance = np.linalg.inv(precision[N:, N:])
    assert_near(backend, process.predict(x_new).covariance, covariance)
    assert_near(backend, process.predict(x_new).mean, -covariance @ precision[N:, :N] @ y)


@pytest.mark.parametrize("noise", NOISES)
def test_the_marginal_likelihood_is_that_of_scipy(backend, noise):
    x, _, y = data()
    process, _ = process_of(backend, noise)
    density = multivariate_normal(np.zeros(N), KERNEL(x) + noise * np.eye(N))
    expected = sum(density.logpdf(y[:, c]) for c in range(C))
    value = process.log_marginal_likelihood()
    assert value.shape == ()
    assert_near(backend, value, expected)
    alone, _ = process_of(backend, noise, vector=True)
    assert_near(backend, alone.log_marginal_likelihood(), density.logpdf(y[:, 0]))


@pytest.mark.host
@pytest.mark.parametrize("noise", [1e-6, 0.05])
def test_scikit_learn_agrees(noise):
    x, x_new, y = data(vector=True)
    kernel = RBF(1.3)
    reference = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(x, y)
    mean, covariance = reference.predict(x_new, return_cov=True)
    gram = ntk.Precomputed(kernel(np.concatenate([x, x_new])))
    rows = np.arange(N + M)[:, None]
    process = GaussianProcess(gram, rows[:N], y, noise)
    got = process.predict(rows[N:])
    np.testing.assert_allclose(got.mean, mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(got.covariance, covariance, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        process.log_marginal_likelihood(), reference.log_marginal_likelihood_value_, rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("noise", NOISES)
def test_leave_one_out_is_a_refit_without_each_input(backend, noise, vector):
    process, _ = process_of(backend, noise, vector)
    x, _, y = data(vector)
    means, variances = [], []
    for i in range(N):
        rest = np.arange(N) != i
        mean, covariance = posterior(x[rest], x[i : i + 1], y[rest], noise)
        means.append(mean[0])
        variances.append(covariance[0, 0] + noise)
    left_out = process.leave_one_out()
    assert_near(backend, left_out.mean, np.stack(means))
    assert_near(backend, left_out.residual, y - np.stack(means))
    assert_near(backend, left_out.variance, np.stack(variances))


def test_leave_one_out_of_repeated_inputs_with_noise(backend):
    """Noise makes S regular, and the formula holds."""
    x, _, y = data(vector=True)
    x, y = np.concatenate([x, x[:3]]), np.concatenate([y, y[:3] + 1.0])
    process = GaussianProcess(KERNEL, backend.array(x), backend.array(y), 0.1)
    assert not process.singular
    means = []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        means.append(posterior(x[rest], x[i : i + 1], y[rest], 0.1)[0][0])
    assert_near(backend, process.leave_one_out().mean, np.stack(means))


@pytest.mark.host
def test_leave_one_out_of_one_input():
    process = GaussianProcess(KERNEL, np.ones((1, 3)), np.asarray([2.0]), 0.5)
    left_out = process.leave_one_out()
    prior = KERNEL(np.ones((1, 3)))[0, 0]
    np.testing.assert_allclose([left_out.mean[0], left_out.residual[0]], [0.0, 2.0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(left_out.variance, [prior + 0.5], rtol=1e-14)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_samples_have_the_posterior_mean_and_covariance(backend, noise):
    """Within four standard errors of 20,000 draws."""
    draws = 20_000
    process, x_new = process_of(backend, noise)
    x, host_new, y = data()
    mean, covariance = posterior(x, host_new, y, noise)
    samples = backend.host(process.sample(x_new, draws, seed=5)).astype(float)
    assert samples.shape == (draws, M, C)
    variances = np.diag(covariance)
    assert (np.abs(samples.mean(axis=0) - mean) < 4 * np.sqrt(variances / draws)[:, None]).all()
    errors = np.sqrt((variances[:, None] * variances + covariance**2) / draws)
    for c in range(C):
        assert (np.abs(np.cov(samples[..., c].T) - covariance) < 4 * errors).all()
    across = np.mean((samples[..., 0] - mean[:, 0]) * (samples[..., 1] - mean[:, 1]), axis=0)
    assert (np.abs(across) < 4 * variances / draws**0.5).all()


def test_one_seed_gives_the_same_draws_on_every_library(backend):
    process, x_new = process_of(backend, 0.05, vector=True)
    x, host_new, y = data(vector=True)
    expected = GaussianProcess(KERNEL, x, y, 0.05).sample(host_new, 3, seed=8)
    assert_near(backend, process.sample(x_new, 3, seed=8), expected)
    np.testing.assert_array_equal(
        backend.host(process.sample(x_new, 3, seed=8)), backend.host(process.sample(x_new, 3, seed=8))
    )
    on_sample = process.sample(None, 2, seed=8)
    assert (on_sample.shape, on_sample.dtype) == ((2, N), backend.dtype)


def test_without_noise_it_is_the_limit_of_training_the_last_layer(backend):
    process, x_new = process_of(backend, 0.0)
    x, _, y = (backend.array(part) for part in data())
    limit = Ensemble(KERNEL, KERNEL, SquaredError(EmpiricalMeasure(x), y)).predict(x_new)
    assert_near(backend, process.predict(x_new).mean, backend.host(limit.mean))
    assert_near(backend, process.predict(x_new).covariance, backend.host(limit.covariance))


# ---- derivatives of the marginal likelihood --------------------------------------------------------------------------

NAMES = ("log_weight_std", "log_bias_std", "log_noise", "log_amplitude")


def host_likelihood(kernel, logs, noise=0.3):
    """On the host, of kernel and noise built anew, by a Cholesky factor: the logarithms of four factors to a value."""
    x, _, y = data()
    weight, bias, noise_factor, amplitude = np.exp(logs).tolist()
    gram = amplitude * kernel.rescaled(weight_std=weight, bias_std=bias)(x) + noise * noise_factor * np.eye(N)
    factor = cho_factor(gram, lower=True)
    log_determinant = 2 * np.sum(np.log(np.diag(factor[0])))
    return -0.5 * (np.sum(y * cho_solve(factor, y)) + C * log_determinant + C * N * np.log(2 * np.pi))


def difference_quotients(function):
    """Richardson's central differences along each of four arguments at 0."""

    def slope(direction, h):
        return (function(h * direction) - function(-h * direction)) / (2 * h)

    return [(4 * slope(e, 5e-4) - slope(e, 1e-3)) / 3 for e in np.eye(4)]


@cache
def likelihood_slopes(kernel):
    return difference_quotients(lambda logs: host_likelihood(kernel, logs))


@pytest.mark.parametrize(
    ("made", "activation"),
    [
        (ntk.InfiniteNNGP, "relu"),
        (ntk.InfiniteNTK, "erf"),
        (ntk.InfiniteNTK, "gelu"),
        (ntk.InfiniteNNGP, "tanh"),
    ],
)
def test_the_gradient_is_the_difference_quotient_of_rebuilt_processes(backend, made, activation):
    kernel = made(ntk.nn.mlp((1, 1), 1, activation=activation, weight_std=1.4, bias_std=0.3))
    x, _, y = (backend.array(part) for part in data())
    process = GaussianProcess(kernel, x, y, 0.3)
    value, slopes = process.log_marginal_likelihood(gradient=True)
    assert_near(backend, value, host_likelihood(kernel, np.zeros(4)))
    assert tuple(slopes) == NAMES
    for name, expected in zip(NAMES, likelihood_slopes(kernel), strict=True):
        assert (slopes[name].shape, slopes[name].dtype) == ((), backend.dtype)
        # The noise of the quotient is eps times a value of about 30 over a step of 5e-4.
        rtol = 1e-6 if backend.dtype_name == "float64" else 1e-3
        np.testing.assert_allclose(backend.host(slopes[name]), expected, rtol=rtol, atol=1e-9 * rtol / 1e-6)


def test_the_gradient_of_sums_products_and_vector_targets(backend):
    """Of kernels, with a column of targets by itself."""
    x, _, y = data(vector=True)
    kernel = 0.5 * KERNEL * KERNEL + 2.0 * ntk.InfiniteNTK(NET)
    process = GaussianProcess(kernel, backend.array(x), backend.array(y), 0.05)

    def value(logs):
        weight, bias, noise, amplitude = np.exp(logs).tolist()
        gram = amplitude * kernel.rescaled(weight, bias)(x) + 0.05 * noise * np.eye(N)
        return multivariate_normal(np.zeros(N), gram).logpdf(y)

    got = process.log_marginal_likelihood(gradient=True)[1]
    assert_near(backend, backend.xp.stack([got[name] for name in NAMES]), difference_quotients(value), 1e-7)


def test_a_gradient_of_some_names(backend):
    process, _ = process_of(backend, 0.05)
    everything = process.log_marginal_likelihood(gradient=True)[1]
    for wanted in ("log_noise", ("log_bias_std", "log_weight_std"), []):
        value, slopes = process.log_marginal_likelihood(gradient=wanted)
        backend.close(value, process.log_marginal_likelihood(), factor=0)
        assert list(slopes) == ([wanted] if isinstance(wanted, str) else list(wanted))
        for name, slope in slopes.items():
            backend.close(slope, everything[name], factor=0)


@pytest.mark.host
def test_derivatives_that_do_not_exist():
    x, _, y = data()
    unbiased = ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1))
    gram = ntk.Precomputed(KERNEL(x))
    rows = np.arange(N)[:, None]
    assert list(GaussianProcess(unbiased, x, y, 0.1).log_marginal_likelihood(True)[1]) == [
        "log_weight_std",
        "log_noise",
        "log_amplitude",
    ]
    assert "log_noise" not in GaussianProcess(KERNEL, x, y, 0.0).log_marginal_likelihood(True)[1]
    assert tuple(GaussianProcess(gram, rows, y, 0.1).log_marginal_likelihood(True)[1]) == NAMES[2:]
    with pytest.raises(ValueError, match=r"log_bias_std: no layer has a bias \(bias_std = 0\)"):
        GaussianProcess(unbiased, x, y, 0.1).log_marginal_likelihood(["log_bias_std"])
    with pytest.raises(ValueError, match="log_noise: the noise is 0, its logarithm -inf"):
        GaussianProcess(KERNEL, x, y, 0.0).log_marginal_likelihood(["log_noise"])
    with pytest.raises(TypeError, match="does not depend on hyper-parameters"):
        GaussianProcess(gram, rows, y, 0.1).log_marginal_likelihood(["log_weight_std"])
    with pytest.raises(ValueError, match=r"gradient must be one of 'log_weight_std'.*got 'noise'"):
        GaussianProcess(KERNEL, x, y, 0.1).log_marginal_likelihood(["noise"])


def test_the_gradient_of_the_leave_one_out_error(backend):
    x, _, y = (backend.array(part) for part in data())
    wrt = (*NAMES[:2], "log_amplitude")
    slopes = GaussianProcess(KERNEL, x, y, 0.3).leave_one_out_gradient(wrt)
    assert tuple(slopes) == wrt
    host_x, _, host_y = data()

    def error(logs):
        weight, bias, _, amplitude = np.exp(logs).tolist()
        gram = amplitude * KERNEL.rescaled(weight, bias)(host_x)
        inverse = np.linalg.inv(gram + 0.3 * np.eye(N))
        return np.sum((inverse @ host_y / np.diag(inverse)[:, None]) ** 2) / N

    expected = dict(zip(NAMES, difference_quotients(error), strict=True))
    for name in wrt:
        assert_near(backend, slopes[name], expected[name], 1e-8)


# ---- the same process with another noise or kernel -------------------------------------------------------------------


@pytest.mark.parametrize("vector", [False, True])
def test_another_noise_takes_no_other_decomposition(backend, vector, monkeypatch):
    process, x_new = process_of(backend, 0.0, vector)
    made = process_of(backend, 0.3, vector)[0].with_solver("spectrum")
    monkeypatch.setattr("ntk_array.solve.spectrum.decompose", None)
    other = process.with_noise(0.3)
    assert (process.noise, other.noise, other.factor.ridge, other.factor.method) == (0.0, 0.3, 0.3, "spectrum")
    backend.close(other.predict(x_new).covariance, made.predict(x_new).covariance, factor=0)
    backend.close(other.log_marginal_likelihood(), made.log_marginal_likelihood(), factor=0)
    backend.close(other.leave_one_out().mean, made.leave_one_out().mean, factor=0)
    with pytest.raises(ValueError, match="noise must be finite and not negative"):
        process.with_noise(-1.0)


@pytest.mark.parametrize("solver", ["cholesky", "spectrum", "conjugate_gradient"])
def test_another_amplitude_is_another_kernel(backend, solver, monkeypatch):
    """Against the dense formulas; the spectrum is not decomposed again."""
    process = process_of(backend, 0.05)[0].with_solver(solver)
    x, host_new, y = data()
    monkeypatch.setattr("ntk_array.solve.spectrum.decompose", None)
    other = process.with_amplitude(3.0)
    # 3 K + 0.05 I has the posterior mean of K + (0.05 / 3) I, and 3 times its covariance.
    mean, covariance = posterior(x, host_new, y, 0.05 / 3.0)
    got = other.predict(backend.array(host_new), "diagonal")
    assert_near(backend, got.mean, mean, 1e-7)
    assert_near(backend, got.variance, 3.0 * np.diag(covariance), 1e-7)
    assert process.kernel is KERNEL
    with pytest.raises(ValueError, match="positive"):
        process.with_amplitude(0.0)


def test_another_amplitude_of_a_kernel_of_features(backend):
    """Features are scaled by its root: the posterior of K + (noise / amplitude) I."""
    x, x_new, y = (backend.array(part) for part in data())
    features = ntk.Nystroem.of(KERNEL, x, rank=6, seed=0)
    process = GaussianProcess(features, x, y, 0.3, "low_rank")
    expected = GaussianProcess(features, x, y, 0.1, "cholesky")
    assert_near(
        backend, process.with_amplitude(3.0).predict(x_new, None).mean, backend.host(expected.predict(x_new).mean)
    )


@pytest.mark.parametrize("vector", [False, True])
def test_a_rescaled_process_is_one_of_the_rescaled_kernel(backend, vector):
    process, x_new = process_of(backend, 0.3, vector)
    made = GaussianProcess(KERNEL.rescaled(1.1, 0.9), *(backend.array(part) for part in data(vector)[::2]), 0.3)
    mean = process.rescaled(weight_std=1.1, bias_std=0.9).predict(x_new).mean
    backend.close(mean, made.predict(x_new).mean, factor=0)


# ---- singular matrices -----------------------------------------------------------------------------------------------


def test_repeated_inputs_without_noise(backend):
    """The limit of vanishing noise: one input with the mean target. No NaN, and no leave-one-out."""
    x, x_new, y = data()
    twice, targets = np.concatenate([x, x[:3]]), np.concatenate([y, y[:3] + 2.0])
    merged = y.copy()
    merged[:3] += 1.0
    process = GaussianProcess(KERNEL, backend.array(twice), backend.array(targets), 0.0)
    assert process.singular
    assert process.spectrum.rank == N
    mean, covariance = posterior(x, x_new, merged, 0.0)
    assert_near(backend, process.predict(backend.array(x_new)).mean, mean)
    assert_near(backend, process.predict(backend.array(x_new)).covariance, covariance)
    assert_near(backend, process.predict().mean, np.concatenate([merged, merged[:3]]))
    assert_near(backend, process.predict().covariance, np.zeros((N + 3, N + 3)))
    assert np.isfinite(backend.host(process.sample(backend.array(x_new), 5, seed=0))).all()
    with pytest.raises(np.linalg.LinAlgError, match=r"11 rows has rank 8.*leave-one-out.*give a larger noise"):
        process.leave_one_out()
    with pytest.raises(np.linalg.LinAlgError, match="no density; drop repeated inputs"):
        process.log_marginal_likelihood()


def test_a_noise_below_rounding_does_not_count(backend):
    """Its size could not be told from the rounding of the matrix: refused, not answered with noise."""
    x, _, y = (backend.array(np.concatenate([part, part])) for part in data())
    process = GaussianProcess(KERNEL, x, y, 1e-30)
    assert process.singular
    with pytest.warns(RuntimeWarning, match="below what rounding does"):
        assert np.isfinite(backend.host(process.predict().mean)).all()
    with pytest.raises(np.linalg.LinAlgError, match="the noise 1e-30 is not above"):
        process.leave_one_out()


def test_a_zero_kernel(backend):
    rows, zero = backend.array(np.arange(3.0)[:, None]), ntk.Precomputed(backend.array(np.zeros((3, 3))))
    y = backend.array([1.0, 2.0, 3.0])
    for noise in (0.0, 0.5):
        process = GaussianProcess(zero, rows, y, noise)
        backend.close(1.0 + process.predict().mean, np.ones(3), factor=10)
        backend.close(process.predict().covariance, np.zeros((3, 3)), factor=0)
        assert process.singular == (noise == 0.0)
    backend.close(process.leave_one_out().residual, y, factor=10)


def test_covariances_are_positive_semidefinite(backend, rng):
    """Of a smooth kernel of condition 1e16, variances about 1: eigenvalues at least -1e-12 (float32: -1e-4). Without
    noise, directions down to the cut-off magnify rounding by up to 1 / sqrt(eps)."""
    line, grid = np.sort(rng.uniform(-2, 2, size=(30, 1)), axis=0), np.linspace(-3, 3, 25)[:, None]
    for noise in (0.0, 100 * backend.eps, 1e-3):
        process = GaussianProcess(KERNEL, backend.array(line), backend.array(np.sin(line[:, 0])), noise)
        for points in (backend.array(grid), None):
            lowest = np.linalg.eigvalsh(backend.host(process.predict(points).covariance).astype(float)).min()
            limit = 1e-12 if backend.dtype_name == "float64" else 1e-4
            assert lowest >= -(limit if noise else max(limit, 10 * backend.eps**0.5))


def test_indefinite_kernels_are_refused(backend):
    kernel = ntk.Precomputed(backend.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite"):
        GaussianProcess(kernel, backend.array([[0.0], [1.0]]), backend.array([0.0, 1.0]), 0.1)


@pytest.mark.host
def test_arguments_of_other_kinds_are_refused():
    x, x_new, y = data()
    net = ntk.nn.mlp((5,), C + 1)
    full = ntk.EmpiricalNTK(net, net.init(0, like=x))
    with pytest.raises(ValueError, match="disagree on the number of outputs"):
        GaussianProcess(full, x, y, 0.1)
    with pytest.raises(TypeError, match="kernel must be a kernel"):
        GaussianProcess(KERNEL(x), x, y, 0.1)
    with pytest.raises(ValueError, match="noise must be finite and not negative"):
        GaussianProcess(KERNEL, x, y, -0.1)
    with pytest.raises(ValueError, match=r"y has shape \(7, 2\)"):
        GaussianProcess(KERNEL, x, y[:7], 0.1)
    with pytest.raises(TypeError, match="y has float32"):
        GaussianProcess(KERNEL, x, y.astype(np.float32), 0.1)
    with pytest.raises(ValueError, match="differ beyond the first axis"):
        GaussianProcess(KERNEL, x, y, 0.1).predict(x_new[:, :2])
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1"):
        GaussianProcess(KERNEL, x, y, 0.1).sample(x_new, 0, seed=0)


# ---- noise of each observation, prior means, units ------------------------------------------------------------------


def mean_function(z):
    return 0.3 * z[:, :C] + 2.0


@pytest.mark.parametrize("solver", ["direct", "spectrum", "conjugate_gradient"])
def test_noise_of_each_observation_and_a_prior_mean(backend, rng, solver):
    x, x_new, y = data()
    noise = rng.uniform(0.05, 2.0, size=N)
    factor = cho_factor(KERNEL(x) + np.diag(noise))
    process = GaussianProcess(
        KERNEL, *(backend.array(part) for part in (x, y, noise)), solver, prior_mean=mean_function
    )
    for points in (x_new, None):
        at = x if points is None else points
        cross = KERNEL(at, x)
        mean = mean_function(at) + cross @ cho_solve(factor, y - mean_function(x))
        covariance = KERNEL(at) - cross @ cho_solve(factor, cross.T)
        there = None if points is None else backend.array(points)
        got = process.predict(there, "diagonal" if solver == "conjugate_gradient" else "full")
        assert_near(backend, got.mean, mean, 1e-8)
        assert_near(backend, got.variance, np.diagonal(covariance), 1e-8)
        if got.covariance is not None:
            assert_near(backend, got.covariance, covariance, 1e-8)
    assert_near(backend, process.noise, noise)


def test_likelihood_and_leave_one_out_with_noise_of_each_observation(backend, rng):
    x, _, y = data()
    noise = rng.uniform(0.05, 2.0, size=N)
    process = GaussianProcess(KERNEL, *(backend.array(part) for part in (x, y, noise)))

    def value(factor):
        density = multivariate_normal(np.zeros(N), KERNEL(x) + factor * np.diag(noise))
        return sum(density.logpdf(y[:, c]) for c in range(C))

    got, slope = process.log_marginal_likelihood(gradient="log_noise")
    assert_near(backend, got, value(1.0))
    h = 1e-4
    assert_near(backend, slope["log_noise"], (value(np.exp(h)) - value(np.exp(-h))) / (2 * h), 1e-6)
    i, rest = 3, np.arange(N) != 3
    cross = KERNEL(x[i : i + 1], x[rest])
    solved = np.linalg.solve(KERNEL(x[rest]) + np.diag(noise[rest]), np.concatenate([y[rest], cross.T], axis=1))
    left = process.leave_one_out()
    assert_near(backend, left.mean[i, :], (cross @ solved[:, :C])[0])
    assert_near(backend, left.variance[i], (KERNEL.diag(x[i : i + 1]) + noise[i] - cross @ solved[:, C:])[0, 0])
    same = process.with_noise(0.3)
    assert_near(backend, same.predict().mean, posterior(x, x, y, 0.3)[0])
    assert_near(backend, same.with_noise(backend.array(noise)).log_marginal_likelihood(), value(1.0))


@pytest.mark.host
@pytest.mark.parametrize(("dtype", "unit"), [(np.float64, 1e300), (np.float64, 1e-200), (np.float32, 1e30)])
def test_predictions_follow_the_unit_of_the_targets(dtype, unit):
    """Although squares of the targets overflow, or vanish."""
    x, x_new, y = (part.astype(dtype) for part in data(True))
    plain, scaled = (
        GaussianProcess(KERNEL, x, factor * y, 0.1, normalize_y=True).predict(x_new, None).mean
        for factor in (dtype(1.0), dtype(unit))
    )
    np.testing.assert_allclose(scaled / dtype(unit), plain, rtol=2e-4 if dtype == np.float32 else 1e-9)
    overflow = pytest.raises(ValueError, match="too large: differences from their means overflow")
    with np.errstate(over="ignore", invalid="ignore"), overflow:
        GaussianProcess(KERNEL, x, np.finfo(dtype).max * np.sign(y), 0.1, normalize_y=True)


@pytest.mark.parametrize("vector", [False, True])
def test_normalized_targets_are_fitted_in_their_own_units(backend, vector):
    x, x_new, y = data(vector)
    y = 1000.0 + 5.0 * y
    shift, scale = y.mean(axis=0), np.sqrt(np.mean((y - y.mean(axis=0)) ** 2))
    process = GaussianProcess(KERNEL, backend.array(x), backend.array(y), 0.1, normalize_y=True)
    mean, covariance = posterior(x, x_new, (y - shift) / scale, 0.1)
    got = process.predict(backend.array(x_new))
    assert_near(backend, got.mean, scale * mean + shift)
    assert_near(backend, got.covariance, scale**2 * covariance, 1e-8)
    density = multivariate_normal(np.zeros(N), scale**2 * (KERNEL(x) + 0.1 * np.eye(N)))
    columns = (y - shift).reshape(N, -1)
    assert_near(backend, process.log_marginal_likelihood(), sum(density.logpdf(column) for column in columns.T))
    rescaled = process.rescaled(1.1, 1.0).predict(backend.array(x_new))
    assert abs(backend.host(rescaled.mean).mean() - 1000.0) < 10.0
    left = process.leave_one_out()
    assert_near(backend, left.mean + left.residual, y)


@pytest.mark.host
def test_noise_and_units_that_make_no_sense_are_refused():
    x, _, y = data()
    with pytest.raises(ValueError, match="noise must be a number or 8 of them"):
        GaussianProcess(KERNEL, x, y, np.full(N, -1.0))
    with pytest.raises(ValueError, match="noise has shape"):
        GaussianProcess(KERNEL, x, y, np.ones(3))
    with pytest.raises(TypeError, match="prior_mean must be a function of x"):
        GaussianProcess(KERNEL, x, y, 0.1, prior_mean=1.0)
    assert repr(GaussianProcess(KERNEL, x, y, 0.1)) == (
        "GaussianProcess(InfiniteNNGP, 8 observations of 2 outputs, noise 0.1, cholesky)"
    )
    assert "noise of each observation" in repr(GaussianProcess(KERNEL, x, y, np.ones(N)))
    with pytest.raises(ValueError, match="give one of the two"):
        GaussianProcess(KERNEL, x, y, 0.1, prior_mean=mean_function, normalize_y=True)
    constant = GaussianProcess(KERNEL, x, np.full(N, 7.0), 0.1, normalize_y=True)
    np.testing.assert_allclose(constant.predict(None, None).mean, 7.0, rtol=1e-12)


@pytest.mark.host
def test_matrices_without_room_are_refused_before_work(monkeypatch):
    x, _, y = data()
    monkeypatch.setattr("ntk_array.gram.memory.available", lambda home: 1000)
    monkeypatch.setattr(ntk.Kernel, "__call__", None)
    with pytest.raises(
        MemoryError, match=r"kernel matrix of 8 rows in float64, with Direct beside it, takes .*, and 0\.977 KiB"
    ):
        GaussianProcess(KERNEL, x, y, 0.1)
    with pytest.raises(MemoryError, match="with Spectral beside it"):
        GaussianProcess(KERNEL, x, y, 0.1, "spectrum")
