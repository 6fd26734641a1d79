"""Dual activations by mpmath, by another method than the package's: E[phi(u) E[phi(v) | u]].

u = s1 x and v = s2 (x cos t + y sin t) with x, y standard normal. Where the inner expectation is elementary it is
written down and the outer one is ``mpmath.quad``, split at kinks. For the functions made from tanh, which are
analytic in a strip, both are trapezoidal sums: these converge like exp(-2 pi a / h) for a pole at a distance a from
the real axis, so that the step h follows from the digits wanted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import mpmath
from mpmath import mp, mpf

DIGITS = 25
SURE = mpf(10) ** -19  # far below the rounding of float64 that the tests look at

Scalar = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Elementary:
    """phi and phi', and their means over v ~ N(m, q^2), as functions (m, q)."""

    function: Scalar
    derivative: Scalar
    mean: Callable[[mpf, mpf], mpf]
    mean_derivative: Callable[[mpf, mpf], mpf]
    kinks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Strip:
    """x -> (phi(x), phi'(x)), analytic within ``pole`` of the real axis."""

    both: Callable[[mpf], tuple[mpf, mpf]]
    pole: mpf


def expectations(phi: Elementary | Strip, s1: float, s2: float, t: float) -> tuple[mpf, mpf]:
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] for standard deviations s1, s2 and the angle t."""
    with mp.workdps(DIGITS):
        s1, s2, t = mpf(s1), mpf(s2), mpf(t)
        return _by_quad(phi, s1, s2, t) if isinstance(phi, Elementary) else _by_sums(phi, s1, s2, t)


def variance(phi: Elementary | Strip, s: float) -> tuple[mpf, mpf]:
    """E[phi(u)^2] and E[phi'(u)^2] for the standard deviation s."""
    with mp.workdps(DIGITS):
        s = mpf(s)
        if isinstance(phi, Strip):
            h = _step(phi.pole / s)
            return tuple(h * sum(parts) for parts in zip(*_squares(phi, s, h), strict=True))
        edges = sorted({mpf(e) for e in (-11, -5, -2, 0, 2, 5, 11)} | {c / s for c in phi.kinks if abs(c) < 11 * s})
        functions = (phi.function, phi.derivative)
        return tuple(_sure(lambda x, f=f: f(s * x) ** 2 * mpmath.npdf(x), edges) for f in functions)


def _squares(phi, s, h):
    for x in _lattice(h):
        value, slope = phi.both(s * x)
        yield mpmath.npdf(x) * value**2, mpmath.npdf(x) * slope**2


def _sure(integrand, edges):
    result, error = mpmath.quad(integrand, edges, error=True)
    assert error < SURE * max(1, abs(result)), (error, result)
    return result


def _by_quad(phi, s1, s2, t):
    cosine, q = mpmath.cos(t), s2 * mpmath.sin(t)
    edges = {mpf(e) for e in (-11, -5, -2, 0, 2, 5, 11)}
    for c in phi.kinks:
        edges.add(mpf(c) / s1)
        if abs(cosine) > 0.01:  # v crosses the kink within a few |tan t| of here
            bend, width = c / (s2 * cosine), abs(mpmath.tan(t))
            edges |= {bend + k * width for k in (-12, -6, -3, -1, 0, 1, 3, 6, 12)}
    edges = sorted(e for e in edges if -11 <= e <= 11)
    value = _sure(lambda x: phi.function(s1 * x) * phi.mean(s2 * x * cosine, q) * mpmath.npdf(x), edges)
    slope = _sure(lambda x: phi.derivative(s1 * x) * phi.mean_derivative(s2 * x * cosine, q) * mpmath.npdf(x), edges)
    return value, slope


def _step(pole):
    """The step of a trapezoidal sum over the normal density, for about 22 digits."""
    a = min(pole, mpf(8))
    return 2 * mp.pi * a / (52 + a * a / 2)


def _lattice(h):
    n = int(mpf(11) / h) + 1
    return [k * h for k in range(-n, n + 1)]


def _by_sums(phi, s1, s2, t):
    along, across = s2 * mpmath.cos(t), s2 * mpmath.sin(t)
    hx, hy = _step(phi.pole / max(s1, abs(along))), _step(phi.pole / across)
    inner = [(across * y, mpmath.npdf(y)) for y in _lattice(hy)]
    value = slope = mpf(0)
    for x in _lattice(hx):
        terms = [(w, *phi.both(along * x + y)) for y, w in inner]
        weight, (outer, outer_slope) = mpmath.npdf(x), phi.both(s1 * x)
        value += weight * outer * mpmath.fdot((w, f) for w, f, _ in terms)
        slope += weight * outer_slope * mpmath.fdot((w, d) for w, _, d in terms)
    return hx * hy * value, hx * hy * slope


def _relu_mean(m, q):
    return m * mpmath.ncdf(m / q) + q * mpmath.npdf(m / q)


def _step_mean(m, q):
    return mpmath.ncdf(m / q)


def _exponential_below(m, q):
    """E[exp(v); v < 0]."""
    return mpmath.exp(m + q * q / 2) * mpmath.ncdf(-(m + q * q) / q)


def leaky_relu(below) -> Elementary:
    below = mpf(below)
    return Elementary(
        lambda x: x if x > 0 else below * x,
        lambda x: mpf(1) if x > 0 else below,
        lambda m, q: below * m + (1 - below) * _relu_mean(m, q),
        lambda m, q: below + (1 - below) * _step_mean(m, q),
        (0.0,),
    )


def tanh(steepness=1) -> Strip:
    k = mpf(steepness)

    def both(x):
        y = mpmath.tanh(k * x)
        return y, k * (1 - y * y)

    return Strip(both, mp.pi / 2 / k)


def _sigmoid(x):
    return (1 + mpmath.tanh(x / 2)) / 2


def _sigmoid_both(x):
    s = _sigmoid(x)
    return s, s * (1 - s)


def _silu_both(x):
    s = _sigmoid(x)
    return x * s, s * (1 + x * (1 - s))


def _softplus_both(x):
    return mpmath.log1p(mpmath.exp(x)), _sigmoid(x)


def _gelu_mean(m, q):
    a = mpmath.sqrt(1 + q * q)
    return m * mpmath.ncdf(m / a) + q * q / a * mpmath.npdf(m / a)


def _gelu_mean_derivative(m, q):
    a = mpmath.sqrt(1 + q * q)
    return mpmath.ncdf(m / a) + m / a * (1 - q * q / (a * a)) * mpmath.npdf(m / a)


def _erf_width(q):
    return mpmath.sqrt(1 + 2 * q * q)


def _damping(q):
    return mpmath.exp(-q * q / 2)


def _hard_tanh_mean(m, q):
    return _relu_mean(m + 1, q) - _relu_mean(m - 1, q) - 1


ORACLES: dict[str, Elementary | Strip] = {
    "identity": Elementary(lambda x: x, lambda x: mpf(1), lambda m, q: m, lambda m, q: mpf(1)),
    "relu": leaky_relu(0),
    "leaky_relu": leaky_relu(0.25),
    "abs": leaky_relu(-1),
    "erf": Elementary(
        mpmath.erf,
        lambda x: 2 / mpmath.sqrt(mp.pi) * mpmath.exp(-x * x),
        lambda m, q: mpmath.erf(m / _erf_width(q)),
        lambda m, q: 2 / mpmath.sqrt(mp.pi) * mpmath.exp(-((m / _erf_width(q)) ** 2)) / _erf_width(q),
    ),
    "gelu": Elementary(
        lambda x: x * mpmath.ncdf(x),
        lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x),
        _gelu_mean,
        _gelu_mean_derivative,
    ),
    "sin": Elementary(
        mpmath.sin,
        mpmath.cos,
        lambda m, q: mpmath.sin(m) * _damping(q),
        lambda m, q: mpmath.cos(m) * _damping(q),
    ),
    "cos": Elementary(
        mpmath.cos,
        lambda x: -mpmath.sin(x),
        lambda m, q: mpmath.cos(m) * _damping(q),
        lambda m, q: -mpmath.sin(m) * _damping(q),
    ),
    "elu": Elementary(
        lambda x: x if x > 0 else mpmath.expm1(x),
        lambda x: mpf(1) if x > 0 else mpmath.exp(x),
        lambda m, q: _relu_mean(m, q) + _exponential_below(m, q) - _step_mean(-m, q),
        lambda m, q: _step_mean(m, q) + _exponential_below(m, q),
        (0.0,),
    ),
    # max(x, 0) + sin(x) / 4: a user's own, with a kink at 0
    "bent": Elementary(
        lambda x: max(x, mpf(0)) + mpmath.sin(x) / 4,
        lambda x: (1 if x > 0 else 0) + mpmath.cos(x) / 4,
        lambda m, q: _relu_mean(m, q) + mpmath.sin(m) * _damping(q) / 4,
        lambda m, q: _step_mean(m, q) + mpmath.cos(m) * _damping(q) / 4,
        (0.0,),
    ),
    "hard_tanh": Elementary(
        lambda x: max(min(x, mpf(1)), mpf(-1)),
        lambda x: mpf(1) if abs(x) < 1 else mpf(0),
        _hard_tanh_mean,
        lambda m, q: mpmath.ncdf((m + 1) / q) - mpmath.ncdf((m - 1) / q),
        (-1.0, 1.0),
    ),
    "tanh": tanh(),
    "tanh_8x": tanh(8),
    "sigmoid": Strip(_sigmoid_both, mp.pi),
    "silu": Strip(_silu_both, mp.pi),
    "softplus": Strip(_softplus_both, mp.pi),
}
