"""The gradient of infinite-width kernels in their first input."""

from __future__ import annotations

import math
from collections.abc import Callable

from .._array.namespace import Array, home, to_host
from ..infinite.angle import ratio_or_zero, side_of
from ..infinite.covariance import Direction
from ..infinite.inputs import Inputs
from ..infinite.program import Program
from ..infinite.stretches import Read

__all__ = ["input_gradient"]

CHUNK = 2**22  # numbers of the result that are computed at once, at most


def input_gradient(fitted: Callable[[Array, Array], Program], x1: Array, x2: Array | None, read: Read) -> Array:
    """dK(x, x') / dx (N1, N2, d) for inputs (N1, d) and (N2, d), given what makes the program with tables for inputs.

    Where inputs are 0 it is the mean of two gradients, a tiny step away from 0 in opposite directions.

    Raises
    ------
    ValueError
        If the kernel depends on more than inner products, or has a corner at an input that is 0.
    """
    if x1.ndim != 2:
        raise ValueError(
            f"the gradient of an infinite-width kernel is known for inputs (N, features); x1 has shape "
            f"{tuple(x1.shape)}, with positions: for a network that begins with Flatten, flatten the inputs yourself"
        )
    here, x2 = home(x1), x1 if x2 is None else x2
    xp = here.xp
    # What the two gradients have of second derivatives cancels, so that their mean is off by rounding only.
    largest = xp.max(xp.abs(x2))
    size = here.eps**0.5 * xp.where(largest > 0, largest, xp.ones_like(largest))

    def from_zero(x: Array) -> Array:
        """The step for each input, along the first axis."""
        # Zero is also what has squares that are: norms are divided by.
        zero = xp.sum(x * x, axis=1) == 0
        return size * xp.astype(zero, here.dtype)[:, None] * here.eye(x.shape[1])[:1, :]

    step = from_zero(x1)
    # A table that reaches to 0 itself would have no digits to spare beside it.
    program = fitted(x1 + step, x2 + from_zero(x2))
    if program.reads_input_means:
        raise ValueError(
            "the kernel depends on the means of the inputs over their features, not on inner products alone, and its "
            "gradient in the inputs is not known here: put a Dense layer in front of the branches that are added"
        )
    one = _in_chunks(program, x1 + step, x2, read)
    if not to_host(xp.any(step > 0)):
        return one
    other = _in_chunks(program, x1 - step, x2, read)
    # Two inputs that are 0 both coincide, and the mean of both sides is taken there as where others do.
    apart = xp.abs(one - other) * xp.astype(xp.any(x2 != 0, axis=1), here.dtype)[None, :, None]
    if to_host(xp.max(apart)) > here.eps**0.25 * to_host(xp.max(xp.abs(one))):
        raise ValueError(
            "the kernel has no gradient at an input x1 that is 0: the network has a kink and no bias, so that the "
            "kernel has a corner there; leave out this input, or give the first layer a bias (bias_std > 0)"
        )
    return 0.5 * (one + other)


def _in_chunks(program: Program, x1: Array, x2: Array, read: Read) -> Array:
    """The same for inputs x1 that are not 0, some rows at a time."""
    n, rows = x1.shape[0], max(CHUNK // math.prod(x2.shape), 1)
    parts = [_gradient(program, x1[i : min(i + rows, n), :], x2, read) for i in range(0, n, rows)]
    return parts[0] if len(parts) == 1 else home(x1).xp.concat(parts)


def _gradient(program: Program, x1: Array, x2: Array, read: Read) -> Array:
    """From the derivatives in the logarithm of the norm of x and in the angle t between x and x'.

    grad log |x| = x / |x|^2 and grad t = -p / (|x| |p|), for the part p of x' that is orthogonal to x, with
    |p| = |x'| sin t. In these coordinates no derivative is a difference of large numbers, at any angle. Where t is 0
    or pi the derivative in t is 0, or the mean of both sides is.
    """
    xp, ntk = home(x1).xp, read == "ntk"
    one, two = Inputs.of(x1), Inputs.of(x2)
    start, still = program.between(one, two, ntk), program.walk(two, ntk, Direction())

    def moved(direction: Direction) -> Array:
        return program.run_change(start, program.walk(one, ntk, direction), still, direction, read)

    square = xp.sum(x1 * x1, axis=1)[:, None]
    stretched, turned = moved(Direction(log_norm=1.0)) / square, moved(Direction(angle=1.0))
    # A multiple of x is taken away first, so that nearly parallel inputs lose no digits of p.
    apart = x2[None, :, :] - side_of(start.k12)[..., None] * x1[:, None, :]
    along = xp.sum(apart * x1[:, None, :], axis=2) / square
    orthogonal = apart - along[..., None] * x1[:, None, :]
    lengths = xp.sqrt(square) * xp.sqrt(xp.sum(x2 * x2, axis=1))
    return stretched[..., None] * x1[:, None, :] - ratio_or_zero(turned, lengths * start.sine)[..., None] * orthogonal
