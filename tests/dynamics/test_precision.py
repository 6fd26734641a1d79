"""Noise and times near rounding: answers as exact as those of a backward-stable method in the same dtype.

Kernel matrices are given as numbers of the dtype, so that the reference solves the very same problem, in long double.
"""

import warnings

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.dynamics import GaussianProcess, GradientFlow
from ntk_array.function_space import EmpiricalMeasure, SquaredError

N, M = 120, 30
WIDE = np.longdouble
pytestmark = pytest.mark.skipif(np.finfo(WIDE).eps > 1e-18, reason="long double is not wider than float64 here")


def kernels():
    """Kernels whose eigenvalues fall below rounding, in one dimension and in two."""
    nngp = ntk.InfiniteNNGP(ntk.nn.mlp((1, 1), 1, weight_std=1.5, bias_std=0.5))
    smooth = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.3))
    waves = ntk.InfiniteNNGP(ntk.nn.mlp((1, 1), 1, activation="sin", bias_std=0.1))
    return {"relu, 1-D": (nngp, 1), "erf, 1-D": (smooth, 1), "erf, 2-D": (smooth, 2), "sin, 2-D": (waves, 2)}


def problem(name, dtype):
    """The kernel matrix of sample and new inputs, rounded to the dtype, and noisy targets."""
    kernel, features = kernels()[name]
    rng = np.random.default_rng(3)
    x = rng.uniform(-3, 3, size=(N + M, features))
    y = np.sin(2 * x[:N, 0]) + 0.1 * rng.normal(size=N)
    return kernel(x).astype(dtype), y.astype(dtype)


def cholesky_solve(matrix, b):
    """By columns, in the dtype of the matrix; None where it is not positive definite."""
    lower, b = np.tril(matrix), b.copy()
    for j in range(len(b)):
        if not lower[j, j] > 0:
            return None
        lower[j:, j] /= np.sqrt(lower[j, j])
        lower[j + 1 :, j + 1 :] -= np.tril(np.outer(lower[j + 1 :, j], lower[j + 1 :, j]))
    for j in range(len(b)):
        b[j] = (b[j] - lower[j, :j] @ b[:j]) / lower[j, j]
    for j in reversed(range(len(b))):
        b[j] = (b[j] - lower[j + 1 :, j] @ b[j + 1 :]) / lower[j, j]
    return b


def cholesky_mean(k, y, noise, dtype):
    """The posterior mean at the new inputs in a dtype; None where there is no Cholesky factor."""
    s = k[:N, :N].astype(dtype) + dtype(noise) * np.eye(N, dtype=dtype)
    alpha = cholesky_solve(s, y.astype(dtype))
    return None if alpha is None else k[N:, :N].astype(dtype) @ alpha


@pytest.mark.parametrize("relative", [4.0, 30.0, 1e3, 1e5], ids="noise of {:g} eps lambda".format)
@pytest.mark.parametrize("name", kernels())
def test_posteriors_are_as_exact_as_by_cholesky(backend, name, relative):
    """Of the same matrix plus noise; limits of flows too: at most ten times the error of a Cholesky factor.

    What rounding of the matrix may do is eps lambda / noise. A thousandth of it is allowed, for libraries whose
    products round otherwise. With a noise of 4 eps lambda a quarter of the answer is rounding, and chance decides who
    is closer.
    """
    k, y = problem(name, backend.dtype_name)
    noise = float(relative * backend.eps * np.linalg.eigvalsh(k[:N, :N])[-1])
    exact, plain = cholesky_mean(k, y, noise, WIDE), cholesky_mean(k, y, noise, k.dtype.type)
    rows = backend.array(np.arange(float(N + M))[:, None])
    process = GaussianProcess(ntk.Precomputed(backend.array(k)), rows[:N, :], backend.array(y), noise)
    assert not process.singular
    cost = SquaredError(EmpiricalMeasure(rows[:N, :]), backend.array(y))
    flow = GradientFlow(ntk.Precomputed(backend.array(k)), cost, ridge=noise)
    if plain is not None and exact is not None:
        allowed = (10 if relative > 10 else 100) * np.max(np.abs(plain - exact))
        for found in (process.predict(rows[N:, :]).mean, flow.predict(rows[N:, :])):
            error = np.max(np.abs(backend.host(found) - exact))
            assert error <= allowed + 1e-3 / relative * np.max(np.abs(exact))
    assert np.isfinite(backend.host(process.log_marginal_likelihood()))


@pytest.mark.parametrize("t", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("name", kernels())
def test_flows_in_float32_are_as_exact_as_without_a_cutoff(backend, name, t):
    """(1 - exp(-2 t s / N)) / s is at most 2 t / N, so that no eigenvalue has to be left out."""
    if backend.dtype_name != "float32":
        pytest.skip("the reference is in float64")
    k, y = problem(name, "float32")

    def predicted(dtype):
        values, vectors = np.linalg.eigh(k[:N, :N].astype(dtype))
        values = np.clip(values, 1e-30, None)
        alpha = vectors @ (-np.expm1(-2 * t / N * values) / values * (vectors.T @ y.astype(dtype)))
        return k[N:, :N].astype(dtype) @ alpha

    exact, plain = predicted(np.float64), predicted(np.float32)
    rows = backend.array(np.arange(float(N + M))[:, None])
    cost = SquaredError(EmpiricalMeasure(rows[:N, :]), backend.array(y))
    flow = GradientFlow(ntk.Precomputed(backend.array(k)), cost)
    error = np.max(np.abs(backend.host(flow.predict(rows[N:, :], t=t)) - exact))
    assert error <= 10 * np.max(np.abs(plain - exact)) + 10 * backend.eps


def test_a_noise_below_rounding_warns(backend):
    """The answer is then that of vanishing noise, and says so."""
    k, y = problem("erf, 1-D", backend.dtype_name)
    rows = backend.array(np.arange(float(N))[:, None])
    noise = 1e-3 * backend.eps
    process = GaussianProcess(ntk.Precomputed(backend.array(k)), rows, backend.array(y), noise)
    assert process.singular
    for call in (process.predict, lambda: process.sample(None, 2, seed=0)):
        with pytest.warns(RuntimeWarning, match=r"noise .* rounding .* float64") as caught:
            call()
        assert caught[0].filename == __file__  # it points to where the user's call is
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process.with_noise(0.1).predict()
        process.with_noise(0.0).predict()


def test_a_ridge_below_rounding_warns_in_the_limit(backend):
    """At finite times the time regularizes, and the flow without a limit asks for no ridge."""
    k, y = problem("erf, 1-D", backend.dtype_name)
    rows = backend.array(np.arange(float(N))[:, None])
    cost = SquaredError(EmpiricalMeasure(rows), backend.array(y))
    flow = GradientFlow(ntk.Precomputed(backend.array(k)), cost, ridge=1e-3 * backend.eps)
    with pytest.warns(RuntimeWarning, match=r"ridge .* rounding .* float64"):
        flow.predict(t=[1.0, np.inf])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow.predict(t=[1.0, 10.0])
        flow.with_ridge(0.0).predict()
