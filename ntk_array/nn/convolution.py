"""Convolution over one, two or three axes of positions."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from .._array.libraries import is_numpy
from .._array.namespace import Array, home
from .._array.validate import count, one_of
from .._array.window import Window
from ..infinite.covariance import Covariance
from ..infinite.position_maps import gathered
from ..infinite.signal import Signal
from .linear import Linear

__all__ = ["Conv", "each_axis", "padding_of"]

PADDINGS = ("same", "valid", "circular")
CACHED = 2**20
"""The numbers of windows that are laid out at once on a processor."""


def each_axis(name: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """A positive integer for each axis of positions, from one for all or from a tuple."""
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes:
        raise ValueError(f"{name} has {len(values)} numbers; there are {axes} axes of positions")
    return tuple(count(name, one) for one in values)


def padding_of(padding: str | Sequence[Sequence[int]], axes: int) -> str | tuple[tuple[int, int], ...]:
    """A padding by name, or a pair of whole numbers for each axis of positions."""
    if isinstance(padding, str):
        return one_of("padding", padding, PADDINGS)
    pairs = tuple(tuple(pair) if isinstance(pair, Sequence) else (pair,) for pair in padding)
    known = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for pair in pairs for n in pair)
    if len(pairs) != axes or not known or any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f'padding must be "same", "valid", "circular" or a pair (before, after) for each of {axes} axes, such as '
            f"{((1, 1),) * axes}; got {padding!r}"
        )
    return tuple((before, after) for before, after in pairs)


@dataclass(frozen=True)
class Conv(Linear):
    """Convolution: (N, *positions, channels) to (N, *positions, width). Channels are last, as in NumPy images.

    z_p = weight_std / sqrt(k n) sum_d W_d h_{p + d} + bias_std b in the NTK parameterization, for the k elements d of
    the kernel and n channels; W, b ~ N(0, 1). In the standard parameterization W ~ N(0, weight_std^2 / (k n)),
    b ~ N(0, bias_std^2), and no factors. Parameters are "weight" (width, *kernel_size, channels / groups) and, unless
    bias_std is 0, "bias" (width,).

    In the infinite-width limit, for positions p and q, K'(p, q) = weight_std^2 / k sum_d K(p + d, q + d) + bias_std^2
    and Theta' = K' + weight_std^2 / k sum_d Theta(p + d, q + d) (Arora et al. 2019, section 4; Xiao et al. 2018).
    In the standard parameterization Theta' = n sum_d K(p + d, q + d) + 1 + ... at the network's own channels.

    Parameters
    ----------
    width : int
        Number of output channels.
    kernel_size : tuple of int
        The size of the kernel along each axis of positions: (3,), (3, 3) or (3, 3, 3).
    stride, dilation : int or tuple of int
    padding : "same", "valid", "circular" or a pair of int for each axis
        "same" gives ceil(n / stride) output positions along an axis of n, with zeros outside; where an odd number of
        zeros is needed, the odd one comes at the end. "circular" has the other end of the image in place of zeros.
        "valid" has no padding. Pairs (before, after) say how many zeros are put at the start and the end of each axis,
        as PyTorch's numbers do: ((1, 1), (1, 1)) is its padding=1 for images.
    groups : int
        Channels are split into so many groups that do not see each other. The limit does not depend on it.
    weight_std, bias_std, parameterization
        As for :class:`Dense`.

    Raises
    ------
    ValueError, TypeError
        For numbers that are not positive, and for inputs with other axes, channels that do not fit the groups or a
        window that is larger than the input.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.Sequential(ntk.nn.Conv(16, (3, 3)), ntk.nn.ReLU(), ntk.nn.GlobalAvgPool(), ntk.nn.Dense(2))
    >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    >>> net(net.init(0, like=images), images).shape
    (4, 2)
    >>> ntk.InfiniteNTK(net)(images).shape
    (4, 4)
    """

    width: int
    kernel_size: tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: str | tuple[tuple[int, int], ...] = "same"
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    weight_std: float = 1.0
    bias_std: float = 0.0
    parameterization: str = "ntk"

    def __post_init__(self) -> None:
        if isinstance(self.kernel_size, int):
            raise TypeError(
                f"kernel_size must have a number for each axis of positions, such as ({self.kernel_size}, "
                f"{self.kernel_size}) for images; got {self.kernel_size}"
            )
        size = tuple(count("kernel_size", n) for n in self.kernel_size)
        if not size:
            raise ValueError("kernel_size is empty; without positions use Dense")
        self._validate(
            kernel_size=size,
            stride=each_axis("stride", self.stride, len(size)),
            dilation=each_axis("dilation", self.dilation, len(size)),
            padding=padding_of(self.padding, len(size)),
            groups=count("groups", self.groups),
        )
        if self.width % self.groups:
            raise ValueError(f"width {self.width} is no multiple of groups {self.groups}")

    entrywise = False

    @property
    def window(self) -> Window | None:  # type: ignore[override]
        return self.reach

    @property
    def reach(self) -> Window:
        """Which positions each output position sees."""
        return Window(self.kernel_size, self.stride, self.dilation, self.padding)  # type: ignore[arg-type]

    def outputs(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        if len(positions) != len(self.kernel_size):
            raise ValueError(
                f"{self._name} needs inputs with {len(self.kernel_size)} axes of positions, "
                f"(N, {'positions, ' * len(self.kernel_size)}channels), got {len(positions)} such axes: "
                f"(N, {''.join(f'{n}, ' for n in positions)}channels)"
            )
        try:
            return self._outputs(positions)
        except ValueError as error:
            raise ValueError(f"{self._name}: {error}") from None

    def _outputs(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        return self.reach.outputs(positions)

    @property
    def _name(self) -> str:
        return f"{type(self).__name__}({self.width}, {self.kernel_size})"

    def signal(self, before: Signal) -> Signal:
        after = super().signal(before)
        if before.width % self.groups:
            raise ValueError(f"{self._name}: {before.width} channels are no multiple of groups {self.groups}")
        return after

    def gathered(self, x: Array) -> Array:
        """The windows, (N, *P', k channels)."""
        parts = list(self.reach.gathered(x, range(1, x.ndim - 1)))
        return parts[0] if len(parts) == 1 else home(x).xp.concat(parts, axis=-1)

    @property
    def _turns_around(self) -> bool:
        """Whether windows of cotangents are those of inputs turned around."""
        odd = all(size % 2 for size in self.kernel_size)
        return (
            self.window is not None and self.padding in ("same", "circular") and set(self.reach.stride) == {1} and odd
        )

    def _pulled_back(self, weight: Array, delta: Array, positions: tuple[int, ...]) -> Array:
        """By one product with windows of the cotangents where that can be: less is written than where each element of a
        window is added to the positions that it saw."""
        if not self._turns_around or self.groups > 1:
            return super()._pulled_back(weight, delta, positions)
        xp, axes = home(weight).xp, tuple(range(1, weight.ndim - 1))
        turned = xp.permute_dims(xp.flip(weight, axis=axes), (*axes, 0, weight.ndim - 1))
        matrices, count = xp.reshape(turned, (weight.shape[1], -1, weight.shape[-1])), delta.shape[0]
        # Windows of a few rows at a time stay in the cache of a processor.
        numbers = math.prod(delta.shape[1:]) * matrices.shape[1] // delta.shape[-1]
        size = max(1, CACHED // numbers) if is_numpy(delta) else count
        parts = [self._products(delta[i : min(i + size, count), ...], matrices) for i in range(0, count, size)]
        return parts[0] if len(parts) == 1 else xp.concat(parts)

    def _products(self, delta: Array, matrices: Array) -> Array:
        """Windows of cotangents (M, *P, width) times weights, for each element along the first axis of the window.

        Only windows along the other axes are laid out. With the first axis in front, those that an element along it
        sees are rows of these that follow one another.
        """
        xp, (first, rest) = home(delta).xp, (self.reach.along(0), self.reach.behind_first)
        outputs, delta = delta.shape[1], xp.permute_dims(delta, (1, 0, *range(2, delta.ndim)))
        delta = first.padded(delta, (0,))
        parts = list(rest.gathered(delta, range(2, delta.ndim - 1))) if rest.size else [delta]
        windows = parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)
        shape = (outputs, *windows.shape[1:-1])
        rows, each = xp.reshape(windows, (-1, windows.shape[-1])), math.prod(shape[1:])
        starts = (element * first.dilation[0] * each for element in range(first.size[0]))
        shares = (rows[a : a + outputs * each, :] @ matrices[i, ...] for i, a in enumerate(starts))
        total = reduce(operator.add, shares)
        return xp.permute_dims(xp.reshape(total, (*shape, total.shape[-1])), (1, 0, *range(2, delta.ndim)))

    def scattered(self, seen: Array, positions: tuple[int, ...]) -> Array:
        return self.reach.scattered(self._elements(seen), range(1, seen.ndim - 1), positions)

    def _elements(self, seen: Array) -> list[Array]:
        """The channels of each element of the kernel."""
        channels = seen.shape[-1] // self.reach.count
        return [seen[..., i * channels : (i + 1) * channels] for i in range(self.reach.count)]

    def terms(self, state: Covariance) -> list[Covariance]:
        return gathered(state, self.reach)
