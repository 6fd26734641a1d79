"""Matrices of blocks, against Kronecker products and loops over the blocks."""

import numpy as np
import pytest

from ntk_array.nn.blockwise import add_kronecker, add_multiple


@pytest.mark.parametrize(("m", "p", "n", "q"), [(4, 2, 5, 3), (1, 1, 1, 1), (3, 1, 40, 1), (6, 10, 7, 10)])
def test_multiples_of_blocks_are_added(backend, rng, m, p, n, q):
    blocks, factors, total = rng.normal(size=(m, p, n * q)), rng.normal(size=(m, n)), rng.normal(size=(m, p, n * q))
    expected = np.stack([[row * np.kron(f, np.ones(q)) for row in own] for own, f in zip(blocks, factors, strict=True)])

    def fresh(host):
        return backend.array(host) + 0.0  # to be used up

    backend.close(add_multiple(None, fresh(blocks), backend.array(factors)), expected, factor=4)
    got = add_multiple(fresh(total), fresh(blocks), backend.array(factors))
    backend.close(got, total + expected, factor=8)
    assert got.dtype == backend.dtype


@pytest.mark.parametrize("n", [3, 16, 37])
def test_symmetric_sums_stay_exactly_symmetric(backend, rng, n):
    """Compiled loops too, vectorized and not, round an entry as they round its mirror image."""
    q = 3
    one, two = (a + np.swapaxes(a, 0, 1) for a in rng.normal(size=(2, n * q, n * q)))
    factors = rng.normal(size=(n, n)) + 2.0
    factors = backend.array(factors + factors.T)
    total = add_multiple(None, backend.array(one.reshape(n, q, n * q)) + 0.0, factors)
    total = add_multiple(total, backend.array(two.reshape(n, q, n * q)) + 0.0, factors)
    total = add_kronecker(total, factors, backend.array(0.3 * np.eye(q)))
    matrix = backend.host(total).reshape(n * q, n * q)
    np.testing.assert_array_equal(matrix, matrix.T)


@pytest.mark.parametrize(
    "b", [np.eye(3), np.asarray([[0.0, 2.0], [0.5, 0.0]]), np.asarray([[1.0, -2.0, 3.0], [4.0, 5.0, 6.0]])]
)
def test_kronecker_products_are_added(backend, rng, b):
    a, total = rng.normal(size=(4, 5)), rng.normal(size=(4, b.shape[0], 5 * b.shape[1]))
    product = np.kron(a, b).reshape(total.shape)
    backend.close(add_kronecker(None, backend.array(a), backend.array(b)), product, factor=4)
    own = backend.array(total) + 0.0  # to be used up
    backend.close(add_kronecker(own, backend.array(a), backend.array(b)), total + product, factor=8)
