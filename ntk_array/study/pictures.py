"""Pictures of a study. Needs matplotlib, which is imported when the first picture is drawn."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..experiments.pictures import draw_panels, legend_below, scaling_panel
from .study import Study

__all__ = ["FIGURES", "draw"]

INFINITE = "black"


def draw(name: str, study: Study) -> Any:
    """The figure of this name, one of FIGURES, as a matplotlib Figure."""
    panels, function = FIGURES[name]
    return draw_panels(panels, lambda axes: function(study, axes))


def _colors(count: int) -> list[str]:
    """From light to dark with growing width."""
    return (
        ["#7fb3d5", "#2e86c1", "#1a3f6f", "#7d3c98", "#c0392b", "#e67e22"][:count]
        if count <= 6
        else [f"C{k % 10}" for k in range(count)]
    )


def _widths(study: Study) -> list[tuple[int, int, str]]:
    """Index, width and color of each width."""
    widths = study.settings.widths
    return [(w, width, color) for w, (width, color) in enumerate(zip(widths, _colors(len(widths)), strict=True))]


def _time_axis(axis: Any) -> None:
    axis.set_xscale("log")
    axis.set_xlabel("time t = step × number of steps")


def _predictions(study: Study, axes: np.ndarray) -> None:
    a = study.arrays
    times, chosen = a["times"][1:], (0, len(study.settings.widths) - 1)
    for axis, w in zip(axes, chosen, strict=True):
        for p in range(a["watched_target"].shape[0]):
            color = f"C{p}"
            axis.plot(times, a["watched_network"][w, 1:, p], ".", color=color, ms=5)
            axis.plot(times, a["watched_linearized"][w, 1:, p], "-", color=color, lw=1.2)
            axis.plot(times, a["watched_infinite"][w, 1:, p], ":", color=color, lw=1.6)
        axis.set_title(f"width {study.settings.widths[w]}")
        _time_axis(axis)
    axes[1].sharey(axes[0])
    axes[0].set_ylabel("output" + (" of the true class" if study.data["classes"] else ""))
    for style, label in ((".", "network"), ("-", "linearized"), (":", "infinite width")):
        axes[0].plot([], [], style, color="#555555", label=label)
    for p in range(a["watched_target"].shape[0]):
        axes[1].plot([], [], "s", color=f"C{p}", ms=5, label=f"held-out row {p}")
    for axis in axes:
        legend_below(axis)


def _errors(study: Study, axes: np.ndarray) -> None:
    a, (axis,) = study.arrays, axes
    times = a["times"][1:]
    for w, width, color in _widths(study):
        axis.plot(times, a["error_network"][w, :, 1:].mean(axis=0), color=color, label=f"network, width {width}")
        axis.plot(times, a["error_linearized"][w, :, 1:].mean(axis=0), "--", color=color, lw=1)
    axis.plot(times, a["error_infinite"][1:], color=INFINITE, lw=1.6, label="infinite width, from $f_0 = 0$")
    axis.axhline(
        float(a["regression_infinite"]), color=INFINITE, lw=0.8, ls=":", label="infinite-width kernel regression, t = ∞"
    )
    axis.plot([], [], "--", color="#555555", lw=1, label="linearized, same color")
    axis.set_ylabel(f"test {study.error_name}")
    _time_axis(axis)
    legend_below(axis)


def _gaps(study: Study, axes: np.ndarray) -> None:
    a = study.arrays
    for axis, key, other in zip(
        axes, ("gap_linearized", "gap_infinite"), ("its linearization", "the infinite-width prediction"), strict=True
    ):
        for w, width, color in _widths(study):
            for r in range(a[key].shape[1]):
                axis.plot(
                    a["times"][1:], a[key][w, r, 1:], color=color, lw=1.2, label=f"width {width}" if r == 0 else None
                )
        axis.set_title(f"from {other}")
        axis.set_yscale("log")
        _time_axis(axis)
        legend_below(axis)
    axes[0].set_ylabel("distance / size of targets")


def _concentration(study: Study, axes: np.ndarray) -> None:
    a = study.arrays
    title = r"$\|\Theta_0 - \Theta\| \,/\, \|\Theta\|$ at initialization"
    scaling_panel(axes[0], a["concentration_widths"], a["concentration"], study.laws["concentration"], title)


def _spectrum(study: Study, axes: np.ndarray) -> None:
    a, (values, left) = study.arrays, axes
    mu = a["eigenvalues"]
    values.plot(np.arange(1, len(mu) + 1), mu, color="#aaaaaa", lw=1)
    for b, (low, high) in enumerate(a["bands"]):
        color, name = f"C{b}", f"component {low + 1}" if high == low + 1 else f"{low + 1} to {high}"
        values.plot(np.arange(low + 1, high + 1), mu[low:high], ".", color=color, ms=4)
        left.plot(a["times"][1:], a["remaining_network"][-1, 0, 1:, b], ".", color=color, ms=5)
        left.plot(a["times"][1:], a["remaining_infinite"][-1, 0, 1:, b], color=color, lw=1.2)
        values.plot([], [], ".", color=color, label=name)
    values.set(
        xscale="log", yscale="log", xlabel="component", title=r"eigenvalues $\mu$ of $\Theta / N$, training rows"
    )
    legend_below(values)
    left.plot([], [], ".", color="#555555", label="trained network")
    left.plot([], [], "-", color="#555555", label="infinite width")
    lowest = a["remaining_network"][-1, 0].min()
    left.set(yscale="log", title="what is left of the error, width " + str(study.settings.widths[-1]))
    # The axis ends below the lowest value of the network. The prediction can fall by many more orders of magnitude.
    left.set_ylim(max(0.3 * lowest, 1e-8), 3)
    _time_axis(left)
    legend_below(left)


def _movement(study: Study, axes: np.ndarray) -> None:
    a, (kernel, layers) = study.arrays, axes
    for w, width, color in _widths(study):
        for r in range(a["movement"].shape[1]):
            label = f"width {width}" if r == 0 else None
            kernel.plot(a["times"][1:], a["movement"][w, r, 1:], color=color, label=label)
        for k in range(a["movement_layers"].shape[-1]):
            style = ("-", "--", ":", "-.")[k % 4]
            layers.plot(a["times"][1:], a["movement_layers"][w, 0, 1:, k], style, color=color)
    for _, width, color in _widths(study):
        layers.plot([], [], color=color, label=f"width {width}")
    for k in range(a["movement_layers"].shape[-1]):
        layers.plot([], [], ("-", "--", ":", "-.")[k % 4], color="#555555", label=f"layer {k + 1}")
    kernel.set_title(r"kernel: $\|\Theta_t - \Theta_0\| \,/\, \|\Theta_0\|$")
    layers.set_title(r"parameters: $\|\theta_t - \theta_0\| \,/\, \|\theta_0\|$")
    for axis in axes:
        axis.set_yscale("log")
        _time_axis(axis)
        legend_below(axis)


def _ensemble(study: Study, axes: np.ndarray) -> None:
    columns = np.argmax(study.ensemble.mean[-1], axis=-1)[: len(axes)]
    study.ensemble.draw(axes[: len(columns)], columns.tolist())
    for unused in axes[len(columns) :]:  # fewer held-out inputs than panels
        unused.set_axis_off()


def _scaling(study: Study, axes: np.ndarray) -> None:
    a = study.arrays
    panels = {
        "movement": "largest movement of the kernel",
        "gap_linearized": "largest distance from the linearization",
        "gap_infinite": "largest distance from infinite width",
        "from_regression_empirical": "from regression, empirical kernel",
        "from_regression_infinite": "from regression, infinite kernel",
    }
    distances = study.distances
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        scaling_panel(axis, a["widths"], distances[name], study.laws[name], title)


FIGURES: dict[str, tuple[int, Callable[[Study, np.ndarray], None]]] = {
    "concentration": (1, _concentration),
    "spectrum": (2, _spectrum),
    "predictions": (2, _predictions),
    "movement": (2, _movement),
    "gaps": (2, _gaps),
    "errors": (1, _errors),
    "ensemble": (3, _ensemble),
    "scaling": (5, _scaling),
}
