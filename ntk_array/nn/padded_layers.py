"""Layers that mix positions, as they act on padded inputs: no position that does not exist is seen."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._array.namespace import Array, home
from ..infinite.covariance import Covariance, Direction
from ..infinite.position_maps import cut
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .attention import SelfAttention
from .layer import Factors, Layer
from .packed import PackedLayer, PackedPool, PackedValues
from .padded_batch import Extent, Padded
from .parameters import Params
from .pooling import GlobalAvgPool, GlobalSumPool

__all__ = ["Existing", "First", "PaddedAttention", "PaddedPool", "PaddedValues", "Windowed"]


@dataclass(frozen=True)
class PaddedValues(PackedValues):
    """The values at positions, (N, *P, channels), from padded inputs that have at least so many along each axis."""

    least: tuple[int, ...] = ()

    def signal(self, before: Signal) -> Signal:
        shape = before.shape
        if before.wide:
            raise ValueError("PaddedNetwork reads padded inputs: put the layers before it into it")
        if len(shape) < 2 or shape[-1] < 2:
            raise ValueError(
                "PaddedNetwork needs padded inputs, (N, *positions, channels + 1), as ntk_array.nn.padded(inputs) "
                f"makes them; got (N, {', '.join(map(str, shape))})"
            )
        return before.to(shape=(*shape[:-1], shape[-1] - 1))

    def taken(self, x: Array) -> Padded:
        return Padded.of(x)

    def refuse(self, batch: Padded) -> None:
        batch.refuse(self.least)

    def of(self, batch: Padded) -> Array:
        return batch.values

    def backward(self, params: Params, tape: Padded, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Of marks there is no derivative: zeros."""
        if not to_inputs:
            return None, []
        xp = home(delta).xp
        inside = xp.where(tape.present()[:, None, ..., None], delta, 0.0)
        return xp.concat([inside, xp.zeros_like(inside[..., :1])], axis=-1), []

    def tangent(self, params: Params, tape: Padded, dx: Array, dparams: Params) -> Array:
        return home(dx).xp.where(tape.present()[..., None], dx[..., :-1], 0.0)


