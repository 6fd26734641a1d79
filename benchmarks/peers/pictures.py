"""How the cost of an entry grows with N and with depth, and what two threads gain, as a picture."""

import re
import statistics
from typing import Any

import numpy as np

from ntk_array.experiments.pictures import draw_panels

__all__ = ["scaling"]

CURVE = r"(.*): {label}( =)? (\d+) against (\d+)"
THREADS = r"(.*): 2 threads against 1"


def scaling(results: list[dict[str, Any]]) -> Any:
    """A matplotlib Figure of the results of the table "Scaling"."""
    rows = [row for row in results if row["table"] == "Scaling"]

    def draw(axes: np.ndarray) -> None:
        for axis, label in zip(axes, ("N", "depth"), strict=False):
            _curves(axis, label, rows)
        gains = [(found[1], row["ratio"]["assemble"]) for row in rows if (found := re.fullmatch(THREADS, row["name"]))]
        names, values = zip(*gains, strict=True)
        axes[2].barh([name.replace(" ", "\n", 1) for name in names], values, color="#2e86c1")
        axes[2].set_xlabel("gain of 2 threads over 1")

    return draw_panels(3, draw)


def _curves(axis: Any, label: str, rows: list[dict[str, Any]]) -> None:
    """Median over the rounds, and bars from the fastest to the slowest."""
    curves: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if found := re.fullmatch(CURVE.format(label=label), row["name"]):
            points = curves.setdefault(found[1], {int(found[4]): [1.0]})
            points[int(found[3])] = [1.0 / ratio for ratio in row["ratios"]["assemble"]]
    for name, points in curves.items():
        middle = np.asarray([statistics.median(costs) for costs in points.values()])
        low, high = (np.asarray([f(costs) for costs in points.values()]) for f in (min, max))
        axis.errorbar(
            list(points), middle, [middle - low, high - middle], fmt="o-", ms=4, lw=1.2, capsize=2, label=name
        )
    ticks = sorted(set().union(*curves.values()))
    axis.set_xscale("log")
    axis.set_xticks(ticks, [str(tick) for tick in ticks], rotation=60)
    axis.minorticks_off()
    axis.set_xlabel(label)
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("time for an entry, first = 1")
    axis.legend(fontsize=7)
