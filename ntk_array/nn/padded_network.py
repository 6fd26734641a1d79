"""Networks on inputs of several lengths."""

from __future__ import annotations

from collections.abc import Sequence

from .affine import Affine
from .attention import SelfAttention
from .branches import Branches
from .composite import Composite
from .convolution import Conv
from .index import Index
from .layer import Layer
from .max_pool import MaxPool
from .packed import PackedNetwork, refuse_nested
from .padded_batch import Extent
from .padded_layers import First, PaddedAttention, PaddedPool, PaddedValues, Windowed
from .pooling import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from .sequential import Sequential

__all__ = ["PaddedNetwork"]


class PaddedNetwork(PackedNetwork):
    """Layers on inputs of several lengths, first to last. Its parameters are the tuple of theirs.

    Inputs are sequences or images that :func:`padded` packed, (N, *positions, channels + 1). The first layer acts on
    values, (N, *positions, channels). Each input is treated as it would be alone, without padding: positions that do
    not exist are zeros to :class:`Conv`, :class:`SumPool` and :class:`AvgPool` at every layer, :class:`SelfAttention`
    gives them no weight, and :class:`GlobalAvgPool` and :class:`GlobalSumPool` do not count them. ``Index(0)`` reads
    the first position, and :class:`MaxPool` without padding has the windows that lie in an input. Dense layers,
    activations and branches act on each position by itself. Behind a stride or a window without padding each input has
    as many positions as it would have alone. Embeddings of positions are those of the longest input.

    Raises
    ------
    TypeError
        For layers that mix positions in other ways, such as :class:`Flatten`, :class:`Resize` or
        :class:`ConvTranspose`.
    ValueError
        For windows that an input alone would see from another start, or over its other end (``padding="circular"``, and
        ``"same"`` with a stride), branches that leave different positions, inputs that are not padded or shorter than
        windows need, and where it is not the first layer of a network or leaves positions.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = ntk.nn.padded([np.ones((5, 2)), np.ones((3, 2))])
    >>> layers = (ntk.nn.Conv(16, (3,)), ntk.nn.ReLU(), ntk.nn.GlobalAvgPool(), ntk.nn.Dense(2))
    >>> net = ntk.nn.PaddedNetwork(*layers)
    >>> net(net.init(seed=0, like=x), x).shape, ntk.InfiniteNTK(net)(x).shape
    ((2, 2), (2, 2))
    >>> alone = ntk.InfiniteNTK(ntk.nn.Sequential(*layers))(np.ones((1, 3, 2)))
    >>> bool(np.allclose(ntk.InfiniteNTK(net)(x)[1, 1], alone))
    True
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__(*layers)
        if _in_order(self.layers, Extent(), [])[1] is not None:  # refuses layers, too
            raise ValueError(
                "PaddedNetwork leaves positions, and what reads them does not know which of them exist: end it with "
                "GlobalAvgPool, GlobalSumPool or Index(0), and put the layers behind it into it"
            )

    @property
    def run(self) -> tuple[Layer, ...]:
        return tuple(_in_order(self.layers, Extent(), [])[0])

    @property
    def values(self) -> PaddedValues:
        extents: list[Extent] = []
        _in_order(self.layers, Extent(), extents)
        return PaddedValues(tuple(map(max, zip(*(extent.least for extent in extents if extent.counted), strict=False))))


def _in_order(
    layers: Sequence[Layer], extent: Extent | None, extents: list[Extent]
) -> tuple[list[Layer], Extent | None]:
    """Layers one after the other as they act on padded inputs, and the extent behind them; None behind all positions.

    Extents behind windows are added to the list.
    """
    placed = []
    for layer in layers:
        own, extent = _placed(layer, extent, extents)
        placed.append(own)
    return placed, extent


def _placed(layer: Layer, extent: Extent | None, extents: list[Extent]) -> tuple[Layer, Extent | None]:
    """The same of one layer."""
    refuse_nested(layer, "PaddedNetwork")
    if extent is None:
        return layer, None
    if isinstance(layer, Sequential):
        parts, behind = _in_order(layer.layers, extent, extents)
        return layer.with_layers(parts), behind
    if isinstance(layer, Branches):
        return _branches(layer, extent, extents)
    if isinstance(layer, GlobalAvgPool | GlobalSumPool):
        return PaddedPool(layer, extent), None
    if isinstance(layer, Index) and set(layer.index) == {0}:
        return First(layer, extent), None
    if isinstance(layer, SelfAttention):
        return PaddedAttention(layer, extent), extent
    if isinstance(layer, Conv | SumPool | AvgPool | MaxPool) and type(layer) in (Conv, SumPool, AvgPool, MaxPool):
        _refuse_window(layer)
        extents.append(extent.behind(layer.reach))
        return Windowed(layer, extent), extents[-1]
    if isinstance(layer, Composite) or not (layer.entrywise or layer.noisy or isinstance(layer, Affine)):
        raise TypeError(
            f"{layer!r} mixes positions in a way that is not known for padded inputs; for these there are Conv, "
            "SumPool, AvgPool, SelfAttention, GlobalAvgPool, GlobalSumPool and Index(0)"
        )
    return layer, extent


def _branches(layer: Branches, extent: Extent, extents: list[Extent]) -> tuple[Layer, Extent | None]:
    """The same of branches, which leave the same positions."""
    placed, ends = zip(*(_placed(part, extent, extents) for part in layer.layers), strict=True)
    if len(set(ends)) > 1:
        raise ValueError(
            f"the branches of {type(layer).__name__} leave different positions of short inputs: give them the same "
            "strides and paddings"
        )
    return layer.with_layers(placed), ends[0]


def _refuse_window(layer: Conv | SumPool | AvgPool | MaxPool) -> None:
    """ValueError for windows of which an input alone sees others, or other zeros."""
    if layer.padding == "circular":
        raise ValueError(
            f'{layer!r} has padding="circular": the other end of an input is not at one place in padded inputs; use '
            '"same", "valid" or numbers'
        )
    if not layer.reach.aligned:
        raise ValueError(
            f'{layer!r} has padding="same" and a stride: how many zeros come before an input depends on its length; '
            'use "valid" or a padding in numbers'
        )
    if isinstance(layer, AvgPool) and layer.normalize_edges and layer.padding != "valid":
        raise ValueError(f"{layer!r} divides by numbers of positions, which depend on the length: use SumPool or Conv")
    if isinstance(layer, MaxPool) and layer.padding != "valid":
        raise ValueError(f'{layer!r} leaves out positions around the input: use padding="valid"')
