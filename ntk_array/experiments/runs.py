"""One training run of one network, and everything that is measured along it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._array.namespace import Array, home, to_host
from .._array.random import normal
from ..function_space import SquaredError
from ..kernels import EmpiricalNTK, Kernel
from ..nn import Layer, train
from ..nn.parameters import Params
from .together import stop_if_asked

__all__ = ["HeldOut", "Measure", "Start", "memory_of_run", "recorded_steps", "rms", "stable_step", "train_and_measure"]


@dataclass(frozen=True)
class Start:
    """A network before training, and how it will be trained.

    Attributes
    ----------
    net, params
        The network and its parameters at initialization.
    cost : SquaredError
        The training set.
    x_test : array (M, ...)
        Held-out inputs, on which outputs are compared.
    probe : array (P, ...)
        Inputs on which kernels are compared.
    step : float
        The step of gradient descent.
    recorded : numpy.ndarray (T,)
        The numbers of steps at which to look, first 0 and last the number of all steps.
    """

    net: Layer
    params: Params
    cost: SquaredError
    x_test: Array
    probe: Array
    step: float
    recorded: np.ndarray


class Measure(ABC):
    """What an experiment looks at during a run, and what it concludes at the end.

    It is made before training from the start of the run, and predicts there what it has to.
    """

    name: ClassVar[str]
    meaning: ClassVar[dict[str, str]]

    def __init__(self, start: Start) -> None:
        self.start = start

    @abstractmethod
    def observe(self, params: Params) -> Any:
        """What is seen at a recorded step."""

    @abstractmethod
    def conclude(self, seen: list[Any]) -> dict[str, np.ndarray]:
        """Results by name, from what was seen at each recorded step; a law in the width is fitted to each number ()."""


class HeldOut(Measure):
    """A measure of the outputs on held-out inputs, in units of the targets."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.scale = rms(to_host(start.cost.y))

    def observe(self, params: Params) -> np.ndarray:
        """The network's outputs (M, C)."""
        return to_host(self.start.net(params, self.start.x_test))


def train_and_measure(
    start: Start, measures: Sequence[Callable[[Start], Measure]], progress: bool | str = False
) -> dict[str, np.ndarray]:
    """Train once and measure everything: "times" and "cost" (T,), and the results of each measure as "its name/..."."""
    taking = [measure(start) for measure in measures]

    def observe(now: Params) -> list[Any]:
        stop_if_asked()
        return [measure.observe(now) for measure in taking]

    record = train(
        start.net,
        start.params,
        start.cost,
        step=start.step,
        steps=int(start.recorded[-1]),
        record=start.recorded.tolist(),
        observe=observe,
        progress=progress,
    )
    found = {"times": np.asarray(record.times), "cost": np.asarray(record.costs)}
    # Observations are one list a step, with an entry a measure. The inner zip makes one sequence a measure of them.
    for measure, seen in zip(taking, zip(*record.observations, strict=True), strict=True):
        results = measure.conclude(list(seen))
        found |= {f"{measure.name}/{name}": np.asarray(value) for name, value in results.items()}
    return found


def memory_of_run(examples: int, outputs: int) -> int:
    """About as many bytes as a run takes with its predictions: the full empirical kernel, its eigenvectors, and the
    workspace of the eigensolver."""
    return 8 * 6 * (examples * outputs) ** 2


def recorded_steps(steps: int) -> np.ndarray:
    """0, and geometrically spaced numbers of steps up to all of them."""
    # Among the first steps several of the 28 numbers round to the same one. np.unique keeps one of each.
    return np.unique(np.concatenate([[0], np.geomspace(1, steps, 28).round().astype(int)]))


def stable_step(net: Layer, params: Params, cost: SquaredError, iterations: int = 20) -> float:
    """About the largest stable step at initialization, N / lambda_max of the empirical NTK.

    By power iteration on products, a few per cent high at worst: take a share of it.
    """
    kernel: Kernel = EmpiricalNTK(net, params)
    place, x = home(cost.y), cost.p_in.x
    v, size = place.asarray(normal(np.random.SeedSequence(0), *cost.y.shape)), 1.0
    # After the first product v / size has norm 1. Then |K v / size| is at most lambda_max and grows towards it, so that
    # N / size comes down to the largest stable step.
    for _ in range(iterations):
        v = kernel.matvec(x, None, v / size)
        size = float(to_host(place.xp.linalg.vector_norm(v)))
    return len(cost.p_in) / size


def rms(values: np.ndarray) -> np.ndarray:
    """The root mean square over the last two axes, (..., M, C) to (...)."""
    return np.asarray(np.sqrt(np.mean(np.asarray(values, dtype=np.float64) ** 2, axis=(-2, -1))))
