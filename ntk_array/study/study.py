"""The study: real networks on real data, beside what their kernels predict of them."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._array.description import fingerprint
from .._array.namespace import to_host
from .._array.short import short_repr
from .._support.versions import installed_version
from ..experiments.concentration import kernel_concentration
from ..experiments.ensembles import TrainedEnsemble, trained_ensemble
from ..experiments.journal import Journal
from ..experiments.power_law import PowerLaw
from ..experiments.runs import memory_of_run
from ..experiments.scaling import FITTED, Folder
from ..experiments.together import run_together
from .comparison import PROBE, WATCHED, Sample, compare, infinite_errors, plan_steps
from .data import Dataset
from .settings import StudySettings
from .sizes import refuse_misfits, with_sizes

__all__ = ["Study", "run_study"]

ENSEMBLE_ROWS, ENSEMBLE_STEPS = 30, 200  # a hundred networks are trained in the time of a few


@dataclass(frozen=True)
class Study:
    """What was measured. Axes: W widths, R networks a width, T recorded steps, P watched inputs, V widths and D draws
    of the concentration.

    Attributes
    ----------
    settings : StudySettings
    data : dict
        Name, task, sizes and classes of the data; "step", and "steps_needed", after how many steps the cost at infinite
        width is below 1 % of its start, None for never.
    arrays : dict of numpy.ndarray
        "steps", "times" (T,); "cost" (W, R, T) on the training set; "error_network", "error_linearized" (W, R, T) and
        "error_infinite" (T,) on held-out inputs; "gap_linearized", "gap_infinite" (W, R, T), the root mean square
        distance of a network's held-out outputs from its linearization and from the infinite-width prediction, as a
        share of that of the targets; "movement" (W, R, T), ||Theta_t - Theta_0||_F / ||Theta_0||_F; "widths"
        (W,); "concentration_widths" (V,) and "concentration" (V, D), ||Theta_0 - Theta||_F / ||Theta||_F;
        "watched_network", "watched_linearized", "watched_infinite" (W, T, P) outputs of each width's first network
        and "watched_target" (P,); "regression_empirical" (W, R) and "regression_infinite" (), errors of kernel
        regression from f_0 = 0, with the mean over outputs of the empirical kernel; the names of test errors with
        "_spread" are the standard errors of the last of them, over held-out rows; "from_regression_empirical" and
        "from_regression_infinite" (W, R), the distances of trained networks from regression from their own f_0;
        "movement_layers" (W, R, T, layers), ||theta_t - theta_0|| / ||theta_0|| of each layer; "eigenvalues" (K,) of
        the infinite-width kernel on p^in, and "remaining_network", "remaining_infinite" (W, R, T, B), what is left of
        the squared training residual along its principal components "bands" (B, 2), from and up to.
    ensemble : TrainedEnsemble
        Networks of a middle width from many initializations, trained on the first inputs only, at the watched inputs.
    laws : dict of PowerLaw
        "concentration", the largest "gap_linearized", "gap_infinite" and "movement" over time, and
        "from_regression_empirical" and "from_regression_infinite", over the width. Those of training are fitted to runs
        whose cost fell below 1 % of its start.
    seconds : dict
        Wall time of each part, and "processor", the time of all threads together; of runs that were kept from before,
        none.
    environment : dict
        Versions and machine.
    """

    __repr__ = short_repr

    settings: StudySettings
    data: dict[str, Any]
    arrays: dict[str, np.ndarray]
    ensemble: TrainedEnsemble
    laws: dict[str, PowerLaw]
    seconds: dict[str, float]
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def exponents(self) -> dict[str, float]:
        """The exponent of each law."""
        return {name: law.exponent for name, law in self.laws.items()}

    @property
    def distances(self) -> dict[str, np.ndarray]:
        """What each law is fitted to: "concentration" (V, D), the others (W, R), the largest over time or the last."""
        return _distances(self.arrays)

    @property
    def error_name(self) -> str:
        """What the test errors are."""
        return "error rate" if self.data["task"] == "classification" else "RMSE / std"

    def rows(self) -> list[tuple[str, list[float], list[float]]]:
        """The table of test errors: for each method one value a width, or a single one, and their standard errors.

        All networks of a width are tested on the same held-out rows. So the standard error of their mean is that of one
        of them, and does not shrink with their number.
        """
        a = self.arrays

        def row(text: str, errors: np.ndarray, name: str) -> tuple[str, list[float], list[float]]:
            spread = np.sqrt(np.mean(np.atleast_2d(a[f"{name}_spread"]) ** 2, axis=1))
            return text, np.atleast_2d(errors).mean(axis=1).tolist(), spread.tolist()

        return [
            row("network, trained", a["error_network"][:, :, -1], "error_network"),
            row("linearized network, same steps", a["error_linearized"][:, :, -1], "error_linearized"),
            row("infinite width, same steps", a["error_infinite"][-1], "error_infinite"),
            row("empirical kernel regression", a["regression_empirical"], "regression_empirical"),
            row("infinite kernel regression", a["regression_infinite"], "regression_infinite"),
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything but the arrays, with the table and the largest gaps."""
        a, distances = self.arrays, self.distances
        return {
            "settings": asdict(self.settings),
            "data": self.data,
            "error": self.error_name,
            "table": {name: values for name, values, _ in self.rows()},
            "standard_errors": {name: errors for name, _, errors in self.rows()},
            "largest_gap_linearized": distances["gap_linearized"].mean(axis=1).tolist(),
            "largest_gap_infinite": distances["gap_infinite"].mean(axis=1).tolist(),
            "final_movement": a["movement"][:, :, -1].mean(axis=1).tolist(),
            "concentration": a["concentration"].mean(axis=1).tolist(),
            "ensemble": {
                "networks": len(self.ensemble.outputs),
                "mean_error": float(np.sqrt(np.mean(self.ensemble.mean_errors**2))),
                "variance_ratio": float(self.ensemble.variance_ratios.mean()),
            },
            "laws": {name: law.as_json() for name, law in self.laws.items()},
            "seconds": self.seconds,
            "environment": self.environment,
        }


