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
        The modes, as combinations of the polynomials.
    pairs : array (W, 2)
        The numbers i, j of the two modes of each pair, those with the largest coefficients first.
    counts : array (2, K)
        How many pairs are summed, for each even degree 2 k of the series and for each odd one, 2 k + 1.
    series : array (2, K, W)
        The coefficients of these.
    """

    modes: np.ndarray
    pairs: np.ndarray
    counts: np.ndarray
    series: np.ndarray


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
    found = 0.5 * (matrices + np.swapaxes(matrices, 1, 2))[:, pairs[:, 0], pairs[:, 1]]
    order = np.argsort(-np.max(np.abs(found), axis=0), kind="stable")
    pairs, found = pairs[order], found[:, order]
    large = np.abs(found) > tolerance * np.max(np.abs(found))
    ends = np.where(np.any(large, axis=1), found.shape[1] - np.argmax(large[:, ::-1], axis=1), 0)
    width = -(-found.shape[1] // GROUP) * GROUP
    padded = np.zeros((degrees + degrees % 2, width))
    padded[:degrees, : found.shape[1]] = np.where(np.arange(found.shape[1]) < ends[:, None], found, 0.0)
    counts = np.zeros(len(padded), dtype=np.int64)
    counts[:degrees] = -(-ends // GROUP) * GROUP
    both = np.zeros((width, 2), dtype=np.int64)
    both[: len(pairs)] = pairs
    split = np.ascontiguousarray(np.moveaxis(padded.reshape(-1, 2, width), 1, 0))
    return Separated(modes, both, np.ascontiguousarray(counts.reshape(-1, 2).T), split)
