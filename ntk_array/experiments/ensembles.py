"""Networks trained from many initializations, beside the Gaussian distribution that their kernels predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._array.description import fingerprint
from .._array.namespace import Array, home, to_host
from .._array.random import Seed, seed_sequence
from .._array.validate import count
from ..dynamics import Ensemble, max_step
from ..kernels import InfiniteNTK
from ..nn import Layer, train
from ..nn.parameters import Params
from .journal import Journal, described
from .pictures import draw_panels, legend_below
from .runs import memory_of_run, recorded_steps
from .scaling import Folder, checked_fraction, run_seed, training_sample
from .together import run_together, stop_if_asked

__all__ = ["TrainedEnsemble", "trained_ensemble"]


@dataclass(frozen=True, repr=False)
class TrainedEnsemble:
    """R trained networks beside the predicted distribution, at T times, on M held-out inputs with C outputs.

    Attributes
    ----------
    times : numpy.ndarray (T,)
        step * k.
    outputs : numpy.ndarray (R, T, M, C)
        Of the networks.
    cost : numpy.ndarray (R, T)
        On the training set.
    mean : numpy.ndarray (T, M, C)
        Predicted, over initializations.
    standard_deviation : numpy.ndarray (T, M)
        Predicted, the same for every output.
    """

    times: np.ndarray
    outputs: np.ndarray
    cost: np.ndarray
    mean: np.ndarray
    standard_deviation: np.ndarray

    @property
    def mean_errors(self) -> np.ndarray:
        """The networks' mean less the predicted one, in standard errors of a mean of R draws, (T, M, C)."""
        error = self.standard_deviation / len(self.outputs) ** 0.5
        return np.asarray((self.outputs.mean(axis=0) - self.mean) / error[..., None])

    @property
    def variance_ratios(self) -> np.ndarray:
        """The networks' variance over the predicted one, (T, M, C); of R draws it scatters by sqrt(2 / (R - 1))."""
        return np.asarray(self.outputs.var(axis=0, ddof=1) / self.standard_deviation[..., None] ** 2)

    def __repr__(self) -> str:
        z, ratio = self.mean_errors, self.variance_ratios
        return (
            f"{len(self.outputs)} trained networks: their means are {np.sqrt(np.mean(z**2)):.2f} standard errors from "
            f"the predicted ones (root mean square; 1 is sampling alone), their variances {ratio.mean():.2f} times the "
            "predicted ones on average"
        )

    def plot(self, panels: int = 3, output: int = 0) -> Any:
        """Outputs of all networks over time with the predicted mean and two standard deviations, an input a panel.

        Returns a matplotlib Figure.
        """
        panels = min(count("panels", panels), self.mean.shape[1])
        return draw_panels(panels, lambda axes: self.draw(axes, [output] * panels))

    def draw(self, axes: np.ndarray, outputs: Sequence[int]) -> None:
        """The same on matplotlib axes, with an output of its own for each input."""
        # The time axis is logarithmic and has no place for t = 0.
        times = self.times[1:]
        for m, (axis, c) in enumerate(zip(axes, outputs, strict=True)):
            mean, two = self.mean[1:, m, c], 2.0 * self.standard_deviation[1:, m]
            axis.plot(times, self.outputs[:, 1:, m, c].T, color="#7fb3d5", lw=0.5, alpha=0.5)
            axis.fill_between(times, mean - two, mean + two, color="#1a3f6f", alpha=0.15, lw=0)
            axis.plot(times, mean, color="#1a3f6f", lw=1.6)
            axis.set(xscale="log", xlabel="time t = step × number of steps", title=f"held-out input {m}")
        axes[0].set_ylabel("output")
        axes[0].plot([], [], color="#7fb3d5", lw=1, label=f"{len(self.outputs)} networks")
        axes[0].plot([], [], color="#1a3f6f", lw=1.6, label="predicted: mean, ± 2 σ")
        legend_below(axes[0])


