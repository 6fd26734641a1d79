"""What attention makes of the scores between positions."""

from .._array.namespace import Array, home

__all__ = ["MECHANISMS", "weights_change", "weights_of"]

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


def weights_change(mechanism: str, scores: Array, weights: Array, change: Array) -> Array:
    """How the weights change with the scores. The derivative is symmetric, so that it pulls cotangents back as well."""
    xp = home(scores).xp
    if mechanism == "softmax":
        # d a_q = a_q (d s_q - sum_r a_r d s_r).
        return weights * (change - xp.sum(weights * change, axis=-1, keepdims=True))
    if mechanism == "relu":
        return xp.where(scores > 0, change, xp.zeros_like(change))
    return xp.sign(scores) * change if mechanism == "abs" else change
