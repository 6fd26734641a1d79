"""What all layers with weights share: products of weights and of what each output position sees of the input."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from .._array.namespace import Array, home
from .._array.validate import count, nonnegative, one_of, positive
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from .contraction import Contraction
from .layer import Factors, Layer
from .parameters import Parameter, Params, Tree

__all__ = ["Linear", "LinearFactors", "SummedFactors"]

Self = TypeVar("Self", bound="Linear")

PASS = 32
"""The multiply-adds of matrix products that take as long as to multiply two numbers in memory and add to a third."""


class LinearFactors(NamedTuple):
    """Inputs (N, *P, n_in) of a layer and cotangents delta (N or 1, C, *P, n_out) of its outputs.

    d f_c / d W = scale * sum_p delta_cp h_p^T, where h_p is what the output position p sees of the inputs.
    """

    inputs: Array
    cotangents: Array


class SummedFactors(NamedTuple):
    """The Jacobian of a layer, summed over positions: (N, C, size of the weight), and (N, C, n_out) of the bias."""

    weight: Array
    bias: Array


class Linear(Layer):
    """z = scale W h + bias_scale b, at each position of the output.

    A subclass says what h, which an output position sees of the input, is: by ``gathered`` and its adjoint
    ``scattered``, ``kernel_size``, and at infinite width by ``terms``. Parameters are "weight"
    (width, *kernel_size, channels / groups) and, unless bias_std is 0, "bias" (width,).
    """

    width: int
    weight_std: float
    bias_std: float
    parameterization: str
    kernel_size: tuple[int, ...] = ()
    groups: int = 1
    can_freeze = True

    def _validate(self, **others: object) -> None:
        """Put the fields that all such layers have, validated, and others."""
        checked = {
            "width": count("width", self.width),
            "weight_std": positive("weight_std", self.weight_std),
            "bias_std": nonnegative("bias_std", self.bias_std),
            "parameterization": one_of("parameterization", self.parameterization, ("ntk", "standard")),
        }
        for name, value in (checked | others).items():
            object.__setattr__(self, name, value)

    # ---- what a subclass says -----------------------------------------------------------------------------------

    @abstractmethod
    def outputs(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        """The positions of the outputs. ValueError where the layer cannot take inputs with these."""

    @abstractmethod
    def gathered(self, x: Array) -> Array:
        """What each output position sees of (N, *P, channels): (N, *P', size of the kernel * channels)."""

    @abstractmethod
    def scattered(self, seen: Array, positions: tuple[int, ...]) -> Array:
        """The adjoint of :meth:`gathered`."""

    @abstractmethod
    def terms(self, state: Covariance) -> list[Covariance]:
        """What the elements of the kernel see of a state."""

    # ---- the finite network -------------------------------------------------------------------------------------

    @property
    def factor_count(self) -> int:
        return 1

    def factor_size(self, before: Signal, outputs: int) -> int:
        """Inputs and cotangents, or the summed Jacobian if that is what a kernel takes."""
        positions = math.prod(self.outputs(before.shape[:-1]))
        if self._summed(positions, outputs, self._fan_in(before.width)):
            return outputs * self.width * (self._fan_in(before.width) + 1)
        return math.prod(before.shape) + outputs * positions * self.width

    def _fan_in(self, channels: int) -> int:
        """How many numbers each output sees."""
        return math.prod(self.kernel_size) * (channels // self.groups)

    def _scales(self, fan_in: int) -> tuple[float, float]:
        """The factors in front of W and of b in the forward pass."""
        return (self.weight_std / fan_in**0.5, self.bias_std) if self.parameterization == "ntk" else (1.0, 1.0)

    def signal(self, before: Signal) -> Signal:
        """Gaussian, whatever came in. A bias is homogeneous of degree 0."""
        positions = self.outputs(before.shape[:-1])
        # A bias does not grow with the inputs. The sum has a degree only where that is 0 for the inputs as well.
        degree = before.degree if before.degree == 0 or not self.bias_std else None
        return before.to(shape=(*positions, self.width), gaussian=True, centred=True, degree=degree, wide=True)

    def parameters(self, before: Signal) -> Tree:
        """W and b; see the class for their distribution."""
        standard = self.parameterization == "standard"
        # Both parameterizations draw the same network. They differ in what gradient descent moves.
        std = self.weight_std / self._fan_in(before.width) ** 0.5 if standard else 1.0
        parameters = {"weight": Parameter(self._shapes(before.width)["weight"], std)}
        if self.bias_std:
            parameters["bias"] = Parameter((self.width,), self.bias_std if standard else 1.0)
        return parameters

    def _shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        shapes = {"weight": (self.width, *self.kernel_size, channels // self.groups)}
        return shapes | ({"bias": (self.width,)} if self.bias_std else {})

    def fits(self, params: Params) -> bool:
        """Whether parameters have the shapes of this layer, for some number of channels."""
        got = {name: tuple(parameter.shape) for name, parameter in params.items()}
        return got == self._shapes(got.get("weight", (0,))[-1] * self.groups)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """z; the tape is the input."""
        # Refused here, because many other shapes would broadcast.
        got = {name: tuple(parameter.shape) for name, parameter in params.items()}
        self.outputs(tuple(x.shape[1:-1]))
        if got != self._shapes(x.shape[-1]):
            raise ValueError(self._mismatch(got, tuple(x.shape)))
        return self._affine(params, self.gathered(x)), x

    def _mismatch(self, got: dict[str, tuple[int, ...]], x: tuple[int, ...]) -> str:
        """What is wrong with parameters of these shapes, or with inputs of this one."""
        name, known = f"{type(self).__name__}({self.width})", got.get("weight", ())[-1:]
        if known and got == self._shapes(known[0] * self.groups):
            inputs = "(N, *positions, " if self.kernel_size else "(N, "
            features = known[0] * self.groups
            return f"{name} has a weight for {features} features and needs inputs {inputs}{features}), got {x}"
        listed = " and ".join(f"{name} {shape}" for name, shape in got.items()) or "none"
        turned = "; its axes are (outputs, features): transpose it" if got.get("weight") == (x[-1], self.width) else ""
        return f"{self!r} got parameters of another layer: {listed}{turned}"

    def _matrices(self, params: Params) -> list[Array]:
        """The weights as a matrix for each group, (width / groups, fan_in)."""
        weight = params["weight"]
        matrix = home(weight).xp.reshape(weight, (self.width, -1))
        own = self.width // self.groups
        return [matrix[g * own : (g + 1) * own, :] for g in range(self.groups)]

    def _groups_of_inputs(self, h: Array) -> list[Array]:
        """What each group sees, (..., fan_in): kernel positions first, then its channels."""
        if self.groups == 1:
            return [h]
        size = math.prod(self.kernel_size)
        xp, channels = home(h).xp, h.shape[-1] // size
        own = channels // self.groups
        split = xp.reshape(h, (*h.shape[:-1], size, channels))
        return [
            xp.reshape(split[..., g * own : (g + 1) * own], (*h.shape[:-1], size * own)) for g in range(self.groups)
        ]

    def _joined_inputs(self, parts: Sequence[Array]) -> Array:
        """The reverse of :meth:`_groups_of_inputs`."""
        if self.groups == 1:
            return parts[0]
        xp, size, shape = home(parts[0]).xp, math.prod(self.kernel_size), parts[0].shape
        split = [xp.reshape(part, (*shape[:-1], size, shape[-1] // size)) for part in parts]
        return xp.reshape(xp.concat(split, axis=-1), (*shape[:-1], self.groups * shape[-1]))

    def _groups_of_outputs(self, values: Array) -> list[Array]:
        own = self.width // self.groups
        return [values[..., g * own : (g + 1) * own] for g in range(self.groups)]

    def _multiplied(self, values: Array, matrix: Array) -> Array:
        """Values (M, *P, n) at each position times the matrix of a group, (n, m): one large product for all."""
        xp = home(values).xp
        return xp.reshape(xp.reshape(values, (-1, values.shape[-1])) @ matrix, (*values.shape[:-1], matrix.shape[-1]))

    def _affine(self, params: Params, h: Array) -> Array:
        xp, groups = home(h).xp, self._groups_of_inputs(h)
        weight_scale, bias_scale = self._scales(groups[0].shape[-1])
        pairs = zip(groups, self._matrices(params), strict=True)
        z = [self._multiplied(part, xp.matrix_transpose(matrix)) for part, matrix in pairs]
        z = weight_scale * (z[0] if len(z) == 1 else xp.concat(z, axis=-1))
        return z + bias_scale * params["bias"] if "bias" in params else z

    def backward(self, params: Params, tape: Array, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Cotangents times the weights."""
        factors = [LinearFactors(tape, delta)]
        if not to_inputs:
            return None, factors
        xp = home(delta).xp
        weight_scale, _ = self._scales(self._fan_in(tape.shape[-1]))
        # Inputs and outputs (N, C) as one axis.
        rows = xp.reshape(delta, (-1, *delta.shape[2:]))
        weight, positions = params["weight"], tuple(tape.shape[1:-1])
        # Whichever is smaller is scaled. A copy of the weights of a wide layer would be larger than a small batch.
        if math.prod(weight.shape) < math.prod(rows.shape):
            weight = weight_scale * weight
        else:
            rows = weight_scale * rows
        back = self._pulled_back(weight, rows, positions)
        return xp.reshape(back, (*delta.shape[:2], *tape.shape[1:])), factors

    def _pulled_back(self, weight: Array, delta: Array, positions: tuple[int, ...]) -> Array:
        """Cotangents (M, *P', width) of the outputs as those of inputs with these positions."""
        pairs = zip(self._groups_of_outputs(delta), self._matrices({"weight": weight}), strict=True)
        return self.scattered(self._joined_inputs([self._multiplied(*pair) for pair in pairs]), positions)

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        """scale (W dh + dW h) + bias_scale db."""
        weights_only = {"weight": params["weight"]}
        return self._affine(weights_only, self.gathered(dx)) + self._affine(dparams, self.gathered(tape))

    # ---- kernels and Jacobians from factors -----------------------------------------------------------------------

    def _summed(self, positions: int, outputs: int, fan_in: int) -> bool:
        """Whether the Jacobian, summed over positions, makes kernels cheaper than sums over pairs of positions.

        For a pair of inputs and each group, C^2 n_out n_in multiply-adds against P^2 (n_in + C^2 n_out). Each pair of
        positions also goes through memory once, which takes as long as some multiply-adds for each pair of outputs.
        """
        width = self.width // self.groups
        by_pairs = positions**2 * (fan_in + outputs**2 * (width + PASS))
        return positions > 1 and outputs**2 * width * fan_in <= by_pairs

    def kernel_factors(self, factors: Factors) -> Factors:
        """Summed over positions where that makes blocks cheaper."""
        ((x, delta),) = factors
        positions, outputs = math.prod(delta.shape[2:-1]), delta.shape[1]
        if not self._summed(positions, outputs, self._fan_in(x.shape[-1])):
            return factors
        return [SummedFactors(*self._jacobian(x, delta))]

    def _at_positions(self, x: Array, delta: Array) -> list[tuple[Array, Array]]:
        """For each group h (N, P, fan_in) and delta (N or 1, C, P, n_out); without positions the axis P is missing."""
        xp, h = home(x).xp, self.gathered(x)
        if delta.ndim > 3:
            h = xp.reshape(h, (h.shape[0], -1, h.shape[-1]))
            delta = xp.reshape(delta, (*delta.shape[:2], -1, delta.shape[-1]))
        return list(zip(self._groups_of_inputs(h), self._groups_of_outputs(delta), strict=True))

    def _jacobian(self, x: Array, delta: Array) -> tuple[Array, Array]:
        """Of the weights (N, C, width * fan_in), without their scale, and of the bias (N, C, width), without its."""
        xp, parts = home(x).xp, []
        for h, own in self._at_positions(x, delta):
            if own.ndim == 3:
                product = own[..., None] * h[:, None, None, :]
            else:
                # (C n_out, P) times (P, fan_in), for each input.
                rows = xp.reshape(xp.permute_dims(own, (0, 2, 1, 3)), (own.shape[0], own.shape[2], -1))
                product = xp.matrix_transpose(rows) @ h
            parts.append(xp.reshape(product, (x.shape[0], delta.shape[1], -1)))
        bias = delta if self.bias_std else delta[..., :0]
        bias = xp.sum(bias, axis=tuple(range(2, delta.ndim - 1))) if delta.ndim > 3 else bias
        bias = xp.broadcast_to(bias, (x.shape[0], *bias.shape[1:]))
        return (parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)), bias

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        """(weight_scale^2 <h, h'> + bias_scale^2) <delta_c, delta'_c'>, summed over pairs of positions."""
        (one,), (two,) = factors1, factors2
        if isinstance(one, SummedFactors):
            weight_scale, bias_scale = self._scales(one.weight.shape[-1] // self.width)
            if trained["weight"]:
                contraction.add_products(one.weight, two.weight, weight_scale**2)
            if trained.get("bias"):
                contraction.add_products(one.bias, two.bias, bias_scale**2)
            return
        groups = self._at_positions(*one)
        others = groups if two is one else self._at_positions(*two)
        squares = self._trained_squares(one.inputs.shape[-1], trained)
        for (h1, delta1), (h2, delta2) in zip(groups, others, strict=True):
            contraction.add_linear(h1, h2, delta1, delta2, *squares)

    def _trained_squares(self, channels: int, trained: Params) -> tuple[float, float]:
        """weight_scale^2 and bias_scale^2; 0 for what is not trained."""
        weight_scale, bias_scale = self._scales(self._fan_in(channels))
        return weight_scale**2 if trained["weight"] else 0.0, bias_scale**2 if trained.get("bias") else 0.0

    def expand(self, factors: Factors) -> Params:
        """scale sum_p delta_cp h_p^T and bias_scale sum_p delta_cp."""
        ((x, delta),) = factors
        xp, shapes = home(x).xp, self._shapes(x.shape[-1])
        weight_scale, bias_scale = self._scales(self._fan_in(x.shape[-1]))
        weight, bias = self._jacobian(x, delta)
        jacobian = {"weight": weight_scale * xp.reshape(weight, (*weight.shape[:2], *shapes["weight"]))}
        if self.bias_std:
            jacobian["bias"] = bias_scale * bias
        return jacobian

    def pullback(self, factors: Factors) -> Params:
        """The expanded Jacobian summed over inputs, as one matrix product."""
        ((x, delta),) = factors
        xp, shapes = home(x).xp, self._shapes(x.shape[-1])
        weight_scale, bias_scale = self._scales(self._fan_in(x.shape[-1]))
        parts = []
        for h, own in self._at_positions(x, delta):
            rows, columns = (xp.reshape(a, (-1, a.shape[-1])) for a in (own, h))
            parts.append(rows.T @ columns)
        weight = parts[0] if len(parts) == 1 else xp.concat(parts)
        gradient = {"weight": weight_scale * xp.reshape(weight, shapes["weight"])}
        if self.bias_std:
            gradient["bias"] = bias_scale * xp.sum(xp.reshape(delta, (-1, self.width)), axis=0)
        return gradient

    # ---- infinite width -------------------------------------------------------------------------------------------

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """K -> weight_std^2 mean(K) + bias_std^2 over the elements of the kernel; the NTK as the class says."""
        terms = self.terms(state)
        # The angle of a sum of one term is known: it need not be computed from that of the term.
        return self.weighted(terms[0] if len(terms) == 1 else Covariance.total(terms), before)

    def weighted(self, total: Covariance, before: Signal) -> Covariance:
        """The limit, from the sum over the elements of the kernel."""
        weights, bias = total.scaled(self.weight_std**2 / math.prod(self.kernel_size)), self.bias_std**2
        after = weights.plus(bias)
        if total.ntk is None:
            return after
        if self.parameterization == "ntk":
            return self._learned(after, weights.k12, bias)
        return self._learned(after, before.width / self.groups * total.k12, 1.0 if self.bias_std else 0.0)

    def _learned(self, after: Covariance, weight: Array, bias: float) -> Covariance:
        """With what the weight and the bias, or changes of them, add to Theta; less what is frozen."""
        if not self.frozen:
            # In the NTK parameterization the trained layer adds its own output covariance, bias included.
            return after.learned(after.k12 if self.parameterization == "ntk" else weight + bias)
        for name, share in (("weight", weight), ("bias", bias)):
            after = after if name in self.frozen else after.learned(share)
        return after

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The same linear map of the change, and the changes of weight_std^2 and bias_std^2."""
        # d(w^2 K + b^2) = w^2 dK + 2 w^2 K dlog w + 2 b^2 dlog b.
        terms, changes = self.terms(state), self.terms(change)
        w2, b2 = self.weight_std**2 / len(terms), self.bias_std**2
        mean = Covariance.total(changes)
        weights = Covariance.total(terms).scaled(w2)
        turn = changes[0].turn if len(terms) == 1 else Covariance.turn_of_total(terms, changes)
        # A factor changes no angle.
        weights_moved = mean.scaled(w2).plus(weights.scaled(2.0 * direction.log_weight_std)).to(turn=turn)
        moved, db2 = weights_moved, 2.0 * direction.log_bias_std * b2
        if b2:
            turn = Covariance.turn_of_total([weights, weights.constant(b2)], [moved, weights.constant(db2)])
            moved = moved.plus(db2).to(turn=turn)
        if self.parameterization == "ntk":
            return self._learned(moved, weights_moved.k12, db2)
        return self._learned(moved, before.width / self.groups * mean.k12, 0.0)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """log_bias_std only where there is a bias."""
        return frozenset({"log_weight_std", "log_bias_std"} if self.bias_std else {"log_weight_std"})

    def rescaled(self: Self, weight_std: float = 1.0, bias_std: float = 1.0) -> Self:
        """weight_std and bias_std multiplied by factors."""
        return replace(  # type: ignore[type-var]
            self, weight_std=weight_std * self.weight_std, bias_std=bias_std * self.bias_std
        )
