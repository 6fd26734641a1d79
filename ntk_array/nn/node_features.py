"""The features of nodes, from graphs in one array: where networks on graphs start."""

from __future__ import annotations

from collections.abc import Sequence

from .._array.namespace import Array, home, to_host
from ..infinite.covariance import Covariance, Direction
from ..infinite.inputs import Inputs, between, pairs
from ..infinite.signal import Signal
from .graph_batch import Graphs
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["AggregatedFeatures", "NodeFeatures"]

NO_DERIVATIVE = "GraphNetwork has no derivative in its graphs: put the layers before it into it"


class NodeFeatures(Layer):
    """The features of nodes, (N, P, channels), from packed graphs.

    A network on graphs starts with it. At infinite width the state of features is made from the inputs themselves.
    """

    entrywise = False
    reads_inputs = True

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

    def of(self, graphs: Graphs) -> Array:
        """Of graphs that were taken apart."""
        return graphs.features

    def forward(self, params: Params, x: Array) -> tuple[Array, Graphs]:
        """The tape is the graphs."""
        self.signal(Signal(tuple(x.shape[1:])))
        graphs = Graphs.of(x)
        graphs.refuse_unmarked()
        return self.of(graphs), graphs

    def backward(self, params: Params, tape: Graphs, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        if to_inputs:
            raise ValueError(NO_DERIVATIVE)
        return None, []

    def tangent(self, params: Params, tape: Graphs, dx: Array, dparams: Params) -> Array:
        xp = home(dx).xp
        if to_host(xp.any(dx != 0)):
            raise ValueError(NO_DERIVATIVE)
        return xp.zeros_like(tape.features)

    # ---- infinite width -----------------------------------------------------------------------------------------

    def needs_every_pair(self, after: bool) -> bool:
        return True

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """The state between features; the angle is that of the features."""
        ntk, gap, frame = state.ntk is not None, state.gap is not None, state.frame
        one = Inputs.of(self.of(Graphs.of(state.inputs1)))
        if not frame.blocks:
            # Each batch is walked once, and its marks are looked at then.
            Graphs.of(state.inputs1).refuse_unmarked()
            return pairs(one, ntk=ntk, every=frame.every, gap=gap)
        two = None if state.inputs2 is state.inputs1 else Inputs.of(self.of(Graphs.of(state.inputs2)))
        return between(one, two, ntk=ntk, gap=gap, every=frame.every)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """Features do not change, as the inputs do not."""
        return change

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        features = self.of(Graphs.of(states[0].inputs1))
        return home(features).xp.mean(features, axis=-1)

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return changes[0].rows().variance  # zeros


class AggregatedFeatures(NodeFeatures):
    """What :class:`Aggregate` makes of features."""

    def of(self, graphs: Graphs) -> Array:
        return graphs.adjacency @ graphs.features
