"""The kinds of kernels: what a kernel of networks with C outputs says of two inputs, and the arrays that this makes.

A scalar kernel is one number, the same for every output. A class-wise kernel has one for each output. A full kernel has
one for each pair of outputs. Here, and nowhere else, it is decided what follows for shapes and products.
"""

import math
from typing import Literal

from .namespace import Array, home

__all__ = [
    "Kind",
    "as_block",
    "as_matrix",
    "gram_shape",
    "numbers",
    "product",
    "stack_block",
    "stack_values",
    "unstack_block",
    "unstack_diagonal",
    "unstack_values",
]

Kind = Literal["scalar", "classwise", "full"]
"""The shape of a block: (N1, N2), the same for every output; (C, N1, N2); or (N1, C, N2, C)."""


def numbers(kind: Kind, outputs: int) -> int:
    """How many numbers there are for each pair of inputs."""
    return {"scalar": 1, "classwise": outputs, "full": outputs * outputs}[kind]


def gram_shape(kind: Kind, n1: int, n2: int, outputs: int) -> tuple[int, ...]:
    """Of the Gram matrix, or of the stack of them: output c of input n of a full kernel is in row n C + c."""
    return {"scalar": (n1, n2), "classwise": (outputs, n1, n2), "full": (n1 * outputs, n2 * outputs)}[kind]


def as_matrix(kind: Kind, block: Array) -> Array:
    """A block as the part of the Gram matrix that it is."""
    if kind != "full":
        return block
    # The axes (N1, C, N2, C) already have the order of rows n C + c and of columns n C + c.
    n1, c1, n2, c2 = block.shape
    return home(block).xp.reshape(block, (n1 * c1, n2 * c2))


def as_block(kind: Kind, matrix: Array, outputs: int) -> Array:
    """The inverse of :func:`as_matrix`."""
    if kind != "full":
        return matrix
    n1, n2 = matrix.shape[0] // outputs, matrix.shape[1] // outputs
    return home(matrix).xp.reshape(matrix, (n1, outputs, n2, outputs))


def product(kind: Kind, block: Array, v: Array) -> Array:
    """A block times v (N2, C), summed over the second input (and output): (N1, C).

    A scalar kernel acts on every column of v alike, a class-wise one on each column with its own kernel.
    """
    if kind == "scalar":
        return block @ v
    outputs = block.shape[0] if kind == "classwise" else block.shape[1]
    if v.shape[1] != outputs:
        raise ValueError(f"v has {v.shape[1]} columns, the kernel has {outputs} outputs")
    return unstack_values(kind, stack_block(kind, block) @ stack_values(kind, v), outputs)


# ---- every kind as a stack of B ordinary matrices, so that linear algebra is written once ----------------------------
#
# A scalar kernel is one matrix that acts on C columns, a class-wise one C matrices with a column each, a full one a
# single matrix of N C rows in the order n C + c.


def stack_block(kind: Kind, block: Array) -> Array:
    """A block of kernel values as (B, n1, n2)."""
    return block if kind == "classwise" else as_matrix(kind, block)[None, ...]


def unstack_block(kind: Kind, stacked: Array, outputs: int) -> Array:
    """The inverse of :func:`stack_block`."""
    return stacked if kind == "classwise" else as_block(kind, stacked[0, ...], outputs)


def stack_values(kind: Kind, values: Array) -> Array:
    """Values (N, C) as (B, n, k)."""
    if kind == "scalar":
        return values[None, ...]
    if kind == "classwise":
        # (N, C) to (C, N, 1): each output is one column, for the matrix of that output.
        return values.T[..., None]
    return home(values).xp.reshape(values, (1, math.prod(values.shape), 1))


def unstack_values(kind: Kind, stacked: Array, outputs: int) -> Array:
    """The inverse of :func:`stack_values`."""
    if kind == "scalar":
        return stacked[0, ...]
    if kind == "classwise":
        return stacked[..., 0].T
    return home(stacked).xp.reshape(stacked, (stacked.shape[1] // outputs, outputs))


def unstack_diagonal(kind: Kind, stacked: Array, outputs: int) -> Array:
    """One number for each row of each matrix, (..., B, n), as (..., N) where all outputs share it, else (..., N, C)."""
    if kind == "scalar":
        return stacked[..., 0, :]
    if kind == "classwise":
        return home(stacked).xp.matrix_transpose(stacked)
    return home(stacked).xp.reshape(stacked, (*stacked.shape[:-2], stacked.shape[-1] // outputs, outputs))
