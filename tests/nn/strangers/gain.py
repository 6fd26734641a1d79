"""A layer with parameters: a trained gain for each feature."""

from dataclasses import dataclass

from ntk_array._array.namespace import home
from ntk_array.nn.layer import Layer
from ntk_array.nn.parameters import Parameter


@dataclass(frozen=True)
class Gain(Layer):
    """z_i = g_i h_i with g_i ~ N(0, 1). At infinite width K stays and Theta -> Theta + K."""

    factor_count = 1
    can_freeze = True

    def factor_size(self, before, outputs):
        return outputs * before.width

    def signal(self, before):
        return before.to(gaussian=False, centred=True)

    def parameters(self, before):
        return {"gain": Parameter((before.width,), 1.0)}

    def forward(self, params, x):
        return params["gain"] * x, x

    def backward(self, params, tape, delta, to_inputs=True):
        return (delta * params["gain"] if to_inputs else None), [delta * tape[:, None, :]]

    def tangent(self, params, tape, dx, dparams):
        return params["gain"] * dx + dparams["gain"] * tape

    def gram(self, factors1, factors2, contraction, trained):
        (one,), (two,) = factors1, factors2
        if trained["gain"]:
            nothing = contraction.features(one[:, 0, :0], two[:, 0, :0])
            contraction.add(nothing + 1.0, one, two)

    def expand(self, factors):
        return {"gain": factors[0]}

    def pullback(self, factors):
        return {"gain": home(factors[0]).xp.sum(factors[0][:, 0, :], axis=0)}

    def propagate(self, state, before):
        after = state.to(mean1=None, mean2=None)
        return after if self.frozen else after.learned(state.k12)

    def propagate_tangent(self, state, change, before, direction):
        return self.propagate(change, before)
