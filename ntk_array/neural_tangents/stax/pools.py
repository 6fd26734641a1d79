"""Pooling and flattening."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import nn
from ..functions import Layer, layer_of
from ..parts import One
from .words import Padding, plain_axes

__all__ = ["AvgPool", "Flatten", "GlobalAvgPool", "GlobalSumPool", "SumPool"]


def AvgPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = Padding.VALID.name,
    normalize_edges: bool = False,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """``ntk_array.nn.AvgPool``, whose stride is the window by default; here it is 1."""
    plain_axes("AvgPool", batch_axis, channel_axis)
    return layer_of(One(nn.AvgPool(*_windows(window_shape, strides, padding), normalize_edges)))


def SumPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = Padding.VALID.name,
    batch_axis: int = 0,
    channel_axis: int = -1,
) -> Layer:
    """``ntk_array.nn.SumPool``, whose stride is the window by default; here it is 1."""
    plain_axes("SumPool", batch_axis, channel_axis)
    return layer_of(One(nn.SumPool(*_windows(window_shape, strides, padding))))


def GlobalAvgPool(batch_axis: int = 0, channel_axis: int = -1) -> Layer:
    """``ntk_array.nn.GlobalAvgPool``; ``GraphPool("mean")`` in a network with Aggregate."""
    plain_axes("GlobalAvgPool", batch_axis, channel_axis)
    return layer_of(One(nn.GlobalAvgPool()))


def GlobalSumPool(batch_axis: int = 0, channel_axis: int = -1) -> Layer:
    """``ntk_array.nn.GlobalSumPool``; ``GraphPool("sum")`` in a network with Aggregate."""
    plain_axes("GlobalSumPool", batch_axis, channel_axis)
    return layer_of(One(nn.GlobalSumPool()))


def Flatten(batch_axis: int = 0, batch_axis_out: int = 0) -> Layer:
    """``ntk_array.nn.Flatten``."""
    plain_axes("Flatten", batch_axis)
    plain_axes("Flatten", batch_axis_out)
    return layer_of(One(nn.Flatten()))


def _windows(size: Sequence[int], strides: Sequence[int] | None, padding: str) -> tuple[Any, Any, str]:
    window = tuple(size)
    return window, (1,) * len(window) if strides is None else tuple(strides), Padding(padding).value.lower()
