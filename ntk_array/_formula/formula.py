"""Formulas as data: what elementwise code does to its arrays, recorded by running it once on symbols.

Code written against the array API runs on symbols as it runs on arrays. What it does to them is then a list of
operations on numbers, which :mod:`.compilers` turns into one loop. The code itself need not know. Arrays are (N1, N2),
(N1, 1) or (1, N2). The record says which numbers depend on the row only or on the column only, so that a loop computes
them once for each row or column.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from .._array.special import WithErf

__all__ = [
    "ARITHMETIC",
    "COLUMN",
    "ENTRY",
    "NUMBER",
    "ROW",
    "Formula",
    "NotElementwise",
    "Operation",
    "needed",
    "trace",
]

NUMBER, ROW, COLUMN = 0, 1, 2
ENTRY = ROW | COLUMN

ARITHMETIC = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
}
"""Operations that Python and C++ write alike."""


class NotElementwise(TypeError):
    """The code does something else with its arrays than arithmetic on their entries."""


class Operation(NamedTuple):
    """One number of a formula: the result of an operation on earlier numbers.

    ``arguments`` are the places of these numbers in the list of operations. An "input" has the place of its array among
    the arrays instead, and a "constant" the place of its value among the constants. ``axes`` says what the number
    depends on: ROW, COLUMN, both (ENTRY) or neither (NUMBER).
    """

    name: str
    arguments: tuple[int, ...]
    axes: int


@dataclass(frozen=True)
class Formula:
    """Operations, each after those it needs, with the values of constants and the places of the results."""

    operations: tuple[Operation, ...]
    constants: tuple[float, ...]
    results: tuple[int, ...]

    @property
    def inputs(self) -> list[int]:
        """The axes of the input arrays."""
        return [operation.axes for operation in self.operations if operation.name == "input"]

    def evaluate(self, xp: Any, *arrays: Any) -> list[Any]:
        """The results, operation by operation, by an array API namespace."""
        shape, xp = np.broadcast_shapes(*(x.shape for x in arrays)), WithErf(xp)
        values: list[Any] = []
        for operation in self.operations:
            if operation.name == "input":
                values.append(arrays[operation.arguments[0]])
            elif operation.name == "constant":
                values.append(self.constants[operation.arguments[0]])
            else:
                values.append(getattr(xp, operation.name)(*(values[place] for place in operation.arguments)))
        results = []
        for place in self.results:
            axes, value = self.operations[place].axes, values[place]
            if isinstance(value, float):
                # A result that is a constant, such as ones_like(x), still has the shape that its axes say.
                full = (shape[0] if axes & ROW else 1, shape[1] if axes & COLUMN else 1)
                value = xp.full(full, value, dtype=arrays[0].dtype, device=None)
            results.append(value)
        return results


def trace(function: Callable[..., Sequence[Any]], axes: Sequence[int], dtype: Any) -> Formula:
    """The formula of a function from arrays with these axes to a sequence of arrays.

    Raises NotElementwise where there is none: reductions, products of matrices, decisions that look at values.
    """
    # Symbols stand for arrays. What the code does to them is recorded, and nothing is computed.
    recorder = _Recorder(dtype)
    symbols = [recorder.record("input", (i,), which) for i, which in enumerate(axes)]
    results = tuple(recorder.place(result) for result in function(*symbols))
    return _pruned(Formula(tuple(recorder.operations), tuple(recorder.constants), results))


def needed(formula: Formula, wanted: Sequence[int], given: Collection[int] = ()) -> list[int]:
    """The places of all numbers that those at the wanted places are computed from, in order; some are given."""
    found: set[int] = set()
    pending = list(wanted)
    while pending:
        place = pending.pop()
        if place not in found and place not in given:
            found.add(place)
            operation = formula.operations[place]
            pending += () if operation.name in ("input", "constant") else operation.arguments
    return sorted(found)


def _pruned(formula: Formula) -> Formula:
    """The same without operations that no result needs; all inputs stay."""
    operations = formula.operations
    inputs = {place for place, operation in enumerate(operations) if operation.name == "input"}
    kept = sorted(inputs.union(needed(formula, formula.results)))
    new = {place: number for number, place in enumerate(kept)}

    def moved(operation: Operation) -> Operation:
        if operation.name in ("input", "constant"):
            return operation
        return operation._replace(arguments=tuple(new[place] for place in operation.arguments))

    results = tuple(new[place] for place in formula.results)
    return Formula(tuple(moved(operations[place]) for place in kept), formula.constants, results)


class _Recorder:
    """The list of operations, while the code runs. An operation that the code repeats is recorded once."""

    def __init__(self, dtype: Any) -> None:
        self.operations: list[Operation] = []
        self.constants: list[float] = []
        self.namespace = _Namespace(self, dtype)
        self._places: dict[Operation, int] = {}

    def record(self, name: str, arguments: tuple[int, ...], axes: int) -> _Symbol:
        operation = Operation(name, arguments, axes)
        if operation not in self._places:
            self._places[operation] = len(self.operations)
            self.operations.append(operation)
        return _Symbol(self, self._places[operation])

    def constant(self, value: float, axes: int = NUMBER) -> _Symbol:
        if value not in self.constants:
            self.constants.append(value)
        return self.record("constant", (self.constants.index(value),), axes)

    def place(self, x: Any) -> int:
        """The place of a symbol, or of a number that an operation combines with one."""
        if isinstance(x, _Symbol):
            return x.place
        if isinstance(x, int | float) and not isinstance(x, bool):
            return self.constant(float(x)).place
        raise NotElementwise(f"a formula has no place for {x!r}")

    def apply(self, name: str, *arguments: Any) -> _Symbol:
        places = tuple(map(self.place, arguments))
        same = self._simplified(name, places)
        if same is not None:
            return same
        axes = NUMBER
        for place in places:
            axes |= self.operations[place].axes
        return self.record(name, places, axes)

    def _simplified(self, name: str, places: tuple[int, ...]) -> _Symbol | None:
        """An earlier number that an operation would only repeat, from what is known of signs."""
        first, last = places[0], places[-1]
        if name == "abs" and self._nonnegative(first):
            return _Symbol(self, first)
        if name == "add" and self._is_zero(last):
            return _Symbol(self, first)
        if name == "where":
            condition = self.operations[first]
            below = condition.name == "less" and self._is_zero(condition.arguments[1])
            if below and self._nonnegative(condition.arguments[0]):
                return _Symbol(self, last)
        return None

    def _is_zero(self, place: int) -> bool:
        name, arguments, _ = self.operations[place]
        if name == "subtract":
            return arguments[0] == arguments[1]
        return name == "constant" and self.constants[arguments[0]] == 0.0

    def _nonnegative(self, place: int) -> bool:
        """Whether a number is known not to be negative."""
        name, arguments, _ = self.operations[place]
        if name in ("sqrt", "abs", "exp"):
            return True
        if name == "constant":
            return self.constants[arguments[0]] >= 0.0
        if name == "maximum":
            return any(map(self._nonnegative, arguments))
        if name in ("add", "multiply", "divide", "minimum"):
            square = name == "multiply" and arguments[0] == arguments[1]
            return square or all(map(self._nonnegative, arguments))
        return name == "where" and all(map(self._nonnegative, arguments[1:]))


def _refuse(self: object, *arguments: object) -> NoReturn:
    raise NotElementwise("a formula knows neither values nor shapes of its arrays")


class _Shape:
    """The shape of every symbol. It holds no numbers: code can only hand it back to ``reshape``."""

    __getitem__ = __iter__ = __len__ = _refuse


_SHAPE = _Shape()


def _operator(name: str, swapped: bool = False) -> Any:
    """A method of symbols that records an operation of this name."""

    def method(self: _Symbol, *other: Any) -> _Symbol:
        return self.recorder.apply(name, *(*other, self) if swapped else (self, *other))

    return method


class _Symbol:
    """Stands for an array: it knows the operation that makes the array, and no values."""

    def __init__(self, recorder: _Recorder, place: int) -> None:
        self.recorder, self.place = recorder, place
        self.dtype, self.device, self.shape = recorder.namespace.dtype, "cpu", _SHAPE

    def __array_namespace__(self, api_version: str | None = None) -> _Namespace:
        del api_version
        return self.recorder.namespace

    def __pow__(self, exponent: Any) -> _Symbol:
        if not isinstance(exponent, int) or not 1 <= exponent <= 8:
            raise NotElementwise(f"a formula has whole powers from 1 to 8, not {exponent!r}")
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    __bool__ = __float__ = __int__ = __index__ = __len__ = __iter__ = __getitem__ = _refuse
    __matmul__ = __rmatmul__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        raise NotElementwise(f"{name} is not for formulas")

    __add__, __radd__ = _operator("add"), _operator("add", swapped=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", swapped=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", swapped=True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", swapped=True)
    __neg__ = _operator("negative")
    __lt__, __gt__ = _operator("less"), _operator("less", swapped=True)
    __le__, __ge__ = _operator("less_equal"), _operator("less_equal", swapped=True)
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")
    __hash__ = None  # type: ignore[assignment]


class _Namespace:
    """The elementwise part of the array API, for symbols."""

    __name__ = "ntk_array.formula"
    FUNCTIONS = frozenset(
        {"abs", "acos", "asin", "atan", "atan2", "cos", "cosh", "erf", "exp", "expm1", "log", "log1p", "maximum"}
        | {"minimum", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "where"}
    )

    def __init__(self, recorder: _Recorder, dtype: Any) -> None:
        self._recorder, self.dtype = recorder, dtype

    def __getattr__(self, name: str) -> Callable[..., _Symbol]:
        if name not in self.FUNCTIONS:
            raise NotElementwise(f"{name} is not for formulas")
        return lambda *arguments: self._recorder.apply(name, *arguments)

    def clip(self, x: _Symbol, min: Any = None, max: Any = None) -> _Symbol:
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def full_like(self, x: _Symbol, value: float) -> _Symbol:
        return self._recorder.constant(float(value), self._recorder.operations[x.place].axes)

    def ones_like(self, x: _Symbol) -> _Symbol:
        return self.full_like(x, 1.0)

    def zeros_like(self, x: _Symbol) -> _Symbol:
        return self.full_like(x, 0.0)

    def reshape(self, x: _Symbol, shape: Any) -> _Symbol:
        """The same numbers: code may go to one axis, and back to the shape of a symbol."""
        if shape != (-1,) and shape is not _SHAPE:
            raise NotElementwise("shapes are not for formulas")
        return x

    @staticmethod
    def finfo(dtype: Any) -> Any:
        return np.finfo(dtype)
