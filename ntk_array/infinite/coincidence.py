"""The angle behind an activation, for two values that nearly coincide or are nearly opposite."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .._array.namespace import Array, home, to_host
from .angle import over_root, ratio_or_zero, side_of, sine_of_cosine
from .covariance import Covariance
from .dual import Dual

__all__ = ["HasDual", "sine_behind", "turn_behind"]

STEP = 1e-5
"""Of the central difference in log s. Its error is about 1e-10, and is multiplied by a difference of norms."""


class HasDual(Protocol):
    """An activation with its dual activation and the derivative of that."""

    @property
    def odd(self) -> bool: ...
    @property
    def even(self) -> bool: ...
    def dual(self, state: Covariance) -> Dual: ...
    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual: ...


class _Row(NamedTuple):
    """What one batch has, each of the shape of its variances (N, 1) or (1, N), for u ~ N(0, k) and s = sqrt(k).

    Attributes
    ----------
    gain : array
        s over the root of E[phi(u)^2].
    log_gain : array
        The derivative of log gain in log s.
    slope : array
        E[phi'(u)^2].
    log_slope : array
        The derivative of its logarithm in log s.
    growth : array
        B of :func:`sine_behind`.
    """

    gain: Array
    log_gain: Array
    slope: Array
    log_slope: Array
    growth: Array

    @classmethod
    def of(cls, activation: HasDual, k: Array) -> _Row:
        """By the dual of inputs with themselves and its derivative in log s.

        E[u^2 f(u)] = k E[f(u)] + k d E[f(u)] / d log s, by parts, gives the expectation of (u phi'(u))^2.
        """
        xp, shape = home(k).xp, k.shape
        flat = xp.reshape(k, (-1,))
        zeros = xp.zeros_like(flat)
        pairs = Covariance.of_pairs(flat, None, zeros)
        value, slope, _ = activation.dual(pairs)
        moved = activation.dual_tangent(pairs, Covariance.of_pairs(2.0 * flat, None, None).to(turn=zeros))
        log_value = ratio_or_zero(moved.value, value)
        growth = ratio_or_zero(flat * (slope + moved.slope), value) - 0.25 * log_value * log_value
        parts = (
            xp.sqrt(flat) * over_root(value),
            1.0 - 0.5 * log_value,
            slope,
            ratio_or_zero(moved.slope, slope),
            xp.clip(growth, min=0.0),
        )
        return cls(*(xp.reshape(part, shape) for part in parts))


class _Near(NamedTuple):
    """h of :func:`sine_behind`, its parts, and where the series serves."""

    h: Array
    close: Array
    small: Array
    slope: Array
    unlike: Array
    one: _Row
    two: _Row

    @classmethod
    def of(cls, activation: HasDual, state: Covariance, slope: Array) -> _Near:
        """For the slope of the dual at the state."""
        xp = home(state.k12).xp
        one, two = _Row.of(activation, state.k11), _Row.of(activation, state.k22)
        small, _ = state.versine()
        # tanh of log(s1 / s2), which is log(s1 / s2) up to its cube. Both sums have terms of one sign.
        unlike = ratio_or_zero(state.k11 - state.k22, state.k11 + state.k22)
        both = (xp.sqrt(one.slope) * xp.sqrt(two.slope) + 2.0 * slope) / 3.0
        h = small * both * (one.gain * two.gain) + 0.25 * unlike * unlike * (one.growth + two.growth)
        close = (2.0 * small + unlike * unlike) * (1.0 + state.k11) < home(state.k12).eps ** 0.5
        return cls(xp.clip(h, min=0.0, max=1.0), close, small, both, unlike, one, two)


def sine_behind(activation: HasDual, state: Covariance, after: Covariance) -> Array:
    """The sine of the angle T of phi(u) and phi(v), whose covariances are ``after``.

    From the covariances, but for values that nearly coincide, where they give half of the digits. With the angle t and
    the ratio of norms d = log(s1 / s2) of u and v, both small,

        1 - cos T = (1 - cos t) S s1 s2 / (r1 r2) + d^2 B / 2,    r = sqrt(E phi(u)^2),

    up to terms of the fourth order. S is a mean of E[phi'(u) phi'(v)] over the angles from 0 to t, (S(0) + 2 S(t)) / 3,
    which is exact where S has a kink at 0. B is the squared norm of the derivative of phi(s z) / r in log s,

        B = E[(u phi'(u))^2] / r^2 - (d log r / d log s)^2,

    which vanishes for homogeneous phi. This serves up to 1 - cos t + d^2 / 2 = sqrt(eps) / 2, where it is about as good
    as the difference of covariances, and less far for large variances: there functions vary on shorter angles.

    Opposite values have opposite images under an odd function and equal ones under an even function, whose S is then
    minus the expectation.
    """
    near = _Near.of(activation, state, _facing(activation, state) * activation.dual(state).slope)
    xp = home(state.k12).xp
    direct = sine_of_cosine(after.k12, after.k11, after.k22)
    sine = xp.where(near.close, xp.sqrt(near.h * (2.0 - near.h)), direct)
    return sine if activation.odd or activation.even else xp.where(state.k12 > 0, sine, direct)


def _facing(activation: HasDual, state: Covariance) -> Array | float:
    """-1 where values that are nearer to opposite have images that are nearer to equal."""
    return side_of(state.k12) if activation.even else 1.0


def turn_behind(
    activation: HasDual, state: Covariance, change: Covariance, after: Covariance, moved: Covariance
) -> Array:
    """The change of the angle of :func:`sine_behind`, where the state changes; ``moved`` is the change of ``after``.

    From the changes of the covariances, but for values that nearly coincide: there it would be rounding over rounding.
    """
    xp, direct = home(state.k12).xp, after.angle_change(moved)[2]
    _, sine_after = after.cosine_and_sine()
    facing = _facing(activation, state)
    slope = facing * activation.dual(state).slope
    near = _Near.of(activation, state, slope)
    close = near.close & (sine_after > 0)
    close = close if activation.odd or activation.even else close & (state.k12 > 0)
    # Data seldom has such pairs, and the rest is work.
    if not to_host(xp.any(close)):
        return direct
    one, two = near.one, near.two
    log_s1, log_s2, dt = state.angle_change(change)
    side, (_, sine) = side_of(state.k12), state.cosine_and_sine()
    dslope = 2.0 * facing * activation.dual_tangent(state, change).slope
    dslope = dslope + 0.5 * (3.0 * near.slope - 2.0 * slope) * (one.log_slope * log_s1 + two.log_slope * log_s2)
    gain, dlog_gain = one.gain * two.gain, one.log_gain * log_s1 + two.log_gain * log_s2
    dh = side * sine * dt * near.slope * gain + near.small * gain * (dslope / 3.0 + near.slope * dlog_gain)
    unlike = near.unlike
    dh = dh + 0.5 * unlike * (1.0 - unlike * unlike) * (log_s1 - log_s2) * (one.growth + two.growth)
    bends = _growth_slope(activation, state.k11) * log_s1 + _growth_slope(activation, state.k22) * log_s2
    dh = dh + 0.25 * unlike * unlike * bends
    return xp.where(close, ratio_or_zero(facing * side * dh, sine_after), direct)


def _growth_slope(activation: HasDual, k: Array) -> Array:
    """The derivative of B in log s."""
    more, less = (_Row.of(activation, (1.0 + 2.0 * step) * k).growth for step in (STEP, -STEP))
    return (more - less) / (2.0 * STEP)
