"""Kernels of explicit features as kernels: values, products, tiles, errors that they state, and the Jacobian."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import gram, nn
from ntk_array._array.namespace import home
from ntk_array.kernels import features as module

NET = nn.mlp((1, 1), 1, bias_std=0.2)
FINITE = nn.mlp((3,), 2, activation="tanh", bias_std=0.3)
MAKE = {
    # Of a matrix: JAX would compile infinite-width kernels for each shape of a block.
    "nystroem": lambda x: ntk.Nystroem(ntk.Precomputed(x @ x.T), number_rows(x)[:7, :]),
    "random": lambda x: ntk.RandomFeatures(ntk.InfiniteNTK(NET), 6, seed=0),
}


def number_rows(x):
    its_home = home(x)
    return its_home.asarray(np.arange(12.0)[:, None])


@pytest.fixture(params=MAKE)
def case(request, backend, rng):
    x = backend.array(rng.normal(size=(12, 9)))
    kernel = MAKE[request.param](x)
    return kernel, number_rows(x) if request.param == "nystroem" else x


def test_everything_follows_from_the_features(backend, rng, case, monkeypatch):
    kernel, x = case
    phi = backend.host(kernel.features(x)).astype(float)
    assert phi.shape == (12, kernel.feature_count(x))
    backend.close(kernel(x), phi @ phi.T)
    backend.close(kernel(x[:6, :], x), phi[:6] @ phi.T)
    backend.close(kernel.diag(x), np.sum(phi**2, axis=1))
    v = rng.normal(size=(12, 2))
    monkeypatch.setattr(module, "NUMBERS", 6 * phi.shape[1])  # six rows a block, and two blocks
    assert len(list(kernel.feature_blocks(x))) == 2
    backend.close(kernel.matvec(x[:6, :], x, backend.array(v)), phi[:6] @ (phi.T @ v), factor=1e4)
    backend.close(kernel.features(x), phi)
    backend.close(kernel.diag(x), np.sum(phi**2, axis=1))
    values = backend.host(kernel(x))
    assert np.array_equal(values, values.T)


@pytest.mark.host
def test_tiles_and_sums(rng):
    x = rng.normal(size=(80, 4))
    kernel = ntk.Nystroem(ntk.InfiniteNTK(NET), x[:7])
    np.testing.assert_allclose(gram.assemble(kernel, x, memory="80 kB", threads=1), kernel(x), rtol=1e-10)
    np.testing.assert_allclose((2.0 * kernel + kernel)(x), 3.0 * kernel(x), rtol=1e-12)


@pytest.mark.host
def test_the_error_that_is_stated(rng):
    x = rng.normal(size=(60, 4)) * np.linspace(0.5, 2.0, 60)[:, None]
    K, near = ntk.InfiniteNTK(NET), ntk.Nystroem(ntk.InfiniteNTK(NET), x[:10])
    exact = K(x, x.copy())
    relative = (near(x) - exact) / np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    full = np.sqrt(np.mean(relative**2))
    assert abs(near.estimated_error(x, pairs=10**6) / full - 1.0) < 1e-10  # all pairs
    assert 0.4 < near.estimated_error(x, pairs=500) / full < 2.5
    zeros = np.concatenate([0.0 * x[:1], x])
    unbiased = ntk.InfiniteNNGP(nn.mlp((1,), 1))
    assert np.isfinite(ntk.Nystroem(unbiased, x[:10]).estimated_error(zeros, pairs=10**6))


@pytest.mark.parametrize(("outputs", "trainable"), [("trace", None), ("sum_of_logits", "0.weight")], ids=str)
def test_the_jacobian_is_exact(backend, rng, outputs, trainable):
    x = backend.array(rng.normal(size=(5, 4)))
    K = ntk.EmpiricalNTK(FINITE, FINITE.init(0, like=x), outputs=outputs, trainable=trainable)
    kernel = ntk.EmpiricalFeatures(K)
    size = {None: 23, "0.weight": 12}[trainable] * (2 if outputs == "trace" else 1)
    assert kernel.features(x).shape == (5, size)
    backend.close(kernel(x), K(x))


@pytest.mark.host
def test_what_has_no_features():
    x = np.ones((2, 4))
    full = ntk.EmpiricalNTK(FINITE, FINITE.init(0, like=x))
    with pytest.raises(TypeError, match="kernel must be an EmpiricalNTK"):
        ntk.EmpiricalFeatures(NET)
    with pytest.raises(ValueError, match="this one is full"):
        ntk.EmpiricalFeatures(full)
    with pytest.raises(ValueError, match=r"blocks for each output \(full\)"):
        ntk.Nystroem(full, x)
    with pytest.raises(TypeError, match="kernel must be a kernel"):
        ntk.Nystroem.of(NET, x, 1, seed=0)
    with pytest.raises(TypeError, match="Nystroem takes every kernel"):
        ntk.RandomFeatures(full, 5, seed=0)
