"""What every factorisation answers, against dense inverses; a new method joins by a line in FACTORIZATIONS."""

import math

import numpy as np
import pytest

from ntk_array.solve.cholesky import Cholesky
from ntk_array.solve.conjugate_gradient import ConjugateGradient
from ntk_array.solve.factor import Factorization
from ntk_array.solve.lanczos import Lanczos
from ntk_array.solve.operator import Matrix
from ntk_array.solve.spectrum import Spectral


def spectral(gram, ridge):
    return Spectral().factor(Matrix(gram), ridge)


FACTORIZATIONS = {
    "spectrum": spectral,
    "cholesky": lambda gram, ridge: Cholesky().factor(Matrix(gram), ridge),
}

B, N, K, SIZE = 2, 6, 3, 2


@pytest.fixture(params=FACTORIZATIONS)
def method(request):
    return request.param


@pytest.fixture
def problem(backend, method, rng):
    """A factorisation of a stack, S on the host in float64 as the library sees it, and two right-hand sides."""
    root = rng.normal(size=(B, N, 2 * N)) / N**0.5
    gram = backend.array(root @ np.swapaxes(root, 1, 2))
    a, b = (rng.normal(size=(B, N, K)) for _ in range(2))
    s = backend.host(gram).astype(float) + 0.3 * np.eye(N)
    return FACTORIZATIONS[method](gram, 0.3), s, a, b


def transposed(backend, a):
    return np.swapaxes(backend.host(a).astype(float), 1, 2)


def test_it_says_what_it_is(backend, method, problem):
    factor, s, _, _ = problem
    assert (factor.method, factor.ridge, factor.rank, factor.singular) == (method, 0.3, N, False)
    eigenvalues = np.linalg.eigvalsh(s)
    # An estimate suffices, within a factor of 10.
    assert 0.1 < factor.condition / (eigenvalues.max() / eigenvalues.min()) < 10
    factor.refuse_singular("ridge", "nothing exists")


def test_solutions_and_halves(backend, problem):
    factor, s, a, b = problem
    left, right = backend.array(a), backend.array(b)
    backend.close(factor.solve(right), np.linalg.solve(s, b))
    form = np.swapaxes(a, 1, 2) @ np.linalg.solve(s, b)
    backend.close(transposed(backend, factor.half(left)) @ backend.host(factor.half(right)), form)
    backend.close(factor.prepared_solve(factor.prepare(right)), factor.solve(right), factor=0)
    backend.close(factor.prepared_half(factor.prepare(right)), factor.half(right), factor=0)
    assert Factorization.prepare(factor, right) is right  # unless a method has work to do


def test_solutions_say_how_exact_they_are(backend, method, problem):
    factor, s, _, b = problem
    right = backend.array(b)
    found = factor.solution(right)
    backend.close(found.x, np.linalg.solve(s, b))
    assert (found.solver, found.rank, found.iterations, found.converged) == (method, N, 0, True)
    assert found.backward_error <= found.residual <= 100 * backend.eps
    gram = s - 0.3 * np.eye(N)
    backend.close(factor.fitted(right, found.x), gram @ np.linalg.solve(s, b))


def test_quadratic_forms(backend, problem):
    factor, s, a, _ = problem
    form = np.swapaxes(a, 1, 2) @ np.linalg.solve(s, a)
    backend.close(factor.quadratic(backend.array(a)), form)
    backend.close(factor.quadratic_diagonal(backend.array(a)), np.diagonal(form, axis1=1, axis2=2))
    gram = s - 0.3 * np.eye(N)
    backend.close(factor.quadratic_of_gram(), gram @ np.linalg.solve(s, gram))


def test_determinants_and_parts_of_the_inverse(backend, rng, problem):
    factor, s, _, _ = problem
    inverse = np.linalg.inv(s)
    backend.close(factor.log_determinant(), np.linalg.slogdet(s)[1])
    backend.close(factor.inverse(), inverse)
    backend.close(Factorization.inverse_diagonal(factor), np.diagonal(inverse, axis1=1, axis2=2))
    backend.close(Factorization.inverse_blocks(factor, N), inverse[:, None])
    backend.close(factor.inverse_diagonal(), np.diagonal(inverse, axis1=1, axis2=2))
    backend.close(factor.inverse_trace(), np.trace(inverse, axis1=1, axis2=2))
    backend.close(Factorization.inverse_trace(factor), factor.inverse_trace())
    blocks = [[one[i : i + SIZE, i : i + SIZE] for i in range(0, N, SIZE)] for one in inverse]
    backend.close(factor.inverse_blocks(SIZE), np.asarray(blocks))
    backend.close(Factorization.inverse_blocks(factor, SIZE), np.asarray(blocks))
    change = rng.normal(size=(B, N, N))
    change = change + np.swapaxes(change, 1, 2)
    backend.close(factor.trace_of(backend.array(change)), np.trace(inverse @ change, axis1=1, axis2=2))


# ---- functions of the eigenvalues, other ridges, and singular matrices: of a spectrum only ---------------------------


def test_functions_of_the_matrix(backend, method, problem):
    factor, s, _, b = problem
    if method == "cholesky":
        with pytest.raises(ValueError, match='take solver="spectrum" or solver="lanczos"'):
            factor.function(lambda s: s, 1.0, backend.array(b))
        return
    values, vectors = np.linalg.eigh(s)
    expected = vectors * np.exp(-values)[:, None, :] @ np.swapaxes(vectors, 1, 2) @ b
    prepared = factor.prepare(backend.array(b))
    backend.close(factor.function(lambda s: backend.xp.exp(-s), 1.0, prepared), expected)
    gram = s - 0.3 * np.eye(N)
    backend.close(factor.fitted_function(lambda s: backend.xp.exp(-s), 1.0, prepared), gram @ expected)


