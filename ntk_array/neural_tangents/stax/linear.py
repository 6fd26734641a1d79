"""Layers with weights, and linear maps of values at positions."""

from __future__ import annotations

from typing import Any

from ... import nn
from ..functions import Layer, layer_of
from ..parts import Aggregation, One
from .words import AggregateImplementation, AttentionMechanism, PositionalEmbedding, plain_axes

__all__ = [
    "Aggregate",
    "Dense",
    "Dropout",
    "GlobalSelfAttention",
    "Identity",
    "ImageResize",
    "Index",
    "LayerNorm",
    "Slice",
    "weights",
]


def weights(W_std: float, b_std: float | None, parameterization: str, s: tuple[int, int]) -> dict[str, Any]:
    """The arguments of our layers with weights."""
    if tuple(s) != (1, 1):
        raise NotImplementedError(
            f"s must be (1, 1), got {s}: in the standard parameterization ntk_array takes the widths of the network"
        )
    own = parameterization.lower()
    if own == "standard" and b_std == 0:
        raise NotImplementedError(
            "b_std=0 with the standard parameterization is a bias that starts at 0 and is trained, which no layer of "
            "ntk_array has: give b_std=None for no bias"
        )
    return {"weight_std": W_std, "bias_std": 0.0 if b_std is None else b_std, "parameterization": own}


