"""The sign and rectified powers: the arc-cosine kernels of every order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array, home
from ...infinite.angle import over_root, ratio_or_zero, versine
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from ...infinite.signal import Signal
from .base import ClosedForm
from .polynomial import degree_from, horner, odd_factorial, power

__all__ = ["RectifiedMonomial", "Sign"]


class _AtZero(ClosedForm):
    """An activation that is not smooth at 0; where it jumps there is no NTK."""

    breakpoints = (0.0,)

    @property
    def jumps(self) -> bool:
        """Whether the function is discontinuous at 0."""
        return False

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """The dual activation. ValueError where an NTK is asked for that does not exist."""
        if self.jumps and state.ntk is not None:
            raise ValueError(
                f"{self!r} has no NTK at infinite width: the function jumps, so that no gradient reaches the layers "
                "before it; take its InfiniteNNGP, or a steep smooth function such as Erf(b=10.0)"
            )
        return super().propagate(state, before)


class Sign(_AtZero):
    """phi(x) = 1, -1 or 0 by the sign of x. The derivative is taken to be 0 everywhere; there is no infinite NTK."""

    homogeneity = 0.0
    odd = True
    jumps = True

    def function(self, xp: Any, x: Array) -> Array:
        return xp.sign(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x)

    def dual(self, state: Covariance) -> Dual:
        """1 - 2 t / pi for the angle t (Cho and Saul 2009, order 0)."""
        xp = home(state.k12).xp
        zeros = xp.zeros_like(state.k12)
        if state.paired:
            return Dual(xp.sign(state.k12), zeros, state.sine)
        cosine, sine = state.cosine_and_sine()
        value = 1.0 - (2 / math.pi) * xp.atan2(sine, cosine)
        return Dual(value, zeros, None if state.sine is None else self._sine(state))

    @staticmethod
    def _sine(state: Covariance) -> Array:
        """That of the outputs, from 1 - |cos t'| = (2 / pi) min(t, pi - t)."""
        cosine, sine = state.cosine_and_sine()
        xp = home(cosine).xp
        h = (2 / math.pi) * xp.atan2(sine, xp.abs(cosine))
        return xp.sqrt(h * (2.0 - h))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        _, _, dt = state.angle_change(change)
        turn = None if state.sine is None else ratio_or_zero((2 / math.pi) * dt, self._sine(state))
        return Dual((-2 / math.pi) * dt, home(state.k12).xp.zeros_like(state.k12), turn)


