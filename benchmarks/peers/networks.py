"""Networks that several libraries have, as plain data: which layers, on inputs of which shape.

A layer is a list of its class in ``ntk_array.nn`` and its arguments. Layers of branches are in the argument "branches",
a list of lists of layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Layers = list[Any]
Parameters = Iterator[dict[str, np.ndarray]]
FEW = 5
"""Inputs of a kernel: the first two meet the others, so that no input meets itself."""


@dataclass(frozen=True)
class Network:
    """Layers on inputs (N, *shape); the inputs, and the parameters of a finite network, are drawn by the seed."""

    name: str
    shape: tuple[int, ...]
    layers: Layers
    seed: int = 0
    kernels: tuple[str, ...] = ("ntk", "nngp")
    """The infinite-width kernels that both libraries have."""

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Two batches in float64."""
        x = np.random.default_rng(self.seed).standard_normal((FEW, *self.shape))
        return x[:2], x[2:]


def each_axis(stride: int | list[int], axes: int) -> tuple[int, ...]:
    """A stride for each axis of positions."""
    return (stride,) * axes if isinstance(stride, int) else tuple(stride)


def read(path: str) -> dict[str, Parameters]:
    """The parameters of finite networks, by name, in the order of layers; see agreement.py for the file."""
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    with np.load(path) as file:
        for key in file.files:
            name, number, own = key.rsplit("|", 2)
            layers = found.setdefault(name, [])
            layers += [{} for _ in range(int(number) + 1 - len(layers))]
            layers[int(number)][own] = file[key]
    return {name: iter(layers) for name, layers in found.items()}


def conv(width: int, *size: int, padding: str = "same", stride: int = 1, **options: Any) -> Layers:
    """A convolution."""
    return ["Conv", {"width": width, "kernel_size": list(size), "padding": padding, "stride": stride, **options}]


def dense(width: int, **options: Any) -> Layers:
    """A fully connected layer."""
    return ["Dense", {"width": width, **options}]


def pool(kind: str, *size: int, padding: str = "valid", stride: int | None = None, **options: Any) -> Layers:
    """Sums or means over windows."""
    return [kind, {"window_size": list(size), "padding": padding, "stride": stride or size[0], **options}]


def plain(kind: str, /, **options: Any) -> Layers:
    """A layer by its name."""
    return [kind, options]


def branches(kind: str, *parts: Layers) -> Layers:
    """Networks side by side."""
    return [kind, {"branches": [list(part) for part in parts]}]


ACTIVATIONS: dict[str, Layers] = {
    "relu": plain("ReLU"),
    "leaky relu": plain("LeakyReLU", negative_slope=0.2),
    "abrelu": plain("ABReLU", a=-0.4, b=1.3),
    "abs": plain("Abs"),
    "sign": plain("Sign"),
    "rectified square": plain("RectifiedMonomial", degree=2),
    "erf": plain("Erf"),
    "erf of 1.3 x": plain("Erf", a=0.7, b=1.3),
    "sigmoid-like": plain("SigmoidLike"),
    "gelu": plain("GELU"),
    "sin": plain("Sin", a=0.8, b=1.2, c=0.4),
    "cos": plain("Cos", a=1.1, b=0.9, c=0.3),
    "rbf": plain("Rbf", gamma=0.7),
    "exp": plain("Exp", a=0.6, b=0.5),
    "gaussian": plain("Gaussian", a=1.2, b=-0.6),
    "gabor": plain("Gabor"),
    "square": plain("Monomial", degree=2),
    "cube": plain("Monomial", degree=3),
    "polynomial": plain("Polynomial", coefficients=[0.3, 1.0, -0.2, 0.1]),
}
"""Those that both libraries have in closed form; for Hermite polynomials see :func:`hermite`."""
W, B = {"weight_std": 1.3}, {"weight_std": 1.2, "bias_std": 0.3}
STANDARD = {"parameterization": "standard"}
READOUT = dense(1, weight_std=1.1, bias_std=0.2)
RELU, ERF, GELU = (ACTIVATIONS[name] for name in ("relu", "erf", "gelu"))
FLATTEN, AVERAGE, SUMMED = plain("Flatten"), plain("GlobalAvgPool"), plain("GlobalSumPool")


def _activations() -> list[Network]:
    """Each behind a dense layer, and in a convolutional network twice."""
    found = []
    for i, (name, activation) in enumerate(ACTIVATIONS.items()):
        options, padding = (W, "same") if i % 2 else (B, "circular")
        images = [conv(4, 3, 3, **options), activation, conv(4, 2, 2, padding=padding, **B), activation]
        plain_layers = [dense(4, **options), activation, dense(4, **B), activation, READOUT]
        kernels = ("nngp",) if name == "sign" else ("ntk", "nngp")
        found += [
            Network(f"dense, {name}", (6,), plain_layers, kernels=kernels),
            Network(f"2-D, {name}", (4, 5, 2), [*images, AVERAGE, READOUT], kernels=kernels),
        ]
    return found


