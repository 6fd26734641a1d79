"""The input distribution p^in, its inner product and its dual functionals."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from .._array.namespace import Array, home, to_host
from .._array.short import short_repr
from .._array.validate import inputs, real_array, same_home, targets

__all__ = ["EmpiricalMeasure", "Function", "Functional"]

Function = Array | Callable[[Array], Array]
"""A function on the sample: its values (N, C) or (N,), or a callable x -> values."""


class EmpiricalMeasure:
    """The empirical input distribution p^in = sum_i w_i delta_{x_i}, with w_i = 1/N unless given.

    Parameters
    ----------
    x : array (N, ...)
        The sample.
    weights : array (N,), optional
        Positive, summing to 1. (A weight of zero would make a point a test point: leave it out.)

    Raises
    ------
    ValueError
        For NaN or infinity in x, or weights that are not positive or do not sum to 1.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0.0], [1.0], [2.0]]))
    >>> float(p_in.inner(lambda x: x, np.asarray([1.0, 1.0, 1.0])))
    1.0
    """

    __repr__ = short_repr

    def __init__(self, x: Array, weights: Array | None = None) -> None:
        self.x = inputs("x", x)
        n = self.x.shape[0]
        xp, dtype, device = home(self.x)
        if weights is None:
            self.uniform = True
            self.column_weights = xp.full((n, 1), 1.0 / n, dtype=dtype, device=device)
            return
        self.uniform = False
        weights = targets("weights", weights, self.x)
        same_home(x=self.x, weights=weights)
        host = to_host(weights)
        # n weights, each of them rounded, sum to 1 up to about n eps.
        if weights.ndim != 1 or not (host > 0).all() or abs(float(host.sum()) - 1.0) > n * home(weights).eps:
            raise ValueError("weights must be (N,), positive and sum to 1; divide them by their sum")
        self.column_weights = weights[:, None]

    def __len__(self) -> int:
        """N, the number of points."""
        return int(self.x.shape[0])

    def inner(self, f: Function, g: Function) -> Array:
        """<f, g>_{p^in} = sum_i w_i f(x_i)^T g(x_i), an array of no axes (Jacot et al. 2018, section 2)."""
        left, right = self.values("f", f), self.values("g", g)
        if left.shape != right.shape:
            raise ValueError(f"f has values {tuple(left.shape)} on the sample, g has {tuple(right.shape)}")
        return home(left).xp.sum(self.column_weights * left * right)

    def norm(self, f: Function) -> Array:
        """||f||_{p^in} = sqrt(<f, f>), a seminorm: it sees f on the sample only."""
        values = self.values("f", f)
        return home(values).xp.sqrt(self.inner(values, values))

    def batch(self, rows: Array) -> EmpiricalMeasure:
        """Some of the points, row numbers (B,), with weights divided by their sum."""
        part, xp = copy(self), home(self.x).xp
        part.x = xp.take(self.x, rows, axis=0)
        weights = xp.take(self.column_weights, rows, axis=0)
        part.column_weights = weights / xp.sum(weights)
        return part

    def functional(self, d: Function) -> Functional:
        """The dual functional mu = <d, .>_{p^in}."""
        return Functional(self, self.values("d", d))

    def values(self, name: str, f: Function) -> Array:
        """The values of a function on the sample, as (N, C)."""
        values = real_array(name, f(self.x) if callable(f) else f, like=self.x)
        same_home(x=self.x, **{name: values})
        if values.ndim not in (1, 2) or values.shape[0] != len(self):
            raise ValueError(
                f"{name} has values of shape {tuple(values.shape)}; a function on this sample has ({len(self)}, C)"
            )
        return values[:, None] if values.ndim == 1 else values


@dataclass(frozen=True)
class Functional:
    """The continuous linear functional f -> <d, f>_{p^in}; ``representer`` is d, (N, C) or (N,)."""

    __repr__ = short_repr

    p_in: EmpiricalMeasure
    representer: Array

    def __call__(self, f: Function) -> Array:
        """<d, f>_{p^in}, an array of no axes."""
        return self.p_in.inner(self.representer, f)
