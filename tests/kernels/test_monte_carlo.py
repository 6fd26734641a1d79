"""Averages over random networks: reproducible, with standard errors that mean what they say."""

import numpy as np
import pytest

from ntk_array import EmpiricalNNGP, EmpiricalNTK, MonteCarloNNGP, MonteCarloNTK, nn

NET = nn.mlp((16,), 3, activation="erf", bias_std=0.2)
KINDS = pytest.mark.parametrize("kind", [MonteCarloNTK, MonteCarloNNGP], ids=["ntk", "nngp"])


@pytest.fixture
def x(backend, rng):
    return backend.array(rng.normal(size=(4, 3)))


@KINDS
def test_one_seed_one_answer(backend, x, kind):
    one, two = kind(NET, 3, 5), kind(NET, 3, 5)
    np.testing.assert_array_equal(backend.host(one(x)), backend.host(two(x)))
    np.testing.assert_array_equal(backend.host(one(x)), backend.host(one(x)))
    assert np.all(backend.host(one(x)) != backend.host(kind(NET, 3, 6)(x)))


@KINDS
def test_every_backend_draws_the_same_networks(backend, x, kind):
    estimate = kind(NET, 3, 5).estimate(x)
    reference = kind(NET, 3, 5).estimate(backend.host(x).astype(float))
    backend.close(estimate.mean, reference.mean, factor=50)
    backend.close(estimate.standard_error, reference.standard_error, factor=50, scale=reference.mean.max())
    assert estimate.mean.dtype == estimate.standard_error.dtype == backend.dtype


@KINDS
def test_every_block_comes_from_the_same_networks(backend, x, kind):
    """A Generator is advanced once, when the kernel is made."""
    generator = np.random.default_rng(0)
    one, two = kind(NET, 3, generator), kind(NET, 3, generator)
    k = backend.host(one(x))
    backend.close(one(x, x[:2, :]), k[:, :2], factor=20)
    backend.close(one.diag(x), np.diag(k), factor=20)
    v = np.random.default_rng(1).normal(size=(4, 2))
    backend.close(one.matvec(x, None, backend.array(v)), k.astype(float) @ v, factor=50, scale=np.abs(k).max())
    assert np.all(backend.host(two(x)) != k)
    np.testing.assert_array_equal(k, k.T)
    backend.close(kind(NET, 3, np.random.default_rng(0))(x), k, factor=0)


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        (MonteCarloNTK, lambda params: EmpiricalNTK(NET, params, "trace")),
        (MonteCarloNNGP, lambda params: EmpiricalNNGP(NET, params)),
    ],
    ids=["ntk", "nngp"],
)
def test_mean_and_standard_error_are_those_of_the_draws(rng, kind, one):
    """Networks drawn here, one by one, from the documented streams."""
    x = rng.normal(size=(4, 3))
    root = np.random.SeedSequence(5)
    values = np.stack([one(NET.init(seeds, like=x))(x) for seeds in root.spawn(7)])
    mean, error = kind(NET, 7, 5).estimate(x)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=0, atol=1e-14 * np.abs(values).max())
    np.testing.assert_allclose(error, values.std(axis=0, ddof=1) / np.sqrt(7), rtol=1e-12)


@KINDS
def test_the_standard_error_falls_with_the_square_root_of_the_draws(rng, kind):
    x = rng.normal(size=(2, 3))
    few, many = (kind(NET, draws, 1).estimate(x).standard_error for draws in (100, 1600))
    # a standard deviation of 100 draws is known to 7 %: 4 of these
    np.testing.assert_allclose(few / many, 4.0, rtol=0.28)


@KINDS
def test_the_standard_error_covers_the_scatter_of_the_mean(rng, kind):
    x = rng.normal(size=(2, 3))
    estimates = [kind(NET, 20, seed).estimate(x) for seed in range(60)]
    scatter = np.std([e.mean for e in estimates], axis=0, ddof=1)
    stated = np.sqrt(np.mean([e.standard_error**2 for e in estimates], axis=0))
    # a standard deviation of 60 means is known to 9 %: 4 of these
    np.testing.assert_allclose(stated / scatter, 1.0, rtol=0.36)


@KINDS
@pytest.mark.parametrize("draws", [0, 1, -2, 2.0, True, None])
def test_a_standard_error_needs_two_draws(kind, draws):
    with pytest.raises(ValueError, match=r"^draws must be"):
        kind(NET, draws, 0)


@KINDS
def test_bad_seeds_and_inputs(kind):
    with pytest.raises(TypeError, match=r"^seed must be a whole number"):
        kind(NET, 2, -1)
    with pytest.raises(ValueError, match=r"^x1 has NaN or infinity"):
        kind(NET, 2, 0).estimate(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match=r"^x1 and x2 are batches of different inputs"):
        kind(NET, 2, 0).estimate(np.ones((2, 3)), np.ones((2, 4)))


def test_progress_is_shown_on_request_only(rng, capsys):
    x = rng.normal(size=(2, 3))
    MonteCarloNTK(NET, 3, 0).estimate(x)
    assert capsys.readouterr() == ("", "")
    MonteCarloNTK(NET, 3, 0).estimate(x, progress=True)
    assert "draws" in capsys.readouterr().err
