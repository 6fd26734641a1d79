"""How close a network stays to its linearization."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from .._array.namespace import Array, to_host
from .._array.random import Seed
from ..dynamics import GradientDescent
from ..kernels import EmpiricalNTK
from ..nn import Layer
from .runs import HeldOut, Start, rms
from .scaling import Folder, ScalingResult, scaling_of_training

__all__ = ["LinearizationGap", "linearization_gap"]


class LinearizationGap(HeldOut):
    """The distance on held-out inputs from f_lin, which its empirical kernel gives at every step in closed form."""

    name = "linearization_gap"
    meaning: ClassVar[dict[str, str]] = {"gap": "largest distance from the linearization"}

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        kernel, f0 = EmpiricalNTK(start.net, start.params), start.net.bind(start.params)
        descent = GradientDescent(kernel, start.cost, start.step, f0=f0)
        # All recorded steps at once, before training: they share one eigendecomposition of the kernel.
        self.predicted = to_host(descent.predict(start.x_test, start.recorded))

    def conclude(self, seen: list[Any]) -> dict[str, np.ndarray]:
        """The gap over time, and the largest."""
        gap = rms(np.stack(seen) - self.predicted) / self.scale
        return {"gap": gap.max(), "gap_over_time": gap}


def linearization_gap(
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
    """How far trained networks get from their linearizations on held-out inputs, over widths.

    sup_t ||f_t - f_lin,t|| = O(width^-1/2) (Lee et al. 2019, Theorem 2.1). Network and linearization take the same
    steps of full-batch gradient descent on C(f) = (1/N) sum ||f(x_i) - y_i||^2; the linearization takes them
    in closed form, by its full empirical kernel from the network's own f_0.

    Parameters
    ----------
    network, x, y, widths, networks, steps, step_fraction, seed, folder, progress
        As for :func:`kernel_stability`.
    x_test : array (M, ...)
        Held-out inputs.

    Returns
    -------
    ScalingResult
        Law and array "gap" (W, R): the largest root mean square of f_t - f_lin,t over held-out inputs and outputs, over
        recorded times, as a share of the root mean square of the targets. The law is fitted to runs whose cost
        fell below 1 % of its start. Further arrays: "gap_over_time" (W, R, T); "cost", "times", "steps" and "fitted" as
        for :func:`kernel_stability`.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As for :func:`kernel_stability`.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(12, 4))
    >>> result = ntk.experiments.linearization_gap(
    ...     lambda width: ntk.nn.mlp((width,), 1), x[:8], x[:8, 0] * x[:8, 1], x[8:], (16, 64, 256), steps=200
    ... )
    >>> result.arrays["gap"].shape, result.law.exponent < -0.3
    ((3, 5), True)
    """
    results = scaling_of_training(
        [LinearizationGap],
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
    return results[LinearizationGap.name]
