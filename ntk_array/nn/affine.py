"""A trained factor and a trained shift for each feature."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from .._array.namespace import Array, home
from .._array.validate import nonnegative
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from .contraction import Contraction
from .layer import Factors, Layer
from .parameters import Parameter, Params, Tree

__all__ = ["Affine"]


class AffineFactors(NamedTuple):
    """The Jacobian in the factors and in the shifts, each (N, C, *shape of the parameter)."""

    weight: Array
    bias: Array


def _rows(jacobian: Array) -> Array:
    """(N, C, *shape) as (N, C, n)."""
    return home(jacobian).xp.reshape(jacobian, (*jacobian.shape[:2], -1))


@dataclass(frozen=True)
class Affine(Layer):
    """z = W h + b entry by entry: a factor and a shift for each channel, the same at all positions.

    It is what normalizations of PyTorch have behind them. W ~ N(0, weight_std^2), b ~ N(0, bias_std^2). Parameters are
    "weight" (channels,) and "bias" (channels,), each unless its standard deviation is 0.

    In the infinite-width limit K -> weight_std^2 K + bias_std^2 and Theta -> weight_std^2 Theta + K + 1, the 1 only
    where there is a bias. What comes out is no Gaussian, so that no activation may follow directly.

    Parameters
    ----------
    weight_std, bias_std : float
        0.0 means that there are no factors, or no shifts.
    positions : bool
        Whether every position has numbers of its own: parameters then have the shape of an input. There is no
        infinite-width limit with these, or without factors.

    Raises
    ------
    ValueError
        If there are neither factors nor shifts.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.Sequential(ntk.nn.Dense(8), ntk.nn.LayerNorm(), ntk.nn.Affine(bias_std=0.1), ntk.nn.Dense(1))
    >>> net.init(0, input_shape=3)[2]["weight"].shape
    (8,)
    >>> ntk.InfiniteNNGP(net).diag(np.eye(3)).round(2)
    array([1.01, 1.01, 1.01])
    """

    weight_std: float = 1.0
    bias_std: float = 0.0
    positions: bool = False

    can_freeze = True
    factor_count = 1

    def __post_init__(self) -> None:
        for name in ("weight_std", "bias_std"):
            object.__setattr__(self, name, nonnegative(name, getattr(self, name)))
        if not (self.weight_std or self.bias_std):
            raise ValueError("Affine has neither factors nor shifts: give a weight_std or a bias_std above 0")

    @property
    def entrywise(self) -> bool:  # type: ignore[override]
        """Where all positions share their numbers."""
        return not self.positions

    def signal(self, before: Signal) -> Signal:
        obstacle = before.obstacle
        if obstacle is None and (self.positions or not self.weight_std):
            obstacle = (
                f"{self!r} has no infinite-width limit here: use Affine with factors that positions share, a Dense "
                "layer, or a Monte Carlo kernel"
            )
        degree = before.degree if before.degree == 0 or not self.bias_std else None
        return before.to(gaussian=False, centred=True, degree=degree, obstacle=obstacle)

    def _stds(self) -> dict[str, float]:
        return {name: std for name, std in (("weight", self.weight_std), ("bias", self.bias_std)) if std}

    def parameters(self, before: Signal) -> Tree:
        shape = before.shape if self.positions else before.shape[-1:]
        return {name: Parameter(shape, std) for name, std in self._stds().items()}

    def fits(self, params: Params) -> bool:
        shapes = {tuple(parameter.shape) for parameter in params.values()}
        return list(params) == list(self._stds()) and len(shapes) == 1 and len(shapes.pop()) > int(self.positions)

    # ---- the finite network -------------------------------------------------------------------------------------

    def factor_size(self, before: Signal, outputs: int) -> int:
        size = math.prod(before.shape) if self.positions else before.width
        return outputs * size * len(self._stds())

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """The tape is the input."""
        expected = tuple(x.shape[1:]) if self.positions else tuple(x.shape[-1:])
        got = {name: tuple(parameter.shape) for name, parameter in params.items()}
        if got != dict.fromkeys(self._stds(), expected):
            raise ValueError(
                f"{self!r} needs parameters of the shape {expected} for inputs {tuple(x.shape)}, got {got}"
            )
        z = params["weight"] * x if self.weight_std else x
        return (z + params["bias"] if self.bias_std else z), x

    def backward(self, params: Params, tape: Array, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Factors are summed over positions, where these share their numbers."""
        factors = [AffineFactors(self._summed(delta * tape[:, None, ...], tape), self._summed(delta, tape))]
        if not to_inputs:
            return None, factors
        return (delta * params["weight"] if self.weight_std else delta), factors

    def _summed(self, delta: Array, x: Array) -> Array:
        xp = home(delta).xp
        delta = xp.broadcast_to(delta, (x.shape[0], *delta.shape[1:]))
        if self.positions:
            return delta
        return xp.sum(delta, axis=tuple(range(2, delta.ndim - 1))) if delta.ndim > 3 else delta

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        """W dh + dW h + db."""
        dz = params["weight"] * dx + dparams["weight"] * tape if self.weight_std else dx
        return dz + dparams["bias"] if self.bias_std else dz

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        (one,), (two,) = factors1, factors2
        for name in self._stds():
            if trained[name]:
                rows1 = _rows(getattr(one, name))
                rows2 = rows1 if two is one else _rows(getattr(two, name))
                contraction.add_products(rows1, rows2, 1.0)

    def expand(self, factors: Factors) -> Params:
        return {name: getattr(factors[0], name) for name in self._stds()}

    def pullback(self, factors: Factors) -> Params:
        return {name: home(own).xp.sum(own, axis=(0, 1)) for name, own in self.expand(factors).items()}

    # ---- infinite width -----------------------------------------------------------------------------------------

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """Random factors and shifts, and what is learned of them."""
        return self._learned(state.scaled(self.weight_std**2).plus(self.bias_std**2), state.k12, 1.0)

    def _learned(self, after: Covariance, weight: Array, bias: float) -> Covariance:
        for name, share in (("weight", weight), ("bias", bias if self.bias_std else 0.0)):
            after = after if name in self.frozen else after.learned(share)
        return after

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The product rule."""
        w2, b2 = self.weight_std**2, self.bias_std**2
        weights = state.scaled(w2)
        moved = change.scaled(w2).plus(weights.scaled(2.0 * direction.log_weight_std)).to(turn=change.turn)
        if b2:
            db2 = 2.0 * direction.log_bias_std * b2
            turn = Covariance.turn_of_total([weights, weights.constant(b2)], [moved, weights.constant(db2)])
            moved = moved.plus(db2).to(turn=turn)
        return self._learned(moved, change.k12, 0.0)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """log_bias_std only where there is a bias."""
        return frozenset(f"log_{name}_std" for name in self._stds())

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> Affine:
        return replace(self, weight_std=weight_std * self.weight_std, bias_std=bias_std * self.bias_std)
