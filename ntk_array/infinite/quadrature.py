"""Rules for E[phi(u) phi(v)] and E[phi'(u) phi'(v)], (u, v) ~ N(0, K), at points (s1, s2, t).

s1 and s2 are the standard deviations of u and v, and cos t is their correlation. Everything here runs on the
host, in float64: :mod:`.dual` interpolates what these rules give.

A plain Gauss-Hermite grid loses 1e-6 to 1e-3 at a kink of phi. In polar coordinates, u = s1 r cos(a) and
v = s2 r cos(a - t), the lines u = 0 and v = 0 are angles:

    E[phi(u) phi(v)] = 1/(2 pi) int da int dr  r exp(-r^2 / 2) phi(s1 r cos a) phi(s2 r cos(a - t)),

and Gauss-Legendre between them is exact at kinks there, for every t. Kinks elsewhere take the rule that
integrates over v given u.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Conditional", "Polar", "ScalarFunction", "gaussian_mean", "reach", "rules_for"]

RADIUS = 9.5  # exp(-RADIUS^2 / 2) = 3e-20: where the range of bounded functions ends
FARTHEST = 38.0  # exp(-FARTHEST^2 / 2) is the smallest number
NEGLIGIBLE = 1e-20  # share of what is beyond the range in the largest value within it
ENOUGH = 2**20  # nodes: fewer are done before threads have started
MOST_THREADS = 8  # each takes up to 100 MB


class ScalarFunction(NamedTuple):
    """phi and its derivative on NumPy arrays, and where phi has kinks; ``both`` computes the two together."""

    function: Callable[[np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray], np.ndarray]
    breakpoints: tuple[float, ...]
    both: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None

    def pair(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """phi(x) and phi'(x)."""
        return (self.function(x), self.derivative(x)) if self.both is None else self.both(x)


def reach(phi: ScalarFunction, largest: float) -> float:
    """How many standard deviations the integrals have to reach, for standard deviations up to the largest.

    The integrand phi(s r)^2 r exp(-r^2 / 2) and that of the slope are then negligible beyond. Functions that grow, such
    as exp, need more than bounded ones.

    Raises
    ------
    ValueError
        If phi or its derivative is NaN or infinite, grows so fast that the expectations are, or changes shapes.
    """
    r = np.linspace(0.0, FARTHEST, 1521)[1:]
    points = np.concatenate([-largest * r[::-1], largest * r])
    farthest = RADIUS
    for name, f in (("the function", phi.function), ("its derivative", phi.derivative)):
        with np.errstate(all="ignore"):
            size = np.abs(f(points))
        if size.shape != points.shape:
            raise ValueError(
                f"{name} makes shape {size.shape} of {points.shape}: an activation acts on each number alone"
            )
        within = np.abs(points) <= largest * RADIUS
        if not np.isfinite(size[within]).all():
            bad = points[within][~np.isfinite(size[within])]
            raise ValueError(
                f"{name} is NaN or infinite at x = {bad[np.argmin(np.abs(bad))]:.3g}, within {RADIUS:g} of the largest "
                f"standard deviation, {largest:.3g}: an activation must be finite everywhere"
            )
        with np.errstate(all="ignore"):
            # In logarithms, because squares overflow before the density has made them small.
            log = 2.0 * np.log(np.maximum(size[: len(r)][::-1], size[len(r) :])) + np.log(r) - 0.5 * r * r
        log = np.where(np.isnan(log), math.inf, log)  # beyond the range a function may overflow
        kept = np.flatnonzero(log > np.max(log[r <= RADIUS]) + math.log(NEGLIGIBLE))
        farthest = max(farthest, float(r[kept[-1]]) if len(kept) else 0.0)
        if farthest == FARTHEST:
            raise ValueError(
                f"{name} grows too fast: its Gaussian expectations at a standard deviation of {largest:.3g} are "
                "infinite or overflow; make weight_std or the inputs smaller"
            )
    return farthest


