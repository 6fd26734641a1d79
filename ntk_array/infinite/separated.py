"""Tables of dual activations for compiled loops: the coefficients of their series as sums over few pairs of modes.

A table is sum_k T_k(y) sum_ij c_kij B_i(s1) B_j(s2), with polynomials B in two standard deviations and c_kij = c_kji.
Few combinations of these polynomials, the modes m, matter. What does not depend on pairs of inputs is then computed
once for each side, and an entry takes

    sum_k T_k(y) sum_(i <= j) d_kij w_ij,    w_ij = m_i(s1) m_j(s2) + m_j(s1) m_i(s2)    (half of it where i = j)

with numbers d that are the same for all entries.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["GROUP", "Separated", "separated"]

GROUP = 4
"""Pairs of modes are summed so many at once: their number is rounded up to a multiple, with zeros."""


class Separated(NamedTuple):
    """A series in pairs of modes.

    Attributes
    ----------
    modes : array (B, M)
        The modes, as combinations of the polynomials; zeros behind the last make their number a multiple too.
    pairs : array (W, 2)
        The numbers i, j of the two modes of each pair, those with the largest coefficients first.
    counts : array (2, K)
        How many pairs are summed, for each even degree 2 k of the series and for each odd one, 2 k + 1.
    series : array (2, K, W)
        The coefficients of these.
    ends : array (2, K)
        How many modes of the second side are summed at each degree where those of the first are mixed before.
    mixing : array (M, L)
        What mixes them: for even degrees and then for odd ones, from the last on, so many columns.
    """

    modes: np.ndarray
    pairs: np.ndarray
    counts: np.ndarray
    series: np.ndarray
    ends: np.ndarray
    mixing: np.ndarray


def separated(series: np.ndarray, tolerance: float) -> Separated:
    """A series (degrees, B, B) by pairs of modes.

    What is left out are singular values and coefficients below the tolerance, relative to the largest. Together they
    make about ten times as much.
    """
    degrees, size, _ = series.shape
    vectors, values, _ = np.linalg.svd(np.moveaxis(series, 1, 0).reshape(size, -1), full_matrices=False)
    modes = vectors[:, : max(1, int(np.sum(values > tolerance * values[0])))]
    matrices = np.einsum("bi,kbc,cj->kij", modes, series, modes, optimize=True)
    pairs = np.stack(np.triu_indices(modes.shape[1]), axis=1)
    matrices = 0.5 * (matrices + np.swapaxes(matrices, 1, 2))
    found = matrices[:, pairs[:, 0], pairs[:, 1]]
    order = np.argsort(-np.max(np.abs(found), axis=0), kind="stable")
    pairs, found = pairs[order], found[:, order]
    least = tolerance * np.max(np.abs(found))
    counts, ends = _counts(np.abs(found) > least), _counts(np.max(np.abs(matrices), axis=1) > least)
    rows = _padded(np.moveaxis(matrices, 1, 0), 0)  # the modes of the first side, then degrees
    columns = [2 * k + odd for odd in (0, 1) for k in range(ends.shape[1] - 1, -1, -1) if 2 * k + odd < degrees]
    mixing = [_padded(rows[:, k], 1)[:, : ends[k % 2, k // 2]] for k in columns]
    both = _padded(pairs, 0)
    split = _padded(_padded(found, 1), 0, 2).reshape(-1, 2, len(both))
    return Separated(
        _padded(modes, 1),
        both,
        counts,
        np.ascontiguousarray(np.moveaxis(split, 1, 0)),
        ends,
        np.concatenate(mixing, axis=1),
    )


def _counts(large: np.ndarray) -> np.ndarray:
    """For each degree, even ones and odd ones apart, up to where entries are large; a multiple of the group."""
    ends = np.where(np.any(large, axis=1), large.shape[1] - np.argmax(large[:, ::-1], axis=1), 0)
    rounded = -(-ends // GROUP) * GROUP
    return np.ascontiguousarray(_padded(rounded, 0, 2).reshape(-1, 2).T)


def _padded(x: np.ndarray, axis: int, group: int = GROUP) -> np.ndarray:
    """With zeros behind the last entry along an axis, to a multiple of a group."""
    widths = [(0, -size % group if i == axis else 0) for i, size in enumerate(x.shape)]
    return np.pad(x, widths)
