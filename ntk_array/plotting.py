"""Pictures of kernels and of what they predict, with matplotlib, which is imported when one is drawn.

Each function draws on one ``Axes``, a new one unless ``ax=`` is given, and returns it. Arrays may be of any library:
they are copied to the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._array.namespace import Array, is_array, to_host

__all__ = ["STYLE", "costs", "dynamics", "exponents", "gram", "left_out", "process", "spectrum"]

STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.fonttype": "path",
}
"""The look of all pictures, for ``matplotlib.rc_context``."""

DARK, MIDDLE, GREY = "#1a3f6f", "#2e86c1", "#999999"


def gram(matrix: Array, labels: Any = None, ax: Any = None) -> Any:
    """A heat map of a Gram matrix.

    Parameters
    ----------
    matrix : array (N1, N2) or Store
        Kernel values. A matrix on disk is read as a whole.
    labels : sequence (N,), optional
        The class of each input of a symmetric matrix. Inputs are then sorted by class, and lines mark where one ends.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the matrix has other than two axes, or there is not one label for each of its rows and columns.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> ax = ntk.plotting.gram(ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))(x), labels=x[:, 0] > 0)
    >>> ax.images[0].get_array().shape
    (20, 20)
    """
    values = _numbers("matrix", matrix)
    if values.ndim != 2:
        raise ValueError(
            f"matrix must have two axes, got {values.shape}: choose an output of a full or class-wise kernel, such as "
            "matrix[:, 0, :, 0]"
        )
    ax = _axes(ax, (4.6, 3.8))
    if labels is not None:
        names = np.asarray(labels)
        if names.shape != (values.shape[0],) or values.shape[0] != values.shape[1]:
            raise ValueError(f"labels {names.shape} must be one for each row and column of the matrix {values.shape}")
        order = np.argsort(names, kind="stable")
        values = values[np.ix_(order, order)]
        classes, starts = np.unique(names[order], return_index=True)
        for edge in starts[1:]:
            ax.axhline(edge - 0.5, color="white", lw=0.8)
            ax.axvline(edge - 0.5, color="white", lw=0.8)
        middles = (starts + np.append(starts[1:], len(names))) / 2 - 0.5
        ax.set_xticks(middles, [str(name) for name in classes])
        ax.set_yticks(middles, [str(name) for name in classes])
    ax.grid(False)
    image = ax.imshow(values, cmap="viridis", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    return ax


def spectrum(eigenvalues: Array, label: str | None = None, ax: Any = None) -> Any:
    """The decay of eigenvalues: each over its number from the largest on, on logarithmic axes.

    Parameters
    ----------
    eigenvalues : array (R,)
        In any order; values that are not positive are left out. Of a Gram matrix they are ``numpy.linalg.eigvalsh``,
        of a kernel on a sample ``eigenvalues`` of :class:`~ntk_array.dynamics.KernelSpectrum`.
    label : str, optional
        Its name in the legend.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is more than one axis, or no positive value.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ax = ntk.plotting.spectrum(np.asarray([0.5, 2.0, 1.0]))
    >>> ax.lines[0].get_ydata()
    array([2. , 1. , 0.5])
    """
    values = _numbers("eigenvalues", eigenvalues)
    if values.ndim != 1 or not np.any(values > 0):
        raise ValueError(f"eigenvalues must be of one axis, and some of them positive; got {values.shape}")
    ax = _axes(ax)
    values = np.sort(values[values > 0])[::-1]
    ax.plot(np.arange(1, len(values) + 1), values, ".-", ms=4, lw=0.8, label=label)
    ax.set(xscale="log", yscale="log", xlabel="component", ylabel="eigenvalue")
    return _legend(ax, label)


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
    ax = _axes(ax)
    for m in range(mean.shape[1]):
        (line,) = ax.plot(at[shown], mean[shown, m], lw=1.6, label=label if m == 0 else None)
        if deviation is not None:
            _band(ax, at[shown], mean[shown, m], deviation[shown, m], line.get_color())
        for end in mean[np.isinf(at), m]:
            ax.axhline(end, color=line.get_color(), ls=":", lw=1)
        if targets is not None:
            ax.plot(at[shown].max() * 1.3, np.asarray(targets)[m], "<", color=line.get_color(), ms=6, clip_on=False)
    ax.set(xscale="log", xlabel="time t", ylabel="output")
    return _legend(ax, label)


def costs(training: Any, label: str | None = None, ax: Any = None) -> Any:
    """The cost of a training over its steps, on a logarithmic axis where no cost is 0 or negative.

    Parameters
    ----------
    training : Training
        What :func:`ntk_array.nn.train` gave. Only recorded steps are drawn: ``record=range(0, 101, 10)``.
    label : str, optional
        Its name in the legend.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If no step was recorded.

    Examples
    --------
    >>> import ntk_array as ntk
    >>> ax = ntk.plotting.costs(ntk.nn.Training(None, 0.1, steps=[0, 5, 10], costs=[1.0, 0.1, 0.01]))
    >>> [float(value) for value in ax.lines[0].get_ydata()]
    [1.0, 0.1, 0.01]
    """
    if not training.costs:
        raise ValueError("no step was recorded: train(..., record=range(0, 101, 10))")
    ax = _axes(ax)
    ax.plot(training.steps, training.costs, ".-", ms=4, lw=1.2, label=label)
    ax.set(xlabel="step k", ylabel="cost before step k", yscale="log" if min(training.costs) > 0 else "linear")
    return _legend(ax, label)


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
    ax = _axes(ax)
    ax.axline((targets[0], targets[0]), slope=1.0, color=GREY, ls="--", lw=1)
    if prediction.variance is not None:
        reach = 2.0 * np.sqrt(_output("variance", prediction.variance, output))
        ax.vlines(targets, mean - reach, mean + reach, color=MIDDLE, alpha=0.3, lw=1)
    ax.plot(targets, mean, ".", color=DARK, ms=5, label=label)
    ax.set(xlabel="target", ylabel="its prediction from all others")
    return _legend(ax, label)


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
    at = _numbers("x", x)
    mean, deviation = _moments(prediction, output)
    if at.size != len(at) or mean.shape != (len(at),):
        raise ValueError(
            f"x {at.shape} must be of one variable, (M,) or (M, 1), with one prediction for each; got {mean.shape}"
        )
    order = np.argsort(at.ravel())
    at, mean = at.ravel()[order], mean[order]
    ax = _axes(ax)
    ax.plot(at, mean, color=DARK, lw=1.6, label=label)
    if deviation is not None:
        _band(ax, at, mean, deviation[order], DARK)
    if observed is not None:
        points, values = (np.ravel(np.asarray(side)) for side in observed)
        ax.plot(points, values, ".", color=MIDDLE, ms=6, label="observed")
    ax.set(xlabel="x", ylabel="f(x)")
    return _legend(ax, label)


def exponents(laws: Mapping[str, Any], theory: float | None = -0.5, ax: Any = None) -> Any:
    """Exponents of power laws in the width with their confidence intervals, a row for each.

    Parameters
    ----------
    laws : mapping of str to PowerLaw
        Such as ``laws`` of a :class:`~ntk_array.experiments.ScalingResult`. A law without an interval is a point, and
        one without an exponent is left out.
    theory : float, optional
        An exponent to compare with, drawn as a line.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If no law has an exponent.

    Examples
    --------
    >>> import ntk_array as ntk
    >>> law = ntk.experiments.PowerLaw.fit([16, 64, 256], [[0.5, 0.52], [0.25, 0.26], [0.125, 0.13]])
    >>> [tick.get_text() for tick in ntk.plotting.exponents({"kernel": law}).get_yticklabels()]
    ['kernel']
    """
    known = {name: law for name, law in laws.items() if np.isfinite(law.exponent)}
    if not known:
        raise ValueError("no law has an exponent: each needs usable runs at two widths or more")
    ax = _axes(ax, (4.8, 0.9 + 0.4 * len(known)))
    if theory is not None:
        ax.axvline(theory, color=GREY, ls="--", lw=1)
        ax.annotate(f" theory: {theory:g}", (theory, 1), xycoords=("data", "axes fraction"), color=GREY, va="top")
    for row, law in enumerate(known.values()):
        ax.plot([law.low, law.high], [row, row], color=MIDDLE, lw=3, alpha=0.5, solid_capstyle="butt")
        ax.plot([law.exponent], [row], "o", color=DARK, ms=5)
    ax.set_yticks(range(len(known)), list(known))
    ax.set_ylim(len(known) - 0.5, -0.9)  # room for the name of the line above the first row
    ax.set_xlabel("exponent of the width")
    return ax


def _axes(ax: Any, size: tuple[float, float] = (5.2, 3.6)) -> Any:
    """The given Axes, or one in a new figure in the common style."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot, rc_context
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install matplotlib, or ".[plot]" from a checkout') from error
    with rc_context(STYLE):
        return pyplot.subplots(figsize=size, layout="constrained")[1]


