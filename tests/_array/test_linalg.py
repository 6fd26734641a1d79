"""Linear algebra with one behaviour on every library."""

import numpy as np
import pytest

from ntk_array._array.linalg import eigenvalues, eigh, inner, mirror, singular_values, with_diagonal


def test_eigh_reconstructs(backend, rng):
    a = rng.normal(size=(6, 6))
    a = a + a.T
    values, vectors = eigh(backend.array(a))
    values, vectors = backend.host(values), backend.host(vectors)
    assert np.all(np.diff(values) >= 0)
    backend.close(vectors @ np.diag(values) @ vectors.T, a, factor=100)
    backend.close(vectors.T @ vectors, np.eye(6), factor=100)


def test_eigh_of_a_stack(backend, rng):
    a = rng.normal(size=(3, 4, 4))
    a = a + np.swapaxes(a, 1, 2)
    values, vectors = eigh(backend.array(a))
    assert (values.shape, vectors.shape) == ((3, 4), (3, 4, 4))
    backend.close(values, np.stack([np.linalg.eigvalsh(one) for one in a]), factor=100)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_eigh_of_nonfinite_numbers_raises(backend, bad):
    matrix = np.asarray([[1.0, bad], [bad, 1.0]])
    for a in (matrix, -matrix, matrix[None, ...], np.stack([np.eye(2), matrix])):
        with pytest.raises(np.linalg.LinAlgError, match="NaN or infinity"):
            eigh(backend.array(a))


@pytest.mark.host
def test_eigh_of_a_stack_of_one_matrix_calls_the_library_with_the_matrix(monkeypatch, rng):
    """A stack takes a slower method on some libraries."""
    a = rng.normal(size=(5, 5))
    a, shapes, library = a + a.T, [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda a: shapes.append(a.shape) or library(a))
    values, vectors = eigh(a[None, ...])
    assert (shapes, values.shape, vectors.shape) == ([(5, 5)], (1, 5), (1, 5, 5))
    np.testing.assert_array_equal(values[0], eigh(a)[0])


@pytest.mark.host
def test_what_does_not_converge_raises(monkeypatch):
    """On libraries that return NaN then, as JAX and CuPy do."""
    monkeypatch.setattr(np.linalg, "eigh", lambda a: (np.full(2, np.nan), a))
    with pytest.raises(np.linalg.LinAlgError, match="did not converge"):
        eigh(np.eye(2))
    monkeypatch.setattr(np.linalg, "svd", lambda a, **options: (a, np.full(2, np.nan), a))
    with pytest.raises(np.linalg.LinAlgError, match="the singular value decomposition did not converge"):
        singular_values(np.eye(2))


@pytest.mark.host
def test_no_eigenvalues_of_nan():
    with pytest.raises(np.linalg.LinAlgError, match="the matrix has NaN or infinity, and no eigenvalues"):
        eigenvalues(np.diag([1.0, np.nan]))


def test_mirror_is_exactly_symmetric(backend, rng):
    host = rng.normal(size=(2, 5, 5)).astype(backend.dtype_name)
    got = backend.host(mirror(backend.array(host)))
    np.testing.assert_array_equal(got, np.swapaxes(got, 1, 2))
    np.testing.assert_array_equal(np.triu(got), np.triu(host))


@pytest.mark.parametrize("shape", [(1, 4), (7, 1), (5, 0), (333, 513), (2, 70, 40)])
def test_inner_products_are_exactly_symmetric(backend, rng, shape):
    """At (333, 513) a product of two arrays would not be, in float64, with OpenBLAS."""
    host = rng.normal(size=shape).astype(backend.dtype_name)
    a = backend.array(host)
    got = backend.host(inner(a, a))
    np.testing.assert_array_equal(got, np.swapaxes(got, -1, -2))
    exact = host.astype(float) @ np.swapaxes(host, -1, -2).astype(float)
    backend.close(got, exact, factor=20)
    other = backend.array(host[..., : shape[-2] // 2 + 1, :])
    backend.close(inner(a, other), exact[..., : shape[-2] // 2 + 1], factor=20)


def test_inner_products_of_slices_are_exactly_symmetric(rng):
    """Whatever way NumPy takes: strides that its BLAS knows or not."""
    stack = rng.normal(size=(40, 6, 50)).astype(np.float32)
    for a in (np.swapaxes(stack, 0, 1), stack[:, 1, ::3], stack[::-1, 0, :], stack[:, :, 3]):
        got = inner(a, a)
        np.testing.assert_array_equal(got, np.swapaxes(got, -1, -2))
        np.testing.assert_allclose(got, a @ np.swapaxes(a.copy(), -1, -2), rtol=1e-4, atol=1e-4)


def test_with_diagonal_changes_nothing_else(backend, rng):
    host = rng.normal(size=(4, 4)).astype(backend.dtype_name)
    diagonal = rng.normal(size=4).astype(backend.dtype_name)
    expected = host.copy()
    np.fill_diagonal(expected, diagonal)
    got = with_diagonal(backend.array(host) + 0.0, backend.array(diagonal))  # it may write into the first
    np.testing.assert_array_equal(backend.host(got), expected)
    assert got.dtype == backend.dtype