def trained_ensemble(
    net: Layer,
    x: Array,
    y: Array,
    x_test: Array,
    *,
    networks: int = 100,
    steps: int = 500,
    step_fraction: float = 0.05,
    seed: Seed = 0,
    folder: Folder = None,
    progress: bool = False,
) -> TrainedEnsemble:
    """Train a network from many initializations, and predict the mean and the spread of what comes out.

    Over initializations the outputs of a wide network are Gaussian at every time of training, with a mean and a
    covariance that its NTK and NNGP kernels determine (Lee et al. 2019, eq. 13 to 15):
    :class:`~ntk_array.dynamics.Ensemble`. Networks take steps of full-batch gradient descent on
    C(f) = (1/N) sum ||f(x_i) - y_i||^2; after k of them they are at time t = step * k of the flow, up to an error of
    the order of the step, which is why it is small here.

    Parameters
    ----------
    net : Layer
        The network; the wider, the nearer to the prediction.
    x : array (N, ...)
        Training inputs; their library, device and dtype are used throughout.
    y : array (N, C) or (N,)
        Targets.
    x_test : array (M, ...)
        Held-out inputs.
    networks : int
        R, at least 2.
    steps : int
        Of gradient descent.
    step_fraction : float
        The step, as a share of the largest stable one at infinite width.
    seed, folder, progress
        As for :func:`kernel_stability`.

    Returns
    -------
    TrainedEnsemble

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As for :func:`kernel_stability`.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(7, 3))
    >>> net = ntk.nn.mlp((256,), 1, activation="erf", bias_std=0.3)
    >>> found = ntk.experiments.trained_ensemble(net, x[:5], x[:5, 0], x[5:], networks=20, steps=50)
    >>> found.outputs.shape, found.mean.shape, bool(0.5 < found.variance_ratios.mean() < 1.5)
    ((20, 22, 2, 1), (22, 2, 1), True)
    """
    cost, x_test = training_sample(x, y, x_test)
    # From here on Python's own numbers, which JSON takes.
    networks, steps = count("networks", networks), count("steps", steps)
    if networks < 2:
        raise ValueError("networks must be at least 2: one has no spread")
    recorded, root = recorded_steps(steps), seed_sequence(seed)
    step = checked_fraction(step_fraction) * max_step(InfiniteNTK(net), cost.p_in.x)
    # The prediction is that of gradient flow, at the times which the steps have reached.
    times = step * recorded
    predicted = Ensemble.of(net, cost).predict(x_test, t=times.tolist())
    # The number of networks is not in the spec. The seed of a run depends on its number only, so that a later call
    # with more networks takes over those that are finished.
    journal = Journal(
        folder,
        {
            "measures": ["trained_ensemble"],
            "networks": described(net),
            "x": fingerprint(cost.p_in.x),
            "y": fingerprint(cost.y),
            "x_test": fingerprint(x_test),
            "library": home(cost.y).xp.__name__,
            "steps": steps,
            "step": step,
            "seed": [str(root.entropy), *root.spawn_key],
        },
    )

    def observe(now: Params) -> np.ndarray:
        stop_if_asked()
        return to_host(net(now, x_test))

    def one(run: int) -> dict[str, np.ndarray]:
        record = train(
            net,
            net.init(run_seed(root, run), like=cost.p_in.x),
            cost,
            step=step,
            steps=steps,
            record=recorded.tolist(),
            observe=observe,
        )
        return {"outputs": np.stack(record.observations), "cost": np.asarray(record.costs)}

    found = run_together(
        lambda run, alone: journal.keep(str(run), partial(one, run)),
        range(networks),
        cost.y,
        memory_of_run(*cost.y.shape),
        "training",
        progress,
    )
    return TrainedEnsemble(
        times,
        np.stack([run["outputs"] for run in found]),
        np.stack([run["cost"] for run in found]),
        to_host(predicted.mean),
        to_host(predicted.standard_deviation),
    )
