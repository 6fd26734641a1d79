"""The state that travels through the layers of an infinitely wide network, and what all layers do to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .._array.namespace import Array, home
from .angle import Move, Term, cosine_of, ratio_or_zero, sine_of_sum, turn_of_sum, versine
from .positions import PAIRS, PLAIN, Frame

__all__ = ["COLUMNS", "ENTRIES", "ROWS", "Covariance", "Direction", "Rows", "sum_of"]


STALE = dict.fromkeys(("sine", "gap", "turn", "within1", "within2"))
"""What depends on covariances, and is not known where they have changed."""
ENTRIES, ROWS, COLUMNS = ("k12", "ntk", "sine", "gap", "turn"), ("k11", "mean1"), ("k22", "mean2")
"""The arrays of a state, by whether they depend on both inputs, the first or the second."""


class Direction(NamedTuple):
    """A direction in which hyper-parameters change: factors common to the weight_std and the bias_std of all layers.

    A derivative along it is d/de where every weight_std is multiplied by exp(e * log_weight_std), every bias_std by
    exp(e * log_bias_std). Or one in which the inputs of the first batch do: their norms, which are multiplied by
    exp(e * log_norm), and their angles to those of the second, to which e * angle is added.
    """

    log_weight_std: float = 0.0
    log_bias_std: float = 0.0
    log_norm: float = 0.0
    angle: float = 0.0


class Rows(NamedTuple):
    """What one batch has at one place: variances (N, *P), and more where a later layer asks for it.

    That is means over features (N, *P), for sums, and covariances within each input (N, *P, *P), for attention. Of the
    inputs it is the inputs themselves, where they are packed.
    """

    variance: Array
    mean: Array | None = None
    within: Array | None = None
    inputs: Array | None = None


@dataclass(frozen=True)
class Covariance:
    """Covariances (NNGP) and neural tangent kernel between two batches, at one place of a network.

    Layers change it by :meth:`scaled`, :meth:`plus`, :meth:`learned` and :meth:`total`, which know what becomes of the
    angle, or by :meth:`to`, which drops the angle unless a sine is given. The change of a state along a direction is a
    state too, without an angle: linear maps take it as they take any other.

    Attributes
    ----------
    k12 : array (N1, N2)
        Covariances between the batches; (N,) for the pairs (x_i, x_i) of one batch.
    k11, k22 : array (N1, 1), (1, N2)
        Variances of each batch; (N,) for pairs.
    ntk : array of the shape of k12, optional
        None where only the NNGP is wanted.
    sine : array of the shape of k12, optional
        The sine of the angle between the two, where it is known better than from its cosine: see :mod:`.angle`.
    gap : array of the shape of k12, optional
        k11 + k22 - 2 |k12|, where it is known better than from this difference: E(u - v)^2 for the two values u and v,
        or E(u + v)^2 where k12 is negative. Far from the origin kernels may depend on it alone.
    turn : array of the shape of k12, optional
        In the change of a state, the change of the angle, where it is known better than from those of covariances.
    mean1, mean2 : array of the shapes of k11 and k22, optional
        The means over features. Only sums of values that are not centred ask for them.
    within1, within2 : array (N1, *P, *P), (N2, *P, *P), optional
        The covariances between all positions of each input of one batch, where the layer that acts on the state asks
        for them; see :meth:`within`.
    inputs1, inputs2 : array, optional
        The inputs themselves, in the state between them, where a step reads more of them than covariances.
    frame : Frame
        How positions are laid out where the inputs have some, as images do. Shapes above are those without; with
        positions k11 and k22 have length 1 along the axes that they do not depend on.
    """

    k12: Array
    k11: Array
    k22: Array
    ntk: Array | None = None
    sine: Array | None = None
    gap: Array | None = None
    turn: Array | None = None
    mean1: Array | None = None
    mean2: Array | None = None
    frame: Frame = PLAIN
    within1: Array | None = None
    within2: Array | None = None
    inputs1: Array | None = None
    inputs2: Array | None = None

    def to(self, **changes: Any) -> Covariance:
        """A copy with some attributes changed. What is not given anew is dropped of what depends on covariances."""
        # A stale angle would be silently wrong. To compute it again from the cosine costs half of the digits at most.
        if not changes.keys().isdisjoint(("k12", "k11", "k22")):
            changes = STALE | changes
        return replace(self, **changes)

    @classmethod
    def of_pairs(
        cls, k: Array, ntk: Array | None, sine: Array | None, mean: Array | None = None, frame: Frame = PAIRS
    ) -> Covariance:
        """The state of inputs with themselves, of these variances (N,), or (N, *P) where each position is only paired
        with itself; as a change, without a sine."""
        return cls(k, k, k, ntk, sine, mean1=mean, mean2=mean, frame=frame)

    @property
    def paired(self) -> bool:
        """Whether it is the state of inputs with themselves: at an angle of 0, with one array for all covariances."""
        return self.k12 is self.k11

    def scaled(self, factor: float) -> Covariance:
        """All covariances and the NTK times a factor, as by random weights; the angle stays, means vanish."""
        k12, ntk = factor * self.k12, None if self.ntk is None else factor * self.ntk
        if self.paired:
            return Covariance.of_pairs(k12, ntk, self.sine, frame=self.frame)
        gap = None if self.gap is None else factor * self.gap
        k11, k22 = factor * self.k11, factor * self.k22
        return Covariance(k12, k11, k22, ntk, self.sine, gap, self.turn, frame=self.frame)

    def plus(self, other: Covariance | float) -> Covariance:
        """The state of the sum with independent values: those of another state, or one random constant (a bias) of
        this variance. The NTK of a constant is left to :meth:`learned`."""
        if isinstance(other, Covariance):
            return Covariance.total([self, other])
        if not other:
            return self
        # A constant has the same value for all inputs: it adds to covariances and to variances alike.
        k12 = self.k12 + other
        if self.paired:
            return Covariance.of_pairs(k12, self.ntk, self.sine, frame=self.frame)
        k11, k22, sine, gap = self.k11 + other, self.k22 + other, None, None
        if self.sine is not None:
            full_like = home(self.k12).xp.full_like
            constant = Term(full_like(self.k11, other), full_like(self.k22, other), 1.0)
            sine = sine_of_sum([self.term(), constant], [], k12, k11, k22)
        if self.gap is not None:
            gap = self.gap + 4.0 * home(k12).xp.clip(-self.k12, min=0.0, max=other)
        return Covariance(k12, k11, k22, self.ntk, sine, gap, frame=self.frame)

    def learned(self, share: Array | float) -> Covariance:
        """With the share of parameters that are trained added to the NTK, where there is one."""
        # The angle stays: only the NTK changes.
        return self if self.ntk is None else replace(self, ntk=self.ntk + share)

    @staticmethod
    def total(states: Sequence[Covariance], correlated: bool = False) -> Covariance:
        """The state of the sum of values that are independent but, where they are ``correlated``, for their means.

        K = sum_b K_b + sum_{b != c} m_b m_c' for means m over features; the NTKs add up.
        """
        frame = states[0].frame
        k12 = sum_of([state.k12 for state in states])
        ntk = None if states[0].ntk is None else sum_of([state.ntk for state in states])
        means = [(state.mean1, state.mean2) for state in states if state.mean1 is not None] if correlated else []
        if means:
            k12 = k12 + _cross(means)
        if states[0].paired:
            return Covariance.of_pairs(k12, ntk, states[0].sine, frame=frame)
        k11, k22 = sum_of([state.k11 for state in states]), sum_of([state.k22 for state in states])
        if means:
            k11 = k11 + _cross([(m, m) for m, _ in means])
            k22 = k22 + _cross([(m, m) for _, m in means])
        sine = None
        if all(state.sine is not None for state in states):
            sine = sine_of_sum([state.term() for state in states], means, k12, k11, k22)
            # A zero row is orthogonal to everything.
            where = home(sine).xp.where
            sine = where(k11 > 0, where(k22 > 0, sine, 1.0), 1.0)
        gap = None
        if not means and all(state.gap is not None for state in states):
            gap = _gap_of_sum([(state.k12, state.gap) for state in states])
        return Covariance(k12, k11, k22, ntk, sine, gap, frame=frame)

    def matrices(self) -> list[Covariance]:
        """A state with positions as states without, one for each matrix of the stack that its entries are."""
        names = (*ENTRIES, *ROWS, *COLUMNS)
        stacks = {name: getattr(self, name) for name in names}
        stacks = {name: None if a is None else self.frame.matrices(a) for name, a in stacks.items()}
        return [
            Covariance(**{name: None if a is None else a[i, ...] for name, a in stacks.items()})  # type: ignore[arg-type]
            for i in range(stacks["k12"].shape[0])
        ]

    @staticmethod
    def joined(frame: Frame, states: Sequence[Covariance], shape: Sequence[int]) -> Covariance:
        """The reverse of :meth:`matrices`, for entries of this shape."""
        shapes = dict.fromkeys(ENTRIES, tuple(shape))
        shapes |= dict.fromkeys(ROWS, frame.row_shape(shape)) | dict.fromkeys(COLUMNS, frame.column_shape(shape))

        def stacked(name: str) -> Array | None:
            parts = [getattr(state, name) for state in states]
            if parts[0] is None:
                return None
            xp = home(parts[0]).xp
            return xp.reshape(parts[0] if len(parts) == 1 else xp.stack(parts), shapes[name])

        return Covariance(**{name: stacked(name) for name in shapes}, frame=frame)

    def stretched(self, factor: float) -> Covariance:
        """All covariances and the NTK times a factor, the angle and the means as they are."""
        ntk = None if self.ntk is None else factor * self.ntk
        if self.paired:
            return Covariance.of_pairs(factor * self.k12, ntk, self.sine, self.mean1, self.frame)
        changed = {name: factor * getattr(self, name) for name in ("k12", "k11", "k22")}
        return replace(self, **changed, ntk=ntk)

    def same(self) -> Covariance:
        """Of a state for every pair of positions, the one for each position with itself."""
        if not self.frame.every:
            return self
        frame = replace(self.frame, every=False)
        inputs: dict[str, Any] = {"inputs1": self.inputs1, "inputs2": self.inputs2}
        if not frame.blocks:
            ntk, sine, mean = (None if a is None else self.frame.same(a) for a in (self.ntk, self.sine, self.mean1))
            return replace(Covariance.of_pairs(self.frame.same(self.k12), ntk, sine, mean, frame), **inputs)
        arrays = {name: getattr(self, name) for name in (*ENTRIES, *ROWS, *COLUMNS)}
        arrays = {name: None if a is None else self.frame.same(a) for name, a in arrays.items()}
        return Covariance(**arrays, frame=frame, **inputs)

    def alone(self) -> Covariance:
        """Of a state of each position with itself, the one for every pair of independent positions."""
        frame = replace(self.frame, every=True)
        k12, ntk, turn = (None if a is None else self.frame.beside(a, 0.0) for a in (self.k12, self.ntk, self.turn))
        sine = None if self.sine is None else self.frame.beside(self.sine, 1.0)
        return Covariance(k12, k12, k12, ntk, sine, turn=turn, frame=frame)

    def difference(self) -> Array:
        """k11 + k22 - 2 |k12|: the gap, or the best that is known of it."""
        if self.gap is not None:
            return self.gap
        xp = home(self.k12).xp
        if self.paired:
            return xp.zeros_like(self.k12)
        s1, s2 = xp.sqrt(self.k11), xp.sqrt(self.k22)
        return (s1 - s2) ** 2 + 2.0 * s1 * s2 * self.versine()[0]

    def difference_change(self, change: Covariance) -> Array:
        """How :meth:`difference` = (s1 - s2)^2 + 2 s1 s2 (1 - |cos t|) changes."""
        xp = home(self.k12).xp
        dlog_s1, dlog_s2, dt = self.angle_change(change)
        if self.paired:
            return xp.zeros_like(self.k12)
        s1, s2 = xp.sqrt(self.k11), xp.sqrt(self.k22)
        cosine, sine = self.cosine_and_sine()
        # Where both inputs are stretched alike, as by weights, the gap is too.
        alike, unlike = 0.5 * (dlog_s1 + dlog_s2), 0.5 * (dlog_s1 - dlog_s2)
        turned = xp.sign(cosine) * sine * dt
        return 2.0 * alike * self.difference() + 2.0 * (self.k11 - self.k22) * unlike + 2.0 * s1 * s2 * turned

    def cosine_and_sine(self) -> tuple[Array, Array]:
        """The cosine and the sine of the angle t between the two inputs of each entry.

        Where the state has no sine, it is computed from the cosine. A cosine within 8 eps of 1 or -1 is then set to 1
        or -1, its exact value for equal inputs and for opposite ones. A zero row has the cosine 0 with everything.
        """
        cosine = cosine_of(self.k12, self.k11, self.k22)
        if self.sine is not None:
            return cosine, self.sine
        here = home(cosine)
        xp = here.xp
        cosine = xp.where(xp.abs(cosine) > 1.0 - 8.0 * here.eps, xp.sign(cosine), cosine)
        return cosine, xp.sqrt((1.0 - cosine) * (1.0 + cosine))

    def versine(self) -> tuple[Array, Array]:
        """1 - |cos t|, without cancellation, and |cos t|."""
        return versine(*self.cosine_and_sine())

    def angle(self) -> Array:
        """The angle t between the two inputs of each entry, from 0 to pi."""
        cosine, sine = self.cosine_and_sine()
        return home(cosine).xp.atan2(sine, cosine)

    def angle_change(self, change: Covariance) -> tuple[Array, Array, Array]:
        """The changes of log s1, log s2 and the angle t, for s1 = sqrt(k11), s2 = sqrt(k22) and a change of the state.

        Equal inputs stay equal and opposite ones opposite in every network: where t is 0 or pi, its change is 0. For
        zero rows all three are 0.
        """
        xp = home(self.k12).xp
        cosine, sine = self.cosine_and_sine()
        # With k = s^2, d log s = dk / (2 k). With k12 = s1 s2 cos t, d cos t = dk12 / (s1 s2) - cos t d log (s1 s2),
        # and dt = -d cos t / sin t.
        dlog_s1, dlog_s2 = ratio_or_zero(change.k11, 2.0 * self.k11), ratio_or_zero(change.k22, 2.0 * self.k22)
        if change.turn is not None:
            return dlog_s1, dlog_s2, change.turn
        scale = xp.sqrt(self.k11) * xp.sqrt(self.k22)  # the root of the product could overflow
        dcosine = ratio_or_zero(change.k12, scale) - cosine * (dlog_s1 + dlog_s2)
        return dlog_s1, dlog_s2, -ratio_or_zero(dcosine, sine)

    def facing(self, one: Rows, two: Rows) -> Covariance:
        """The same between batches with these rows, whose angles are known to agree: nothing else changes."""
        # Not by replace(), which takes as long as a small block.
        frame = self.frame
        mean1 = None if one.mean is None else frame.row(one.mean)
        mean2 = None if two.mean is None else frame.column(two.mean)
        k11, k22 = frame.row(one.variance), frame.column(two.variance)
        batches = (one.within, two.within, one.inputs, two.inputs)
        return Covariance(self.k12, k11, k22, self.ntk, self.sine, self.gap, self.turn, mean1, mean2, frame, *batches)

    def rows(self, within: bool = False) -> Rows:
        """The variances and means of pairs, (N, *P), and if they are asked for the covariances within each input."""
        variance = self.frame.values(self.k12)
        mean = None if self.mean1 is None else home(variance).xp.reshape(self.mean1, variance.shape)
        return Rows(variance, mean, self.k12 if within else None, self.inputs1)

    def within(self) -> tuple[Array, Array]:
        """The covariances between all positions of each input, as matrices (N1, P, P) and (N2, P, P)."""
        n = self.frame.count
        size = math.prod(self.k12.shape[1 : n + 1])

        def matrices(k: Array) -> Array:
            return home(k).xp.reshape(k, (k.shape[0], size, size))

        if self.frame.blocks:
            return matrices(self.within1), matrices(self.within2)
        one = matrices(self.k12)
        return one, one

    def bare(self) -> Covariance:
        """Covariances and the NTK only, for linear maps of them whose variances are left to :meth:`facing`."""
        return Covariance(self.k12, self.k12, self.k12, self.ntk, frame=self.frame)

    def moving(self, direction: Direction) -> Covariance:
        """The change of the state at the inputs along a direction: zeros, unless the inputs move."""
        xp = home(self.k12).xp
        names = ("ntk", "mean1", "mean2", "within1", "within2")
        others = {name: None if getattr(self, name) is None else xp.zeros_like(getattr(self, name)) for name in names}
        if self.paired:
            k = 2.0 * direction.log_norm * self.k12
            return Covariance(k, k, k, turn=xp.zeros_like(k), frame=self.frame, **others)
        k12 = direction.log_norm * self.k12
        if direction.angle:
            k12 = k12 - direction.angle * (xp.sqrt(self.k11) * xp.sqrt(self.k22) * self.cosine_and_sine()[1])
        k11, turn = 2.0 * direction.log_norm * self.k11, xp.full_like(k12, direction.angle)
        return Covariance(k12, k11, xp.zeros_like(self.k22), turn=turn, frame=self.frame, **others)

    def term(self) -> Term:
        """What :func:`.angle.sine_of_sum` needs of a term."""
        return Term(self.k11, self.k22, *self.cosine_and_sine())

    def constant(self, variance: float) -> Covariance:
        """The state of a random constant of this variance for the same inputs; of a change, that of the variance."""
        full_like, zeros = home(self.k12).xp.full_like, home(self.k12).xp.zeros_like(self.k12)
        k12, k11, k22 = (full_like(k, variance) for k in (self.k12, self.k11, self.k22))
        return Covariance(k12, k11, k22, sine=zeros, turn=zeros, frame=self.frame)

    @staticmethod
    def turn_of_total(states: Sequence[Covariance], changes: Sequence[Covariance]) -> Array | None:
        """The change of the angle of a sum of independent values; None where that of a term is not known."""
        if states[0].paired or any(state.sine is None for state in states):
            return None
        if any(change.turn is None for change in changes):
            return None
        terms = [state.term() for state in states]
        moves = [Move(*state.angle_change(change)) for state, change in zip(states, changes, strict=True)]
        return turn_of_sum(terms, moves, *(sum_of([getattr(s, k) for s in states]) for k in ("k12", "k11", "k22")))


def _gap_of_sum(terms: Sequence[tuple[Array, Array]]) -> Array:
    """The gap of a sum of independent terms, from the covariance k and the gap of each.

    E(u - v)^2 and E(u + v)^2 add up. A term has gap + 4 max(-k, 0) for one and gap + 4 max(k, 0) for the other; the sum
    takes the smaller of the two totals. No difference of large numbers is taken.
    """
    xp = home(terms[0][0]).xp
    below = sum_of([xp.clip(-k, min=0.0) for k, _ in terms])
    above = sum_of([xp.clip(k, min=0.0) for k, _ in terms])
    return sum_of([gap for _, gap in terms]) + 4.0 * xp.minimum(below, above)


def sum_of(arrays: Sequence[Array]) -> Array:
    """The sum of a few arrays."""
    return sum(arrays[1:], arrays[0])


def _cross(means: Sequence[tuple[Array, Array]]) -> Array:
    """sum_{b != c} m_b m_c'."""
    return sum_of([m for m, _ in means]) * sum_of([m for _, m in means]) - sum_of([one * two for one, two in means])
