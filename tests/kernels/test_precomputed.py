"""A matrix as a kernel on row numbers."""

import numpy as np
import pytest

from ntk_array import InfiniteNTK, Precomputed, nn

MATRIX = np.asarray([[4.0, 1.0, 0.5, 0.0], [1.0, 3.0, 0.2, 0.1], [0.5, 0.2, 2.0, 0.3], [0.0, 0.1, 0.3, 1.0]])


@pytest.mark.parametrize("dtype", [np.int64, np.int8, float])
def test_rows_and_columns_are_picked(backend, dtype):
    kernel = Precomputed(backend.array(MATRIX))
    if np.dtype(dtype).kind == "i" and backend.name == "torch":
        pytest.skip("PyTorch promotes integers to float32, whatever the dtype of the matrix")
    rows, columns = (backend.array(np.asarray(r, dtype=dtype)[:, None]) for r in ([3, 0, 0], [1, 2]))
    backend.close(kernel(rows, columns), MATRIX[np.ix_([3, 0, 0], [1, 2])], factor=1)
    backend.close(kernel(rows), MATRIX[np.ix_([3, 0, 0], [3, 0, 0])], factor=1)
    backend.close(kernel.diag(rows), np.asarray([1.0, 4.0, 4.0]), factor=1)
    assert kernel(rows).dtype == backend.dtype


def test_it_is_a_kernel_like_others(backend, rng):
    kernel = 2 * Precomputed(backend.array(MATRIX)) + Precomputed(backend.array(np.eye(4)))
    rows = backend.array(np.arange(4.0)[:, None])
    v = rng.normal(size=(4, 2))
    backend.close(kernel.matvec(rows, None, backend.array(v)), (2 * MATRIX + np.eye(4)) @ v, factor=20)


def test_a_gram_matrix_computed_elsewhere_comes_back(backend, rng):
    x = backend.array(rng.normal(size=(6, 3)))
    k = InfiniteNTK(nn.mlp((4,), 1))(x)
    rows = backend.array(np.arange(6.0)[:, None])
    np.testing.assert_array_equal(backend.host(Precomputed(k)(rows)), backend.host(k))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2, 2, 2)])
def test_a_gram_matrix_is_square(backend, shape):
    with pytest.raises(ValueError, match=r"^matrix has shape .*; a Gram matrix is \(n, n\)"):
        Precomputed(backend.array(np.ones(shape)))


def test_a_gram_matrix_is_finite_and_symmetric(backend):
    bad = MATRIX.copy()
    bad[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"^matrix has NaN or infinity in 1 of its 4 rows, first in row 2"):
        Precomputed(backend.array(bad))
    bad[2, 1] = 0.3
    with pytest.raises(ValueError, match=r"^matrix is not symmetric; use \(matrix \+ matrix.T\) / 2"):
        Precomputed(backend.array(bad))
    rounding = MATRIX.copy()
    rounding[2, 1] += 4 * backend.eps
    Precomputed(backend.array(rounding))


@pytest.mark.parametrize("rows", [[[4]], [[-1]], [[0.5]], [[0, 1]], [[[0]]]], ids=repr)
def test_row_numbers_are_checked(rows):
    kernel = Precomputed(MATRIX)
    good, bad = np.asarray([[0.0]]), np.asarray(rows, dtype=float)
    with pytest.raises(
        ValueError, match=r"^x1 must hold row numbers of the matrix, \(N, 1\) of whole numbers 0 \.\. 3"
    ):
        kernel(bad)
    with pytest.raises(ValueError, match=r"^x1 must hold row numbers"):
        kernel.diag(bad)
    if bad.shape[1:] == (1,):
        with pytest.raises(ValueError, match=r"^x2 must hold row numbers"):
            kernel(good, bad)


def test_row_numbers_of_another_library():
    strict = pytest.importorskip("array_api_strict", reason="the second library")
    with pytest.raises(TypeError, match=r"^one call takes arrays of one library"):
        Precomputed(MATRIX)(strict.asarray([[1.0]]))
    with pytest.raises(TypeError, match=r"^matrix is a list, not an array"):
        Precomputed([[1.0]])
