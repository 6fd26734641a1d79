"""Networks on graphs."""

from __future__ import annotations

from collections.abc import Sequence

from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .aggregate import Aggregate, GraphMap
from .composite import Composite
from .layer import Layer
from .node_features import NodeFeatures
from .packed import PackedNetwork, refuse_nested

__all__ = ["GraphNetwork"]

FEATURES = NodeFeatures()


class GraphNetwork(PackedNetwork):
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

    @property
    def values(self) -> NodeFeatures:
        return FEATURES

    def started(self, steps: Steps, place: int, facts: Signal) -> int:
        """An aggregation that comes first reads the features itself."""
        return place if isinstance(self.layers[0], Aggregate) else super().started(steps, place, facts)


def _refuse_order(layers: Sequence[Layer]) -> None:
    """TypeError for layers that know of positions and not of graphs."""
    for layer in layers:
        refuse_nested(layer, "GraphNetwork")
        if isinstance(layer, Composite):
            _refuse_order(layer.layers)
        elif not (isinstance(layer, GraphMap) or layer.entrywise or layer.noisy):
            raise TypeError(
                f"{layer!r} mixes positions by their order, which nodes do not have, or with their padding; graphs "
                "have Aggregate and GraphPool"
            )
