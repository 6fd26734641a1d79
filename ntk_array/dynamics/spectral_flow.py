"""Gradient flow of the squared error, in closed form."""

import math
from collections.abc import Sequence

from .._array.kinds import unstack_values
from .._array.namespace import Array, home, to_host
from .spectral import SpectralDynamics
from .state import FlowState, not_reached

__all__ = ["SpectralFlow"]


class SpectralFlow(SpectralDynamics):
    """phi_t(s) = (1 - exp(-2 c t s / N)) / s, with c the factor of the convention. Any time is reached directly."""

    def path(self, times: Sequence[float], start: FlowState | None) -> list[FlowState]:
        """The states at times; a state to start from changes nothing but the times that may be asked for."""
        if start is not None and min(times) < start.time:
            raise ValueError(f"t must not lie before the state to start from, which is at {start.time:g}")
        return [FlowState(time, self._coefficients(time)) for time in times]

    def until(self, value: float, longest: float, start: FlowState | None) -> FlowState:
        """The state at the time at which the cost falls to ``value``, by root finding in closed form."""
        from scipy.optimize import brentq

        def excess(time: float) -> float:
            return float(to_host(self.cost(self._evolve(None, [time])[0]))) - value

        first = 0.0 if start is None else start.time
        if excess(first) <= 0:
            return FlowState(first, self._coefficients(first))
        if longest <= first or excess(longest) > 0:
            raise not_reached(value, value + excess(longest), longest)
        below = min(longest, first + 1.0 / (self._rate * max(self.spectrum.largest, 1e-300)))
        while excess(below) > 0:
            first, below = below, min(longest, 2.0 * below)
        time = float(brentq(excess, first, below, rtol=1e-14, xtol=1e-300))
        return FlowState(time, self._coefficients(time))

    def functions(self, x_new: Array | None, states: Sequence[FlowState]) -> list[Array]:
        """f_t at new inputs (the training points if None), one array a state."""
        return self._evolve(x_new, [state.time for state in states])

    def _coefficients(self, time: float) -> Array:
        stacked = self.spectrum.vectors @ (self._filter(time) * self._coordinates)
        stacked = stacked if self._root is None else self._root * stacked
        return unstack_values(self.kernel.kind, stacked, self.cost.y.shape[1])

    def _speed(self, time: float) -> float:
        return self._rate * time

    def _phi(self, s: Array, time: float) -> Array:
        xp, dtype, _ = home(s)
        rate, positive = self._speed(time), s > 0
        safe = xp.where(positive, s, 1.0)
        fastest = self.spectrum.largest + self.ridge
        if rate == math.inf or rate * fastest > 0.01 * float(xp.finfo(dtype).max):
            return 1.0 / safe  # the directions in which this is not the limit are the unresolved ones
        return xp.where(positive, -xp.expm1(-rate * s) / safe, rate)
