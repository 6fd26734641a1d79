"""Layers one after the other."""

from __future__ import annotations

from typing import Any

from .._array.namespace import Array
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .composite import Composite
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["Sequential"]


class Sequential(Composite):
    """The composition of layers, first to last. Its parameters are the tuple of theirs.

    Examples
    --------
    >>> import ntk_array as ntk
    >>> net = ntk.nn.Sequential(ntk.nn.Dense(16, weight_std=1.5), ntk.nn.Tanh(), ntk.nn.Dense(2))
    >>> params = net.init(seed=0, input_shape=(5,))
    >>> import numpy as np
    >>> net(params, np.ones((3, 5))).shape
    (3, 2)
    """

    def signals(self, before: Signal) -> list[Signal]:
        """Those after the layers before."""
        found = [before]
        for layer in self.layers[:-1]:
            found.append(layer.signal(found[-1]))
        return found

    def signal(self, before: Signal) -> Signal:
        """After the last layer."""
        return self.layers[-1].signal(self.signals(before)[-1])

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Any, ...]]:
        """The layers in order."""
        tapes = []
        for layer, own in self._each(params):
            x, tape = layer.forward(own, x)
            tapes.append(tape)
        return x, tuple(tapes)

    def backward(
        self, params: Params, tape: tuple[Any, ...], delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        """The layers in reverse, down to the first that is asked for anything; their factors in order."""
        factors: Factors = []
        for i in reversed(range(len(self.layers))):
            below = to_inputs or any(layer.factor_count for layer in self.layers[:i])
            delta, own_factors = self.layers[i].backward(params[i], tape[i], delta, below)
            factors = own_factors + factors
            if not below:
                break
        return delta, factors

    def tangent(self, params: Params, tape: tuple[Any, ...], dx: Array, dparams: Params) -> Array:
        """The layers in order."""
        for layer, own, own_tape, change in zip(self.layers, params, tape, dparams, strict=True):
            dx = layer.tangent(own, own_tape, dx, change)
        return dx

    def arrangement(self) -> tuple[Layer | None, Layer]:
        """Of the first layer. The layers keep their numbers."""
        arranged, rest = self.layers[0].arrangement()
        return arranged, self if arranged is None else self.with_layers((rest, *self.layers[1:]))

    def unroll(self, steps: Steps, place: int) -> int:
        """One after the other."""
        for layer in self.layers:
            place = layer.unroll(steps, place)
        return place
