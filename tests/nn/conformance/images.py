"""Cases with positions: convolutions and attention."""

from collections.abc import Callable

from ntk_array import nn

from .case import Case, conv, images, just


def _attention(**options) -> Callable[[int], nn.Layer]:
    """Wide heads, as their limit asks for."""
    return lambda width: nn.SelfAttention(width, **({"key_width": width, "value_width": width} | options))


def _many_heads(**options) -> Callable[[int], nn.Layer]:
    heads = {"key_width": 4, "value_width": 4, "scaling": "sqrt"}
    return lambda width: nn.SelfAttention(width, max(width // 4, 2), **(heads | options))


def _residual_images(width: int) -> nn.Layer:
    return nn.Residual(nn.Sequential(nn.Erf(), nn.Conv(width, (3, 3), weight_std=1.2)))


ATTENTION = (
    Case(
        "attention, softmax",
        images(_attention(heads=2, query_std=1.5, bias_std=0.2), just(nn.Erf()), just(nn.GlobalAvgPool())),
        shape=(3, 2),
        width=128,
    ),
    Case(
        "attention, softmax, square root",
        images(_many_heads(position_embedding="sum", position_length=1.5, position_std=0.7), just(nn.Flatten())),
        shape=(2, 2, 2),
        limit=False,
    ),
    Case(
        "attention, biases",
        images(_attention(heads=2, scaling="sqrt", bias_std=0.2, input_bias_std=0.5), just(nn.Flatten())),
        shape=(3, 2),
        limit=False,
    ),
    Case(
        "attention, identity, square root",
        images(_many_heads(mechanism="identity", bias_std=0.2), just(nn.Sin()), just(nn.GlobalAvgPool())),
        shape=(2, 2),
        analytic=True,
        width=512,  # a quarter as many heads, over which random weights have to average out
    ),
    Case(
        "attention, relu, embedded",
        images(
            lambda width: nn.Dense(width, 1.2),
            _attention(mechanism="relu", position_embedding="concat", position_length=1.5, position_in_values=True),
            just(nn.Erf()),
            just(nn.GlobalAvgPool()),
        ),
        shape=(2, 2),
        smooth=False,
        width=256,
    ),
    Case(
        "attention, abs",
        images(_attention(heads=2, mechanism="abs", output_std=0.8), just(nn.Flatten())),
        shape=(2, 3),
        smooth=False,
        width=256,
    ),
    Case(
        "transformer, standard",
        lambda width, outputs: nn.transformer(
            1,
            width,
            outputs,
            key_width=2 * width,
            mlp_width=width,
            position_embedding="sum",
            activation="erf",
            weight_std=0.9,
            bias_std=0.2,
            parameterization="standard",
        ),
        shape=(3, 2),
        width=128,
    ),
)
"""Networks with attention."""

IMAGES = (
    Case(
        "conv, flatten",
        images(conv(3, 3), just(nn.Sin()), conv(2, 2, stride=2, padding="valid"), just(nn.Erf()), just(nn.Flatten())),
        shape=(4, 3, 2),
        width=128,
    ),
    Case(
        "conv, global pooling",
        images(
            lambda width: nn.Conv(2 * width, (3, 2), dilation=2, padding="circular", bias_std=0.2),
            just(nn.Tanh()),
            lambda width: nn.Conv(2 * width, (2, 3), groups=2, weight_std=1.3),
            just(nn.GELU()),
            just(nn.GlobalAvgPool()),
        ),
        shape=(3, 4, 2),
        width=64,
    ),
    Case(
        "conv, pooling in the middle",
        images(
            conv(2, 2),
            just(nn.AvgPool((2, 2), stride=1, padding="same", normalize_edges=True)),
            just(nn.Erf()),
            just(nn.SumPool((2, 2))),
            conv(1, 2),
            just(nn.Sin()),
            just(nn.GlobalSumPool()),
        ),
        shape=(4, 4, 1),
        width=128,
    ),
    Case(
        "conv, one axis, standard",
        images(
            conv(3, parameterization="standard"),
            just(nn.Erf()),
            lambda w: nn.Dense(w, 1.2, 0.1),
            just(nn.Cos()),
            just(nn.Flatten()),
        ),
        shape=(5, 2),
        width=128,
    ),
    Case(
        "conv, one axis, relu",
        images(conv(2, bias_std=0.0), just(nn.ReLU()), just(nn.GlobalAvgPool())),
        shape=(3, 1),
        smooth=False,
        width=256,
    ),
    Case("conv, three axes", images(conv(2, 1, 2), just(nn.Cos()), just(nn.Flatten())), shape=(2, 2, 3, 1), width=256),
    Case(
        "conv, residual",
        images(conv(3, 3), _residual_images, just(nn.Tanh()), just(nn.GlobalAvgPool())),
        shape=(3, 2, 2),
        width=128,
    ),
)
"""Networks on inputs with positions."""
