"""One network against its kernels: what is predicted, what is trained, and how far apart they are."""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._array.libraries import LIBRARIES
from .._array.namespace import Array, Home, default_dtype, standard_namespace, to_host
from ..dynamics import GradientDescent, GradientFlow, KernelSpectrum, max_step
from ..experiments.runs import Measure, Start, recorded_steps, stable_step, train_and_measure
from ..experiments.scaling import FITTED
from ..experiments.stability import KernelStability
from ..experiments.together import SMALL, run_together
from ..function_space import EmpiricalMeasure, SquaredError
from ..kernels import EmpiricalNTK, InfiniteNTK, Precomputed
from ..nn import Sequential
from ..nn.parameters import Params
from .data import Split
from .settings import StudySettings

__all__ = ["PROBE", "WATCHED", "Plan", "Sample", "compare", "infinite_errors", "plan_steps"]

WATCHED = 4  # held-out inputs whose prediction is followed in the report
PROBE = 20  # training inputs on which kernels are compared
STEPS = range(500, 3001, 100)  # how many there may be where they are not given
LEARNED = FITTED / 2  # the share of the cost that these leave at infinite width
LONGEST = 2**40  # no training takes more steps
ALL_STEPS = 2**50  # of gradient descent, after which every direction is learned that rounding lets be learned


