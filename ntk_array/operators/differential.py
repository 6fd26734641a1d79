"""Linear differential operators with constant coefficients."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._array.validate import number
from ..infinite.taylor import Along

__all__ = ["Derivative", "Laplacian", "Operator", "Value"]

Term = tuple[tuple[int, ...] | None, float]


@dataclass(frozen=True)
class Operator:
    """A linear differential operator of order 2 at most, with constant coefficients.

    Made of :class:`Value`, :class:`Derivative` and :class:`Laplacian` by sums, differences and multiples, such as
    ``Derivative(0) - 0.1 * Laplacian((1,))`` for the heat equation in time and one dimension of space.
    """

    terms: tuple[Term, ...]
    """Axes of derivatives and coefficients; no axis for the value, None for the Laplacian over all axes."""

    @property
    def order(self) -> int:
        """The number of derivatives that are taken at most."""
        return max((2 if axes is None else len(axes) for axes, _ in self.terms), default=0)

    def along(self, d: int) -> list[tuple[float, Along]]:
        """The same on functions of d variables as a sum of multiples of derivatives along directions.

        ValueError if there is no such axis.
        """
        value, gradient, hessian = 0.0, np.zeros(d), np.zeros((d, d))
        for axes, factor in self.terms:
            if axes is None:
                hessian += factor * np.eye(d)
                continue
            if any(axis >= d for axis in axes):
                raise ValueError(f"{self!r} differentiates along axis {max(axes)}; inputs have the axes 0 to {d - 1}")
            if not axes:
                value += factor
            elif len(axes) == 1:
                gradient[axes[0]] += factor
            else:
                # Both orders of a mixed derivative have half of it.
                hessian[axes] += 0.5 * factor
                hessian[axes[::-1]] += 0.5 * factor
        parts = [(value, Along(0))] if value else []
        parts += [(1.0, Along(1, gradient))] if gradient.any() else []
        # sum_ij H_ij d_i d_j is a sum of second derivatives along the eigenvectors of H.
        sizes, directions = np.linalg.eigh(hessian)
        return parts + [(float(s), Along(2, v)) for s, v in zip(sizes, directions.T, strict=True) if s]

    def __add__(self, other: Operator) -> Operator:
        if not isinstance(other, Operator):
            raise TypeError(f"an operator can be added to another operator, not to {other!r}; c u is c * Value()")
        total = dict(self.terms)
        for axes, factor in other.terms:
            total[axes] = total.get(axes, 0.0) + factor
        return Operator(tuple(total.items()))

    def __mul__(self, factor: float) -> Operator:
        factor = number("the factor of an operator", factor)
        return Operator(tuple((axes, factor * own) for axes, own in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> Operator:
        return self * -1.0

    def __sub__(self, other: Operator) -> Operator:
        return self + -other

    def __repr__(self) -> str:
        def named(axes: tuple[int, ...] | None) -> str:
            if not axes:
                return "Laplacian()" if axes is None else "Value()"
            return f"Derivative({', '.join(map(str, axes))})"

        return " + ".join(f"{factor:g} * {named(axes)}" for axes, factor in self.terms) or "0 * Value()"


class Value(Operator):
    """u itself.

    Examples
    --------
    >>> from ntk_array.operators import Laplacian, Value
    >>> Laplacian() + 4.0 * Value()  # the Helmholtz operator
    1 * Laplacian() + 4 * Value()
    """

    def __init__(self) -> None:
        super().__init__((((), 1.0),))


class Derivative(Operator):
    """du/dx_i, or d^2 u / dx_i dx_j.

    Parameters
    ----------
    *axes : int
        One or two, which may be equal: ``Derivative(0)``, ``Derivative(0, 0)``, ``Derivative(0, 1)``.
    """

    def __init__(self, *axes: int) -> None:
        super().__init__(((tuple(sorted(_axes(axes))), 1.0),))
        if len(axes) not in (1, 2):
            raise ValueError(f"a derivative is along one axis or two, got {axes}")


class Laplacian(Operator):
    """The sum of the second derivatives d^2 u / dx_i^2.

    Parameters
    ----------
    axes : sequence of int, optional
        Only these, such as those of space in a problem in time and space; all of them by default.
    """

    def __init__(self, axes: Sequence[int] | None = None) -> None:
        if isinstance(axes, numbers.Integral):
            raise TypeError(f"axes must be a sequence, got {axes!r}; along one axis: Derivative({axes}, {axes})")
        chosen = None if axes is None else _axes(axes)
        if chosen and len(set(chosen)) < len(chosen):
            raise ValueError(f"each axis of a Laplacian counts once, got {chosen}")
        super().__init__(((None, 1.0),) if chosen is None else tuple(((axis, axis), 1.0) for axis in chosen))


def _axes(axes: Sequence[int]) -> tuple[int, ...]:
    for axis in axes:
        if isinstance(axis, bool) or not isinstance(axis, numbers.Integral) or axis < 0:
            raise ValueError(f"an axis must be a whole number from 0 on, got {axis!r}")
    return tuple(map(int, axes))