@dataclass(frozen=True)
class Existing(PackedLayer):
    """Zeros at positions that do not exist behind windows, and values as they are elsewhere."""

    extent: Extent

    def taken(self, x: Array) -> Padded:
        return Padded.of(x)

    def signal(self, before: Signal) -> Signal:
        return before

    def present(self) -> Array:
        """Of the batch, (N, *P)."""
        found: Array = self.bound().present(self.extent)
        return found

    def cut(self, x: Array, present: Array) -> Array:
        """Of values (N, *P, channels)."""
        return home(x).xp.where(present[..., None], x, 0.0)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """The tape says which positions exist."""
        present = self.present()
        return self.cut(x, present), present

    def backward(self, params: Params, tape: Array, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        return (self.cut(delta, tape[:, None, ...]) if to_inputs else None), []

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        return self.cut(dx, tape)

    # ---- infinite width -----------------------------------------------------------------------------------------

    def sides(self, inputs: Covariance) -> tuple[Array, Array]:
        """Which positions exist in both batches, from the state of the inputs."""
        one, two = self.batches(inputs)
        first = one.present(self.extent)
        return first, first if two is one else two.present(self.extent)

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        return cut(states[0], *self.sides(states[-1]))

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        return cut(changes[0], *self.sides(states[-1]))

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        mean = states[0].rows().mean
        return home(mean).xp.where(self.sides(states[-1])[0], mean, 0.0)

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        mean = changes[0].rows().mean
        return home(mean).xp.where(self.sides(states[-1])[0], mean, 0.0)


@dataclass(frozen=True)
class _Around(PackedLayer):
    """A layer of a network on padded inputs, and which positions exist where it acts."""

    layer: Layer
    extent: Extent

    def __repr__(self) -> str:
        return repr(self.layer)

    def taken(self, x: Array) -> Padded:
        return Padded.of(x)

    def signal(self, before: Signal) -> Signal:
        return self.layer.signal(before)

    @property
    def factor_count(self) -> int:
        return self.layer.factor_count

    @abstractmethod
    def acting(self) -> Layer:
        """The layer on the batch that this one is bound to."""

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Layer, Any]]:
        """The tape is the layer on the batch, and its tape."""
        layer = self.acting()
        output, tape = layer.forward(params, x)
        return output, (layer, tape)

    def backward(
        self, params: Params, tape: tuple[Layer, Any], delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        return tape[0].backward(params, tape[1], delta, to_inputs)

    def tangent(self, params: Params, tape: tuple[Layer, Any], dx: Array, dparams: Params) -> Array:
        return tape[0].tangent(params, tape[1], dx, dparams)


class Windowed(_Around):
    """A layer that sees windows of positions. What lies behind the end of an input is zero for it."""

    def acting(self) -> Layer:
        return self.layer

    def _existing(self) -> Existing:
        existing = Existing(self.extent)
        return existing if self.batch is None else existing.on(self.batch)  # type: ignore[return-value]

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        x, present = self._existing().forward({}, x)
        output, tape = super().forward(params, x)
        return output, (*tape, present)

    def backward(self, params: Params, tape: Any, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        back, factors = super().backward(params, tape, delta, to_inputs)
        return self._existing().backward({}, tape[2], back, to_inputs)[0], factors

    def tangent(self, params: Params, tape: Any, dx: Array, dparams: Params) -> Array:
        return super().tangent(params, tape, self._existing().tangent({}, tape[2], dx, {}), dparams)

    def unroll(self, steps: Steps, place: int) -> int:
        """The values themselves are zeros there already."""
        if place != self.packed(steps).values:
            place = Existing(self.extent).unroll(steps, place)
        return self.layer.unroll(steps, place)


@dataclass(frozen=True)
class PaddedPool(PackedPool):
    """The mean or the sum over the positions that exist."""

    layer: GlobalAvgPool | GlobalSumPool
    extent: Extent

    def __repr__(self) -> str:
        return repr(self.layer)

    def taken(self, x: Array) -> Padded:
        return Padded.of(x)

    def signal(self, before: Signal) -> Signal:
        return self.layer.signal(before)

    def matrix(self, batch: Padded) -> Array:
        """One row for each input, (N, 1, P)."""
        here, present = home(batch.packed), batch.present(self.extent)
        rows = here.xp.astype(here.xp.reshape(present, (present.shape[0], 1, -1)), here.dtype)
        return rows if isinstance(self.layer, GlobalSumPool) else rows / here.xp.sum(rows, axis=2, keepdims=True)

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        self.layer.signal(Signal(tuple(x.shape[1:])))  # refuses inputs without positions
        return super().forward(params, x)


class First(_Around):
    """The value at the first position, which every input has."""

    def acting(self) -> Layer:
        return self.layer

    def signal(self, before: Signal) -> Signal:
        after = super().signal(before)
        if len(after.shape) > 1:
            raise ValueError(f"{self!r} leaves axes of positions of padded inputs: give an index for each of them")
        return after

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Layer, Any]]:
        self.signal(Signal(tuple(x.shape[1:])))
        return super().forward(params, x)

    def unroll(self, steps: Steps, place: int) -> int:
        self.signal(steps.signals[place])
        return self.layer.unroll(steps, place)


class PaddedAttention(_Around):
    """Self-attention that looks at the positions that exist."""

    layer: SelfAttention

    def acting(self) -> Layer:
        return self.layer.looking_at(self.bound().present(self.extent))

    @property
    def reads_within(self) -> bool:  # type: ignore[override]
        return self.layer.reads_within

    def needs_every_pair(self, after: bool) -> bool:
        return True

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        return self.layer.propagate(states[0], signals[0], Existing(self.extent).sides(states[-1]))

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        keys = Existing(self.extent).sides(states[-1])
        return self.layer.propagate_tangent(states[0], changes[0], signals[0], direction, keys)
