"""Modules of torch.nn as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from ..nn.activations import Activation
from .place import Fact, Made, Piece, Place

__all__ = ["ACTIVATIONS", "CHANNELS_FIRST", "CHANNELS_LAST", "MODULES", "attention", "chain", "dense", "reshaped"]

Module = Any

# The variances of PyTorch's default initialization, so that net.init draws networks like an untrained model.
UNIFORM_STD = 3.0**-0.5
XAVIER_STD = 2.0**-0.5


def _softplus(m: Module) -> Activation | None:
    return nn.Softplus() if m.beta == 1 and m.threshold >= 20 else None


ACTIVATIONS: dict[str, Callable[[Module], Activation | None]] = {
    "ReLU": lambda m: nn.ReLU(),
    "LeakyReLU": lambda m: nn.LeakyReLU(m.negative_slope),
    "ELU": lambda m: nn.ELU(m.alpha),
    "CELU": lambda m: nn.CELU(m.alpha),
    "SELU": lambda m: nn.SELU(),
    "GELU": lambda m: nn.GELU() if m.approximate == "none" else None,
    "SiLU": lambda m: nn.SiLU(),
    "Mish": lambda m: nn.Mish(),
    "Softplus": _softplus,
    "Tanh": lambda m: nn.Tanh(),
    "Sigmoid": lambda m: nn.Sigmoid(),
    "LogSigmoid": lambda m: nn.LogSigmoid(),
    "Softsign": lambda m: nn.Softsign(),
    "Hardtanh": lambda m: nn.HardTanh(m.min_val, m.max_val),
    "ReLU6": lambda m: nn.ReLU6(),
    "Hardsigmoid": lambda m: nn.Hardsigmoid(),
    "Hardswish": lambda m: nn.Hardswish(),
    "Softshrink": lambda m: nn.Softshrink(m.lambd),
}
"""By the name of the class; None for options that no layer has."""


def _activation(m: Module, p: Place) -> Made:
    layer = ACTIVATIONS[type(m).__name__](m)
    p.insist(layer is not None, f"{m} has options that no activation of ntk_array.nn has")
    assert layer is not None
    return [(layer, {})], p.onward()


def _nothing(m: Module, p: Place) -> Made:
    return [], p.onward()


def dense(weight: Any, bias: Any, p: Place, view: Callable[[Any], Any] = lambda w: w) -> Made:
    """A Linear layer of these parameters, whose weight is (outputs, inputs) in this view."""
    p.insist_last()
    (width, fan_in), params = view(weight).shape, {"weight": p.claim(weight, view)[0]}
    if bias is not None:
        params["bias"] = p.claim(bias)[0]
    bias_std = 0.0 if bias is None else (3.0 * fan_in) ** -0.5
    return [(nn.Dense(width, UNIFORM_STD, bias_std, "standard"), params)], p.onward()


def _linear(m: Module, p: Place) -> Made:
    return dense(m.weight, m.bias, p)


def _each(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _conv_padding(m: Module, p: Place) -> Any:
    """The padding of a convolution here."""
    p.insist(m.padding_mode in ("zeros", "circular"), f"padding_mode={m.padding_mode!r} is known for no layer here")
    around = "same" if m.padding_mode == "zeros" else "circular"
    if isinstance(m.padding, str):
        return around if m.padding == "same" else "valid"
    sides = zip(m.padding, m.dilation, m.kernel_size, strict=True)
    if not any(m.padding):
        return "valid"
    if set(m.stride) == {1} and all(2 * n == dilation * (size - 1) for n, dilation, size in sides):
        return around
    p.insist(around == "same", "circular padding is known where as many positions come out as go in")
    return tuple((n, n) for n in m.padding)


def _conv(m: Module, p: Place) -> Made:
    p.insist(
        not p.fact.bare,
        "a convolution of features without positions: behind a pooling to one position use a Linear layer, and give "
        "inputs with their axis of channels, (N, 1, length)",
    )
    fan_in = m.weight[0].numel()
    layer = nn.Conv(
        m.out_channels,
        tuple(m.kernel_size),
        stride=tuple(m.stride),
        padding=_conv_padding(m, p),
        dilation=tuple(m.dilation),
        groups=m.groups,
        weight_std=UNIFORM_STD,
        bias_std=0.0 if m.bias is None else (3.0 * fan_in) ** -0.5,
        parameterization="standard",
    )
    params = {"weight": p.claim(m.weight, lambda w: w.movedim(1, -1))[0]}
    if m.bias is not None:
        params["bias"] = p.claim(m.bias)[0]
    return [*p.moved(), (layer, params)], p.onward(moved=True)


def _pool(m: Module, p: Place) -> Made:
    """MaxPool and AvgPool along one, two or three axes."""
    name = type(m).__name__
    axes, largest = int(name[-2]), name.startswith("Max")
    p.insist(not p.fact.bare, "pooling behind a pooling to one position")
    p.insist(not m.ceil_mode, "ceil_mode=True: windows that reach over the end are known for no layer here")
    p.insist(not largest or set(_each(m.dilation, axes)) == {1}, "the dilation of a pooling layer is 1 here")
    p.insist(not getattr(m, "return_indices", False), "return_indices=True")
    p.insist(getattr(m, "divisor_override", None) is None, "divisor_override is known for no layer here")
    pairs = tuple((n, n) for n in _each(m.padding, axes))
    padding = pairs if any(n for n, _ in pairs) else "valid"
    window, stride = _each(m.kernel_size, axes), _each(m.stride, axes)
    layer = (
        nn.MaxPool(window, stride, padding)
        if largest
        else nn.AvgPool(window, stride, padding, normalize_edges=not m.count_include_pad)
    )
    return [*p.moved(), (layer, {})], p.onward(moved=True)


def _adaptive(m: Module, p: Place) -> Made:
    """To one position, or to means over windows of one size side by side."""
    before, after = p.fact.shape[2:], p.after[2:]
    if set(after) != {1}:
        average, even = "Avg" in type(m).__name__, not any(old % new for old, new in zip(before, after, strict=True))
        p.insist(
            average and even and not p.fact.bare,
            f"{m} from {before} to {after} positions: adaptive pooling is translated to one position, and of means "
            "where all windows have one size",
        )
        window = tuple(old // new for old, new in zip(before, after, strict=True))
        return [*p.moved(), (nn.AvgPool(window), {})], p.onward(moved=True)
    if "Avg" in type(m).__name__:
        return [*p.moved(), (nn.GlobalAvgPool(), {})], p.onward(moved=True, bare=True)
    # By steps of one position: for larger inputs more than one comes out, which the next layers do not take.
    window = tuple(p.fact.shape[2:])
    return [*p.moved(), (nn.MaxPool(window, stride=1), {})], p.onward(moved=True)


def _flatten(m: Module, p: Place) -> Made:
    return reshaped(p)


def reshaped(p: Place) -> Made:
    """To the shape that the model has behind it: all positions flattened, or axes of length 1 dropped or added."""
    before, after = p.fact.shape, p.after
    if after == before:
        return [], p.fact
    ones = [n for n in before[1:] if n != 1] == [n for n in after[1:] if n != 1]
    size = 1
    for n in before[1:]:
        size *= n
    p.insist(
        after[:1] == before[:1] and (after[1:] == (size,) or (ones and p.fact.features_only)),
        f"from {before} to {after}: translated are flattening, and axes of length 1 of features",
    )
    # More or fewer axes than two in the model: features here.
    return p.flattened(), Fact(after, moved=len(after) > 2 and after[1] == size, bare=len(after) != 2)


def _batch_norm(m: Module, p: Place) -> Made:
    layer = nn.BatchNorm(m.running_mean, m.running_var, m.eps)
    pieces: list[Piece] = [*p.moved(), (layer, {})]
    return [*pieces, *p.affine(m.weight, m.bias, lambda t: t)], p.onward(moved=len(p.after) > 2)


def _layer_norm(m: Module, p: Place) -> Made:
    shape, size = p.fact.shape, len(m.normalized_shape)
    everything = size == len(shape) - 1
    if size == 1:
        p.insist_last()
    else:
        p.insist(everything and not p.fact.bare, "it normalizes over some positions and not over others")
    view = (lambda t: t.movedim(0, -1)) if p.fact.moved and size > 1 else (lambda t: t)
    layer = nn.LayerNorm(m.eps, tuple(range(-size, 0)))
    weight, bias = getattr(m, "weight", None), getattr(m, "bias", None)
    return [(layer, {}), *p.affine(weight, bias, view)], p.onward()


def _group_norm(m: Module, p: Place) -> Made:
    p.insist(not getattr(m, "track_running_stats", False), "it keeps running statistics, which no layer here reads")
    axes, groups = tuple(range(1 - len(p.fact.shape), 0)), getattr(m, "num_groups", p.fact.shape[1])
    pieces: list[Piece] = [*p.moved(), (nn.LayerNorm(m.eps, axes, groups), {})]
    return [*pieces, *p.affine(m.weight, m.bias, lambda t: t)], p.onward(moved=len(p.after) > 2)


def attention(m: Module, p: Place) -> Piece:
    """Self-attention."""
    p.insist(
        m.batch_first, "attention with batch_first=False has inputs along the second axis; make it batch_first=True"
    )
    p.insist(
        m.in_proj_weight is not None and m.bias_k is None and not m.add_zero_attn,
        "kdim, vdim, add_bias_kv and add_zero_attn are known for no layer here",
    )
    p.insist(not p.fact.moved and len(p.fact.shape) == 3, "attention takes (N, positions, channels)")
    width, biases = m.embed_dim, m.in_proj_bias is not None
    each = width // m.num_heads
    thirds = [lambda t, i=i: t[i * width : (i + 1) * width] for i in range(3)]
    std = (3.0 * width) ** -0.5
    layer = nn.SelfAttention(
        width,
        m.num_heads,
        each,
        each,
        scaling="sqrt",
        query_std=XAVIER_STD,
        key_std=XAVIER_STD,
        value_std=XAVIER_STD,
        output_std=UNIFORM_STD,
        bias_std=std if biases else 0.0,
        parameterization="standard",
        input_bias_std=std if biases else 0.0,
    )
    parts: dict[str, dict[str, Any]] = {}
    for name, weight in zip(("query", "key", "value"), p.claim(m.in_proj_weight, *thirds), strict=True):
        parts[name] = {"weight": weight}
    parts["output"] = {"weight": p.claim(m.out_proj.weight)[0]}
    if biases:
        found = [*p.claim(m.in_proj_bias, *thirds), *p.claim(m.out_proj.bias)]
        for part, bias in zip(parts.values(), found, strict=True):
            part["bias"] = bias
    return layer, parts


def chain(pieces: Any) -> Piece:
    """Layers one after the other as one."""
    layers, params = zip(*(pieces or [(nn.Identity(), {})]), strict=True)
    return (layers[0], params[0]) if len(layers) == 1 else (nn.Sequential(*layers), params)


def _residual(pieces: list[Piece]) -> Piece:
    branch, params = chain(pieces)
    return nn.Residual(branch), (params, {})


def _encoder_layer(m: Module, p: Place) -> Made:
    named = {"relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}
    activation = m.activation
    name = named.get(getattr(activation, "__name__", ""), type(activation).__name__)
    p.insist(name in ACTIVATIONS, f"its activation {activation} is known for no layer here")
    layer = ACTIVATIONS[name](activation) if name == type(activation).__name__ else getattr(nn, name)()
    p.insist(layer is not None, f"{activation} has options that no activation of ntk_array.nn has")
    forward: list[Piece] = [*_linear(m.linear1, p)[0], (layer, {}), *_linear(m.linear2, p)[0]]  # type: ignore[list-item]
    norms = [list(_layer_norm(norm, p)[0]) for norm in (m.norm1, m.norm2)]
    branches = [[attention(m.self_attn, p)], forward]
    pieces: list[Piece] = []
    for norm, branch in zip(norms, branches, strict=True):
        pieces += [_residual([*norm, *branch])] if m.norm_first else [_residual(branch), *norm]
    return pieces, p.onward()


def _encoder(m: Module, p: Place) -> Made:
    pieces: list[Piece] = []
    for layer in m.layers:
        p.insist(type(layer).__name__ == "TransformerEncoderLayer", f"it is made of {type(layer).__name__}")
        pieces += _encoder_layer(layer, p)[0]
    if m.norm is not None:
        p.insist(type(m.norm).__name__ == "LayerNorm", f"it ends in {type(m.norm).__name__}")
        pieces += _layer_norm(m.norm, p)[0]
    return pieces, p.onward()


def _attention(m: Module, p: Place) -> Made:
    return [attention(m, p)], p.onward()


MODULES: dict[str, Callable[[Module, Place], Made]] = {
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"), _nothing),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), _conv),
    **dict.fromkeys((f"{kind}Pool{n}d" for kind in ("Max", "Avg") for n in (1, 2, 3)), _pool),
    **dict.fromkeys((f"Adaptive{kind}Pool{n}d" for kind in ("Max", "Avg") for n in (1, 2, 3)), _adaptive),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), _batch_norm),
    "Linear": _linear,
    **dict.fromkeys(("GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), _group_norm),
    "Flatten": _flatten,
    "LayerNorm": _layer_norm,
    "MultiheadAttention": _attention,
    "TransformerEncoderLayer": _encoder_layer,
    "TransformerEncoder": _encoder,
}
"""By the name of the class in torch.nn."""

CHANNELS_FIRST: tuple[str, ...] = ("Conv", "MaxPool", "AvgPool", "Adaptive", "BatchNorm", "GroupNorm", "InstanceNorm")
"""How the names of modules start that have channels first."""
CHANNELS_LAST: tuple[str, ...] = (
    "Linear",
    "LayerNorm",
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerEncoder",
)
CHANNELS_LAST += ("Flatten", "view", "linear", "matmul", "permute", "transpose", "getitem", "mean", "sum")
"""Modules and functions before which inputs stay as they are."""
