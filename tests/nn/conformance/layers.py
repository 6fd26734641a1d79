"""Cases of layers without weights, of other convolutions and of other inputs."""

from collections.abc import Callable

from ntk_array import nn

from .case import Case, around, conv, images, just


def _normalized(activation: nn.Layer, **options) -> Callable[[int, int], nn.Layer]:
    """Normalized inputs, normalized preactivations, and normalized values behind an activation, before a kink."""

    def build(width: int, outputs: int) -> nn.Layer:
        hidden = (nn.LayerNorm(**options), activation, nn.LayerNorm(), nn.Dense(width, 0.8, 0.3))
        return nn.Sequential(
            nn.LayerNorm(0.1), nn.Dense(width, 1.3, 0.2), *hidden, nn.ReLU(), nn.Dense(outputs, 1.1, 0.2)
        )

    return build


NORMALIZED = (
    Case("layer norm", _normalized(nn.ReLU()), smooth=False, width=512),
    Case(
        "layer norm, smooth",
        lambda w, c: nn.Sequential(*_normalized(nn.GELU(), eps=0.5)(w, c).layers[:5], nn.Dense(c)),
        width=512,
    ),
    Case(
        "layer norm, no eps",
        lambda width, outputs: nn.Sequential(nn.Dense(width), nn.LayerNorm(eps=0.0), nn.ReLU(), nn.Dense(outputs)),
        smooth=False,
        width=512,
    ),
    Case(
        "layer norm, positions",
        images(
            conv(3, 2),
            just(nn.GELU()),
            just(nn.LayerNorm(axes=(-1, -3))),
            lambda width: nn.Residual(nn.Sequential(nn.Conv(width, (2, 2), bias_std=0.3), nn.ReLU())),
            just(nn.LayerNorm(0.1)),
            just(nn.GlobalAvgPool()),
        ),
        shape=(3, 3, 2),
        smooth=False,
        width=256,
    ),
    Case(
        "layer norm, groups",
        images(
            lambda width: nn.Conv(2 * width, (3, 2), bias_std=0.3),
            just(nn.ReLU()),
            just(nn.LayerNorm(axes=(-3, -2, -1), groups=2)),
            conv(2, 2),
            just(nn.Erf()),
            just(nn.GlobalAvgPool()),
        ),
        shape=(3, 3, 2),
        smooth=False,
        width=256,
    ),
)
"""Values that are normalized."""

OTHERS = (
    Case(
        "channels last",
        images(just(nn.ChannelsLast()), conv(2, 2, stride=2), just(nn.Erf()), just(nn.Flatten())),
        shape=(2, 3, 4),
        first=True,
        width=128,
    ),
    Case(
        "transposed convolution",
        images(
            lambda w: nn.ConvTranspose(2 * w, (2, 3), stride=(2, 1), groups=2, weight_std=1.3, bias_std=0.2),
            just(nn.Erf()),
            lambda w: nn.ConvTranspose(w, (2, 3), padding="valid", dilation=(2, 1), weight_std=1.2),
            just(nn.Sin()),
            lambda w: nn.ConvTranspose(w, (3, 1), stride=(2, 1), padding="circular", bias_std=0.3),
            just(nn.Erf()),
            just(nn.GlobalAvgPool()),
        ),
        shape=(2, 2, 2),
        width=64,
    ),
    Case(
        "transposed convolution, relu",
        images(
            lambda w: nn.ConvTranspose(w, (3,), stride=2, weight_std=1.3), just(nn.ReLU()), just(nn.GlobalAvgPool())
        ),
        shape=(2, 2),
        smooth=False,
        width=256,
    ),
    Case(
        "local convolution",
        images(
            lambda w: nn.Conv(2 * w, (2,), bias_std=0.3),
            just(nn.Erf()),
            lambda w: nn.ConvLocal(2 * w, (3,), stride=2, groups=2, weight_std=1.2, bias_std=0.2),
            just(nn.ReLU()),
            conv(2),
            just(nn.Erf()),
            just(nn.GlobalAvgPool()),
        ),
        shape=(5, 2),
        smooth=False,
        width=128,
    ),
    Case(
        "local convolution, standard",
        images(
            lambda w: nn.ConvLocal(w, (2,), padding="valid", bias_std=0.3, parameterization="standard"),
            just(nn.Erf()),
            just(nn.Flatten()),
        ),
        shape=(4, 2),
        width=256,
    ),
    Case(
        "positions selected and resized",
        images(
            lambda w: nn.Conv(w, (2, 2), bias_std=0.3),
            just(nn.GELU()),
            just(nn.Resize((3, 5), "linear")),
            just(nn.Index((slice(None, None, -2), slice(1, 5)))),
            conv(2, 1),
            just(nn.ReLU()),
            just(nn.Resize((3, 3))),
            just(nn.Index(1)),
            just(nn.GlobalAvgPool()),
        ),
        shape=(2, 3, 1),
        smooth=False,
        width=256,
    ),
    Case(
        "one position",
        images(conv(3), just(nn.Erf()), conv(2), just(nn.Erf()), just(nn.Index(-1))),
        shape=(4, 2),
        width=128,
    ),
    Case("cosines at the edge", images(conv(3), just(nn.Cos()), just(nn.GlobalAvgPool())), shape=(3, 2), width=256),
    Case("dropout", around(nn.Dropout(0.3)), width=256),
    Case(
        "dropout, train",
        lambda width, outputs: nn.Sequential(
            nn.Dense(width, 1.2, 0.3),
            nn.ReLU(),
            nn.Dropout(0.3, "train"),
            nn.Dense(width, 1.1, 0.2),
            nn.ReLU(),
            nn.Dense(outputs, 1.1, 0.2),
        ),
        smooth=False,
        noisy=True,
        width=400,
    ),
    Case(
        "dropout, positions",
        images(
            conv(2, 2),
            just(nn.GELU()),
            just(nn.Dropout(0.3, "train")),
            conv(2, 1),
            just(nn.ReLU()),
            just(nn.GlobalAvgPool()),
        ),
        shape=(3, 2, 2),
        smooth=False,
        noisy=True,
        width=256,
    ),
    Case(
        "max pooling",
        images(conv(2, 2), just(nn.MaxPool((2, 3), stride=2, padding="same")), just(nn.Flatten())),
        shape=(4, 4, 1),
        smooth=False,
        limit=False,
    ),
    Case("batch norm", around(nn.BatchNorm([0.3, 0.0, -1.0, 0.2, 0.5], [0.5, 1.0, 2.0, 0.1, 0.0], 0.1)), limit=False),
    Case("affine", around(nn.Affine(1.3, 0.4)), analytic=True, width=512),
    Case(
        "affine, positions",
        images(lambda w: nn.Conv(2 * w, (2, 2), bias_std=0.3), just(nn.Affine(0.8)), just(nn.GlobalAvgPool())),
        shape=(2, 2, 1),
        width=512,
    ),
    Case(
        "affine, by position",
        images(conv(2), just(nn.Affine(1.0, 0.5, positions=True)), just(nn.Flatten())),
        shape=(3, 2),
        limit=False,
    ),
    Case("shift", around(nn.Affine(0.0, 0.5)), limit=False),
    Case(
        "padding in numbers",
        images(
            conv(3, 2, padding=((1, 0), (2, 1)), stride=(2, 1)),
            just(nn.Erf()),
            conv(2, 3, padding=((0, 1), (1, 1))),
            just(nn.AvgPool((2, 2), padding=((1, 0), (0, 0)), normalize_edges=True)),
            just(nn.Flatten(channels_first=True)),
        ),
        shape=(4, 3, 2),
        width=128,
    ),
    Case("batch norm, a factor", around(nn.BatchNorm(0.0, 1.5, 0.1)), width=256),
)
"""Layers without parameters."""