class Sample:
    """The split on the chosen library, with the infinite-width kernel of all its inputs."""

    def __init__(self, settings: StudySettings, split: Split) -> None:
        place = home_of(settings.library)
        xp = place.xp
        self.x, self.y = place.asarray(split.x_train), place.asarray(split.y_train)
        self.x_test, self.y_test = place.asarray(split.x_test), split.y_test
        self.target_test = split.target_test
        self.classes = split.y_train.shape[1] > 1
        self.outputs = split.y_train.shape[1]
        self.cost = SquaredError(EmpiricalMeasure(self.x), self.y)
        # The infinite-width kernel is the same for all widths: any of the networks will do.
        kernel = InfiniteNTK(settings.build(settings.widths[0], self.outputs))
        everything = xp.concat([self.x, self.x_test], axis=0)
        n, total = self.x.shape[0], everything.shape[0]
        self.infinite = Precomputed(kernel(everything))
        # Row numbers are floats of the same dtype as the targets: cost functionals ask inputs and targets to share it.
        self.rows = place.asarray(np.arange(n)[:, None])
        self.rows_test = place.asarray(np.arange(n, total)[:, None])
        self.spectrum = KernelSpectrum(self.infinite, EmpiricalMeasure(self.rows))
        self.bands = _bands(self.spectrum.rank)

    def row_cost(self, residual: Array) -> SquaredError:
        """The squared error with row numbers for inputs, as the precomputed kernel takes them."""
        return SquaredError(EmpiricalMeasure(self.rows), residual)

    def components(self, residual: Array) -> np.ndarray:
        """The square of a residual (N, C) along each principal component of the infinite-width kernel, (R,)."""
        return np.asarray(np.sum(to_host(self.spectrum.coefficients(residual)) ** 2, axis=1))

    def steps_to(self, share: float, step: float) -> int | None:
        """How many steps of gradient descent at infinite width, from f_0 = 0, take the cost below a share of its start.

        None where no number does: the kernel cannot tell inputs apart that have different targets.
        """
        squares, y = self.components(self.y), to_host(self.y)
        rates = np.abs(1.0 - 2.0 * step * to_host(self.spectrum.eigenvalues))
        total = np.mean(np.sum(y * y, axis=1))

        def below(steps: int) -> bool:
            return bool(total - np.sum(squares * (1.0 - rates ** (2 * steps))) < share * total)

        # The cost falls from step to step.
        return 1 + bisect_left(range(1, LONGEST), True, key=below) if below(LONGEST) else None

    def in_bands(self, squares: np.ndarray) -> np.ndarray:
        """Squares along components (..., R) summed over bands of components, (..., B)."""
        return np.stack([squares[..., low:high].sum(axis=-1) for low, high in self.bands], axis=-1)

    def error(self, outputs: np.ndarray) -> np.ndarray:
        """Test error of outputs (..., M, C): the share of wrong classes, or the RMSE in standard deviations."""
        if self.classes:
            return np.asarray(np.mean(np.argmax(outputs, axis=-1) != self.target_test, axis=-1))
        return np.asarray(np.sqrt(np.mean((outputs - self.y_test) ** 2, axis=(-2, -1))))

    def error_spread(self, outputs: np.ndarray) -> np.ndarray:
        """The standard error of the test error of outputs (M, C), over held-out rows.

        The mean of M numbers scatters by std / sqrt(M). That is so for wrong classes, and for the squares s under the
        root of an RMSE, where d sqrt(s) = ds / (2 sqrt(s)).
        """
        m = len(outputs)
        if self.classes:
            return np.asarray(np.std(np.argmax(outputs, axis=-1) != self.target_test) / np.sqrt(max(m - 1, 1)))
        squares = np.mean((outputs - self.y_test) ** 2, axis=-1)
        root = max(float(np.sqrt(squares.mean())), np.finfo(np.float64).tiny)
        return np.asarray(np.std(squares) / np.sqrt(max(m - 1, 1)) / (2.0 * root))

    def distance(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        """Root mean square of the difference of outputs (..., M, C), as a share of that of the targets."""
        return np.asarray(np.sqrt(np.mean((one - two) ** 2, axis=(-2, -1)) / np.mean(self.y_test**2)))


def _bands(rank: int) -> np.ndarray:
    """Components from, and up to, for each band (B, 2): the first alone, then bands about four times as wide."""
    # With 2 * edge <= rank the last band holds at least half of all components.
    edges = sorted({0, 1, *(edge for edge in (5, 20, 80) if 2 * edge <= rank), rank})
    return np.asarray(list(pairwise(edges)))


def home_of(library: str) -> Home:
    if library not in LIBRARIES:
        raise ValueError(f"library must be one of {', '.join(LIBRARIES)}, got {library!r}")
    try:
        xp = standard_namespace(import_module(LIBRARIES[library].module))
    except ImportError as error:
        raise ImportError(f"{library} is not installed; install it or choose --library numpy") from error
    # JAX has float64 only once its x64 switch is on.
    offered = xp.__array_namespace_info__().dtypes(kind="real floating")
    return Home(xp, offered.get("float64", default_dtype(xp)), None)


class Plan(NamedTuple):
    """The step of gradient descent, and the numbers of steps at which to look (T,)."""

    step: float
    recorded: np.ndarray


def plan_steps(
    settings: StudySettings,
    sample: Sample,
    nets: list[Sequential],
    seeds: list[np.random.SeedSequence],
    progress: bool,
) -> Plan:
    """A step that is stable for every kernel: the narrow networks' eigenvalues reach above the limit's."""

    def of(job: int, alone: bool) -> float:
        # The seed is only copied, so that compare() draws the same parameters from it again.
        return stable_step(nets[job], nets[job].init(seeds[job], like=sample.x), sample.cost)

    found = run_together(of, range(len(nets)), sample.y, SMALL, "largest stable step", progress)
    stable = min(max_step(sample.infinite, sample.rows), *found)
    step, steps = settings.step_fraction * stable, settings.steps
    if steps is None:
        needed = sample.steps_to(LEARNED, step) or STEPS[-1]
        steps = next((n for n in STEPS if n >= needed), STEPS[-1])
    return Plan(step, recorded_steps(steps))


def infinite_errors(sample: Sample, plan: Plan) -> dict[str, np.ndarray]:
    """Test errors of the infinite-width prediction from f_0 = 0, over time and in the limit."""
    cost = sample.row_cost(sample.y)
    path = GradientDescent(sample.infinite, cost, plan.step).predict(sample.rows_test, plan.recorded)
    limit = GradientFlow(sample.infinite, cost).predict(sample.rows_test)
    return {
        "error_infinite": sample.error(to_host(path)),
        "error_infinite_spread": sample.error_spread(to_host(path[-1])),
        "regression_infinite": np.asarray(sample.error(to_host(limit))),
        "regression_infinite_spread": sample.error_spread(to_host(limit)),
    }


MOVED = {"movement": "kernel", "movement_layers": "layers"}


class Comparison(Measure):
    """A network's outputs on held-out inputs beside what its kernels predict of them."""

    name = "comparison"
    meaning: ClassVar[dict[str, str]] = {}

    def __init__(self, sample: Sample, start: Start) -> None:
        super().__init__(start)
        self.sample = sample
        kernel, f0 = EmpiricalNTK(start.net, start.params), start.net.bind(start.params)
        linearized = GradientDescent(kernel, start.cost, start.step, f0=f0)
        # The precomputed kernel takes row numbers, and f_0 takes inputs. So f_0 is left to the end, with the formula
        # f_k(x) = f_0(x) + A_k(x) (y - f_0(X)): the second term is the descent from 0 to the targets y - f_0(X).
        centred = GradientDescent(sample.infinite, sample.row_cost(sample.y - f0(sample.x)), start.step)
        # The mean over outputs needs a matrix of N rows, the full kernel one of N C rows.
        regression = GradientFlow(EmpiricalNTK(start.net, start.params, outputs="trace"), start.cost)
        # The limit is one more number of steps for the same descent, and needs no other eigendecomposition. The filter
        # of k steps takes about log2(k) squarings, 50 for this number.
        every = [*start.recorded.tolist(), ALL_STEPS]
        *linear, self.linearized_limit = to_host(linearized.predict(start.x_test, every))
        *infinite, self.infinite_limit = to_host(f0(start.x_test) + centred.predict(sample.rows_test, every))
        self.linearized, self.infinite = np.stack(linear), np.stack(infinite)
        self.regression = to_host(regression.predict(start.x_test))
        # A step multiplies the residual along component k by 1 - 2 step mu_k. Squares of it take twice the power.
        left = 1.0 - 2.0 * start.step * to_host(sample.spectrum.eigenvalues)
        self.components = sample.components(f0(sample.x) - sample.y) * left ** (2 * start.recorded[:, None])

    def observe(self, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """The network's outputs (M, C), and the squares of its training residual along principal components (R,)."""
        sample, net = self.sample, self.start.net
        return to_host(net(params, self.start.x_test)), sample.components(net(params, sample.x) - sample.y)

    def conclude(self, seen: list[Any]) -> dict[str, np.ndarray]:
        """Errors and distances over time (T,), watched outputs (T, P), shares of the residual (T, B); numbers ()."""
        sample = self.sample
        outputs, components = (np.stack(column) for column in zip(*seen, strict=True))
        start = sample.in_bands(self.components[0])
        # The output of the true class, which has the largest target of its row; output 0 where there is only one.
        column = np.argmax(sample.y_test[:WATCHED], axis=1)
        watched = (slice(None), np.arange(len(column)), column)
        return {
            "error_network": sample.error(outputs),
            "error_linearized": sample.error(self.linearized),
            "error_network_spread": sample.error_spread(outputs[-1]),
            "error_linearized_spread": sample.error_spread(self.linearized[-1]),
            "gap_linearized": sample.distance(outputs, self.linearized),
            "gap_infinite": sample.distance(outputs, self.infinite),
            "watched_network": outputs[watched],
            "watched_linearized": self.linearized[watched],
            "watched_infinite": self.infinite[watched],
            "remaining_network": sample.in_bands(components) / start,
            "remaining_infinite": sample.in_bands(self.components) / start,
            "from_regression_empirical": sample.distance(outputs[-1], self.linearized_limit),
            "from_regression_infinite": sample.distance(outputs[-1], self.infinite_limit),
            "regression_empirical": sample.error(self.regression),
            "regression_empirical_spread": sample.error_spread(self.regression),
        }


def compare(
    net: Sequential, seeds: np.random.SeedSequence, sample: Sample, plan: Plan, progress: bool | str
) -> dict[str, np.ndarray]:
    """Train one network; its comparison, its cost (T,), and the movement of its kernel (T,) and layers (T, layers)."""
    params = net.init(seeds, like=sample.x)
    start = Start(net, params, sample.cost, sample.x_test, sample.x[:PROBE, ...], plan.step, plan.recorded)
    found = train_and_measure(start, [partial(Comparison, sample), KernelStability], progress)
    prefix = f"{Comparison.name}/"
    compared = {name.removeprefix(prefix): array for name, array in found.items() if name.startswith(prefix)}
    moved = {key: found[f"{KernelStability.name}/{name}_over_time"] for key, name in MOVED.items()}
    return {"cost": found["cost"], **moved, **compared}
