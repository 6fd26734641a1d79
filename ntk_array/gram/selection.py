"""Rows and columns that a user asks for, and the blocks that they are in."""

import numbers
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import is_array, to_host

__all__ = ["Picked", "by_block", "cut", "picked"]


class Picked(NamedTuple):
    """Row or column numbers, and whether a single one was asked for."""

    numbers: np.ndarray
    single: bool


def picked(name: str, index: Any, n: int) -> Picked:
    """What an index of an axis of length n means. IndexError where it means nothing."""
    if isinstance(index, slice):
        return Picked(np.arange(*index.indices(n)), False)
    single = isinstance(index, numbers.Integral) and not isinstance(index, bool)
    found = np.asarray(to_host(index) if is_array(index) else index)
    if found.dtype.kind == "b" and found.shape == (n,):
        return Picked(np.flatnonzero(found), False)
    if found.size == 0:
        found = found.astype(np.intp)
    if found.dtype.kind not in "iu" or found.ndim != (0 if single else 1):
        raise IndexError(f"{name} must be a whole number, a slice, or a list of whole numbers, got {index!r}")
    flat = np.atleast_1d(found).astype(np.intp)
    outside = flat[(flat < -n) | (flat >= n)]
    if outside.size:
        raise IndexError(f"{name}: there is no {outside[0]} among {n}")
    return Picked(np.where(flat < 0, flat + n, flat), single)


def by_block(chosen: np.ndarray, side: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """For each block: where in the result its rows (or columns) are, and which of the block's own they are."""
    if not chosen.size:
        return {}
    block, own = chosen // side, chosen % side
    order = np.argsort(block, kind="stable")
    found, starts = np.unique(block[order], return_index=True)
    parts = np.split(order, starts[1:])
    return {int(i): (part, own[part]) for i, part in zip(found, parts, strict=True)}


def cut(block: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """These rows and columns of a block; a view where they are consecutive."""
    for axis, chosen in ((-2, rows), (-1, columns)):
        start, stop = int(chosen[0]), int(chosen[-1]) + 1
        run = len(chosen) == stop - start and bool((np.diff(chosen) == 1).all())
        at: Any = slice(start, stop) if run else chosen
        block = block[..., at, :] if axis == -2 else block[..., at]
    return block