def _graphs(*layers: Callable[[int], nn.Layer], pool: str) -> Callable[[int, int], nn.Layer]:
    return lambda width, outputs: nn.GraphNetwork(
        *(layer(width) for layer in layers), nn.GraphPool(pool), nn.Dense(outputs, 1.1, 0.2 if pool == "mean" else 0.0)
    )


GRAPHS = (
    Case(
        "graphs, mean",
        _graphs(
            lambda w: nn.Dense(w, 1.2, 0.3),
            just(nn.Erf()),
            just(nn.Aggregate()),
            lambda w: nn.Dense(w, 1.1, 0.2),
            lambda w: nn.Residual(nn.Sequential(nn.Sin(), nn.Aggregate(), nn.Dense(w, 0.8, 0.1))),
            just(nn.Erf()),
            pool="mean",
        ),
        shape=(3, 6),
        width=128,
        packed="graphs",
    ),
    Case(
        "graphs, sum of branches, root",
        _graphs(
            lambda w: nn.Sum(
                nn.Sequential(nn.Dense(w, 1.2), nn.ReLU(), nn.Aggregate()),
                nn.Sequential(nn.Aggregate(), nn.Dense(w, 1.1), nn.ReLU()),
            ),
            lambda w: nn.Dense(w, 1.2),
            just(nn.ReLU()),
            just(nn.Aggregate()),
            pool="root",
        ),
        shape=(3, 6),
        smooth=False,
        width=256,
        packed="graphs",
    ),
)
"""Networks on graphs."""


def _padded(*layers: Callable[[int], nn.Layer]) -> Callable[[int, int], nn.Layer]:
    return lambda width, outputs: nn.PaddedNetwork(*(layer(width) for layer in layers), nn.Dense(outputs, 1.1, 0.2))


PADDED = (
    Case(
        "padded sequences",
        _padded(
            lambda w: nn.Conv(w, (2,), stride=2, padding=((1, 1),), bias_std=0.3),
            just(nn.ReLU()),
            lambda w: nn.SelfAttention(
                w, key_width=w, value_width=w, position_embedding="sum", position_length=1.5, bias_std=0.2
            ),
            lambda w: nn.Residual(nn.Sequential(nn.Erf(), nn.Conv(w, (3,), weight_std=1.2, bias_std=0.3))),
            just(nn.GlobalAvgPool()),
        ),
        shape=(4, 2),
        smooth=False,
        width=128,
        packed="padded",
    ),
    Case(
        "padded images",
        _padded(
            lambda w: nn.Sum(nn.Conv(w, (2, 2), bias_std=0.3), nn.Sequential(nn.Dense(w, 1.2, 0.4), nn.Cos())),
            just(nn.AvgPool((2, 1), stride=1)),
            just(nn.GlobalSumPool()),
        ),
        shape=(4, 2, 2),
        analytic=True,
        width=128,
        packed="padded",
    ),
)
"""Networks on inputs of several lengths."""
