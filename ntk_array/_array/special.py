"""Special functions that the array API standard does not have."""

import math
from typing import Any

import numpy as np

from .namespace import Array, home

__all__ = ["WithErf", "erf", "normal_cdf", "normal_pdf"]


class WithErf:
    """An array API namespace that has ``erf`` too, for functions that users write."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    @staticmethod
    def erf(x: Array) -> Array:
        """:func:`erf`."""
        return erf(x)


def erf(x: Array) -> Array:
    """The error function, by the array's own library where it has one."""
    # A formula in the making (_formula/formula.py) records the operation, and its namespace has it.
    own = home(x).library.erf or getattr(home(x).xp, "erf", None)
    return _erf_by_quadrature(x) if own is None else own(x)


def _erf_by_quadrature(x: Array) -> Array:
    """erf(x) = 2 x / sqrt(pi) * integral over s in [0, 1] of exp(-(x s)^2), by Gauss-Legendre.

    Two panels of 16 nodes reach 2e-15 for |x| <= 6, and erf(6) is 1 in float64. (One rule of 40 nodes does
    worse, 9e-15: the weights of long rules have rounding errors of their own.)
    """
    xp = home(x).xp
    nodes, weights = np.polynomial.legendre.leggauss(16)
    # Beyond 6 the nodes are too few for exp(-(x s)^2). The last line puts sign(x) there, and NaN for NaN.
    x = xp.clip(x, min=-6.0, max=6.0)
    total = xp.zeros_like(x)
    for start in (0.0, 0.5):
        # A node u in [-1, 1] lies at s = start + (u + 1) / 4 in a panel of length 1/2, and ds = du / 4.
        for s, w in zip(start + (nodes + 1) / 4, weights / 4, strict=True):
            # float(), because a float64 scalar of NumPy turns float32 arrays into float64.
            total = total + float(w) * xp.exp(-((x * float(s)) ** 2))
    return xp.where(xp.abs(x) < 6.0, (2.0 / math.sqrt(math.pi)) * x * total, xp.sign(x))


def normal_cdf(x: Array) -> Array:
    """The distribution function of the standard normal."""
    return 0.5 * (1.0 + erf(x * math.sqrt(0.5)))


def normal_pdf(x: Array) -> Array:
    """The density of the standard normal."""
    return home(x).xp.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
