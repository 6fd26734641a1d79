"""Dual activations of smooth functions and all their derivatives, by Hermite series.

With h_n the Hermite polynomials of probability, normalised, and a_n(s) = E[phi(s z) h_n(z)] for a standard normal z,

    E[phi(u) phi(v)] = sum_n C_n(k11) C_n(k22) k12^n,    C_n(k) = a_n(s) / s^n,    s = sqrt(k)

(Mehler's formula). C_n(k) is E[phi^(n)(u)] / sqrt(n!), and d/dk E[f(u)] = E[f''(u)] / 2, so that

    C_n' = sqrt((n + 1)(n + 2)) C_(n + 2) / 2:

the derivatives of the dual, of any order and also where k12 = k11 = k22, come from the same coefficients, which are
integrals of phi alone. They fall geometrically or faster for smooth functions, and by powers of n for kinked ones.
"""

from __future__ import annotations

import math

import numpy as np

from .._array.namespace import Array, home, to_host
from .covariance import Covariance
from .quadrature import ScalarFunction, reach
from .taylor import Taylor

__all__ = ["expanded_dual"]

MOST_TERMS = 4096
MOST_NODES = 2**15
NEGLIGIBLE = 1e-14
"""The share of terms that are left out in the sum for the highest derivative."""
SMALLEST = 1e-10
"""The least s^r for derivatives of order r of a function: rounding of its a_n grows by the inverse of it."""


def expanded_dual(name: str, phi: ScalarFunction, state: Covariance, with_slope: bool) -> tuple[Taylor, Taylor | None]:
    """E[phi(u) phi(v)] and, if it is asked for, E[phi'(u) phi'(v)], for covariances that are polynomials.

    ``name`` is that of the activation, for errors.

    Raises
    ------
    ValueError
        If standard deviations are too small or too large for a series, or phi is not smooth.
    """
    orders, total = state.k12.orders, sum(state.k12.orders)
    rows, columns, pairs = (k.moving().powers() for k in (state.k11, state.k22, state.k12))
    here = home(state.k12.constant)
    stds = [np.sqrt(np.maximum(to_host(k.constant).astype(np.float64), 0.0)) for k in (state.k11, state.k22)]
    series = _coefficients(name, phi, stds, total + with_slope, max(orders) + total + with_slope)
    scale = here.asarray(stds[0]) * here.asarray(stds[1])
    cosine = state.k12.constant / scale
    known: dict[int, list[Array]] = {}

    def coefficients(p: int, q: int, r: int) -> Array:
        """That of dk11^p dk22^q dk12^r."""
        # E[phi^(2p + r)(u) phi^(2q + r)(v)] / 2^(p + q) is the same for p - t, q - t and r + 2 t, but for 4^t.
        t = min(p, q)
        if p - q not in known:
            left, right = (here.asarray(_derivative(a, s, n - t)) for a, s, n in zip(series, stds, (p, q), strict=True))
            found = _taylor(left, right, cosine, total + with_slope - abs(p - q))
            known[p - q] = [part / scale**n if n else part for n, part in enumerate(found)]
        orders_of = math.factorial(r + 2 * t) * math.factorial(p - t) * math.factorial(q - t)
        number = 0.25**t * orders_of / (math.factorial(p) * math.factorial(q) * math.factorial(r))
        return number * known[p - q][r + 2 * t]

    value, slope = Taylor({}, orders), Taylor({}, orders)
    for p, one in enumerate(rows):
        for q, two in enumerate(columns[: total - p + 1]):
            for r, power in enumerate(pairs[: total - p - q + 1]):
                outer = one * two * power
                value = value + outer * coefficients(p, q, r)
                if with_slope:
                    slope = slope + outer * ((r + 1.0) * coefficients(p, q, r + 1))
    return value, slope if with_slope else None


def _taylor(left: Array, right: Array, x: Array, most: int) -> list[Array]:
    """Taylor coefficients 0 .. most of sum_n left_n right_n x^n at x, by Horner's scheme."""
    found = [home(x).xp.zeros_like(x)] * (most + 1)
    for n in range(left.shape[0] - 1, -1, -1):
        found = [
            before * x + lower for before, lower in zip(found, (left[n, ...] * right[n, ...], *found), strict=False)
        ]
    return found


