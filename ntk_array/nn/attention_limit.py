"""The infinite-width limit of self-attention."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from .._array.namespace import Array, home
from ..infinite.attention import mixed, mixed_change, product, product_change
from ..infinite.covariance import Covariance, Direction
from ..infinite.position_maps import cut
from ..infinite.signal import Signal
from .dense import Dense
from .embedding import PositionEmbedding
from .heads import seen_scores, weights_change, weights_of
from .layer import Layer

__all__ = ["AttentionLimit"]

Self = TypeVar("Self", bound="AttentionLimit")
Seen = tuple[Array, Array]
"""Which positions are looked at in two batches, (N1, *P) and (N2, *P)."""


class AttentionLimit(Layer):
    """The limit of attention with linear scaling, or with square-root scaling and the scores as weights.

    It is composed of the limits of its ``parts``, which are linear maps to queries, keys, values and outputs, and of
    what attention makes of them. For the formulas see :class:`SelfAttention`.
    """

    mechanism: str
    scaling: str
    position_in_values: bool
    query_std: float
    key_std: float
    bias_std: float

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Dense]:
        """The linear maps "query", unless queries are the keys, "key", "value" and "output"."""

    @property
    @abstractmethod
    def embedding(self) -> PositionEmbedding | None:
        """Of positions."""

    @abstractmethod
    def facts(self, before: Signal) -> dict[str, Signal]:
        """The facts of what comes into each part."""

    entrywise = False
    can_freeze = True

    @property
    def reads_within(self) -> bool:  # type: ignore[override]
        """With linear scaling weights are made from the covariances within each input."""
        return self.scaling == "linear"

    def needs_every_pair(self, after: bool) -> bool:
        return True

    def propagate(self, state: Covariance, before: Signal, seen: Seen | None = None) -> Covariance:
        """Queries, keys and values as behind Dense layers, what attention makes of them, and another Dense layer."""
        states, facts = self._limits(state, before, seen), self.facts(before)
        if self.scaling == "linear":
            mixed_states = mixed(states["value"], *self._weights(state, before, seen))
        else:
            mixed_states = product(states["query"], states["key"], states["value"])
        return self.parts["output"].propagate(mixed_states, facts["output"])

    def _limits(self, state: Covariance, before: Signal, seen: Seen | None) -> dict[str, Covariance]:
        """The states of queries, keys and values, as far as they are read."""
        sources, facts = self._sources(state, before), self.facts(before)
        found = {name: self.parts[name].propagate(source, facts[name]) for name, source in sources.items()}
        return self._of_seen(found, seen)

    def _of_seen(self, states: dict[str, Covariance], seen: Seen | None) -> dict[str, Covariance]:
        """With no values where nothing is looked at. Of linear scaling there are no weights for these."""
        if seen is None or self.scaling == "linear":
            return states
        return states | {"value": cut(states["value"], *seen)}

    def _sources(self, state: Covariance, before: Signal, change: bool = False) -> dict[str, Covariance]:
        """The states, or the changes, of what queries, keys and values see."""
        plain = seen = state.bare()
        if self.embedding is not None:
            if change:
                seen = self.embedding.of_change(state, before.width)
            else:
                seen = self.embedding.of_state(state, before.shape[:-1], before.width)
        sources = {"value": seen if self.position_in_values else plain}
        # The weights of linear scaling do not depend on both inputs, nor are they trained at infinite width.
        return sources if self.scaling == "linear" else {"query": seen, "key": seen} | sources

    def _scores(self, state: Covariance, before: Signal, change: bool = False) -> tuple[Array, Array]:
        """The scores within each input of both batches, (N1, P, P) and (N2, P, P), or their changes with the state."""
        one, two = state.within()
        found = [one] if two is one else [one, two]
        if self.embedding is not None:
            if change:
                found = [self.embedding.shares(before.width)[0] * k for k in found]
            else:
                found = [self.embedding.within(k, before.shape[:-1], before.width) for k in found]
        found = [self.query_std * self.key_std * k for k in found]
        return found[0], found[-1]

    def _weights(self, state: Covariance, before: Signal, seen: Seen | None) -> tuple[Array, Array]:
        """The weights within each input, from the scores."""
        one, two = self._scores(state, before)
        keys = self._keys(seen)
        first = weights_of(self.mechanism, seen_scores(self.mechanism, one, keys[0]))
        return first, first if two is one else weights_of(self.mechanism, seen_scores(self.mechanism, two, keys[1]))

    @staticmethod
    def _keys(seen: Seen | None) -> tuple[Array | None, Array | None]:
        """Which keys are seen, (N1, 1, P) and (N2, 1, P)."""
        if seen is None:
            return None, None
        one, two = (home(own).xp.reshape(own, (own.shape[0], 1, -1)) for own in seen)
        return one, two

    def propagate_tangent(
        self,
        state: Covariance,
        change: Covariance,
        before: Signal,
        direction: Direction,
        seen: Seen | None = None,
    ) -> Covariance:
        """The derivative of each map, by the product rule."""
        states, facts, parts = self._limits(state, before, seen), self.facts(before), self.parts
        moved = self._sources(change, before, change=True)
        changes = {
            name: parts[name].propagate_tangent(source, moved[name], facts[name], direction)
            for name, source in self._sources(state, before).items()
        }
        changes = self._of_seen(changes, seen)
        if self.scaling == "linear":
            weights = self._weights(state, before, seen)
            after = mixed(states["value"], *weights)
            of_weights = self._weights_changes(state, change, before, direction, seen)
            moved_after = mixed_change(states["value"], changes["value"], weights, of_weights)
        else:
            after = product(states["query"], states["key"], states["value"])
            moved_after = product_change(*((states[name], changes[name]) for name in ("query", "key", "value")))
        return parts["output"].propagate_tangent(after, moved_after, facts["output"], direction)

    def _weights_changes(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction, seen: Seen | None
    ) -> tuple[Array, Array]:
        """How the weights change with the covariances within each input, and with query_std key_std."""
        scores, changes = self._scores(state, before), self._scores(change, before, change=True)
        found = []
        sides = zip(scores, changes, self._weights(state, before, seen), self._keys(seen), strict=True)
        for own, moved, weights, keys in sides:
            total = moved + 2.0 * direction.log_weight_std * own
            own = seen_scores(self.mechanism, own, keys)
            found.append(weights_change(self.mechanism, own, weights, total, keys))
        return found[0], found[1]

    @property
    def hyperparameters(self) -> frozenset[str]:
        return self.parts["output"].hyperparameters

    def rescaled(self: Self, weight_std: float = 1.0, bias_std: float = 1.0) -> Self:
        """query_std, key_std, value_std and output_std multiplied by the first factor, bias_std by the second."""
        stds = {name: weight_std * getattr(self, name) for name in ("query_std", "key_std", "value_std", "output_std")}
        return replace(self, **stds, bias_std=bias_std * self.bias_std)  # type: ignore[type-var]
