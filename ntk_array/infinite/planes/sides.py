"""What images have by themselves on their way through planes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._array.namespace import Array, home, index_dtype
from ..._array.window import Window
from ..._formula.formula import Formula
from ..._formula.plane_stages import sides_kept, values_of
from ..angle import ROOT_HALF, over_root
from .formulas import StageFormula
from .layout import Layout
from .tables import OWN, PlaneTable

__all__ = ["Batch", "factor", "sides"]


class Batch(NamedTuple):
    """What planes need of images: normalized pixels, and variances at every place up to the mean over positions, as far
    as they are known; and, where that takes as long as a pair of images, what :func:`sides` makes of them, as the first
    of a pair and as the second."""

    pixels: Array
    rows: list[Any]
    laid: tuple[list[Array], list[Array]] | None = None

    def taken(self, images: np.ndarray) -> Batch:
        """Some of the images."""
        xp, _, device = home(self.pixels)
        chosen = xp.asarray(images, dtype=index_dtype(xp, device), device=device)
        rows = [None if a is None else xp.take(a, chosen, axis=0) for a in self.rows]
        return Batch(xp.take(self.pixels, chosen, axis=0), rows)


def sides(
    layout: Layout,
    formulas: Sequence[Sequence[Formula]],
    batch: Batch,
    axes: int,
    tables: Mapping[int, PlaneTable] | None = None,
    mixed: bool = False,
    units: bool = False,
) -> list[Array]:
    """What the code of planes needs of each image, for stages with these formulas on each grid.

    See :func:`.numba_planes._source`. All are (N, arrays, height, width): first the standard deviations and normalized
    pixels, then for each stage what goes with its positions, and for each of its windows the roots of variances with
    margins along y and the norms along y with margins along x; and where modes are to be ``mixed`` before these for
    each function of each table, (N, height, width, numbers). ``tables`` are those of the places behind tabulated
    activations.

    Where ``units`` are asked for, arrays for each window are of positions too, and there are no margins: what an axis
    of more than one element sees, over its norm; and for y sqrt(1/2) times the norm.
    """
    here, n = home(batch.pixels), batch.pixels.shape[0]
    xp = here.xp
    places = [
        None if rows is None else xp.reshape(rows, (n, *layout.grid(place))) for place, rows in enumerate(batch.rows)
    ]
    pixels = xp.moveaxis(xp.reshape(batch.pixels, (n, *layout.grid(0), -1)), -1, 1)
    found = [xp.concat([xp.sqrt(places[0])[:, None, ...], pixels], axis=1)]
    for segment, own in zip(layout.segments, formulas, strict=False):
        for plan, formula in zip(segment.stages, own, strict=True):
            parts, named = StageFormula(layout, plan), dict[tuple[int, str], Any]()
            behind, margins, terms, modes = [], [], [], []
            for place in parts.gathered:
                source, window = places[layout.sources(place)[0]], layout.window(place)
                named[place, "total"] = total = _sum(window.gathered(source, (1, 2)))
                named[place, "over"] = over = over_root(total)
                if place in plan.windows and units:
                    behind += _units(window, source, over)
                elif place in plan.windows:
                    along_y, along_x = window.along(0), window.along(1)
                    part = _sum(along_y.gathered(source, (1,)))
                    behind.append(ROOT_HALF * over_root(part))
                    margins.append(along_y.padded(xp.sqrt(source), (1,))[:, None, ...])
                    margins.append(along_x.padded(xp.sqrt(part), (2,))[:, None, ...])
                else:
                    terms += [root * over for root in window.gathered(xp.sqrt(source), (1, 2))]
            named |= {(place, "factor"): here.asarray(factor(layout, place)[None]) for place in parts.pooled}
            named |= {(place, name): places[place] for place, name in parts.rows if name == "variance"}
            for place in parts.tabulated:
                table, variance = (tables or {})[place], places[layout.sources(place)[0]]
                if mixed:
                    margins += table.mixed(variance)
                else:
                    modes += table.modes(variance)
                if (place, OWN[0]) in parts.rows:
                    named |= {(place, name): one for name, one in table.own(variance).items()}
            values = values_of(formula, axes, [named[key] for key in parts.rows], here)
            kept = [xp.astype(a, here.dtype, copy=False) for a in values]
            # Rows and columns have as many, so that what comes behind has the same number on both sides.
            zero = xp.zeros((1, 1, 1), dtype=here.dtype, device=here.device)
            kept += [zero] * (sides_kept(formula) - len(kept))
            shape = (n, *segment.grid)
            found += [xp.stack([xp.broadcast_to(a, shape) for a in (*kept, *behind, *terms, *modes)], axis=1), *margins]
    return found


def _units(window: Window, source: Array, over: Array) -> list[Array]:
    """The unit vectors of what a window sees along y and along x, from variances and one over the norm of all of it."""
    xp, along_y, along_x = home(source).xp, window.along(0), window.along(1)
    part = _sum(along_y.gathered(source, (1,)))
    found: list[Array] = []
    if along_y.count > 1:
        found += [root * over_root(part) for root in along_y.gathered(xp.sqrt(source), (1,))]
        found.append(ROOT_HALF * xp.sqrt(part))
    if along_x.count > 1:
        found += [root * over for root in along_x.gathered(xp.sqrt(part), (2,))]
    return found


def _sum(parts: Iterator[Array]) -> Array:
    return sum(parts, next(parts))


def factor(layout: Layout, place: int) -> np.ndarray:
    """What sums of pooling are multiplied by, (height, width)."""
    layer: Any = layout.layer(place)
    positions = layout.signals[layout.sources(place)[0]].shape[:-1]
    factors, grid = np.asarray(layer.weights(np.zeros(1), positions)), layout.grid(place)
    return np.broadcast_to(factors.reshape(grid) if factors.ndim else factors, grid)
