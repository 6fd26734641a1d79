"""Conjugate gradients and Lanczos against dense solutions, and what they say where they stop early."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.solve import ConjugateGradient, GramOperator, Lanczos
from ntk_array.solve.operator import Matrix
from ntk_array.solve.preconditioner import Preconditioner, pivoted_factor

N, K = 60, 3


def gram_with(values, seed=0):
    """A matrix with these eigenvalues."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return q * values @ q.T


def spectrum_of_a_kernel():
    return np.arange(1.0, N + 1.0) ** -2.0


@pytest.fixture
def stack(backend, rng):
    """Two matrices, as the library sees them and on the host, and right-hand sides."""
    grams = backend.array(np.stack([gram_with(spectrum_of_a_kernel(), seed) for seed in (0, 1)]))
    return grams, backend.host(grams).astype(float), rng.normal(size=(2, N, K))


@pytest.mark.parametrize("rank", [None, 0, 10])
def test_conjugate_gradients_solve(backend, stack, rank):
    gram, host, b = stack
    factor = ConjugateGradient(rank=rank).factor(Matrix(gram), 0.01)
    found = factor.solution(backend.array(b))
    assert found.solver == "conjugate_gradient"
    assert found.converged
    assert 0 < found.iterations < N
    # The residual that is stated is that of the solution in float64, up to rounding of the product.
    s = host + 0.01 * np.eye(N)
    x = backend.host(found.x).astype(float)
    residual = np.linalg.norm(b - s @ x) / np.linalg.norm(b)
    assert residual <= 1.1 * found.residual + 20 * backend.eps
    assert found.residual <= factor.tolerance == 4 * backend.eps ** (2 / 3)
    backend.close(found.x, np.linalg.solve(s, b), factor=200 * found.residual / backend.eps)
    backend.close(
        factor.quadratic_diagonal(backend.array(b)),
        np.einsum("bik,bik->bk", b, np.linalg.solve(s, b)),
        factor=200 * found.residual / backend.eps,
    )
    assert factor.with_ridge(0.1).ridge == 0.1


@pytest.mark.host
def test_the_preconditioner_takes_few_steps_where_the_spectrum_falls():
    gram = gram_with(np.exp(-np.arange(400) / 10.0))[None]
    b = np.random.default_rng(1).normal(size=(1, 400, 2))
    plain = ConjugateGradient(rank=0).factor(Matrix(gram), 1e-4).solution(b)
    helped = ConjugateGradient().factor(Matrix(gram), 1e-4)
    assert plain.converged
    assert helped.solution(b).iterations < plain.iterations / 5
    # A flat spectrum gains nothing: the few columns that were taken are not used.
    flat = ConjugateGradient().factor(Matrix(gram_with(np.linspace(1.0, 2.0, 400))[None]), 1e-6)
    assert flat.columns == 0
    assert flat.solution(b).converged


@pytest.mark.host
def test_pivoted_factors_and_their_preconditioners_are_what_they_say():
    gram = gram_with(np.exp(-np.arange(100) / 8.0))
    found = pivoted_factor(Matrix(gram[None]), 70)
    approximation = found.factor[0] @ found.factor[0].T
    np.testing.assert_allclose(found.remains, np.trace(gram - approximation) / np.trace(gram), atol=1e-12)
    assert found.remains < 10 * np.exp(-70 / 8.0)  # the best of rank 70 leaves exp(-70 / 8)
    assert np.linalg.eigvalsh(gram - approximation).min() > -1e-12
    few = pivoted_factor(Matrix(gram[None]), 100, remains=0.5)
    assert few.factor.shape[-1] == 64
    v = np.random.default_rng(0).normal(size=(1, 100, 2))
    np.testing.assert_allclose(
        Preconditioner(found.factor, 0.3)(v)[0], np.linalg.solve(approximation + 0.3 * np.eye(100), v[0]), atol=1e-12
    )
    nothing = pivoted_factor(Matrix(np.zeros((1, 5, 5))), 3)
    assert nothing.factor.shape == (1, 5, 0)


@pytest.mark.host
def test_a_stall_is_flagged():
    """A tolerance below rounding, and too few steps."""
    gram, b = gram_with(np.logspace(0, -12, N)), np.random.default_rng(0).normal(size=N)
    for options in ({"tolerance": 1e-17}, {"max_iterations": 2, "rank": 0}):
        with pytest.warns(RuntimeWarning, match="conjugate gradients stopped after"):
            found = ntk.solve.solve(gram, b, ridge=1e-3, solver=ConjugateGradient(**options))
        assert not found.converged
        residual = np.linalg.norm(b - gram @ found.x - 1e-3 * found.x) / np.linalg.norm(b)
        np.testing.assert_allclose(found.residual, residual, rtol=0.1)


