"""Spectra of kernels against dense eigensolvers, known eigenfunctions, matrix exponentials and the dynamics."""

import math

import numpy as np
import pytest
from scipy.linalg import expm

import ntk_array as ntk
from ntk_array.dynamics import GradientFlow, KernelSpectrum
from ntk_array.function_space import EmpiricalMeasure, Huber, SquaredError
from ntk_array.kernels import zonal_spectrum
from ntk_array.nn.parameters import tree_map

N, M, C = 7, 4, 2
WEIGHTS = np.asarray([0.05, 0.25, 0.1, 0.2, 0.2, 0.1, 0.1])
KINDS = ["scalar", "full"]
kinds = pytest.mark.parametrize("kind", KINDS)
weightings = pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])


def data():
    rng = np.random.default_rng(11)
    return rng.normal(size=(N, 3)), rng.normal(size=(M, 3)), rng.normal(size=(N, C))


def initial(x):
    return 0.5 * x[:, :C]


def kernel_of_kind(kind, array=np.asarray):
    if kind == "scalar":
        return ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="relu", weight_std=1.4, bias_std=0.3))
    net = ntk.nn.mlp((32,), C, activation="tanh", weight_std=1.4, bias_std=0.4)
    return ntk.EmpiricalNTK(net, tree_map(array, net.init(1, input_shape=(3,))), outputs=kind)


def matrix(kind, x1, x2=None):
    """Kernel values on the host as a matrix, with rows n * C + c for a full kernel."""
    block = kernel_of_kind(kind)(x1, x2)
    return block if kind == "scalar" else block.reshape(len(x1) * C, -1)


def problem(backend, kind, weighted):
    """The spectrum, and its matrix and weights by row on the host."""
    x, _, _ = data()
    p_in = EmpiricalMeasure(backend.array(x), backend.array(WEIGHTS) if weighted else None)
    w = WEIGHTS if weighted else np.full(N, 1 / N)
    return KernelSpectrum(kernel_of_kind(kind, backend.array), p_in), matrix(kind, x), np.repeat(w, rows_each(kind))


def rows_each(kind):
    return C if kind == "full" else 1


def functions(backend, kind, spectrum, x_new=None, count=None):
    """Eigenfunctions on the host in float64, as columns of a matrix."""
    values = spectrum.eigenfunctions(x_new, count)
    assert values.dtype == backend.dtype
    assert values.ndim == (3 if kind == "full" else 2)
    return backend.host(values).astype(np.float64).reshape(-1, values.shape[-1])


@weightings
@kinds
def test_values_are_those_of_a_dense_solver_for_the_operator(backend, kind, weighted):
    """K W is not symmetric, and needs no roots of weights."""
    spectrum, gram, w = problem(backend, kind, weighted)
    expected = np.sort(np.linalg.eigvals(gram * w).real)[::-1]
    assert spectrum.rank == len(gram)
    backend.close(spectrum.eigenvalues, expected, factor=50)
    assert math.isclose(spectrum.condition, expected[0] / expected[-1], rel_tol=1e3 * spectrum.condition * backend.eps)
    backend.close(np.sum(backend.host(spectrum.eigenvalues)), np.asarray(np.trace(gram * w)), factor=50)


@weightings
@kinds
def test_eigenfunctions_are_orthonormal_and_make_up_the_kernel(backend, kind, weighted):
    spectrum, gram, w = problem(backend, kind, weighted)
    e, mu = functions(backend, kind, spectrum), backend.host(spectrum.eigenvalues)
    backend.close(e.T * w @ e, np.eye(len(gram)), factor=100)
    backend.close(e * mu @ e.T, gram, factor=100)
    backend.close(gram * w @ e, e * mu, factor=100, scale=float(np.max(np.abs(e)) * mu[0]))


@weightings
@kinds
def test_the_extension_is_the_operator_over_its_eigenvalue(backend, kind, weighted):
    spectrum, _, w = problem(backend, kind, weighted)
    x, x_new, _ = data()
    e, mu = functions(backend, kind, spectrum), backend.host(spectrum.eigenvalues).astype(np.float64)
    got = functions(backend, kind, spectrum, backend.array(x_new))
    backend.close(got, matrix(kind, x_new, x) * w @ e / mu, factor=100 * spectrum.condition)
    # At the sample it is the eigenfunctions themselves; the first ones are not magnified.
    again = functions(backend, kind, spectrum, backend.array(x), 2)
    backend.close(again, e[:, :2], factor=100 * mu[0] / mu[1])
    assert functions(backend, kind, spectrum, None, 3).shape[1] == 3


