"""The network of ours that a layer of stax stands for, and its inputs where they are graphs or have a mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .. import nn
from .._array.namespace import Array, home, is_array
from .._array.validate import inputs, real_array
from ..nn.composite import Composite
from .masks import masked_inputs, masked_network
from .parts import Aggregation, Fork, Part, Several, joined

__all__ = ["Network", "network_of"]

ON_GRAPHS = {nn.GlobalAvgPool: "mean", nn.GlobalSumPool: "sum"}


@dataclass(frozen=True)
class Network:
    """A layer of stax as a network of ours, for inputs whose padding is the ``mask_constant``, if one is given."""

    part: Part
    mask_constant: Any = None

    def masked(self, mask_constant: Any) -> Network:
        """The network for inputs with this constant."""
        if mask_constant is not None and self._aggregations:
            raise NotImplementedError(
                "mask_constant has no counterpart for Aggregate: graphs of several sizes are ntk_array.nn.graphs(..., "
                "sizes=) with ntk_array.nn.GraphNetwork"
            )
        return replace(self, mask_constant=mask_constant)

    @cached_property
    def net(self) -> nn.Layer:
        """The network, of ``ntk_array.nn``."""
        return self._made(None)[0]

    def params(self, params: Any) -> Any:
        """Parameters for ``net``, from those in the layout of neural-tangents."""
        return self._made(params)[1]

    def packed(self, x: Any, pattern: Any = None) -> Array:
        """Inputs for ``net``: x itself, graphs with this pattern of edges, or padded inputs."""
        if isinstance(x, list | tuple) and x and all(map(is_array, x)):
            raise NotImplementedError(f"{len(x)} inputs were given, and networks of ntk_array have one")
        if not self._aggregations and pattern is not None:
            raise ValueError("pattern is given, and no layer of the network is an Aggregate")
        if self.mask_constant is not None:
            return masked_inputs(x, self.mask_constant)
        x = inputs("x", x)
        if not self._aggregations:
            return x
        if x.ndim != 3:
            raise NotImplementedError(
                f"Aggregate takes nodes along one axis, (N, nodes, channels), got {tuple(x.shape)}: bring all nodes "
                "into one axis, as ntk_array.nn.graphs has them"
            )
        return nn.graphs(x, self._adjacency(x, pattern))

    def pair(self, x1: Any, x2: Any, pattern: Any = None) -> tuple[Array, Array | None]:
        """Two batches for ``net``, with a pattern for each or one for both; None where there is one batch."""
        first, second = pattern if isinstance(pattern, list | tuple) else (pattern, pattern)
        return self.packed(x1, first), None if x2 is None or x2 is x1 else self.packed(x2, second)

    def _made(self, params: Any) -> tuple[nn.Layer, Any]:
        walked = self.part.walk((), params)
        if isinstance(walked, Fork):
            raise NotImplementedError(
                f"the network has {len(walked.branches)} outputs, and networks of ntk_array have one: join them by "
                "FanInSum, FanInConcat or FanInProd, or take each by itself"
            )
        layers, own = [layer for layer, _ in walked], tuple(parameters for _, parameters in walked)
        if self.mask_constant is not None:
            return masked_network(layers), own
        if not self._aggregations:
            return joined(walked)
        return nn.GraphNetwork(*map(_of_graphs, layers)), own

    @cached_property
    def _aggregations(self) -> list[Aggregation]:
        return list(_aggregations(self.part))

    def _adjacency(self, x: Array, pattern: Any) -> Array:
        """Ours has in row p what node p takes; a pattern of neural-tangents has in row p what node p gives."""
        here, nodes = home(x), x.shape[1]
        if pattern is None:
            return here.eye(nodes)
        ways = {aggregation.to_dense for aggregation in self._aggregations}
        if len(ways) > 1:
            raise NotImplementedError("all layers Aggregate of a network must have one implementation and to_dense")
        to_dense: Callable[[Any], Any] | None = ways.pop()
        if to_dense is not None:
            return here.xp.matrix_transpose(real_array("pattern", to_dense(pattern), like=x))
        edges = real_array("pattern", pattern, like=x)
        edges = edges[:, :, 0, :] if edges.ndim == 4 else edges
        # Edges at a negative node belong to none.
        numbers = here.xp.arange(nodes, dtype=here.dtype, device=here.device)
        tails, heads = (here.xp.astype(edges[..., i, None] == numbers, here.dtype) for i in (0, 1))
        return here.xp.matrix_transpose(heads) @ tails


def network_of(function: Any) -> Network:
    """The network behind an apply_fn, also one that was wrapped, as by jax.jit."""
    while not isinstance(getattr(function, "network", None), Network):
        function = getattr(function, "__wrapped__", None)
        if function is None:
            raise NotImplementedError(
                "the function is no apply_fn of ntk_array.neural_tangents.stax: kernels here come from forward and "
                "backward passes written out by hand, not from automatic differentiation; write the network with stax "
                "or ntk_array.nn"
            )
    network: Network = function.network
    return network


def _aggregations(part: Part) -> Iterator[Aggregation]:
    if isinstance(part, Aggregation):
        yield part
    if isinstance(part, Several):
        for own in part.parts:
            yield from _aggregations(own)


def _of_graphs(layer: nn.Layer) -> nn.Layer:
    """The layer for nodes: pooling over all of them."""
    if isinstance(layer, Composite):
        return layer.with_layers([_of_graphs(part) for part in layer.layers])
    kind = next((word for pool, word in ON_GRAPHS.items() if isinstance(layer, pool)), None)
    return layer if kind is None else nn.GraphPool(kind)
