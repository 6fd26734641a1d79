"""The study: real networks on real data, beside what their kernels predict of them."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import Array, Home, default_dtype, home, standard_namespace, to_host
from .._array.progress import progress_bar
from .._array.validate import count, nonnegative, positive
from ..dynamics import GradientDescent, GradientFlow, max_step
from ..function_space import EmpiricalMeasure, SquaredError
from ..kernels import EmpiricalNTK, InfiniteNTK, Precomputed
from ..nn import Sequential, mlp, train
from ..nn.parameters import Params
from .data import Dataset, Split

__all__ = ["Study", "StudySettings", "run_study"]

MAX_ROWS = 10_000  # of the full empirical kernel matrix, N C: 800 MB and minutes to diagonalize
WATCHED = 4  # held-out inputs whose prediction is followed in the report
PROBE = 100  # training inputs on which kernels are compared


@dataclass(frozen=True)
class StudySettings:
    """What to study.

    Attributes
    ----------
    widths : tuple of int
        Hidden widths of the networks that are trained.
    depth : int
        Number of hidden layers.
    activation, weight_std, bias_std, readout_weight_std
        As for :func:`ntk_array.nn.mlp`. A small readout keeps f_0 small beside the targets: what f_0 is off the
        sample, training does not take back.
    train, test : int, optional
        Sizes of the training and the held-out set; at most 200 and 400, as the data allow, if left out.
    networks : int
        Networks trained for each width.
    steps : int
        Gradient-descent steps.
    step_fraction : float
        The step, as a share of the largest one that is stable for the infinite-width kernel and for the kernels of
        all networks at initialization.
    draws : int
        Networks a width from which the concentration of the kernel at initialization is measured.
    seed : int
        Of the split and of all networks.
    library : str
        "numpy", "torch", "jax" or "cupy": where everything is computed.
    """

    widths: tuple[int, ...] = (64, 256, 1024)
    depth: int = 2
    activation: str = "relu"
    weight_std: float = 2**0.5
    bias_std: float = 0.1
    readout_weight_std: float = 0.5
    train: int | None = None
    test: int | None = None
    networks: int = 2
    steps: int = 500
    step_fraction: float = 0.5
    draws: int = 8
    seed: int = 0
    library: str = "numpy"

    def __post_init__(self) -> None:
        widths = tuple(sorted({count("widths", w) for w in self.widths}))
        if len(widths) < 2:
            raise ValueError(f"widths must hold two different widths or more, got {self.widths}")
        object.__setattr__(self, "widths", widths)
        for name in ("depth", "networks", "steps", "draws"):
            count(name, getattr(self, name))
        for name in ("train", "test"):
            if getattr(self, name) is not None:
                count(name, getattr(self, name))
        positive("weight_std", self.weight_std)
        positive("readout_weight_std", self.readout_weight_std)
        nonnegative("bias_std", self.bias_std)
        if positive("step_fraction", self.step_fraction) >= 1:
            raise ValueError(f"step_fraction must be below 1, where training is stable, got {self.step_fraction}")

    def network(self, width: int, outputs: int) -> Sequential:
        """The network of this width."""
        return mlp(
            (width,) * self.depth,
            outputs,
            activation=self.activation,
            weight_std=self.weight_std,
            bias_std=self.bias_std,
            readout_weight_std=self.readout_weight_std,
        )


@dataclass(frozen=True)
class Study:
    """What was measured. Axes: W widths, R networks a width, T recorded steps, P watched inputs, V widths and D draws
    of the concentration.

    Attributes
    ----------
    settings : StudySettings
    data : dict
        Name, task, sizes and classes of the data.
    arrays : dict of numpy.ndarray
        "steps", "times" (T,); "cost" (W, R, T) on the training set; "error_network", "error_linearized" (W, R, T) and
        "error_infinite" (T,) on held-out inputs; "gap_linearized", "gap_infinite" (W, R, T), the root mean square
        distance of a network's held-out outputs from its linearization and from the infinite-width prediction, as a
        share of that of the targets; "movement" (W, R, T), ||Theta_t - Theta_0|| / ||Theta_0||; "widths" (W,);
        "concentration_widths" (V,) and "concentration" (V, D), ||Theta_0 - Theta|| / ||Theta||;
        "watched_network", "watched_linearized", "watched_infinite" (W, T, P) outputs of each width's first network
        and "watched_target" (P,); "regression_empirical" (W, R) and "regression_infinite" (), errors of kernel
        regression from f_0 = 0, with the mean over outputs of the empirical kernel.
    exponents : dict
        Slopes of log gap, movement and concentration against log width.
    seconds : dict
        Wall time of each part.
    environment : dict
        Versions and machine.
    """

    settings: StudySettings
    data: dict[str, Any]
    arrays: dict[str, np.ndarray]
    exponents: dict[str, float]
    seconds: dict[str, float]
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def error_name(self) -> str:
        """What the test errors are."""
        return "error rate" if self.data["task"] == "classification" else "RMSE / std"

    def rows(self) -> list[tuple[str, list[float]]]:
        """The table of test errors: for each method one value a width, or a single one."""
        a = self.arrays
        return [
            ("network, trained", a["error_network"][:, :, -1].mean(axis=1).tolist()),
            ("linearized network, same steps", a["error_linearized"][:, :, -1].mean(axis=1).tolist()),
            ("infinite width, same steps", [float(a["error_infinite"][-1])]),
            ("empirical kernel regression", a["regression_empirical"].mean(axis=1).tolist()),
            ("infinite kernel regression", [float(a["regression_infinite"])]),
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything but the arrays, with the table and the largest gaps."""
        a = self.arrays
        return {
            "settings": asdict(self.settings),
            "data": self.data,
            "error": self.error_name,
            "table": dict(self.rows()),
            "largest_gap_linearized": a["gap_linearized"].max(axis=2).mean(axis=1).tolist(),
            "largest_gap_infinite": a["gap_infinite"].max(axis=2).mean(axis=1).tolist(),
            "final_movement": a["movement"][:, :, -1].mean(axis=1).tolist(),
            "concentration": a["concentration"].mean(axis=1).tolist(),
            "exponents": self.exponents,
            "seconds": self.seconds,
            "environment": self.environment,
        }


