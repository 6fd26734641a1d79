"""An infinitely wide network as a list of steps, run on two batches.

A network is unrolled once: each step is the limit of a layer, or of the point where branches meet, and names the places
of the states that it acts on. Place 0 is the inputs. What a step does to variances and means depends on one batch only,
so each batch is walked once (:meth:`Program.walk`) and the rows of all places are kept; what is computed for a pair of
batches is then what depends on pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from .._array.namespace import Array, home
from .._formula.compilers import Compiler, compiled, compiler_for
from .._formula.formula import COLUMN, ENTRY, ROW
from .covariance import Covariance, Direction, Rows
from .dual import std_range
from .inputs import Inputs, pairs
from .signal import Signal

__all__ = ["Limit", "Program", "Step", "Steps", "Walk"]

AXES = {"k12": ENTRY, "k11": ROW, "k22": COLUMN, "ntk": ENTRY, "sine": ENTRY, "mean1": ROW, "mean2": COLUMN}


class Limit(Protocol):
    """What a step asks of a layer; see :class:`ntk_array.nn.Layer`."""

    numerical: bool
    quadrature_error: float

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance: ...
    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance: ...
    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array: ...
    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array: ...
    def asks_for_means(self, signals: Sequence[Signal]) -> bool: ...
    def fitted(self, smallest: float, largest: float) -> Any: ...
    def unroll(self, steps: Steps, place: int) -> int: ...


class Step(NamedTuple):
    """A layer, the places of the states that it acts on, and the facts there."""

    layer: Limit
    sources: tuple[int, ...]
    signals: tuple[Signal, ...]


class Steps:
    """Steps in the making, and the facts at every place so far."""

    def __init__(self, inputs: Signal) -> None:
        self.steps: list[Step] = []
        self.signals = [inputs]

    def add(self, layer: Limit, sources: Sequence[int], after: Signal) -> int:
        """Append a step whose result has these facts; its place."""
        self.steps.append(Step(layer, tuple(sources), tuple(self.signals[source] for source in sources)))
        self.signals.append(after)
        return len(self.steps)


class Walk(NamedTuple):
    """A batch by itself at every place: its rows, and how they change along a direction if one was given."""

    rows: list[Rows]
    changes: list[Rows]
    diagonal: Array


@dataclass(frozen=True)
class Program:
    """The steps of a network for inputs of one shape.

    Attributes
    ----------
    steps : tuple of Step
    signals : tuple of Signal
        The facts at every place, the inputs first.
    loops : dict
        Steps that were compiled. They live as long as the program.
    """

    steps: tuple[Step, ...]
    signals: tuple[Signal, ...]
    loops: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, net: Limit, shape: tuple[int, ...]) -> Program:
        """Of a network on inputs of this shape. ValueError if it has no limit in closed form, or takes other inputs."""
        steps = Steps(Signal(shape))
        net.unroll(steps, 0)
        obstacle = steps.signals[-1].obstacle
        if obstacle is not None:
            raise ValueError(obstacle)
        return cls(tuple(steps.steps), tuple(steps.signals))

    @property
    def numerical(self) -> bool:
        """Whether a step needs tables."""
        return any(step.layer.numerical for step in self.steps)

    @property
    def quadrature_error(self) -> float:
        """The largest estimated relative error of the tables."""
        return max((step.layer.quadrature_error for step in self.steps), default=0.0)

    @property
    def means(self) -> bool:
        """Whether a step asks for means over features."""
        return any(step.layer.asks_for_means(step.signals) for step in self.steps)

    def fitted(self, inputs: Inputs, tables: dict[Any, Any], margin: float = 0.0) -> Program:
        """The program with tables for these inputs and no others; those that are there already are taken over.

        Tables reach from the smallest to the largest standard deviation at their place, and further by the share
        ``margin``.
        """
        if not self.numerical:
            return self
        states, steps = [pairs(inputs, ntk=False)], []
        for place, step in enumerate(self.steps, start=1):
            if step.layer.numerical:
                ends = std_range(states[step.sources[0]].k11, margin=margin)
                kept = tables.get((place, ends))
                if kept is None or kept[0] is not step.layer:
                    kept = tables[place, ends] = (step.layer, step.layer.fitted(*ends))
                step = step._replace(layer=kept[1])
            steps.append(step)
            states.append(self._paired(place, step, states))
        return replace(self, steps=tuple(steps))

    def walk(self, inputs: Inputs, ntk: bool, direction: Direction | None = None) -> Walk:
        """A batch through all steps by itself, and the kernel of each input with itself in the end, (N,)."""
        start = pairs(inputs, ntk=ntk)
        mean = inputs.mean()[:, 0] if self.means else None
        states = self.paired(start.facing(Rows(start.k11, mean), Rows(start.k22, mean)))
        changes = [] if direction is None else self._paired_changes(states, direction)
        last = (changes or states)[-1]
        return Walk([s.rows() for s in states], [s.rows() for s in changes], last.ntk if ntk else last.k12)

    def paired(self, start: Covariance) -> list[Covariance]:
        """The states of inputs with themselves, (N,), at every place."""
        states = [start]
        for place, step in enumerate(self.steps, start=1):
            states.append(self._paired(place, step, states))
        return states

    def _paired(self, place: int, step: Step, states: Sequence[Covariance]) -> Covariance:
        sources = [states[source] for source in step.sources]
        after, mean = step.layer.limit(sources, step.signals), None
        if self._has_mean(place):
            mean = step.layer.limit_mean(sources, step.signals)
        xp = home(after.k12).xp
        # A tabulated dual may give a zero row a variance of -1e-20.
        k = xp.clip(after.k12, min=0.0)
        return Covariance(k, k, k, after.ntk, xp.zeros_like(k), mean, mean)

    def _paired_changes(self, states: Sequence[Covariance], direction: Direction) -> list[Covariance]:
        changes = [states[0].unchanging()]
        for place, step in enumerate(self.steps, start=1):
            here, moved = [states[source] for source in step.sources], [changes[source] for source in step.sources]
            after, mean = step.layer.limit_change(here, moved, step.signals, direction), None
            if self._has_mean(place):
                mean = step.layer.limit_mean_change(here, moved, step.signals)
            changes.append(Covariance(after.k12, after.k12, after.k12, after.ntk, None, mean, mean))
        return changes

    def _has_mean(self, place: int) -> bool:
        return self.means and not self.signals[place].centred

    def run(self, start: Covariance, one: Sequence[Rows], two: Sequence[Rows]) -> Covariance:
        """The state at the last place between two batches, from that of their inputs and the rows of each.

        Every step is recorded once and compiled, where something compiles for these arrays.
        """
        compiler = compiler_for(start.k12)
        states: list[Any] = [start.facing(one[0], two[0])]
        for place, step in enumerate(self.steps, start=1):
            sources = [states[source] for source in step.sources]
            loop = None if compiler is None else self._loop(place, sources, compiler)
            after = step.layer.limit(sources, step.signals) if loop is None else loop(sources)
            states.append(after.facing(one[place], two[place]))
            for source in self._finished[place]:
                states[source] = None  # its arrays are as large as the block
        result: Covariance = states[-1]
        return result

    def run_change(self, start: Covariance, one: Walk, two: Walk, direction: Direction) -> Covariance:
        """The change of that state along a direction, from walks along the same."""
        states: list[Any] = [start.facing(one.rows[0], two.rows[0].as_columns())]
        changes: list[Any] = [states[0].unchanging()]
        for place, step in enumerate(self.steps, start=1):
            here, moved = [states[source] for source in step.sources], [changes[source] for source in step.sources]
            change = step.layer.limit_change(here, moved, step.signals, direction)
            after = step.layer.limit(here, step.signals)
            states.append(after.facing(one.rows[place], two.rows[place].as_columns()))
            changes.append(change.facing(one.changes[place], two.changes[place].as_columns()))
            for source in self._finished[place]:
                states[source] = changes[source] = None
        result: Covariance = changes[-1]
        return result

    @cached_property
    def _finished(self) -> dict[int, list[int]]:
        """The places whose states no step after this one needs."""
        last = {source: place for place, step in enumerate(self.steps, start=1) for source in step.sources}
        finished: dict[int, list[int]] = {place: [] for place in range(1, len(self.steps) + 1)}
        for source, place in last.items():
            finished[place].append(source)
        return finished

    def _loop(self, place: int, sources: Sequence[Covariance], compiler: Compiler) -> Callable[..., Covariance] | None:
        """A step as one pass over its arrays; None where it is not elementwise."""
        step = self.steps[place - 1]
        if step.layer.numerical:
            return None
        names = tuple(tuple(name for name in AXES if getattr(source, name) is not None) for source in sources)
        key = (place, names, compiler, sources[0].k12.dtype)
        if key not in self.loops:
            self.loops[key] = _compiled_step(step, names, compiler, sources[0].k12.dtype)
        loop: Callable[..., Covariance] | None = self.loops[key]
        return loop


def _compiled_step(
    step: Step, names: Sequence[Sequence[str]], compiler: Compiler, dtype: Any
) -> Callable[[Sequence[Covariance]], Covariance] | None:
    """A step for states that have the arrays of these names.

    Arrays that it leaves as they are do not go through the loop.
    """
    computed: list[str] = []
    kept: dict[str, tuple[int, str]] = {}

    def function(*symbols: Any) -> list[Any]:
        given = iter(symbols)
        states = [Covariance(**{name: next(given) for name in own}) for own in names]
        origin = {id(getattr(state, name)): (i, name) for i, state in enumerate(states) for name in names[i]}
        after = step.layer.limit(states, step.signals)
        for name in ("k12", "ntk", "sine"):
            array = getattr(after, name)
            if id(array) in origin:
                kept[name] = origin[id(array)]
            elif array is not None:
                computed.append(name)
        return [getattr(after, name) for name in computed]

    loop = compiled(function, [AXES[name] for own in names for name in own], compiler, dtype)
    if loop is None or not computed:
        return None

    def run(states: Sequence[Covariance]) -> Covariance:
        results = loop(*(getattr(state, name) for state, own in zip(states, names, strict=True) for name in own))
        arrays = dict(zip(computed, results, strict=True))
        arrays |= {name: getattr(states[i], source) for name, (i, source) in kept.items()}
        return Covariance(k11=states[0].k11, k22=states[0].k22, **arrays)

    return run
