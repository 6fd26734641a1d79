"""Nystroem approximations against the dense formula, and their landmarks against those drawn one by one."""

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.kernels import landmarks

K = ntk.InfiniteNTK(nn.mlp((1, 1), 1, bias_std=0.2))


def dense(k, chosen):
    """K(x, Z) K(Z, Z)^{-1} K(Z, x) for rows of a matrix in float64, in 40 digits."""
    with mpmath.workdps(40):
        cross, middle = mpmath.matrix(k[:, chosen].tolist()), mpmath.matrix(k[np.ix_(chosen, chosen)].tolist())
        return np.asarray((cross * mpmath.inverse(middle) * cross.T).tolist(), dtype=float)


@pytest.fixture
def problem(backend, rng):
    """A matrix of K as a kernel, since JAX would compile K for each shape of a block; its inputs; and the matrix."""
    exact = backend.array(K(rng.normal(size=(60, 3))))
    return ntk.Precomputed(exact), backend.array(np.arange(60.0)[:, None]), backend.host(exact).astype(float)


def test_the_dense_formula(backend, problem):
    kernel, x, exact = problem
    near, x = ntk.Nystroem(kernel, x[:4, :]), x[:10, :]
    assert (near.dropped, near.residual, near.feature_count(x)) == (0, None, 4)
    backend.close(near(x), dense(exact[:10, :10], range(4)))
    backend.close(ntk.Nystroem(kernel, x)(x), exact[:10, :10])


def test_landmarks_of_a_sample(backend, problem):
    kernel, x, exact = problem
    near = ntk.Nystroem.of(kernel, x, rank=20, seed=3)
    assert near.landmarks.shape == (20, 1)
    approximate = dense(exact, backend.host(near.landmarks)[:, 0].astype(int))
    backend.close(near(x), approximate, factor=1e4)
    # The trace that remains, of a difference of traces.
    residual = np.trace(exact - approximate) / np.trace(exact)
    assert abs(near.residual - residual) < 1e4 * backend.eps
    values = np.linalg.eigvalsh(exact)
    assert values[:-20].sum() < residual * values.sum() < 3.0 * values[:-20].sum()


@pytest.mark.host
def test_the_tolerance_stops_at_the_first_landmark_that_is_enough(rng):
    x = rng.normal(size=(300, 3))
    near = ntk.Nystroem.of(K, x, rank=300, seed=0, tolerance=0.1)
    rank = len(near.landmarks)
    assert near.residual <= 0.1 < ntk.Nystroem.of(K, x, rank=rank - 1, seed=0).residual
    again = ntk.Nystroem.of(K, x, rank=300, seed=0, tolerance=0.1, progress=True)
    np.testing.assert_array_equal(again.landmarks, near.landmarks)


@pytest.mark.host
def test_pivots_are_those_of_draws_one_by_one():
    """The distribution of the first two pivots: p_i = K_ii / tr K, then what remains of the diagonal."""
    root = np.random.default_rng(1).normal(size=(4, 4)) * [3.0, 1.0, 0.5, 0.2]
    k = root @ root.T
    expected, draws = np.zeros((4, 4)), 1000
    for i in range(4):
        left = np.diag(k) - k[i] ** 2 / k[i, i]
        expected[i] = k[i, i] / np.trace(k) * left / left.sum()
    found, rows = np.zeros((4, 4)), np.arange(4.0)[:, None]
    kernel, rng = ntk.Precomputed(k), np.random.default_rng(2)
    for _ in range(draws):
        pivots = landmarks.RandomPivots(kernel, rows, 2, 0.0, rng)
        pivots.run(False)
        found[tuple(pivots.chosen)] += 1.0 / draws
    error = np.sqrt(np.maximum(expected * (1.0 - expected), 1e-4) / draws)
    assert np.max(np.abs(found - expected) / error) < 4.0