def _numbers(name: str, array: Any) -> np.ndarray:
    found = to_host(array) if is_array(array) else np.asarray(array)
    if found.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got {type(array).__name__}")
    return np.asarray(found, dtype=np.float64)


def _output(name: str, array: Any, output: int) -> np.ndarray:
    """One of C outputs of an array (N, C), or the array (N,)."""
    values = _numbers(name, array)
    return values[:, output] if values.ndim == 2 else values


def _moments(prediction: Any, output: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The mean of one output, and the standard deviation, where there is one. Their last axis is that of the inputs."""
    if is_array(prediction):
        mean, variance = _numbers("prediction", prediction), None
    else:
        mean, variance = _numbers("prediction", prediction.mean), prediction.variance
    deviation = None if variance is None else np.sqrt(_numbers("prediction", variance))
    # Outputs share their variance, which has no axis for them. Without one, three axes are times, inputs and outputs.
    several = mean.ndim == 3 if deviation is None else mean.ndim > deviation.ndim
    return (mean[..., output] if several else mean), deviation


def _band(ax: Any, at: np.ndarray, mean: np.ndarray, deviation: np.ndarray, color: str) -> None:
    ax.fill_between(at, mean - 2.0 * deviation, mean + 2.0 * deviation, color=color, alpha=0.15, lw=0)


def _legend(ax: Any, label: str | None) -> Any:
    if label is not None:
        ax.legend(frameon=False)
    return ax
