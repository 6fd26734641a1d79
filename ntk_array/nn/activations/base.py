"""What every activation is: an elementwise function, its derivative and its dual activation."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from copy import copy
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np

from ..._array.namespace import Array, home, standard_namespace, to_host
from ..._array.same import Same
from ...infinite.covariance import Covariance, Direction
from ...infinite.dual import ClosedDual, Dual, DualFunction, numerical_dual
from ...infinite.quadrature import ScalarFunction
from ..layer import Factors, Layer
from ..parameters import Params

__all__ = ["Activation", "ClosedForm"]

ACCURATE = 1e-9  # a numerical dual with a larger estimated error warns
MARGIN = 0.05  # series differentiate badly at the ends of their range


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function phi, on inputs of any shape.

    Its infinite-width limit is the dual activation: K' = E[phi(u) phi(v)] and Theta' = Theta E[phi'(u) phi'(v)] for
    (u, v) ~ N(0, [[K11, K12], [K12, K22]]) (Jacot et al. 2018, Theorem 1), here by quadrature to an error that is
    estimated, carried along in the state, and warned about where it is above 1e-9.
    """

    _table: ClassVar[DualFunction | None] = None  # an instance that was tabulated has its own

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

    def draw(self, seeds: np.random.SeedSequence, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        del seeds
        return {}, shape

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """phi(x); the tape is phi'(x)."""
        xp = home(x).xp
        return self.function(xp, x), self.derivative(xp, x)

    def backward(self, params: Params, tape: Array, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Cotangents times phi', in place unless they are the same for all inputs."""
        if not to_inputs:
            return None, []
        slope = tape[:, None, ...]
        if delta.shape[0] != slope.shape[0]:
            return delta * slope, []
        delta *= slope
        return delta, []

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        """phi' dx."""
        return tape * dx

    def propagate(self, state: Covariance) -> Covariance:
        """The dual activation."""
        if not state.gaussian:
            raise ValueError(
                f"{self!r} acts on values that are not Gaussian in the infinite-width limit (the inputs themselves, or "
                "another activation): put a Dense layer before it; finite networks and Monte Carlo kernels do "
                "not need that"
            )
        dual = self.dual(state)
        xp = home(state.k12).xp

        def variance(k: Array) -> Array:
            # A tabulated dual may give a zero row a variance of -1e-20.
            return xp.reshape(xp.clip(dual.variance(state.pairs(k)), min=0.0), k.shape)

        k12, slope, sine = dual(state)
        return state.to(
            k12=k12,
            k11=variance(state.k11),
            k22=variance(state.k22),
            ntk=None if state.ntk is None else state.ntk * slope,
            gaussian=False,
            quadrature_error=max(dual.error, state.quadrature_error),
            sine=sine,
        )

    def propagate_tangent(
        self, state: Covariance, dstate: Covariance, direction: Direction
    ) -> tuple[Covariance, Covariance]:
        """The dual activation and its derivative."""
        after = self.propagate(state)
        dual = self.dual(state, margin=MARGIN)
        xp = home(state.k12).xp

        def variance(k: Array, dk: Array) -> Array:
            return xp.reshape(dual.tangent(state.pairs(k), state.pairs(dk)).value, k.shape)

        k12, dslope, _ = dual.tangent(state, dstate)
        ntk = None if state.ntk is None else dstate.ntk * dual(state).slope + state.ntk * dslope
        change = dstate.to(k12=k12, k11=variance(state.k11, dstate.k11), k22=variance(state.k22, dstate.k22), ntk=ntk)
        return after, change

    def dual(self, state: Covariance, margin: float = 0.0) -> DualFunction:
        """The dual activation for standard deviations in the range of the state, widened by the share ``margin``; or
        the one that was tabulated.

        Tables are kept: a network asks for the same ones over and over.
        """
        if self._table is not None and not margin:
            return self._table
        xp = home(state.k12).xp
        variances = [float(to_host(f(k))) for k in (state.k11, state.k22) for f in (xp.min, xp.max)]
        smallest, largest = math.sqrt(min(variances)), math.sqrt(max(variances))
        if margin or largest > smallest * (1.0 + 1e-14):
            smallest, largest = _outward(smallest / (1.0 + margin), largest * (1.0 + margin))
        table = _tabulated(Same(self), smallest, largest)
        if table.error > ACCURATE:
            warnings.warn(
                f"the dual activation of {self!r} was integrated to an estimated relative error of {table.error:.0e}; "
                "a kink of the function that is not in breakpoints, or a very large weight_std, is the usual reason",
                RuntimeWarning,
                stacklevel=2,
            )
        return table

    @property
    def numerical(self) -> bool:
        """Unless there is a closed form."""
        return True

    def tabulated(self, pairs: Covariance) -> Activation:
        """The activation with its dual for the variances of these inputs, where that is a table."""
        if not self.numerical:
            return self
        fixed = copy(self)
        object.__setattr__(fixed, "_table", self.dual(pairs))
        return fixed


@lru_cache(maxsize=128)
def _tabulated(key: Same, smallest: float, largest: float) -> DualFunction:
    host = standard_namespace(np)
    activation: Activation = key.item
    phi = ScalarFunction(
        partial(activation.function, host), partial(activation.derivative, host), activation.breakpoints
    )
    return numerical_dual(phi, smallest, largest)


def _outward(smallest: float, largest: float) -> tuple[float, float]:
    """A range rounded outward to half octaves, so that batches with similar norms share their tables."""
    low = 2.0 ** (math.floor(2.0 * math.log2(smallest)) / 2.0) if smallest > 0 else 0.0
    return low, 2.0 ** (math.ceil(2.0 * math.log2(largest)) / 2.0)


class ClosedForm(Activation):
    """An activation whose dual activation is known in closed form, with its derivative."""

    @property
    def numerical(self) -> bool:
        """There is nothing to integrate."""
        return False

    @abstractmethod
    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        """The dual activation at the covariances of a state."""

    @abstractmethod
    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        """Its derivative where the covariances change as those of dstate."""

    def dual(self, state: Covariance, margin: float = 0.0) -> DualFunction:
        """The closed form, with no error."""
        xp = home(state.k12).xp
        return ClosedDual(partial(self.closed_form, xp), partial(self.closed_form_tangent, xp))
