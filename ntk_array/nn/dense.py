"""The fully connected layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from .._array.namespace import Array, home
from .._array.validate import count, nonnegative, one_of, positive
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from .contraction import Contraction
from .layer import Factors, Layer
from .parameters import Parameter, Params, Tree

__all__ = ["Dense", "DenseFactors"]


class DenseFactors(NamedTuple):
    """Inputs h (N, n_in) and cotangents delta (N or 1, C, n_out): d f_c / d W = scale * delta_c h^T."""

    inputs: Array
    cotangents: Array


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: (N, n) to (N, width).

    NTK parameterization: z = weight_std / sqrt(n) W h + bias_std b with W, b ~ N(0, 1).
    Standard parameterization: z = W h + b with W ~ N(0, weight_std^2 / n), b ~ N(0, bias_std^2).
    Parameters are "weight" (width, n) and, unless bias_std is 0, "bias" (width,).

    In the infinite-width limit K -> weight_std^2 K + bias_std^2 and Theta -> K_new + weight_std^2 Theta (Jacot et
    al. 2018, Theorem 1). The NTK of the standard parameterization grows with the width, so that it is given at the
    network's own widths: Theta -> n K + 1 + weight_std^2 Theta, the 1 only where there is a bias.

    Parameters
    ----------
    width : int
        Number of output features.
    weight_std : float
        sigma_w, positive.
    bias_std : float
        sigma_b; 0.0 means that there is no bias parameter.
    parameterization : "ntk" or "standard"

    Raises
    ------
    ValueError, TypeError
        For a width below 1, a weight_std that is not positive or a bias_std that is negative.
    """

    width: int
    weight_std: float = 1.0
    bias_std: float = 0.0
    parameterization: str = "ntk"

    def __post_init__(self) -> None:
        checked = {
            "width": count("width", self.width),
            "weight_std": positive("weight_std", self.weight_std),
            "bias_std": nonnegative("bias_std", self.bias_std),
            "parameterization": one_of("parameterization", self.parameterization, ("ntk", "standard")),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def factor_count(self) -> int:
        """One: :class:`DenseFactors`."""
        return 1

    def factor_size(self, params: Params, outputs: int) -> int:
        """Features that come in, and cotangents of those that go out."""
        width, features = params["weight"].shape
        return int(features + outputs * width)

    def _scales(self, fan_in: int) -> tuple[float, float]:
        """The factors in front of W and of b in the forward pass."""
        return (self.weight_std / fan_in**0.5, self.bias_std) if self.parameterization == "ntk" else (1.0, 1.0)

    def signal(self, before: Signal) -> Signal:
        """Gaussian, whatever came in. A bias is homogeneous of degree 0."""
        if len(before.shape) != 1:
            raise ValueError(f"Dense({self.width}) needs inputs (N, features), got (N, {str(before.shape)[1:]}")
        # A bias does not grow with the inputs. The sum has a degree only where that is 0 for the inputs as well.
        degree = before.degree if before.degree == 0 or not self.bias_std else None
        return before.to(shape=(self.width,), gaussian=True, centred=True, degree=degree)

    def parameters(self, before: Signal) -> Tree:
        """W and b; see the class for their distribution."""
        standard = self.parameterization == "standard"
        # Both parameterizations draw the same network. They differ in what gradient descent moves.
        std = self.weight_std / before.width**0.5 if standard else 1.0
        parameters = {"weight": Parameter((self.width, before.width), std)}
        if self.bias_std:
            parameters["bias"] = Parameter((self.width,), self.bias_std if standard else 1.0)
        return parameters

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """z; the tape is the input."""
        # Refused here, because many other shapes would broadcast.
        got = {name: tuple(parameter.shape) for name, parameter in params.items()}
        if x.ndim != 2 or got != self._shapes(x.shape[1]):
            raise ValueError(self._mismatch(got, tuple(x.shape)))
        return self._affine(params, x, x.shape[1]), x

    def _shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.width, features)} | ({"bias": (self.width,)} if self.bias_std else {})

    def _mismatch(self, got: dict[str, tuple[int, ...]], x: tuple[int, ...]) -> str:
        """What is wrong with parameters of these shapes, or with inputs of this one."""
        known = got.get("weight", ())[-1:]
        if known and got == self._shapes(known[0]):
            return f"Dense({self.width}) has a weight for {known[0]} features and needs inputs (N, {known[0]}), got {x}"
        listed = " and ".join(f"{name} {shape}" for name, shape in got.items()) or "none"
        turned = "; its axes are (outputs, features): transpose it" if got.get("weight") == (x[-1], self.width) else ""
        return f"{self!r} got parameters of another layer: {listed}{turned}"

    def _affine(self, params: Params, x: Array, fan_in: int) -> Array:
        weight_scale, bias_scale = self._scales(fan_in)
        z = weight_scale * (x @ params["weight"].T)
        return z + bias_scale * params["bias"] if "bias" in params else z

    def backward(self, params: Params, tape: Array, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Cotangents times the scaled weight, as one matrix product; there are more of them than of weights."""
        factors = [DenseFactors(tape, delta)]
        if not to_inputs:
            return None, factors
        xp = home(delta).xp
        weight_scale, _ = self._scales(tape.shape[1])
        # (N C, width) times (width, n): one large product instead of N small ones.
        pulled = xp.reshape(delta, (-1, self.width)) @ (weight_scale * params["weight"])
        return xp.reshape(pulled, (*delta.shape[:2], tape.shape[1])), factors

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        """scale (W dx + dW h) + bias_scale db."""
        weight_scale, _ = self._scales(tape.shape[1])
        return weight_scale * (dx @ params["weight"].T) + self._affine(dparams, tape, tape.shape[1])

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        """(weight_scale^2 <h, h'> + bias_scale^2) <delta_c, delta'_c'>."""
        (one,), (two,) = factors1, factors2
        weight_scale, bias_scale = self._scales(one.inputs.shape[1])
        bracket = None
        if trained["weight"]:
            bracket = contraction.features(one.inputs, two.inputs)
            bracket *= weight_scale**2
        if trained.get("bias"):
            # The bias has no inputs: features of length 0 give zeros of the right shape.
            if bracket is None:
                bracket = contraction.features(one.inputs[:, :0], two.inputs[:, :0])
            bracket += bias_scale**2
        if bracket is not None:
            contraction.add(bracket, one.cotangents, two.cotangents)

    def expand(self, factors: Factors) -> Params:
        """scale delta_c h^T and bias_scale delta_c."""
        ((h, delta),) = factors
        weight_scale, bias_scale = self._scales(h.shape[1])
        jacobian = {"weight": weight_scale * delta[..., None] * h[:, None, None, :]}
        if self.bias_std:
            xp = home(h).xp
            jacobian["bias"] = bias_scale * xp.broadcast_to(delta, (h.shape[0], *delta.shape[1:]))
        return jacobian

    def pullback(self, factors: Factors) -> Params:
        """The expanded Jacobian summed over inputs, as one matrix product."""
        ((h, delta),) = factors
        weight_scale, bias_scale = self._scales(h.shape[1])
        gradient = {"weight": weight_scale * (delta[:, 0, :].T @ h)}
        if self.bias_std:
            gradient["bias"] = bias_scale * home(h).xp.sum(delta[:, 0, :], axis=0)
        return gradient

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """K -> weight_std^2 K + bias_std^2 and the NTK as in the class description."""
        # In the NTK parameterization the trained layer adds its own output covariance, bias included.
        after = state.scaled(self.weight_std**2).plus(self.bias_std**2)
        if self.parameterization == "ntk" or state.ntk is None:
            return after.learned(after.k12)
        return after.learned(float(before.width) * state.k12 + (1.0 if self.bias_std else 0.0))

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The same linear map of the change, and the changes of weight_std^2 and bias_std^2."""
        # d(w^2 K + b^2) = w^2 dK + 2 w^2 K dlog w + 2 b^2 dlog b.
        w2, b2 = self.weight_std**2, self.bias_std**2
        weights = state.scaled(w2)
        # A factor changes no angle.
        moved = change.scaled(w2).plus(weights.scaled(2.0 * direction.log_weight_std)).to(turn=change.turn)
        if b2:
            bias, bias_moved = weights.constant(b2), weights.constant(2.0 * direction.log_bias_std * b2)
            turn = Covariance.turn_of_total([weights, bias], [moved, bias_moved])
            moved = moved.plus(2.0 * direction.log_bias_std * b2).to(turn=turn)
        return moved.learned(moved.k12 if self.parameterization == "ntk" else float(before.width) * change.k12)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """log_bias_std only where there is a bias."""
        return frozenset({"log_weight_std", "log_bias_std"} if self.bias_std else {"log_weight_std"})

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> Dense:
        """weight_std and bias_std multiplied by factors."""
        return replace(self, weight_std=weight_std * self.weight_std, bias_std=bias_std * self.bias_std)