@weightings
@kinds
def test_coefficients_and_shares(backend, kind, weighted):
    spectrum, _, w = problem(backend, kind, weighted)
    _, _, y = data()
    e = functions(backend, kind, spectrum)
    rows = y if kind == "scalar" else y.reshape(-1)
    expected = e.T * w @ rows
    f = backend.array(y)
    backend.close(spectrum.coefficients(f), expected, factor=100)
    backend.close(spectrum.coefficients(lambda x: f), expected, factor=100)
    shares = expected**2 if kind == "full" else np.sum(expected**2, axis=1)
    norm = np.sum((w * rows.T) @ rows) if kind == "full" else np.sum(w[:, None] * y * y)
    backend.close(spectrum.explained(f), shares / norm, factor=100)
    backend.close(np.sum(backend.host(spectrum.explained(f))), np.asarray(1.0), factor=100)
    if kind == "scalar":
        backend.close(spectrum.coefficients(f[:, 0]), expected[:, 0], factor=100)
        backend.close(spectrum.explained(f[:, 1]), expected[:, 1] ** 2 / np.sum(w * y[:, 1] ** 2), factor=100)


def circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def test_equispaced_points_on_the_circle_have_a_fourier_spectrum(backend):
    """The matrix is circulant: its eigenvalues are the discrete Fourier transform of a row."""
    n = 16
    angles = 2 * np.pi * np.arange(n) / n
    net = ntk.nn.mlp((1,), 1, activation="relu", bias_std=0.5)
    spectrum = KernelSpectrum(ntk.InfiniteNTK(net), EmpiricalMeasure(backend.array(circle(angles))))
    transform = np.fft.fft(ntk.InfiniteNTK(net)(circle(angles))[0]).real / n
    backend.close(spectrum.eigenvalues, np.sort(transform)[::-1], factor=50)
    # cos(m t) lies in the two components that share the m-th coefficient, and in no others.
    for m in (1, 2, 3):
        shares = backend.host(spectrum.explained(backend.array(np.cos(m * angles))))
        own = np.abs(backend.host(spectrum.eigenvalues) - transform[m]) < 1e-4
        assert own.sum() == 2
        assert abs(shares[own].sum() - 1) < 100 * backend.eps
        assert (shares[~own] < 100 * backend.eps).all()


def test_a_smooth_kernel_on_the_circle_extends_to_cosines(backend):
    """sum_k <e_k, cos> e_k is cos itself, off the sample too, where the kernel has no high frequencies to alias."""
    n = 24
    angles, between = 2 * np.pi * np.arange(n) / n, np.asarray([0.1, 1.0, 2.5])
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="erf", weight_std=0.8, bias_std=0.5))
    spectrum = KernelSpectrum(kernel, EmpiricalMeasure(backend.array(circle(angles))))
    e = backend.host(spectrum.eigenfunctions(backend.array(circle(between)), count=3))
    values = e @ backend.host(spectrum.coefficients(backend.array(np.cos(angles))))[:3]
    backend.close(values, np.cos(between), factor=1e3)


def test_a_quadrature_of_the_sphere_has_the_zonal_spectrum(backend):
    """Weighted points that integrate harmonics exactly: each eigenvalue appears once for every harmonic."""
    z, w = np.polynomial.legendre.leggauss(8)
    turns = 2 * np.pi * np.arange(16) / 16
    ring = np.sqrt(1 - z[:, None] ** 2)
    x = np.stack([ring * np.cos(turns), ring * np.sin(turns), np.repeat(z[:, None], 16, axis=1)], axis=-1)
    p_in = EmpiricalMeasure(backend.array(x.reshape(-1, 3)), backend.array(np.repeat(w / 32, 16)))
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="erf", weight_std=0.8, bias_std=0.5))
    known = zonal_spectrum(kernel, 3, 3, radius=1.0)
    expected = np.repeat(known.values, known.multiplicities.astype(int))
    got = backend.host(KernelSpectrum(kernel, p_in).eigenvalues)[: len(expected)]
    # The smooth kernel's degrees from 12 on, which these points confuse with lower ones, are below 1e-11.
    assert np.max(np.abs(got - expected)) < 1e-11 + 100 * backend.eps * expected[0]


