"""Pictures of what kernels predict: over time, over inputs and of targets that were left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._array.namespace import Array, is_array
from .axes import DARK, GREY, MIDDLE, axes, legend, numbers

__all__ = ["dynamics", "left_out", "process"]


def dynamics(
    times: Any, prediction: Any, targets: Any = None, output: int = 0, label: str | None = None, ax: Any = None
) -> Any:
    """Predictions over training time, a line for each input, with bands of two standard deviations where known.

    Parameters
    ----------
    times : sequence (T,)
        As ``predict`` was given. The axis is logarithmic: t = 0 is left out, and values at t = inf are dotted lines.
    prediction : Gaussian or array (T, M) or (T, M, C)
        What a flow, a descent or an ensemble predicts for M inputs at these times.
    targets : sequence (M,), optional
        Drawn as marks at the right edge.
    output : int
        Which of C outputs.
    label : str, optional
        Its name in the legend.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is not one prediction for each time, or no time between 0 and inf.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ax = ntk.plotting.dynamics([1.0, 10.0, np.inf], np.asarray([[0.1, 0.2], [0.3, 0.5], [0.4, 0.9]]))
    >>> [float(value) for value in ax.lines[0].get_ydata()]
    [0.1, 0.3]
    """
    at = np.asarray(times, dtype=np.float64)
    mean, deviation = _moments(prediction, output)
    if at.ndim != 1 or mean.ndim != 2 or len(mean) != len(at):
        raise ValueError(f"predictions {mean.shape} must be (T, M) for T = {at.size} times: predict(x, t=times)")
    shown = (at > 0) & np.isfinite(at)
    if not shown.any():
        raise ValueError("times must have one between 0 and inf: the axis of time is logarithmic")
    ax = axes(ax)
    for m in range(mean.shape[1]):
        (line,) = ax.plot(at[shown], mean[shown, m], lw=1.6, label=label if m == 0 else None)
        if deviation is not None:
            _band(ax, at[shown], mean[shown, m], deviation[shown, m], line.get_color())
        for end in mean[np.isinf(at), m]:
            ax.axhline(end, color=line.get_color(), ls=":", lw=1)
        if targets is not None:
            ax.plot(at[shown].max() * 1.3, np.asarray(targets)[m], "<", color=line.get_color(), ms=6, clip_on=False)
    ax.set(xscale="log", xlabel="time t", ylabel="output")
    return legend(ax, label)


def left_out(prediction: Any, output: int = 0, label: str | None = None, ax: Any = None) -> Any:
    """Predictions of targets that were left out over these targets, with bars of two standard deviations where known.

    Parameters
    ----------
    prediction : LeaveOneOut
        As ``leave_one_out()`` of a :class:`~ntk_array.dynamics.GradientFlow` or a
        :class:`~ntk_array.dynamics.GaussianProcess` gives it.
    output : int
        Which of C outputs.
    label : str, optional
        Its name in the legend.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> found = ntk.dynamics.LeaveOneOut(mean=np.asarray([0.5, 1.5]), residual=np.asarray([0.5, -0.5]))
    >>> ax = ntk.plotting.left_out(found)
    >>> ax.lines[-1].get_xydata()
    array([[1. , 0.5],
           [1. , 1.5]])
    """
    mean, residual = _output("mean", prediction.mean, output), _output("residual", prediction.residual, output)
    targets = mean + residual
    ax = axes(ax)
    ax.axline((targets[0], targets[0]), slope=1.0, color=GREY, ls="--", lw=1)
    if prediction.variance is not None:
        reach = 2.0 * np.sqrt(_output("variance", prediction.variance, output))
        ax.vlines(targets, mean - reach, mean + reach, color=MIDDLE, alpha=0.3, lw=1)
    ax.plot(targets, mean, ".", color=DARK, ms=5, label=label)
    ax.set(xlabel="target", ylabel="its prediction from all others")
    return legend(ax, label)


def process(
    x: Array,
    prediction: Any,
    observed: tuple[Any, Any] | None = None,
    output: int = 0,
    label: str | None = "mean, ± 2 σ",
    ax: Any = None,
) -> Any:
    """A random function of one variable: its mean, and a band of two standard deviations.

    Parameters
    ----------
    x : array (M,) or (M, 1)
        Where it was predicted.
    prediction : Gaussian
        What a :class:`~ntk_array.dynamics.GaussianProcess` or an :class:`~ntk_array.dynamics.Ensemble` predicts there.
    observed : pair of sequences, optional
        Inputs and targets, drawn as points.
    output : int
        Which of C outputs.
    label : str, optional
        Its name in the legend.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is more than one variable, or not one prediction for each input.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x, grid = np.asarray([[-1.0], [0.5]]), np.linspace(-2.0, 2.0, 9)[:, None]
    >>> nngp = ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1, activation="erf", bias_std=1.0))
    >>> model = ntk.dynamics.GaussianProcess(nngp, x, np.asarray([0.0, 1.0]), noise=0.01)
    >>> ax = ntk.plotting.process(grid, model.predict(grid), observed=(x, [0.0, 1.0]))
    >>> len(ax.lines[0].get_xdata()), len(ax.collections)
    (9, 1)
    """
    at = numbers("x", x)
    mean, deviation = _moments(prediction, output)
    if at.size != len(at) or mean.shape != (len(at),):
        raise ValueError(
            f"x {at.shape} must be of one variable, (M,) or (M, 1), with one prediction for each; got {mean.shape}"
        )
    order = np.argsort(at.ravel())
    at, mean = at.ravel()[order], mean[order]
    ax = axes(ax)
    ax.plot(at, mean, color=DARK, lw=1.6, label=label)
    if deviation is not None:
        _band(ax, at, mean, deviation[order], DARK)
    if observed is not None:
        points, values = (np.ravel(np.asarray(side)) for side in observed)
        ax.plot(points, values, ".", color=MIDDLE, ms=6, label="observed")
    ax.set(xlabel="x", ylabel="f(x)")
    return legend(ax, label)


def _output(name: str, array: Any, output: int) -> np.ndarray:
    """One of C outputs of an array (N, C), or the array (N,)."""
    values = numbers(name, array)
    return values[:, output] if values.ndim == 2 else values


def _moments(prediction: Any, output: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The mean of one output, and the standard deviation, where there is one. Their last axis is that of the inputs."""
    if is_array(prediction):
        mean, variance = numbers("prediction", prediction), None
    else:
        mean, variance = numbers("prediction", prediction.mean), prediction.variance
    deviation = None if variance is None else np.sqrt(numbers("prediction", variance))
    # Outputs share their variance, which has no axis for them. Without one, three axes are times, inputs and outputs.
    several = mean.ndim == 3 if deviation is None else mean.ndim > deviation.ndim
    return (mean[..., output] if several else mean), deviation


def _band(ax: Any, at: np.ndarray, mean: np.ndarray, deviation: np.ndarray, color: str) -> None:
    ax.fill_between(at, mean - 2.0 * deviation, mean + 2.0 * deviation, color=color, alpha=0.15, lw=0)
