"""One network against its kernels: what is predicted, what is trained, and how far apart they are."""

from __future__ import annotations

import math
from importlib import import_module
from typing import NamedTuple

import numpy as np

from .._array.namespace import Array, Home, default_dtype, home, standard_namespace, to_host
from .._array.progress import progress_bar
from ..dynamics import GradientDescent, GradientFlow, max_step
from ..function_space import EmpiricalMeasure, SquaredError
from ..kernels import EmpiricalNTK, InfiniteNTK, Precomputed
from ..nn import Sequential, train
from ..nn.parameters import Params
from .data import Split
from .settings import StudySettings

__all__ = ["Plan", "Sample", "compare", "concentration", "infinite_errors", "plan_steps", "predict", "train_network"]

WATCHED = 4  # held-out inputs whose prediction is followed in the report
PROBE = 100  # training inputs on which kernels are compared


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
        kernel = InfiniteNTK(settings.network(settings.widths[0], self.outputs))
        everything = xp.concat([self.x, self.x_test], axis=0)
        n, total = self.x.shape[0], everything.shape[0]
        self.infinite = Precomputed(kernel(everything))
        self.rows = place.asarray(np.arange(n)[:, None])
        self.rows_test = place.asarray(np.arange(n, total)[:, None])

    def row_cost(self, residual: Array) -> SquaredError:
        """The squared error with row numbers for inputs, as the precomputed kernel takes them."""
        return SquaredError(EmpiricalMeasure(self.rows), residual)

    def norm(self, values: Array) -> Array:
        """The Euclidean norm of values (N, C)."""
        return home(values).xp.linalg.vector_norm(values)

    def error(self, outputs: np.ndarray) -> np.ndarray:
        """Test error of outputs (..., M, C): the share of wrong classes, or the RMSE in standard deviations."""
        if self.classes:
            return np.asarray(np.mean(np.argmax(outputs, axis=-1) != self.target_test, axis=-1))
        return np.asarray(np.sqrt(np.mean((outputs - self.y_test) ** 2, axis=(-2, -1))))

    def distance(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        """Root mean square of the difference of outputs (..., M, C), as a share of that of the targets."""
        return np.asarray(np.sqrt(np.mean((one - two) ** 2, axis=(-2, -1)) / np.mean(self.y_test**2)))


def home_of(library: str) -> Home:
    names = {"numpy": "numpy", "torch": "torch", "jax": "jax.numpy", "cupy": "cupy"}
    if library not in names:
        raise ValueError(f"library must be one of {', '.join(names)}, got {library!r}")
    try:
        xp = standard_namespace(import_module(names[library]))
    except ImportError as error:
        raise ImportError(f"{library} is not installed; install it or choose --library numpy") from error
    if library == "jax":
        return Home(xp, default_dtype(xp), None)
    return Home(xp, xp.float64, None)


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
    n = sample.x.shape[0]
    stable = max_step(sample.infinite, sample.rows)
    for net, own in zip(progress_bar(nets, "largest stable step", "net", progress), seeds, strict=True):
        kernel = EmpiricalNTK(net, net.init(own, like=sample.x))
        stable = min(stable, n / _largest_eigenvalue(kernel, sample))
    recorded = np.unique(np.concatenate([[0], np.geomspace(1, settings.steps, 28).round().astype(int)]))
    return Plan(settings.step_fraction * stable, recorded)


def _largest_eigenvalue(kernel: EmpiricalNTK, sample: Sample, iterations: int = 20) -> float:
    """By power iteration on products, from the targets; a few per cent low at worst, which step_fraction covers."""
    v, size = sample.y, 1.0
    for _ in range(iterations):
        product = kernel.matvec(sample.x, None, v)
        size = float(to_host(sample.norm(product)))
        v = product / size
    return size


def infinite_errors(sample: Sample, plan: Plan) -> dict[str, np.ndarray]:
    """Test errors of the infinite-width prediction from f_0 = 0, over time and in the limit."""
    cost = sample.row_cost(sample.y)
    path = GradientDescent(sample.infinite, cost, plan.step).predict(sample.rows_test, plan.recorded)
    limit = GradientFlow(sample.infinite, cost).predict(sample.rows_test)
    return {
        "error_infinite": sample.error(to_host(path)),
        "regression_infinite": np.asarray(sample.error(to_host(limit))),
    }


def concentration(
    settings: StudySettings, sample: Sample, seeds: np.random.SeedSequence, progress: bool
) -> dict[str, np.ndarray]:
    """||Theta_0 - Theta|| / ||Theta|| of networks at initialization, over widths and draws."""
    low, high = settings.widths[0], settings.widths[-1]
    octaves = max(round(math.log2(high / low)), 1)
    widths = np.unique([round(low * (high / low) ** (k / octaves)) for k in range(octaves + 1)])
    probe = sample.x[:PROBE, :]
    limit = to_host(sample.infinite(sample.rows[:PROBE, :]))
    found = np.empty((len(widths), settings.draws))
    jobs = [(v, d) for v in range(len(widths)) for d in range(settings.draws)]
    bar = progress_bar(jobs, "kernels at initialization", "net", progress)
    for (v, d), own in zip(bar, seeds.spawn(len(jobs)), strict=True):
        net = settings.network(int(widths[v]), sample.outputs)
        kernel = EmpiricalNTK(net, net.init(own, like=probe), outputs="trace")
        found[v, d] = np.linalg.norm(to_host(kernel(probe)) - limit) / np.linalg.norm(limit)
    return {"concentration_widths": widths, "concentration": found}


def predict(net: Sequential, params: Params, sample: Sample, plan: Plan) -> dict[str, np.ndarray]:
    """What a network's kernels predict on held-out inputs.

    From its f_0, over time (T, M, C): its linearization by the full empirical kernel, and the infinite-width kernel.
    In the limit, from zero (M, C): regression with the empirical kernel, the mean over outputs.
    """
    f0 = net.bind(params)
    linearized = GradientDescent(EmpiricalNTK(net, params), sample.cost, plan.step, f0=f0)
    centred = GradientDescent(sample.infinite, sample.row_cost(sample.y - f0(sample.x)), plan.step)
    regression = GradientFlow(EmpiricalNTK(net, params, outputs="trace"), sample.cost)
    return {
        "linearized": to_host(linearized.predict(sample.x_test, plan.recorded)),
        "infinite": to_host(f0(sample.x_test) + centred.predict(sample.rows_test, plan.recorded)),
        "regression": to_host(regression.predict(sample.x_test)),
    }


def train_network(
    net: Sequential, params: Params, sample: Sample, plan: Plan, progress: bool | str
) -> dict[str, np.ndarray]:
    """The network itself: cost (T,), held-out outputs (T, M, C) and how far its kernel moved (T,)."""
    probe = sample.x[:PROBE, :]

    def observe(now: Params) -> tuple[np.ndarray, np.ndarray]:
        return to_host(net(now, sample.x_test)), to_host(EmpiricalNTK(net, now, outputs="trace")(probe))

    record = train(
        net,
        params,
        sample.cost,
        step=plan.step,
        steps=int(plan.recorded[-1]),
        record=plan.recorded.tolist(),
        observe=observe,
        progress=progress,
    )
    outputs, kernels = (np.stack(column) for column in zip(*record.observations, strict=True))
    moved = np.linalg.norm(kernels - kernels[0], axis=(1, 2)) / np.linalg.norm(kernels[0])
    return {"cost": np.asarray(record.costs), "outputs": outputs, "movement": moved}


def compare(sample: Sample, predicted: dict[str, np.ndarray], trained: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of one network."""
    outputs = trained["outputs"]
    column = np.argmax(sample.y_test[:WATCHED], axis=1)
    watched = (slice(None), np.arange(len(column)), column)
    return {
        "cost": trained["cost"],
        "movement": trained["movement"],
        "error_network": sample.error(outputs),
        "error_linearized": sample.error(predicted["linearized"]),
        "gap_linearized": sample.distance(outputs, predicted["linearized"]),
        "gap_infinite": sample.distance(outputs, predicted["infinite"]),
        "watched_network": outputs[watched],
        "watched_linearized": predicted["linearized"][watched],
        "watched_infinite": predicted["infinite"][watched],
        "regression_empirical": sample.error(predicted["regression"]),
    }
