"""The steps that a network is unrolled into, and what they ask of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from .._array.namespace import Array
from .._array.window import Window
from .covariance import Covariance, Direction
from .signal import Signal

__all__ = ["Limit", "Packed", "Step", "Steps", "contents"]


class Limit(Protocol):
    """What a step asks of a layer; see :class:`ntk_array.nn.Layer`."""

    numerical: bool
    tabulated: bool
    quadrature_error: float
    kinked: bool
    reads_gap: bool
    reads_within: bool
    reads_inputs: bool
    nonnegative: bool

    @property
    def entrywise(self) -> bool: ...
    @property
    def noisy(self) -> bool: ...
    @property
    def factor_count(self) -> int: ...
    @property
    def window(self) -> Window | None: ...
    @property
    def pools(self) -> Window | None: ...
    @property
    def averages(self) -> str | None: ...
    def needs_every_pair(self, after: bool) -> bool: ...
    def inner_size(self, before: Signal) -> int: ...
    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance: ...
    def limit_sine(self, states: Sequence[Covariance], after: Covariance) -> Array | None: ...
    def versines(self, h: Array, g: Array | None, itemsize: int) -> tuple[Array, Array, Array] | None: ...
    def limit_turn(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], after: Covariance, change: Covariance
    ) -> Array | None: ...
    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance: ...
    def limit_taylor(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance: ...
    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array: ...
    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array: ...
    def asks_for_means(self, signals: Sequence[Signal]) -> bool: ...
    def fitted(self, smallest: float, largest: float) -> Any: ...
    def untabulated(self) -> Any: ...
    def unroll(self, steps: Steps, place: int) -> int: ...


class Step(NamedTuple):
    """A layer, the places of the states that it acts on, and the facts there.

    ``before_kink`` says whether a later step has a kink: the angle behind this one has to be exact then.
    """

    layer: Limit
    sources: tuple[int, ...]
    signals: tuple[Signal, ...]
    before_kink: bool = False

    def with_sine(self, after: Covariance, states: Sequence[Covariance]) -> Covariance:
        """The result of the step, which has its rows, with the sine that a later kink needs."""
        if not self.before_kink or after.sine is not None:
            return after
        return replace(after, sine=self.layer.limit_sine(states, after))

    def with_turn(
        self, change: Covariance, after: Covariance, states: Sequence[Covariance], changes: Sequence[Covariance]
    ) -> Covariance:
        """The change of that result, with the change of the angle that a later kink needs."""
        if not self.before_kink or change.turn is not None:
            return change
        return replace(change, turn=self.layer.limit_turn(states, changes, after, change))


class Packed(NamedTuple):
    """The place of inputs that are packed, as graphs are, the place where the values in them are, and their facts."""

    inputs: int
    values: int
    facts: Signal


class Steps:
    """Steps in the making, and the facts at every place so far.

    ``packed`` is there while the layers of a network on packed inputs are unrolled.
    """

    packed: Packed | None = None

    def __init__(self, inputs: Signal) -> None:
        self.steps: list[Step] = []
        self.signals = [inputs]

    def without_weights(self, place: int) -> bool:
        """Whether no weights are between the inputs and a place, so that it has no more features than they."""
        if not place:
            return True
        step = self.steps[place - 1]
        # Of the inputs such a step reads how they are packed. Its values are those at the first place.
        sources = step.sources[:1] if step.layer.reads_inputs else step.sources
        return not step.layer.factor_count and any(self.without_weights(source) for source in sources)

    def add(self, layer: Limit, sources: Sequence[int], after: Signal) -> int:
        """Append a step whose result has these facts; its place."""
        self.steps.append(Step(layer, tuple(sources), tuple(self.signals[source] for source in sources)))
        self.signals.append(after)
        return len(self.steps)


def contents(value: Any) -> Any:
    """The class of a layer and all that it holds, of the layers in it too; other values as they are.

    Not its own ``==``: that of a dataclass leaves out what a layer holds beside the fields, as one with frozen
    parameters and a subclass of a user do.
    """
    if isinstance(value, tuple):
        return tuple(map(contents, value))
    if not hasattr(value, "unroll"):
        return value
    return type(value), *((name, contents(held)) for name, held in sorted(vars(value).items()))
