"""Draws of Gaussian function values against their mean and covariance."""

import numpy as np
import pytest

from ntk_array.dynamics import Gaussian

COVARIANCE = np.asarray([[2.0, 1.0, 0.5], [1.0, 1.0, 0.2], [0.5, 0.2, 0.3]])
MEAN = np.asarray([[1.0, 0.0], [-1.0, 3.0], [0.0, 0.5]])
DRAWS = 20_000


def test_draws_have_the_mean_and_the_covariance(backend):
    """Within four standard errors; the outputs are independent."""
    draws = backend.host(Gaussian(backend.array(MEAN), backend.array(COVARIANCE)).sample(DRAWS, seed=3))
    assert draws.shape == (DRAWS, 3, 2)
    flat = draws.transpose(0, 2, 1).reshape(DRAWS, 6).astype(float)
    covariance = np.kron(np.eye(2), COVARIANCE)
    variances = np.diag(covariance)
    np.testing.assert_array_less(np.abs(flat.mean(axis=0) - MEAN.T.ravel()), 4 * np.sqrt(variances / DRAWS))
    errors = np.sqrt((variances[:, None] * variances + covariance**2) / DRAWS)
    np.testing.assert_array_less(np.abs(np.cov(flat.T) - covariance), 4 * errors)


def test_one_seed_gives_the_same_draws_on_every_library(backend):
    """Compared with NumPy's in float64; a library may choose other eigenvectors, the symmetric root is unique."""
    expected = Gaussian(MEAN, COVARIANCE).sample(5, seed=11)
    distribution = Gaussian(backend.array(MEAN), backend.array(COVARIANCE))
    backend.close(distribution.sample(5, seed=11), expected, factor=30)
    backend.close(
        distribution.sample(5, np.random.default_rng(1)),
        Gaussian(MEAN, COVARIANCE).sample(5, np.random.default_rng(1)),
        factor=30,
    )
    assert np.abs(backend.host(distribution.sample(5, seed=12)) - expected).max() > 0.1


def test_a_singular_covariance_moves_the_draws_along_its_directions_only(backend):
    """The root of a rounding error is what is left across them."""
    direction = np.asarray([[1.0], [2.0], [-1.0]])
    draws = backend.host(
        Gaussian(backend.array(np.zeros(3)), backend.array(direction @ direction.T)).sample(50, seed=0)
    )
    assert draws.shape == (50, 3)
    across = draws - draws[:, :1] * direction.T
    assert np.abs(across).max() <= 30 * backend.eps**0.5
    assert np.abs(draws).max() > 1


def test_certain_values_are_their_mean(backend):
    draws = Gaussian(backend.array(MEAN), backend.array(np.zeros((3, 3)))).sample(2, seed=0)
    backend.close(draws, np.stack([MEAN, MEAN]), factor=0)


@pytest.mark.parametrize("vector", [False, True])
def test_draws_at_several_times(backend, vector):
    means = np.stack([MEAN, MEAN + 1.0])
    means = means[..., 0] if vector else means
    covariances = np.stack([COVARIANCE, np.zeros((3, 3))])
    draws = Gaussian(backend.array(means), backend.array(covariances)).sample(4, seed=0)
    assert draws.shape == (4, *means.shape)
    assert draws.dtype == backend.dtype
    backend.close(draws[:, 1, ...], np.stack([means[1]] * 4), factor=0)


def test_standard_deviations_are_never_nan(backend):
    covariance = np.asarray([[4.0, 0.0], [0.0, -1e-18]])
    distribution = Gaussian(backend.array(np.zeros(2)), backend.array(covariance))
    backend.close(distribution.standard_deviation, np.asarray([2.0, 0.0]), factor=1)
    stacked = Gaussian(backend.array(np.zeros((2, 2))), backend.array(np.stack([covariance, covariance])))
    backend.close(stacked.standard_deviation, np.asarray([[2.0, 0.0]] * 2), factor=1)


@pytest.mark.host
def test_bad_arguments_are_refused():
    distribution = Gaussian(MEAN, COVARIANCE)
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1"):
        distribution.sample(0, seed=0)
    with pytest.raises(TypeError, match="seed must be a whole number"):
        distribution.sample(1, seed=-1)
