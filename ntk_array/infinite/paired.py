"""Dual activations of inputs with themselves, which are integrals in one variable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .._array.namespace import home, to_host
from .covariance import Covariance
from .dual import Dual
from .quadrature import ScalarFunction, reach

__all__ = ["PairedDual"]

NODES = 40  # a panel
PANELS = 10  # on either side of 0, each a quarter as long as the next
CHUNK = 256  # inputs


@dataclass(frozen=True)
class PairedDual:
    """E[phi(u)^2] and E[phi'(u)^2] for u of any variance.

    A table holds for the variances that it was made for. How errors grow from layer to layer is asked about others.
    """

    phi: ScalarFunction

    def __call__(self, state: Covariance) -> Dual:
        """Integrate, on the host in float64. Panels end at the kinks, and shrink towards 0."""
        here, std = home(state.k12), np.sqrt(to_host(state.k12).astype(np.float64)).ravel()
        radius = reach(self.phi, float(np.max(std, initial=0.0)))
        base = radius * np.asarray([0.0, *(4.0 ** -np.arange(float(PANELS)))])
        base = np.concatenate([-base[1:], base])
        x, w = np.polynomial.legendre.leggauss(NODES)
        found = np.empty((2, len(std)))
        for start in range(0, len(std), CHUNK):
            s = std[start : start + CHUNK, None]
            kinks = np.asarray(self.phi.breakpoints) / np.maximum(s, 1e-150)
            edges = np.concatenate([np.tile(base, (len(s), 1)), np.clip(kinks, -radius, radius)], axis=1)
            edges = np.sort(edges, axis=1)[..., None]
            half = np.diff(edges, axis=1) / 2
            z = (edges[:, :-1] + half) + half * x
            weight = half * w * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
            for part, values in zip(found, self.phi.pair(s[..., None] * z), strict=True):
                part[start : start + CHUNK] = np.sum(weight * values * values, axis=(1, 2))
        value, slope = (here.asarray(one.reshape(state.k12.shape)) for one in found)
        return Dual(value, slope)
