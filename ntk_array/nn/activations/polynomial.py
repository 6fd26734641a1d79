"""Polynomials: their duals are polynomials in the covariances."""

from __future__ import annotations

import math
import numbers
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array, home
from ..._array.validate import number
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from .base import ClosedForm

__all__ = ["Hermite", "Monomial", "Polynomial", "degree_from", "horner", "odd_factorial", "power"]

HIGHEST = 100
"""Of degrees: the moments of higher powers overflow."""


def degree_from(least: int, degree: Any) -> int:
    """A degree of at least so much. ValueError for others, and for one whose moments overflow."""
    whole = isinstance(degree, numbers.Integral) and not isinstance(degree, bool)
    if not whole or not least <= int(degree) <= HIGHEST:
        raise ValueError(f"degree must be a whole number from {least} to {HIGHEST}, got {degree!r}")
    return int(degree)


def horner(coefficients: Sequence[Any], x: Any) -> Any:
    """sum_j coefficients[j] x^j, for numbers or arrays."""
    total = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def power(x: Any, n: int) -> Any:
    """x^n for a whole number n >= 1, by squaring."""
    half = power(x, n // 2) if n > 1 else None
    if half is None:
        return x
    return half * half * x if n % 2 else half * half


def odd_factorial(n: int) -> int:
    """n!! = 1 * 3 * ... * n, the mean of z^(n + 1) for a standard normal z; 1 for n = -1."""
    return math.prod(range(1, n + 1, 2))


class _Polynomial(ClosedForm):
    """An activation of degree n, by its expansion in Hermite polynomials.

    With A_m(k) = E[phi^(m)(u)] / m! for u ~ N(0, k),

        E[phi(u) phi(v)] = sum_m m! A_m(k11) A_m(k22) k12^m,

    whose derivative in k12 is E[phi'(u) phi'(v)]. A_m' = (m + 1) (m + 2) / 2 A_(m + 2), because d/dk E[f(u)] is
    E[f''(u)] / 2.
    """

    @abstractmethod
    def _expansion(self, k: Array) -> list[Array | float]:
        """A_0 .. A_n at variances k; the number 0.0 where one vanishes for all k."""

    def dual(self, state: Covariance) -> Dual:
        one = self._expansion(state.k11)
        terms = _products(one, one if state.paired else self._expansion(state.k22))
        value = horner(terms, state.k12)
        slope = horner([m * term for m, term in enumerate(terms)][1:], state.k12)
        # A polynomial that is constant, or whose slope is, has the shape of the state all the same.
        zeros = home(state.k12).xp.zeros_like(state.k12)
        return Dual(zeros + value, zeros + slope)

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        one, two = self._expansion(state.k11), self._expansion(state.k22)
        rows = _products(_derivatives(one), two)
        columns = _products(one, _derivatives(two))
        terms = [a * change.k11 + b * change.k22 for a, b in zip(rows, columns, strict=True)]
        # The change of k12 moves value and slope along their derivatives in it.
        along = [m * term for m, term in enumerate(_products(one, two))][1:]
        value = horner(terms, state.k12) + horner(along, state.k12) * change.k12
        slope = horner([m * term for m, term in enumerate(terms)][1:], state.k12)
        bent = [m * term for m, term in enumerate(along)][1:]
        zeros = home(state.k12).xp.zeros_like(state.k12)
        return Dual(zeros + value, zeros + slope + (horner(bent, state.k12) * change.k12 if bent else 0.0))

    def mean(self, k: Array) -> tuple[Array, Array]:
        """A_0(k)."""
        terms, zeros = self._expansion(k), home(k).xp.zeros_like(k)
        return zeros + terms[0], zeros + _derivatives(terms)[0]


def _products(one: Sequence[Any], two: Sequence[Any]) -> list[Any]:
    """m! A_m B_m."""
    return [float(math.factorial(m)) * a * b for m, (a, b) in enumerate(zip(one, two, strict=True))]


def _derivatives(terms: Sequence[Any]) -> list[Any]:
    """A_m'(k), by A_(m + 2)."""
    last = len(terms)
    return [0.5 * (m + 1) * (m + 2) * terms[m + 2] if m + 2 < last else 0.0 for m in range(last)]


class _Power(_Polynomial):
    """scale E_z[(x + i sqrt(shift) z)^n]: x^n for shift 0, the Hermite polynomial for shift 1.

    Both have A_m(k) = scale binom(n, m) (n - m - 1)!! (k - shift)^((n - m) / 2) where n - m is even, and 0 elsewhere.
    """

    degree: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "degree", degree_from(1, self.degree))

    @abstractmethod
    def _scale_and_shift(self) -> tuple[float, float]:
        """Both."""

    @property
    def odd(self) -> bool:
        return self.degree % 2 == 1

    @property
    def even(self) -> bool:
        return self.degree % 2 == 0

    def _expansion(self, k: Array) -> list[Array | float]:
        n, (scale, shift) = self.degree, self._scale_and_shift()
        terms: list[Array | float] = [0.0] * (n + 1)
        for m in range(n % 2, n + 1, 2):
            factor = scale * math.comb(n, m) * odd_factorial(n - m - 1)
            terms[m] = factor * power(k - shift, (n - m) // 2) if m < n else factor
        return terms


@dataclass(frozen=True)
class Monomial(_Power):
    """phi(x) = x^degree.

    Parameters
    ----------
    degree : int
        From 1 to 100.
    """

    degree: int

    @property
    def homogeneity(self) -> float:
        return float(self.degree)

    def function(self, xp: Any, x: Array) -> Array:
        return power(x, self.degree)

    def derivative(self, xp: Any, x: Array) -> Array:
        return self.degree * power(x, self.degree - 1) if self.degree > 1 else xp.ones_like(x)

    def _scale_and_shift(self) -> tuple[float, float]:
        return 1.0, 0.0


@dataclass(frozen=True)
class Hermite(_Power):
    """phi(x) = He_n(x) / sqrt(n!), the normalised Hermite polynomial of degree n.

    In the convention of probability: He_2(x) = x^2 - 1, He_3(x) = x^3 - 3 x, and E[phi(z)^2] = 1 for a standard normal
    z. So E[phi(u) phi(v)] is the n-th power of the correlation where both variances are 1.

    Parameters
    ----------
    degree : int
        n, from 1 to 100.
    """

    degree: int

    @property
    def homogeneity(self) -> float | None:
        return 1.0 if self.degree == 1 else None

    def function(self, xp: Any, x: Array) -> Array:
        return Hermite.value_and_derivative(self, xp, x)[0]

    def derivative(self, xp: Any, x: Array) -> Array:
        return Hermite.value_and_derivative(self, xp, x)[1]

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        # With h_j = He_j / sqrt(j!): sqrt(j + 1) h_(j + 1) = x h_j - sqrt(j) h_(j - 1), and h_n' = sqrt(n) h_(n - 1).
        before, value = xp.ones_like(x), x
        for j in range(1, self.degree):
            before, value = value, (x * value - j**0.5 * before) / (j + 1) ** 0.5
        return value, self.degree**0.5 * before

    def _scale_and_shift(self) -> tuple[float, float]:
        return math.factorial(self.degree) ** -0.5, 1.0


@dataclass(frozen=True)
class Polynomial(_Polynomial):
    """phi(x) = sum_j coefficients[j] x^j.

    Parameters
    ----------
    coefficients : sequence of float
        The constant first, as in ``numpy.polynomial``. Zeros at the end are dropped.

    Examples
    --------
    >>> import ntk_array as ntk
    >>> ntk.nn.Polynomial([1, 0, 0.5])                  # 1 + x^2 / 2
    Polynomial(coefficients=(1.0, 0.0, 0.5))
    """

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if isinstance(self.coefficients, str) or not hasattr(self.coefficients, "__iter__"):
            raise TypeError(f"coefficients must be a sequence of numbers, got {self.coefficients!r}")
        given = [number(f"coefficients[{j}]", value) for j, value in enumerate(self.coefficients)]
        while given and given[-1] == 0.0:
            given.pop()
        if len(given) < 2:
            raise ValueError(f"coefficients must make a polynomial of degree 1 or more, got {self.coefficients!r}")
        degree_from(1, len(given) - 1)
        object.__setattr__(self, "coefficients", tuple(given))

    @property
    def homogeneity(self) -> float | None:
        return float(len(self.coefficients) - 1) if not any(self.coefficients[:-1]) else None

    @property
    def odd(self) -> bool:
        return not any(self.coefficients[::2])

    @property
    def even(self) -> bool:
        return not any(self.coefficients[1::2])

    def function(self, xp: Any, x: Array) -> Array:
        return horner(self.coefficients, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x) + horner([j * value for j, value in enumerate(self.coefficients)][1:], x)

    def _expansion(self, k: Array) -> list[Array | float]:
        # A_m(k) = sum over even j of coefficients[m + j] binom(m + j, m) (j - 1)!! k^(j / 2).
        terms: list[Array | float] = []
        for m in range(len(self.coefficients)):
            given = enumerate(self.coefficients[m::2])
            own = [value * math.comb(m + 2 * i, m) * odd_factorial(2 * i - 1) for i, value in given]
            terms.append(horner(own, k) if any(own) else 0.0)
        return terms
