"""Factorisations of F F^T + ridge I and reduced regression problems, against dense inverses."""

import mpmath
import numpy as np
import pytest

from ntk_array.solve import low_rank
from ntk_array.solve.low_rank import Features, LowRankFactor, reduced

B, N, K, SIZE, RIDGE = 2, 8, 3, 2, 0.3


@pytest.fixture(params=[3, 12], ids=["few features", "many features"])
def problem(request, backend, rng, monkeypatch):
    """A factor, S on the host in float64 as the library sees it, and two right-hand sides; two rows a block."""
    monkeypatch.setattr(low_rank, "LEAST", 2)
    features = backend.array(rng.normal(size=(B, N, request.param)) / N**0.5)
    host = backend.host(features).astype(float)
    a, b = (rng.normal(size=(B, N, K)) for _ in range(2))
    return LowRankFactor.of(features, RIDGE), host @ np.swapaxes(host, 1, 2) + RIDGE * np.eye(N), a, b


def transposed(backend, a):
    return np.swapaxes(backend.host(a).astype(float), 1, 2)


def test_solutions_and_halves(backend, problem):
    factor, s, a, b = problem
    assert (factor.method, factor.ridge, factor.rank, factor.singular) == ("low_rank", RIDGE, N, False)
    eigenvalues = np.linalg.eigvalsh(s)
    assert 0.9 < factor.condition / (eigenvalues.max() / eigenvalues.min()) < 1.1
    factor.refuse_singular("ridge", "nothing exists")
    left, right = backend.array(a), backend.array(b)
    backend.close(factor.solve(right), np.linalg.solve(s, b))
    half = transposed(backend, factor.half(left))
    backend.close(half @ backend.host(factor.half(right)), np.swapaxes(a, 1, 2) @ np.linalg.solve(s, b))
    gram = s - RIDGE * np.eye(N)
    backend.close(factor.quadratic_of_gram(), gram @ np.linalg.solve(s, gram))
    found = factor.solution(right)
    assert (found.solver, found.rank, found.iterations, found.converged) == ("low_rank", N, 0, True)
    assert found.backward_error <= found.residual <= 100 * backend.eps
    backend.close(factor.fitted(right, found.x), gram @ np.linalg.solve(s, b))
    with pytest.raises(ValueError, match='take solver="spectrum" or solver="lanczos"'):
        factor.function(lambda s: s, 1.0, right)
    other = factor.with_ridge(2.0)
    backend.close(other.solve(right), np.linalg.solve(s + 1.7 * np.eye(N), b))
    assert (factor.ridge, other.ridge) == (RIDGE, 2.0)


def test_determinants_and_parts_of_the_inverse(backend, rng, problem):
    factor, s, _, _ = problem
    inverse = np.linalg.inv(s)
    backend.close(factor.log_determinant(), np.linalg.slogdet(s)[1])
    backend.close(factor.inverse(), inverse)
    backend.close(factor.inverse_diagonal(), np.diagonal(inverse, axis1=1, axis2=2))
    backend.close(factor.inverse_trace(), np.trace(inverse, axis1=1, axis2=2))
    blocks = [[one[i : i + SIZE, i : i + SIZE] for i in range(0, N, SIZE)] for one in inverse]
    backend.close(factor.inverse_blocks(SIZE), np.asarray(blocks))
    change = rng.normal(size=(B, N, N))
    change = change + np.swapaxes(change, 1, 2)
    backend.close(factor.trace_of(backend.array(change)), np.trace(inverse @ change, axis1=1, axis2=2))


def test_a_ridge_below_rounding(backend, rng):
    """The answers are those of no ridge and of minimum norm, and the factor says so."""
    features, b = rng.normal(size=(1, N, 3)), rng.normal(size=(1, N, K))
    features = backend.host(backend.array(np.concatenate([features, features[..., :1]], axis=2))).astype(float)
    factor = LowRankFactor.of(backend.array(features), 1e-3 * backend.eps)
    assert (factor.rank, factor.singular) == (3, True)
    assert factor.condition < 1e3
    pseudo = np.linalg.pinv(features @ np.swapaxes(features, 1, 2), 1e-5)
    backend.close(factor.solve(backend.array(b)), pseudo @ b, factor=1e4)
    half = transposed(backend, factor.half(backend.array(b)))
    backend.close(half @ backend.host(factor.half(backend.array(b))), np.swapaxes(b, 1, 2) @ pseudo @ b, factor=1e4)
    with pytest.raises(
        np.linalg.LinAlgError, match=r"the noise .* is below rounding .*: no density; give a larger noise"
    ):
        factor.refuse_singular("noise", "no density")
    with pytest.warns(RuntimeWarning, match="of minimum norm"):
        factor.warn("noise")
    with pytest.raises(ValueError, match="ridge must be positive"):
        LowRankFactor.of(backend.array(features), 0.0)


