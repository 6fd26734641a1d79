"""The state that travels through the layers of an infinitely wide network, and the linear maps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .._array.namespace import Array, home
from .angle import Term, cosine_of, sine_of_sum, versine

__all__ = ["Covariance", "Direction", "Rows"]


class Direction(NamedTuple):
    """A direction in which hyper-parameters change: factors common to the weight_std and the bias_std of all layers.

    A derivative along it is d/de where every weight_std is multiplied by exp(e * log_weight_std), every bias_std by
    exp(e * log_bias_std).
    """

    log_weight_std: float = 0.0
    log_bias_std: float = 0.0


class Rows(NamedTuple):
    """What one batch has at one place: variances (N, 1), and means over features where sums ask for them."""

    variance: Array
    mean: Array | None = None

    def as_columns(self) -> Rows:
        """The same as (1, N)."""
        return Rows(self.variance.T, None if self.mean is None else self.mean.T)


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
    mean1, mean2 : array of the shapes of k11 and k22, optional
        The means over features. Only sums of values that are not centred ask for them.
    """

    k12: Array
    k11: Array
    k22: Array
    ntk: Array | None = None
    sine: Array | None = None
    mean1: Array | None = None
    mean2: Array | None = None

    def to(self, **changes: Any) -> Covariance:
        """A copy with some attributes changed. The angle is dropped where covariances change and no sine is given."""
        # A stale angle would be silently wrong. To compute it again from the cosine costs half of the digits at most.
        if "sine" not in changes and not changes.keys().isdisjoint(("k12", "k11", "k22")):
            changes["sine"] = None
        return replace(self, **changes)

    @classmethod
    def of_pairs(cls, k: Array, ntk: Array | None, sine: Array | None, mean: Array | None = None) -> Covariance:
        """The state of inputs with themselves, of these variances (N,); as a change, without a sine."""
        return cls(k, k, k, ntk, sine, mean, mean)

    @property
    def paired(self) -> bool:
        """Whether it is the state of inputs with themselves: at an angle of 0, with one array for all covariances."""
        return self.k12 is self.k11

    def scaled(self, factor: float) -> Covariance:
        """All covariances and the NTK times a factor, as by random weights; the angle stays, means vanish."""
        k12, ntk = factor * self.k12, None if self.ntk is None else factor * self.ntk
        if self.paired:
            return Covariance.of_pairs(k12, ntk, self.sine)
        return Covariance(k12, factor * self.k11, factor * self.k22, ntk, self.sine)

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
            return Covariance.of_pairs(k12, self.ntk, self.sine)
        k11, k22, sine = self.k11 + other, self.k22 + other, None
        if self.sine is not None:
            full_like = home(self.k12).xp.full_like
            constant = Term(full_like(self.k11, other), full_like(self.k22, other), 1.0)
            sine = sine_of_sum([self.term(), constant], [], k12, k11, k22)
        return Covariance(k12, k11, k22, self.ntk, sine)

    def learned(self, share: Array) -> Covariance:
        """With the share of parameters that are trained added to the NTK, where there is one."""
        # The angle stays: only the NTK changes.
        return self if self.ntk is None else replace(self, ntk=self.ntk + share)

    @staticmethod
    def total(states: Sequence[Covariance], correlated: bool = False) -> Covariance:
        """The state of the sum of values that are independent but, where they are ``correlated``, for their means.

        K = sum_b K_b + sum_{b != c} m_b m_c' for means m over features; the NTKs add up.
        """
        k12 = _sum([state.k12 for state in states])
        ntk = None if states[0].ntk is None else _sum([state.ntk for state in states])
        means = [(state.mean1, state.mean2) for state in states if state.mean1 is not None] if correlated else []
        if means:
            k12 = k12 + _cross(means)
        if states[0].paired:
            return Covariance.of_pairs(k12, ntk, states[0].sine)
        k11, k22 = _sum([state.k11 for state in states]), _sum([state.k22 for state in states])
        if means:
            k11 = k11 + _cross([(m, m) for m, _ in means])
            k22 = k22 + _cross([(m, m) for _, m in means])
        sine = None
        if all(state.sine is not None for state in states):
            sine = sine_of_sum([state.term() for state in states], means, k12, k11, k22)
            # A zero row is orthogonal to everything.
            sine = home(sine).xp.where(k11 * k22 > 0, sine, 1.0)
        return Covariance(k12, k11, k22, ntk, sine)

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

        def ratio_or_zero(above: Array, below: Array) -> Array:
            return xp.where(below > 0, above / xp.where(below > 0, below, 1.0), 0.0)

        # With k = s^2, d log s = dk / (2 k). With k12 = s1 s2 cos t, d cos t = dk12 / (s1 s2) - cos t d log (s1 s2),
        # and dt = -d cos t / sin t.
        dlog_s1, dlog_s2 = ratio_or_zero(change.k11, 2.0 * self.k11), ratio_or_zero(change.k22, 2.0 * self.k22)
        scale = xp.sqrt(self.k11) * xp.sqrt(self.k22)  # the root of the product could overflow
        dcosine = ratio_or_zero(change.k12, scale) - cosine * (dlog_s1 + dlog_s2)
        return dlog_s1, dlog_s2, -ratio_or_zero(dcosine, sine)

    def facing(self, one: Rows, two: Rows) -> Covariance:
        """The same between batches with these rows, whose angles are known to agree: nothing else changes."""
        return Covariance(self.k12, one.variance, two.variance, self.ntk, self.sine, one.mean, two.mean)

    def rows(self) -> Rows:
        """The variances and means of pairs, (N, 1)."""
        return Rows(self.k12[:, None], None if self.mean1 is None else self.mean1[:, None])

    def unchanging(self) -> Covariance:
        """The derivative of a state that depends on nothing: zeros."""
        zeros = home(self.k12).xp.zeros_like
        ntk, mean1, mean2 = (None if a is None else zeros(a) for a in (self.ntk, self.mean1, self.mean2))
        return Covariance(zeros(self.k12), zeros(self.k11), zeros(self.k22), ntk, None, mean1, mean2)

    def term(self) -> Term:
        """What :func:`.angle.sine_of_sum` needs of a term."""
        return Term(self.k11, self.k22, *self.cosine_and_sine())


def _sum(arrays: Sequence[Array]) -> Array:
    """The sum of a few arrays."""
    return sum(arrays[1:], arrays[0])


def _cross(means: Sequence[tuple[Array, Array]]) -> Array:
    """sum_{b != c} m_b m_c'."""
    return _sum([m for m, _ in means]) * _sum([m for _, m in means]) - _sum([one * two for one, two in means])
