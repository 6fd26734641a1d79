"""How little a kernel, and each layer's parameters, move in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from .._array.namespace import Array, to_host
from .._array.random import Seed
from ..kernels import EmpiricalNTK
from ..nn import Layer
from ..nn.parameters import Params, flatten
from .runs import Measure, Start
from .scaling import Folder, ScalingResult, scaling_of_training

__all__ = ["KernelStability", "kernel_stability"]


class KernelStability(Measure):
    """The movement of the full empirical kernel on the probe, and of the parameters of each layer."""

    name = "kernel_stability"
    meaning: ClassVar[dict[str, str]] = {"kernel": "largest movement of the kernel"}

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.kernel, self.layers = self._kernel(start.params), _layers(start.params)

    def observe(self, params: Params) -> tuple[float, list[float]]:
        """Relative movement of the kernel, and of each layer."""
        layers = zip(_layers(params).values(), self.layers.values(), strict=True)
        return _moved(self._kernel(params), self.kernel), [_moved(now, first) for now, first in layers]

    def conclude(self, seen: list[Any]) -> dict[str, np.ndarray]:
        """Movement over time, and the largest."""
        kernel, layers = (np.asarray(column) for column in zip(*seen, strict=True))
        largest = {f"layer {name}": layers[:, k].max() for k, name in enumerate(self.layers)}
        return {"kernel": kernel.max(), **largest, "kernel_over_time": kernel, "layers_over_time": layers}

    def _kernel(self, params: Params) -> np.ndarray:
        return to_host(EmpiricalNTK(self.start.net, params)(self.start.probe))


def kernel_stability(
    network: Callable[[int], Layer],
    x: Array,
    y: Array,
    widths: Sequence[int],
    *,
    networks: int = 5,
    steps: int = 500,
    step_fraction: float = 0.5,
    probe: int = 32,
    seed: Seed = 0,
    folder: Folder = None,
    progress: bool = False,
) -> ScalingResult:
    """How far the empirical kernel and the parameters of each layer move in training, over widths.

    At infinite width the kernel stays what it is at initialization (Jacot et al. 2018, Theorem 2); at finite width
    ||Theta_t - Theta_0||_F = O(width^-1/2) at all times (Lee et al. 2019, Theorem 2.1), often nearer to width^-1. All
    networks are trained by full-batch gradient descent on C(f) = (1/N) sum ||f(x_i) - y_i||^2.

    Parameters
    ----------
    network : callable
        From a width to a network, such as ``lambda width: ntk.nn.mlp((width, width), 10)``, or for images
        ``lambda width: ntk.nn.cnn((width, width), 10)``, ``lambda width: ntk.nn.myrtle(5, 10, width=width)``.
    x : array (N, ...)
        Training inputs; their library, device and dtype are used throughout.
    y : array (N, C) or (N,)
        Targets.
    widths : sequence of int
        Two or more.
    networks : int
        R, how many networks of each width are trained.
    steps : int
        Of gradient descent.
    step_fraction : float
        The step, as a share of the largest one that is stable for the network's own kernel at initialization.
    probe : int
        On how many of the training inputs the kernels are compared.
    seed : int or numpy.random.Generator
    folder : path, optional
        Finished runs are kept here. The same call continues an interrupted experiment and computes none of them again.
    progress : bool
        Show progress bars.

    Returns
    -------
    ScalingResult
        Laws and arrays (W, R): "kernel", the largest ||Theta_t - Theta_0||_F / ||Theta_0||_F over recorded times, with
        all C x C outputs; "layer 0" and so on, the largest ||theta_t - theta_0|| / ||theta_0|| of each layer with
        parameters, by its place in the network. Laws are fitted to runs whose cost fell below 1 % of its start. Further
        arrays: "kernel_over_time" (W, R, T), "layers_over_time" (W, R, T, layers), "cost" (W, R, T), "times" (W, R, T),
        "steps" (T,), and "fitted" (W, R), which runs the laws use.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, or a folder that holds runs of another experiment.
    FloatingPointError
        If training diverges: take a smaller step_fraction.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(8, 4))
    >>> result = ntk.experiments.kernel_stability(
    ...     lambda width: ntk.nn.mlp((width,), 1, activation="erf"), x, x[:, 0] * x[:, 1], (16, 64, 256), steps=200
    ... )
    >>> result.arrays["kernel"].shape, result.law.exponent < -0.5
    ((3, 5), True)
    """
    results = scaling_of_training(
        [KernelStability],
        network,
        x,
        y,
        None,
        widths,
        networks=networks,
        steps=steps,
        step_fraction=step_fraction,
        probe=probe,
        seed=seed,
        folder=folder,
        progress=progress,
    )
    return results[KernelStability.name]


def _layers(params: Params) -> dict[str, np.ndarray]:
    """All parameters of each layer as one vector, on the host."""
    layers: dict[str, list[np.ndarray]] = {}
    for name, leaf in flatten(params).items():
        # The name of a parameter is its place and its kind: 2.weight and 2.bias belong to layer 2.
        layers.setdefault(name.rpartition(".")[0], []).append(to_host(leaf).ravel())
    return {name: np.concatenate(leaves) for name, leaves in layers.items()}


def _moved(now: np.ndarray, first: np.ndarray) -> float:
    # numpy.linalg.norm without an order takes an array of any shape as one vector. So for a kernel (P, C, P, C) it is
    # the Frobenius norm.
    return float(np.linalg.norm(now - first) / np.linalg.norm(first))