class _Sample:
    """The split on the chosen library, with the infinite-width kernel of all its inputs."""

    def __init__(self, settings: StudySettings, split: Split) -> None:
        place = _place(settings.library)
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


def _place(library: str) -> Home:
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


def run_study(settings: StudySettings, dataset: Dataset, *, progress: bool = False) -> Study:
    """Train networks of several widths and compare them with what their kernels predict.

    For each width and network: full-batch gradient descent on the squared error; the same number of steps of its
    linearization, exactly, through its full empirical NTK; and of the infinite-width kernel, from the network's
    own f_0. All are compared on held-out inputs at geometrically spaced steps.

    Parameters
    ----------
    settings : StudySettings
    dataset : Dataset
        See :func:`load_dataset`.
    progress : bool
        Show progress bars.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If the data are too few for the split, or train * outputs is above 10,000.
    """
    outputs = max(len(dataset.classes), 1)
    settings = _with_sizes(settings, len(dataset.x), outputs)
    split_seeds, network_seeds, draw_seeds = np.random.SeedSequence(settings.seed).spawn(3)
    seconds: dict[str, float] = {}
    with _clock(seconds, "total"):
        with _clock(seconds, "infinite kernel"):
            sample = _Sample(settings, dataset.split(settings.train, settings.test, split_seeds))
        with _clock(seconds, "concentration"):
            concentration = _concentration(settings, sample, draw_seeds, progress)
        widths = [width for width in settings.widths for _ in range(settings.networks)]
        nets = [settings.network(width, outputs) for width in widths]
        seeds = network_seeds.spawn(len(nets))
        with _clock(seconds, "stable step"):
            plan = _plan(settings, sample, nets, seeds, progress)
        infinite = _infinite(sample, plan)
        measured = []
        bar = progress_bar(nets, "networks", "net", progress)
        for net, width, own in zip(bar, widths, seeds, strict=True):
            params = net.init(own, like=sample.x)
            with _clock(seconds, "predictions"):
                predicted = _predict(net, params, sample, plan)
            with _clock(seconds, "training"):
                trained = _train(net, params, sample, plan, f"training width {width}" if progress else False)
            measured.append(_compare(sample, predicted, trained))
    arrays = {
        "steps": plan.recorded,
        "times": plan.step * plan.recorded,
        "widths": np.asarray(settings.widths),
        **concentration,
        **infinite,
        **_stack(measured, len(settings.widths)),
    }
    arrays["watched_target"] = sample.y_test[:WATCHED].max(axis=1) if sample.classes else sample.y_test[:WATCHED, 0]
    return Study(
        settings,
        {
            "name": dataset.name,
            "task": dataset.task,
            "rows": len(dataset.x),
            "features": int(dataset.x.shape[1]),
            "outputs": outputs,
            "classes": list(dataset.classes),
            "step": plan.step,
        },
        arrays,
        _exponents(arrays),
        {name: round(value, 2) for name, value in seconds.items()},
        _environment(settings.library),
    )


