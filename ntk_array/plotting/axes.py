"""What all pictures share: their look, the Axes that they are drawn on, and arrays of any library as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._array.namespace import is_array, to_host

__all__ = ["DARK", "GREY", "MIDDLE", "STYLE", "axes", "legend", "numbers"]

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


def axes(ax: Any, size: tuple[float, float] = (5.2, 3.6)) -> Any:
    """The given Axes, or one in a new figure in the common style."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot, rc_context
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install matplotlib, or ".[plot]" from a checkout') from error
    with rc_context(STYLE):
        return pyplot.subplots(figsize=size, layout="constrained")[1]


def numbers(name: str, array: Any) -> np.ndarray:
    found = to_host(array) if is_array(array) else np.asarray(array)
    if found.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got {type(array).__name__}")
    return np.asarray(found, dtype=np.float64)


def legend(ax: Any, label: str | None) -> Any:
    if label is not None:
        ax.legend(frameon=False)
    return ax
