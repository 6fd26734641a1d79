"""What images have by themselves on their way through planes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._array.namespace import Array, home, index_dtype
from ..._array.window import Window
from ..._formula.formula import Formula
from ..._formula.plane_stages import sides_kept, values_of
from ..angle import ROOT_HALF, over_root, ratio_or_zero
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
    directions: bool = False,
) -> list[Array]:
    """What the code of planes needs of each image, for stages with these formulas on each grid.

    See :func:`.numba_planes._source`. All are (N, arrays, height, width): first the standard deviations and normalized
    pixels, then for each stage what goes with its positions, and for each of its windows the roots of variances with
    margins along y and the norms along y with margins along x; and where modes are to be ``mixed`` before these for
    each function of each table, (N, height, width, numbers). ``tables`` are those of the places behind tabulated
    activations.

    Where ``directions`` are asked for, there are no margins: windows have arrays of positions too. Along y and along x,
    where there is more than one element, these are coordinates of what is seen: see :func:`_direction`.
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
                if place in plan.windows and directions:
                    behind += _directions(window, source, over)
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


def _directions(window: Window, source: Array, over: Array) -> list[Array]:
    """Those of what a window sees along y and along x, from variances and one over the norm of all that it sees."""
    xp, along_y, along_x = home(source).xp, window.along(0), window.along(1)
    part, found = _sum(along_y.gathered(source, (1,))), list[Array]()
    if along_y.count > 1:
        found += _direction(list(along_y.gathered(xp.sqrt(source), (1,))), xp.sqrt(part))
    if along_x.count > 1:
        *coordinates, w = _direction(
            list(along_x.gathered(xp.sqrt(part), (2,))), xp.sqrt(_sum(along_x.gathered(part, (2,))))
        )
        found += [*coordinates, w * over]
    return found


def _direction(roots: Sequence[Array], norm: Array) -> list[Array]:
    """Coordinates of the direction of a vector, and a number w: all that a distance needs.

    With the flat unit vector e = (1, ..., 1) / sqrt(n) and the part r_ of the vector r orthogonal to it, coordinates
    c = r_ / (|r| + r.e) are those of the stereographic projection from -e. For w = (|r| + r.e) / sqrt(2)

        (1/2) |r1| |r2| |r1 / |r1| - r2 / |r2||^2 = w1 w2 |c1 - c2|^2.
    """
    far = norm + sum(roots[1:], roots[0]) / math.sqrt(len(roots))
    found = []
    for j in range(1, len(roots)):
        # An orthonormal basis beside e: a root less the mean of those before it.
        apart = sum(roots[1:j], roots[0]) - float(j) * roots[j]
        found.append(ratio_or_zero(apart, math.sqrt(j * (j + 1)) * far))
    return [*found, ROOT_HALF * far]


def _sum(parts: Iterator[Array]) -> Array:
    return sum(parts, next(parts))


def factor(layout: Layout, place: int) -> np.ndarray:
    """What sums of pooling are multiplied by, (height, width)."""
    layer: Any = layout.layer(place)
    positions = layout.signals[layout.sources(place)[0]].shape[:-1]
    factors, grid = np.asarray(layer.weights(np.zeros(1), positions)), layout.grid(place)
    return np.broadcast_to(factors.reshape(grid) if factors.ndim else factors, grid)
