"""Parameters of a layer in the layout of neural-tangents, (W, b) with the outputs on the last axis, and in ours."""

from __future__ import annotations

import math
from typing import Any

from .. import nn
from .._array.namespace import Array, home

__all__ = ["from_ours", "to_ours"]

_LAYOUTS = "Dense and Conv have (W, b), with b None where there is no bias, and layers without parameters have ()"


def to_ours(layer: nn.Layer, params: Any) -> Any:
    """Parameters of ours, from those of neural-tangents."""
    if not isinstance(params, list | tuple):
        raise ValueError(f"{layer!r} got a {type(params).__name__} for its parameters: {_LAYOUTS}")
    if isinstance(layer, nn.SelfAttention):
        return _attention_to_ours(layer, *_entries(layer, params, 6))
    if not layer.factor_count:
        if len(params):
            raise ValueError(f"{layer!r} has no parameters, and {len(params)} were given: {_LAYOUTS}")
        return {}
    weight, bias = _entries(layer, params, 2)
    return {"weight": _weight_to_ours(layer, weight)} | _bias_to_ours(layer, bias)


def from_ours(layer: nn.Layer, params: Any, axes: int) -> Any:
    """Parameters of neural-tangents, from ours; biases have as many axes as the outputs."""
    if isinstance(layer, nn.SelfAttention):
        return _attention_from_ours(layer, params, axes)
    if not layer.factor_count:
        return ()
    weight, bias = params["weight"], params.get("bias")
    xp, last = home(weight).xp, weight.ndim - 1
    if isinstance(layer, nn.ConvLocal):
        # (*positions, width, *size, channels) as (*positions, channels * size, width).
        size = len(layer.kernel_size)
        order = (*range(size), last, *range(size + 1, last), size)
        moved = xp.permute_dims(weight, order)
        weight = xp.reshape(moved, (*moved.shape[:size], -1, moved.shape[-1]))
    else:
        weight = xp.permute_dims(_turned(layer, weight), (*range(1, last + 1), 0))
    return weight, None if bias is None else xp.reshape(bias, (*[1] * (axes - bias.ndim), *bias.shape))


def _entries(layer: nn.Layer, params: Any, number: int) -> Any:
    if len(params) != number:
        raise ValueError(f"{layer!r} needs {number} entries for its parameters, got {len(params)}: {_LAYOUTS}")
    return params


def _weight_to_ours(layer: nn.Layer, weight: Array) -> Array:
    xp, last = home(weight).xp, weight.ndim - 1
    if isinstance(layer, nn.ConvLocal):
        # neural-tangents has the channels before the elements of the window.
        size = len(layer.kernel_size)
        channels = weight.shape[-2] // math.prod(layer.kernel_size)
        split = xp.reshape(weight, (*weight.shape[:size], channels, *layer.kernel_size, weight.shape[-1]))
        last = split.ndim - 1
        return xp.permute_dims(split, (*range(size), last, *range(size + 1, last), size))
    return _turned(layer, xp.permute_dims(weight, (last, *range(last))))


def _turned(layer: nn.Layer, weight: Array) -> Array:
    """A transposed convolution of neural-tangents has its window turned around; (width, *size, channels)."""
    if not isinstance(layer, nn.ConvTranspose):
        return weight
    return home(weight).xp.flip(weight, axis=tuple(range(1, weight.ndim - 1)))


def _bias_to_ours(layer: Any, bias: Array | None) -> dict[str, Array]:
    # A bias of b_std = 0 is multiplied by 0 there, and is no parameter of ours.
    if not layer.bias_std:
        return {}
    if bias is None:
        raise ValueError(f"{layer!r} has a bias, and None was given for it")
    xp = home(bias).xp
    local = isinstance(layer, nn.ConvLocal)
    return {"bias": xp.reshape(bias, bias.shape[1:] if local else (-1,))}


def _attention_to_ours(layer: nn.SelfAttention, *given: Array) -> dict[str, Any]:
    query, key, value, out, bias, position = given
    xp, width = home(key).xp, layer.value_width
    assert width is not None
    # Their outputs of heads have the head as the last axis, ours as the first.
    mixed = xp.reshape(out, (width, layer.heads, layer.width))
    output = xp.reshape(xp.permute_dims(mixed, (2, 1, 0)), (layer.width, -1))
    ours: dict[str, Any] = {} if position is None else {"position": position[0, ...]}
    if not layer.tied:
        ours["query"] = {"weight": _stacked(query)}
    ours |= {"key": {"weight": _stacked(key)}, "value": {"weight": _stacked(value)}}
    return ours | {"output": {"weight": output} | _bias_to_ours(layer, bias)}


def _stacked(weight: Array) -> Array:
    """(heads, channels, size) as (heads * size, channels)."""
    xp = home(weight).xp
    return xp.reshape(xp.matrix_transpose(weight), (-1, weight.shape[1]))


def _attention_from_ours(layer: nn.SelfAttention, params: Any, axes: int) -> Any:
    output, bias, position = params["output"]["weight"], params["output"].get("bias"), params.get("position")
    xp = home(output).xp
    mixed = xp.reshape(output, (layer.width, layer.heads, -1))

    def heads(name: str) -> Array:
        weight = params[name]["weight"]
        return xp.matrix_transpose(xp.reshape(weight, (layer.heads, -1, weight.shape[1])))

    return (
        None if layer.tied else heads("query"),
        heads("key"),
        heads("value"),
        xp.reshape(xp.permute_dims(mixed, (2, 1, 0)), (-1, layer.width)),
        None if bias is None else xp.reshape(bias, (*[1] * (axes - 1), -1)),
        None if position is None else position[None, ...],
    )
