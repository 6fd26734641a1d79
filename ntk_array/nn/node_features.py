"""The features of nodes, from graphs in one array: where networks on graphs start."""

from __future__ import annotations

from .._array.namespace import Array, home, to_host
from ..infinite.signal import Signal
from .graph_batch import Graphs
from .layer import Factors
from .packed import PackedValues
from .parameters import Params

__all__ = ["AggregatedFeatures", "NodeFeatures"]

NO_DERIVATIVE = "GraphNetwork has no derivative in its graphs: put the layers before it into it"


class NodeFeatures(PackedValues):
    """The features of nodes, (N, P, channels), from packed graphs."""

    def signal(self, before: Signal) -> Signal:
        shape = before.shape
        if len(shape) != 2 or shape[1] - shape[0] < 2:
            raise ValueError(
                "GraphNetwork needs graphs, (N, nodes, channels + 1 + nodes), as ntk_array.nn.graphs(features, "
                f"adjacency) makes them; got (N, {', '.join(map(str, shape))})"
            )
        if before.wide:
            raise ValueError("GraphNetwork reads graphs from the inputs: put the layers before it into it")
        return before.to(shape=(shape[0], shape[1] - shape[0] - 1))

    def taken(self, x: Array) -> Graphs:
        return Graphs.of(x)

    def refuse(self, batch: Graphs) -> None:
        batch.refuse_unmarked()

    def of(self, batch: Graphs) -> Array:
        return batch.features

    def backward(self, params: Params, tape: Graphs, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        if to_inputs:
            raise ValueError(NO_DERIVATIVE)
        return None, []

    def tangent(self, params: Params, tape: Graphs, dx: Array, dparams: Params) -> Array:
        xp = home(dx).xp
        if to_host(xp.any(dx != 0)):
            raise ValueError(NO_DERIVATIVE)
        return xp.zeros_like(tape.features)


class AggregatedFeatures(NodeFeatures):
    """What :class:`Aggregate` makes of features."""

    def of(self, batch: Graphs) -> Array:
        return batch.adjacency @ batch.features
