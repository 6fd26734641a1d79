"""Networks by name."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from .._array.validate import count, one_of
from .activations import Activation, activation_named
from .aggregate import Aggregate, GraphPool
from .attention import SelfAttention
from .branches import Residual, Sum
from .convolution import Conv
from .dense import Dense
from .graph_network import GraphNetwork
from .layer import Layer
from .layer_norm import LayerNorm
from .pooling import AvgPool, Flatten, GlobalAvgPool
from .sequential import Sequential

__all__ = ["cnn", "gnn", "mlp", "myrtle", "resnet", "transformer"]

POOLINGS = {"global": GlobalAvgPool(), "flatten": Flatten()}
MYRTLE = {5: (2, 1, 1), 7: (2, 2, 2), 10: (3, 3, 3)}
"""Convolutions before the first pooling, between the two, and behind the second."""


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
    _check_widths("hidden", hidden)
    phi = activation_named(activation)
    layers: list[Layer] = []
    for width in hidden:
        layers += [Dense(width, weight_std, bias_std, parameterization), phi]
    return Sequential(*layers, _readout(outputs, weight_std, bias_std, readout_weight_std, parameterization))


def cnn(
    hidden: Sequence[int],
    outputs: int,
    *,
    kernel_size: tuple[int, ...] = (3, 3),
    activation: str | Activation = "relu",
    pooling: str = "global",
    padding: str = "same",
    weight_std: float = 2**0.5,
    bias_std: float = 0.0,
    readout_weight_std: float | None = None,
    parameterization: str = "ntk",
) -> Sequential:
    """A convolutional network: Conv and activation for each hidden width, then pooling and a Dense readout.

    Inputs are images (N, H, W, channels), or (N, length, channels) with ``kernel_size=(3,)``. At infinite width this is
    the convolutional NTK of Arora et al. 2019, section 4: with ``pooling="global"`` the CNTK with global average
    pooling, the mean over all pairs of positions, which costs (H W)^2 numbers for each pair of images; with
    ``pooling="flatten"`` the CNTK without it, the mean over positions p of K(p, p), which costs H W.

    Parameters
    ----------
    hidden : sequence of int
        The number of channels behind each convolution; their number is the depth. ``(64,) * 3`` are three of 64.
    outputs : int
        C, the width of the readout.
    kernel_size : tuple of int
        Of every convolution, a number for each axis of positions.
    activation : str or Activation
        As for :func:`mlp`.
    pooling : "global" or "flatten"
        The mean over all positions, or every position with readout weights of its own.
    padding : "same", "valid" or "circular"
        As for :class:`Conv`. With "circular" and global pooling a shifted image is the same image to the network.
    weight_std, bias_std, readout_weight_std, parameterization
        As for :func:`mlp`.

    Raises
    ------
    TypeError, ValueError
        For a ``hidden`` that is not a sequence of whole numbers, or words that are not in the lists above.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.cnn((16, 16), 10)
    >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    >>> net(net.init(seed=0, like=images), images).shape, ntk.InfiniteNTK(net)(images).shape
    ((4, 10), (4, 4))
    """
    _check_widths("hidden", hidden)
    phi = activation_named(activation)
    conv = _convolution(kernel_size, padding, weight_std, bias_std, parameterization)
    layers: list[Layer] = []
    for width in hidden:
        layers += [conv(width), phi]
    readout = _readout(outputs, weight_std, bias_std, readout_weight_std, parameterization)
    return Sequential(*layers, _pooling(pooling), readout)


def resnet(
    stages: Sequence[int],
    outputs: int,
    *,
    blocks: int = 1,
    stride: int = 2,
    kernel_size: tuple[int, ...] = (3, 3),
    activation: str | Activation = "relu",
    pooling: str = "global",
    padding: str = "same",
    weight_std: float = 2**0.5,
    bias_std: float = 0.0,
    readout_weight_std: float | None = None,
    parameterization: str = "ntk",
) -> Sequential:
    """A residual network of the layout of wide ResNets, without batch normalization (Zagoruyko, Komodakis 2016).

    A convolution, then stages of residual blocks, the activation, pooling and a Dense readout. A block is

        h + conv(phi(conv(phi(h)))).

    The first block of every stage but the first has ``stride``. Where the shape changes, by a stride or by another
    number of channels, the way around the block is a 1 x 1 convolution of the same stride. It has weight_std 1 and no
    bias: no activation is before it, so that it keeps the variance.

    The wide ResNet "WRN-d-k" is ``resnet((16 * k, 32 * k, 64 * k), outputs, blocks=(d - 4) // 6)``.

    Parameters
    ----------
    stages : sequence of int
        The number of channels of each stage.
    outputs : int
        C, the width of the readout.
    blocks : int
        How many blocks each stage has.
    stride : int
        With which every stage but the first begins; 1 keeps all positions.
    kernel_size, activation, pooling, padding
        As for :func:`cnn`; the padding is "same" or "circular".
    weight_std, bias_std, readout_weight_std, parameterization
        As for :func:`mlp`. Every block about doubles the variance of a ReLU network with ``weight_std=2**0.5``.

    Raises
    ------
    TypeError, ValueError
        As for :func:`cnn`.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.resnet((8, 16), 10, blocks=2)
    >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    >>> net(net.init(seed=0, like=images), images).shape, ntk.InfiniteNTK(net)(images).shape
    ((4, 10), (4, 4))
    """
    _check_widths("stages", stages)
    if not stages:
        raise ValueError("stages is empty; give the number of channels of each stage, such as (16, 32)")
    blocks, stride, phi = count("blocks", blocks), count("stride", stride), activation_named(activation)
    # A block without padding would have fewer positions than the way around it.
    padding = one_of("padding", padding, ("same", "circular"))
    conv = _convolution(kernel_size, padding, weight_std, bias_std, parameterization)
    before, layers = stages[0], [conv(stages[0])]
    around = _convolution((1,) * len(kernel_size), padding, 1.0, 0.0, parameterization)
    for i, width in enumerate(stages):
        for j in range(blocks):
            step = stride if i and not j else 1
            branch = Sequential(phi, conv(width, stride=step), phi, conv(width))
            changes = step > 1 or width != before
            layers.append(Residual(branch, around(width, stride=step) if changes else None))
            before = width
    readout = _readout(outputs, weight_std, bias_std, readout_weight_std, parameterization)
    return Sequential(*layers, phi, _pooling(pooling), readout)


def myrtle(
    depth: int,
    outputs: int,
    *,
    width: int = 64,
    activation: str | Activation = "relu",
    weight_std: float = 2**0.5,
    bias_std: float = 0.0,
    readout_weight_std: float | None = None,
    parameterization: str = "ntk",
) -> Sequential:
    """The Myrtle networks, whose infinite-width kernels are the Myrtle kernels (Shankar et al. 2020, Figure 1).

    3 x 3 convolutions, each with an activation, with means over 2 x 2 windows in between, then the mean over all
    positions and a Dense readout. The depth counts the convolutions and the readout:

    =====  ============================================
    depth  convolutions before, between and behind the
           two pooling layers
    =====  ============================================
    5      2, 1, 1
    7      2, 2, 2
    10     3, 3, 3
    =====  ============================================

    The paper has three more 2 x 2 pooling layers at the end. On its images of 32 x 32 these are the mean over all
    positions, which is what stands here for images of every size. Images have 4 x 4 positions or more; where a side is
    no multiple of 4, pooling leaves the last rows or columns out.

    Parameters
    ----------
    depth : 5, 7 or 10
    outputs : int
        C, the width of the readout.
    width : int
        The number of channels behind every convolution; the infinite-width kernels do not depend on it in the NTK
        parameterization.
    activation, weight_std, bias_std, readout_weight_std, parameterization
        As for :func:`mlp`.

    Raises
    ------
    ValueError
        For another depth.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    >>> ntk.InfiniteNTK(ntk.nn.myrtle(5, 10))(images).shape
    (4, 4)
    """
    if isinstance(depth, bool) or depth not in MYRTLE:
        raise ValueError(f"depth must be one of {', '.join(map(str, MYRTLE))} for a Myrtle network, got {depth!r}")
    phi = activation_named(activation)
    block: list[Layer] = [_convolution((3, 3), "same", weight_std, bias_std, parameterization)(width), phi]
    first, second, third = MYRTLE[depth]
    pool = AvgPool((2, 2))
    readout = _readout(outputs, weight_std, bias_std, readout_weight_std, parameterization)
    return Sequential(*block * first, pool, *block * second, pool, *block * third, GlobalAvgPool(), readout)


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
    normalization: str | None = None,
    weight_std: float = 1.0,
    bias_std: float = 0.0,
    parameterization: str = "ntk",
) -> Sequential:
    """A transformer encoder, for inputs (N, *positions, channels).

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
    normalization : "pre" or "post", optional
        Where each position is normalized over its channels, by :class:`LayerNorm`: "pre" at the start of each residual
        branch and behind the last block (Xiong et al. 2020), "post" behind each sum (Vaswani et al. 2017). By default
        nowhere. Both have an infinite-width limit.
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
    if normalization is not None:
        one_of("normalization", normalization, ("pre", "post"))
    before, after = ([LayerNorm()] if normalization == where else [] for where in ("pre", "post"))
    layers: list[Layer] = [Dense(width, *how)]
    for _ in range(count("depth", depth)):
        attention = SelfAttention(width, heads, key_width, value_width, mechanism, scaling, **options, **positions)
        positions = {}
        perceptron = (Dense(hidden, *how), activation_named(activation), Dense(width, *how))
        branch = Sequential(*before, attention) if before else attention
        layers += [Residual(branch), *after, Residual(Sequential(*before, *perceptron)), *after]
    return Sequential(*layers, *before, GlobalAvgPool(), Dense(outputs, *how))


def gnn(
    hidden: Sequence[int],
    outputs: int,
    *,
    layers: int = 1,
    pooling: str = "sum",
    jumping_knowledge: bool = False,
    activation: str | Activation = "relu",
    weight_std: float = 2**0.5,
    bias_std: float = 0.0,
    readout_weight_std: float | None = None,
    parameterization: str = "ntk",
) -> GraphNetwork:
    """A network on graphs: for each hidden width a block, which is Aggregate and a perceptron, then pooling and Dense.

    Inputs are graphs that :func:`graphs` packed. At infinite width this is the graph NTK of Du et al. 2019, section 3:
    their kernel times weight_std^2 / channels, for ReLU without biases and sqrt(2) throughout. Their factors c_u are in
    the adjacency: ``self_loops=True`` for c_u = 1, and ``normalize="mean"`` with it for c_u = 1 / (neighbours + 1).

    Parameters
    ----------
    hidden : sequence of int
        The width of each block; their number is that of the aggregations.
    outputs : int
        C, the width of the readout.
    layers : int
        How many Dense layers, each with an activation, a block has.
    pooling : "sum", "mean" or "root"
        As the kind of :class:`GraphPool`.
    jumping_knowledge : bool
        Whether the readout sees the pooled values behind every block and the pooled features, side by side, and not
        those behind the last block only. It is a sum of one readout for each, with weights of its own.
    activation, weight_std, bias_std, readout_weight_std, parameterization
        As for :func:`mlp`.

    Raises
    ------
    TypeError, ValueError
        For a ``hidden`` that is not a sequence of whole numbers, or words that are not in the lists above.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> path = np.eye(4, k=1) + np.eye(4, k=-1)
    >>> x = ntk.nn.graphs([np.ones((4, 2)), np.ones((3, 2))], [path, path[:3, :3]], self_loops=True)
    >>> net = ntk.nn.gnn((16, 16), 3, layers=2)
    >>> net(net.init(seed=0, like=x), x).shape, ntk.InfiniteNTK(net)(x).shape
    ((2, 3), (2, 2))

    References
    ----------
    Du et al. 2019, "Graph neural tangent kernel: fusing graph neural networks with graph kernels".
    """
    _check_widths("hidden", hidden)
    layers, phi = count("layers", layers), activation_named(activation)
    pool, readout = GraphPool(pooling), _readout(outputs, weight_std, bias_std, readout_weight_std, parameterization)
    blocks: list[list[Layer]] = [
        [Aggregate(), *[Dense(width, weight_std, bias_std, parameterization), phi] * layers] for width in hidden
    ]
    if not jumping_knowledge:
        return GraphNetwork(*(layer for block in blocks for layer in block), pool, readout)
    # From the last block to the first: a readout here, beside all that comes further on.
    end: Layer = Sequential(pool, readout)
    for block in reversed(blocks):
        end = Sum(Sequential(pool, readout), Sequential(*block, end))
    return GraphNetwork(end)


def _check_widths(name: str, widths: Any) -> None:
    if not isinstance(widths, Sequence) or isinstance(widths, str):
        hint = f"; ({widths},) is one layer" if isinstance(widths, int) else ""
        raise TypeError(f"{name} must be a sequence of widths such as (64, 64), got {widths!r}{hint}")


def _convolution(
    kernel_size: tuple[int, ...], padding: str, weight_std: float, bias_std: float, parameterization: str
) -> Any:
    """A function from a width, and a stride where it is not 1, to a convolution."""
    return partial(
        Conv,
        kernel_size=kernel_size,
        padding=padding,
        weight_std=weight_std,
        bias_std=bias_std,
        parameterization=parameterization,
    )


def _pooling(pooling: str) -> Layer:
    return POOLINGS[one_of("pooling", pooling, tuple(POOLINGS))]


def _readout(
    outputs: int, weight_std: float, bias_std: float, readout_weight_std: float | None, parameterization: str
) -> Dense:
    std = weight_std if readout_weight_std is None else readout_weight_std
    return Dense(outputs, std, bias_std, parameterization)