def _derivative(series: np.ndarray, std: np.ndarray, p: int) -> np.ndarray:
    """s^n / p! times the p-th derivative of C_n, for all terms; those that would come from beyond the last are 0."""
    n = np.arange(len(series), dtype=np.float64)
    factors = np.prod([np.sqrt(n + j) for j in range(1, 2 * p + 1)], axis=0) / (2.0**p * math.factorial(p))
    shifted = np.concatenate([series[2 * p :], np.zeros_like(series[: 2 * p])])
    found: np.ndarray = factors.reshape(-1, *[1] * std.ndim) * shifted / std ** (2 * p)
    return found


def _coefficients(name: str, phi: ScalarFunction, stds: list[np.ndarray], order: int, highest: int) -> list[np.ndarray]:
    """a_n(s) for n = 0, 1, ... and both arrays of standard deviations, (terms, *shape) each.

    As many as derivatives of the dual of this order need: they add up a_n^2 n^order at most. ``highest`` is that of the
    derivatives of phi in them.
    """
    together, where = np.unique(np.concatenate([std.ravel() for std in stds]), return_inverse=True)
    smallest, largest = float(together[0]), float(together[-1])
    if smallest**highest < SMALLEST:
        raise ValueError(
            f"the values that {name} acts on have a standard deviation of {smallest:.2g} at some input; derivatives "
            f"in the inputs need at least {SMALLEST ** (1 / highest):.2g} for their digits: give the layer before it a "
            "bias (bias_std > 0)"
        )
    # The integrand is a_n's own, not its square: it has to be negligible where that of the dual, squared, is.
    radius, terms = math.sqrt(2.0) * reach(phi, largest), 32
    while terms <= MOST_TERMS:
        integrals = _integrals(phi, together, radius, terms)
        if integrals is None:
            break
        found, squares = integrals
        sizes = found * found * (1.0 + np.arange(terms)[:, None]) ** order
        shares = sizes / np.sum(sizes, axis=0)
        # All a_n^2 add up to E[phi(s z)^2]: a function that oscillates may have its large ones behind small ones.
        complete = np.all(np.sum(found * found, axis=0) > (1.0 - 1e-9) * squares)
        if complete and np.max(np.sum(shares[-(terms // 4) :], axis=0)) < NEGLIGIBLE:
            kept = found[: 1 + int(np.flatnonzero(np.max(shares, axis=1) > 1e-3 * NEGLIGIBLE)[-1])]
            parts = np.split(kept[:, where.ravel()], [stds[0].size], axis=1)
            return [part.reshape(-1, *std.shape) for part, std in zip(parts, stds, strict=True)]
        terms *= 2
    raise ValueError(
        f"the Hermite series of {name} at standard deviations up to {largest:.2g} does not end within {MOST_TERMS} "
        "terms, so that derivatives of the kernel in the inputs are not known: make weight_std or the inputs smaller; "
        "a function with kinks has no such derivatives where inputs coincide"
    )


def _integrals(phi: ScalarFunction, std: np.ndarray, radius: float, terms: int) -> tuple[np.ndarray, np.ndarray] | None:
    """a_n(s) (terms, len(std)) and E[phi(s z)^2] by the trapezoidal rule, which is exact to rounding for smooth
    functions as soon as its nodes resolve them; None where no number of nodes does."""
    nodes, found = 4 * math.ceil(radius * (terms**0.5 + 6.0)), None
    while nodes <= MOST_NODES:
        z = np.linspace(-radius, radius, nodes + 1)
        # sqrt of the density, times h_n with the other root.
        root = np.exp(-0.25 * z * z) / (2.0 * math.pi) ** 0.25
        values, step = phi.function(std[:, None] * z) * root, 2.0 * radius / nodes
        before, found = found, _hermite_functions(z, root, terms) @ (step * values.T)
        squares = step * np.sum(values * values, axis=1)
        if before is not None and np.max(np.abs(found - before) / np.sqrt(squares)) <= 1e-14:
            return found, squares
        nodes *= 2
    return None


def _hermite_functions(z: np.ndarray, root: np.ndarray, terms: int) -> np.ndarray:
    """h_n(z) times the root of the density, (terms, len(z)): bounded for all n."""
    found = np.empty((terms, len(z)))
    found[0], found[1] = root, z * root
    for n in range(1, terms - 1):
        found[n + 1] = (z * found[n] - math.sqrt(n) * found[n - 1]) / math.sqrt(n + 1)
    return found