def _convolutions() -> list[Network]:
    """Axes of positions, paddings, strides, biases, parameterizations and readouts."""
    found = []
    for shape in ((7, 3), (6, 5, 2), (4, 3, 4, 2)):
        axes = len(shape) - 1
        for i, padding in enumerate(("same", "valid", "circular")):
            for stride in (1, 2):
                extra = (B, W, B | STANDARD, W | STANDARD)[(i + 2 * stride + axes) % 4]
                size = (3, 2, 2)[:axes]
                first = conv(5, *size, padding=padding, stride=stride, **extra)
                layers = [first, RELU, conv(3, *([2] * axes), padding="same", **extra), ERF]
                end = (FLATTEN, AVERAGE, SUMMED)[(i + stride) % 3]
                name = f"{axes}-D, {padding}, stride {stride}, {end[0]}"
                name += ", biases" if "bias_std" in extra else ""
                name += ", standard" if "parameterization" in extra else ""
                found.append(Network(name, shape, [*layers, end, READOUT]))
    found += [
        Network("2-D, strides 2 and 1", (5, 4, 2), [_with(conv(4, 3, 3, **B), stride=[2, 1]), RELU, FLATTEN, READOUT]),
        Network(
            "2-D, even window, circular, stride 2",
            (6, 6, 1),
            [conv(4, 4, 2, padding="circular", stride=2, **B), GELU, AVERAGE, READOUT],
        ),
        Network("2-D, window larger than the image", (2, 3, 2), [conv(4, 5, 5, **B), RELU, AVERAGE, READOUT]),
        Network("2-D, dense at each position", (4, 4, 3), [dense(5, **B), RELU, conv(3, 3, 3), ERF, AVERAGE, READOUT]),
        Network(
            "2-D, dense at each position, standard",
            (4, 4, 3),
            [dense(5, **B | STANDARD), RELU, conv(3, 3, 3, **B | STANDARD), ERF, FLATTEN, dense(1, **STANDARD)],
        ),
        Network("dense, standard, biases", (5,), [dense(7, **B | STANDARD), RELU, dense(1, **B | STANDARD)]),
        Network("dense, standard", (5,), [dense(7, **W | STANDARD), GELU, dense(1, **STANDARD)]),
    ]
    return found


def _with(layer: Layers, **options: Any) -> Layers:
    return [layer[0], layer[1] | options]


def _pooling() -> list[Network]:
    """Windows in the middle of a network, and before all of it."""
    found = []
    for kind in ("AvgPool", "SumPool"):
        for padding in ("valid", "same", "circular"):
            for stride in (1, 2):
                middle = pool(kind, 2, 2, padding=padding, stride=stride)
                end = FLATTEN if stride == 1 else AVERAGE
                layers = [conv(4, 3, 3, **B), RELU, middle, conv(4, 2, 2, **W), ERF, end, READOUT]
                found.append(Network(f"2-D, {kind}, {padding}, stride {stride}, {end[0]}", (5, 5, 2), layers))
    for size, stride in (((3, 3), 1), ((3, 2), 2), ((2, 2), 2)):
        edges = pool("AvgPool", *size, padding="same", stride=stride, normalize_edges=True)
        layers = [conv(4, 3, 3, **B), GELU, edges, FLATTEN, READOUT]
        found.append(Network(f"2-D, AvgPool {size}, stride {stride}, normalized edges", (5, 4, 2), layers))
    one = [conv(4, 3, **B), RELU, pool("AvgPool", 3, padding="same", stride=2), conv(4, 2, **B), RELU, FLATTEN, READOUT]
    three = [conv(4, 2, 2, 2, **B), RELU, pool("SumPool", 2, 2, 2), conv(2, 1, 1, 1, **W), ERF, AVERAGE, READOUT]
    found += [
        Network("1-D, AvgPool in the middle", (9, 2), one),
        Network("3-D, SumPool in the middle", (4, 4, 4, 1), three),
        Network("2-D, pooled inputs", (4, 4, 2), [pool("AvgPool", 2, 2), conv(4, 2, 2, **B), RELU, AVERAGE, READOUT]),
        Network("2-D, flattened inputs", (3, 3, 2), [FLATTEN, dense(4, **B), RELU, READOUT]),
        Network("2-D, summed inputs", (3, 3, 2), [SUMMED, dense(4, **B), RELU, READOUT]),
    ]
    return found


