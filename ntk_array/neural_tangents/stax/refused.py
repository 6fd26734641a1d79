"""Names of neural_tangents.stax that have no counterpart; each says what there is instead."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Bool", "Diagonal", "DotGeneral", "MaskedArray", "layer", "requires", "supports_masking"]

_LAYERS = (
    "stax.{} is for layers of one's own, which ntk_array has as classes that derive from ntk_array.nn.Layer: see "
    '"How to add a layer" in CONTRIBUTING.md'
)
_MASKS = (
    "stax.{} has no counterpart: inputs of several lengths are arrays with a mask_constant, or ntk_array.nn.padded"
    "(inputs) with ntk_array.nn.PaddedNetwork; outputs are arrays"
)


def DotGeneral(**kwargs: Any) -> NoReturn:
    """Refused: ``ntk_array.nn.Aggregate``, ``Index`` and ``Resize`` are linear maps of positions."""
    raise NotImplementedError(
        "stax.DotGeneral has no counterpart: linear maps of positions are ntk_array.nn.Aggregate, Index, Resize and "
        "the pooling layers; a matrix on the inputs is applied before the network"
    )


def layer(layer_fn: Any) -> NoReturn:
    """Refused: layers of one's own derive from ``ntk_array.nn.Layer``."""
    raise NotImplementedError(_LAYERS.format("layer"))


def requires(**static_reqs: Any) -> NoReturn:
    """Refused: layers of one's own derive from ``ntk_array.nn.Layer``."""
    raise NotImplementedError(_LAYERS.format("requires"))


def supports_masking(remask_kernel: bool) -> NoReturn:
    """Refused: layers of one's own derive from ``ntk_array.nn.Layer``."""
    raise NotImplementedError(_LAYERS.format("supports_masking"))


def MaskedArray(masked_value: Any, mask: Any) -> NoReturn:
    """Refused: outputs for inputs with a ``mask_constant`` are arrays."""
    raise NotImplementedError(_MASKS.format("MaskedArray"))


def Diagonal(*args: Any, **kwargs: Any) -> NoReturn:
    """Refused: layers of one's own derive from ``ntk_array.nn.Layer``."""
    raise NotImplementedError(_LAYERS.format("Diagonal"))


def Bool(*args: Any, **kwargs: Any) -> NoReturn:
    """Refused: layers of one's own derive from ``ntk_array.nn.Layer``."""
    raise NotImplementedError(_LAYERS.format("Bool"))
