"""Linear maps of states along their positions: windows of them, sums and means over them, and each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .._array.namespace import Array, home
from .._array.window import Window
from .covariance import COLUMNS, ENTRIES, ROWS, Covariance, sum_of
from .positions import Frame

__all__ = ["averaged", "cut", "each_position", "flattened", "gathered", "pooled", "scattered"]


def gathered(state: Covariance, window: Window) -> list[Covariance]:
    """What each element of a window of positions sees: the terms that a convolution adds up.

    Positions outside of the inputs hold zeros, whose terms count for nothing in a sum.
    """
    return _moved(state, lambda array, sides: _seen(window, array, sides))


def scattered(state: Covariance, window: Window, positions: Sequence[int]) -> list[Covariance]:
    """What each element of a window gives back to these positions: the terms that a transposed convolution adds up.

    Positions that an element gives nothing to hold zeros.
    """

    def placed(array: Array | None, sides: Sequence[tuple[int, ...]]) -> list[Array | None]:
        found = []
        for element in window.elements:
            part = array
            for axes in sides if array is not None else ():
                part = window.placed(part, element, axes, positions)
            found.append(part)
        return found

    return _moved(state, placed)


def _moved(
    state: Covariance, move: Callable[[Array | None, tuple[tuple[int, ...], ...]], list[Array | None]]
) -> list[Covariance]:
    """The states that a map of arrays, given the axes of positions of each, makes of this one."""
    if state.paired:
        parts = [move(array, _sides(state, "k12")) for array in (state.k12, state.ntk, state.sine)]
        return [Covariance.of_pairs(k, ntk, sine, frame=state.frame) for k, ntk, sine in zip(*parts, strict=True)]
    names = (*ENTRIES, "k11", "k22")
    parts = [move(getattr(state, name), _sides(state, name)) for name in names]
    terms = [Covariance(**dict(zip(names, own, strict=True)), frame=state.frame) for own in zip(*parts, strict=True)]
    return terms if state.gap is None else [_with_gap_to_zeros(term) for term in terms]


def _with_gap_to_zeros(state: Covariance) -> Covariance:
    """With the variance of one value as its gap to another that is zero, as values outside of the inputs are."""
    where = home(state.k12).xp.where
    gap = where(state.k11 > 0, where(state.k22 > 0, state.gap, state.k11), state.k22)
    return replace(state, gap=gap)


def _sides(state: Covariance, name: str) -> tuple[tuple[int, ...], ...]:
    """The axes of positions of one of the arrays, for each input that it depends on."""
    rows, columns = state.frame.rows, state.frame.columns
    if name in ROWS or rows == columns:
        return (rows,)
    return (columns,) if name in COLUMNS else (rows, columns)


def _seen(window: Window, array: Array | None, sides: Sequence[tuple[int, ...]]) -> list[Array | None]:
    """What each element of the window sees of an array, moved along both inputs together."""
    if array is None:
        return [None] * window.count
    outputs = [window.outputs([array.shape[axis] for axis in axes]) for axes in sides]
    for axes in sides:
        array = window.padded(array, axes)
    found = []
    for element in window.elements:
        part = array
        for axes, own in zip(sides, outputs, strict=True):
            part = window.at(part, axes, element, own)
        found.append(part)
    return found


def pooled(state: Covariance, window: Window, weights: Array | float) -> Covariance:
    """The state of sums over windows of positions, times a number or weights (*P), of a state with every pair.

    Values at different positions depend on one another: entries are summed over pairs of elements. Variances of the
    result are left to :meth:`.Covariance.facing`.
    """

    def summed(array: Array | None) -> Array | None:
        if array is None:
            return None
        for axes in (state.frame.rows, state.frame.columns):
            array = sum_of(list(window.gathered(array, axes)))
            factors = weights
            if not isinstance(weights, float):
                shape = [1] * array.ndim
                for axis, n in zip(axes, weights.shape, strict=True):
                    shape[axis] = n
                factors = home(array).xp.reshape(weights, tuple(shape))
            array = factors * array
        return array

    k12 = summed(state.k12)
    return Covariance(k12, k12, k12, summed(state.ntk), frame=state.frame)


def averaged(state: Covariance) -> Covariance:
    """The state of means over all positions, without positions."""
    xp, axes = home(state.k12).xp, (*state.frame.rows, *state.frame.columns)
    frame = Frame(blocks=state.frame.blocks)
    k12 = xp.mean(state.k12, axis=axes)
    ntk = None if state.ntk is None else xp.mean(state.ntk, axis=axes)
    return Covariance(k12, k12, k12, ntk, frame=frame)


def flattened(state: Covariance) -> Covariance:
    """The state of all positions as features of one input: the mean over positions, each paired with itself."""
    terms = each_position(state)
    return Covariance.total(terms).scaled(1.0 / len(terms))


def each_position(state: Covariance) -> list[Covariance]:
    """The states of each position by itself, without positions; for turns of sums too."""
    frame, xp = Frame(blocks=state.frame.blocks), home(state.k12).xp
    if state.paired:
        # One term that stands for all, their mean: inputs with themselves are at an angle of 0 at every position.
        arrays = (state.k12, state.ntk, state.sine)
        k12, ntk, sine = (None if a is None else xp.mean(a, axis=state.frame.rows) for a in arrays)
        return [Covariance.of_pairs(k12, ntk, sine, frame=frame)]
    names = (*ENTRIES, "k11", "k22")
    stacks = [getattr(state, name) for name in names]
    stacks = [None if a is None else xp.reshape(a, (-1, *a.shape[state.frame.count :])) for a in stacks]
    return [
        Covariance(**{name: None if a is None else a[p, ...] for name, a in zip(names, stacks, strict=True)})  # type: ignore[arg-type]
        for p in range(stacks[0].shape[0])
    ]


def cut(state: Covariance, one: Array, two: Array) -> Covariance:
    """The state, or the change of one, with zeros at positions that do not exist: those where ``one`` (N1, *P) and
    ``two`` (N2, *P) are not true."""
    frame, where = state.frame, home(state.k12).xp.where
    first, second = frame.row(one), frame.column(two)
    both = first & second

    def kept(array: Array | None, there: Array, otherwise: float = 0.0) -> Array | None:
        return None if array is None else where(there, array, otherwise)

    k12, ntk = kept(state.k12, both), kept(state.ntk, both)
    if state.paired:
        return Covariance.of_pairs(k12, ntk, state.sine, frame=frame)
    k11, k22 = kept(state.k11, first), kept(state.k22, second)
    # A zero row is orthogonal to everything.
    sine, turn = kept(state.sine, both, 1.0), kept(state.turn, both)
    after = Covariance(k12, k11, k22, ntk, sine, state.gap, turn, frame=frame)
    return after if state.gap is None else _with_gap_to_zeros(after)