@dataclass(frozen=True)
class RectifiedMonomial(_AtZero):
    """phi(x) = x^degree for x > 0, else 0; the step function for degree 0, which has no infinite NTK.

    Parameters
    ----------
    degree : int
        From 0 to 100.
    """

    degree: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "degree", degree_from(0, self.degree))

    @property
    def homogeneity(self) -> float:
        return float(self.degree)

    @property
    def jumps(self) -> bool:
        return self.degree == 0

    def function(self, xp: Any, x: Array) -> Array:
        return self._power(xp, x, self.degree)

    def derivative(self, xp: Any, x: Array) -> Array:
        return self.degree * self._power(xp, x, self.degree - 1) if self.degree else xp.zeros_like(x)

    @staticmethod
    def _power(xp: Any, x: Array, degree: int) -> Array:
        """x^degree for x > 0, else 0."""
        return power(xp.clip(x, min=0.0), degree) if degree else xp.astype(x > 0, x.dtype)

    def mean(self, k: Array) -> tuple[Array, Array]:
        """E[max(u, 0)^n] = c k^(n / 2)."""
        n, xp = self.degree, home(k).xp
        c = 2.0 ** (n / 2 - 1) * math.gamma((n + 1) / 2) / math.sqrt(math.pi)
        if not n:
            return c * xp.sign(k), xp.zeros_like(k)
        return c * power(xp.sqrt(k), n), 0.5 * n * c * (power(xp.sqrt(k), n - 2) if n > 2 else over_root(k) ** (2 - n))

    def dual(self, state: Covariance) -> Dual:
        """(s1 s2)^n J_n(t) / (2 pi), and n^2 times that of n - 1 (Cho and Saul 2009, eq. 4)."""
        n, xp = self.degree, home(state.k12).xp
        if state.paired:
            value = 0.5 * odd_factorial(2 * n - 1) * (power(state.k12, n) if n else xp.sign(state.k12))
            return Dual(value, self._paired_slope(state.k12), state.sine)
        angle = None if state.sine is None else self._sine(state)
        return Dual(_moment(state, n), n * n * _moment(state, n - 1) if n else xp.zeros_like(state.k12), angle)

    def _paired_slope(self, k: Array) -> Array:
        n, xp = self.degree, home(k).xp
        if n < 2:
            return xp.full_like(k, 0.5 * n)
        return 0.5 * n * n * odd_factorial(2 * n - 3) * power(k, n - 1)

    def _sine(self, state: Covariance) -> Array:
        """That of the outputs, from h = 1 - cos t' = 1 - J_n(t) / J_n(0).

        With J_n = P sin t + Q (pi - t), both parts of h = (Q(1) - Q(cos t)) / Q(1) + (Q t - P sin t) / (pi Q(1)) are
        small where t is. The first is (1 - cos t) R(cos t), by synthetic division.
        """
        cosine, sine = state.cosine_and_sine()
        xp = home(cosine).xp
        p, q = _arc_cosine(self.degree)
        small, size = versine(cosine, sine)
        less = small + (size - cosine)  # 1 - cos t
        h = (horner(q, cosine) * xp.atan2(sine, cosine) - horner(p, cosine) * sine) / math.pi
        if len(q) > 1:
            h = h + less * horner([sum(q[j + 1 :]) for j in range(len(q) - 1)], cosine)
        h = xp.clip(h / sum(q), min=0.0, max=2.0)
        return xp.sqrt(h * (2.0 - h))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        # d(log J_n) follows from dJ_n / dt = -n^2 sin t J_(n - 1).
        n, xp = self.degree, home(state.k12).xp
        dlog_s1, dlog_s2, dt = state.angle_change(change)
        stretch = dlog_s1 + dlog_s2
        if not n:
            _, sine = state.cosine_and_sine()
            turn = None if state.sine is None or state.paired else ratio_or_zero(dt / math.pi, self._sine(state))
            return Dual(dt / (-2 * math.pi), xp.zeros_like(sine), turn)
        value, slope, after = self.dual(state)
        _, sine = state.cosine_and_sine()
        scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        turned = scale * sine * dt
        # The slope of a step is (pi - t) / (2 pi).
        below = (n - 1) ** 2 * _moment(state, n - 2) * turned if n > 1 else dt / (2 * math.pi)
        dslope = (n - 1) * stretch * slope - n * n * below
        turn = None
        if after is not None and not state.paired:
            gain = 0.5 * odd_factorial(2 * n - 1)
            turn = ratio_or_zero(n * n * _angular(state, n - 1) * sine * dt, gain * after)
        return Dual(n * stretch * value - slope * turned, dslope, turn)


def _moment(state: Covariance, n: int) -> Array:
    """E[max(u, 0)^n max(v, 0)^n] = (s1 s2)^n J_n(t) / (2 pi)."""
    xp, value = home(state.k12).xp, _angular(state, n)
    # 0^0 is 0 here: the step function is 0 at 0.
    one, two = (power(xp.sqrt(k), n) if n else xp.sign(k) for k in (state.k11, state.k22))
    return one * (two * value)


def _angular(state: Covariance, n: int) -> Array:
    """J_n(t) / (2 pi)."""
    cosine, sine = state.cosine_and_sine()
    p, q = _arc_cosine(n)
    opposite = home(cosine).xp.atan2(sine, -cosine)  # pi - t, to all its digits where it is small
    return (horner(p, cosine) * sine + horner(q, cosine) * opposite) / (2 * math.pi)


def _arc_cosine(n: int) -> tuple[list[float], list[float]]:
    """Polynomials P and Q in c = cos t, the constant first, with J_n(t) = P(c) sin t + Q(c) (pi - t).

    J_n = sin^(2 n + 1) (d/dc)^n ((pi - t) / sin t) for d/dc = -(1 / sin t) d/dt. One more derivative makes P' (1 - c^2)
    + 2 n c P + Q of P, and Q' (1 - c^2) + (2 n + 1) c Q of Q. No coefficient is negative.
    """
    p, q = [0], [1]
    for j in range(n):
        p = _added(_turned(p, 2 * j), q)
        q = _turned(q, 2 * j + 1)
    return [float(c) for c in p], [float(c) for c in q]


def _turned(series: list[int], factor: int) -> list[int]:
    """The coefficients of f' (1 - c^2) + factor c f."""
    result = [0] * (len(series) + 1)
    for k, value in enumerate(series):
        result[k + 1] += (factor - k) * value
        if k:
            result[k - 1] += k * value
    while len(result) > 1 and not result[-1]:
        result.pop()
    return result


def _added(one: list[int], two: list[int]) -> list[int]:
    size = max(len(one), len(two))
    return [sum(pair) for pair in zip(*(s + [0] * (size - len(s)) for s in (one, two)), strict=True)]