def _branched() -> list[Network]:
    """Ways around, sums and products."""

    def block(activation: Layers, **options: Any) -> Layers:
        return [activation, conv(4, 3, 3, **B, **options)]

    around = branches("Sum", block(RELU), [plain("Identity")])
    strided = branches("Sum", block(RELU, stride=2), [conv(4, 1, 1, stride=2, **W)])
    two = branches("Sum", [conv(4, 3, 3, **B)], [dense(4, **W)])
    product = branches("Product", [conv(4, 3, 3, **B)], [conv(4, 1, 1, **W)])
    three = branches("Product", [dense(4, **B)], [conv(4, 2, 2, **W), ERF, conv(4, 1, 1)], [conv(4, 3, 3, **B)])
    concatenated = branches("Concatenate", [conv(4, 3, 3, **B)], [conv(4, 1, 1, **W)])
    first = conv(4, 3, 3, **B)
    return [
        Network(name, (4, 4, 2), layers)
        for name, layers in (
            ("2-D, residual, average", [first, around, around, RELU, AVERAGE, READOUT]),
            ("2-D, residual, flatten", [first, around, around, RELU, FLATTEN, READOUT]),
            ("2-D, residual, strided", [first, strided, around, RELU, AVERAGE, READOUT]),
            ("2-D, residual, erf", [first, branches("Sum", block(ERF), [plain("Identity")]), ERF, SUMMED, READOUT]),
            ("2-D, sum of two branches", [two, GELU, AVERAGE, READOUT]),
            ("2-D, product, average", [product, AVERAGE, READOUT]),
            ("2-D, product, flatten", [product, FLATTEN, READOUT]),
            ("2-D, product, then conv", [product, conv(4, 2, 2, **B), RELU, AVERAGE, READOUT]),
            ("2-D, product of three", [first, RELU, three, dense(4, **B), ERF, FLATTEN, READOUT]),
            ("2-D, concatenated", [concatenated, conv(4, 2, 2, **B), RELU, AVERAGE, READOUT]),
        )
    ] + [
        Network(
            "dense, residual",
            (5,),
            [dense(4, **B), branches("Sum", [RELU, dense(4)], [plain("Identity")]), ERF, READOUT],
        ),
        Network(
            "dense, product",
            (5,),
            [branches("Product", [dense(4, **B)], [dense(4, **W)]), dense(4, **B), RELU, READOUT],
        ),
    ]


def hermite(degree: int, shape: tuple[int, ...]) -> Network:
    """A Hermite polynomial of values of variance 1, for which alone neural-tangents has its dual activation."""
    layers = [dense(4), plain("Hermite", degree=degree), READOUT]
    return Network(f"dense, Hermite {degree}, unit norms", shape, layers)


class _OnSphere(Network):
    """Inputs of root mean square 1."""

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        one, two = (x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) for x in super().inputs())
        return one, two


def _hermite() -> list[Network]:
    return [_OnSphere(**vars(hermite(degree, (4,)))) for degree in (1, 2, 3, 4)] + [
        _OnSphere(
            "2-D, Hermite 3, unit norms", (3, 4, 3), [conv(4, 1, 1), plain("Hermite", degree=3), AVERAGE, READOUT]
        )
    ]


class _OnGraphs(Network):
    """Features of nodes, marks of 1, and weights of edges, as ``ntk_array.nn.graphs`` packs them."""

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        one, two = super().inputs()
        for x in (one, two):
            x[..., x.shape[2] - x.shape[1] - 1] = 1.0
        return one, two


def on_graphs(*layers: Layers) -> Layers:
    """A network on graphs, as one branch."""
    return branches("GraphNetwork", list(layers))


def _graphs() -> list[Network]:
    """Aggregation before and behind activations, in and out of branches."""
    aggregate, summed, mean = plain("Aggregate"), plain("GraphPool", kind="sum"), plain("GraphPool", kind="mean")
    around = branches("Sum", [ERF, aggregate, dense(4, **B)], [plain("Identity")])
    return [
        _OnGraphs(f"graphs, {name}", (nodes, channels + 1 + nodes), [on_graphs(*layers)])
        for name, nodes, channels, layers in (
            ("relu, sum", 6, 3, [aggregate, dense(5, **W), RELU, aggregate, dense(4, **W), RELU, summed, READOUT]),
            ("relu, biases, mean", 5, 2, [dense(5, **B), RELU, aggregate, dense(4, **B), RELU, mean, READOUT]),
            ("residual, standard", 4, 2, [dense(4, **W | STANDARD), around, GELU, aggregate, mean, READOUT]),
        )
    ]


INFINITE = [*_activations(), *_convolutions(), *_pooling(), *_branched(), *_hermite(), *_graphs()]
"""Infinitely wide networks."""
FINITE = [
    network
    for network in INFINITE
    if network.name.split(", ")[0] not in ("dense", "graphs")
    or (network.name.startswith("dense") and ("standard" in network.name or "residual" in network.name))
]
"""Finite ones, of the widths that the layers say."""
FROZEN = (
    "1-D, same, stride 2, GlobalSumPool",
    "1-D, valid, stride 2, Flatten, biases, standard",
    "2-D, relu",
    "2-D, rbf",
    "2-D, gelu",
    "2-D, polynomial",
    "2-D, even window, circular, stride 2",
    "2-D, window larger than the image",
    "2-D, dense at each position, standard",
    "2-D, AvgPool (3, 2), stride 2, normalized edges",
    "2-D, SumPool, circular, stride 2, GlobalAvgPool",
    "2-D, residual, strided",
    "2-D, product of three",
    "3-D, SumPool in the middle",
    "graphs, relu, sum",
    "graphs, residual, standard",
)
"""Names of those whose values the tests have."""
