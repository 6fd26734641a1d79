"""Experiments over widths and runs: how they are carried out, kept and summed up."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._array.description import fingerprint
from .._array.namespace import Array, home, to_host
from .._array.random import Seed, seed_sequence
from .._array.validate import count, inputs, positive, same_home, targets
from .._support.html import table
from ..function_space import EmpiricalMeasure, SquaredError
from ..nn import Layer
from .journal import Journal, described
from .pictures import scaling_picture
from .power_law import PowerLaw
from .runs import Measure, Start, memory_of_run, recorded_steps, stable_step, train_and_measure
from .together import run_together

__all__ = [
    "FITTED",
    "Folder",
    "ScalingResult",
    "checked_fraction",
    "checked_widths",
    "first_rows",
    "network_of_size",
    "run_seed",
    "scaling_of_training",
    "training_sample",
]

Folder = str | os.PathLike[str] | None

FITTED = 0.01  # laws are fitted to runs whose cost fell below this share of its start


@dataclass(frozen=True, repr=False)
class ScalingResult:
    """What an experiment found over widths.

    Attributes
    ----------
    name : str
        The experiment.
    widths : numpy.ndarray (W,)
    arrays : dict of numpy.ndarray
        Results by name; the function that ran the experiment documents them.
    laws : dict of PowerLaw
        Each fitted to the array (W, R) of the same name, R runs a width.
    meaning : dict of str
        What the arrays with a law are.
    """

    name: str
    widths: np.ndarray
    arrays: dict[str, np.ndarray]
    laws: dict[str, PowerLaw]
    meaning: dict[str, str]

    @property
    def law(self) -> PowerLaw:
        """The first law, the one the experiment is about."""
        return next(iter(self.laws.values()))

    def plot(self) -> Any:
        """All values over the width with their laws, a panel each, as a matplotlib Figure."""
        return scaling_picture(
            [(self.widths, self.arrays[name], law, self.meaning[name]) for name, law in self.laws.items()]
        )

    def _repr_html_(self) -> str:
        rows = [
            (self.meaning[name], law.exponent, f"{law.low:.2f} to {law.high:.2f}", law.points, law.excluded)
            for name, law in self.laws.items()
        ]
        title = f"{self.name} over widths {', '.join(map(str, self.widths))}"
        return table(
            title, rows, ("quantity", "exponent", f"{100 * self.law.confidence:g} % interval", "runs", "left out")
        )

    def __repr__(self) -> str:
        lines = [f"{self.name} over widths {', '.join(map(str, self.widths))}"]
        lines += [f"  {name}: {law}" for name, law in self.laws.items()]
        fitted = self.arrays.get("fitted")
        if fitted is not None and not fitted.all():
            lines.append(
                f"  the cost of {fitted.size - fitted.sum()} of {fitted.size} runs did not fall below "
                f"{100 * FITTED:g} % of its start: take more steps"
            )
        return "\n".join(lines)


def scaling_of_training(
    measures: Sequence[type[Measure]],
    network: Callable[[int], Layer],
    x: Array,
    y: Array,
    x_test: Array | None,
    widths: Sequence[int],
    *,
    networks: int = 5,
    steps: int = 500,
    step_fraction: float = 0.5,
    probe: int = 32,
    seed: Seed = 0,
    folder: Folder = None,
    progress: bool = False,
) -> dict[str, ScalingResult]:
    """Train networks of every width once, take all measures along the way, and sum each up.

    Parameters
    ----------
    measures : sequence of Measure classes
    network, x, y, x_test, widths, networks, steps, step_fraction, probe, seed, folder, progress
        As for :func:`linearization_gap` and :func:`kernel_stability`.

    Returns
    -------
    dict of ScalingResult
        By the names of the measures.
    """
    cost, x_test = training_sample(x, y, x_test)
    step_fraction = checked_fraction(step_fraction)
    widths, networks = checked_widths(widths), count("networks", networks)
    nets = {width: network_of_size(network, width) for width in widths}
    # Arrays such as layers_over_time, with an axis of layers, are stacked over widths and need one shape.
    if len({net.factor_count for net in nets.values()}) > 1:
        raise ValueError("network(width) must have the same number of layers at every width")
    steps, probe = count("steps", steps), count("probe", probe)
    recorded, probed = recorded_steps(steps), first_rows(cost.p_in.x, probe)
    root = seed_sequence(seed)
    journal = Journal(
        folder,
        {
            "measures": [measure.name for measure in measures],
            "networks": {str(width): described(net) for width, net in nets.items()},
            "runs": networks,
            "x": fingerprint(cost.p_in.x),
            "y": fingerprint(cost.y),
            "x_test": fingerprint(x_test),
            "library": home(cost.y).xp.__name__,
            "steps": steps,
            "step_fraction": step_fraction,
            "probe": probe,
            "seed": [str(root.entropy), *root.spawn_key],
        },
    )

    def train_network(width: int, run: int, alone: bool) -> dict[str, np.ndarray]:
        net = nets[width]
        params = net.init(run_seed(root, width, run), like=cost.p_in.x)
        # Each network has a step of its own: its kernel at initialization, and so its largest stable step, is random.
        step = step_fraction * stable_step(net, params, cost)
        start = Start(net, params, cost, x_test, probed, step, recorded)
        return train_and_measure(start, measures, f"training width {width}" if progress and alone else False)

    jobs = [(width, run) for width in widths for run in range(networks)]
    found = run_together(
        lambda job, alone: journal.keep("-".join(map(str, job)), partial(train_network, *job, alone)),
        jobs,
        cost.y,
        memory_of_run(*cost.y.shape),
        "networks",
        progress,
    )
    # The jobs go through widths first, then runs: so do the two leading axes (W, R).
    arrays = {
        name: np.stack([run[name] for run in found]).reshape(len(widths), networks, *found[0][name].shape)
        for name in found[0]
    }
    return {measure.name: _summed_up(measure, widths, arrays, recorded) for measure in measures}


def _summed_up(
    measure: type[Measure], widths: tuple[int, ...], arrays: dict[str, np.ndarray], recorded: np.ndarray
) -> ScalingResult:
    """The arrays of one measure, with a law for each that has one number a run."""
    prefix = f"{measure.name}/"
    own = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
    fitted = arrays["cost"][..., -1] < FITTED * arrays["cost"][..., 0]
    laws = {name: PowerLaw.fit(widths, values, fitted) for name, values in own.items() if values.ndim == 2}
    shared = {"steps": recorded, "times": arrays["times"], "cost": arrays["cost"], "fitted": fitted}
    meaning = {name: measure.meaning.get(name, name) for name in laws}
    return ScalingResult(measure.name, np.asarray(widths), {**shared, **own}, laws, meaning)


def training_sample(x: Array, y: Array, x_test: Array | None) -> tuple[SquaredError, Array]:
    """The training set as a cost, targets as columns, and held-out inputs (the training inputs if there are none)."""
    x = inputs("x", x)
    y = targets("y", y, x)
    x_test = x if x_test is None else inputs("x_test", x_test)
    same_home(x=x, y=y, x_test=x_test)
    if not to_host(home(y).xp.any(y != 0)):
        raise ValueError("y is zero everywhere: distances are measured in units of the targets")
    if x_test.shape[1:] != x.shape[1:]:
        raise ValueError(f"x_test has inputs of shape {tuple(x_test.shape[1:])}, x of shape {tuple(x.shape[1:])}")
    return SquaredError(EmpiricalMeasure(x), y[:, None] if y.ndim == 1 else y), x_test


def checked_fraction(step_fraction: float) -> float:
    """A share of the largest stable step."""
    if positive("step_fraction", step_fraction) >= 1:
        raise ValueError(f"step_fraction must be below 1, where training is stable, got {step_fraction}")
    return float(step_fraction)


def checked_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Two or more different widths, in ascending order."""
    checked = tuple(sorted({count("widths", width) for width in widths}))
    if len(checked) < 2:
        raise ValueError(f"widths must hold two different widths or more, got {widths!r}")
    return checked


def network_of_size(network: Callable[..., Layer], *size: int) -> Layer:
    """The network that the user's function makes for a size: a width, or a width and a depth."""
    if not callable(network) or isinstance(network, Layer):
        raise TypeError(
            "network must be a function that makes a network of a width, such as "
            f"lambda width: ntk_array.nn.mlp((width, width), 1), got {network!r}"
        )
    net = network(*size)
    if not isinstance(net, Layer):
        raise TypeError(f"network({', '.join(map(str, size))}) must return a network of ntk_array.nn, got {net!r}")
    return net


def first_rows(x: Array, rows: int) -> Array:
    """So many of the inputs, or all there are."""
    return x[: min(rows, x.shape[0]), ...]


def run_seed(root: np.random.SeedSequence, *run: int) -> np.random.SeedSequence:
    """The seed of one run, whatever other runs there are."""
    # Not root.spawn(): its seeds depend on how many were spawned before, and finished runs are skipped.
    return np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, *run))