def test_the_operator(backend, rng):
    f, v = rng.normal(size=(B, N, 3)), rng.normal(size=(B, N, K))
    operator, gram = Features(backend.array(f)), f @ np.swapaxes(f, 1, 2)
    assert operator.shape == (B, N, N)
    assert operator.home.dtype == backend.dtype
    backend.close(operator.product(backend.array(v)), gram @ v)
    backend.close(operator.diagonal(), np.diagonal(gram, axis1=1, axis2=2))
    backend.close(operator.columns([4, 1]), gram[:, :, [4, 1]])
    backend.close(operator.array(), gram)


@pytest.mark.host
@pytest.mark.parametrize(("ridge", "dense"), [(1e-2, 1e-13), (1e-10, 1e-5)])
def test_a_small_ridge_against_50_digits(rng, ridge, dense):
    """With singular values from 1 to 1e-5: the solution of size n, and the weights of a regression."""
    u, v = (np.linalg.qr(rng.normal(size=(n, 6)))[0] for n in (40, 6))
    f, b = u * np.logspace(0, -5, 6) @ v.T, rng.normal(size=(40, 1))
    with mpmath.workdps(50):
        wide = mpmath.matrix(f.tolist())
        exact = mpmath.lu_solve(wide * wide.T + ridge * mpmath.eye(40), mpmath.matrix(b.tolist()))
        solution, weights = (np.asarray(a.tolist(), dtype=float) for a in (exact, wide.T * exact))
    found = LowRankFactor.of(f[None, ...], ridge).solve(b[None, ...])[0]
    assert np.max(np.abs(found - solution)) < 1e-11 * np.max(np.abs(solution))
    assert np.max(np.abs(f.T @ found - weights)) < dense * np.max(np.abs(weights))
    values, vectors, coordinates, _ = reduced([(f[:25], b[:25]), (f[25:], b[25:])])
    found = vectors @ (values[:, None] / (values[:, None] ** 2 + ridge) * coordinates)
    assert np.max(np.abs(found - weights)) < 1e-10 * np.max(np.abs(weights))


@pytest.mark.parametrize("rows", [3, 20])
def test_a_reduced_problem(backend, rng, rows):
    """Five features and three targets, of fewer inputs than features and of more, in blocks of four."""
    f, y = (backend.array(rng.normal(size=(rows, size))) for size in (5, 3))
    blocks = [(f[i : min(i + 4, rows), :], y[i : min(i + 4, rows), :]) for i in range(0, rows, 4)]
    values, vectors, coordinates, remainder = map(backend.host, reduced(blocks))
    f, y = (backend.host(a).astype(float) for a in (f, y))
    left, expected, _ = np.linalg.svd(f, full_matrices=False)
    backend.close(values[: len(expected)], expected)
    backend.close(values[len(expected) :], np.zeros(5 - len(expected)), scale=1.0)
    backend.close(vectors.T @ vectors, np.eye(5))
    backend.close((vectors * values**2) @ vectors.T, f.T @ f)
    backend.close((vectors * values) @ coordinates, f.T @ y)
    backend.close(remainder, np.sum((y - left @ (left.T @ y)) ** 2, axis=0), scale=float(rows))


def test_a_stack_of_one(backend, rng):
    """CuPy has another method for stacks, so that one matrix is decomposed by itself."""
    f, b = rng.normal(size=(1, N, 3)), rng.normal(size=(1, N, 1))
    s = f @ np.swapaxes(f, 1, 2) + RIDGE * np.eye(N)
    backend.close(LowRankFactor.of(backend.array(f), RIDGE).solve(backend.array(b)), np.linalg.solve(s, b))


@pytest.mark.host
def test_half_of_the_digits_are_not_lost(rng):
    """Singular values down to 1e-12 of the largest, which F^T F would not have."""
    u, v = (np.linalg.qr(rng.normal(size=(n, 4)))[0] for n in (50, 4))
    expected = np.asarray([1.0, 1e-4, 1e-8, 1e-12])
    f = (u * expected) @ v.T
    found = reduced((f[i : i + 7], f[i : i + 7, :1]) for i in range(0, 50, 7)).values
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_features_that_are_not_finite(backend):
    with pytest.raises(np.linalg.LinAlgError, match="the features have NaN or infinity"):
        LowRankFactor.of(backend.array(np.full((1, 4, 2), np.nan)), 1.0)
