"""Kernels of every kind as stacks of B ordinary matrices, so that the dynamics are written once.

A scalar kernel is one matrix that acts on C columns, a class-wise one C matrices with a column each, a full one a
single matrix of N C rows in the order n * C + c.
"""

from typing import Literal

from .._array.namespace import Array, home

__all__ = ["Kind", "stack_block", "stack_values", "unstack_values"]

Kind = Literal["scalar", "classwise", "full"]
"""The shape of a block: (N1, N2), the same for every output; (C, N1, N2); or (N1, C, N2, C)."""


def stack_block(kind: Kind, block: Array) -> Array:
    """A block of kernel values as (B, n1, n2)."""
    if kind == "scalar":
        return block[None, ...]
    if kind == "classwise":
        return block
    n1, c1, n2, c2 = block.shape
    return home(block).xp.reshape(block, (1, n1 * c1, n2 * c2))


def stack_values(kind: Kind, values: Array) -> Array:
    """Values (N, C) as (B, n, k)."""
    xp = home(values).xp
    if kind == "scalar":
        return values[None, ...]
    if kind == "classwise":
        return values.T[..., None]
    return xp.reshape(values, (1, -1, 1))


def unstack_values(kind: Kind, stacked: Array, outputs: int) -> Array:
    """The inverse of :func:`stack_values`."""
    xp = home(stacked).xp
    if kind == "scalar":
        return stacked[0, ...]
    if kind == "classwise":
        return stacked[..., 0].T
    return xp.reshape(stacked, (-1, outputs))
