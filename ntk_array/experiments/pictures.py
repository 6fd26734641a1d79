"""Pictures: the common style, and values over the width. Need matplotlib, which is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._support.hints import install_hint
from ..plotting import STYLE
from .power_law import PowerLaw

__all__ = ["draw_panels", "legend_below", "scaling_panel", "scaling_picture"]

COLUMNS = 3


def draw_panels(panels: int, draw: Callable[[np.ndarray], None]) -> Any:
    """A matplotlib Figure in the common style, with panels side by side that ``draw`` fills."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"pictures need matplotlib: {install_hint('study')}") from error
    with matplotlib.rc_context(STYLE):
        columns, rows = min(panels, COLUMNS), -(-panels // COLUMNS)
        figure = Figure(figsize=(4.2 * columns + 0.6, 3.8 * rows), layout="constrained")
        axes = np.ravel(figure.subplots(rows, columns))
        for unused in axes[panels:]:
            unused.remove()
        draw(axes[:panels])
    return figure


def legend_below(axis: Any) -> None:
    """A legend under the axis, where it covers no curve."""
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2, fontsize=8, columnspacing=1.2)


def scaling_picture(panels: Sequence[tuple[np.ndarray, np.ndarray, PowerLaw, str]]) -> Any:
    """One panel for each: widths (W,), values (W, R), law and title."""

    def draw(axes: np.ndarray) -> None:
        for axis, panel in zip(axes, panels, strict=True):
            scaling_panel(axis, *panel)

    return draw_panels(len(panels), draw)


def scaling_panel(axis: Any, widths: np.ndarray, values: np.ndarray, law: PowerLaw, title: str) -> None:
    """Every value (W, R) over its width, the law, and a slope of -1/2 to compare."""
    axis.set(xscale="log", xlabel="width", title=title)
    axis.plot(np.repeat(widths, values.shape[1]), values.ravel(), ".", color="#2e86c1", alpha=0.5)
    # Without a law the values may be zero, which a logarithmic axis cannot show. The value axis stays linear then.
    if np.isfinite(law.exponent):
        axis.set_yscale("log")
        interval = "" if np.isnan(law.low) else f" [{law.low:.2f}, {law.high:.2f}]"
        axis.plot(widths, law(widths), color="#1a3f6f", label=f"slope {law.exponent:.2f}{interval}")
        half = law(widths[0]) * (widths / widths[0]) ** -0.5
        axis.plot(widths, half, "--", color="#999999", lw=1, label="slope −1/2")
        legend_below(axis)
    axis.set_xticks(widths, [str(width) for width in widths])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
