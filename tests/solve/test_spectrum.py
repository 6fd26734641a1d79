"""The eigendecomposition of Gram matrices: residuals in the manner of LAPACK, rank, condition and refusal."""

import math

import numpy as np
import pytest

from ntk_array.solve.spectrum import decompose

LAPACK = 60.0  # LAPACK's own test programs let these ratios reach 30 to 60


def gram_of_spectrum(rng, values):
    """A symmetric matrix with these eigenvalues."""
    q, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    gram = (q * np.asarray(values)) @ q.T
    return (gram + gram.T) / 2


def one_norm(a):
    return np.max(np.sum(np.abs(a), axis=-2))


SPECTRA = {
    "even": np.linspace(1.0, 2.0, 30),
    "graded": 10.0 ** np.linspace(-5, 2, 30),
    "clustered": np.repeat([1.0, 3.0], 15),
    "rank deficient": np.repeat([0.0, 1.0], 15),
    "tiny": 1e-12 * np.linspace(1.0, 2.0, 30),
    "one": np.asarray([4.0]),
}


@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)
def test_residual_and_orthogonality(backend, rng, spectrum):
    n = len(spectrum)
    gram = backend.host(backend.array(gram_of_spectrum(rng, spectrum)))
    result = decompose(backend.array(gram)[None, ...])
    # In float64, so that the residual is the decomposition's, not that of computing it.
    values, vectors, gram = (np.asarray(backend.host(x), np.float64) for x in (result.values, result.vectors, gram))
    v, unit = vectors[0], n * backend.eps
    assert one_norm(gram @ v - v * values[0]) / (one_norm(gram) * unit) < LAPACK
    assert one_norm(v.T @ v - np.eye(n)) / unit < LAPACK
    assert np.max(np.abs(values[0] - np.sort(spectrum))) / (spectrum.max() * unit) < LAPACK
    assert (np.diff(values[0]) >= 0).all()
    assert (values[0] >= 0).all()


def test_rank_condition_and_cutoff(backend, rng):
    result = decompose(backend.array(gram_of_spectrum(rng, [0.0, 0.0, 0.5, 1.0, 2.0, 8.0]))[None, ...])
    assert result.rank == 4
    assert math.isclose(result.largest, 8.0, rel_tol=30 * backend.eps)
    assert math.isclose(result.cutoff, 4 * backend.eps * result.largest, rel_tol=1e-12)
    assert math.isclose(result.condition, 16.0, rel_tol=300 * backend.eps)


def test_rank_of_repeated_inputs(backend, rng):
    x = rng.normal(size=(5, 3))
    x = np.concatenate([x, x[:2], x[:1]])
    result = decompose(backend.array((x @ x.T)[None, ...]))
    assert result.rank == 3
    exact = np.linalg.svd(x, compute_uv=False)[:3] ** 2
    assert math.isclose(result.condition, exact[0] / exact[-1], rel_tol=300 * backend.eps * exact[0] / exact[-1])


def test_stacked_matrices(backend, rng):
    spectra = [[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 5.0, 10.0], [0.0, 1.0, 1.0, 1.0]]
    grams = np.stack([gram_of_spectrum(rng, values) for values in spectra])
    result = decompose(backend.array(grams))
    assert result.values.shape == (3, 4)
    assert result.vectors.shape == (3, 4, 4)
    backend.close(result.values, np.asarray(spectra), factor=60)
    assert result.rank == 2
    assert math.isclose(result.largest, 10.0, rel_tol=30 * backend.eps)
    vectors, values = backend.host(result.vectors), backend.host(result.values)
    backend.close(vectors @ (values[..., None] * np.swapaxes(vectors, 1, 2)), grams, factor=120)


@pytest.mark.parametrize("lowest", [-1.0, -1e-2])
def test_indefinite_matrices_are_refused(backend, rng, lowest):
    gram = backend.array(gram_of_spectrum(rng, [lowest, 0.5, 1.0, 2.0])[None, ...])
    with pytest.raises(np.linalg.LinAlgError, match=r"not positive semidefinite: its eigenvalues reach from -"):
        decompose(gram)


def test_one_indefinite_matrix_of_a_stack_is_enough(backend, rng):
    grams = [gram_of_spectrum(rng, values) for values in ([1.0, 2.0, 3.0], [-0.1, 2.0, 3.0])]
    with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite"):
        decompose(backend.array(np.stack(grams)))


def test_negative_definite_matrices_are_refused(backend):
    with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite"):
        decompose(backend.array(-np.eye(3)[None, ...]))


def test_rounding_below_zero_is_clipped(backend, rng):
    gram = backend.array(gram_of_spectrum(rng, [-4 * backend.eps, 1.0, 2.0])[None, ...])
    result = decompose(gram)
    assert (backend.host(result.values) >= 0).all()
    assert result.rank == 2


def test_the_zero_matrix_has_rank_zero(backend):
    result = decompose(backend.array(np.zeros((1, 3, 3))))
    assert (result.rank, result.largest, result.cutoff) == (0, 0.0, 0.0)
    assert math.isinf(result.condition)


def test_nan_is_an_error_and_no_result(backend):
    gram = np.eye(3)
    gram[0, 1] = gram[1, 0] = np.nan
    with pytest.raises((np.linalg.LinAlgError, RuntimeError)):
        decompose(backend.array(gram[None, ...]))


def test_matrices_too_small_for_their_dtype_are_refused(backend):
    smallest = float(np.finfo(backend.dtype_name).tiny)
    with pytest.raises(np.linalg.LinAlgError, match=r"too small for .*float"):
        decompose(backend.array(smallest * np.eye(3)[None, :, :]))
    assert decompose(backend.array(smallest / backend.eps**2 * np.eye(3)[None, :, :])).rank == 3
