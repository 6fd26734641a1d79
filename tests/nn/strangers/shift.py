"""A layer with parameters and a hyper-parameter: a trained shift of each feature."""

from dataclasses import dataclass, replace

from ntk_array._array.namespace import home
from ntk_array.infinite.covariance import Covariance
from ntk_array.nn.layer import Layer
from ntk_array.nn.parameters import Parameter


@dataclass(frozen=True)
class Shift(Layer):
    """z_i = h_i + bias_std b_i, b_i ~ N(0, 1). At infinite width K and Theta grow by bias_std^2."""

    bias_std: float = 1.0

    # The facts, without arrays.
    factor_count = 1
    can_freeze = True

    def signal(self, before):
        if len(before.shape) > 1:
            raise ValueError(f"{self!r} takes inputs without positions, not {before.shape}")
        return before.to(degree=0 if before.degree == 0 else None)

    def parameters(self, before):
        return {"bias": Parameter((before.width,), 1.0)}

    def factor_size(self, before, outputs):
        return outputs * before.width

    # The finite network. The tape is the number of inputs, because cotangents that all of them
    # share come once.
    def forward(self, params, x):
        return x + self.bias_std * params["bias"], x.shape[0]

    def backward(self, params, tape, delta, to_inputs=True):
        every = home(delta).xp.broadcast_to(delta, (tape, *delta.shape[1:]))
        return delta, [self.bias_std * every]

    def tangent(self, params, tape, dx, dparams):
        return dx + self.bias_std * dparams["bias"]

    # The factors are the Jacobian (N, C, n).
    def gram(self, factors1, factors2, contraction, trained):
        if trained["bias"]:
            contraction.add_products(factors1[0], factors2[0], 1.0)

    def expand(self, factors):
        return {"bias": factors[0]}

    def pullback(self, factors):
        return {"bias": home(factors[0]).xp.sum(factors[0], axis=(0, 1))}

    # Infinite width.
    def propagate(self, state, before):
        return self._with_trained(state.plus(self.bias_std**2), self.bias_std**2)

    def propagate_tangent(self, state, change, before, direction):
        grown = 2.0 * direction.log_bias_std * self.bias_std**2
        # The change of the angle, from both terms of the sum: exact for parallel inputs too.
        terms, changes = [state, state.constant(self.bias_std**2)], [change, state.constant(grown)]
        turn = Covariance.turn_of_total(terms, changes)
        return self._with_trained(change.plus(grown).to(turn=turn), grown)

    def _with_trained(self, after, share):
        return after if self.frozen else after.learned(share)

    # Hyper-parameters.
    hyperparameters = frozenset({"log_bias_std"})

    def rescaled(self, weight_std=1.0, bias_std=1.0):
        return replace(self, bias_std=bias_std * self.bias_std)
