"""Cholesky factors with pivots."""

import numpy as np
import pytest

from ntk_array.solve.pivoted import pivoted_cholesky

pytestmark = pytest.mark.host
EPS = float(np.finfo(np.float64).eps)


def test_the_largest_remaining_pivot_is_next(rng):
    root = rng.normal(size=(5, 5)) * [[1.0], [3.0], [2.0], [0.5], [4.0]]
    gram = root @ root.T
    factor = pivoted_cholesky(gram, EPS)
    lower = np.linalg.inv(factor.inverse)
    np.testing.assert_allclose(lower @ lower.T, gram[np.ix_(factor.rows, factor.rows)], rtol=1e-12)
    assert factor.rows[0] == np.argmax(np.diag(gram))
    left = np.diag(gram).copy()
    for step, row in enumerate(factor.rows):
        assert row == np.argmax(left)
        left -= (factor.inverse[step] @ gram[factor.rows]) ** 2
    assert np.array_equal(factor.inverse, np.tril(factor.inverse))


@pytest.mark.parametrize(("eps", "rank"), [(EPS, 4), (1e-5, 3), (0.01, 2)])
def test_pivots_below_rounding_are_left_out(eps, rank):
    """Of a diagonal matrix, n eps max K_ii; rank 4 of 5 in any case, since two rows are equal."""
    gram = np.diag([1.0, 0.2, 1e-3, 1e-6, 0.0])
    gram[4, 4] = gram[4, 0] = gram[0, 4] = 1.0
    factor = pivoted_cholesky(gram, eps)
    assert len(factor.rows) == rank
    assert len({0, 4} & set(factor.rows.tolist())) == 1


def test_what_is_no_gram_matrix():
    with pytest.raises(np.linalg.LinAlgError, match="NaN or infinity"):
        pivoted_cholesky(np.asarray([[1.0, np.nan], [np.nan, 1.0]]), EPS)
    with pytest.raises(np.linalg.LinAlgError, match="the kernel is 0"):
        pivoted_cholesky(np.zeros((2, 2)), EPS)
    with pytest.raises(np.linalg.LinAlgError, match=r"a pivot is -3\.000e\+00, beside entries to 1\.0"):
        pivoted_cholesky(np.asarray([[1.0, 2.0], [2.0, 1.0]]), EPS)