@pytest.mark.parametrize("convention", ["mean", "half_sum"])
@weightings
@kinds
def test_errors_decay_as_stated(backend, kind, weighted, convention):
    """Against expm of the linear ODE d/dt r = -2 c K W r, and against the dynamics."""
    spectrum, gram, w = problem(backend, kind, weighted)
    _, _, y = data()
    cost = SquaredError(spectrum.p_in, backend.array(y), convention=convention)
    start = backend.host(spectrum.coefficients(initial(spectrum.p_in.x) - cost.y))
    flow = GradientFlow(spectrum.kernel, cost, f0=initial)
    residual = backend.host(initial(spectrum.p_in.x) - cost.y).astype(np.float64)
    residual = residual if kind == "scalar" else residual.ravel()
    e = functions(backend, kind, spectrum)
    times = [0.0, 0.1, 1.0, 20.0]
    left = backend.host(spectrum.remaining(cost, times))
    assert left.shape == (4, spectrum.rank)
    for time, share in zip(times, left, strict=True):
        share = share if kind == "full" else share[:, None]
        later = expm(-2 * cost.factor * time * gram * w) @ residual
        backend.close(share * start, e.T * w @ later, factor=1e3, scale=float(np.max(np.abs(start))))
        ours = spectrum.coefficients(flow.predict(t=time) - cost.y)
        backend.close(ours, share * start, factor=1e3, scale=float(np.max(np.abs(start))))
    backend.close(spectrum.remaining(cost, 1.0), left[2], factor=1)


def test_learning_times(backend):
    rows = backend.array(np.arange(3.0)[:, None])
    spectrum = KernelSpectrum(ntk.Precomputed(backend.array(np.diag([1.0, 6.0, 3.0]))), EmpiricalMeasure(rows))
    y = backend.array(np.ones(3))
    backend.close(spectrum.eigenvalues, [2.0, 1.0, 1 / 3], factor=10)
    for convention, factor in (("mean", 1.0), ("half_sum", 1.5), ("half_mean", 0.5)):
        cost = SquaredError(spectrum.p_in, y, convention=convention)
        times = spectrum.learning_times(cost)
        backend.close(times, np.asarray([0.25, 0.5, 1.5]) / factor, factor=10)
        left = spectrum.remaining(cost, backend.host(times))
        backend.close(np.diagonal(backend.host(left)), np.full(3, np.exp(-1.0)), factor=20)
        backend.close(spectrum.remaining(cost, [1e300, math.inf]), np.zeros((2, 3)))


@weightings
@kinds
def test_dimensions_are_traces_of_the_map_from_targets_to_predictions(backend, kind, weighted):
    spectrum, gram, w = problem(backend, kind, weighted)
    cost = SquaredError(spectrum.p_in, backend.array(data()[2]))
    n = len(gram)
    for ridge in (0.03, 2.0):
        smoother = gram @ np.linalg.inv(gram + ridge * np.diag(1 / (N * w)))
        backend.close(spectrum.effective_dimension(ridge), np.asarray(np.trace(smoother)), factor=1e3)
    backend.close(spectrum.effective_dimension(0.0), np.asarray(float(n)), factor=10)
    times = [0.0, 0.5, 30.0]
    learned = [np.trace(np.eye(n) - expm(-2 * time * gram * w)) for time in times]
    backend.close(spectrum.learned_dimension(cost, times), np.asarray(learned), factor=1e3)
    backend.close(spectrum.learned_dimension(cost, math.inf), np.asarray(float(n)), factor=10)


def test_dimensions_follow_the_ridge_and_time_of_the_flow(backend):
    """Targets that are the identity: one output for each training point."""
    spectrum, _, _ = problem(backend, "scalar", True)
    cost = SquaredError(spectrum.p_in, backend.array(np.eye(N)))
    ridged, flow = GradientFlow(spectrum.kernel, cost, ridge=0.5), GradientFlow(spectrum.kernel, cost)
    backend.close(spectrum.effective_dimension(0.5), np.trace(backend.host(ridged.predict())), factor=100)
    backend.close(spectrum.learned_dimension(cost, 2.0), np.trace(backend.host(flow.predict(t=2.0))), factor=100)


