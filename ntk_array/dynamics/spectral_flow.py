"""Gradient flow of the squared error, in closed form."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._array.namespace import Array, home, to_host
from ..function_space.cost import Cost
from ..kernels.base import Kernel
from ..solve.factor import Factorization
from ..solve.ridge import Ridge
from .spectral import Filter, SpectralSolution
from .state import FlowState, not_reached

__all__ = ["SpectralFlow"]


class SpectralFlow:
    """phi_t(s) = (1 - exp(-2 c t s / N)) / s, with c the factor of the convention. Any time is reached directly."""

    def __init__(
        self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: Ridge, solver: Any = "direct"
    ) -> None:
        self.solution = SpectralSolution(kernel, cost, f0, ridge, solver)

    @property
    def ridge(self) -> float:
        return self.solution.problem.ridge

    def with_ridge(self, ridge: Ridge) -> "SpectralFlow":
        """The same flow with another ridge, from the same eigendecomposition."""
        other = copy.copy(self)
        other.solution = self.solution.with_ridge(ridge)
        return other

    def with_solver(self, solver: Any) -> "SpectralFlow":
        """The same flow by another solver, from the same kernel matrix."""
        other = copy.copy(self)
        other.solution = self.solution.with_solver(solver)
        return other

    def path(self, times: Sequence[float], start: FlowState | None) -> list[FlowState]:
        """The states at times; a state to start from changes nothing but the times that may be asked for."""
        if start is not None and min(times) < start.time:
            raise ValueError(f"t must not lie before the state to start from, which is at {start.time:g}")
        return [self._state(time) for time in times]

    def until(self, value: float, longest: float, start: FlowState | None) -> FlowState:
        """The state at the time at which the cost falls to ``value``, by root finding in closed form."""
        from scipy.optimize import brentq

        cost = self.solution.cost

        def excess(time: float) -> float:
            return float(to_host(cost(self.solution.functions(None, [self.filter(time)])[0]))) - value

        # C(f_t) is known in closed form, so that the crossing is found without integration.
        first = 0.0 if start is None else start.time
        if excess(first) <= 0:
            return self._state(first)
        for time in self.looks(first, longest) if longest > first else ():
            if excess(time) <= 0:
                return self._state(float(brentq(excess, first, time, rtol=1e-14, xtol=1e-300)))
            first = time
        raise not_reached(value, value + excess(longest), longest)

    def looks(self, first: float, longest: float) -> Iterator[float]:
        """Times up to the longest at which to look for a first crossing, which is then between two of them.

        They double, from the time in which the fastest direction decays by the factor e: they bracket the first
        crossing where the cost falls all the time.
        """
        time = first + 1.0 / (self.solution.rate * max(self.solution.largest, 1e-300))
        while time < longest:
            yield time
            time *= 2.0
        yield longest

    def functions(self, x_new: Array | None, states: Sequence[FlowState], memory: str | int = "1 GiB") -> list[Array]:
        """f_t at new inputs (the training points if None), one array for each state."""
        return self.solution.functions(x_new, [self._filter_or_limit(state.time) for state in states], memory)

    def doubtful(self, times: Sequence[float]) -> list[Factorization]:
        """The factorisations that may have something to warn of, once predictions at these times were made."""
        solution = self.solution
        limit = [solution.limit_factor] if math.inf in times else []
        # Early times see the whole kernel, whatever the ridge; an iteration may not have reached its tolerance.
        finite = any(time < math.inf for time in times) and not solution.time_factor.converged
        return limit + ([solution.time_factor] if finite else [])

    def settled(self) -> SpectralSolution:
        """The solution, for questions about the limit t = inf."""
        return self.solution

    def filter(self, time: float) -> Filter:
        """phi_t; its largest value is 2 c t / N, at s = 0."""
        speed = self.solution.rate * time
        return Filter(lambda s: self._phi(s, speed), speed)

    def _state(self, time: float) -> FlowState:
        return FlowState(time, self.solution.coefficients(self._filter_or_limit(time)))

    def _filter_or_limit(self, time: float) -> Filter | None:
        if time == math.inf:
            self.settled()
            return None
        return self.filter(time)

    def _phi(self, s: Array, speed: float) -> Array:
        """(1 - exp(-speed s)) / s, with its limit where speed * s would overflow."""
        xp, dtype, _ = home(s)
        positive = s > 0
        safe = xp.where(positive, s, 1.0)
        fastest = self.solution.largest
        if speed == math.inf or speed * fastest > 0.01 * float(xp.finfo(dtype).max):
            # At so long a time 1 / s is wrong for unresolved directions only, and the filter leaves those out.
            return 1.0 / safe
        # expm1 keeps all digits where speed * s is small: there phi is close to the speed itself.
        return xp.where(positive, -xp.expm1(-speed * s) / safe, speed)
