"""What images have by themselves on their way through planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._formula.formula import Formula
from ..._formula.numba_planes import sides_kept, values_of
from ..angle import over_root
from .formulas import StageFormula
from .layout import Layout

__all__ = ["Batch", "factor", "sides"]


class Batch(NamedTuple):
    """What planes need of images: normalized pixels, and variances at every place up to the mean over positions, as far
    as they are known."""

    pixels: np.ndarray
    rows: list[Any]

    def taken(self, images: np.ndarray) -> Batch:
        """Some of the images."""
        return Batch(self.pixels[images], [None if rows is None else rows[images] for rows in self.rows])


def sides(layout: Layout, formulas: Sequence[Sequence[Formula]], batch: Batch, axes: int) -> list[np.ndarray]:
    """What the code of planes needs of each image, for stages with these formulas on each grid.

    See :func:`.numba_planes._source`. All are (N, arrays, height, width): first the standard deviations and normalized
    pixels, then for each stage what goes with its positions, and for each of its windows the roots of variances with
    margins.
    """
    n = len(batch.pixels)
    places = [None if rows is None else rows.reshape(n, *layout.grid(place)) for place, rows in enumerate(batch.rows)]
    pixels = np.moveaxis(batch.pixels.reshape(n, *layout.grid(0), -1), -1, 1)
    found = [np.concatenate([np.sqrt(np.asarray(places[0]))[:, None], pixels], axis=1)]
    for segment, own in zip(layout.segments, formulas, strict=False):
        for plan, formula in zip(segment.stages, own, strict=True):
            parts, named = StageFormula(layout, plan), dict[tuple[int, str], Any]()
            behind, margins, terms = [], [], []
            for place in parts.gathered:
                source, window = np.asarray(places[layout.sources(place)[0]]), layout.window(place)
                first, *others = window.gathered(source, (1, 2))
                named[place, "total"] = total = sum(others, first)
                over = np.asarray(over_root(total))
                if place in plan.windows:
                    behind.append(over)
                    margins.append(window.padded(np.sqrt(source), (1, 2))[:, None])
                else:
                    terms += [root * over for root in window.gathered(np.sqrt(source), (1, 2))]
            named |= {(place, "factor"): factor(layout, place)[None] for place in parts.pooled}
            named |= {(place, name): places[place] for place, name in parts.rows if name == "variance"}
            kept = [np.asarray(a, pixels.dtype) for a in values_of(formula, axes, [named[key] for key in parts.rows])]
            # Rows and columns have as many, so that what comes behind has the same number on both sides.
            kept += [np.zeros((), pixels.dtype)] * (sides_kept(formula) - len(kept))
            shape = (n, *segment.grid)
            found += [np.stack([np.broadcast_to(a, shape) for a in (*kept, *behind, *terms)], axis=1), *margins]
    return found


def factor(layout: Layout, place: int) -> np.ndarray:
    """What sums of pooling are multiplied by, (height, width)."""
    layer: Any = layout.layer(place)
    positions = layout.signals[layout.sources(place)[0]].shape[:-1]
    factors, grid = np.asarray(layer.weights(np.zeros(1), positions)), layout.grid(place)
    return np.broadcast_to(factors.reshape(grid) if factors.ndim else factors, grid)
