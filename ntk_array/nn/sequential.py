"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array.namespace import Array
from ..infinite.compiled import propagate
from ..infinite.covariance import Covariance, Direction
from .contraction import Contraction
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["Sequential"]


@dataclass(frozen=True, init=False, repr=False)
class Sequential(Layer):
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

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ValueError("Sequential needs at least one layer")
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                hint = "; write Sequential(a, b, c), not a list" if isinstance(layer, list | tuple) else ""
                raise TypeError(f"layer {i} of Sequential is {layer!r}, not a layer{hint}")
        object.__setattr__(self, "layers", layers)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    @property
    def factor_count(self) -> int:
        """The sum over the layers."""
        return sum(layer.factor_count for layer in self.layers)

    def _with_factors(self, *factors: Factors) -> Iterator[tuple[Any, ...]]:
        """Each layer with its own share of each flat list of factors."""
        start = 0
        for layer in self.layers:
            stop = start + layer.factor_count
            yield layer, *(f[start:stop] for f in factors)
            start = stop

    def draw(self, seeds: np.random.SeedSequence, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """One stream of random numbers a layer."""
        params = []
        for layer, layer_seeds in zip(self.layers, seeds.spawn(len(self.layers)), strict=True):
            drawn, shape = layer.draw(layer_seeds, shape)
            params.append(drawn)
        return tuple(params), shape

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Any, ...]]:
        """The layers in order."""
        if len(params) != len(self.layers):
            raise ValueError(f"params has {len(params)} entries; the network has {len(self.layers)} layers")
        tapes = []
        for layer, own in zip(self.layers, params, strict=True):
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

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        """The layers in order."""
        for (layer, one, two), own in zip(self._with_factors(factors1, factors2), trained, strict=True):
            layer.gram(one, two, contraction, own)

    def expand(self, factors: Factors) -> Params:
        """A tuple over the layers."""
        return tuple(layer.expand(own) for layer, own in self._with_factors(factors))

    def pullback(self, factors: Factors) -> Params:
        """A tuple over the layers."""
        return tuple(layer.pullback(own) for layer, own in self._with_factors(factors))

    def propagate(self, state: Covariance) -> Covariance:
        """The layers in order."""
        return propagate(self.layers, state)

    def propagate_tangent(
        self, state: Covariance, dstate: Covariance, direction: Direction
    ) -> tuple[Covariance, Covariance]:
        """The layers in order."""
        for layer in self.layers:
            state, dstate = layer.propagate_tangent(state, dstate, direction)
        return state, dstate

    @property
    def numerical(self) -> bool:
        """If any layer is."""
        return any(layer.numerical for layer in self.layers)

    def tabulated(self, pairs: Covariance) -> Sequential:
        """Every layer for what comes out of those before it."""
        layers = []
        for layer in self.layers:
            layers.append(layer.tabulated(pairs))
            pairs = layers[-1].propagate(pairs)
        return Sequential(*layers)

    @property
    def homogeneous(self) -> bool:
        """If all layers are."""
        return all(layer.homogeneous for layer in self.layers)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Those of any layer."""
        return frozenset().union(*(layer.hyperparameters for layer in self.layers))

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> Sequential:
        """Every layer rescaled."""
        return Sequential(*(layer.rescaled(weight_std, bias_std) for layer in self.layers))