def Dense(
    out_dim: int,
    W_std: float = 1.0,
    b_std: float | None = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """``ntk_array.nn.Dense``. Parameters are (W (n, out_dim), b (1, out_dim) or None)."""
    plain_axes("Dense", batch_axis, channel_axis)
    return layer_of(One(nn.Dense(out_dim, **weights(W_std, b_std, parameterization, s))))


def Identity() -> Layer:
    """The values as they are."""
    return layer_of(One(nn.Identity()))


def Dropout(rate: float, mode: str = "train") -> Layer:
    """``ntk_array.nn.Dropout``; ``rate`` is the probability of KEEPING a value, where ours is that of dropping it.

    In the mode "test" it is the identity, and in "train" ``apply_fn(params, x, rng=key)`` needs a key.
    """
    if mode not in ("train", "test"):
        raise ValueError(f'mode must be "train" or "test", got {mode!r}')
    if not 0 < rate <= 1:
        raise ValueError(f"rate is the probability of keeping a value, above 0 and at most 1, got {rate}")
    return layer_of(One(nn.Dropout(1.0 - rate, "train") if mode == "train" else nn.Identity()))


def LayerNorm(axis: Any = -1, eps: float = 1e-12, batch_axis: int = 0, channel_axis: int = -1) -> Layer:
    """``ntk_array.nn.LayerNorm``, also behind activations and on the inputs."""
    plain_axes("LayerNorm", batch_axis, channel_axis)
    return layer_of(One(nn.LayerNorm(eps, (axis,) if isinstance(axis, int) else tuple(axis))))


def GlobalSelfAttention(
    n_chan_out: int,
    n_chan_key: int,
    n_chan_val: int,
    n_heads: int,
    linear_scaling: bool = True,
    W_key_std: float = 1.0,
    W_value_std: float = 1.0,
    W_query_std: float = 1.0,
    W_out_std: float = 1.0,
    b_std: float | None = None,
    attention_mechanism: str = AttentionMechanism.SOFTMAX.name,
    pos_emb_type: str = PositionalEmbedding.NONE.name,
    pos_emb_p_norm: float = 2,
    pos_emb_decay_fn: Any = None,
    n_chan_pos_emb: int | None = None,
    W_pos_emb_std: float = 1.0,
    val_pos_emb: bool = False,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """``ntk_array.nn.SelfAttention``. Parameters are (queries or None, keys, values, outputs, bias, positions).

    Embeddings at different positions are independent. ``SelfAttention(position_length=)`` has Gaussian decay.
    """
    del pos_emb_p_norm  # of a decay, which is refused
    plain_axes("GlobalSelfAttention", batch_axis, channel_axis)
    if pos_emb_decay_fn is not None:
        raise NotImplementedError(
            "pos_emb_decay_fn is a function of the user: ntk_array has exp(-|p - q|^2 / l^2), by "
            "ntk_array.nn.SelfAttention(position_length=l)"
        )
    kind = PositionalEmbedding(pos_emb_type).value.lower()
    positions: dict[str, Any] = {}
    if kind != "none":
        positions = {"position_embedding": kind, "position_std": W_pos_emb_std, "position_in_values": val_pos_emb}
        positions |= {"position_width": n_chan_pos_emb} if kind == "concat" else {}
    layer = nn.SelfAttention(
        n_chan_out,
        n_heads,
        n_chan_key,
        n_chan_val,
        AttentionMechanism(attention_mechanism).value.lower(),
        "linear" if linear_scaling else "sqrt",
        query_std=W_query_std,
        key_std=W_key_std,
        value_std=W_value_std,
        output_std=W_out_std,
        bias_std=0.0 if b_std is None else b_std,
        **positions,
    )
    return layer_of(One(layer))


def Aggregate(
    aggregate_axis: Any = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
    to_dense: Any = lambda p: p,
    implementation: str = AggregateImplementation.DENSE.value,
) -> Layer:
    """``ntk_array.nn.Aggregate`` on nodes along one axis, (N, nodes, channels).

    ``pattern`` of ``apply_fn`` is (N, nodes, nodes), of an edge from its row to its column, or (N, edges, 2) for
    ``implementation="SPARSE"``; of ``kernel_fn`` it is a tuple of two. Edges are kept as dense matrices.
    """
    plain_axes("Aggregate", batch_axis, channel_axis)
    axes = (1,) if aggregate_axis is None else (aggregate_axis,) if isinstance(aggregate_axis, int) else aggregate_axis
    if tuple(axes) not in ((1,), (-2,)):
        raise NotImplementedError(f"Aggregate takes nodes along one axis, aggregate_axis=1, got {aggregate_axis}")
    sparse = AggregateImplementation(implementation) is AggregateImplementation.SPARSE
    return layer_of(Aggregation(nn.Aggregate(), None if sparse else to_dense))


class _Slice:
    """``Slice[:, 2:5]`` is the index (slice(None), slice(2, 5))."""

    def __getitem__(self, idx: Any) -> Any:
        return idx


Slice = _Slice()


def Index(idx: Any, batch_axis: int = 0, channel_axis: int = -1) -> Layer:
    """``ntk_array.nn.Index``: ``idx`` is for (N, *positions, channels), and selects positions only."""
    plain_axes("Index", batch_axis, channel_axis)
    rows, *positions = idx if isinstance(idx, tuple) else (idx,)
    while positions and (positions[-1] is Ellipsis or positions[-1] == slice(None)):
        positions.pop()
    if rows != slice(None) or not positions or any(one is Ellipsis for one in positions):
        raise NotImplementedError(
            f"Index selects positions, stax.Slice[:, 2:5, 0] or the like, got {idx!r}: select inputs before the "
            "network, and write an ellipsis in the middle as slices"
        )
    return layer_of(One(nn.Index(tuple(positions))))


class _Enlarged(nn.Resize):
    """Linear interpolation to no fewer positions, where smoothing makes no difference."""

    def maps(self, positions: tuple[int, ...]) -> Any:
        if any(new < old for new, old in zip(self.shape, positions, strict=False)):
            raise NotImplementedError(
                f"ImageResize(method='linear', antialias=True) from {positions} to {self.shape} positions smoothes, "
                "which ntk_array does not: give antialias=False, or put AvgPool before it"
            )
        return super().maps(positions)


def ImageResize(
    shape: Any,
    method: Any,
    antialias: bool = True,
    precision: Any = None,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """``ntk_array.nn.Resize``: ``shape`` is (-1, *positions, -1), ``method`` "nearest" or "linear"."""
    del precision
    plain_axes("ImageResize", batch_axis, channel_axis)
    rows, *positions, channels = shape
    if rows != -1 or channels != -1 or -1 in positions:
        raise NotImplementedError(f"shape must be (-1, *positions, -1) with all numbers of positions, got {shape}")
    word = str(getattr(method, "name", method)).lower()
    if word not in ("nearest", "linear", "bilinear", "trilinear", "triangle"):
        raise NotImplementedError(f'ImageResize interpolates "nearest" or "linear", got {method!r}')
    if word == "nearest":
        return layer_of(One(nn.Resize(tuple(positions), "nearest")))
    return layer_of(One((_Enlarged if antialias else nn.Resize)(tuple(positions), "linear")))
