"""What the duals of erf and GELU are functions of: the correlation of two Gaussian values with noise added to each."""

from __future__ import annotations

from typing import NamedTuple

from ..._array.namespace import Array, home
from ...infinite.covariance import Covariance

__all__ = ["Squashed"]


class Squashed(NamedTuple):
    """The correlation c = g k12 / sqrt((1 + g k11)(1 + g k22)) of sqrt(g) u + z and sqrt(g) v + z', z noise.

    In terms of the shares p = 1 / (1 + g k) of the noise and r = 1 - p of the signal, and of the angle t of the state,

        c = sqrt(r1 r2) cos t,    1 - c^2 = p2 + p1 r2 + r1 r2 sin^2 t:

    positive terms, so that no digit is lost far from the origin, and no product of variances that could overflow.

    Attributes
    ----------
    c : array (N1, N2)
        The correlation.
    root : array (N1, N2)
        sqrt(1 - c^2).
    noise : array (N1, N2)
        sqrt(p1 p2).
    p1, p2, r1, r2 : array (N1, 1) or (1, N2)
        The shares.
    cosine, sine : array (N1, N2)
        Of t.
    """

    c: Array
    root: Array
    noise: Array
    p1: Array
    p2: Array
    r1: Array
    r2: Array
    cosine: Array
    sine: Array

    @classmethod
    def of(cls, state: Covariance, gain: float) -> Squashed:
        """For the covariances of a state and g = gain."""
        xp = home(state.k12).xp
        p1, p2 = (1.0 / (1.0 + gain * k) for k in (state.k11, state.k22))
        r1, r2 = gain * state.k11 * p1, gain * state.k22 * p2
        signal = xp.sqrt(r1) * xp.sqrt(r2)
        if state.paired:
            cosine, sine = xp.ones_like(r1), xp.zeros_like(r1)
        else:
            cosine, sine = state.cosine_and_sine()
        rest = p2 + p1 * r2 + r1 * r2 * sine * sine
        return cls(signal * cosine, xp.sqrt(rest), xp.sqrt(p1) * xp.sqrt(p2), p1, p2, r1, r2, cosine, sine)

    def change(self, state: Covariance, change: Covariance) -> SquashedChange:
        """Where the state changes."""
        xp = home(state.k12).xp
        dlog_s1, dlog_s2, dt = state.angle_change(change)
        # d log r = 2 p d log s and d log p = -2 r d log s.
        both = self.p1 * dlog_s1 + self.p2 * dlog_s2
        signal = xp.sqrt(self.r1) * xp.sqrt(self.r2)
        c = self.c * both - signal * self.sine * dt
        log_noise = -(self.r1 * dlog_s1 + self.r2 * dlog_s2)
        return SquashedChange(c, -self.c * c / (self.root * self.root), log_noise, dlog_s1, dlog_s2, dt)


class SquashedChange(NamedTuple):
    """The changes of c, log root and log noise, and of the state: log s1, log s2 and the angle."""

    c: Array
    log_root: Array
    log_noise: Array
    log_s1: Array
    log_s2: Array
    turn: Array
