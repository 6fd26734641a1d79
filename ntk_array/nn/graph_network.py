"""Networks on graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._array.namespace import Array
from ..infinite.signal import Signal
from ..infinite.steps import OnGraphs, Steps
from .aggregate import Aggregate, GraphMap
from .composite import Composite
from .layer import Factors, Layer
from .node_features import NodeFeatures
from .parameters import Params
from .sequential import Sequential

__all__ = ["GraphNetwork"]

FEATURES = NodeFeatures()


class GraphNetwork(Sequential):
    """Layers on graphs, first to last. Its parameters are the tuple of theirs.

    Inputs are graphs that :func:`graphs` packed, (N, P, channels + 1 + P). The first layer acts on the features of
    nodes, (N, P, channels). Layers such as :class:`Dense`, activations and branches act on each node by itself;
    :class:`Aggregate` and :class:`GraphPool` mix the nodes of each graph. Padding has no influence on any node.

    Raises
    ------
    TypeError
        For layers that mix positions in other ways, by their order or with their padding.
    ValueError
        For inputs that are no graphs, and where it is not the first layer with parameters of a network: graphs are
        data, and nothing is differentiated in the adjacency.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> triangle, path = np.ones((3, 3)), np.asarray([[1, 1], [1, 1]])          # with self-loops
    >>> x = ntk.nn.graphs([np.eye(3), np.eye(3)[:2]], [triangle, path])
    >>> layers = (ntk.nn.Aggregate(), ntk.nn.Dense(16), ntk.nn.ReLU(), ntk.nn.GraphPool("sum"), ntk.nn.Dense(2))
    >>> net = ntk.nn.GraphNetwork(*layers)
    >>> net(net.init(seed=0, like=x), x).shape, ntk.InfiniteNTK(net)(x).shape
    ((2, 2), (2, 2))
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__(*layers)
        _refuse_order(self.layers)

    def signals(self, before: Signal) -> list[Signal]:
        return super().signals(FEATURES.signal(before))

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Any, ...]]:
        """The layers in order, bound to the graphs of this batch. The tape keeps them."""
        features, graphs = FEATURES.forward({}, x)
        bound = Sequential(*(layer.on(graphs) for layer in self.layers))
        output, tapes = bound.forward(params, features)
        return output, (graphs, bound, tapes)

    def backward(
        self, params: Params, tape: tuple[Any, ...], delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        graphs, bound, tapes = tape
        delta, factors = bound.backward(params, tapes, delta, to_inputs)
        return FEATURES.backward({}, graphs, delta, to_inputs)[0], factors

    def tangent(self, params: Params, tape: tuple[Any, ...], dx: Array, dparams: Params) -> Array:
        graphs, bound, tapes = tape
        return bound.tangent(params, tapes, FEATURES.tangent({}, graphs, dx, {}), dparams)

    def unroll(self, steps: Steps, place: int) -> int:
        """The features of nodes, and the layers one after the other."""
        nodes = FEATURES.signal(steps.signals[place])
        if place and nodes.obstacle is None:
            nodes = nodes.to(
                obstacle="GraphNetwork reads graphs from the inputs: no infinite-width limit where another layer is "
                "before it"
            )
        # An aggregation that comes first reads the features itself.
        end = place if isinstance(self.layers[0], Aggregate) else steps.add(FEATURES, [place], nodes)
        outside, steps.graphs = steps.graphs, OnGraphs(place, end, nodes)
        for layer in self.layers:
            end = layer.unroll(steps, end)
        steps.graphs = outside
        return end


def _refuse_order(layers: Sequence[Layer]) -> None:
    """TypeError for layers that know of positions and not of graphs."""
    for layer in layers:
        if isinstance(layer, GraphNetwork):
            raise TypeError("GraphNetwork has another one inside; put the layers of that one in its place")
        if isinstance(layer, Composite):
            _refuse_order(layer.layers)
        elif not (isinstance(layer, GraphMap) or layer.entrywise or layer.noisy):
            raise TypeError(
                f"{layer!r} mixes positions by their order, which nodes do not have, or with their padding; graphs "
                "have Aggregate and GraphPool"
            )
