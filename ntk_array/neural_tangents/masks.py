"""Inputs with a mask_constant: padded inputs of ours, and networks on them, where both treat them alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import nn
from .._array.namespace import Array, home, to_host
from .._array.validate import real_array
from ..nn.composite import Composite

__all__ = ["masked_inputs", "masked_network"]


def masked_inputs(x: Any, mask_constant: Any) -> Array:
    """Padded inputs, from an array whose positions are the ``mask_constant`` in all channels where none exists."""
    x = real_array("x", x)
    if x.ndim < 3:
        raise NotImplementedError(
            f"mask_constant marks positions, (N, *positions, channels), and the inputs are {tuple(x.shape)}: leave "
            "masked inputs out"
        )
    constant, xp = float(mask_constant), home(x).xp
    hit = xp.isnan(x) if math.isnan(constant) else x == constant
    gone = xp.all(hit, axis=-1)
    if to_host(xp.any(xp.any(hit, axis=-1) != gone)):
        raise NotImplementedError(
            "mask_constant is a value of some channels of a position and not of all: give a number that is no value"
        )
    try:
        return nn.padded(xp.where(hit, 0.0, x), mask=to_host(xp.astype(~gone, x.dtype)))
    except ValueError as error:
        raise NotImplementedError(f"mask_constant: {error}") from None


def masked_network(layers: Sequence[nn.Layer]) -> nn.Layer:
    """The layers on padded inputs."""
    for layer in layers:
        _refuse(layer)
    try:
        return nn.PaddedNetwork(*layers)
    except (TypeError, ValueError) as error:
        raise NotImplementedError(f"mask_constant: {error}") from None


def _refuse(layer: nn.Layer) -> None:
    """NotImplementedError for layers that neural-tangents lets depend on the padding."""
    if isinstance(layer, Composite):
        for part in layer.layers:
            _refuse(part)
    if isinstance(layer, nn.Flatten):
        raise NotImplementedError(
            "mask_constant: in neural-tangents the kernel behind Flatten is divided by all positions, those of padding "
            "too, and depends on their number; use GlobalAvgPool"
        )
    if not isinstance(layer, nn.Conv | nn.SumPool | nn.AvgPool) or layer.padding != "valid":
        return
    if set(layer.reach.size) != {1}:
        raise NotImplementedError(
            f"mask_constant: behind {layer!r} neural-tangents has the windows whose middle exists, zeros in them, and "
            'ntk_array those that lie in an input, as it would have alone; use padding="SAME"'
        )
