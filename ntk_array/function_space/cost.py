"""Cost functionals C(f) on functions on the sample, and their functional derivatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import Literal

from .._array.namespace import Array, home
from .._array.short import short_repr
from .._array.validate import one_of, same_home, targets
from .measure import EmpiricalMeasure, Function, Functional

__all__ = ["Cost", "SquaredError"]

Convention = Literal["mean", "half_sum", "half_mean"]
"""The multiple of the squared error: (1/N) sum, (1/2) sum, or 1/(2 N C) sum."""


class Cost(ABC):
    """A cost functional on functions on the sample of p_in, with targets y (N, C) or (N,).

    Attributes
    ----------
    p_in : EmpiricalMeasure
        Inputs and weights.
    y : array (N, C)
        The targets, as columns.
    vector : bool
        Whether the targets were given as (N,), so that predictions are (M,).
    factor : float
        This cost is so many times its default form: 1, except for conventions of :class:`SquaredError`.
    of_examples : bool
        Whether C(f) = sum_i w_i l(f(x_i), y_i) for a loss l of one example, with d|_f(x_i) = dl/df. A subclass of which
        this is true says so; mini-batches ask for it.
    """

    __repr__ = short_repr

    factor: float = 1.0
    of_examples: bool = False

    def __init__(self, p_in: EmpiricalMeasure, y: Array) -> None:
        if not isinstance(p_in, EmpiricalMeasure):
            raise TypeError(f"p_in must be an EmpiricalMeasure, got {type(p_in).__name__}; write EmpiricalMeasure(x)")
        y = targets("y", y, p_in.x)
        same_home(x=p_in.x, y=y)
        self.p_in = p_in
        self.vector = y.ndim == 1
        self.y = y[:, None] if self.vector else y

    @abstractmethod
    def __call__(self, f: Function) -> Array:
        """C(f), an array of no axes."""

    @abstractmethod
    def representer(self, f: Array) -> Array:
        """d|_f (N, C) for values f (N, C), with dC|_f(g) = <d|_f, g>."""

    def derivative(self, f: Function) -> Functional:
        """The functional derivative dC|_f = <d|_f, .>_{p^in} (Jacot et al. 2018, section 3)."""
        return Functional(self.p_in, self.shaped(self.representer(self.values(f))))

    def batch(self, rows: Array) -> Cost:
        """The same loss l on some of the examples, row numbers (B,), with weights divided by their sum.

        Raises
        ------
        TypeError
            If the cost is not a sum over examples, or does not say that it is.
        """
        if not self.of_examples:
            raise TypeError(
                f"{type(self).__name__} does not say that it is a sum over examples, which a mini-batch of them needs; "
                "set its attribute of_examples = True if it is one"
            )
        part = copy(self)
        part.p_in = self.p_in.batch(rows)
        part.y = home(self.y).xp.take(self.y, rows, axis=0)
        return part

    def values(self, f: Function) -> Array:
        """The values of f on the sample, (N, C), checked against the targets."""
        values = self.p_in.values("f", f)
        if values.shape != self.y.shape:
            raise ValueError(f"f has {values.shape[1]} outputs, the targets y have {self.y.shape[1]}; they must agree")
        return values

    def shaped(self, values: Array) -> Array:
        """Values (..., M, C) in the user's convention: (..., M) where the targets were (N,)."""
        return values[..., 0] if self.vector else values


class SquaredError(Cost):
    """C(f) = c sum_i w_i ||f(x_i) - y_i||^2, with d|_f(x_i) = 2 c (f(x_i) - y_i); c = 1 unless you name a convention.

    ============  ==================================  ===========
    convention    C(f) with w_i = 1/N                 c
    ============  ==================================  ===========
    "mean"        (1/N) sum_i ||f(x_i) - y_i||^2      1
    "half_sum"    (1/2) sum_i ||f(x_i) - y_i||^2      N / 2
    "half_mean"   1/(2 N C) sum_i ||f(x_i) - y_i||^2  1 / (2 C)
    ============  ==================================  ===========

    A convention rescales time and nothing else: the flow of this cost is at time t where that of "mean" is at time c t.

    Parameters
    ----------
    p_in : EmpiricalMeasure
        Inputs and weights.
    y : array (N, C) or (N,)
        Targets.
    convention : "mean", "half_sum" or "half_mean"
        The multiple of the squared error that is minimized.

    Attributes
    ----------
    factor : float
        c.

    Raises
    ------
    ValueError
        For another convention, or targets that do not fit the sample.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> p_in = ntk.function_space.EmpiricalMeasure(np.asarray([[0.0], [1.0]]))
    >>> cost = ntk.function_space.SquaredError(p_in, np.asarray([1.0, 3.0]))
    >>> f = np.asarray([0.0, 0.0])
    >>> float(cost(f)), cost.derivative(f).representer.tolist()
    (5.0, [-2.0, -6.0])
    >>> float(ntk.function_space.SquaredError(p_in, np.asarray([1.0, 3.0]), convention="half_mean")(f))
    2.5
    """

    of_examples = True

    def __init__(self, p_in: EmpiricalMeasure, y: Array, convention: Convention = "mean") -> None:
        super().__init__(p_in, y)
        self.convention = one_of("convention", convention, ("mean", "half_sum", "half_mean"))
        # c times the weight w_i = 1/N is the multiple in front of the sum: 1/N, 1/2 or 1/(2 N C).
        factors = {"mean": 1.0, "half_sum": len(p_in) / 2, "half_mean": 1 / (2 * self.y.shape[1])}
        self.factor = factors[convention]

    def __call__(self, f: Function) -> Array:
        """c sum_i w_i ||f(x_i) - y_i||^2."""
        residual = self.values(f) - self.y
        return self.factor * home(residual).xp.sum(self.p_in.column_weights * residual * residual)

    def representer(self, f: Array) -> Array:
        """2 c (f - y)."""
        return 2.0 * self.factor * (f - self.y)
