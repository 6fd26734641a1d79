"""Layers that mix the nodes of each graph: aggregation over neighbours, and pooling over nodes."""

from __future__ import annotations

from dataclasses import dataclass

from .._array.namespace import Array, home
from .._array.validate import one_of
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .graph_batch import Graphs
from .node_features import AggregatedFeatures
from .packed import PackedMap, PackedPool

__all__ = ["Aggregate", "GraphMap", "GraphPool"]


class GraphMap(PackedMap):
    """A linear map of the values at the nodes of each graph, by a matrix that the graph gives."""

    def taken(self, x: Array) -> Graphs:
        return Graphs.of(x)

    def signal(self, before: Signal) -> Signal:
        if len(before.shape) != 2:
            got = ", ".join(map(str, before.shape))
            raise ValueError(f"{self!r} needs values at nodes, (N, nodes, channels); got (N, {got})")
        return super().signal(before)

    @property
    def _alone(self) -> str:
        return f"{self!r} reads graphs from the inputs: put it into a GraphNetwork"


@dataclass(frozen=True)
class Aggregate(GraphMap):
    """Each node takes the sum over its neighbours: (N, P, channels) to (N, P, channels), in a :class:`GraphNetwork`.

    h'_p = sum_q A(p, q) h_q for the adjacency A that :func:`graphs` packed with the features of each graph. Whether a
    node takes its own features too, and whether sums are means, is for A to say.

    In the infinite-width limit K'(p, p') = sum over q and q' of A(p, q) K(q, q') A'(p', q'), and Theta likewise (Du et
    al. 2019, section 3, without the factors c_u, which are in A).

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> pair = ntk.nn.graphs([np.asarray([[1.0], [5.0]])], [np.asarray([[0, 1], [1, 0]])])
    >>> ntk.nn.GraphNetwork(ntk.nn.Aggregate())(((),), pair)[0, :, 0]
    array([5., 1.])
    """

    def matrix(self, batch: Graphs) -> Array:
        return batch.adjacency

    def signal(self, before: Signal) -> Signal:
        """The adjacency is of the inputs, so that values grow by one degree more with them."""
        after = super().signal(before)
        return after.to(degree=None if before.degree is None else before.degree + 1)

    def unroll(self, steps: Steps, place: int) -> int:
        """Behind the features themselves it makes features, whose angles are exact, and reads the inputs only."""
        packed = self.packed(steps)
        if place != packed.values:
            return super().unroll(steps, place)
        return steps.add(AggregatedFeatures(), [packed.inputs], self.signal(packed.facts))


POOLINGS = ("mean", "sum", "root")


@dataclass(frozen=True)
class GraphPool(GraphMap, PackedPool):
    """One value for each graph: (N, P, channels) to (N, channels), in a :class:`GraphNetwork`.

    Padding counts for nothing, neither in sums nor in the number that means are divided by.

    Parameters
    ----------
    kind : "mean", "sum" or "root"
        Over the nodes of each graph, or the value at its first node. With "root" an input is a node, given by the
        graph of its surroundings in which it comes first.

    Raises
    ------
    ValueError
        For another kind.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = ntk.nn.graphs([np.asarray([[1.0], [5.0]]), np.asarray([[7.0]])], [np.eye(2), np.eye(1)])
    >>> [ntk.nn.GraphNetwork(ntk.nn.GraphPool(kind))(((),), x)[:, 0].tolist() for kind in ("mean", "sum", "root")]
    [[3.0, 7.0], [6.0, 7.0], [1.0, 7.0]]
    """

    kind: str = "mean"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, POOLINGS)

    def matrix(self, batch: Graphs) -> Array:
        """One row for each graph."""
        xp, rows = home(batch.marks).xp, batch.present[:, None, :]
        if self.kind == "root":
            return xp.astype(xp.cumulative_sum(rows, axis=2) == 1, rows.dtype) * rows
        return rows if self.kind == "sum" else rows / xp.sum(rows, axis=2, keepdims=True)
