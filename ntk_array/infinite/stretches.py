"""Which steps of a network run in one pass, as formulas, and what is compiled of these.

Where a compiler makes loops (``Compiler.stack``), steps that repeat are one, however many times they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from .._array.namespace import Array
from .._formula.compilers import Compiler
from .._formula.formula import COLUMN, ENTRY, ROW, Formula, NotElementwise, trace
from .._formula.stack import Part, Stack, StackFunction
from .covariance import COLUMNS, ENTRIES, ROWS, Covariance
from .one_pass import Named, Side, Stretch
from .positions import PLAIN
from .steps import Step, contents

__all__ = ["Read", "Stretches"]

Read = Literal["ntk", "k12"]
"""What is asked of the last place."""
Names = dict[int, tuple[str, ...]]
"""By place, the arrays that a state has there."""
AXES = dict.fromkeys(ENTRIES, ENTRY) | dict.fromkeys(ROWS, ROW) | dict.fromkeys(COLUMNS, COLUMN)


class Group(NamedTuple):
    """So many steps from a place on, and how many times they follow one another."""

    first: int
    steps: int
    times: int


class Record(NamedTuple):
    """A group of steps as a formula, with the names of its arrays at the first time."""

    group: Group
    formula: Formula
    arrays: list[Named]
    sides: list[Named]
    results: list[Named]
    origins: dict[Named, Named]

    def after(self, named: Named) -> Named:
        """What a result is the last time."""
        return named[0] + self.group.steps * (self.group.times - 1), named[1]


class Stretches:
    """The stretches of a network. Each is recorded and compiled when it is first asked for.

    Parameters
    ----------
    steps : tuple of Step
    alive : list of lists of int
        Before each place, the earlier ones whose states steps from there on act on.
    means : list of bool
        By place, whether batches have means over features there.
    """

    def __init__(self, steps: tuple[Step, ...], alive: list[list[int]], means: list[bool]) -> None:
        self.steps, self.alive, self.means = steps, alive, means
        self.found: dict[Any, Stretch | None] = {}
        self.shared: dict[Any, Stretch | None] = {}
        self.likenesses: dict[tuple[int, int], int] = {}
        self.numbers: dict[Any, int] = {}

    def at(self, place: int, states: Sequence[Any], compiler: Compiler, read: Read) -> Stretch | None:
        """The steps from a place on that run in one pass; None where that one is not elementwise."""
        alive = [source for source in self.alive[place] if states[source] is not None]
        names = {source: tuple(n for n in AXES if getattr(states[source], n) is not None) for source in alive}
        how = (compiler, states[alive[0]].k12.dtype, read)
        key = (place, tuple(names.items()), *how)
        if key not in self.found:
            self.found[key] = self._shared(place, names, *how)
        return self.found[key]

    def _shared(self, place: int, names: Names, compiler: Compiler, dtype: Any, read: Read) -> Stretch | None:
        """The same, shared by all places where the same is done with the same facts."""
        groups = self._groups(place, compiler)
        count = sum(group.steps * group.times for group in groups)
        given = tuple((source - place, *own) for source, own in names.items())
        key = (self._likeness(place, count), given, compiler, dtype, read)
        if key not in self.shared:
            records = self._recorded(groups, names, compiler.together, dtype, read)
            self.shared[key] = self._compiled(records, compiler, dtype)
        return self.shared[key]

    # ---- which steps ----------------------------------------------------------------------------------------------

    def _likeness(self, place: int, count: int) -> int:
        """A number that steps share which do the same with the same facts, together with those that follow."""
        if (place, count) not in self.likenesses:
            behind = place + count
            ends = behind > len(self.steps)
            needed = () if ends else tuple(source - place for source in self.alive[behind] if source >= place)
            try:
                doing = tuple(
                    (
                        *contents(step.layer),
                        step.signals,
                        step.before_kink,
                        *(source - place for source in step.sources),
                    )
                    for step in self.steps[place - 1 : behind - 1]
                )
                number = self.numbers.setdefault((doing, needed, ends), len(self.numbers))
            except TypeError:  # a user's layer may hold a list or an array, which has no hash: it shares nothing
                number = self.numbers.setdefault((place, count), len(self.numbers))
            self.likenesses[place, count] = number
        return self.likenesses[place, count]

    def _groups(self, place: int, compiler: Compiler) -> list[Group]:
        """The steps from a place on that are worth one function: those that repeat count once."""
        ahead = range(place, len(self.steps) + 1)
        end = next((p for p in ahead if self.steps[p - 1].layer.numerical), len(self.steps) + 1)
        if compiler.stack is None:
            return [Group(place, min(compiler.together, end - place), 1)][: end - place]
        alike = [self._likeness(p, 1) for p in range(place, end)]
        groups: list[Group] = []
        while place < end:
            steps, times = _repeated(alike[place - end :], compiler.together)
            if times > 1 or not groups or groups[-1].times > 1:
                groups.append(Group(place, steps, times))
            elif groups[-1].steps < compiler.together:
                groups[-1] = groups[-1]._replace(steps=groups[-1].steps + 1)
            else:
                break
            place += steps * times
        return groups

    # ---- as formulas ----------------------------------------------------------------------------------------------

    def _recorded(self, groups: Sequence[Group], names: Names, most: int, dtype: Any, read: Read) -> list[Record]:
        """As many of the groups as are elementwise, and at most so many steps in a row that are not a loop."""
        records: list[Record] = []
        pending, straight = list(groups), 0
        while pending:
            group = pending.pop(0)
            in_a_row = straight + group.steps if group.times == 1 else 0
            record = self._record(group, names, dtype, read) if in_a_row <= most else None
            if record is None and group.times > 1:
                # The first time may start from another kind of state than the others.
                first, steps, times = group
                pending = [Group(first, steps, 1), Group(first + steps, steps, times - 1), *pending]
            elif record is None and not records and group.steps > 1:
                pending = [group._replace(steps=(group.steps + 1) // 2)]
            elif record is None:
                break
            else:
                records.append(record)
                names, straight = names | self._names(record), in_a_row
        return records

    def _names(self, record: Record) -> Names:
        """The arrays of the states that come out of a record."""
        made = {record.after(named) for named in (*record.results, *record.origins)}

        def there(place: int, name: str) -> bool:
            return (place, name) in made if AXES[name] == ENTRY else self._has_rows(place, name)

        return {place: tuple(name for name in AXES if there(place, name)) for place, _ in made}

    def _record(self, group: Group, names: Names, dtype: Any, read: Read) -> Record | None:
        """A group as a formula; None where its steps are not elementwise, or make no loop.

        What goes in: the states before that these steps act on, and the rows of the places between. What comes out: the
        states that later steps act on, without arrays that are only handed through.
        """
        first, again = group.first, group.times > 1
        inner = range(first, first + group.steps)
        outer = sorted({source for place in inner for source in self.steps[place - 1].sources if source < first})
        later = self._read_behind(inner[-1])
        given = [(place, name) for place in outer for name in names[place]]
        arrays = [named for named in given if AXES[named[1]] == ENTRY]
        sides = [named for named in given if AXES[named[1]] != ENTRY]
        # Those of the last place are those of its batches already, unless its angle is computed from them.
        known = inner if self.steps[inner[-1] - 1].before_kink else inner[:-1]
        sides += [(p, n) for p in known for n in AXES if AXES[n] != ENTRY and self._has_rows(p, n)]
        results: list[Named] = []
        origins: dict[Named, Named] = {}

        def function(*symbols: Any) -> list[Any]:
            known = dict(zip((*arrays, *sides), symbols, strict=True))
            states = {place: Covariance(**{n: known[place, n] for n in names[place]}) for place in outer}
            for place in inner:
                step = self.steps[place - 1]
                own: dict[str, Any] = {name: known.get((place, name)) for name in (*ROWS, *COLUMNS)}
                sources = [states[source] for source in step.sources]
                after = step.layer.limit(sources, step.signals)
                states[place] = step.with_sine(replace(after, **own), sources)
            # Arrays that a layer hands on unchanged are found by identity. They need no pass over memory.
            handed = {} if again else {id(array): named for named, array in known.items()}
            made = []
            for place in inner:
                for name in (read,) if place == len(self.steps) else ENTRIES if place in later else ():
                    array = getattr(states[place], name)
                    if id(array) in handed:
                        origins[place, name] = handed[id(array)]
                    elif array is not None:
                        results.append((place, name))
                        made.append(array)
            return made

        try:
            formula = trace(function, [AXES[name] for _, name in (*arrays, *sides)], dtype)
        except NotElementwise:
            return None
        record = Record(group, formula, arrays, sides, results, origins)
        return record if not again or self._closes(record) else None

    def _closes(self, record: Record) -> bool:
        """Whether what comes out of one time is what goes into the next, and no more is read behind the last."""
        first, steps, times = record.group
        last = first + steps * times - 1
        behind = {source for source in self._read_behind(last) if first <= source <= last}
        same = [(place - steps, name) for place, name in record.results] == record.arrays
        return same and behind <= {record.after(named)[0] for named in record.results}

    def _read_behind(self, place: int) -> set[int]:
        """The places that steps behind this place act on."""
        return {source for step in self.steps[place:] for source in step.sources}

    def _has_rows(self, place: int, name: str) -> bool:
        return not name.startswith("mean") or self.means[place]

    # ---- compiled -------------------------------------------------------------------------------------------------

    def _compiled(self, records: Sequence[Record], compiler: Compiler, dtype: Any) -> Stretch | None:
        """The records, one after the other, as one pass; None where nothing is computed."""
        if not records:
            return None
        first, group = records[0].group.first, records[-1].group
        last = group.first + group.steps * group.times - 1
        # Arrays that come in are numbered first, then results; what is handed through keeps its number.
        made = {record.after(named) for record in records for named in (*record.results, *record.origins)}
        arrays = list(dict.fromkeys(named for record in records for named in record.arrays if named not in made))
        numbers, count = {named: number for number, named in enumerate(arrays)}, len(arrays)
        parts, sides = [], []
        for record in records:
            _, steps, times = record.group
            parts.append(Part(record.formula, tuple(numbers[named] for named in record.arrays), times))
            sides += [Side(place - first, name, steps, times) for place, name in record.sides]
            numbers |= {record.after(named): count + k for k, named in enumerate(record.results)}
            numbers |= {there: numbers[here] for there, here in record.origins.items()}
            count += len(record.results)
        later = self._read_behind(last) | {len(self.steps)}
        wanted = [named for named in numbers if first <= named[0] <= last and named[0] in later]
        results = [named for named in wanted if numbers[named] >= len(arrays)]
        if not results:
            return None
        origins = {named: arrays[numbers[named]] for named in wanted if named not in results}

        def moved(named: Named) -> Named:
            return named[0] - first, named[1]

        try:
            if compiler.stack is None:
                loop = _beside(compiler.compile(parts[0].formula, dtype), sides)
            else:
                loop = compiler.stack(Stack(tuple(parts), len(arrays), tuple(numbers[n] for n in results)), dtype)
        except NotElementwise:
            return None
        through = {moved(there): moved(here) for there, here in origins.items()}
        return Stretch(last - first + 1, list(map(moved, arrays)), sides, list(map(moved, results)), through, loop)


def _repeated(numbers: Sequence[int], most: int) -> tuple[int, int]:
    """With how many numbers a list starts that repeat, and how often they are there: those that cover most of it."""
    best = (1, 1)
    for size in range(1, most + 1):
        times = 1
        while list(numbers[size * times : size * (times + 1)]) == list(numbers[:size]):
            times += 1
        if times > 1 and size * times > best[0] * best[1]:
            best = (size, times)
    return best


def _beside(run: Callable[..., Sequence[Array]], sides: Sequence[Side]) -> StackFunction:
    """What runs a formula once, for arrays of batches by themselves that lie along rows or columns."""

    def loop(arrays: Sequence[Array], own: Sequence[Array]) -> Sequence[Array]:
        pairs = zip(sides, own, strict=True)
        return run(*arrays, *(PLAIN.row(a[0, :]) if side.name in ROWS else a for side, a in pairs))

    return loop
