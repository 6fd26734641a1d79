"""Pictures of finite networks: costs of a training, and how measures depend on the width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .axes import DARK, GREY, MIDDLE, axes, legend

__all__ = ["costs", "exponents"]


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
    ax = axes(ax)
    ax.plot(training.steps, training.costs, ".-", ms=4, lw=1.2, label=label)
    ax.set(xlabel="step k", ylabel="cost before step k", yscale="log" if min(training.costs) > 0 else "linear")
    return legend(ax, label)


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
    ax = axes(ax, (4.8, 0.9 + 0.4 * len(known)))
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
