"""Infinite-width kernels, in closed form or by quadrature of known error."""

from dataclasses import dataclass, replace

from .._array.linalg import mirror
from .._array.namespace import Array, home
from .._array.validate import inputs
from ..infinite.covariance import Covariance, Direction, Inputs
from ..nn.layer import Layer
from .base import Kernel
from .zonal import Zonal, zonal_series

__all__ = ["InfiniteNNGP", "InfiniteNTK"]


@dataclass(frozen=True)
class _Infinite(Kernel):
    net: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.net, Layer):
            raise TypeError(f"net must be a network of ntk_array.nn, got {self.net!r}")

    def quadrature_error(self, x: Array) -> float:
        """The largest estimated relative error of a dual activation at these inputs; 0.0 for closed forms."""
        return self._at_pairs(inputs("x", x)).quadrature_error

    def prepare(self, x: Array) -> Inputs:
        """The inputs and their variances."""
        _check_flat(x)
        return Inputs.of(x)

    def prepared_block(self, prepared1: Inputs, prepared2: Inputs | None) -> Array:
        """Layer by layer."""
        block = self._read(self.net.propagate(Covariance.between(prepared1, prepared2, ntk=self._ntk)))
        return mirror(block) if prepared2 is None else block

    def restricted(self, x1: Array, x2: Array | None) -> Kernel:
        """As one function of the angle, where it is one; else with tables for all inputs, where it needs tables."""
        _check_flat(x1)
        series = zonal_series(self.net, x1, x2, self._ntk)
        if series is not None:
            return Zonal(self, series)
        if not self.net.numerical:
            return self
        both = x1 if x2 is None else home(x1).xp.concat([x1, x2])
        return replace(self, net=self.net.tabulated(Covariance.of_pairs(Inputs.of(both), ntk=False)))

    def gradient_block(self, x1: Array, x2: Array | None, name: str) -> Array:
        """The derivative of the same recursion, layer by layer."""
        state = Covariance.between(self.prepare(x1), None if x2 is None else self.prepare(x2), ntk=self._ntk)
        block = self._read(self.net.propagate_tangent(state, state.unchanging(), Direction(**{name: 1.0}))[1])
        return mirror(block) if x2 is None else block

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Those of the network."""
        return self.net.hyperparameters

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> "_Infinite":
        """The kernel of the rescaled network."""
        return replace(self, net=self.net.rescaled(weight_std, bias_std))

    def block_diagonal(self, x: Array) -> Array:
        """The same for each input with itself."""
        return self._read(self._at_pairs(x))

    def _at_pairs(self, x: Array) -> Covariance:
        return self.net.propagate(Covariance.of_pairs(self.prepare(x), ntk=self._ntk))

    @property
    def _ntk(self) -> bool:
        raise NotImplementedError

    def _read(self, state: Covariance) -> Array:
        raise NotImplementedError


class InfiniteNTK(_Infinite):
    """The neural tangent kernel in the infinite-width limit, Theta(x, x') (N1, N2), the same for every output.

    Theta of a network in the NTK parameterization, at initialization and throughout training (Jacot et al. 2018,
    Theorems 1 and 2). Activations without a closed-form dual are integrated numerically; see
    ``quadrature_error``. For the standard parameterization it is given at the network's own widths.

    Parameters
    ----------
    net : Layer
        The network; its widths do not matter in the NTK parameterization.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, activation="relu"))
    >>> K(np.asarray([[1.0, 1.0], [1.0, -1.0]])).round(3)
    array([[6.   , 1.371],
           [1.371, 6.   ]])
    """

    @property
    def _ntk(self) -> bool:
        return True

    def _read(self, state: Covariance) -> Array:
        return state.ntk


class InfiniteNNGP(_Infinite):
    """The covariance of the network's outputs over initializations in the infinite-width limit, K(x, x') (N1, N2).

    The outputs are then independent Gaussian processes with this covariance (Lee et al. 2018, eq. 4 and 5).

    Parameters
    ----------
    net : Layer
        The network; its widths do not matter.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ntk.InfiniteNNGP(ntk.nn.mlp((1, 1), 1)).diag(np.ones((2, 3))).round(12)
    array([2., 2.])
    """

    @property
    def _ntk(self) -> bool:
        return False

    def _read(self, state: Covariance) -> Array:
        return state.k12


def _check_flat(x: Array) -> None:
    if x.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; a network of dense layers needs inputs (N, features)")
