"""Inputs of several lengths as arrays: sequences and images padded to one size, with marks for what exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import Array, home, is_array, to_host
from .._array.validate import count, finite, real_array, same_home, unmasked
from .._array.window import Window

__all__ = ["Extent", "Padded", "padded"]


@dataclass(frozen=True)
class Extent:
    """How many positions exist behind windows, floor((n + a) / b) along an axis of n, for one pair (a, b) each.

    Windows are of this kind, and so are windows behind windows. No pairs: as many as the inputs have.
    """

    counted: tuple[tuple[int, int], ...] = ()

    def behind(self, window: Window) -> Extent:
        """The extent behind one more window."""
        before = self.counted or ((0, 1),) * len(window.size)
        behind = (window.counted(axis) for axis in range(len(window.size)))
        # floor((floor((n + a) / b) + c) / d) = floor((n + a + b c) / (b d)).
        found = tuple((a + b * c, b * d) for (a, b), (c, d) in zip(before, behind, strict=False))
        return Extent(() if set(found) == {(0, 1)} else found)

    def size(self, n: Any, axis: int) -> Any:
        """How many positions exist along an axis, for inputs with n of them: a number, or an array of numbers."""
        if not self.counted:
            return n
        added, divided = self.counted[axis]
        return (n + added) // divided

    @property
    def least(self) -> tuple[int, ...]:
        """The smallest numbers of positions of an input that leave one."""
        return tuple(max(divided - added, 1) for added, divided in self.counted)


class Padded(NamedTuple):
    """A batch that :func:`padded` packed, taken apart.

    Attributes
    ----------
    packed : array (N, *P, channels + 1)
    sizes : tuple of arrays (N,)
        How many positions each input has along each axis.
    """

    packed: Array
    sizes: tuple[Array, ...]

    @classmethod
    def of(cls, x: Array) -> Padded:
        """From a packed batch (N, *P, channels + 1)."""
        marked, axes = home(x).xp.astype(x[..., -1] != 0, x.dtype), range(1, x.ndim - 1)
        first = [(slice(None), *(slice(None) if axis == own else 0 for axis in axes)) for own in axes]
        return cls(x, tuple(home(x).xp.sum(marked[index], axis=1) for index in first))

    @property
    def values(self) -> Array:
        """(N, *P, channels), zeros where no position is."""
        return home(self.packed).xp.where(self.present()[..., None], self.packed[..., :-1], 0.0)

    def present(self, extent: Extent = Extent()) -> Array:
        """Whether each position exists behind windows, (N, *P')."""
        here, found = home(self.packed), None
        for axis, sizes in enumerate(self.sizes):
            outputs = extent.size(int(self.packed.shape[axis + 1]), axis)
            shape = [1] * len(self.sizes)
            shape[axis] = outputs
            places = here.xp.reshape(here.xp.arange(outputs, dtype=here.dtype, device=here.device), (1, *shape))
            inside = places < here.xp.reshape(extent.size(sizes, axis), (-1, *[1] * len(self.sizes)))
            found = inside if found is None else found & inside
        return found

    def refuse(self, least: Sequence[int]) -> None:
        """ValueError where marks are none, or an input has fewer positions along an axis than ``least``.

        All marks of an input are one number. It is no matter which: a multiple of a batch is a batch too.
        """
        xp, marks = home(self.packed).xp, self.packed[..., -1]
        one = marks[(slice(None), *[slice(0, 1)] * len(self.sizes))]
        valid = xp.all(one != 0) & xp.all(marks == xp.where(self.present(), one, 0.0))
        for sizes, n in zip(self.sizes, least, strict=False):
            valid = valid & xp.all(sizes >= n)
        if to_host(valid):
            return
        for axis, (sizes, n) in enumerate(zip(self.sizes, least, strict=False)):
            short = np.flatnonzero((to_host(sizes) < n) & (to_host(sizes) > 0))
            if len(short):
                raise ValueError(
                    f"an input has {int(to_host(sizes)[short[0]])} positions along axis {axis}, number {short[0]} of "
                    f"the {len(sizes)} at hand, and the windows of the network need at least {n}: leave it out, or "
                    "take smaller windows or padding in numbers"
                )
        raise ValueError(
            "the inputs are not padded: their last channel does not mark the positions that exist; make them by "
            "ntk_array.nn.padded(inputs)"
        )


def padded(inputs: Any, *, mask: Any = None, positions: int | tuple[int, ...] | None = None) -> Array:
    """Sequences of several lengths as one array, the inputs of a :class:`PaddedNetwork`: (N, P, channels + 1).

    The values come first, then a channel of marks: 1 at positions that exist and 0 behind the end of a sequence. Values
    there are zeros. Networks and kernels do not depend on how many they are. Images of several sizes are packed alike,
    (N, height, width, channels + 1), with the first pixel of each in one corner. The result is an array as any other.
    Kernels, training and tiles cut it along its first axis.

    Parameters
    ----------
    inputs : sequence of arrays (n_i, channels), or array (N, P, channels)
        One array for each sequence, or all of them in one array. Images have an axis of positions more.
    mask : array (N, P), optional
        For inputs in one array, that are padded already: 1 for positions that exist, and 0 for padding, which comes
        after them. By default all exist.
    positions : int or tuple of int, optional
        P, for images (height, width); by default the size of the largest input. Batches that meet in a kernel have one
        P.

    Returns
    -------
    array (N, P, channels + 1)
        Of the library, dtype and device of the inputs.

    Raises
    ------
    TypeError, ValueError
        For shapes that do not fit together, inputs without positions, NaN, and masks of other numbers than 0 and 1 or
        with a gap. Errors name the input.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = ntk.nn.padded([np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.asarray([[5.0, 6.0]])])
    >>> x.shape
    (2, 2, 3)
    >>> x[1]                                            # one position and padding: two channels and the marks
    array([[5., 6., 1.],
           [0., 0., 0.]])
    """
    if isinstance(inputs, list | tuple):
        if mask is not None:
            raise ValueError("mask is for inputs in one array; those of a list have the sizes of its arrays")
        parts = _marked(inputs)
    else:
        parts = [_masked(inputs, mask)]
    axes = parts[0].ndim - 2
    sizes = [max(int(part.shape[axis]) for part in parts) for axis in range(1, axes + 1)]
    wanted = sizes if positions is None else _positions(positions, sizes)
    parts = [_longer(part, wanted) for part in parts]
    return home(parts[0]).xp.concat(parts) if len(parts) > 1 else parts[0]


def _marked(inputs: Sequence[Any]) -> list[Array]:
    """Each input as a batch of one, (1, *n, channels + 1)."""
    if not inputs:
        raise ValueError("inputs is empty; give at least one sequence")
    parts: list[Array] = []
    for i, one in enumerate(inputs):
        x = real_array(f"inputs[{i}]", one)
        if x.ndim < 2 or 0 in x.shape:
            raise ValueError(
                f"inputs[{i}] has shape {tuple(x.shape)}; a sequence is (positions, channels), with one position at "
                "least; one channel is x[:, None]"
            )
        if parts:
            same_home(**{"inputs[0]": parts[0], f"inputs[{i}]": x})
            if x.ndim != parts[0].ndim - 1 or x.shape[-1] != parts[0].shape[-1] - 1:
                first = (*parts[0].shape[1:-1], parts[0].shape[-1] - 1)
                raise ValueError(
                    f"inputs[{i}] has shape {tuple(x.shape)} and inputs[0] {first}: all have the same channels, and as "
                    "many axes"
                )
        here = home(x)
        marks = here.xp.ones((*x.shape[:-1], 1), dtype=x.dtype, device=here.device)
        parts.append(here.xp.concat([finite(f"inputs[{i}]", x), marks], axis=-1)[None, ...])
    return parts


def _masked(inputs: Any, mask: Any) -> Array:
    """Inputs in one array with their marks."""
    x = real_array("inputs", inputs)
    if x.ndim < 3 or 0 in x.shape:
        hint = "; one sequence is a list of one: padded([inputs])" if x.ndim == 2 else ""
        raise ValueError(
            f"inputs has shape {tuple(x.shape)}; sequences in one array are (N, positions, channels){hint}"
        )
    here, shape = home(x), tuple(x.shape[:-1])
    finite("inputs", x)
    present = here.asarray(np.ones(shape) if mask is None else _prefix(mask, shape))[..., None]
    return here.xp.concat([x * present, present], axis=-1)


def _prefix(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask, validated, on the host."""
    unmasked("mask", mask)
    found = np.asarray(to_host(mask) if is_array(mask) else mask)
    if found.shape != shape:
        raise ValueError(f"mask has shape {found.shape}; one number for each position is {shape}")
    if found.dtype.kind not in "fiub" or not np.isin(found, (0, 1)).all():
        raise ValueError("mask has other numbers than 1, for positions that exist, and 0, for padding")
    there, n = found.astype(bool), len(found)
    axes = range(1, found.ndim)
    expected = np.ones(shape, bool)
    for own in axes:
        length = there[(slice(None), *(slice(None) if axis == own else 0 for axis in axes))].sum(axis=1)
        ends = length.reshape(n, *[1] * len(axes))
        expected &= np.arange(shape[own]).reshape([-1 if axis == own else 1 for axis in range(found.ndim)]) < ends
    wrong = np.flatnonzero((there != expected).reshape(n, -1).any(axis=1))
    if len(wrong):
        raise ValueError(
            f"mask has padding before positions of input {wrong[0]}, or a gap between them: put padding behind what "
            "exists"
        )
    empty = np.flatnonzero(~there.reshape(n, -1).any(axis=1))
    if len(empty):
        raise ValueError(f"mask has no position of input {empty[0]}; leave that input out")
    return found.astype(float)


def _positions(positions: int | tuple[int, ...], sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes that inputs are padded to."""
    given = (positions,) if not isinstance(positions, tuple) else positions
    wanted = tuple(count("positions", n) for n in given)
    if len(wanted) != len(sizes):
        raise ValueError(f"positions has {len(wanted)} numbers; the inputs have {len(sizes)} axes of positions")
    if any(n < most for n, most in zip(wanted, sizes, strict=True)):
        raise ValueError(f"positions is {positions}, and the largest input has {tuple(sizes)}")
    return wanted


def _longer(x: Array, sizes: Sequence[int]) -> Array:
    """With zeros behind, up to these sizes."""
    here = home(x)
    for axis, size in enumerate(sizes, start=1):
        missing = size - x.shape[axis]
        if missing:
            shape = (*x.shape[:axis], missing, *x.shape[axis + 1 :])
            x = here.xp.concat([x, here.xp.zeros(shape, dtype=x.dtype, device=here.device)], axis=axis)
    return x