@pytest.mark.host
def test_what_adds_nothing_is_dropped(rng):
    x = rng.normal(size=(6, 3))
    near = ntk.Nystroem(K, np.concatenate([x, x[2:4]]))
    assert (near.dropped, near.feature_count(x)) == (2, 6)
    np.testing.assert_allclose(near(x), K(x), rtol=1e-10)
    repeated = ntk.Nystroem.of(K, np.concatenate([x, x, x]), rank=18, seed=0)
    assert (len(repeated.landmarks), repeated.dropped) == (6, 0)
    assert repeated.residual < 1e-14
    # A matrix of rank 3: no more landmarks are there to be found.
    root = rng.normal(size=(40, 3))
    rows, exact = np.arange(40.0)[:, None], ntk.Precomputed(root @ root.T)
    near = ntk.Nystroem.of(exact, rows, rank=20, seed=0)
    assert len(near.landmarks) == 3
    assert near.residual < 1e-14
    np.testing.assert_allclose(near(rows), exact(rows), atol=1e-12)
    whole = rows.astype(int)
    np.testing.assert_allclose(ntk.Nystroem.of(exact, whole, 3, seed=0)(whole), exact(rows), atol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_smooth_kernels_whose_spectrum_is_below_rounding(dtype):
    """Of 200 inputs on a line. Nothing blows up where pivots are near rounding."""
    smooth = ntk.InfiniteNNGP(nn.mlp((1,), 1, activation="erf", bias_std=0.5))
    x = np.linspace(-1.0, 1.0, 200, dtype=dtype)[:, None]
    near, eps = ntk.Nystroem(smooth, x), np.finfo(dtype).eps
    assert 3 < near.feature_count(x) < 40
    assert near.dropped == 200 - near.feature_count(x)
    new = np.linspace(-0.99, 0.99, 77, dtype=dtype)[:, None]
    assert np.max(np.abs(near(new) - smooth(new))) < 2.0 * 200 * eps * smooth.diag(x).max()


@pytest.mark.host
def test_other_kernels_have_landmarks_too(rng):
    images = rng.normal(size=(8, 4, 4, 1))
    conv = ntk.InfiniteNTK(nn.cnn((1,), 1))
    np.testing.assert_allclose(ntk.Nystroem(conv, images)(images), conv(images), rtol=1e-10)
    x = rng.normal(size=(8, 3)) * np.geomspace(0.5, 2.0, 8)[:, None]
    tabulated = ntk.InfiniteNTK(nn.mlp((1, 1), 1, activation="tanh", bias_std=0.1))
    near = ntk.Nystroem(tabulated, x)
    np.testing.assert_allclose(near(x[:3], x), tabulated(x[:3], x), rtol=1e-9)
    drawn = ntk.MonteCarloNTK(nn.mlp((5,), 1), draws=3, seed=0)
    np.testing.assert_allclose(ntk.Nystroem(drawn, x)(x), drawn(x), rtol=1e-9)


@pytest.mark.host
def test_what_is_refused(monkeypatch):
    x = np.ones((3, 2))
    with pytest.raises(np.linalg.LinAlgError, match="not positive semidefinite"):
        ntk.Nystroem(ntk.Precomputed(np.asarray([[1.0, 2.0], [2.0, 1.0]])), np.asarray([[0.0], [1.0]]))
    unbiased = ntk.InfiniteNNGP(nn.mlp((1,), 1))
    with pytest.raises(np.linalg.LinAlgError, match="the kernel is 0 at all"):
        ntk.Nystroem(unbiased, 0.0 * x)
    with pytest.raises(ValueError, match="nothing to approximate"):
        ntk.Nystroem.of(unbiased, 0.0 * x, 1, seed=0)
    with pytest.raises(ValueError, match=r"inputs of shape \(3,\) are not like the landmarks"):
        ntk.Nystroem(K, x)(np.ones((2, 3)))
    with pytest.raises(ValueError, match="rank must be"):
        ntk.Nystroem.of(K, x, 0, seed=0)
    monkeypatch.setattr("ntk_array.gram.memory.available", lambda here: 100)
    with pytest.raises(MemoryError, match="approximation by 3 columns of 3 kernel values"):
        ntk.Nystroem.of(K, x, 5, seed=0)