def test_another_ridge_takes_no_other_decomposition(backend, method, problem, monkeypatch):
    factor, s, _, b = problem
    if method == "spectrum":
        monkeypatch.setattr("ntk_array.solve.spectrum.eigh", None)
    other = factor.with_ridge(2.0)
    assert (other.ridge, factor.ridge) == (2.0, 0.3)
    expected = np.linalg.solve(s + 1.7 * np.eye(N), b)
    backend.close(other.solve(backend.array(b)), expected)
    backend.close(other.prepared_solve(factor.prepare(backend.array(b))), expected)


@pytest.mark.host
def test_a_cholesky_factor_of_rounding_errors():
    """Of a matrix of rank 1 to rounding: the last pivot is one rounding error."""
    factor = FACTORIZATIONS["cholesky"](np.asarray([[[1.0, 1.0 - 1e-16], [1.0 - 1e-16, 1.0]]]), 1e-18)
    with pytest.raises(np.linalg.LinAlgError, match=r"cannot tell from a singular one: no density; drop repeated"):
        factor.refuse_singular("noise", "no density")


def test_singular_matrices(backend, rng):
    """Solutions of minimum norm, and a refusal of what does not exist."""
    root, b = rng.normal(size=(1, N, 4)), rng.normal(size=(1, N, K))
    gram = root @ np.swapaxes(root, 1, 2)
    factor = spectral(backend.array(gram), 0.0)
    assert (factor.rank, factor.singular) == (4, True)
    eigenvalues = np.linalg.eigvalsh(gram)[0]
    assert math.isclose(factor.condition, eigenvalues[-1] / eigenvalues[2], rel_tol=1e5 * backend.eps)
    condition = factor.condition
    backend.close(factor.solve(backend.array(b)), np.linalg.pinv(gram, 1e-10) @ b, factor=30 * condition)
    with pytest.raises(np.linalg.LinAlgError, match=r"6 rows has rank 4, and the noise 0 is not above.*: no density"):
        factor.refuse_singular("noise", "no density")
    assert not factor.with_ridge(0.1).singular


@pytest.mark.parametrize("gap", [True, False])
def test_unresolved_directions_are_left_out_once_they_matter(backend, gap):
    """Of diag(0, 1): phi = bound at s = 0 is kept while bound * cutoff is below sqrt(eps); below 1 / 4 where another
    eigenvalue close to the cut-off shows that the spectrum goes on."""
    values = [0.0, 1.0] if gap else [0.0, 40 * backend.eps, 1.0]
    factor = spectral(backend.array(np.diag(values)[None, ...]), 0.0)
    assert factor.spectrum.gap == gap
    limit = (backend.eps**0.5 if gap else 0.25) / factor.spectrum.cutoff
    for bound, kept in ((0.5 * limit, 0.5 * limit), (2.0 * limit, 0.0)):
        filtered = factor.filter(lambda s, bound=bound: backend.xp.where(s > 0, s, bound), bound)
        assert filtered.shape == (1, len(values), 1)
        backend.close(filtered[0, :, 0], [kept, *values[1:]], factor=10)


def test_a_ridge_above_rounding_resolves_everything(backend):
    above = spectral(backend.array(np.diag([0.0, 1.0])[None, ...]), backend.eps / 10)
    below = above.with_ridge(backend.eps / 20)
    assert (above.rank, above.singular) == (2, False)
    assert (below.rank, below.singular) == (1, True)
    assert math.isclose(above.condition, 10 / backend.eps, rel_tol=0.01)


def test_the_zero_matrix(backend):
    factor = spectral(backend.array(np.zeros((1, 3, 3))), 0.0)
    assert (factor.rank, factor.condition) == (0, math.inf)
    backend.close(factor.solve(backend.array(np.ones((1, 3, 1)))), np.zeros((1, 3, 1)), factor=0)
    assert factor.with_ridge(2.0).condition == 1.0


@pytest.mark.host
@pytest.mark.parametrize(
    "solver", [Cholesky(), Spectral(), ConjugateGradient(), Lanczos()], ids=lambda own: type(own).__name__
)
@pytest.mark.parametrize(("dtype", "large"), [(np.float64, 2.0**600), (np.float32, 2.0**75)])
def test_numbers_whose_squares_overflow_or_vanish(rng, solver, dtype, large):
    """Solutions are those in other units, by LAPACK, and so is what is said of them."""
    root, b = rng.normal(size=(30, 30)), rng.normal(size=(30, 1))
    gram = root @ root.T / 30
    s = gram + 0.1 * np.eye(30)
    expected, eigenvalues = np.linalg.solve(s, b), np.linalg.eigvalsh(s)
    for of_kernel, of_targets in ((1.0, 1.0 / large), (1.0, large), (large, 1.0), (1.0 / large, 1.0)):
        factor = solver.factor(Matrix((of_kernel * gram).astype(dtype)[None]), 0.1 * of_kernel)
        solution = factor.solution((of_targets * b).astype(dtype)[None])
        found = solution.x[0].astype(np.float64) / of_targets * of_kernel
        tolerance = np.finfo(dtype).eps ** (2 / 3) * eigenvalues[-1] / eigenvalues[0]
        assert np.max(np.abs(found - expected)) < tolerance * np.max(np.abs(expected))
        assert 0.0 < solution.residual < tolerance
        assert 0.3 < solution.condition / (eigenvalues[-1] / eigenvalues[0]) < 3.0
        assert not factor.singular
