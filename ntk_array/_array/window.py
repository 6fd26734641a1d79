"""Windows of positions: which positions of the inputs of a layer each position of its outputs gathers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .namespace import Array, home, index_dtype

__all__ = ["Window"]


@dataclass(frozen=True)
class Window:
    """Which positions of the inputs each position of the outputs of a layer gathers, along each axis of positions.

    The element e of the window at the output position p is at the input position p * stride + e * dilation - before,
    where ``before`` positions are added in front by the padding. Positions outside hold zeros, or for "circular" those
    of the other end. A padding in numbers is a pair for each axis: how many positions are added before and after.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]

    @property
    def elements(self) -> Iterator[tuple[int, ...]]:
        """The elements in the order of the weights."""
        return itertools.product(*(range(size) for size in self.size))

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.size)

    def outputs(self, positions: Sequence[int]) -> tuple[int, ...]:
        """The numbers of output positions. ValueError where the window is larger than the input."""
        found = []
        for axis, (n, _) in enumerate(zip(positions, self.size, strict=True)):
            added, divided = self.counted(axis)
            outputs = (n + added) // divided
            if outputs < 1:
                around = sum(self._given(axis))
                padded = f" with {around} of padding" if around else ""
                raise ValueError(
                    f"a window that reaches over {self._reach(axis)} positions is larger than the input, which has {n} "
                    f'along axis {axis} of its positions{padded}; use a smaller window or padding="same"'
                )
            found.append(outputs)
        return tuple(found)

    def counted(self, axis: int) -> tuple[int, int]:
        """Numbers a and b for which n positions along an axis have floor((n + a) / b) outputs; below 1 where the window
        is larger."""
        stride = self.stride[axis]
        if self.padding in ("same", "circular"):
            return stride - 1, stride
        return sum(self._given(axis)) - self._reach(axis) + stride, stride

    def _reach(self, axis: int) -> int:
        """Over how many positions the window reaches along an axis."""
        return (self.size[axis] - 1) * self.dilation[axis] + 1

    @property
    def aligned(self) -> bool:
        """Whether each output position sees the same positions in an input of any length, zeros outside of it."""
        if self.padding == "circular":
            return False
        if self.padding != "same":
            return True
        # How many zeros come in front depends on the length modulo the stride.
        sides = [self.along(axis) for axis in range(len(self.size))]
        return all(len({side.margins((n,))[0][0] for n in range(1, side.stride[0] + 1)}) == 1 for side in sides)

    def _given(self, axis: int) -> tuple[int, int]:
        """The padding in numbers along an axis; none for "valid"."""
        return (0, 0) if isinstance(self.padding, str) else self.padding[axis]

    def along(self, axis: int) -> Window:
        """The window along one axis of positions alone."""
        padding = self.padding if isinstance(self.padding, str) else (self.padding[axis],)
        return Window((self.size[axis],), (self.stride[axis],), (self.dilation[axis],), padding)

    @property
    def behind_first(self) -> Window:
        """The window along all axes of positions but the first."""
        padding = self.padding if isinstance(self.padding, str) else self.padding[1:]
        return Window(self.size[1:], self.stride[1:], self.dilation[1:], padding)

    @property
    def below(self) -> Window:
        """The window with an axis of one position before the others."""
        padding = self.padding if isinstance(self.padding, str) else ((0, 0), *self.padding)
        return Window((1, *self.size), (1, *self.stride), (1, *self.dilation), padding)

    def margins(self, positions: Sequence[int]) -> list[tuple[int, int]]:
        """How many positions the padding adds before and after, along each axis; the odd one comes after."""
        if self.padding not in ("same", "circular"):
            return [self._given(axis) for axis in range(len(self.size))]
        found = []
        sides = zip(positions, self.outputs(positions), self.size, self.stride, self.dilation, strict=True)
        for n, outputs, size, stride, dilation in sides:
            missing = max((outputs - 1) * stride + (size - 1) * dilation + 1 - n, 0)
            found.append((missing // 2, missing - missing // 2))
        return found

    def padded(self, a: Array, axes: Sequence[int]) -> Array:
        """An array with the margins added along these axes."""
        for axis, (before, after) in zip(axes, self.margins([a.shape[axis] for axis in axes]), strict=True):
            if self.padding == "circular" and (before or after):
                # A window may be longer than the circle, which it then goes around several times.
                place, n = home(a), a.shape[axis]
                around = (
                    place.xp.arange(-before, n + after, dtype=index_dtype(place.xp, place.device), device=place.device)
                    % n
                )
                a = place.xp.take(a, around, axis=axis)
            else:
                a = self._with_zeros(a, axis, before, after)
        return a

    def at(self, padded: Array, axes: Sequence[int], element: Sequence[int], outputs: Sequence[int]) -> Array:
        """What an element of the window sees of an array that was padded, at each output position."""
        index = [slice(None)] * padded.ndim
        for axis, e, stride, dilation, n in zip(axes, element, self.stride, self.dilation, outputs, strict=True):
            first = e * dilation
            index[axis] = slice(first, first + (n - 1) * stride + 1, stride)
        return padded[tuple(index)]

    def gathered(self, a: Array, axes: Sequence[int]) -> Iterator[Array]:
        """What each element of the window sees of an array, in the order of the elements."""
        outputs = self.outputs([a.shape[axis] for axis in axes])
        padded = self.padded(a, axes)
        return (self.at(padded, axes, element, outputs) for element in self.elements)

    def scattered(self, parts: Sequence[Array], axes: Sequence[int], positions: Sequence[int]) -> Array:
        """The adjoint of :meth:`gathered`: what each element of the window gives back to the positions that it saw."""
        outputs, shape = self.outputs(positions), self._padded_shape(parts[0].shape, axes, positions)
        return self._without_margins(self._added(parts, axes, outputs, shape), axes, positions)

    def placed(self, part: Array, element: Sequence[int], axes: Sequence[int], positions: Sequence[int]) -> Array:
        """What one element of the window gives back to the positions that it saw; zeros elsewhere."""
        outputs, shape = self.outputs(positions), self._padded_shape(part.shape, axes, positions)
        return self._without_margins(self._spread(part, axes, element, outputs, shape), axes, positions)

    def _padded_shape(self, shape: Sequence[int], axes: Sequence[int], positions: Sequence[int]) -> tuple[int, ...]:
        """A shape with these positions and the margins along the axes."""
        padded = list(shape)
        for axis, n, (before, after) in zip(axes, positions, self.margins(positions), strict=True):
            padded[axis] = before + n + after
        return tuple(padded)

    def _without_margins(self, total: Array, axes: Sequence[int], positions: Sequence[int]) -> Array:
        for axis, n, (before, after) in zip(axes, positions, self.margins(positions), strict=True):
            if before or after:
                total = self._folded(total, axis, n, before)
        return total

    def _added(
        self, parts: Sequence[Array], axes: Sequence[int], outputs: Sequence[int], shape: tuple[int, ...]
    ) -> Array:
        """The sum of the parts, each where its element saw it, with the margins of the padding."""
        place = home(parts[0])
        if place.library.writable:
            total = place.xp.zeros(shape, dtype=place.dtype, device=place.device)
            for element, part in zip(self.elements, parts, strict=True):
                seen = self.at(total, axes, element, outputs)  # a view
                seen += part
            return total
        sides = [
            self._spread(part, axes, element, outputs, shape)
            for element, part in zip(self.elements, parts, strict=True)
        ]
        return sum(sides[1:], sides[0])

    def _spread(
        self, part: Array, axes: Sequence[int], element: Sequence[int], outputs: Sequence[int], shape: Sequence[int]
    ) -> Array:
        """A part with zeros around and between, for arrays that nobody writes to."""
        for axis, e, stride, dilation, n in zip(axes, element, self.stride, self.dilation, outputs, strict=True):
            part = self._with_gaps(part, axis, stride)
            before = e * dilation
            part = self._with_zeros(part, axis, before, shape[axis] - before - ((n - 1) * stride + 1))
        return part

    @staticmethod
    def _with_gaps(part: Array, axis: int, stride: int) -> Array:
        """stride - 1 zeros between neighbours."""
        if stride == 1:
            return part
        place, n = home(part), part.shape[axis]
        zeros = place.xp.zeros_like(part)
        stacked = place.xp.stack([part] + [zeros] * (stride - 1), axis=axis + 1)
        shape = (*part.shape[:axis], n * stride, *part.shape[axis + 1 :])
        index = (slice(None),) * axis + (slice(0, (n - 1) * stride + 1), ...)
        return place.xp.reshape(stacked, shape)[index]

    @staticmethod
    def _with_zeros(a: Array, axis: int, before: int, after: int) -> Array:
        place = home(a)

        def zeros(count: int) -> list[Array]:
            shape = (*a.shape[:axis], count, *a.shape[axis + 1 :])
            return [place.xp.zeros(shape, dtype=a.dtype, device=place.device)] if count else []

        pieces = [*zeros(before), a, *zeros(after)]
        return place.xp.concat(pieces, axis=axis) if len(pieces) > 1 else a

    def _folded(self, total: Array, axis: int, n: int, before: int) -> Array:
        """An array with margins, which are dropped, or on a circle added where they come from."""

        def cut(first: int, count: int) -> Array:
            return total[(slice(None),) * axis + (slice(first, first + count), ...)]

        if self.padding != "circular":
            return cut(before, n)
        # Aligned with the circle, so that whole turns add up.
        turns = -(-before // n)
        total = self._with_zeros(total, axis, turns * n - before, 0)
        total = self._with_zeros(total, axis, 0, -total.shape[axis] % n)
        parts = [cut(first, n) for first in range(0, total.shape[axis], n)]
        return sum(parts[1:], parts[0])