def run_study(settings: StudySettings, dataset: Dataset, *, folder: Folder = None, progress: bool = False) -> Study:
    """Train networks of several widths and compare them with what their kernels predict.

    For each width and network: full-batch gradient descent on the squared error; the same number of steps of its
    linearization, exactly, through its full empirical NTK; and of the infinite-width kernel, from the network's
    own f_0. All are compared on held-out inputs at geometrically spaced steps.

    Parameters
    ----------
    settings : StudySettings
    dataset : Dataset
        See :func:`load_dataset`.
    folder : path, optional
        Finished runs are kept here, in a folder of their own for each study. The same call continues an interrupted
        study and computes none of them again.
    progress : bool
        Show progress bars.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If the data are too few for the split, train * outputs is above 10,000, or the network takes images and the data
        are a table, or the other way round.
    """
    outputs, began = max(len(dataset.classes), 1), time.process_time()
    refuse_misfits(settings, dataset)
    settings = with_sizes(settings, dataset, outputs)
    journal = _journal(folder, settings, dataset)
    split_seeds, network_seeds, draw_seeds, ensemble_seeds = np.random.SeedSequence(settings.seed).spawn(4)
    seconds: dict[str, float] = {}
    with _clock(seconds, "total"):
        with _clock(seconds, "infinite kernel"):
            sample = Sample(settings, dataset.split(settings.train, settings.test, split_seeds))
        with _clock(seconds, "concentration"):
            concentration = kernel_concentration(
                lambda width: settings.build(width, outputs),
                sample.x,
                _octaves(settings.widths),
                draws=settings.draws,
                probe=PROBE,
                seed=draw_seeds,
                folder=None if journal.folder is None else journal.folder / "concentration",
                progress=progress,
            )
        jobs = [(width, run) for width in settings.widths for run in range(settings.networks)]
        nets = [settings.build(width, outputs) for width, _ in jobs]
        seeds = network_seeds.spawn(len(nets))
        with _clock(seconds, "stable step"):
            plan = plan_steps(settings, sample, nets, seeds, progress)
            settings = replace(settings, steps=int(plan.recorded[-1]))
        infinite = infinite_errors(sample, plan)

        def measure(job: int, alone: bool) -> dict[str, np.ndarray]:
            width, run = jobs[job]
            label = f"training width {width}" if progress and alone else False
            return journal.keep(f"{width}-{run}", partial(compare, nets[job], seeds[job], sample, plan, label))

        with _clock(seconds, "networks"):
            memory = memory_of_run(settings.train or 0, outputs)
            measured = run_together(measure, range(len(jobs)), sample.y, memory, "networks", progress)
        with _clock(seconds, "ensemble"):
            ensemble = trained_ensemble(
                settings.build(settings.widths[len(settings.widths) // 2], outputs),
                sample.x[:ENSEMBLE_ROWS, ...],
                sample.y[:ENSEMBLE_ROWS, ...],
                sample.x_test[:WATCHED, ...],
                networks=settings.ensemble,
                steps=min(int(plan.recorded[-1]), ENSEMBLE_STEPS),
                # A smaller step, because the prediction is that of gradient flow. Steps differ from it by the order
                # of the step.
                step_fraction=0.2 * settings.step_fraction,
                seed=ensemble_seeds,
                folder=None if journal.folder is None else journal.folder / "ensemble",
                progress=progress,
            )
    seconds["processor"] = time.process_time() - began
    arrays = {
        "steps": plan.recorded,
        "times": plan.step * plan.recorded,
        "widths": np.asarray(settings.widths),
        "eigenvalues": to_host(sample.spectrum.eigenvalues),
        "bands": sample.bands,
        "concentration_widths": concentration.widths,
        "concentration": concentration.arrays["frobenius"],
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
            "features": math.prod(dataset.x.shape[1:]),
            "shape": list(dataset.x.shape[1:]),
            "outputs": outputs,
            "classes": list(dataset.classes),
            "step": plan.step,
            "steps_needed": sample.steps_to(FITTED, plan.step),
        },
        arrays,
        ensemble,
        _laws(arrays),
        {name: round(value, 2) for name, value in seconds.items()},
        _environment(settings.library),
    )


def _octaves(widths: tuple[int, ...]) -> list[int]:
    """Widths from the first to the last, about a factor of two apart."""
    low, high = widths[0], widths[-1]
    # At least one, so that two widths closer than an octave still give both ends.
    octaves = max(round(math.log2(high / low)), 1)
    return [round(low * (high / low) ** (k / octaves)) for k in range(octaves + 1)]


def _journal(folder: Folder, settings: StudySettings, dataset: Dataset) -> Journal:
    """Each study has a folder of its own inside, named after all that it depends on."""
    spec = {
        "schema": 2,
        "settings": asdict(settings),
        "x": fingerprint(dataset.x),
        "target": fingerprint(dataset.target),
    }
    key = hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:16]
    return Journal(None if folder is None else Path(folder) / key, spec)


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
        # The jobs go through widths first, then networks.
        values = values.reshape(widths, -1, *values.shape[1:])
        stacked[name] = values[:, 0] if name.startswith("watched") else values
    return stacked


def _distances(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    largest = {name: arrays[name].max(axis=2) for name in ("gap_linearized", "gap_infinite", "movement")}
    taken = ("concentration", "from_regression_empirical", "from_regression_infinite")
    return {**largest, **{name: arrays[name] for name in taken}}


def _laws(arrays: dict[str, np.ndarray]) -> dict[str, PowerLaw]:
    """Each distance over the width: before training of all networks, and after it of those that learned."""
    distances = _distances(arrays)
    before = PowerLaw.fit(arrays["concentration_widths"], distances.pop("concentration"))
    learned = arrays["cost"][..., -1] < FITTED * arrays["cost"][..., 0]
    return {
        "concentration": before,
        **{name: PowerLaw.fit(arrays["widths"], values, learned) for name, values in distances.items()},
    }


def _environment(library: str) -> dict[str, Any]:
    packages = dict.fromkeys(["ntk_array", "numpy", "scipy", library])
    versions = {package: installed_version(package) or "unknown" for package in packages}
    return {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count(), **versions}
