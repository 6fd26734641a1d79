"""The study: real networks on real data, beside what their kernels predict of them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from .._array.progress import progress_bar
from .comparison import WATCHED, Sample, compare, concentration, infinite_errors, plan_steps, predict, train_network
from .data import Dataset
from .settings import StudySettings

__all__ = ["Study", "run_study"]

MAX_ROWS = 10_000  # of the full empirical kernel matrix, N C: 800 MB and minutes to diagonalize


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
            sample = Sample(settings, dataset.split(settings.train, settings.test, split_seeds))
        with _clock(seconds, "concentration"):
            at_initialization = concentration(settings, sample, draw_seeds, progress)
        widths = [width for width in settings.widths for _ in range(settings.networks)]
        nets = [settings.network(width, outputs) for width in widths]
        seeds = network_seeds.spawn(len(nets))
        with _clock(seconds, "stable step"):
            plan = plan_steps(settings, sample, nets, seeds, progress)
        infinite = infinite_errors(sample, plan)
        measured = []
        bar = progress_bar(nets, "networks", "net", progress)
        for net, width, own in zip(bar, widths, seeds, strict=True):
            params = net.init(own, like=sample.x)
            with _clock(seconds, "predictions"):
                predicted = predict(net, params, sample, plan)
            with _clock(seconds, "training"):
                trained = train_network(net, params, sample, plan, f"training width {width}" if progress else False)
            measured.append(compare(sample, predicted, trained))
    arrays = {
        "steps": plan.recorded,
        "times": plan.step * plan.recorded,
        "widths": np.asarray(settings.widths),
        **at_initialization,
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
