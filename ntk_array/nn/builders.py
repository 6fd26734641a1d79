"""Networks by name."""

from collections.abc import Sequence

from .activations import Activation, activation_named
from .dense import Dense
from .layer import Layer
from .sequential import Sequential

__all__ = ["mlp"]


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
