"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import nn
from ..functions import Layer, layer_of
from ..parts import One
from .linear import weights
from .words import Padding

__all__ = ["Conv", "ConvLocal", "ConvTranspose"]


def Conv(
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = Padding.VALID.name,
    W_std: float = 1.0,
    b_std: float | None = None,
    dimension_numbers: Any = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """``ntk_array.nn.Conv``, whose default padding is "same"; here it is "VALID". W is (*size, channels, out_chan)."""
    scales = weights(W_std, b_std, parameterization, s)
    return _made(nn.Conv, out_chan, filter_shape, strides, padding, dimension_numbers, scales)


def ConvTranspose(
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = Padding.VALID.name,
    W_std: float = 1.0,
    b_std: float | None = None,
    dimension_numbers: Any = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """``ntk_array.nn.ConvTranspose``, with the elements of the window in the reverse order."""
    scales = weights(W_std, b_std, parameterization, s)
    return _made(nn.ConvTranspose, out_chan, filter_shape, strides, padding, dimension_numbers, scales)


def ConvLocal(
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = Padding.VALID.name,
    W_std: float = 1.0,
    b_std: float | None = None,
    dimension_numbers: Any = None,
    parameterization: str = "ntk",
    s: tuple[int, int] = (1, 1),
) -> Layer:
    """``ntk_array.nn.ConvLocal``. W is (*positions, channels * size, out_chan)."""
    scales = weights(W_std, b_std, parameterization, s)
    return _made(nn.ConvLocal, out_chan, filter_shape, strides, padding, dimension_numbers, scales)


def _made(
    kind: Any, width: int, size: Any, strides: Any, padding: str, dimension_numbers: Any, scales: dict[str, Any]
) -> Layer:
    if dimension_numbers is not None:
        values, window, outputs = dimension_numbers
        named = values[1:-1]
        if (values, window, outputs) != (f"N{named}C", f"{named}IO", f"N{named}C"):
            raise NotImplementedError(
                f"dimension_numbers must have batches first and channels last, as ('NHWC', 'HWIO', 'NHWC') has, got "
                f"{dimension_numbers}: move the axes of the inputs"
            )
    stride = (1,) * len(tuple(size)) if strides is None else tuple(strides)
    return layer_of(One(kind(width, tuple(size), stride, Padding(padding).value.lower(), **scales)))
