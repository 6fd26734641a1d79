"""Flows with friction: the heavy ball in continuous time, in closed form for the squared error, else by integration."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._array.namespace import Array, home, to_host
from ..function_space.cost import Cost
from ..kernels.base import Kernel
from ..solve.ridge import Ridge
from .damped import damped_bound, damped_filter
from .ode import IntegratedFlow
from .spectral import Filter, SpectralSolution
from .spectral_flow import SpectralFlow
from .state import FlowState

__all__ = ["HeavyBall", "IntegratedHeavyBall"]

LOOKS_A_PERIOD = 16
"""How often the cost is looked at while the fastest direction turns once."""
MOST_LOOKS = 100_000
"""The search for a crossing gives up after so many."""
PHASE = 1e-3
"""The largest error of predictions that rounding of phases may cause, relative to the residual."""


class HeavyBall(SpectralFlow):
    """The residual along an eigenvector of eigenvalue s obeys g'' + friction g' + rate s g = 0: phi_t = (1 - g) / s."""

    def __init__(
        self,
        kernel: Kernel,
        cost: Cost,
        f0: Callable[[Array], Array] | None,
        ridge: Ridge,
        solver: Any,
        friction: float,
    ) -> None:
        super().__init__(kernel, cost, f0, ridge, solver)
        self.friction = friction

    def settled(self) -> SpectralSolution:
        """ValueError without friction: the flow then oscillates forever."""
        if not self.friction:
            raise ValueError("without friction the flow oscillates forever and has no limit: give a finite t")
        return self.solution

    def filter(self, time: float) -> Filter:
        """phi_t. It is largest at s = 0: a larger eigenvalue turns back earlier."""
        bound = damped_bound(self.solution.rate, self.friction, time)
        return Filter(lambda s: self._damped(s, time, bound), bound)

    def looks(self, first: float, longest: float) -> Iterator[float]:
        """Steps of a part of the fastest period while that direction swings, and then times that double.

        Later all that is left decays without a swing. Where nothing swings the times double from the start.
        """
        fastest = math.sqrt(self.solution.rate * max(self.solution.largest, 1e-300))
        damping = 0.5 * self.friction
        swings = 0.0 if fastest <= damping else math.log(1e16) / damping if damping else math.inf
        step = 2.0 * math.pi / LOOKS_A_PERIOD / fastest
        time = first + step
        for _ in range(MOST_LOOKS):
            if not time < longest:
                yield longest
                return
            yield time
            time = time + step if time < swings else 2.0 * time
        raise ValueError(
            f"the cost did not fall so far by t = {time:g}, and the fastest direction has a period of only "
            f"{LOOKS_A_PERIOD * step:g}: go on from there with start=flow.advance({time:g}), or give more friction"
        )

    def _damped(self, s: Array, time: float, bound: float) -> Array:
        xp, largest, damping = home(s).xp, self.solution.largest, 0.5 * self.friction
        fastest, data = math.sqrt(self.solution.rate * largest), home(self.solution.residual)
        if fastest > damping:
            turned = time * math.sqrt((fastest - damping) * (fastest + damping))
            if turned * data.eps * math.exp(-damping * time) > PHASE:
                raise ValueError(
                    f"at t = {time:g} the fastest direction has turned by {turned:.1e} radians, more than {data.dtype} "
                    "can tell the phase of: give a shorter time or more friction"
                )
        if bound * largest > 0.01 * float(xp.finfo(s.dtype).max):
            # At so long a time 1 / s is wrong for unresolved directions only, and the filter leaves those out.
            return 1.0 / xp.where(s > 0, s, 1.0)
        return damped_filter(s, self.solution.rate, self.friction, time)


class IntegratedHeavyBall(IntegratedFlow):
    """d^2/dt^2 c + friction d/dt c = -w d|_{f_t} - (2 ridge / N) c, as 2 N C equations of first order for (c, d/dt c).

    States carry velocities.
    """

    def __init__(
        self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: Ridge, friction: float
    ) -> None:
        super().__init__(kernel, cost, f0, ridge)
        self.friction = friction

    def _velocity(self, flat: np.ndarray) -> np.ndarray:
        c, v = np.split(flat, 2)
        return np.concatenate([v, super()._velocity(c) - self.friction * v])

    def _jacobian(self, flat: np.ndarray) -> np.ndarray:
        force = super()._jacobian(np.split(flat, 2)[0])
        one = np.eye(len(force))
        return np.block([[np.zeros_like(force), one], [force, -self.friction * one]])

    def _scale(self) -> Any:
        """For velocities too: a force that acts along the scale of c gives its root as velocity."""
        size, scale = math.prod(self.cost.y.shape), super()._scale()
        force = float(np.abs(super()._velocity(np.zeros(size))).max())
        return np.repeat([scale, math.sqrt(force * scale) or 1.0], size)

    def _device(self, flat: np.ndarray) -> Array:
        return super()._device(flat[: math.prod(self.cost.y.shape)])

    def _flat(self, state: FlowState) -> np.ndarray:
        velocities = to_host(state.velocities).astype(np.float64).ravel()
        return np.concatenate([super()._flat(state), velocities])

    def _state(self, start: FlowState, time: float, flat: np.ndarray, run: Any) -> FlowState:
        c, v = (self._device(part) for part in np.split(flat, 2))
        return FlowState(time, c, start.evaluations + int(run.nfev), v)

    def _from(self, start: FlowState | None) -> FlowState:
        zeros = home(self.cost.y).xp.zeros_like(self.cost.y)
        return FlowState(0.0, zeros, velocities=zeros) if start is None else start
