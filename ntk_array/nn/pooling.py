"""Layers without parameters that gather positions: pooling and flattening."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from .._array.namespace import Array, home
from .._array.validate import count
from .._array.window import Window
from ..infinite.covariance import Covariance, Direction
from ..infinite.position_maps import averaged, each_position, flattened, gathered, pooled
from ..infinite.signal import Signal
from .convolution import each_axis, padding_of
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["AvgPool", "Flatten", "GlobalAvgPool", "GlobalSumPool", "LinearMap", "SumPool", "Windows"]


class LinearMap(Layer):
    """A linear map of values at positions, without parameters: features stay apart."""

    entrywise = False

    @abstractmethod
    def apply(self, x: Array, positions: tuple[int, ...]) -> Array:
        """The map of arrays (M, *positions, features)."""

    @abstractmethod
    def adjoint(self, y: Array, positions: tuple[int, ...]) -> Array:
        """The adjoint of :meth:`apply`."""

    @abstractmethod
    def of_state(self, state: Covariance) -> Covariance:
        """The map of a state, or of the change of one."""

    def of_mean(self, mean: Array) -> Array:
        """The map of means over features, (N, *positions)."""
        return self.apply(mean[..., None], tuple(mean.shape[1:]))[..., 0]

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """The tape is the positions of the input."""
        self.signal(Signal(tuple(x.shape[1:])))  # refuses shapes that it cannot take
        positions = tuple(x.shape[1:-1])
        return self.apply(x, positions), tuple(x.shape[1:])

    def backward(
        self, params: Params, tape: tuple[int, ...], delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        if not to_inputs:
            return None, []
        xp = home(delta).xp
        rows = xp.reshape(delta, (-1, *delta.shape[2:]))
        back = self.adjoint(rows, tape[:-1])
        return xp.reshape(back, (*delta.shape[:2], *tape)), []

    def tangent(self, params: Params, tape: tuple[int, ...], dx: Array, dparams: Params) -> Array:
        return self.apply(dx, tape[:-1])

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        return self.of_state(state)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        return self.of_state(change)

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        return self.of_mean(states[0].rows().mean)

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return self.of_mean(changes[0].rows().mean)

    def _needs_positions(self, before: Signal) -> None:
        if len(before.shape) < 2:
            raise ValueError(
                f"{self!r} needs inputs with positions, (N, *positions, channels); got (N, {before.width})"
            )


@dataclass(frozen=True)
class Windows:
    """What layers share that act on windows of positions, each channel by itself."""

    window_size: tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: str | tuple[tuple[int, int], ...] = "valid"

    def __post_init__(self) -> None:
        size = tuple(count("window_size", n) for n in self.window_size)
        object.__setattr__(self, "window_size", size)
        stride = size if self.stride is None else each_axis("stride", self.stride, len(size))
        object.__setattr__(self, "stride", stride)
        padding = padding_of(self.padding, len(size))
        object.__setattr__(self, "padding", padding)
        if not isinstance(padding, str) and any(max(pair) >= n for pair, n in zip(padding, size, strict=True)):
            raise ValueError(
                f"padding {padding} has room for whole windows {size}: give less than the size of the window"
            )

    @property
    def reach(self) -> Window:
        """Which positions each output position sees."""
        return Window(self.window_size, self.stride, (1,) * len(self.window_size), self.padding)  # type: ignore[arg-type]

    def signal(self, before: Signal) -> Signal:
        """Of fewer positions."""
        positions = before.shape[:-1]
        if len(positions) != len(self.window_size):
            raise ValueError(
                f"{self!r} needs inputs with {len(self.window_size)} axes of positions, got (N, {str(before.shape)[1:]}"
            )
        try:
            outputs = self.reach.outputs(positions)
        except ValueError as error:
            raise ValueError(f"{self!r}: {error}") from None
        return before.to(shape=(*outputs, before.width))


class _Pool(Windows, LinearMap):
    """Sums over windows of positions, times a factor for each."""

    @abstractmethod
    def weights(self, like: Array, positions: tuple[int, ...]) -> Array | float:
        """The factor of each sum: one number, or (*output positions)."""

    @property
    def pools(self) -> Window:  # type: ignore[override]
        return self.reach

    def needs_every_pair(self, after: bool) -> bool:
        """Positions are mixed, unless each window has one."""
        return after or self.reach.count > 1

    def apply(self, x: Array, positions: tuple[int, ...]) -> Array:
        parts = list(self.reach.gathered(x, range(1, len(positions) + 1)))
        weights = self.weights(x, positions)
        total = sum(parts[1:], parts[0])
        return weights * total if isinstance(weights, float) else weights[..., None] * total

    def adjoint(self, y: Array, positions: tuple[int, ...]) -> Array:
        weights = self.weights(y, positions)
        y = weights * y if isinstance(weights, float) else weights[..., None] * y
        return self.reach.scattered([y] * self.reach.count, range(1, len(positions) + 1), positions)

    def of_state(self, state: Covariance) -> Covariance:
        positions = tuple(state.k12.shape[axis] for axis in state.frame.rows)
        weights = self.weights(state.k12, positions)
        if not state.frame.every:
            (term,) = gathered(state, self.reach)
            return term.scaled(weights**2)
        return pooled(state, self.reach, weights)


class SumPool(_Pool):
    """Sums over windows of positions: (N, *positions, channels) to (N, *fewer positions, channels).

    In the infinite-width limit K'(p, q) = sum over d and e in the window of K(p + d, q + e), and Theta likewise.

    Parameters
    ----------
    window_size : tuple of int
        Along each axis of positions.
    stride : int or tuple of int, optional
        By default that of windows side by side.
    padding : "valid", "same", "circular" or a pair of int for each axis
        As for :class:`Conv`.
    """

    def weights(self, like: Array, positions: tuple[int, ...]) -> float:
        return 1.0


@dataclass(frozen=True)
class AvgPool(_Pool):
    """Means over windows of positions: (N, *positions, channels) to (N, *fewer positions, channels).

    In the infinite-width limit K'(p, q) is the mean over d and e in the window of K(p + d, q + e), and Theta likewise.

    Parameters
    ----------
    window_size, stride, padding
        As for :class:`SumPool`.
    normalize_edges : bool
        Whether windows that reach over the edge are means over the positions inside only; zeros count too otherwise.
    """

    normalize_edges: bool = False

    def weights(self, like: Array, positions: tuple[int, ...]) -> Array | float:
        if not self.normalize_edges or self.padding in ("valid", "circular") or self.reach.count == 1:
            return 1.0 / self.reach.count
        place = home(like)
        ones = place.xp.ones(positions, dtype=place.dtype, device=place.device)
        parts = list(self.reach.gathered(ones, range(len(positions))))
        return 1.0 / sum(parts[1:], parts[0])


class _GlobalPool(LinearMap):
    """Over all positions."""

    averages = "every"

    @abstractmethod
    def factor(self, count: int) -> float:
        """What the mean over so many positions is multiplied by."""

    def signal(self, before: Signal) -> Signal:
        self._needs_positions(before)
        return before.to(shape=before.shape[-1:])

    def needs_every_pair(self, after: bool) -> bool:
        return True

    def apply(self, x: Array, positions: tuple[int, ...]) -> Array:
        axes = tuple(range(1, len(positions) + 1))
        return self.factor(math.prod(positions)) * home(x).xp.mean(x, axis=axes)

    def adjoint(self, y: Array, positions: tuple[int, ...]) -> Array:
        size = math.prod(positions)
        each = (self.factor(size) / size) * y
        spread = home(y).xp.reshape(each, (y.shape[0], *[1] * len(positions), y.shape[-1]))
        return home(y).xp.broadcast_to(spread, (y.shape[0], *positions, y.shape[-1]))

    def of_state(self, state: Covariance) -> Covariance:
        size = math.prod(state.k12.shape[axis] for axis in state.frame.rows)
        return self.of_average(averaged(state), size)

    def of_average(self, average: Covariance, count: int) -> Covariance:
        """The limit from the mean over all pairs of so many positions."""
        return average.stretched(self.factor(count) ** 2)


@dataclass(frozen=True)
class GlobalAvgPool(_GlobalPool):
    """The mean over all positions: (N, *positions, channels) to (N, channels).

    In the infinite-width limit K' is the mean of K(p, q) over all pairs of positions, and Theta likewise
    (Novak et al. 2019, section 3.2.2).
    """

    def factor(self, count: int) -> float:
        return 1.0


@dataclass(frozen=True)
class GlobalSumPool(_GlobalPool):
    """The sum over all positions: (N, *positions, channels) to (N, channels)."""

    def factor(self, count: int) -> float:
        return float(count)


@dataclass(frozen=True)
class Flatten(LinearMap):
    """All positions as features: (N, *positions, channels) to (N, number of positions * channels).

    With ``channels_first`` the features have the order of PyTorch, where images are (N, channels, *positions).

    In the infinite-width limit K' is the mean over positions of K(p, p), and Theta likewise: the Dense layer that
    follows has independent weights for each position (Novak et al. 2019, section 3.2.1).
    """

    channels_first: bool = False

    averages = "each"

    def signal(self, before: Signal) -> Signal:
        """Features at different positions are no copies of one process."""
        if len(before.shape) == 1:
            return before
        return before.to(shape=(math.prod(before.shape),), gaussian=False)

    def needs_every_pair(self, after: bool) -> bool:
        return False

    def apply(self, x: Array, positions: tuple[int, ...]) -> Array:
        xp = home(x).xp
        return xp.reshape(xp.moveaxis(x, -1, 1) if self.channels_first else x, (x.shape[0], -1))

    def adjoint(self, y: Array, positions: tuple[int, ...]) -> Array:
        xp = home(y).xp
        if self.channels_first:
            return xp.moveaxis(xp.reshape(y, (y.shape[0], -1, *positions)), 1, -1)
        return xp.reshape(y, (y.shape[0], *positions, -1))

    def of_state(self, state: Covariance) -> Covariance:
        return flattened(state) if state.frame.count else state

    def of_average(self, average: Covariance, count: int) -> Covariance:
        """The limit from the mean over positions, each with itself."""
        return average

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        if not state.frame.count:
            return change
        terms, changes = each_position(state), each_position(change)
        turn = Covariance.turn_of_total(terms, changes)
        return Covariance.total(changes).scaled(1.0 / len(terms)).to(turn=turn)

    def of_mean(self, mean: Array) -> Array:
        return home(mean).xp.mean(home(mean).xp.reshape(mean, (mean.shape[0], -1)), axis=1)
