"""The heads of attention: sums of values at all positions, with weights made from scores."""

from __future__ import annotations

import math
from typing import NamedTuple

from .._array.namespace import Array, home

__all__ = ["MECHANISMS", "Heads", "merged", "seen_scores", "split", "weights_change", "weights_of"]

MECHANISMS = ("softmax", "identity", "relu", "abs")


def weights_of(mechanism: str, scores: Array) -> Array:
    """The weights (..., P, P) that each position, a row, gives to all of them, from scores of this shape."""
    xp = home(scores).xp
    if mechanism == "softmax":
        # The largest score of a row is taken off, so that nothing overflows.
        weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
        return weights / xp.sum(weights, axis=-1, keepdims=True)
    if mechanism == "relu":
        return xp.where(scores > 0, scores, xp.zeros_like(scores))
    return xp.abs(scores) if mechanism == "abs" else scores


def seen_scores(mechanism: str, scores: Array, keys: Array | None) -> Array:
    """The scores, with those of which no weight comes where ``keys`` is not true. None: all are seen."""
    if keys is None:
        return scores
    return home(scores).xp.where(keys, scores, -math.inf if mechanism == "softmax" else 0.0)


def weights_change(mechanism: str, scores: Array, weights: Array, change: Array, keys: Array | None = None) -> Array:
    """How the weights change with the scores. The derivative is symmetric, so that it pulls cotangents back as well."""
    xp = home(scores).xp
    change = change if keys is None else xp.where(keys, change, 0.0)
    if mechanism == "softmax":
        # d a_q = a_q (d s_q - sum_r a_r d s_r).
        return weights * (change - xp.sum(weights * change, axis=-1, keepdims=True))
    if mechanism == "relu":
        return xp.where(scores > 0, change, xp.zeros_like(change))
    return xp.sign(scores) * change if mechanism == "abs" else change


class Heads(NamedTuple):
    """Queries, keys and values (N, heads, P, size), scores and weights (N, heads, P, P) of a batch.

    ``seen``, (N, 1, 1, P), says which positions are looked at; None: all of them.
    """

    mechanism: str
    scale: float
    query: Array
    key: Array
    value: Array
    scores: Array
    weights: Array
    seen: Array | None = None

    @classmethod
    def of(
        cls, query: Array, key: Array, value: Array, mechanism: str, scale: float, seen: Array | None = None
    ) -> Heads:
        """With the scores scale <q_p, k_q>."""
        scores = seen_scores(mechanism, scale * (query @ home(key).xp.matrix_transpose(key)), seen)
        return cls(mechanism, scale, query, key, value, scores, weights_of(mechanism, scores), seen)

    def outputs(self) -> Array:
        """The weighted sums of values, (N, heads, P, size)."""
        return self.weights @ self.value

    def change(self, query: Array, key: Array, value: Array) -> Array:
        """How these change with queries, keys and values."""
        turned = home(key).xp.matrix_transpose
        scores = self.scale * (query @ turned(self.key) + self.query @ turned(key))
        weights = weights_change(self.mechanism, self.scores, self.weights, scores, self.seen)
        return weights @ self.value + self.weights @ value

    def pulled_back(self, delta: Array) -> tuple[Array, Array, Array]:
        """Cotangents of queries, keys and values, from those (N or 1, C, heads, P, size) of the outputs."""
        turned = home(delta).xp.matrix_transpose
        query, key, value, scores, weights = (a[:, None, ...] for a in self[2:7])
        seen = None if self.seen is None else self.seen[:, None, ...]
        of_scores = self.scale * weights_change(self.mechanism, scores, weights, delta @ turned(value), seen)
        return of_scores @ key, turned(of_scores) @ query, turned(weights) @ delta


def split(x: Array, heads: int) -> Array:
    """(..., P, heads * size) as (..., heads, P, size)."""
    return _swapped(home(x).xp.reshape(x, (*x.shape[:-1], heads, x.shape[-1] // heads)))


def merged(x: Array) -> Array:
    """The reverse of :func:`split`."""
    parts = _swapped(x)
    return home(x).xp.reshape(parts, (*parts.shape[:-2], parts.shape[-2] * parts.shape[-1]))


def _swapped(x: Array) -> Array:
    """With the two axes before the last one swapped."""
    n = x.ndim
    return home(x).xp.permute_dims(x, (*range(n - 3), n - 2, n - 3, n - 1))
