"""What every activation is: an elementwise function, its derivative and its dual activation."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..._array.namespace import Array, home, standard_namespace, to_host
from ..._array.validate import number
from ...infinite.coincidence import sine_behind, turn_behind
from ...infinite.covariance import Covariance, Direction
from ...infinite.dual import DirectDual, Dual, DualTable, std_range
from ...infinite.hermite import expanded_dual
from ...infinite.paired import PairedDual
from ...infinite.quadrature import ScalarFunction, gaussian_mean
from ...infinite.signal import Signal
from ...infinite.tabulate import numerical_dual
from ..layer import Factors, Layer
from ..parameters import Params

__all__ = ["Activation", "ClosedForm", "Shifted"]

ACCURATE = 1e-9  # a numerical dual with a larger estimated error warns


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function phi, on inputs of any shape.

    Its infinite-width limit is the dual activation: K' = E[phi(u) phi(v)] and Theta' = Theta E[phi'(u) phi'(v)] for
    (u, v) ~ N(0, [[K11, K12], [K12, K22]]) (Jacot et al. 2018, Theorem 1), here by quadrature to an error that is
    estimated, stated by the kernel, and warned about where it is above 1e-9.
    """

    numerical = True
    table: ClassVar[DualTable | DirectDual | None] = None
    """The dual activation for the standard deviations of one problem, in an instance that was fitted to it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A class that changes one of the two must not inherit what computes both together.
        if not {"function", "derivative"}.isdisjoint(vars(cls)) and "value_and_derivative" not in vars(cls):
            cls.value_and_derivative = Activation.value_and_derivative  # type: ignore[method-assign]

    @property
    def tabulated(self) -> bool:  # type: ignore[override]
        """Whether it is numerical, and without kinks away from 0."""
        return self.numerical and not any(self.breakpoints)

    @property
    def kinked(self) -> bool:  # type: ignore[override]
        """Whether there are breakpoints."""
        return bool(self.breakpoints)

    @property
    def homogeneity(self) -> float | None:
        """The p in phi(a x) = a^p phi(x) for every a > 0; None where there is none."""
        return None

    @property
    def odd(self) -> bool:
        """Whether phi(-x) = -phi(x): the mean of its values at infinite width is then zero."""
        return False

    @property
    def even(self) -> bool:
        """Whether phi(-x) = phi(x): opposite inputs then have equal outputs."""
        return False

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Where phi has kinks."""
        return ()

    @abstractmethod
    def function(self, xp: Any, x: Array) -> Array:
        """phi(x)."""

    @abstractmethod
    def derivative(self, xp: Any, x: Array) -> Array:
        """phi'(x); at a kink, the derivative from the left."""

    def value_and_derivative(self, xp: Any, x: Array) -> tuple[Array, Array]:
        """phi(x) and phi'(x), together where they share work."""
        return self.function(xp, x), self.derivative(xp, x)

    def signal(self, before: Signal) -> Signal:
        """Of the same shape, and Gaussian no more."""
        obstacle = before.obstacle
        if obstacle is None and not before.gaussian:
            obstacle = (
                f"{self!r} acts on values that are not Gaussian in the infinite-width limit (the inputs themselves, or "
                "another activation): put a Dense layer before it; finite networks and Monte Carlo kernels do "
                "not need that"
            )
        known = self.homogeneity is not None and before.degree is not None
        degree = self.homogeneity * before.degree if known else None  # type: ignore[operator]
        return before.to(
            gaussian=False, centred=self.odd, degree=0 if before.degree == 0 else degree, obstacle=obstacle
        )

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """phi(x); the tape is phi'(x)."""
        return self.value_and_derivative(home(x).xp, x)

    def backward(self, params: Params, tape: Array, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Cotangents times phi'."""
        return (delta * tape[:, None, ...] if to_inputs else None), []

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        """phi' dx."""
        return tape * dx

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """The dual activation."""
        # The derivative of E[phi(u) phi(v)] in k12 is E[phi'(u) phi'(v)] (Price 1958): the slope.
        k12, slope, sine = self.dual(state)
        return state.to(k12=k12, ntk=None if state.ntk is None else state.ntk * slope, sine=sine)

    def limit_sine(self, states: Sequence[Covariance], after: Covariance) -> Array:
        """From the covariances; where inputs nearly coincide, from the slope there."""
        return sine_behind(self, states[0], after)

    def limit_turn(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], after: Covariance, change: Covariance
    ) -> Array:
        """The derivative of the same angle."""
        return turn_behind(self, states[0], changes[0], after, change)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The derivative of the dual activation."""
        k12, dslope, turn = self.dual_tangent(state, change)
        # (Theta slope)' = Theta' slope + Theta slope'.
        ntk = None if state.ntk is None else change.ntk * self.dual(state).slope + state.ntk * dslope
        return change.to(k12=k12, ntk=ntk, turn=turn)

    def limit_taylor(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        """The dual activation of polynomials, by a Hermite series, whatever closed form there is for numbers."""
        (state,) = states
        if self.breakpoints:
            raise ValueError(
                f"{self!r} has a kink, so that the kernel has no second derivatives where inputs coincide (first ones "
                'are in Kernel.gradient(wrt="x1")); take a smooth activation such as Erf, GELU, SiLU, Tanh or Softplus'
            )
        k12, slope = expanded_dual(repr(self), self._on_host(), state, state.ntk is not None)
        if state.paired:
            return Covariance.of_pairs(k12, None, None)
        return Covariance(k12, k12, k12, None if state.ntk is None else state.ntk * slope)

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        """E[phi(u)]."""
        return self._mean_at(states[0])[0]

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        """By the chain rule."""
        return self._mean_at(states[0])[1] * changes[0].rows().variance

    def _mean_at(self, state: Covariance) -> list[Array]:
        """E[phi(u)] and its derivative in the variance, at the variances of pairs, (N, *P)."""
        variance = state.rows().variance
        xp = home(variance).xp
        return [xp.reshape(one, variance.shape) for one in self.mean(xp.reshape(variance, (-1,)))]

    def mean(self, k: Array) -> tuple[Array, Array]:
        """E[phi(u)] for u ~ N(0, k), and its derivative in k, (N,); here by quadrature on the host."""
        # Two rules: their difference estimates the error.
        here, std = home(k), np.sqrt(to_host(k).astype(np.float64))
        (rough, _), (mean, slope) = (gaussian_mean(self._on_host(), std, nodes) for nodes in (20, 28))
        error = float(np.max(np.abs(mean - rough)) / (np.max(np.abs(mean)) or 1.0))
        if error > ACCURATE:
            warnings.warn(
                f"the mean of {self!r} was integrated to an estimated relative error of {error:.0e}; a function that "
                "oscillates, or a kink that is not in breakpoints, is the usual reason",
                RuntimeWarning,
                stacklevel=2,
            )
        return here.asarray(mean), here.asarray(slope)

    def dual(self, state: Covariance) -> Dual:
        """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] at the covariances of a state, here from a table."""
        return self._table_for(state)(state)

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        """How both change with the covariances."""
        return self._table_for(state).tangent(state, change)

    def _table_for(self, state: Covariance) -> DualTable | DirectDual:
        """The table that was made for a problem, or else one for the variances of this state."""
        fitted = self if self.table else self.fitted(*std_range(state.k11, state.k22))
        assert fitted.table is not None
        return fitted.table

    def fitted(self, smallest: float, largest: float) -> Activation:
        """The activation with its dual tabulated for standard deviations in a range."""
        table = numerical_dual(self._on_host(), smallest, largest)
        if table.error > ACCURATE:
            warnings.warn(
                f"the dual activation of {self!r} was integrated to an estimated relative error of {table.error:.0e}; "
                "a kink of the function that is not in breakpoints, or a very large weight_std, is the usual reason",
                RuntimeWarning,
                stacklevel=2,
            )
        fitted = self.with_table(table)
        object.__setattr__(fitted, "quadrature_error", table.error)
        return fitted

    def with_table(self, table: Any) -> Activation:
        """The activation with this in place of its table."""
        # A copy, because a layer belongs to its user and may serve other problems.
        other = copy(self)
        object.__setattr__(other, "table", table)
        return other

    def untabulated(self) -> Activation:
        """The same for inputs with themselves, of any variance: without the table."""
        return self.with_table(PairedDual(self._on_host())) if self.numerical else self

    def _on_host(self) -> ScalarFunction:
        host = standard_namespace(np)
        both = partial(self.value_and_derivative, host)
        return ScalarFunction(partial(self.function, host), partial(self.derivative, host), self.breakpoints, both)


@dataclass(frozen=True)
class Shifted:
    """The numbers of phi(x) = a psi(b x + c), for some function psi."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        for name in ("a", "b", "c"):
            object.__setattr__(self, name, number(name, getattr(self, name)))


class ClosedForm(Activation):
    """An activation whose dual activation is known in closed form, with its derivative."""

    numerical = False

    def fitted(self, smallest: float, largest: float) -> Activation:
        """There is nothing to tabulate, unless the closed form does not hold for all parameters of the activation."""
        return super().fitted(smallest, largest) if self.numerical else self

    @abstractmethod
    def dual(self, state: Covariance) -> Dual:
        """The dual activation at the covariances of a state."""

    @abstractmethod
    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        """Its derivative where the covariances change."""
