"""Chosen hyper-parameters against brute force: grids of rebuilt processes and of literal refits."""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal

import ntk_array as ntk
from ntk_array.dynamics import GaussianProcess, GradientFlow, select_hyperparameters
from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, SquaredError
from ntk_array.solve import spectrum
from ntk_array.solve.spectrum import decompose

from .test_gradient_flow import as_full, kernel_of_kind
from .test_leave_one_out import literal

N, C = 20, 2
CRITERIA = ("marginal_likelihood", "leave_one_out")
NAMES = ("log_weight_std", "log_bias_std", "log_noise")


def kernel_with(weight_std, bias_std, activation="erf"):
    return ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1, activation=activation, weight_std=weight_std, bias_std=bias_std))


START, TRUTH = kernel_with(1.0, 0.5), kernel_with(1.6, 0.7)


def data(n=N, outputs=C, kernel=TRUTH, seed=12):
    """Inputs, and targets drawn from the prior with noise of variance 0.05."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, np.linalg.cholesky(kernel(x) + 0.05 * np.eye(n)) @ rng.normal(size=(n, outputs))


def process_on(backend, noise=1.0, kernel=START):
    x, y = (backend.array(part) for part in data())
    return GaussianProcess(kernel, x, y, noise)


def host_criterion(by, kernel, noise):
    """With dense formulas on the host, the larger the better."""
    x, y = data()
    if by == "leave_one_out":
        return -np.sum((y - literal(as_full("scalar", kernel(x), C), y, noise)) ** 2) / N
    density = multivariate_normal(np.zeros(N), kernel(x) + noise * np.eye(N))
    return sum(density.logpdf(y[:, c]) for c in range(C))


def slack(backend):
    """What rounding may cost: of values of order 1 to 100."""
    return 1e-9 if backend.dtype_name == "float64" else 1e-2


@cache
def best_of_fine_grid(by):
    logs = np.arange(-8.0, 3.0, 0.1)
    values = [host_criterion(by, START, math.exp(log)) for log in logs]
    return max(values), logs[np.argmax(values)]


@cache
def best_of_coarse_grid(by):
    grid = product((0.5, 1.0, 2.0, 4.0), (0.1, 0.5, 2.0), (1e-3, 1e-2, 0.1, 1.0))
    return max(host_criterion(by, kernel_with(weight, bias), noise) for weight, bias, noise in grid)


@pytest.mark.parametrize("by", CRITERIA)
def test_the_noise_is_the_best_of_a_fine_grid(backend, by):
    process = process_on(backend)
    chosen = select_hyperparameters(process, by, wrt=["log_noise"])
    best, best_log = best_of_fine_grid(by)
    sign = -1.0 if by == "leave_one_out" else 1.0
    assert sign * chosen.value >= best - slack(backend)
    assert sign * chosen.start == pytest.approx(host_criterion(by, START, 1.0), rel=1e3 * backend.eps)
    assert abs(chosen.hyperparameters["log_noise"] - best_log) < 0.1 + 10 * slack(backend)
    assert chosen.model.noise == pytest.approx(math.exp(chosen.hyperparameters["log_noise"]))
    assert (chosen.converged, chosen.at_bound, chosen.kernels) == (True, (), 1)
    assert (process.noise, chosen.model.y.dtype) == (1.0, backend.dtype)
    again = GaussianProcess(START, process.x, process.y, chosen.model.noise)
    backend.close(chosen.model.predict(process.x).mean, again.predict(process.x).mean)


def initial(z):
    """An f_0, which the refits share."""
    return 0.1 * z[:, :C]


@pytest.mark.parametrize("kind", ["scalar", "classwise", "full"])
def test_the_ridge_of_a_flow_is_the_best_of_literal_refits(backend, kind):
    x, y = data(10)
    flow = GradientFlow(
        kernel_of_kind(kind, backend.array), SquaredError(EmpiricalMeasure(backend.array(x)), backend.array(y)), initial
    )
    chosen = select_hyperparameters(flow, "leave_one_out")
    block = as_full(kind, kernel_of_kind(kind, np.asarray)(x), C)
    grid = np.arange(-9.0, 3.0, 0.1)
    errors = [np.sum((y - initial(x) - literal(block, y - initial(x), math.exp(log))) ** 2) / 10 for log in grid]
    assert chosen.value <= min(errors) * (1 + slack(backend))
    assert chosen.at_bound == ()
    assert abs(chosen.hyperparameters["log_ridge"] - grid[np.argmin(errors)]) < 10 * slack(backend) + 0.1
    assert flow.ridge == 0.0
    backend.close(chosen.model.predict(), GradientFlow(flow.kernel, flow.cost, initial, chosen.model.ridge).predict())


def test_one_eigendecomposition_serves_all_noises(backend, monkeypatch):
    process, matrices = process_on(backend), []

    def counted(gram):
        matrices.append(gram.shape)
        return decompose(gram)

    monkeypatch.setattr(spectrum, "decompose", counted)
    assert select_hyperparameters(process, "leave_one_out", ["log_noise"]).evaluations > 30
    assert len(matrices) == 1
    matrices.clear()
    assert select_hyperparameters(process, "leave_one_out").kernels > 1
    assert len(matrices) > 1


@pytest.mark.parametrize("by", CRITERIA)
def test_the_choice_beats_a_coarse_grid(backend, by):
    chosen = select_hyperparameters(process_on(backend), by)
    sign = -1.0 if by == "leave_one_out" else 1.0
    assert sign * chosen.value >= best_of_coarse_grid(by) - slack(backend)
    # What the numbers say is what the model is.
    weight, bias, noise = (math.exp(chosen.hyperparameters[name]) for name in NAMES)
    rebuilt = host_criterion(by, kernel_with(weight, 0.5 * bias), noise)
    assert sign * chosen.value == pytest.approx(rebuilt, rel=1e-8 if backend.dtype_name == "float64" else 1e-2)


def test_the_amplitude_and_the_noise_have_their_closed_form(backend):
    """For S = a (K + r I) the likelihood is largest at a = y^T (K + r I)^{-1} y / N: on the host a search over r alone.

    The targets are 1000 times as large as the kernel expects, and one matrix is decomposed.
    """
    x, y = data(outputs=1)
    process = GaussianProcess(START, backend.array(x), backend.array(1000.0 * y), 1.0)
    chosen = select_hyperparameters(process, "marginal_likelihood", wrt=["log_amplitude", "log_noise"])

    def profile(log):
        gram = START(x) + math.exp(log) * np.eye(N)
        amplitude = float(1e6 * (y.T @ np.linalg.solve(gram, y))[0, 0] / N)
        return multivariate_normal(np.zeros(N), amplitude * gram).logpdf(1000.0 * y[:, 0]), amplitude

    logs = np.arange(-8.0, 3.0, 0.05)
    best, amplitude = max(profile(log) for log in logs)
    assert chosen.value >= best - slack(backend)
    assert abs(chosen.hyperparameters["log_amplitude"] - math.log(amplitude)) < 0.2
    assert (chosen.kernels, chosen.at_bound) == (1, ())
    assert chosen.model.kernel.factor == pytest.approx(math.exp(chosen.hyperparameters["log_amplitude"]))


@pytest.mark.host
@pytest.mark.parametrize("by", CRITERIA)
def test_factors_alone_end_where_the_slope_is_zero(by):
    """By differences of processes built anew: the noise stays as it was."""
    x, y = data()
    chosen = select_hyperparameters(GaussianProcess(START, x, y, 0.1), by, wrt=NAMES[:2])
    logs = np.asarray([chosen.hyperparameters[name] for name in NAMES[:2]])
    assert (chosen.model.noise, chosen.converged, chosen.at_bound) == (0.1, True, ())
    assert chosen.kernels > 2

    def value(logs):
        weight, bias = np.exp(logs).tolist()
        return host_criterion(by, kernel_with(weight, 0.5 * bias), 0.1)

    for e in np.eye(2):
        assert abs(value(logs + 1e-3 * e) - value(logs - 1e-3 * e)) / 2e-3 < 1e-3 * abs(value(logs))


@pytest.mark.host
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_the_likelihood_recovers_what_data_were_drawn_with(activation):
    """Wilks: twice the gain over the truth is chi-squared with three degrees of freedom; its 99.9 % quantile is 16."""
    truth = kernel_with(1.6, 0.5, activation)
    x, y = data(120, 3, truth, seed=2)
    chosen = select_hyperparameters(
        GaussianProcess(kernel_with(1.0, 1.0, activation), x, y, 1.0), "marginal_likelihood"
    )
    gain = chosen.value - float(GaussianProcess(truth, x, y, 0.05).log_marginal_likelihood())
    assert 0.0 <= 2.0 * gain < chi2.ppf(0.999, df=3)
    assert abs(chosen.hyperparameters["log_noise"] - math.log(0.05)) < 0.3
    assert abs(chosen.hyperparameters["log_weight_std"] - math.log(1.6)) < 0.3
    assert chosen.converged
    assert chosen.at_bound == ()


@pytest.mark.host
def test_the_error_does_not_see_the_scale():
    """Targets 1e6 times as large, or kernel and noise 1e4 times: the same choice."""
    x, y = data()
    process = GaussianProcess(START, x, y, 1.0)
    expected = select_hyperparameters(process, "leave_one_out").hyperparameters
    scaled = select_hyperparameters(GaussianProcess(START, x, 1e6 * y, 1.0), "leave_one_out").hyperparameters
    times = select_hyperparameters(GaussianProcess(1e4 * START, x, y, 1.0), "leave_one_out").hyperparameters
    for name in NAMES:
        assert scaled[name] == pytest.approx(expected[name], abs=1e-3)
        assert times[name] - (name == "log_noise") * math.log(1e4) == pytest.approx(expected[name], abs=1e-3)


# ---- bounds and what is said -----------------------------------------------------------------------------------------


def test_bounds_are_kept_and_said(backend):
    bounds = {"log_weight_std": (-0.1, 0.1), "log_noise": (-1.0, 0.0)}
    chosen = select_hyperparameters(process_on(backend), "marginal_likelihood", bounds=bounds)
    assert set(chosen.at_bound) >= {"log_weight_std", "log_noise"}
    assert chosen.hyperparameters["log_weight_std"] in bounds["log_weight_std"]
    assert chosen.hyperparameters["log_noise"] == -1.0


def test_targets_that_need_no_noise_end_at_the_bound(backend):
    """Small ones for the likelihood, for the error those of a kernel function; noise never becomes 0."""
    x, y = data()
    for by, targets in (("marginal_likelihood", 1e-3 * y), ("leave_one_out", START(x, x[:1] + 0.1))):
        process = GaussianProcess(START, backend.array(x), backend.array(targets), 0.5)
        chosen = select_hyperparameters(process, by, wrt=["log_noise"])
        assert chosen.at_bound == ("log_noise",)
        assert chosen.model.noise == pytest.approx(10 * process.spectrum.cutoff)


def test_repeated_inputs_without_noise_are_a_start(backend):
    """The criterion does not exist there; it does with the noise that is chosen."""
    x, y = (np.concatenate([part, part]) for part in data(12))
    y[:12] += 0.1
    process = GaussianProcess(START, backend.array(x), backend.array(y), 0.0)
    for by in CRITERIA:
        chosen = select_hyperparameters(process, by, wrt=["log_noise"])
        assert math.isnan(chosen.start)
        assert math.isfinite(chosen.value)
        with pytest.raises(np.linalg.LinAlgError, match=r"at \{'log_weight_std': 0.0\}.*rank 12.*choose it as well"):
            select_hyperparameters(process, by, wrt=["log_weight_std"])


@pytest.mark.host
def test_kernels_without_hyperparameters_leave_the_noise():
    x, y = data()
    process = GaussianProcess(ntk.Precomputed(START(x)), np.arange(N)[:, None], y, 1.0)
    expected = select_hyperparameters(GaussianProcess(START, x, y, 1.0), "marginal_likelihood", ["log_noise"])
    chosen = select_hyperparameters(process, "marginal_likelihood")
    assert chosen.hyperparameters == pytest.approx(expected.hyperparameters, abs=1e-6)
    with pytest.raises(TypeError, match="does not depend on hyper-parameters"):
        select_hyperparameters(process, "marginal_likelihood", wrt=["log_weight_std"])


@pytest.mark.host
def test_a_zero_kernel():
    """The best noise is the mean square of the targets; leave-one-out has nothing to go by."""
    y = np.asarray([1.0, 2.0, 3.0])
    process = GaussianProcess(ntk.Precomputed(np.zeros((3, 3))), np.arange(3)[:, None], y, 1.0)
    assert select_hyperparameters(process, "marginal_likelihood").model.noise == pytest.approx(14 / 3)
    with pytest.raises(ValueError, match="the kernel matrix is zero: no log_noise is better"):
        select_hyperparameters(process, "leave_one_out")


@pytest.mark.host
def test_progress_is_shown_only_if_asked_for(capsys):
    process = process_on_host()
    select_hyperparameters(process, "marginal_likelihood", "log_weight_std", progress=True)
    assert "hyper-parameters" in capsys.readouterr().err
    select_hyperparameters(process, "marginal_likelihood", ["log_weight_std"])
    assert capsys.readouterr().err == ""


def process_on_host():
    return GaussianProcess(START, *data(), 1.0)


@pytest.mark.host
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"by": "likelihood"}, ValueError, "by must be one of 'marginal_likelihood', 'leave_one_out'"),
        ({"wrt": ["noise"]}, ValueError, "wrt must be one of 'log_weight_std'"),
        ({"wrt": []}, ValueError, "wrt is empty: name some of log_weight_std"),
        (
            {"by": "leave_one_out", "wrt": ["log_amplitude", "log_noise"]},
            ValueError,
            "a common factor of kernel and noise",
        ),
        ({"bounds": {"log_ridge": (0.0, 1.0)}}, ValueError, "bounds must be one of"),
        ({"bounds": {"log_noise": (1.0, 0.0)}}, ValueError, "bounds of log_noise must be finite and in order"),
        ({"bounds": {"log_noise": (-math.inf, 0.0)}}, ValueError, "bounds of log_noise must be finite and in order"),
        ({"bounds": {"log_weight_std": (0.1, 1.0)}}, ValueError, "bounds of log_weight_std must contain 0"),
        ({"bounds": {"log_noise": (-99.0, -90.0)}}, ValueError, "bounds of log_noise end at -90; below -3"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        select_hyperparameters(process_on_host(), **{"by": "marginal_likelihood", **arguments})


@pytest.mark.host
def test_models_of_other_kinds_are_refused():
    x, y = data()
    p_in = EmpiricalMeasure(x)
    flow = GradientFlow(START, SquaredError(p_in, y))
    with pytest.raises(TypeError, match="model must be a GaussianProcess or a GradientFlow"):
        select_hyperparameters(START, "leave_one_out")
    with pytest.raises(ValueError, match="a flow has no marginal likelihood"):
        select_hyperparameters(flow, "marginal_likelihood")
    with pytest.raises(ValueError, match="wrt must be one of 'log_ridge'"):
        select_hyperparameters(flow, "leave_one_out", wrt=["log_weight_std"])
    with pytest.raises(TypeError, match="SquaredError only, got CrossEntropy"):
        select_hyperparameters(GradientFlow(START, CrossEntropy(p_in, np.arange(N) % 2)), "leave_one_out")
    unbiased = GaussianProcess(kernel_with(1.0, 0.0), x, y, 1.0)
    with pytest.raises(ValueError, match="no layer has a bias"):
        select_hyperparameters(unbiased, "marginal_likelihood", wrt=["log_bias_std"])
    assert set(select_hyperparameters(unbiased, "marginal_likelihood").hyperparameters) == set(NAMES) - {"log_bias_std"}


@pytest.mark.host
def test_noise_of_each_observation_is_kept():
    x, y = data()
    noise = np.linspace(0.05, 0.2, N)
    chosen = select_hyperparameters(GaussianProcess(START, x, y, noise), "marginal_likelihood")
    assert "log_noise" not in chosen.hyperparameters
    assert chosen.value >= chosen.start
    np.testing.assert_array_equal(chosen.model.noise, noise)
    with pytest.raises(ValueError, match="wrt must be one of"):
        select_hyperparameters(GaussianProcess(START, x, y, noise), "leave_one_out", wrt="log_noise")
