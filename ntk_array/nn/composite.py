"""Networks that are made of networks: what they do with their parts, written once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from .._array.random import Seed, seed_sequence
from ..infinite.signal import Signal
from .contraction import Contraction
from .layer import Factors, Layer
from .parameters import Params, Tree

__all__ = ["Composite"]

Self = TypeVar("Self", bound="Composite")


@dataclass(frozen=True, init=False, repr=False)
class Composite(Layer):
    """Layers in some arrangement. Its parameters are the tuple of theirs, its factors theirs in one flat list.

    A subclass says how values flow through its parts: ``signals``, ``signal``, ``forward``, ``backward``, ``tangent``
    and ``unroll``.
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        name = type(self).__name__
        if not layers:
            raise ValueError(f"{name} needs at least one layer")
        # A list in place of layers is the usual slip; the error says how to write it.
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                hint = f"; write {name}(a, b, c), not a list" if isinstance(layer, list | tuple) else ""
                raise TypeError(f"layer {i} of {name} is {layer!r}, not a layer{hint}")
        object.__setattr__(self, "layers", layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"

    @abstractmethod
    def signals(self, before: Signal) -> list[Signal]:
        """The facts of what comes into each part, for those of what comes in."""

    def parameters(self, before: Signal) -> Tree:
        """A tuple over the parts."""
        return tuple(layer.parameters(own) for layer, own in zip(self.layers, self.signals(before), strict=True))

    def with_layers(self: Self, layers: Sequence[Layer]) -> Self:
        """The same arrangement of other parts."""
        changed = copy(self)
        object.__setattr__(changed, "layers", tuple(layers))
        return changed

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Those of any part."""
        return frozenset().union(*(layer.hyperparameters for layer in self.layers))

    def rescaled(self: Self, weight_std: float = 1.0, bias_std: float = 1.0) -> Self:
        """Every part rescaled."""
        return self.with_layers([layer.rescaled(weight_std, bias_std) for layer in self.layers])

    def training(self: Self, trained: Params) -> Self:
        """Every part with its own."""
        return self.with_layers([layer.training(own) for layer, own in self._each(trained)])

    def sampled(self: Self, rng: Seed) -> Self:
        """Every part with random numbers of its own."""
        if isinstance(rng, np.random.Generator):
            return self.with_layers([layer.sampled(rng) for layer in self.layers])
        seeds = seed_sequence(rng).spawn(len(self.layers))
        return self.with_layers([layer.sampled(own) for layer, own in zip(self.layers, seeds, strict=True)])

    def on(self: Self, batch: Any) -> Self:
        """Every part on the same batch."""
        return self.with_layers([layer.on(batch) for layer in self.layers])

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        """Where a part is."""
        return any(layer.noisy for layer in self.layers)

    @property
    def factor_count(self) -> int:
        """The sum over the parts."""
        return sum(layer.factor_count for layer in self.layers)

    def factor_size(self, before: Signal, outputs: int) -> int:
        """The sum over the parts."""
        return sum(
            layer.factor_size(own, outputs) for layer, own in zip(self.layers, self.signals(before), strict=True)
        )

    def kernel_factors(self, factors: Factors) -> Factors:
        """Part by part."""
        return [one for layer, own in self._with_factors(factors) for one in layer.kernel_factors(own)]

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        """The parts in order."""
        for (layer, one, two), own in zip(self._with_factors(factors1, factors2), trained, strict=True):
            layer.gram(one, two, contraction, own)

    def expand(self, factors: Factors) -> Params:
        """A tuple over the parts."""
        return tuple(layer.expand(own) for layer, own in self._with_factors(factors))

    def pullback(self, factors: Factors) -> Params:
        """A tuple over the parts."""
        return tuple(layer.pullback(own) for layer, own in self._with_factors(factors))

    def _with_factors(self, *factors: Factors) -> Iterator[tuple[Any, ...]]:
        """Each part with its own share of each flat list of factors."""
        # Factors are one flat list. Each part knows how many of them are its own.
        start = 0
        for layer in self.layers:
            stop = start + layer.factor_count
            yield layer, *(f[start:stop] for f in factors)
            start = stop

    def _each(self, params: Params) -> Iterator[tuple[Layer, Params]]:
        """Each part with its own parameters."""
        if not isinstance(params, tuple) or len(params) != len(self.layers):
            number = f"{len(params)} entries" if isinstance(params, tuple) else f"type {type(params).__name__}"
            raise ValueError(f"params has {number}; the network has {len(self.layers)} layers")
        return zip(self.layers, params, strict=True)
