"""Cholesky factors and triangular solves: NumPy's own way block by block, and what every library answers."""

import numpy as np
import pytest

from ntk_array._array import host_cholesky
from ntk_array._array.linalg import cholesky, plus_diagonal, solve_lower


def positive(n, rng, stack=()):
    root = rng.normal(size=(*stack, n, 2 * n))
    return root @ np.swapaxes(root, -1, -2) / n


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_matrices_are_factored_block_by_block(monkeypatch, rng, dtype):
    monkeypatch.setattr(host_cholesky, "WHOLE", 16)
    monkeypatch.setattr(host_cholesky, "BLOCK", 16)
    monkeypatch.setattr(host_cholesky, "ROWS", 10)
    matrix = positive(75, rng).astype(dtype)
    given = matrix.copy()
    lower = cholesky(given)
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), atol=30 * np.finfo(dtype).eps)
    assert np.shares_memory(lower, given)  # in place
    matrix[60, 60] = -1.0
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        cholesky(matrix)


@pytest.mark.host
def test_its_bar_counts_to_the_end(monkeypatch, rng):
    monkeypatch.setattr(host_cholesky, "BLOCK", 7)
    assert sum(host_cholesky._blocks(positive(30, rng))) == 30**3


def test_factors_and_their_solves(backend, rng):
    for stack in ((1,), (2,)):
        matrix = positive(130, rng, stack)
        lower = cholesky(backend.array(matrix))
        expected = np.linalg.cholesky(backend.host(backend.array(matrix)).astype(float))
        backend.close(lower, expected, factor=100)
        b = rng.normal(size=(*stack, 130, 3))
        backend.close(solve_lower(lower, backend.array(b)), np.linalg.solve(expected, b), factor=100)
        transposed = np.linalg.solve(np.swapaxes(expected, -1, -2), b)
        backend.close(solve_lower(lower, backend.array(b), transposed=True), transposed, factor=200)


def test_matrices_without_a_factor_are_one_error_everywhere(backend):
    for matrix in ([[1.0, 2.0], [2.0, 1.0]], [[1.0, np.nan], [np.nan, 1.0]], [[0.0, 0.0], [0.0, 0.0]]):
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite to rounding"):
            cholesky(backend.array(np.asarray(matrix))[None, ...])


def test_numbers_are_added_to_the_diagonal(backend):
    matrix = backend.array(np.ones((2, 3, 3)))
    backend.close(plus_diagonal(matrix, 0.5), np.ones((3, 3)) + 0.5 * np.eye(3) + np.zeros((2, 1, 1)), factor=0)
    backend.close(matrix, np.ones((2, 3, 3)), factor=0)