def test_repeated_inputs_lower_the_rank(backend):
    x, x_new, _ = data()
    x = np.concatenate([x, x[:2]])
    spectrum = KernelSpectrum(kernel_of_kind("scalar"), EmpiricalMeasure(backend.array(x)))
    assert spectrum.rank == N
    assert spectrum.eigenvalues.shape == (N,)
    assert np.isfinite(backend.host(spectrum.eigenfunctions(backend.array(x_new)))).all()
    # Opposite values at equal inputs cannot be learned.
    f = np.zeros(N + 2)
    f[[0, N]] = [1.0, -1.0]
    assert np.sum(backend.host(spectrum.explained(backend.array(f)))) < 100 * backend.eps
    f[1] = 2.0
    f[N + 1] = 2.0
    backend.close(np.sum(backend.host(spectrum.explained(backend.array(f)))), np.asarray(0.8), factor=100)


def test_a_zero_kernel_has_no_components(backend):
    rows = backend.array(np.arange(2.0)[:, None])
    spectrum = KernelSpectrum(ntk.Precomputed(backend.array(np.zeros((2, 2)))), EmpiricalMeasure(rows))
    f = backend.array(np.ones((2, 3)))
    cost = SquaredError(spectrum.p_in, f)
    assert (spectrum.rank, spectrum.condition) == (0, math.inf)
    assert spectrum.eigenfunctions().shape == spectrum.eigenfunctions(rows).shape == (2, 0)
    assert spectrum.coefficients(f).shape == (0, 3)
    assert spectrum.explained(f).shape == spectrum.learning_times(cost).shape == (0,)
    assert spectrum.remaining(cost, [1.0, math.inf]).shape == (2, 0)
    assert float(backend.host(spectrum.learned_dimension(cost, 1.0))) == 0.0
    assert float(backend.host(spectrum.effective_dimension(0.0))) == 0.0
    net = ntk.nn.mlp((4,), C)
    params = tree_map(lambda p: 0.0 * p, net.init(0, like=rows))
    full = KernelSpectrum(ntk.EmpiricalNTK(net, params), spectrum.p_in)
    assert full.eigenfunctions().shape == full.eigenfunctions(rows).shape == (2, C, 0)


@pytest.mark.host
def test_bad_arguments():
    x, _, y = data()
    p_in = EmpiricalMeasure(x)
    with pytest.raises(TypeError, match="kernel must be a kernel"):
        KernelSpectrum(np.eye(N), p_in)
    with pytest.raises(TypeError, match="p_in must be an EmpiricalMeasure"):
        KernelSpectrum(kernel_of_kind("scalar"), x)
    with pytest.raises(ValueError, match="class-wise kernel has a spectrum for each output"):
        KernelSpectrum(kernel_of_kind("classwise"), p_in)
    with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite"):
        KernelSpectrum(ntk.Precomputed(-np.eye(2)), EmpiricalMeasure(np.asarray([[0.0], [1.0]])))
    spectrum = KernelSpectrum(kernel_of_kind("full"), p_in)
    for count, match in ((0, "count must be a whole number"), (N * C + 1, "count is 15, and 14 eigenvalues")):
        with pytest.raises(ValueError, match=match):
            spectrum.eigenfunctions(count=count)
    with pytest.raises(ValueError, match="f has 1 outputs, the kernel has 2"):
        spectrum.coefficients(y[:, 0])
    with pytest.raises(ValueError, match="f is zero on the sample"):
        spectrum.explained(np.zeros((N, C)))
    with pytest.raises(TypeError, match="SquaredError only, got Huber"):
        spectrum.learning_times(Huber(p_in, y))
    with pytest.raises(ValueError, match="the cost is on another sample"):
        spectrum.remaining(SquaredError(EmpiricalMeasure(x), y), 1.0)
    with pytest.raises(ValueError, match="ridge must be"):
        spectrum.effective_dimension(-1.0)
    with pytest.raises(ValueError, match="t must be a time"):
        spectrum.remaining(SquaredError(p_in, y), -1.0)