def _with_sizes(settings: StudySettings, rows: int, outputs: int) -> StudySettings:
    """The settings with the sizes of the split filled in; a kernel matrix too large is refused here, before work."""
    train = min(200, 2 * rows // 3) if settings.train is None else settings.train
    test = max(min(400, rows - train), 1) if settings.test is None else settings.test
    size = train * outputs
    if size > MAX_ROWS:
        raise ValueError(
            f"train = {train} with {outputs} outputs needs a kernel matrix of {size} rows, {8e-9 * size**2:.1f} GB "
            f"and its eigenvectors; take train <= {MAX_ROWS // outputs}"
        )
    return replace(settings, train=train, test=test)


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block."""
    start = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


class _Plan(NamedTuple):
    """The step of gradient descent, and the numbers of steps at which to look (T,)."""

    step: float
    recorded: np.ndarray


def _plan(
    settings: StudySettings,
    sample: _Sample,
    nets: list[Sequential],
    seeds: list[np.random.SeedSequence],
    progress: bool,
) -> _Plan:
    """A step that is stable for every kernel: the narrow networks' eigenvalues reach above the limit's."""
    n = sample.x.shape[0]
    stable = max_step(sample.infinite, sample.rows)
    for net, own in zip(progress_bar(nets, "largest stable step", "net", progress), seeds, strict=True):
        kernel = EmpiricalNTK(net, net.init(own, like=sample.x))
        stable = min(stable, n / _largest_eigenvalue(kernel, sample))
    recorded = np.unique(np.concatenate([[0], np.geomspace(1, settings.steps, 28).round().astype(int)]))
    return _Plan(settings.step_fraction * stable, recorded)


def _largest_eigenvalue(kernel: EmpiricalNTK, sample: _Sample, iterations: int = 20) -> float:
    """By power iteration on products, from the targets; a few per cent low at worst, which step_fraction covers."""
    v, size = sample.y, 1.0
    for _ in range(iterations):
        product = kernel.matvec(sample.x, None, v)
        size = float(to_host(sample.norm(product)))
        v = product / size
    return size


def _infinite(sample: _Sample, plan: _Plan) -> dict[str, np.ndarray]:
    """Test errors of the infinite-width prediction from f_0 = 0, over time and in the limit."""
    cost = sample.row_cost(sample.y)
    path = GradientDescent(sample.infinite, cost, plan.step).predict(sample.rows_test, plan.recorded)
    limit = GradientFlow(sample.infinite, cost).predict(sample.rows_test)
    return {
        "error_infinite": sample.error(to_host(path)),
        "regression_infinite": np.asarray(sample.error(to_host(limit))),
    }


def _concentration(
    settings: StudySettings, sample: _Sample, seeds: np.random.SeedSequence, progress: bool
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


def _predict(net: Sequential, params: Params, sample: _Sample, plan: _Plan) -> dict[str, np.ndarray]:
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


def _train(
    net: Sequential, params: Params, sample: _Sample, plan: _Plan, progress: bool | str
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


def _compare(
    sample: _Sample, predicted: dict[str, np.ndarray], trained: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
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


def _stack(measured: list[dict[str, np.ndarray]], widths: int) -> dict[str, np.ndarray]:
    """Measurements as (W, R, ...); what is watched, of the first network of each width only, (W, ...)."""
    stacked = {}
    for name in measured[0]:
        values = np.stack([one[name] for one in measured])
        values = values.reshape(widths, -1, *values.shape[1:])
        stacked[name] = values[:, 0] if name.startswith("watched") else values
    return stacked


def _exponents(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Slopes of log y against log width."""

    def slope(widths: np.ndarray, values: np.ndarray) -> float:
        return float(np.polyfit(np.log(widths), np.log(np.maximum(values, 1e-300)), 1)[0])

    widths = arrays["widths"]
    return {
        "concentration": slope(arrays["concentration_widths"], arrays["concentration"].mean(axis=1)),
        "gap_linearized": slope(widths, arrays["gap_linearized"].max(axis=2).mean(axis=1)),
        "gap_infinite": slope(widths, arrays["gap_infinite"].max(axis=2).mean(axis=1)),
        "movement": slope(widths, arrays["movement"].max(axis=2).mean(axis=1)),
    }


def _environment(library: str) -> dict[str, Any]:
    from importlib import metadata

    packages = ["ntk_array", "numpy", "scipy", *([] if library == "numpy" else [library])]
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count(), **versions}
