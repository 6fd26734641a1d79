"""An infinitely wide network as a list of steps, run on two batches.

A network is unrolled once: each step is the limit of a layer, or of the point where branches meet, and names the places
of the states that it acts on. Place 0 is the inputs. What a step does to variances and means depends on one batch only,
so each batch is walked once (:meth:`Program.walk`) and the rows of all places are kept; what is computed for a pair of
batches is then what depends on pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import Array, home, to_host
from .._formula.compilers import compiler_for
from .._support.progress import progress_asked, progress_bar
from .covariance import Covariance, Direction, Rows
from .dual import std_range
from .inputs import Inputs, between, pairs
from .signal import Signal
from .steps import Limit, Step, Steps, contents
from .stretches import Read, Stretches

__all__ = ["Program", "Walk", "refuse_overflow"]

CHUNK = 2**22  # pairs of positions of a batch that are walked at once
OFF_DIAGONAL = 4.0
"""How many times as much as on the diagonal errors may grow between different inputs. There they also move the angle,
to which kinks respond, and sin and cos of large values depend on it while their variance is a constant. The most that
300 random networks needed is 3.1; see tests/kernels/test_random_duals.py."""
ROUNDING = 2.0**9 * float(np.finfo(np.float64).eps)
"""The error of the quadrature sums in a table. For GELU at values that spread over 1e4 and 1e5, with inputs that nearly
coincide, it is 300 roundings; see tests/kernels/test_raw_data.py."""
WIDE = 100.0
"""Where values spread over less, none of 375 random kernels needed more than what is stated without."""


class Walk(NamedTuple):
    """A batch by itself at every place: its rows, and how they change along a direction if one was given."""

    rows: list[Rows]
    changes: list[Rows]
    diagonal: Array

    @classmethod
    def joined(cls, walks: Sequence[Walk]) -> Walk:
        """The walk of a batch from those of its parts."""
        concat = home(walks[0].diagonal).xp.concat

        def rows(parts: Sequence[Sequence[Rows]]) -> list[Rows]:
            return [
                Rows(*(None if own[0] is None else concat(list(own)) for own in zip(*places, strict=True)))
                for places in zip(*parts, strict=True)
            ]

        return cls(rows([w.rows for w in walks]), rows([w.changes for w in walks]), concat([w.diagonal for w in walks]))


@dataclass(frozen=True)
class Program:
    """The steps of a network for inputs of one shape.

    Attributes
    ----------
    steps : tuple of Step
    signals : tuple of Signal
        The facts at every place, the inputs first.
    every : tuple of bool
        Whether the states at each place need every pair of positions, or each position with itself only.
    planes : dict
        What takes pairs of images through it plane by plane. It lives as long as the program.
    """

    steps: tuple[Step, ...]
    signals: tuple[Signal, ...]
    every: tuple[bool, ...]
    planes: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, net: Limit, shape: tuple[int, ...]) -> Program:
        """Of a network on inputs of this shape. ValueError if it has no limit in closed form, or takes other inputs."""
        steps = Steps(Signal(shape))
        net.unroll(steps, 0)
        obstacle = steps.signals[-1].obstacle
        if obstacle is not None:
            raise ValueError(obstacle)
        if len(steps.signals[-1].shape) != 1:
            raise ValueError(
                f"the network's output has the shape {steps.signals[-1].shape} for each input; kernels need features "
                "only: end the network with Flatten or GlobalAvgPool and a Dense layer"
            )
        kinks = [step.layer.kinked for step in steps.steps]
        marked = (step._replace(before_kink=any(kinks[i + 1 :])) for i, step in enumerate(steps.steps))
        return cls(tuple(marked), tuple(steps.signals), _every_pair(steps.steps, steps.signals))

    @property
    def numerical(self) -> bool:
        """Whether a step needs tables."""
        return any(step.layer.numerical for step in self.steps)

    @property
    def loses_angles(self) -> bool:
        """Whether a kink reads angles behind a layer that mixes positions, as pooling and attention do.

        What such a layer adds up depends on one another, so that only the cosine of its result is known, which has half
        of the digits of a small angle.
        """
        return any(
            step.before_kink and len(step.signals[0].shape) > 1 and step.layer.needs_every_pair(False)
            for step in self.steps
        )

    def quadrature_error(self, inputs: Inputs, ntk: bool) -> float:
        """A bound for the error that tables bring to the kernel between these inputs, relative to its diagonal.

        How errors grow is asked without tables: outside of its range, which may be one variance, a table is constant.
        With every pair of positions there is no way without tables, and variances that differ.
        """
        if not any(step.layer.quadrature_error for step in self.steps):
            return 0.0
        if any(self.every):
            return self.grown_error(inputs, ntk)
        steps = (step._replace(layer=step.layer.untabulated()) for step in self.steps)
        return replace(self, steps=tuple(steps)).grown_error(inputs, ntk)

    def grown_error(self, inputs: Inputs, ntk: bool) -> float:
        """What the errors of all layers make in the end.

        The inputs are walked twice, once with every layer off by its own error, all to the same side, in a multiple
        that rounding does not hide. That shows what becomes of the diagonal, and a multiple of it is stated.

        Between inputs at an angle t an error e of a table moves the angle behind it by e / t. Where values spread over
        s, a function changes within an angle of 1 / s: an angle of that size is moved by e s. Near coincidence a table
        is as exact as its quadrature sums are.
        """
        worst = max(step.layer.quadrature_error for step in self.steps)
        unit, largest, moved = 1e-6 / worst, 0.0, 0.0
        for chunk in self._chunks(inputs):
            states = [self.start(chunk, ntk)]
            exact = self.paired(states[0])
            moved = max(moved, self._moved_angle(exact))
            for place, step in enumerate(self.steps, start=1):
                after = self.paired_step(place, states)
                states.append(after.stretched(1.0 + unit * step.layer.quadrature_error))
            one, two = (to_host(s.ntk if ntk else s.k12).astype(np.float64) for s in (exact[-1], states[-1]))
            change = np.abs(two - one)[one > 0] / one[one > 0]
            largest = max(largest, float(np.max(change, initial=0.0)))
        return max(worst, OFF_DIAGONAL * largest / unit, moved)

    def _moved_angle(self, states: Sequence[Covariance]) -> float:
        """The most that rounding in a table moves angles that a later table, of a wide spread, can tell from 0."""
        spread, moved = 0.0, 0.0  # of the values that later tables read, from the last step to the first
        for step in reversed(self.steps):
            if step.layer.numerical:
                moved = max(moved, ROUNDING * spread if spread > WIDE else 0.0)
                variance = home(states[0].k12).xp.max(states[step.sources[0]].k11)
                spread = max(spread, float(to_host(variance)) ** 0.5)
        return moved

    def upto(self, place: int, same: bool = False) -> Program:
        """The first steps, to this place, for the pairs of positions that later steps need, or for each position with
        itself only."""
        every = (False,) * (place + 1) if same else self.every[: place + 1]
        return Program(self.steps[:place], self.signals[: place + 1], every)

    def between(self, one: Inputs, two: Inputs | None, ntk: bool) -> Covariance:
        """The state of two batches of inputs; see :func:`.inputs.between`."""
        return between(one, two, ntk=ntk, gap=self.gaps, every=self.every[0])

    @property
    def largest_block(self) -> int:
        """The number of pairs of positions that a pair of inputs has at most."""
        sizes = [math.prod(signal.shape[:-1]) for signal in self.signals]
        return max(size * size if every else size for size, every in zip(sizes, self.every, strict=True))

    def _sources(self, place: int, states: Sequence[Any]) -> list[Covariance]:
        """The states that the step to a place acts on, for the pairs of positions that it asks for."""
        step = self.steps[place - 1]
        found = [states[source] for source in step.sources]
        return found if step.layer.needs_every_pair(self.every[place]) else [state.same() for state in found]

    def start(self, inputs: Inputs, ntk: bool) -> Covariance:
        """The state of inputs with themselves."""
        start = pairs(inputs, ntk=ntk, every=self.every[0], gap=self.gaps)
        if self.reads_inputs:
            start = replace(start, inputs1=inputs.x, inputs2=inputs.x)
        if not self.means:
            return start
        values = inputs.mean()
        return replace(start, mean1=start.frame.row(values), mean2=start.frame.column(values))

    def _chunks(self, inputs: Inputs) -> list[Inputs]:
        """A batch in parts whose pairs of positions fit into little memory."""
        if not any(self.every):
            return [inputs]
        n = inputs.x.shape[0]
        most = max(math.prod(signal.shape[:-1]) for signal in self.signals) ** 2
        size = max(CHUNK // most, 1)
        return [Inputs(*(a[i : min(i + size, n), ...] for a in inputs)) for i in range(0, n, size)]

    @cached_property
    def within(self) -> tuple[bool, ...]:
        """Whether a step reads the covariances within each input at each place."""
        read = {source for step in self.steps if step.layer.reads_within for source in step.sources}
        return tuple(place in read for place in range(len(self.steps) + 1))

    def _rows(self, states: Sequence[Covariance]) -> list[Rows]:
        return [state.rows(within) for state, within in zip(states, self.within, strict=False)]

    @property
    def means(self) -> bool:
        """Whether a step asks for means over features."""
        return any(step.layer.asks_for_means(step.signals) for step in self.steps)

    @property
    def reads_input_means(self) -> bool:
        """Whether a step asks for the means over the features of the inputs, which no angle between inputs tells."""
        from_inputs = [True]  # by place: whether values there are not centred because the inputs are not
        for step, after in zip(self.steps, self.signals[1:], strict=True):
            here = any(from_inputs[source] for source in step.sources)
            if here and step.layer.asks_for_means(step.signals):
                return True
            from_inputs.append(here and not after.centred)
        return False

    @property
    def reads_inputs(self) -> bool:
        """Whether a step reads the inputs themselves."""
        return any(step.layer.reads_inputs for step in self.steps)

    @property
    def gaps(self) -> bool:
        """Whether a step asks for the gap between values."""
        return any(step.layer.reads_gap for step in self.steps)

    def fitted(self, inputs: Inputs, tables: dict[Any, Any], margin: float = 0.0) -> Program:
        """The program with tables for these inputs and no others; those that are there already are taken over.

        Tables reach from the smallest to the largest standard deviation at their place, and further by the share
        ``margin``. Layers that hold the same share a table where that range is the same.
        """
        if not self.numerical:
            return self
        steps = list(self.steps)
        states: list[Any] = [None if any(self.every) else self.start(inputs, False)]
        for place, step in enumerate(progress_bar(self.steps, "dual activations", "layer", progress_asked()), start=1):
            if step.layer.numerical:
                if states[0] is None:
                    # The states of all images do not fit into memory, so they are walked again for each table.
                    # Up to the first pooling variances need each position with itself only.
                    before = replace(self, steps=tuple(steps)).upto(place - 1)
                    before = replace(before, every=_every_pair(before.steps, before.signals))
                    variance = before.walk(inputs, False).rows[step.sources[0]].variance
                else:
                    variance = states[step.sources[0]].k11
                steps[place - 1] = step._replace(layer=_fitted(step.layer, variance, tables, margin))
            if states[0] is not None:
                states.append(replace(self, steps=tuple(steps)).paired_step(place, states))
        return replace(self, steps=tuple(steps))

    def fitted_at(self, place: int, variance: Array, tables: dict[Any, Any]) -> Program:
        """The program with a table at one place, for values of these variances."""
        step = self.steps[place - 1]
        step = step._replace(layer=_fitted(step.layer, variance, tables))
        return replace(self, steps=(*self.steps[: place - 1], step, *self.steps[place:]))

    def fitted_behind(self, place: int, state: Covariance, tables: dict[Any, Any]) -> Program:
        """The program with tables behind a place, for inputs whose states with themselves are known there."""
        program = self
        states: list[Any] = [*[None] * place, state]
        for behind in range(place + 1, len(self.steps) + 1):
            step = self.steps[behind - 1]
            if step.layer.numerical:
                program = program.fitted_at(behind, states[step.sources[0]].k11, tables)
            states.append(program.paired_step(behind, states))
        return program

    def walk(self, inputs: Inputs, ntk: bool, direction: Direction | None = None) -> Walk:
        """A batch through all steps by itself, and the kernel of each input with itself in the end, (N,)."""
        walks = [self._walk(chunk, ntk, direction) for chunk in self._chunks(inputs)]
        return walks[0] if len(walks) == 1 else Walk.joined(walks)

    def _walk(self, inputs: Inputs, ntk: bool, direction: Direction | None) -> Walk:
        """A walk with all inputs at once."""
        states = self.paired(self.start(inputs, ntk))
        changes = [] if direction is None else self._paired_changes(states, direction)
        # Along a direction it is the change of the kernel that is asked for.
        last = (changes or states)[-1]
        return Walk(self._rows(states), self._rows(changes), last.ntk if ntk else last.k12)

    def paired(self, start: Covariance, first: int = 0) -> list[Covariance]:
        """The states of inputs with themselves, (N,), at every place, or at those from the place ``first`` on.

        ValueError where they overflow.
        """
        states: list[Any] = [None] * first + [start]
        with np.errstate(over="ignore", invalid="ignore"):
            for place in range(first + 1, len(self.steps) + 1):
                states.append(self.paired_step(place, states))
        refuse_overflow(states[first:])
        return states[first:]

    def paired_step(self, place: int, states: Sequence[Any]) -> Covariance:
        """The state of inputs with themselves, (N,), at one place, from those at the places before it."""
        step = self.steps[place - 1]
        sources = self._sources(place, states)
        after = step.layer.limit(sources, step.signals)
        mean = step.layer.limit_mean(sources, step.signals) if self._has_mean(place) else None
        # By rounding, a tabulated dual may give a zero row a slightly negative variance, such as -1e-20.
        k = after.frame.values(after.k12)
        k = home(k).xp.clip(k, min=0.0) if step.layer.numerical else k
        if after.frame.every:
            return step.with_sine(after.facing(Rows(k, mean), Rows(k, mean)), sources)
        # The angle of an input with itself is 0 everywhere, so the zeros of the inputs serve as the sine.
        zeros = None if states[0] is None else states[0].sine
        if zeros is None or zeros.shape != k.shape:
            zeros = home(k).xp.zeros_like(k)
        return Covariance.of_pairs(k, after.ntk, zeros, mean, after.frame)

    def _paired_changes(self, states: Sequence[Covariance], direction: Direction) -> list[Covariance]:
        changes = [states[0].moving(direction)]
        for place, step in enumerate(self.steps, start=1):
            here, moved = self._sources(place, states), self._sources(place, changes)
            after, mean = step.layer.limit_change(here, moved, step.signals, direction), None
            if self._has_mean(place):
                mean = step.layer.limit_mean_change(here, moved, step.signals)
            if after.frame.every:
                k = after.frame.values(after.k12)
                changes.append(after.facing(Rows(k, mean), Rows(k, mean)))
            else:
                changes.append(Covariance.of_pairs(after.k12, after.ntk, None, mean, after.frame))
        return changes

    def _has_mean(self, place: int) -> bool:
        return self.means and not self.signals[place].centred

    def run(self, start: Covariance, one: Sequence[Rows], two: Sequence[Rows], read: Read, first: int = 0) -> Array:
        """The covariance or the NTK at the last place between two batches.

        ``start`` is the state between their inputs, or that at the place ``first``, and the rows are those of each
        batch at every place. Where something compiles for these arrays, a few steps at a time run in one pass over
        them.
        """
        compiler = compiler_for(start.k12)
        states: list[Any] = [None] * (len(self.steps) + 1)
        states[first] = start.facing(one[first], two[first])
        place = first + 1
        while place <= len(self.steps):
            stretch = None if compiler is None else self.compiled.at(place, states, compiler, read)
            if stretch is None:
                step = self.steps[place - 1]
                sources = self._sources(place, states)
                after = step.layer.limit(sources, step.signals).facing(one[place], two[place])
                states[place], last = step.with_sine(after, sources), place
            else:
                last = place + stretch.count - 1
                stretch.run(place, states, one, two)
            for done in range(place, last + 1):
                for source in self.finished[done]:
                    states[source] = None  # its arrays are as large as the block
            place = last + 1
        return getattr(states[-1], read)

    def run_change(self, start: Covariance, one: Walk, two: Walk, direction: Direction, read: Read) -> Array:
        """The change of the same along a direction, from walks along it."""
        states: list[Any] = [start.facing(one.rows[0], two.rows[0])]
        changes: list[Any] = [states[0].moving(direction)]
        for place, step in enumerate(self.steps, start=1):
            here, moved = self._sources(place, states), self._sources(place, changes)
            change = step.layer.limit_change(here, moved, step.signals, direction)
            after = step.layer.limit(here, step.signals).facing(one.rows[place], two.rows[place])
            states.append(step.with_sine(after, here))
            change = change.facing(one.changes[place], two.changes[place])
            changes.append(step.with_turn(change, states[-1], here, moved))
            for source in self.finished[place]:
                states[source] = changes[source] = None
        return getattr(changes[-1], read)

    @cached_property
    def finished(self) -> dict[int, list[int]]:
        """The places whose states no step after this one needs."""
        # Later steps overwrite earlier ones, so that the last reader of each place remains.
        last = {source: place for place, step in enumerate(self.steps, start=1) for source in step.sources}
        finished: dict[int, list[int]] = {place: [] for place in range(1, len(self.steps) + 1)}
        for source, place in last.items():
            finished[place].append(source)
        return finished

    @cached_property
    def compiled(self) -> Stretches:
        """The steps that run in one pass; they live as long as the program."""
        last = {source: place for place, finished in self.finished.items() for source in finished}
        places = range(len(self.steps) + 1)
        alive = [[source for source in range(place) if last.get(source, 0) >= place] for place in places]
        return Stretches(self.steps, alive, [self._has_mean(place) for place in places])


def _every_pair(steps: Sequence[Step], signals: Sequence[Signal]) -> tuple[bool, ...]:
    """Asked of the layers from the last to the first: pooling needs every pair of positions, flattening does not."""
    needed = [False] * len(signals)
    for place in range(len(steps), 0, -1):
        step = steps[place - 1]
        for source in step.sources:
            needed[source] |= len(signals[source].shape) > 1 and step.layer.needs_every_pair(needed[place])
    return tuple(needed)


def refuse_overflow(states: Sequence[Covariance]) -> None:
    """ValueError where the variances or the NTK of a network are beyond the largest number."""

    def finite(state: Covariance) -> bool:
        last = state.k12 if state.ntk is None else state.ntk
        return bool(to_host(home(last).xp.all(home(last).xp.isfinite(last))))

    if not finite(states[-1]):
        place = next(i for i, state in enumerate(states) if not finite(state))
        raise ValueError(
            f"values overflow {states[0].k12.dtype} at layer {place} of {len(states) - 1}: make weight_std smaller, "
            "or use float64 if the inputs are float32"
        )


def _fitted(layer: Limit, variance: Array, tables: dict[Any, Any], margin: float = 0.0) -> Any:
    """A layer with a table for values of these variances: one that is there, or a new one, which is kept."""
    ends = std_range(variance, margin=margin)
    key = _table_key(layer), ends
    if key not in tables:
        tables[key] = (layer, layer.fitted(*ends))
    return tables[key][1]


def _table_key(layer: Limit) -> Any:
    """What layers that may share tables have in common, and no others that live."""
    held = contents(layer)
    try:
        hash(held)
    except TypeError:  # a list or an array: the layer shares tables with itself only
        return id(layer)
    return held
