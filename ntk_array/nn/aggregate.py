"""Layers that mix the nodes of each graph: aggregation over neighbours, and pooling over nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import ClassVar

from .._array.namespace import Array, home
from .._array.validate import one_of
from ..infinite.attention import gathered, mixed
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from ..infinite.steps import OnGraphs, Steps
from .graph_batch import Graphs
from .layer import Factors, Layer
from .node_features import AggregatedFeatures
from .parameters import Params

__all__ = ["Aggregate", "GraphMap", "GraphPool"]


class GraphMap(Layer):
    """A linear map of the values at the nodes of each graph, by a matrix that the graph gives.

    In the infinite-width limit K -> M K M'^T for the matrices M and M' of both graphs, and Theta likewise.
    """

    entrywise = False
    reads_inputs = True

    graphs: ClassVar[Graphs | None] = None
    """Those of a batch, in a layer that was bound to it: see :meth:`on`."""

    @abstractmethod
    def matrix(self, graphs: Graphs) -> Array:
        """The maps (N, R, P) from P nodes."""

    def on(self, graphs: Graphs) -> Layer:
        other = copy(self)
        object.__setattr__(other, "graphs", graphs)
        return other

    def _needs_nodes(self, before: Signal) -> None:
        if len(before.shape) != 2:
            got = ", ".join(map(str, before.shape))
            raise ValueError(f"{self!r} needs values at nodes, (N, nodes, channels); got (N, {got})")

    # ---- the finite network -------------------------------------------------------------------------------------

    def _bound(self) -> Array:
        if self.graphs is None:
            raise ValueError(self._alone)
        return self.matrix(self.graphs)

    def forward(self, params: Params, x: Array) -> tuple[Array, None]:
        self._needs_nodes(Signal(tuple(x.shape[1:])))
        return self._bound() @ x, None

    def backward(self, params: Params, tape: None, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        if not to_inputs:
            return None, []
        return home(delta).xp.matrix_transpose(self._bound())[:, None, ...] @ delta, []

    def tangent(self, params: Params, tape: None, dx: Array, dparams: Params) -> Array:
        return self._bound() @ dx

    # ---- infinite width -----------------------------------------------------------------------------------------

    def needs_every_pair(self, after: bool) -> bool:
        return True

    def unroll(self, steps: Steps, place: int) -> int:
        """It acts on the values at a place, and reads the graphs from the inputs."""
        return steps.add(self, [place, self._graphs_of(steps).inputs], self.signal(steps.signals[place]))

    def _graphs_of(self, steps: Steps) -> OnGraphs:
        if steps.graphs is None:
            raise ValueError(self._alone)
        return steps.graphs

    @property
    def _alone(self) -> str:
        return f"{self!r} reads graphs from the inputs: put it into a GraphNetwork"

    def matrices(self, state: Covariance) -> tuple[Array, Array]:
        """The maps of both batches, from the state of the inputs."""
        one = self.matrix(Graphs.of(state.inputs1))
        return one, one if state.inputs2 is state.inputs1 else self.matrix(Graphs.of(state.inputs2))

    @abstractmethod
    def of_state(self, state: Covariance, one: Array, two: Array) -> Covariance:
        """The map of a state or of the change of one."""

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        return self.of_state(states[0], *self.matrices(states[-1]))

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        return self.of_state(changes[0], *self.matrices(states[-1]))

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        return self._of_mean(states[0].rows().mean, states[-1])

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return self._of_mean(changes[0].rows().mean, states[-1])

    def _of_mean(self, mean: Array, graphs: Covariance) -> Array:
        """The map of means over features (N, P)."""
        return (self.matrices(graphs)[0] @ mean[..., None])[..., 0]


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

    def matrix(self, graphs: Graphs) -> Array:
        return graphs.adjacency

    def signal(self, before: Signal) -> Signal:
        """The adjacency is of the inputs, so that values grow by one degree more with them."""
        self._needs_nodes(before)
        return before.to(degree=None if before.degree is None else before.degree + 1)

    def of_state(self, state: Covariance, one: Array, two: Array) -> Covariance:
        return mixed(state, one, two)

    def unroll(self, steps: Steps, place: int) -> int:
        """Behind the features themselves it makes features, whose angles are exact, and reads the inputs only."""
        graphs = self._graphs_of(steps)
        if place != graphs.features:
            return super().unroll(steps, place)
        return steps.add(AggregatedFeatures(), [graphs.inputs], self.signal(graphs.nodes))


POOLINGS = ("mean", "sum", "root")


@dataclass(frozen=True)
class GraphPool(GraphMap):
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

    def matrix(self, graphs: Graphs) -> Array:
        """One row for each graph."""
        xp, rows = home(graphs.marks).xp, graphs.present[:, None, :]
        if self.kind == "root":
            return xp.astype(xp.cumulative_sum(rows, axis=2) == 1, rows.dtype) * rows
        return rows if self.kind == "sum" else rows / xp.sum(rows, axis=2, keepdims=True)

    def signal(self, before: Signal) -> Signal:
        self._needs_nodes(before)
        return before.to(shape=before.shape[-1:])

    def forward(self, params: Params, x: Array) -> tuple[Array, None]:
        return super().forward(params, x)[0][:, 0, :], None

    def backward(self, params: Params, tape: None, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        return super().backward(params, tape, delta[:, :, None, :], to_inputs)

    def tangent(self, params: Params, tape: None, dx: Array, dparams: Params) -> Array:
        return super().tangent(params, tape, dx, dparams)[:, 0, :]

    def of_state(self, state: Covariance, one: Array, two: Array) -> Covariance:
        return gathered(state, one, two)

    def _of_mean(self, mean: Array, graphs: Covariance) -> Array:
        return super()._of_mean(mean, graphs)[:, 0]
