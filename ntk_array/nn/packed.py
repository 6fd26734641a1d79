"""Inputs of different sizes in one array, such as graphs: what all networks on them share.

A batch is taken apart into values at positions and what says where these belong. A network binds its layers to the
batch for one forward pass; at infinite width layers read the inputs themselves, which travel at the first place only.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

from .._array.namespace import Array, home
from ..infinite.attention import gathered, mixed
from ..infinite.covariance import Covariance, Direction
from ..infinite.inputs import Inputs, between, pairs
from ..infinite.signal import Signal
from ..infinite.steps import Packed, Steps
from .layer import Factors, Layer
from .parameters import Params
from .sequential import Sequential

__all__ = ["PackedLayer", "PackedMap", "PackedNetwork", "PackedPool", "PackedValues", "refuse_nested"]


class PackedValues(Layer):
    """The values in a packed batch, (N, *positions, channels): where networks on it start.

    At infinite width their state is made from the inputs themselves.
    """

    entrywise = False
    reads_inputs = True

    @abstractmethod
    def taken(self, x: Array) -> Any:
        """The batch, taken apart."""

    @abstractmethod
    def refuse(self, batch: Any) -> None:
        """ValueError for an array that is no packed batch."""

    @abstractmethod
    def of(self, batch: Any) -> Array:
        """The values in a batch that was taken apart."""

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        """The tape is the batch."""
        self.signal(Signal(tuple(x.shape[1:])))
        batch = self.taken(x)
        self.refuse(batch)
        return self.of(batch), batch

    # ---- infinite width -----------------------------------------------------------------------------------------

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """The state between the values; the angle is theirs."""
        ntk, gap, frame = state.ntk is not None, state.gap is not None, state.frame
        batch = self.taken(state.inputs1)
        one = Inputs.of(self.of(batch))
        if not frame.blocks:
            # Each batch is walked once, and it is looked at then.
            self.refuse(batch)
            return pairs(one, ntk=ntk, every=frame.every, gap=gap)
        two = None if state.inputs2 is state.inputs1 else Inputs.of(self.of(self.taken(state.inputs2)))
        return between(one, two, ntk=ntk, gap=gap, every=frame.every)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """Values do not change, as the inputs do not."""
        return change

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        values = self.of(self.taken(states[0].inputs1))
        return home(values).xp.mean(values, axis=-1)

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return changes[0].rows().variance  # zeros


class PackedLayer(Layer):
    """A layer that reads a packed batch beside the values at a place."""

    entrywise = False
    reads_inputs = True

    batch: ClassVar[Any] = None
    """The batch, in a layer that was bound to it: see :meth:`on`."""

    @abstractmethod
    def taken(self, x: Array) -> Any:
        """A batch, taken apart."""

    def on(self, batch: Any) -> Layer:
        other = copy(self)
        object.__setattr__(other, "batch", batch)
        return other

    def bound(self) -> Any:
        """The batch. ValueError where there is none."""
        if self.batch is None:
            raise ValueError(self._alone)
        return self.batch

    def unroll(self, steps: Steps, place: int) -> int:
        """It acts on the values at a place, and reads the batch from the inputs."""
        return steps.add(self, [place, self.packed(steps).inputs], self.signal(steps.signals[place]))

    def packed(self, steps: Steps) -> Packed:
        """Where the inputs are. ValueError outside of a network on them."""
        if steps.packed is None:
            raise ValueError(self._alone)
        return steps.packed

    @property
    def _alone(self) -> str:
        return f"{self!r} reads more of the inputs than values at positions: put it into a network on packed inputs"

    def batches(self, state: Covariance) -> tuple[Any, Any]:
        """Both batches, from the state of the inputs."""
        one = self.taken(state.inputs1)
        return one, one if state.inputs2 is state.inputs1 else self.taken(state.inputs2)


class PackedMap(PackedLayer):
    """A linear map of the values at the positions of each input, by a matrix that the batch gives.

    In the infinite-width limit K -> M K M'^T for the matrices M and M' of both inputs, and Theta likewise.
    """

    @abstractmethod
    def matrix(self, batch: Any) -> Array:
        """The maps (N, R, P) from P positions."""

    def signal(self, before: Signal) -> Signal:
        return before

    # ---- the finite network -------------------------------------------------------------------------------------

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        self.signal(Signal(tuple(x.shape[1:])))  # refuses shapes that it cannot take
        return self.matrix(self.bound()) @ x, None

    def backward(self, params: Params, tape: Any, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        if not to_inputs:
            return None, []
        return home(delta).xp.matrix_transpose(self.matrix(self.bound()))[:, None, ...] @ delta, []

    def tangent(self, params: Params, tape: Any, dx: Array, dparams: Params) -> Array:
        return self.matrix(self.bound()) @ dx

    # ---- infinite width -----------------------------------------------------------------------------------------

    def needs_every_pair(self, after: bool) -> bool:
        return True

    def matrices(self, state: Covariance) -> tuple[Array, Array]:
        """The maps of both batches, from the state of the inputs."""
        one, two = self.batches(state)
        first = self.matrix(one)
        return first, first if two is one else self.matrix(two)

    def of_state(self, state: Covariance, one: Array, two: Array) -> Covariance:
        """The map of a state or of the change of one."""
        return mixed(state, one, two)

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        return self.of_state(states[0], *self.matrices(states[-1]))

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        return self.of_state(changes[0], *self.matrices(states[-1]))

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        return self.of_mean(states[0].rows().mean, states[-1])

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return self.of_mean(changes[0].rows().mean, states[-1])

    def of_mean(self, mean: Array, inputs: Covariance) -> Array:
        """The map of means over features (N, *positions)."""
        xp = home(mean).xp
        return (self.matrices(inputs)[0] @ xp.reshape(mean, (mean.shape[0], -1, 1)))[..., 0]


class PackedPool(PackedMap):
    """One value for each input, by a matrix of one row: (N, *positions, channels) to (N, channels)."""

    def signal(self, before: Signal) -> Signal:
        return super().signal(before).to(shape=before.shape[-1:])

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """The tape is the shape of an input."""
        values = home(x).xp.reshape(x, (x.shape[0], -1, x.shape[-1]))
        return super().forward(params, values)[0][:, 0, :], tuple(x.shape[1:])

    def backward(
        self, params: Params, tape: tuple[int, ...], delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        back, factors = super().backward(params, tape, delta[:, :, None, :], to_inputs)
        return back if back is None else home(back).xp.reshape(back, (*back.shape[:2], *tape)), factors

    def tangent(self, params: Params, tape: tuple[int, ...], dx: Array, dparams: Params) -> Array:
        size = math.prod(tape[:-1])
        return super().tangent(params, tape, home(dx).xp.reshape(dx, (-1, size, tape[-1])), dparams)[:, 0, :]

    def of_state(self, state: Covariance, one: Array, two: Array) -> Covariance:
        return gathered(state, one, two)

    def of_mean(self, mean: Array, inputs: Covariance) -> Array:
        return super().of_mean(mean, inputs)[:, 0]


class PackedNetwork(Sequential):
    """Layers on packed inputs, first to last. Its parameters are the tuple of theirs."""

    @property
    @abstractmethod
    def values(self) -> PackedValues:
        """What takes the values out of the inputs."""

    @property
    def run(self) -> tuple[Layer, ...]:
        """The layers as they act on a packed batch."""
        return self.layers

    def signals(self, before: Signal) -> list[Signal]:
        return Sequential(*self.run).signals(self.values.signal(before))

    def signal(self, before: Signal) -> Signal:
        return self.run[-1].signal(self.signals(before)[-1])

    def bound(self, x: Array) -> tuple[Array, Any, Sequential]:
        """The values in a batch, the batch taken apart, and the layers bound to it."""
        values, batch = self.values.forward({}, x)
        return values, batch, Sequential(*(layer.on(batch) for layer in self.run))

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Any, ...]]:
        """The layers in order, bound to this batch. The tape keeps them."""
        values, batch, bound = self.bound(x)
        output, tapes = bound.forward(params, values)
        return output, (batch, bound, tapes)

    def backward(
        self, params: Params, tape: tuple[Any, ...], delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        batch, bound, tapes = tape
        delta, factors = bound.backward(params, tapes, delta, to_inputs)
        return self.values.backward({}, batch, delta, to_inputs)[0], factors

    def tangent(self, params: Params, tape: tuple[Any, ...], dx: Array, dparams: Params) -> Array:
        batch, bound, tapes = tape
        return bound.tangent(params, tapes, self.values.tangent({}, batch, dx, {}), dparams)

    def unroll(self, steps: Steps, place: int) -> int:
        """The values, and the layers one after the other."""
        facts = self.values.signal(steps.signals[place])
        if place and facts.obstacle is None:
            facts = facts.to(
                obstacle=f"{type(self).__name__} reads its inputs: no infinite-width limit where another layer is "
                "before it"
            )
        end = self.started(steps, place, facts)
        outside, steps.packed = steps.packed, Packed(place, end, facts)
        for layer in self.run:
            end = layer.unroll(steps, end)
        steps.packed = outside
        return end

    def started(self, steps: Steps, place: int, facts: Signal) -> int:
        """Append the step that takes the values out; its place."""
        return steps.add(self.values, [place], facts)


def refuse_nested(layer: Layer, outside: str) -> None:
    """TypeError for a network on packed inputs inside of another."""
    if isinstance(layer, PackedNetwork):
        name = type(layer).__name__
        if name != outside:
            raise TypeError(f"{outside} has a {name} inside, and their inputs are packed in different ways: take one")
        raise TypeError(f"{outside} has another one inside; put the layers of that one in its place")
