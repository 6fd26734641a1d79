"""The search for hyper-parameters: a criterion as a loss, and two optimizers, one within the other."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from itertools import count
from typing import Any, Literal, NamedTuple

import numpy as np

from .._array.namespace import home, to_host
from .._array.validate import one_of
from .._support.progress import progress_bar
from .gaussian_process import GaussianProcess
from .gradient_flow import GradientFlow
from .likelihood import HYPERPARAMETERS

__all__ = ["Bounds", "Criterion", "CriterionLoss", "Search"]

Criterion = Literal["marginal_likelihood", "leave_one_out"]
Bounds = Mapping[str, tuple[float, float]]

GRID_STEP = 1.0
"""The distance between the logarithms of the noises that are tried first. A criterion depends on the noise through
s + noise for the eigenvalues s. As log noise grows, each of these sums goes from s to the noise within a few units, so
that a minimum is wider than this distance."""
DEFAULT_BOUND = {
    "log_amplitude": math.log(1e12),
    "log_weight_std": math.log(10.0),
    "log_bias_std": math.log(10.0),
}
"""Of the logarithm of a factor, in both directions, unless the user gives others."""


class CriterionLoss:
    """A criterion, and the loss that is minimized for it.

    The loss changes by numbers of order 1, whatever the scale and the number of the targets, so that the tolerances of
    the optimizers mean the same for all problems.
    """

    def __init__(self, by: Criterion) -> None:
        self.by, self.evaluations = by, 0

    def value(self, model: Any) -> float:
        """The log marginal likelihood, or the mean squared leave-one-out error."""
        self.evaluations += 1
        value = model.leave_one_out().error if self.by == "leave_one_out" else model.log_marginal_likelihood()
        return float(to_host(value))

    def loss(self, model: Any) -> float:
        """Minus the log marginal likelihood divided by the number of targets, or the logarithm of the error."""
        # The logarithm makes a factor of the targets a constant. A perfect fit, 0, is kept finite.
        value = self.value(model)
        return math.log(max(value, 1e-300)) if self.by == "leave_one_out" else -value / math.prod(model.y.shape)

    def slopes(self, model: GaussianProcess, names: Sequence[str]) -> np.ndarray:
        """Derivatives of the loss in hyper-parameters of the kernel."""
        if self.by == "leave_one_out":
            slopes, scale = model.leave_one_out_gradient(names), 1.0 / max(self.value(model), 1e-300)
        else:
            slopes, scale = model.log_marginal_likelihood(gradient=names)[1], -1.0 / math.prod(model.y.shape)
        return scale * np.asarray([float(to_host(slopes[name])) for name in names])


class Attempt(NamedTuple):
    loss: float
    model: Any
    chosen: dict[str, float]
    at_bound: tuple[str, ...]


class Search:
    """The search: the names to choose, their bounds, and the two optimizers, one within the other."""

    def __init__(self, start: Any, criterion: CriterionLoss, wrt: str | Sequence[str] | None, bounds: Bounds) -> None:
        self.start, self.criterion = start, criterion
        flow = isinstance(start, GradientFlow)
        self.ridge_name = "log_ridge" if flow else "log_noise"
        known: tuple[str, ...] = (self.ridge_name,) if flow else HYPERPARAMETERS
        if not flow and not isinstance(start.noise, float):
            # One number would take the place of the noise of each observation.
            known = tuple(name for name in known if name != self.ridge_name)
        self.y = start.cost.y if flow else start.y
        present = {self.ridge_name, *start.kernel.hyperparameters} & {*known}
        if wrt is None:
            wrt = [name for name in known if name in present]  # no amplitude: weight_std may do the same
        self.names = tuple(one_of("wrt", name, known) for name in ((wrt,) if isinstance(wrt, str) else wrt))
        # Another kernel matrix for each value of these; one spectrum for all values of the others.
        self.factors = tuple(name for name in self.names if name in ("log_weight_std", "log_bias_std"))
        self.inner = "log_amplitude" if self.ridge_name not in self.names else self.ridge_name
        if not self.names:
            raise ValueError(f"wrt is empty: name some of {', '.join(known)}")
        if criterion.by == "leave_one_out" and {"log_amplitude", self.ridge_name} <= {*self.names}:
            raise ValueError(
                "a common factor of kernel and noise does not change the leave-one-out error: choose one of "
                'log_amplitude and log_noise, or both by="marginal_likelihood"'
            )
        if self.factors:
            start.kernel.gradient(start.x[:1, ...], wrt=self.factors)  # refuses those that do not exist
        self.kernels = 1
        self.bounds = {
            name: (-DEFAULT_BOUND[name], DEFAULT_BOUND[name]) for name in self.names if name in DEFAULT_BOUND
        }
        if self.ridge_name in self.names and self.ridge_name not in bounds:
            self.bounds[self.ridge_name] = self._ridge_bounds()
        self.bounds |= {name: self._checked(name, pair) for name, pair in bounds.items()}

    def _checked(self, name: str, pair: tuple[float, float]) -> tuple[float, float]:
        one_of("bounds", name, self.names)
        low, high = (float(end) for end in pair)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"bounds of {name} must be finite and in order, got {pair!r}")
        if name != self.ridge_name and not low <= 0.0 <= high:
            raise ValueError(f"bounds of {name} must contain 0, the logarithm of the factor at the start, got {pair!r}")
        return low, high

    def _ridge_bounds(self) -> tuple[float, float]:
        # Below the cut-off a ridge is rounding. Far above the largest eigenvalue all predictions are zero.
        spectrum = self.start.spectrum
        scale = spectrum.largest
        if self.criterion.by == "marginal_likelihood" and "log_amplitude" not in self.names:
            scale = max(scale, float(to_host(home(self.y).xp.mean(self.y**2))))
        if scale == 0.0:
            raise ValueError(
                f"the kernel matrix is zero: no {self.ridge_name} is better than another; are all inputs zero, as "
                "standardised constants are? Give the network biases, or a number instead"
            )
        return math.log(10.0 * spectrum.cutoff or home(self.y).eps * scale), math.log(100.0 * scale)

    def run(self, progress: bool) -> tuple[Attempt, bool]:
        """The best attempt, and whether it converged."""
        # The start is an attempt too, so that the result is never worse than it.
        best = self.attempt([0.0] * len(self.factors))
        if not self.factors:
            return best, True
        from scipy.optimize import minimize

        def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal best
            next(ticks)
            attempt = self.attempt(logs.tolist())
            best = min(best, attempt, key=lambda one: one.loss)
            return attempt.loss, self.criterion.slopes(attempt.model, self.factors)

        with closing(_ticks(progress)) as ticks:
            result = minimize(
                objective,
                np.zeros(len(self.factors)),
                jac=True,
                method="L-BFGS-B",
                bounds=[self.bounds[name] for name in self.factors],
                options={"ftol": 100.0 * home(self.y).eps},
            )
        return best, bool(result.success)

    def attempt(self, logs: list[float]) -> Attempt:
        """The model with these factors of the network's hyper-parameters, and the best noise and amplitude for them."""
        chosen = dict(zip(self.factors, logs, strict=True))
        at_bound = tuple(name for name, log in chosen.items() if log in self.bounds[name])
        try:
            model = self.start
            # The kernel matrix of the start is known, and is not computed again.
            if any(logs):
                self.kernels += 1
                model = model.rescaled(**{name.removeprefix("log_"): math.exp(log) for name, log in chosen.items()})
            if self.inner in self.names:
                model, scales, bounded = self._best_scale(model)
                chosen |= scales
                at_bound += bounded
            return Attempt(self.criterion.loss(model), model, chosen, at_bound)
        except np.linalg.LinAlgError as error:
            raise np.linalg.LinAlgError(f"at {chosen}: {error}, choose it as well, or give closer bounds") from error

    def _scaled(self, model: Any, log: float) -> tuple[Any, dict[str, float]]:
        """The model with a value of what the inner search is over, and what is chosen with that."""
        value = math.exp(log)
        if isinstance(model, GradientFlow):
            return model.with_ridge(value), {self.inner: log}
        if self.inner == "log_amplitude":
            return model.with_amplitude(value), {self.inner: log}
        model = model.with_noise(value)
        if "log_amplitude" not in self.names:
            return model, {self.inner: log}
        amplitude = self._best_amplitude(model)
        factor = math.exp(amplitude)
        model = model.with_amplitude(factor).with_noise(factor * value)
        return model, {self.inner: amplitude + log, "log_amplitude": amplitude}

    def _best_amplitude(self, model: GaussianProcess) -> float:
        """The logarithm of the factor a of kernel and noise for which the likelihood is largest.

        The quadratic form of a S is y^T S^{-1} y / a, and its determinant a^N det S. So a is y^T S^{-1} y / N, the mean
        of all outputs.
        """
        low, high = self.bounds["log_amplitude"]
        best = float(to_host(model.data_fit)) / math.prod(model.y.shape)
        return min(max(math.log(max(best, 1e-300)), low), high)

    def _best_scale(self, model: Any) -> tuple[Any, dict[str, float], tuple[str, ...]]:
        """The model with the best noise and amplitude for a kernel, their logarithms, and which sit at a bound."""
        log, bounded = self._searched(model)
        best, logs = self._scaled(model, log)
        at_bound = [self.inner] if bounded else []
        if self.inner != "log_amplitude" and logs.get("log_amplitude") in self.bounds.get("log_amplitude", ()):
            at_bound.append("log_amplitude")
        return best, logs, tuple(at_bound)

    def _searched(self, model: Any) -> tuple[float, bool]:
        """The best place in the bounds of the inner search, and whether it is one of them."""
        from scipy.optimize import minimize_scalar

        low, high = self.bounds[self.inner]
        if self.inner == self.ridge_name and model.spectrum.cutoff:
            low = max(low, math.log(2.0 * model.spectrum.cutoff))
        if low >= high:
            raise ValueError(f"bounds of {self.inner} end at {high:.3g}; below {low:.3g} the matrix S may be singular")

        def loss(log: float) -> float:
            return self.criterion.loss(self._scaled(model, log)[0])

        # The criterion may have several minima: first a grid, then a refinement between neighbours.
        grid = np.linspace(low, high, 2 + int((high - low) / GRID_STEP)).tolist()
        losses = [loss(log) for log in grid]
        k = losses.index(min(losses))
        near = (grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)])
        inner = minimize_scalar(loss, bounds=near, method="bounded", options={"xatol": 1e-9})
        least = min(losses[k], float(inner.fun))
        # Where the criterion is flat up to a bound, rounding decides where the optimizer ends. The bound itself is the
        # answer then, and is reported as one.
        for end in (low, high):
            if losses[grid.index(end)] <= least + 100.0 * home(self.y).eps * max(1.0, abs(least)):
                return end, True
        return float(inner.x) if inner.fun < losses[k] else grid[k], False


def _ticks(progress: bool) -> Generator[int, None, None]:
    yield from progress_bar(count(1), "hyper-parameters", "kernel", progress)