@dataclass(frozen=True)
class Polar:
    """The rule in polar coordinates, for activations that are smooth but for kinks at zero.

    Panels of Gauss-Legendre nodes shrink ``levels`` times towards r = 0, and towards the lines u = 0 and v = 0. The
    first and the last panel in r have ``radii`` nodes, the others three quarters of them; panels in the angle have
    ``angles`` nodes, an even number. The nodes do not depend on s1 and s2: matrix products give all pairs.
    """

    angles: int
    radii: int
    levels: int
    radius: float = RADIUS

    @property
    def nodes(self) -> int:
        """Of one angle t and one standard deviation; fewer where t is small."""
        return 4 * self.angles * sum(radii * (2 * grades + 2 if grades else 1) for radii, grades in self._counts())

    def _counts(self, levels: int | None = None) -> list[tuple[int, int]]:
        """The nodes of each panel in r, from the inside out, and how often its panels in the angle shrink."""
        levels = self.levels if levels is None else levels
        # A function of u sees the product of r and the angle, so that near r = 0 few panels in the angle do. One level
        # more than the panel itself has is enough.
        between = math.ceil(0.75 * self.radii)
        return [(between if 0 < k < levels else self.radii, min(k + 1, levels)) for k in range(levels + 1)]

    @cached_property
    def _rings(self) -> list[list[_Ring]]:
        """For 0, 1, ... levels."""
        return [self._rings_of(levels) for levels in range(self.levels + 1)]

    def _rings_of(self, levels: int) -> list[_Ring]:
        rings, low = [], 0.0
        for k, (radii, grades) in enumerate(self._counts(levels)):
            high = self.radius * 4.0 ** (k - levels)
            r, r_weight = _panels(np.asarray([low, high]), radii)
            near = 0.5 * 4.0 ** -np.arange(grades + 1.0 if grades else 0.0)
            share, weight = _panels(np.unique([0.0, *near, *(1.0 - near), 1.0]), self.angles)
            # Divided by 4, because e and o in :meth:`_sampled` are half of a sum; twice, for u < 0.
            weight = np.multiply.outer(weight, r_weight * r * np.exp(-0.5 * r * r)) / (4.0 * math.pi)
            rings.append(_Ring(r, share, weight[: len(share) // 2]))
            low = high
        return rings

    def sample(self, phi: ScalarFunction, std: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both expectations for all pairs of standard deviations (n,) at all angles (m,): each (m, n, n)."""
        value, slope = self._sampled(phi, std, t)[:, 0]
        return value, slope

    def sample_mirrored(self, phi: ScalarFunction, std: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same at the angles t (m,), then at pi - t in reverse order: each (2 m, n, n).

        It takes as many values of phi as the angles t alone.
        """
        value, slope = (np.concatenate([at, opposite[::-1]]) for at, opposite in self._sampled(phi, std, t))
        return value, slope

    def _sampled(self, phi: ScalarFunction, std: np.ndarray, t: np.ndarray) -> np.ndarray:
        """(2, 2, m, n, n): of value and slope, what they are at the angles t and at pi - t.

        (u, v) and (-u, -v) are equally likely, so that an even and an odd function are uncorrelated. With the even part
        e and the odd part o of phi, E[phi(u) phi(v)] = E[e(u) e(v)] + E[o(u) o(v)]: both are integrals over u > 0. At
        pi - t, where v is -v, it is their difference.
        """

        def at_angle(k: int) -> np.ndarray:
            """(2, 2, n, n)."""
            even, odd = np.zeros((2, 2, len(std), len(std)))
            # u and v have one sign in two sectors of angles, half a turn apart, and opposite signs in the other two.
            for width, sign in ((math.pi - t[k], 1.0), (t[k], -1.0)):
                for r, share, weight in self._rings[self._levels_across(width)]:
                    u = np.multiply.outer(std, np.multiply.outer(np.sin(width * share), r))
                    for i, (of_u, of_minus_u) in enumerate(zip(phi.pair(u), phi.pair(-u), strict=True)):
                        even[i] += width * _reflected(of_u + of_minus_u, weight)
                        odd[i] += sign * width * _reflected(of_u - of_minus_u, weight)
            return np.stack([even + odd, even - odd], axis=1)

        parallel = len(std) * len(t) * self.nodes > ENOUGH
        return np.stack(list(_mapped(at_angle, range(len(t)), parallel)), axis=2)

    def _levels_across(self, width: float) -> int:
        """How many levels a sector takes. Across a narrow one u and v are small, as they are in the inner rings."""
        narrower = int(-math.log(width, 4.0)) if width > 0 else self.levels
        return max(self.levels - max(narrower, 0), min(self.levels, 1))


class _Ring(NamedTuple):
    """Nodes in a panel in r and, as shares of a sector, in the angle; weights of half of the angles (A / 2, R)."""

    r: np.ndarray
    share: np.ndarray
    weight: np.ndarray


def _reflected(f: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The sum of weight f(u) f(v) over a sector, (n, n), for f(u) (n, rays, radii) and weights of half of the rays.

    Reflected at the middle of its sector, u / s1 is v / s2.
    """
    half = len(weight)
    # A product for each ray: one with all nodes would be long and thin, and the threads of a BLAS that share such
    # products wait for one another most of the time, for minutes on a busy machine.
    left, right = (weight * f[:, :half]).transpose(1, 0, 2), f[:, : half - 1 : -1].transpose(1, 2, 0)
    products = np.sum(left @ right, axis=0)
    return np.asarray(products + products.T)


def _mapped(function: Callable[[int], Any], items: Iterable[int], parallel: bool) -> Iterable[Any]:
    """The results in order; from several threads where that is worth it: NumPy shares the processor in them."""
    if not parallel:
        return map(function, items)
    from concurrent.futures import ThreadPoolExecutor  # loads slowly, and few kernels need it

    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        return list(pool.map(function, items))


@dataclass(frozen=True)
class Conditional:
    """The rule for kinks away from zero: u = s1 x and v = s2 (x cos t + y sin t), x and y standard normal.

    The inner integral over y breaks where v meets a kink c; as a function of x it bends within |tan t| of the
    point where s2 x cos t = c, so that panels in x shrink towards that point. ``nodes`` a panel.
    """

    nodes: int
    radius: float = RADIUS

    def sample(self, phi: ScalarFunction, std: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both expectations for all pairs of standard deviations (n,) at all angles (m,): each (m, n, n)."""
        i, j = np.triu_indices(len(std))
        shape = (len(t), len(i))
        s1, s2, t_all = (np.broadcast_to(x, shape).ravel() for x in (std[i], std[j], t[:, None]))
        value, slope = np.empty((2, len(t), len(std), len(std)))
        for grid, part in zip((value, slope), self.points(phi, s1, s2, t_all), strict=True):
            grid[:, i, j] = grid[:, j, i] = part.reshape(shape)
        return value, slope

    def points(
        self, phi: ScalarFunction, s1: np.ndarray, s2: np.ndarray, t: np.ndarray, chunk: int = 24
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both expectations at points (s1, s2, t), each (E,)."""
        value, slope = np.empty((2, len(t)))
        order = np.argsort(t)  # alike angles together: their empty panels are dropped together
        for start in range(0, len(t), chunk):
            rows = order[start : start + chunk]
            value[rows], slope[rows] = self._chunk(phi, s1[rows, None], s2[rows, None], t[rows, None])
        return value, slope

    def _chunk(
        self, phi: ScalarFunction, s1: np.ndarray, s2: np.ndarray, t: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both expectations at points (s1, s2, t), each (n, 1)."""
        kinks = np.asarray(phi.breakpoints)
        base = np.broadcast_to(self.radius * np.asarray([-1.0, -0.4, 0.0, 0.4, 1.0]), (len(t), 5))
        bends = (kinks / _away_from_zero(s2 * np.cos(t)))[..., None]
        width = (np.abs(np.tan(t)) * 4.0 ** np.arange(-1, 8))[:, None, :]
        toward = np.concatenate([bends - width, bends, bends + width], axis=2).reshape(len(t), -1)
        edges = np.concatenate([base, kinks / _away_from_zero(s1), toward], axis=1)
        x, x_weight = _panels(np.clip(edges, -self.radius, self.radius), self.nodes)
        level = x * np.cos(t)
        breaks = ((kinks / _away_from_zero(s2))[:, None, :] - level[..., None]) / _away_from_zero(np.sin(t))[..., None]
        base = np.broadcast_to(base[:, None, :], (*x.shape, base.shape[1]))
        edges = np.concatenate([base, breaks], axis=2)
        y, y_weight = _panels(np.clip(edges, -self.radius, self.radius), self.nodes)
        u, v = s1 * x, s2[..., None] * (level[..., None] + np.sin(t)[..., None] * y)
        x_weight = x_weight * np.exp(-0.5 * x * x) / (2 * math.pi)
        y_weight = y_weight * np.exp(-0.5 * y * y)
        value, slope = (
            np.sum(x_weight * f(u) * np.sum(y_weight * f(v), axis=2), axis=1) for f in (phi.function, phi.derivative)
        )
        return value, slope


def _panels(edges: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights of all panels between edges (..., E) when sorted."""
    x, w = np.polynomial.legendre.leggauss(n)
    edges = np.sort(edges, axis=-1)
    half = np.diff(edges) / 2
    kept = np.any(half > 0, axis=tuple(range(half.ndim - 1)))
    left, half = edges[..., :-1][..., kept, None], half[..., kept, None]
    nodes, weights = (left + half) + half * x, half * w
    return nodes.reshape(*edges.shape[:-1], -1), weights.reshape(*edges.shape[:-1], -1)


def _away_from_zero(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 1e-150, 1e-150, x)


def rules_for(phi: ScalarFunction, largest: float = 1.0, rough: bool = False) -> list[Polar] | list[Conditional]:
    """Rules of rising order for standard deviations up to the largest; take the first that the next one confirms.

    Rough ones have about two thirds of the nodes along each axis, where functions change on short scales.
    """
    radius = reach(phi, largest)
    if any(b != 0.0 for b in phi.breakpoints):
        return [Conditional(n, radius) for n in (8, 12, 16, 20, 24)]
    # As many nodes for each standard deviation where the range is longer.
    longer = radius / RADIUS
    smooth = [
        _polar(longer * angles, longer * radii, 0, radius) for angles, radii in ((16, 28), (24, 40), (32, 48), (48, 64))
    ]
    # What a function does around 0 is as narrow as 1 / largest in units of the standard deviation. Coarser panels may
    # all miss it, and agree.
    least = max(1, math.ceil(math.log(max(largest, 1.0), 4.0)))
    # More levels are for functions that are steeper than that, more nodes for what functions do far from 0. Node counts
    # alternate, or rules would agree on what they all get wrong there.
    counts = ((12, 16), (14, 19)) if rough else ((16, 24), (18, 28))
    steep = []
    for k, (more, levels) in enumerate(((1.0, 0), (1.0, 1), (1.0, 2), (1.4, 0), (1.4, 1))):
        angles, radii = counts[k % 2]
        steep.append(_polar(more * angles, longer * more * radii, least + levels, radius))
    oscillating = [Polar(n, 4 * n // 3, 0, radius) for n in (96, 128, 192)]
    return [*steep, *oscillating] if least > 2 else [*smooth, *steep, *oscillating]


def _polar(angles: float, radii: float, levels: int, radius: float) -> Polar:
    """The rule with at least so many nodes a panel."""
    return Polar(2 * math.ceil(angles / 2), math.ceil(radii), levels, radius)


def gaussian_mean(phi: ScalarFunction, std: np.ndarray, nodes: int, chunk: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """E[phi(u)] for u ~ N(0, s^2) at standard deviations s (N,), and its derivative in s^2.

    Panels of ``nodes`` each end at the kinks, and shrink towards 0, where steep functions change. The derivative is
    E[phi'(s z) z] / (2 s), by the chain rule; where s = 0 it is set to 0.
    """
    radius = reach(phi, float(np.max(std, initial=0.0)))
    base = radius * np.asarray([0.0, *(4.0 ** -np.arange(12.0))])
    base, kinks = np.concatenate([-base[1:], base]), np.asarray(phi.breakpoints)
    mean, slope = np.empty((2, len(std)))
    for start in range(0, len(std), chunk):
        s = std[start : start + chunk, None]
        edges = np.concatenate([np.tile(base, (len(s), 1)), kinks / _away_from_zero(s)], axis=1)
        z, weight = _panels(np.clip(edges, -radius, radius), nodes)
        weight = weight * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        mean[start : start + chunk] = np.sum(weight * phi.function(s * z), axis=1)
        along = np.sum(weight * z * phi.derivative(s * z), axis=1)
        slope[start : start + chunk] = np.where(s[:, 0] > 0, along / (2 * _away_from_zero(s[:, 0])), 0.0)
    return mean, slope
