"""How close a trained network is to kernel regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from .._array.namespace import Array, to_host
from .._array.random import Seed
from ..dynamics import GradientFlow
from ..kernels import EmpiricalNTK, InfiniteNTK, Kernel
from ..nn import Layer
from .runs import HeldOut, Start, rms
from .scaling import Folder, ScalingResult, scaling_of_training

__all__ = ["RegressionGap", "regression_gap"]


class RegressionGap(HeldOut):
    """The distance on held-out inputs from kernel regression, after the last step."""

    name = "regression_gap"
    meaning: ClassVar[dict[str, str]] = {
        "empirical": "distance from regression, empirical kernel",
        "infinite": "distance from regression, infinite kernel",
    }

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        kernels: dict[str, Kernel] = {
            "empirical": EmpiricalNTK(start.net, start.params),
            "infinite": InfiniteNTK(start.net),
        }
        f0 = start.net.bind(start.params)
        # predict() without a time is the limit t = inf. It is kernel regression from the network's own f_0.
        self.predicted = {
            name: to_host(GradientFlow(kernel, start.cost, f0=f0).predict(start.x_test))
            for name, kernel in kernels.items()
        }

    def conclude(self, seen: list[Any]) -> dict[str, np.ndarray]:
        """The distance from both."""
        return {name: rms(seen[-1] - predicted) / self.scale for name, predicted in self.predicted.items()}


def regression_gap(
    network: Callable[[int], Layer],
    x: Array,
    y: Array,
    x_test: Array,
    widths: Sequence[int],
    *,
    networks: int = 5,
    steps: int = 500,
    step_fraction: float = 0.5,
    seed: Seed = 0,
    folder: Folder = None,
    progress: bool = False,
) -> ScalingResult:
    """How far trained networks are from regression with their kernels on held-out inputs, over widths.

    A wide network that is trained to the end predicts as kernel regression with its NTK (Arora et al. 2019, Theorem
    3.2). Regression is the limit t = inf of the gradient flow from the network's own f_0,
    f_0(x) + Theta(x, X) Theta^-1 (y - f_0(X)), with the empirical kernel at initialization and with the
    infinite-width kernel. The network takes finitely many steps of full-batch gradient descent on
    C(f) = (1/N) sum ||f(x_i) - y_i||^2: what these have not learned is part of the distance.

    Parameters
    ----------
    network, x, y, x_test, widths, networks, steps, step_fraction, seed, folder, progress
        As for :func:`linearization_gap`.

    Returns
    -------
    ScalingResult
        Laws and arrays "empirical" and "infinite" (W, R): the root mean square distance after the last step over
        held-out inputs and outputs, as a share of that of the targets. Laws are fitted to runs whose cost fell below
        1 % of its start. Further arrays: "cost", "times", "steps" and "fitted" as for :func:`kernel_stability`.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As for :func:`kernel_stability`.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(12, 4))
    >>> result = ntk.experiments.regression_gap(
    ...     lambda width: ntk.nn.mlp((width,), 1), x[:8], x[:8, 0] * x[:8, 1], x[8:], (16, 64, 256), steps=200
    ... )
    >>> sorted(result.laws), result.laws["infinite"].exponent < -0.2
    (['empirical', 'infinite'], True)
    """
    results = scaling_of_training(
        [RegressionGap],
        network,
        x,
        y,
        x_test,
        widths,
        networks=networks,
        steps=steps,
        step_fraction=step_fraction,
        seed=seed,
        folder=folder,
        progress=progress,
    )
    return results[RegressionGap.name]
