"""Networks by name."""

from collections.abc import Sequence
from typing import Any

from .._array.validate import count
from .activations import Activation, activation_named
from .attention import SelfAttention
from .branches import Residual
from .dense import Dense
from .layer import Layer
from .pooling import GlobalAvgPool
from .sequential import Sequential

__all__ = ["mlp", "transformer"]


def mlp(
    hidden: Sequence[int],
    outputs: int,
    *,
    activation: str | Activation = "relu",
    weight_std: float = 2**0.5,
    bias_std: float = 0.0,
    readout_weight_std: float | None = None,
    parameterization: str = "ntk",
) -> Sequential:
    """A multi-layer perceptron: Dense and activation for each hidden width, then a Dense readout.

    Parameters
    ----------
    hidden : sequence of int
        Hidden widths; their number is the depth.
    outputs : int
        C, the width of the readout.
    activation : str or Activation
        A name such as "relu", "gelu", "tanh", "erf", or a layer such as ``LeakyReLU(0.1)``.
    weight_std, bias_std : float
        For every layer; 2**0.5 and 0.0 keep the variance of a ReLU network constant with depth.
    readout_weight_std : float, optional
        Another weight_std for the readout.
    parameterization : "ntk" or "standard"

    Examples
    --------
    >>> import ntk_array as ntk
    >>> ntk.nn.mlp((64,), 1, activation="erf", weight_std=1.5, bias_std=0.1)  # doctest: +ELLIPSIS
    Sequential(Dense(width=64, weight_std=1.5, bias_std=0.1, parameterization='ntk'), Erf(...), Dense(width=1, ...))
    """
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        raise TypeError(f"hidden must be a sequence of widths such as (64, 64), got {hidden!r}")
    phi = activation_named(activation)
    layers: list[Layer] = []
    for width in hidden:
        layers += [Dense(width, weight_std, bias_std, parameterization), phi]
    readout_std = weight_std if readout_weight_std is None else readout_weight_std
    return Sequential(*layers, Dense(outputs, readout_std, bias_std, parameterization))


def transformer(
    depth: int,
    width: int,
    outputs: int,
    *,
    heads: int = 1,
    key_width: int | None = None,
    value_width: int | None = None,
    mlp_width: int | None = None,
    mechanism: str = "softmax",
    scaling: str = "linear",
    position_embedding: str | None = None,
    position_length: float | None = None,
    activation: str | Activation = "gelu",
    weight_std: float = 1.0,
    bias_std: float = 0.0,
    parameterization: str = "ntk",
) -> Sequential:
    """A transformer encoder without normalization, for inputs (N, *positions, channels).

    A Dense layer to ``width``, then ``depth`` blocks, the mean over all positions and a Dense readout. A block is a
    residual :class:`SelfAttention` and a residual perceptron of one hidden layer, which acts at each position.

    Parameters
    ----------
    depth, width, outputs : int
        The number of blocks, the channels between them and C, the width of the readout.
    heads, key_width, value_width, mechanism, scaling
        As for :class:`SelfAttention`.
    mlp_width : int, optional
        The hidden width of the perceptrons; by default 4 width.
    position_embedding, position_length : optional
        As for :class:`SelfAttention`, in the first block, where values see the embeddings too. Without embeddings the
        output does not depend on the order of positions.
    activation : str or Activation
        Of the perceptrons.
    weight_std, bias_std : float
        For every layer: all four maps of attention have this weight_std.
    parameterization : "ntk" or "standard"

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.transformer(2, 16, 3, heads=4, position_embedding="sum", bias_std=0.1)
    >>> words = np.random.default_rng(0).normal(size=(5, 6, 8))
    >>> net(net.init(0, like=words), words).shape
    (5, 3)
    >>> ntk.InfiniteNTK(net)(words).shape
    (5, 5)
    """
    how = (weight_std, bias_std, parameterization)
    hidden = 4 * count("width", width) if mlp_width is None else mlp_width
    options: dict[str, Any] = dict.fromkeys(("query_std", "key_std", "value_std", "output_std"), weight_std)
    options |= {"bias_std": bias_std, "parameterization": parameterization}
    positions: dict[str, Any] = {"position_embedding": position_embedding, "position_length": position_length}
    positions["position_in_values"] = position_embedding is not None
    layers: list[Layer] = [Dense(width, *how)]
    for _ in range(count("depth", depth)):
        attention = SelfAttention(width, heads, key_width, value_width, mechanism, scaling, **options, **positions)
        positions = {}
        perceptron = Sequential(Dense(hidden, *how), activation_named(activation), Dense(width, *how))
        layers += [Residual(attention), Residual(perceptron)]
    return Sequential(*layers, GlobalAvgPool(), Dense(outputs, *how))