@pytest.mark.host
def test_a_solve_continues_from_its_checkpoint(tmp_path):
    gram, b = gram_with(spectrum_of_a_kernel()), np.random.default_rng(0).normal(size=N)
    path = tmp_path / "state.npz"
    solver = ConjugateGradient(rank=0, checkpoint=path, checkpoint_seconds=1e-9)
    whole = ntk.solve.solve(gram, b, ridge=1e-4, solver=solver)
    assert not path.exists()

    class Interrupted(Matrix):
        products = 0

        def product(self, v):
            self.products += 1
            if self.products == 25:
                raise KeyboardInterrupt
            return super().product(v)

    with pytest.raises(KeyboardInterrupt):
        ntk.solve.solve(Interrupted(gram[None]), b, ridge=1e-4, solver=solver)
    assert path.exists()
    with pytest.raises(ValueError, match="a checkpoint of another problem"):
        ntk.solve.solve(gram, b, ridge=1e-3, solver=solver)
    rest = ntk.solve.solve(gram, b, ridge=1e-4, solver=solver)
    assert rest.converged
    assert rest.iterations < whole.iterations
    np.testing.assert_allclose(rest.x, whole.x, atol=1e-6)
    path.write_bytes(b"not a file of arrays")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        ntk.solve.solve(gram, b, ridge=1e-4, solver=solver)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_lanczos_applies_functions(backend, stack, ridge):
    gram, host, b = stack
    factor = Lanczos().factor(Matrix(gram), 0.0).with_ridge(ridge)
    prepared = factor.prepare(backend.array(b))
    values, vectors = np.linalg.eigh(host)
    for t in (0.5, 30.0):
        expected = vectors * np.exp(-t * (values + ridge))[:, None, :] @ np.swapaxes(vectors, 1, 2) @ b
        got = factor.function(lambda s, t=t: np.exp(-t * s), 1.0, prepared)
        backend.close(got, expected, factor=100 * backend.eps ** (-1 / 3))
        assert factor.converged
    # The longer time took more products, and both share their space.
    assert 8 <= factor.iterations == prepared.steps <= N


def test_lanczos_stops_in_a_space_that_the_matrix_does_not_leave(backend):
    gram = backend.array(np.diag([3.0, 2.0, 1.0, 1.0, 1.0, 0.0])[None])
    b = np.asarray([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])[None]
    factor = Lanczos().factor(Matrix(gram), 0.0)
    got = factor.function(lambda s: np.exp(-s), 1.0, factor.prepare(backend.array(b)))
    backend.close(got, np.exp(-np.asarray([3.0, 2.0, 1.0, 1.0, 1.0, 0.0]))[None, :, None] * b, factor=10)
    zero = factor.function(lambda s: np.exp(-s), 1.0, factor.prepare(backend.array(0 * b)))
    backend.close(zero, 0 * b, factor=0)


@pytest.mark.host
def test_lanczos_says_where_it_stopped():
    x = np.random.default_rng(0).normal(size=(100, 1))
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))
    cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), np.sign(x[:, 0]))
    flow = ntk.dynamics.GradientFlow(kernel, cost, solver=Lanczos(max_iterations=16))
    flow.predict(t=0.01)
    with pytest.warns(RuntimeWarning, match="Lanczos stopped after 16 products"):
        flow.predict(t=1e8)


@pytest.mark.host
@pytest.mark.parametrize("solver", ["direct", "cholesky", "spectrum", "conjugate_gradient", "lanczos"])
def test_all_solvers_agree(solver):
    gram, b = gram_with(spectrum_of_a_kernel()), np.random.default_rng(0).normal(size=(N, 2))
    exact = np.linalg.solve(gram + 0.01 * np.eye(N), b)
    found = ntk.solve.solve(gram, b, ridge=0.01, solver=solver)
    np.testing.assert_allclose(found.x, exact, rtol=0, atol=1e-7 * np.abs(exact).max())
    assert ntk.solve.solve(Matrix(gram[None]), b[:, 0], ridge=0.01, solver=solver).x.shape == (N,)
    assert issubclass(Matrix, GramOperator)


@pytest.mark.host
def test_direct_says_which_method_ran():
    gram, b = gram_with(spectrum_of_a_kernel()), np.ones(N)
    assert ntk.solve.solve(gram, b, ridge=0.1).solver == "cholesky"
    assert ntk.solve.solve(gram, b).solver == "spectrum"
    ones = np.ones((4, 4), np.float32)
    with pytest.warns(RuntimeWarning, match="below what rounding does to the kernel matrix"):
        found = ntk.solve.solve(ones, np.ones(4, np.float32), ridge=1e-12)
    assert (found.solver, found.rank) == ("spectrum", 1)
    with pytest.raises(np.linalg.LinAlgError, match=r'has no Cholesky factor; give a larger ridge.*"spectrum"'):
        ntk.solve.solve(ones, np.ones(4, np.float32), solver="cholesky")


@pytest.mark.host
def test_questions_that_a_method_cannot_answer_name_those_that_can():
    factor = ConjugateGradient().factor(Matrix(np.eye(3)[None]), 0.1)
    for question in (factor.log_determinant, factor.inverse_diagonal, factor.inverse_trace, lambda: factor.half(None)):
        with pytest.raises(ValueError, match='take solver="cholesky" or solver="spectrum"'):
            question()


@pytest.mark.host
def test_bad_arguments_are_refused():
    for solver in ("lu", None, Lanczos):
        with pytest.raises(ValueError, match='solver must be one of "direct", "cholesky"'):
            ntk.solve.solve(np.eye(2), np.ones(2), solver=solver)
    with pytest.raises(TypeError, match=r"is a kernel: give its matrix, or ntk_array\.solve\.KernelMatrix"):
        ntk.solve.solve(ntk.InfiniteNTK(ntk.nn.mlp((1,), 1)), np.ones(2))
    assert repr(ntk.solve.solve(np.eye(2), np.ones(2), ridge=1.0)).startswith("Solution(cholesky, x (2,), residual ")
    with pytest.raises(ValueError, match=r"a Gram matrix is \(n, n\)"):
        ntk.solve.solve(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match=r"b has shape \(3,\); expected \(2,\)"):
        ntk.solve.solve(np.eye(2), np.ones(3))
    for make in (ConjugateGradient, Lanczos):
        with pytest.raises(ValueError, match="tolerance must be"):
            make(tolerance=0.0)
        with pytest.raises(ValueError, match="max_iterations must be"):
            make(max_iterations=0)
    with pytest.raises(ValueError, match="rank must be"):
        ConjugateGradient(rank=-1)
