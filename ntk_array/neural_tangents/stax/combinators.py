"""Layers made of layers."""

from __future__ import annotations

from typing import Any

from ... import nn
from ..._array.validate import count
from ..functions import Layer, layer_of
from ..network import network_of
from ..parts import FanIn, Parallel, Part, Serial
from ..parts import FanOut as Copies

__all__ = ["FanInConcat", "FanInProd", "FanInSum", "FanOut", "parallel", "repeat", "serial", "unmask_fn"]


def serial(*layers: Any) -> Layer:
    """Layers one after another; branches between ``FanOut`` and ``FanInSum`` are ``ntk_array.nn.Sum``.

    Examples
    --------
    >>> import numpy as np
    >>> from ntk_array.neural_tangents import stax
    >>> init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(16), stax.Erf(), stax.Dense(1))
    >>> x = np.random.default_rng(0).normal(size=(3, 2))
    >>> _, params = init_fn(0, x.shape)
    >>> apply_fn(params, x).shape, kernel_fn(x, None, "ntk").shape
    ((3, 1), (3, 3))
    """
    return layer_of(Serial(_parts(layers)))


def parallel(*layers: Any) -> Layer:
    """Layers on branches, one for each that ``FanOut`` made."""
    return layer_of(Parallel(_parts(layers)))


def repeat(layer: Any, n: int) -> Layer:
    """A layer n times. Parameters are a list of n, and not stacked arrays."""
    return serial(*[layer] * count("n", n))


def FanOut(num: int) -> Layer:
    """Copies of the values, one for each branch of ``parallel``."""
    return layer_of(Copies(count("num", num)))


def FanInSum() -> Layer:
    """The sum of branches: ``ntk_array.nn.Sum``. They need not end in weights here."""
    return layer_of(FanIn(nn.Sum))


def FanInProd() -> Layer:
    """The product of branches: ``ntk_array.nn.Product``."""
    return layer_of(FanIn(nn.Product))


def FanInConcat(axis: int = -1) -> Layer:
    """The channels of branches side by side: ``ntk_array.nn.Concatenate``."""
    if axis != -1:
        raise NotImplementedError(f"FanInConcat joins channels, axis=-1, got axis={axis}")
    return layer_of(FanIn(nn.Concatenate))


def unmask_fn(fn: Any) -> Any:
    """The function itself: outputs for inputs with a ``mask_constant`` are arrays here, and no ``MaskedArray``."""
    network_of(fn)  # refuses other functions
    return fn


def _parts(layers: Any) -> tuple[Part, ...]:
    if not layers:
        raise ValueError("give at least one layer")
    for layer in layers:
        if not isinstance(layer, tuple) or len(layer) != 3:
            raise TypeError(
                f"{layer!r} is no layer of ntk_array.neural_tangents.stax, a triple (init_fn, apply_fn, kernel_fn); "
                "layers of other libraries cannot be mixed in"
            )
    return tuple(network_of(apply_fn).part for _, apply_fn, _ in layers)
