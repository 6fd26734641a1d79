"""Convolution whose weights are not shared between positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._array.namespace import Array, home
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from .contraction import Contraction
from .convolution import Conv
from .layer import Factors
from .parameters import Parameter, Params, Tree

__all__ = ["ConvLocal"]


@dataclass(frozen=True)
class ConvLocal(Conv):
    """Convolution with weights and a bias of its own at each position: a locally connected layer.

    z_p = weight_std / sqrt(k n) sum_d W_pd h_{p + d} + bias_std b_p, as :class:`Conv` but for the index p. Parameters
    are "weight" (*positions, width, *kernel_size, channels / groups) and, unless bias_std is 0, "bias" (*positions,
    width), for the positions of the output.

    In the infinite-width limit values at different positions are independent: K'(p, q) = Theta'(p, q) = 0 for p != q,
    and K'(p, p), Theta'(p, p) are those of Conv (Novak et al. 2019, section 3). So all of a network of such layers
    depends on K(p, p) only, as one that ends in Flatten does.

    Parameters
    ----------
    width, kernel_size, stride, padding, dilation, groups, weight_std, bias_std, parameterization
        As for :class:`Conv`.

    Examples
    --------
    >>> import ntk_array as ntk
    >>> ntk.nn.ConvLocal(16, (3, 3)).init(0, input_shape=(8, 8, 3))["weight"].shape
    (8, 8, 16, 3, 3, 3)
    """

    window = None

    def _local_shapes(self, outputs: tuple[int, ...], channels: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters, for these positions of the output."""
        return {name: (*outputs, *shape) for name, shape in self._shapes(channels).items()}

    def parameters(self, before: Signal) -> Tree:
        outputs = self.outputs(before.shape[:-1])
        shared: dict[str, Parameter] = super().parameters(before)
        return {name: Parameter((*outputs, *own.shape), own.std) for name, own in shared.items()}

    def fits(self, params: Params) -> bool:
        got = {name: tuple(parameter.shape) for name, parameter in params.items()}
        weight = got.get("weight", (0,))
        return got == self._local_shapes(weight[: len(self.kernel_size)], weight[-1] * self.groups)

    def factor_size(self, before: Signal, outputs: int) -> int:
        """Inputs and cotangents."""
        return math.prod(before.shape) + outputs * math.prod(self.outputs(before.shape[:-1])) * self.width

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        expected = self._local_shapes(self.outputs(tuple(x.shape[1:-1])), x.shape[-1])
        got = {name: tuple(parameter.shape) for name, parameter in params.items()}
        if got != expected:
            raise ValueError(
                f"{self._name} needs parameters of shapes {expected} for inputs {tuple(x.shape)}, got {got}"
            )
        return self._affine(params, self.gathered(x)), x

    def _matrices(self, params: Params) -> list[Array]:
        """The weights as a stack of matrices for each group, (P, width / groups, fan_in)."""
        weight, count = params["weight"], len(self.kernel_size)
        stack = home(weight).xp.reshape(weight, (math.prod(weight.shape[:count]), self.width, -1))
        own = self.width // self.groups
        return [stack[:, g * own : (g + 1) * own, :] for g in range(self.groups)]

    def _multiplied(self, values: Array, matrix: Array) -> Array:
        """Each position by its own matrix, (P, n, m): (P, M, n) times (P, n, m)."""
        xp = home(values).xp
        stack = xp.permute_dims(xp.reshape(values, (values.shape[0], -1, values.shape[-1])), (1, 0, 2))
        product = xp.permute_dims(stack @ matrix, (1, 0, 2))
        return xp.reshape(product, (*values.shape[:-1], matrix.shape[-1]))

    # ---- kernels and Jacobians from factors -----------------------------------------------------------------------

    def kernel_factors(self, factors: Factors) -> Factors:
        """As they are: there is no sum over pairs of positions to save."""
        return factors

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        """(weight_scale^2 <h_p, h'_p> + bias_scale^2) <delta_cp, delta'_c'p>, summed over positions."""
        (one,), (two,) = factors1, factors2
        groups = self._at_positions(*one)
        others = groups if two is one else self._at_positions(*two)
        squares = self._trained_squares(one.inputs.shape[-1], trained)
        for first, second in zip(groups, others, strict=True):
            for p in range(first[0].shape[1]):
                h1, delta1 = first[0][:, p, :], first[1][:, :, p, :]
                h2, delta2 = (h1, delta1) if two is one else (second[0][:, p, :], second[1][:, :, p, :])
                contraction.add_linear(h1, h2, delta1, delta2, *squares)

    def expand(self, factors: Factors) -> Params:
        """scale delta_cp h_p^T and bias_scale delta_cp."""
        ((x, delta),) = factors
        xp, (n, outputs) = home(x).xp, (x.shape[0], delta.shape[1])
        shapes = self._local_shapes(tuple(delta.shape[2:-1]), x.shape[-1])
        weight_scale, bias_scale = self._scales(self._fan_in(x.shape[-1]))
        parts = [own[..., None] * h[:, None, :, None, :] for h, own in self._at_positions(x, delta)]
        weight = parts[0] if len(parts) == 1 else xp.concat(parts, axis=-2)
        jacobian = {"weight": weight_scale * xp.reshape(weight, (n, outputs, *shapes["weight"]))}
        if self.bias_std:
            jacobian["bias"] = bias_scale * xp.broadcast_to(delta, (n, *delta.shape[1:]))
        return jacobian

    def pullback(self, factors: Factors) -> Params:
        """The expanded Jacobian summed over inputs, as one product for each position."""
        ((x, delta),) = factors
        xp, shapes = home(x).xp, self._local_shapes(tuple(delta.shape[2:-1]), x.shape[-1])
        weight_scale, bias_scale = self._scales(self._fan_in(x.shape[-1]))
        parts = [
            xp.permute_dims(own[:, 0, ...], (1, 2, 0)) @ xp.permute_dims(h, (1, 0, 2))
            for h, own in self._at_positions(x, delta)
        ]
        weight = parts[0] if len(parts) == 1 else xp.concat(parts, axis=1)
        gradient = {"weight": weight_scale * xp.reshape(weight, shapes["weight"])}
        if self.bias_std:
            gradient["bias"] = bias_scale * xp.sum(delta, axis=(0, 1))
        return gradient

    # ---- infinite width -------------------------------------------------------------------------------------------

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        after = super().propagate(state.same(), before)
        return after.alone() if state.frame.every else after

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        after = super().propagate_tangent(state.same(), change.same(), before, direction)
        return after.alone() if state.frame.every else after
