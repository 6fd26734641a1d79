"""Gradient flow of any cost, by integration of N x C coefficients in time."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._array.linalg import eigenvalues, refuse_indefinite
from .._array.namespace import Array, home, to_host
from ..function_space.cost import Cost
from ..kernels.base import Kernel
from ..solve.factor import Factorization
from ..solve.ridge import Ridge
from .problem import KernelProblem
from .state import FlowState, not_reached

__all__ = ["IntegratedFlow"]


class IntegratedFlow:
    """f_t(x) = f_0(x) + K(x, X) c(t) with d/dt c = -w d|_{f_t} - (2 ridge / N) c and c(0) = 0.

    The coefficients (N, C) are integrated by LSODA (Petzold 1983; in SciPy), which changes between Adams and backward
    differentiation formulas as the problem becomes stiff. They lie on the host in float64; kernel products and
    derivatives of the cost are computed where the data lie, in their dtype. The relative tolerance is eps^(2/3) of that
    dtype.
    """

    def __init__(self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: Ridge) -> None:
        self.problem, self.cost = KernelProblem.of(kernel, cost, f0, ridge), cost
        self._matrix = self.problem.block()
        # Any other matrix makes the flow diverge; it would be integrated without a word.
        refuse_indefinite(eigenvalues(self._matrix), home(self._matrix).eps)

    @property
    def ridge(self) -> float:
        """The ridge, which makes the coefficients decay."""
        return self.problem.ridge

    def with_ridge(self, ridge: Ridge) -> "IntegratedFlow":
        """The same flow with another ridge, from the same kernel matrix."""
        other = copy.copy(self)
        other.problem = self.problem.with_ridge(ridge)
        return other

    def path(self, times: Sequence[float], start: FlowState | None) -> list[FlowState]:
        """The states at times, in any order, by one integration from a state (from t = 0 if None)."""
        start = self._from(start)
        if math.inf in times:
            raise ValueError(
                f"the flow of {type(self.cost).__name__} is integrated in time, and its limit need not exist: give a "
                "finite t, or ask for the time at which the cost falls below a value, flow.until(value, longest)"
            )
        if min(times) < start.time:
            raise ValueError(f"t must not lie before the state to start from, which is at {start.time:g}")
        wanted, index = np.unique(np.asarray([start.time, *times]), return_inverse=True)
        # One integration serves all times, in ascending order, each one once; index puts them back in the order asked.
        states = [start]
        if len(wanted) > 1:
            span = wanted[-1] - start.time
            run = self._integrate(start, span, t_eval=np.minimum((wanted[1:] - start.time) / span, 1.0))
            states += [self._state(start, t, c, run) for t, c in zip(wanted[1:].tolist(), run.y.T, strict=True)]
        return [states[i] for i in index[1:]]

    def until(self, value: float, longest: float, start: FlowState | None) -> FlowState:
        """The state at the first time at which the cost is at most ``value``."""
        start = self._from(start)
        excess = self._excess(self._flat(start), value)
        if excess <= 0:
            return start
        if longest > start.time:

            def crossing(_: float, c: np.ndarray) -> float:
                return self._excess(c, value)

            # SciPy stops an integration at the first zero of a function that carries this attribute.
            crossing.terminal = True  # type: ignore[attr-defined]
            span = longest - start.time
            run = self._integrate(start, span, events=crossing)
            if run.t_events[0].size:
                time = start.time + span * float(run.t_events[0][0])
                return self._state(start, time, run.y_events[0][0], run)
            excess = self._excess(run.y[:, -1], value)
        raise not_reached(value, value + excess, longest)

    def functions(self, x_new: Array | None, states: Sequence[FlowState], memory: str | int = "1 GiB") -> list[Array]:
        """f_t at new inputs (the training points if None), one array a state."""
        if x_new is None:
            return [self._shaped(self.problem.initial, self._matrix, state) for state in states]
        x_new, parts = self.problem.new_inputs(x_new), []
        for cut in self.problem.cuts(x_new, memory):
            start, block = self.problem.start(x_new[cut, ...]), self.problem.block(x_new[cut, ...])
            parts.append([self._shaped(start, block, state) for state in states])
        concat = home(self.cost.y).xp.concat
        return parts[0] if len(parts) == 1 else [concat(list(pieces)) for pieces in zip(*parts, strict=True)]

    def doubtful(self, times: Sequence[float]) -> list[Factorization]:
        """Nothing is factored."""
        del times
        return []

    def _shaped(self, start: Array, block: Array, state: FlowState) -> Array:
        return self.cost.shaped(self._expand(start, block, state.coefficients))

    def _expand(self, start: Array, block: Array, c: Array) -> Array:
        return start + self.problem.unstack(block @ self.problem.stack(c))

    def _integrate(self, start: FlowState, span: float, **options: Any) -> Any:
        """The flow from a state for a time, in units of that time: LSODA's first steps underflow in very short ones."""
        from scipy.integrate import solve_ivp

        rtol = home(self.cost.y).eps ** (2 / 3)
        run = solve_ivp(
            lambda _, c: span * self._velocity(c),
            (0.0, 1.0),
            self._flat(start),
            method="LSODA",
            jac=lambda _, c: span * self._jacobian(c),
            rtol=rtol,
            atol=rtol * self._scale(),
            **options,
        )
        if run.status < 0 or not np.isfinite(run.y).all():
            raise RuntimeError(
                f"the integration of {type(self.cost).__name__} did not reach t = {start.time + span:g}: {run.message} "
                "Is its derivative finite and without jumps?"
            )
        return run

    @property
    def _decay(self) -> float:
        return 2.0 * self.cost.factor * self.ridge / len(self.cost.p_in)

    def _velocity(self, flat: np.ndarray) -> np.ndarray:
        d = self.cost.representer(self._on_sample(flat))
        force = to_host(self.cost.p_in.column_weights * d).astype(np.float64).ravel()
        return -force - self._decay * flat

    def _jacobian(self, flat: np.ndarray) -> np.ndarray:
        """-w H K - decay, H the second derivative of the loss of each example: 2 C derivatives of the cost.

        LSODA's own differences would take N C of them, with steps that float32 cannot see. H is an approximation where
        examples interact in the cost. H decides how fast implicit steps converge, and not their result.
        """
        n, c = self.cost.y.shape
        hessian = to_host(self.cost.p_in.column_weights)[:, :, None] * self._curvature(self._on_sample(flat))
        matrix = to_host(self._matrix).astype(np.float64)
        if self.problem.kind == "full":
            jacobian = np.einsum("ice,iejd->icjd", hessian, matrix.reshape(n, c, n, c), optimize=True)
        else:
            jacobian = np.einsum("icd,dij->icjd", hessian, np.broadcast_to(matrix, (c, n, n)))
        flattened: np.ndarray = -jacobian.reshape(n * c, n * c) - self._decay * np.eye(n * c)
        return flattened

    def _curvature(self, f: Array) -> np.ndarray:
        """H (N, C, C) by central differences, in steps that suit the dtype and the size of f."""
        place, (n, c) = home(f), self.cost.y.shape
        size = max(float(np.abs(to_host(a)).max()) for a in (f, self.cost.representer(f)))
        h = place.eps ** (1 / 3) * (size or 1.0)
        columns = []
        for shift in np.eye(c):
            step = place.asarray(np.tile(h * shift, (n, 1)))
            columns.append(to_host(self.cost.representer(f + step) - self.cost.representer(f - step)) / (2.0 * h))
        hessian: np.ndarray = np.stack(columns, axis=-1).astype(np.float64)
        return hessian

    def _on_sample(self, flat: np.ndarray) -> Array:
        return self._expand(self.problem.initial, self._matrix, self._device(flat))

    def _excess(self, flat: np.ndarray, value: float) -> float:
        return float(to_host(self.cost(self._on_sample(flat)))) - value

    def _scale(self) -> float:
        """A typical size of c, for the absolute tolerance: K c is then no larger than the derivative at f_0."""
        xp = home(self._matrix).xp
        # |K c| is at most the largest row sum of |K| times the largest |c|.
        reach = float(to_host(xp.max(xp.sum(xp.abs(self._matrix), axis=-1))))
        largest = float(to_host(xp.max(xp.abs(self.cost.representer(self.problem.initial)))))
        return largest / reach if reach > 0 and largest > 0 else 1.0

    def _device(self, flat: np.ndarray) -> Array:
        return home(self.cost.y).asarray(flat.reshape(self.cost.y.shape))

    def _flat(self, state: FlowState) -> np.ndarray:
        return to_host(state.coefficients).astype(np.float64).ravel()

    def _state(self, start: FlowState, time: float, flat: np.ndarray, run: Any) -> FlowState:
        return FlowState(time, self._device(flat), start.evaluations + int(run.nfev))

    def _from(self, start: FlowState | None) -> FlowState:
        return FlowState(0.0, home(self.cost.y).xp.zeros_like(self.cost.y)) if start is None else start
