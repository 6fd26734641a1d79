"""The dynamics by every solver, against the spectrum, whose own tests compare it with differential equations."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import Ensemble, GaussianProcess, GradientDescent, GradientFlow
from ntk_array.function_space import CrossEntropy, EmpiricalMeasure, SquaredError
from ntk_array.solve import ConjugateGradient, Direct, KernelMatrix, Lanczos

from .test_gaussian_process import KERNEL, process_of
from .test_gradient_flow import WEIGHTS, C, as_full, data, flow_of, kernel_of_kind

KINDS = ("scalar", "classwise", "full")
FREE = (ConjugateGradient(matrix_free=True, tolerance=1e-7), ConjugateGradient(rank=0, tolerance=1e-7), "cholesky")


def one_shape_only(backend):
    """JAX compiles anew for each shape of a block, which takes longer than all the rest."""
    if backend.name == "jax":
        pytest.skip("each shape of a block is compiled")


def near(backend, got, desired, accuracy=1e-5):
    got, desired = backend.host(got), backend.host(desired)
    if backend.dtype_name == "float32":
        accuracy = 1e-2
    np.testing.assert_allclose(got, desired, rtol=0, atol=accuracy * np.abs(desired).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_limits_of_flows(backend, kind, weighted):
    flow, x_new = flow_of(backend, kind, weighted, 0.3, True, False)
    exact = flow.with_solver("spectrum")
    assert flow.solved.solver == "cholesky"
    for solver in FREE if backend.dtype_name == "float64" else ("cholesky", "conjugate_gradient"):
        other = flow.with_solver(solver)
        for x in (x_new, None):
            near(backend, other.predict(x), exact.predict(x))
        near(backend, other.advance(np.inf).coefficients, exact.advance(np.inf).coefficients)
    assert other.solved.residual < 1e-3


# On a busy machine OpenBLAS now and then says so of finite numbers in float32. NaN would fail the comparisons below.
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_lanczos_follows_the_flow_and_the_descent(backend, kind, weighted):
    one_shape_only(backend)
    x, x_new, y = data(False)
    cost = SquaredError(
        EmpiricalMeasure(backend.array(x), backend.array(WEIGHTS) if weighted else None), backend.array(y)
    )
    kernel, x_new = kernel_of_kind(kind, backend.array), backend.array(x_new)
    for times in (0.5, [0.1, 2.0]):
        exact = GradientFlow(kernel, cost, ridge=0.1).predict(x_new, times)
        for solver in ("lanczos", Lanczos(matrix_free=True)):
            flow = GradientFlow(kernel, cost, ridge=0.1, solver=solver)
            near(backend, flow.predict(x_new, times), exact)
            near(backend, flow.predict(None, times), GradientFlow(kernel, cost, ridge=0.1).predict(None, times))
    descent = GradientDescent(kernel, cost, 0.05, momentum=0.5, solver="lanczos")
    near(
        backend,
        descent.predict(x_new, [3, 20]),
        GradientDescent(kernel, cost, 0.05, momentum=0.5).predict(x_new, [3, 20]),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_matrix_by_its_products_is_the_matrix(backend, kind, weighted, rng):
    x, factors = data(False)[0], rng.uniform(0.5, 2.0, size=len(WEIGHTS))
    kernel = kernel_of_kind(kind, backend.array)
    dense = backend.host(kernel(backend.array(x))).astype(float)
    stack = {"scalar": dense[None], "classwise": dense, "full": as_full("full", dense, C).reshape(1, len(x) * C, -1)}[
        kind
    ]
    n = stack.shape[-1]
    scale = np.repeat(factors, n // len(x))[:, None] if weighted else np.ones((n, 1))
    stack = scale * stack * scale.T
    matrix = KernelMatrix(kernel, backend.array(x), backend.array(scale) if weighted else None)
    assert matrix.shape == stack.shape
    v = rng.normal(size=(len(stack), n, 3))
    backend.close(matrix.product(backend.array(v)), stack @ v, factor=20)
    backend.close(matrix.diagonal(), np.diagonal(stack, axis1=1, axis2=2), factor=20)
    backend.close(matrix.columns([4, 0, n - 1]), stack[:, :, [4, 0, n - 1]], factor=20)
    backend.close(matrix.array(), stack, factor=20)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_parts_of_posteriors_are_those_of_the_whole(backend, noise):
    one_shape_only(backend)
    process, x_new = process_of(backend, noise)
    for x in (x_new, None):
        whole = process.predict(x)
        means, variances = process.predict(x, None, memory=1000), process.predict(x, "diagonal", memory=1000)
        backend.close(means.mean, whole.mean, factor=100)
        prior = float(backend.host(KERNEL.diag(process.x if x is None else x)).max())  # rounding is of this size
        backend.close(variances.variance + prior, whole.variance + prior, factor=100)
        backend.close(variances.standard_deviation**2, variances.variance, factor=10)
        assert means.covariance is None
        assert variances.covariance is None
        assert means.variance is None
    mean, covariance = process.predict(x_new)
    assert mean.shape[0] == covariance.shape[0]


def test_parts_of_ensembles_are_those_of_the_whole(backend):
    one_shape_only(backend)
    x, x_new, y = (backend.array(part) for part in data(False))
    ensemble = Ensemble.of(ntk.nn.mlp((1, 1), 1, bias_std=0.3), SquaredError(EmpiricalMeasure(x), y), ridge=0.1)
    for t in (0.7, [0.0, 3.0, np.inf]):
        for points in (x_new, None):
            whole = ensemble.predict(points, t)
            means = ensemble.predict(points, t, None, memory=1000)
            variances = ensemble.predict(points, t, "diagonal", memory=2000)
            backend.close(means.mean, whole.mean, factor=100)
            backend.close(variances.mean, whole.mean, factor=100)
            backend.close(variances.variance, whole.variance, factor=100)


def test_processes_by_every_solver(backend):
    process, x_new = process_of(backend, 0.05)
    exact = process.with_solver("spectrum")
    assert (process.factor.method, exact.factor.method) == ("cholesky", "spectrum")
    for solver in ("direct", "cholesky", "conjugate_gradient"):
        other = process.with_solver(solver)
        near(backend, other.predict(x_new, None).mean, exact.predict(x_new).mean)
        near(backend, other.predict(x_new, "diagonal").variance, exact.predict(x_new).variance)
        near(backend, other.with_noise(0.2).predict(None, None).mean, exact.with_noise(0.2).predict().mean)
    assert process.spectrum.rank == exact.spectrum.rank
    value, slope = process.log_marginal_likelihood(gradient=True)
    exact_value, exact_slope = exact.log_marginal_likelihood(gradient=True)
    near(backend, value, exact_value)
    for name in slope:
        near(backend, slope[name], exact_slope[name])
    wrt = ["log_weight_std", "log_bias_std"]
    left, exact_left = process.leave_one_out_gradient(wrt), exact.leave_one_out_gradient(wrt)
    for name in wrt:
        near(backend, left[name], exact_left[name])


@pytest.mark.parametrize("weighted", [False, True])
def test_kernels_of_features_by_low_rank(backend, weighted):
    x, x_new, y = (backend.array(part) for part in data(False))
    kernel = ntk.Nystroem(KERNEL, x[:4, ...])
    process = GaussianProcess(kernel, x, y, 0.1, "low_rank")
    exact = process.with_solver("spectrum")
    near(backend, process.predict(x_new).mean, exact.predict(x_new).mean)
    near(backend, process.predict(x_new).covariance, exact.predict(x_new).covariance)
    near(backend, process.log_marginal_likelihood(), exact.log_marginal_likelihood())
    cost = SquaredError(EmpiricalMeasure(x, backend.array(WEIGHTS) if weighted else None), y)
    flow = GradientFlow(kernel, cost, ridge=0.1, solver="low_rank")
    near(backend, flow.predict(x_new), flow.with_solver("spectrum").predict(x_new))
    with pytest.raises(ValueError, match=r"is not one of explicit features: approximate it by ntk_array.Nystroem"):
        GaussianProcess(KERNEL, x, y, 0.1, "low_rank")


@pytest.mark.host
def test_what_a_solver_cannot_answer_is_refused():
    x, x_new, y = data(False)
    process = GaussianProcess(KERNEL, x, y, 0.1, "conjugate_gradient")
    for question in (process.predict, process.log_marginal_likelihood, process.leave_one_out):
        with pytest.raises(ValueError, match='take solver="cholesky" or solver="spectrum"'):
            question()
    cost = SquaredError(EmpiricalMeasure(x), y)
    for solver in ("cholesky", "conjugate_gradient"):
        with pytest.raises(ValueError, match='for finite times take solver="spectrum" or solver="lanczos"'):
            GradientFlow(KERNEL, cost, ridge=0.1, solver=solver).predict(t=1.0)
        with pytest.raises(ValueError, match="knows no spectrum"):
            _ = GradientFlow(KERNEL, cost, ridge=0.1, solver=solver).spectrum
    classes = GradientFlow(KERNEL, CrossEntropy(EmpiricalMeasure(x), np.arange(len(x)) % 2))
    with pytest.raises(ValueError, match="is for the squared error"):
        GradientFlow(KERNEL, classes.cost, solver="cholesky")
    with pytest.raises(TypeError, match="solvers are for SquaredError only"):
        classes.with_solver("cholesky")
    with pytest.raises(AttributeError, match="no linear system is solved"):
        _ = classes.solved
    with pytest.raises(ValueError, match='covariance must be "full", "diagonal" or None'):
        GaussianProcess(KERNEL, x, y, 0.1).predict(x_new, "all")
    with pytest.raises(ValueError, match="one row of kernel values takes"):
        GaussianProcess(KERNEL, x, y, 0.1).predict(x_new, None, memory=10)
    means = GaussianProcess(KERNEL, x, y, 0.1).predict(x_new, None)
    with pytest.raises(AttributeError, match="only means were asked for"):
        _ = means.standard_deviation
    with pytest.raises(AttributeError, match="draws need the covariance"):
        means.sample(1, 0)


@pytest.mark.host
def test_covariances_without_room_are_refused_before_work(monkeypatch):
    x, _, y = data(False)
    process = GaussianProcess(KERNEL, x, y, 0.1, Direct())
    monkeypatch.setattr("ntk_array.gram.memory.available", lambda home: 1000)
    monkeypatch.setattr(process, "kernel", None)
    with pytest.raises(MemoryError, match=r'0.977 KiB are available: ask for covariance="diagonal" or None'):
        process.predict()


@pytest.mark.host
def test_new_inputs_are_validated_whole_and_not_block_by_block():
    x, x_new, y = data(False)
    cost = SquaredError(EmpiricalMeasure(x), y)
    models = (
        GaussianProcess(KERNEL, x, y, 0.1).predict,
        Ensemble(KERNEL, KERNEL, cost).predict,
        GradientFlow(KERNEL, cost).predict,
        lambda z, **options: GradientFlow(KERNEL, CrossEntropy(cost.p_in, np.arange(len(x)) % 2)).predict(
            z, 1.0, **options
        ),
    )
    damaged = x_new.copy()
    damaged[-1, 0] = np.nan
    for predict in models:
        with pytest.raises(ValueError, match=f"first in row {len(x_new) - 1};"):
            predict(damaged, memory=1000)
        with pytest.raises(ValueError, match="differ beyond the first axis"):
            predict(x_new[:, :2])
        with pytest.raises(TypeError, match="list"):
            predict(x_new.tolist())
        with pytest.raises(ValueError):
            predict(x_new[:0])


@pytest.mark.host
def test_large_products_come_in_parts(monkeypatch, rng):
    x, v = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
    whole = KERNEL.matvec(x, None, v)
    monkeypatch.setattr("ntk_array.kernels.base.PRODUCT_BYTES", 50 * 8 * 7)
    np.testing.assert_allclose(KERNEL.matvec(x, None, v), whole, rtol=1e-12)
    net = ntk.nn.mlp((5,), 2)
    for outputs in ("full", "classwise", "trace"):
        kernel = ntk.EmpiricalNTK(net, net.init(0, like=x), outputs=outputs)
        np.testing.assert_allclose(
            ntk.Kernel.product(kernel, x, x[:9], v[:9]), kernel.matvec(x, x[:9], v[:9]), rtol=1e-9, atol=1e-12
        )


@pytest.mark.host
def test_bars_are_shown_where_asked_for(capsys, monkeypatch, rng):
    monkeypatch.setattr("ntk_array._array.host_cholesky.WHOLE", 64)
    monkeypatch.setattr("ntk_array._array.host_cholesky.BLOCK", 64)
    x, y = rng.normal(size=(400, 3)), rng.normal(size=400)
    for solver, word in (("cholesky", "Cholesky factor"), ("conjugate_gradient", "conjugate gradients")):
        for progress in (False, True):
            GaussianProcess(KERNEL, x, y, 0.1, solver, progress=progress).predict(None, None)
            said = capsys.readouterr().err
            assert ("Gram matrix" in said) == (word in said) == progress
