"""What every layer is held to. A new layer joins by one line in CASES.

The reference is made on the host in float64: finite differences and complex steps for derivatives, the explicit
Jacobian for kernels, random networks for infinite widths. Every backend is compared with that reference.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from ntk_array import EmpiricalNTK, InfiniteNNGP, InfiniteNTK, MonteCarloNNGP, MonteCarloNTK, nn
from ntk_array._array.namespace import home
from ntk_array.infinite.inputs import Inputs
from ntk_array.infinite.positions import Frame
from ntk_array.infinite.signal import Signal
from ntk_array.nn.activations import NAMED
from ntk_array.nn.activations.base import Activation
from ntk_array.nn.composite import Composite
from ntk_array.nn.graph_batch import Graphs
from ntk_array.nn.parameters import flatten, tree_map

from .strangers.difference import Difference
from .strangers.gain import Gain
from .strangers.square import Square

OUTPUTS = ("full", "trace", "classwise", "sum_of_logits")
KINKED = {"relu", "leaky_relu", "abs", "elu", "celu", "selu", "softsign", "sign"}
KINKED |= {"hardtanh", "relu6", "hardsigmoid", "hardswish", "softshrink"}
LIKE_HARDTANH = {"relu6", "hardsigmoid", "hardswish", "softshrink"}
"""Their limits are integrated as that of hardtanh is, slowly; see test_duals for their values."""
WEIGHT_STD = {"exp": 0.5}  # random networks with larger values of exp vary too much to tell their mean
ANALYTIC = {"identity", "sin", "cos", "tanh", "sigmoid", "silu", "exp", "gaussian", "gabor", "rbf"}


@dataclass(frozen=True)
class Case:
    """A family of networks to test, one for each hidden width and number of outputs."""

    name: str
    build: Callable[[int, int], nn.Layer]
    shape: tuple[int, ...] = (4,)
    smooth: bool = True  # False: inputs and steps stay clear of the kinks
    analytic: bool = False  # True: its formulas take complex numbers
    limit: bool = True  # False: it has no infinite-width limit, or another case stands for it
    ntk: bool = True  # False: of the two kernels only the NNGP has a limit
    noisy: bool = False  # True: an input and its copy have random values of their own
    rescaled: bool = True  # False: many kernels, each with other hyper-parameters, would take half a minute
    first: bool = False  # True: its limit is that of the start of a network, not of a branch
    width: int = 2048  # at which its kernels are drawn
    graphs: bool = False  # True: its inputs are graphs

    def inputs(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Random inputs."""
        return some_graphs(rng, n, self.shape) if self.graphs else some_inputs(rng, n, self.shape)

    @property
    def everywhere(self) -> bool:
        """Whether it runs on every backend. Of activations one of each kind does, the others on NumPy and strict."""
        return self.name not in LIKE_OTHERS

    def __str__(self) -> str:
        return self.name

    @property
    def net(self) -> nn.Layer:
        return self.build(5, 3)

    @property
    def kernel(self) -> type[InfiniteNTK] | type[InfiniteNNGP]:
        """The infinite-width kernel that shows most of the network."""
        return InfiniteNTK if self.ntk else InfiniteNNGP


def _mlp(depth: int, **options) -> Callable[[int, int], nn.Layer]:
    return lambda width, outputs: nn.mlp((width,) * depth, outputs, **options)


def _nested(width: int, outputs: int) -> nn.Layer:
    inner = nn.Sequential(nn.Dense(width, 1.3, 0.2), nn.Sequential(nn.Sin(), nn.Dense(width + 1, 1.1)))
    return nn.Sequential(inner, nn.Erf(), nn.Dense(outputs, 0.7, 0.4))


def _bumpy(xp, x):
    return xp.sin(x) + 0.3 * x


def _bumpy_prime(xp, x):
    return xp.cos(x) + 0.3


def _bent(xp, x):
    return xp.where(x > 0, xp.sin(x), 0.3 * x)


def _bent_prime(xp, x):
    return xp.where(x > 0, xp.cos(x), 0.3 * xp.ones_like(x))


def _cubic(xp, x):
    return x - x**3 / 6


def _cubic_prime(xp, x):
    return 1 - x**2 / 2


def _cubic_dual(xp, k11, k12, k22):
    """By Isserlis: E[u v] - (E[u v^3] + E[u^3 v]) / 6 + E[u^3 v^3] / 36."""
    return k12 - (k11 + k22) * k12 / 2 + (9 * k11 * k22 * k12 + 6 * k12**3) / 36


def _cubic_dual_prime(xp, k11, k12, k22):
    return 1 - (k11 + k22) / 2 + (k11 * k22 + 2 * k12**2) / 4


# Functions of a module, not lambdas: a network of lambdas cannot be pickled.
BUMPY = nn.Elementwise(_bumpy, _bumpy_prime, name="bumpy")
CUBIC = nn.Elementwise(_cubic, _cubic_prime, name="cubic", dual_phi=_cubic_dual, dual_phi_prime=_cubic_dual_prime)
BENT = nn.Elementwise(_bent, _bent_prime, breakpoints=(0.0,), name="bent")


def _block(width: int, activation: nn.Layer) -> nn.Layer:
    """A dense layer and an activation, with nothing behind it: a branch whose values are not centred."""
    return nn.Sequential(nn.Dense(width, 1.1, 0.3), activation)


def _residual(activation: nn.Layer, blocks: int = 2) -> Callable[[int, int], nn.Layer]:
    """Residual blocks whose branches end in activations."""
    return lambda width, outputs: nn.Sequential(
        nn.Dense(width, 1.2, 0.4), *(nn.Residual(_block(width, activation)) for _ in range(blocks)), nn.Dense(outputs)
    )


def _sum(width: int, outputs: int) -> nn.Layer:
    branches = nn.Sum(_block(width, nn.ReLU()), _block(width, nn.GELU()), nn.Dense(width, 0.5, 0.2))
    return nn.Sequential(branches, nn.Dense(outputs, 1.1, 0.1))


def _sum_at_the_end(width: int, outputs: int) -> nn.Layer:
    deep = nn.Sequential(nn.Dense(width, 1.2, 0.2), nn.Erf(), nn.Dense(outputs))
    return nn.Sum(deep, nn.Dense(outputs, 0.7))


def _product(width: int, outputs: int) -> nn.Layer:
    gates = nn.Product(_block(width, nn.Sigmoid()), nn.Dense(width, 1.2, 0.3), nn.Dense(width, 0.8, 0.5))
    return nn.Sequential(gates, nn.Dense(outputs))


def _homogeneous_product(width: int, outputs: int) -> nn.Layer:
    return nn.Sequential(nn.Product(nn.Dense(width), nn.Sequential(nn.Dense(width), nn.ReLU())), nn.Dense(outputs))


def _concatenate(width: int, outputs: int) -> nn.Layer:
    sides = nn.Concatenate(_block(width, nn.ReLU()), _block(2 * width, nn.Tanh()), nn.Dense(width, 0.8))
    return nn.Sequential(nn.Dense(width, 1.3, 0.2), sides, nn.Dense(width, 1.2, 0.1), nn.Sin(), nn.Dense(outputs))


def _mixed(width: int, outputs: int) -> nn.Layer:
    """Composites in composites: a sum of a product and of a way around, whose inputs are not centred."""
    inner = nn.Product(_block(width, nn.Sigmoid()), nn.Dense(width, 0.9, 0.2))
    first = nn.Concatenate(_block(width, nn.ReLU()), nn.Dense(width))
    residual = nn.Residual(nn.Sequential(inner, nn.Dense(width)))
    return nn.Sequential(first, nn.Dense(width, 1.1, 0.2), residual, nn.Dense(outputs))


def _around(layer: nn.Layer) -> Callable[[int, int], nn.Layer]:
    """A network with the layer in its middle."""
    return lambda width, outputs: nn.Sequential(nn.Dense(width, 1.2, 0.3), layer, nn.Dense(outputs, 1.1, 0.2))


def _difference(width: int, outputs: int) -> nn.Layer:
    deep = nn.Sequential(_block(width, nn.Sin()), nn.Dense(width, 1.1))
    return nn.Sequential(Difference(deep, nn.Dense(width, 0.8)), nn.Tanh(), nn.Dense(outputs))


def _images(*layers: Callable[[int], nn.Layer]) -> Callable[[int, int], nn.Layer]:
    """Layers made for a width, and a readout."""
    return lambda width, outputs: nn.Sequential(*(layer(width) for layer in layers), nn.Dense(outputs, 1.1, 0.2))


def _conv(*size: int, **options) -> Callable[[int], nn.Layer]:
    return lambda width: nn.Conv(width, size, **({"weight_std": 1.3, "bias_std": 0.2} | options))


def _just(layer: nn.Layer) -> Callable[[int], nn.Layer]:
    return lambda _: layer


def _attention(**options) -> Callable[[int], nn.Layer]:
    """Wide heads, as their limit asks for."""
    return lambda width: nn.SelfAttention(width, **({"key_width": width, "value_width": width} | options))


def _many_heads(**options) -> Callable[[int], nn.Layer]:
    heads = {"key_width": 4, "value_width": 4, "scaling": "sqrt"}
    return lambda width: nn.SelfAttention(width, max(width // 4, 2), **(heads | options))


def _residual_images(width: int) -> nn.Layer:
    return nn.Residual(nn.Sequential(nn.Erf(), nn.Conv(width, (3, 3), weight_std=1.2)))


LIKE_OTHERS = set(NAMED) - {"relu", "gelu", "sin", "tanh", "elu", "gaussian"}
LIKE_OTHERS |= {
    "leaky_relu(0.2)",
    "abrelu",
    "erf(a, b, c)",
    "sin(a, b, c)",
    "cos(a, b, c)",
    "monomial(2)",
    "hermite(3)",
}
LIKE_OTHERS |= {"rectified_monomial(0)", "dense, standard", "dense, bias", "mlp, standard", "residual, silu"}
"""Cases whose code for an array library is that of others."""

ATTENTION = (
    Case(
        "attention, softmax",
        _images(_attention(heads=2, query_std=1.5, bias_std=0.2), _just(nn.Erf()), _just(nn.GlobalAvgPool())),
        shape=(3, 2),
        width=128,
    ),
    Case(
        "attention, softmax, square root",
        _images(_many_heads(position_embedding="sum", position_length=1.5, position_std=0.7), _just(nn.Flatten())),
        shape=(2, 2, 2),
        limit=False,
    ),
    Case(
        "attention, identity, square root",
        _images(_many_heads(mechanism="identity", bias_std=0.2), _just(nn.Sin()), _just(nn.GlobalAvgPool())),
        shape=(2, 2),
        analytic=True,
        width=512,  # a quarter as many heads, over which random weights have to average out
    ),
    Case(
        "attention, relu, embedded",
        _images(
            lambda width: nn.Dense(width, 1.2),
            _attention(mechanism="relu", position_embedding="concat", position_length=1.5, position_in_values=True),
            _just(nn.Erf()),
            _just(nn.GlobalAvgPool()),
        ),
        shape=(2, 2),
        smooth=False,
        width=256,
    ),
    Case(
        "attention, abs",
        _images(_attention(heads=2, mechanism="abs", output_std=0.8), _just(nn.Flatten())),
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
        _images(
            _conv(3, 3), _just(nn.Sin()), _conv(2, 2, stride=2, padding="valid"), _just(nn.Erf()), _just(nn.Flatten())
        ),
        shape=(4, 3, 2),
        width=128,
    ),
    Case(
        "conv, global pooling",
        _images(
            lambda width: nn.Conv(2 * width, (3, 2), dilation=2, padding="circular", bias_std=0.2),
            _just(nn.Tanh()),
            lambda width: nn.Conv(2 * width, (2, 3), groups=2, weight_std=1.3),
            _just(nn.GELU()),
            _just(nn.GlobalAvgPool()),
        ),
        shape=(3, 4, 2),
        width=64,
    ),
    Case(
        "conv, pooling in the middle",
        _images(
            _conv(2, 2),
            _just(nn.AvgPool((2, 2), stride=1, padding="same", normalize_edges=True)),
            _just(nn.Erf()),
            _just(nn.SumPool((2, 2))),
            _conv(1, 2),
            _just(nn.Sin()),
            _just(nn.GlobalSumPool()),
        ),
        shape=(4, 4, 1),
        width=128,
    ),
    Case(
        "conv, one axis, standard",
        _images(
            _conv(3, parameterization="standard"),
            _just(nn.Erf()),
            lambda w: nn.Dense(w, 1.2, 0.1),
            _just(nn.Cos()),
            _just(nn.Flatten()),
        ),
        shape=(5, 2),
        width=128,
    ),
    Case(
        "conv, one axis, relu",
        _images(_conv(2, bias_std=0.0), _just(nn.ReLU()), _just(nn.GlobalAvgPool())),
        shape=(3, 1),
        smooth=False,
        width=256,
    ),
    Case(
        "conv, three axes", _images(_conv(2, 1, 2), _just(nn.Cos()), _just(nn.Flatten())), shape=(2, 2, 3, 1), width=256
    ),
    Case(
        "conv, residual",
        _images(_conv(3, 3), _residual_images, _just(nn.Tanh()), _just(nn.GlobalAvgPool())),
        shape=(3, 2, 2),
        width=128,
    ),
)
"""Networks on inputs with positions."""


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
        _images(
            _conv(3, 2),
            _just(nn.GELU()),
            _just(nn.LayerNorm(axes=(-1, -3))),
            lambda width: nn.Residual(nn.Sequential(nn.Conv(width, (2, 2), bias_std=0.3), nn.ReLU())),
            _just(nn.LayerNorm(0.1)),
            _just(nn.GlobalAvgPool()),
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
        _images(_just(nn.ChannelsLast()), _conv(2, 2, stride=2), _just(nn.Erf()), _just(nn.Flatten())),
        shape=(2, 3, 4),
        first=True,
        width=128,
    ),
    Case(
        "transposed convolution",
        _images(
            lambda w: nn.ConvTranspose(2 * w, (2, 3), stride=(2, 1), groups=2, weight_std=1.3, bias_std=0.2),
            _just(nn.Erf()),
            lambda w: nn.ConvTranspose(w, (2, 3), padding="valid", dilation=(2, 1), weight_std=1.2),
            _just(nn.Sin()),
            lambda w: nn.ConvTranspose(w, (3, 1), stride=(2, 1), padding="circular", bias_std=0.3),
            _just(nn.Erf()),
            _just(nn.GlobalAvgPool()),
        ),
        shape=(2, 2, 2),
        width=64,
    ),
    Case(
        "transposed convolution, relu",
        _images(
            lambda w: nn.ConvTranspose(w, (3,), stride=2, weight_std=1.3), _just(nn.ReLU()), _just(nn.GlobalAvgPool())
        ),
        shape=(2, 2),
        smooth=False,
        width=256,
    ),
    Case(
        "local convolution",
        _images(
            lambda w: nn.Conv(2 * w, (2,), bias_std=0.3),
            _just(nn.Erf()),
            lambda w: nn.ConvLocal(2 * w, (3,), stride=2, groups=2, weight_std=1.2, bias_std=0.2),
            _just(nn.ReLU()),
            _conv(2),
            _just(nn.Erf()),
            _just(nn.GlobalAvgPool()),
        ),
        shape=(5, 2),
        smooth=False,
        width=128,
    ),
    Case(
        "local convolution, standard",
        _images(
            lambda w: nn.ConvLocal(w, (2,), padding="valid", bias_std=0.3, parameterization="standard"),
            _just(nn.Erf()),
            _just(nn.Flatten()),
        ),
        shape=(4, 2),
        width=256,
    ),
    Case(
        "positions selected and resized",
        _images(
            lambda w: nn.Conv(w, (2, 2), bias_std=0.3),
            _just(nn.GELU()),
            _just(nn.Resize((3, 5), "linear")),
            _just(nn.Index((slice(None, None, -2), slice(1, 5)))),
            _conv(2, 1),
            _just(nn.ReLU()),
            _just(nn.Resize((3, 3))),
            _just(nn.Index(1)),
            _just(nn.GlobalAvgPool()),
        ),
        shape=(2, 3, 1),
        smooth=False,
        width=256,
    ),
    Case(
        "one position",
        _images(_conv(3), _just(nn.Erf()), _conv(2), _just(nn.Erf()), _just(nn.Index(-1))),
        shape=(4, 2),
        width=128,
    ),
    Case("cosines at the edge", _images(_conv(3), _just(nn.Cos()), _just(nn.GlobalAvgPool())), shape=(3, 2), width=256),
    Case("dropout", _around(nn.Dropout(0.3)), width=256),
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
        _images(
            _conv(2, 2),
            _just(nn.GELU()),
            _just(nn.Dropout(0.3, "train")),
            _conv(2, 1),
            _just(nn.ReLU()),
            _just(nn.GlobalAvgPool()),
        ),
        shape=(3, 2, 2),
        smooth=False,
        noisy=True,
        width=256,
    ),
    Case(
        "max pooling",
        _images(_conv(2, 2), _just(nn.MaxPool((2, 3), stride=2, padding="same")), _just(nn.Flatten())),
        shape=(4, 4, 1),
        smooth=False,
        limit=False,
    ),
    Case("batch norm", _around(nn.BatchNorm([0.3, 0.0, -1.0, 0.2, 0.5], [0.5, 1.0, 2.0, 0.1, 0.0], 0.1)), limit=False),
    Case("batch norm, a factor", _around(nn.BatchNorm(0.0, 1.5, 0.1)), width=256),
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
            _just(nn.Erf()),
            _just(nn.Aggregate()),
            lambda w: nn.Dense(w, 1.1, 0.2),
            lambda w: nn.Residual(nn.Sequential(nn.Sin(), nn.Aggregate(), nn.Dense(w, 0.8, 0.1))),
            _just(nn.Erf()),
            pool="mean",
        ),
        shape=(3, 6),
        width=128,
        graphs=True,
    ),
    Case(
        "graphs, sum of branches, root",
        _graphs(
            lambda w: nn.Sum(
                nn.Sequential(nn.Dense(w, 1.2), nn.ReLU(), nn.Aggregate()),
                nn.Sequential(nn.Aggregate(), nn.Dense(w, 1.1), nn.ReLU()),
            ),
            lambda w: nn.Dense(w, 1.2),
            _just(nn.ReLU()),
            _just(nn.Aggregate()),
            pool="root",
        ),
        shape=(3, 6),
        smooth=False,
        width=256,
        graphs=True,
    ),
)
"""Networks on graphs."""

CASES = (
    *IMAGES,
    *ATTENTION,
    *GRAPHS,
    *NORMALIZED,
    *OTHERS,
    *(
        Case(
            name,
            _mlp(1, activation=name, weight_std=WEIGHT_STD.get(name, 1.2), bias_std=0.3),
            smooth=name not in KINKED,
            analytic=name in ANALYTIC,
            limit=name not in LIKE_HARDTANH,
            ntk=name != "sign",
            rescaled=name != "hardtanh",
        )
        for name in NAMED
    ),
    Case("leaky_relu(0.2)", _mlp(1, activation=nn.LeakyReLU(0.2)), smooth=False),
    Case("abrelu", _mlp(1, activation=nn.ABReLU(-0.5, 1.2)), smooth=False),
    Case("erf(a, b, c)", _mlp(1, activation=nn.Erf(1.2, 0.8, 0.5), bias_std=0.3)),
    Case("sin(a, b, c)", _mlp(1, activation=nn.Sin(1.2, 0.8, 0.5), bias_std=0.3), analytic=True),
    Case("cos(a, b, c)", _mlp(1, activation=nn.Cos(1.2, 0.8, 0.5), bias_std=0.3), analytic=True),
    Case("monomial(2)", _mlp(1, activation=nn.Monomial(2)), analytic=True),
    Case(
        "polynomial",
        _mlp(1, activation=nn.Polynomial([0.2, -0.5, 0.3, 0.1]), weight_std=0.8, bias_std=0.3),
        analytic=True,
    ),
    Case("hermite(3)", _mlp(1, activation=nn.Hermite(3), weight_std=0.6, bias_std=0.3), analytic=True),
    Case("rectified_monomial(0)", _mlp(1, activation=nn.RectifiedMonomial(0)), smooth=False, ntk=False),
    Case("rectified_monomial(2)", _mlp(1, activation=nn.RectifiedMonomial(2)), smooth=False),
    Case("elementwise, smooth", _mlp(1, activation=BUMPY, bias_std=0.1), analytic=True),
    Case("elementwise, bent", _mlp(1, activation=BENT), smooth=False),
    Case("elementwise, closed form", _mlp(2, activation=CUBIC, weight_std=0.8, bias_std=0.1), analytic=True, width=256),
    Case("dense", lambda _, outputs: nn.Dense(outputs), analytic=True),
    Case("dense, bias", lambda _, outputs: nn.Dense(outputs, 1.5, 0.5), analytic=True),
    Case("dense, standard", lambda _, outputs: nn.Dense(outputs, 1.5, 0.0, "standard"), analytic=True),
    Case("dense, standard, bias", lambda _, outputs: nn.Dense(outputs, 1.5, 0.5, "standard"), analytic=True),
    Case("nested", _nested, width=256),
    Case("mlp, one layer", _mlp(1, activation="erf", weight_std=1.5, bias_std=0.1, readout_weight_std=0.8)),
    Case("mlp, two layers", _mlp(2, activation="relu"), smooth=False, width=256),
    Case("mlp, standard", _mlp(2, activation="erf", bias_std=0.2, parameterization="standard"), width=256),
    Case("mlp, standard, no bias", _mlp(1, activation="relu", parameterization="standard"), smooth=False),
    Case("sum", _sum, smooth=False, width=512),
    Case("sum at the end", _sum_at_the_end, width=512),
    Case("residual, relu", _residual(nn.ReLU()), smooth=False, width=256),
    Case("residual, gelu", _residual(nn.GELU(), 1), width=256),
    Case("residual, silu", _residual(nn.SiLU(), 1), analytic=True, width=256),
    Case("product", _product, analytic=True, width=512),
    Case("product, homogeneous", _homogeneous_product, smooth=False, width=512),
    Case("concatenate", _concatenate, smooth=False, width=256),
    Case("mixed", _mixed, smooth=False, width=256),
    Case("stranger's layer", _around(Gain()), analytic=True, width=512),
    Case("stranger's combinator", _difference, analytic=True, width=512),
    Case("stranger's activation", _around(Square()), analytic=True, width=512),
    Case("mlp, three layers", _mlp(3, activation="sin", weight_std=1.2, bias_std=0.3), analytic=True, width=256),
)


# ---- the reference, on the host ------------------------------------------------------------------------------------

STEP = 0.04


@dataclass(frozen=True)
class Problem:
    """A narrow network with parameters, a direction, inputs and cotangents; and its change along the direction."""

    params: object
    direction: object
    x: np.ndarray
    x2: np.ndarray
    u: np.ndarray
    output: np.ndarray
    change: np.ndarray


@cache
def problem(case: Case) -> Problem:
    rng = np.random.default_rng(sum(case.name.encode()))
    net = case.net
    params = net.init(rng, input_shape=case.shape)
    direction = tree_map(lambda leaf: rng.normal(size=leaf.shape), params)
    x = case.inputs(rng, 7 if case.smooth else 2000)
    if not case.smooth:
        x = _clear_of_kinks(net, params, direction, x)[:7]
        assert len(x) == 7, "no inputs are clear of the kinks: take a narrower network"

    def along(t: float) -> np.ndarray:
        return net(_moved(params, direction, t), x[:4])

    output = along(0.0)
    x2 = x[4:] * rng.uniform(0.9, 1.1, size=(3, *[1] * len(case.shape)))
    return Problem(params, direction, x[:4], x2, rng.normal(size=output.shape), output, _richardson(along))


def some_inputs(rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random directions on the sphere: numerical dual activations are quick for inputs of one norm."""
    x = rng.normal(size=(n, *shape))
    return x / np.sqrt(np.mean(x**2, axis=tuple(range(1, x.ndim)), keepdims=True))


def some_graphs(rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random directions and weights of edges; every second graph has a node less, and padding."""
    nodes, width = shape
    features = some_inputs(rng, n, (nodes, width - nodes - 1))
    sizes = [nodes - i % 2 for i in range(n)]
    return nn.graphs(features, rng.uniform(-0.5, 1.0, size=(n, nodes, nodes)), sizes=sizes)


def _moved(params, direction, t):
    return tree_map(lambda p, d: p + t * d, params, direction)


def _richardson(f: Callable[[float], np.ndarray], levels: int = 5) -> np.ndarray:
    """f'(0) from central differences at STEP, STEP / 2, ..., extrapolated: error O(STEP^(2 levels))."""
    steps = [STEP / 2**k for k in range(levels)]
    row = [(f(h) - f(-h)) / (2 * h) for h in steps]
    for j in range(1, levels):
        row = [fine + (fine - rough) / (4**j - 1) for rough, fine in pairwise(row)]
    return row[0]


def above_kinks(net: nn.Layer, params, x) -> Iterator[np.ndarray]:
    """The signs of what each activation of a network acts on, less each of its breakpoints."""
    if isinstance(net, nn.GraphNetwork):
        graphs = Graphs.of(x)
        bound = nn.Sequential(*(layer.on(graphs) for layer in net.layers))
        yield from above_kinks(bound, params, graphs.features)
    elif isinstance(net, Composite):
        for layer, own in zip(net.layers, params, strict=True):
            yield from above_kinks(layer, own, x)
            x = layer.forward(own, x)[0] if isinstance(net, nn.Sequential) else x
    elif isinstance(net, nn.MaxPool):
        yield net.forward({}, x)[1].element.reshape(len(x), -1)
    elif isinstance(net, Activation):
        yield from (np.sign(x.reshape(len(x), -1) - kink) for kink in net.breakpoints)
    elif isinstance(net, nn.SelfAttention) and net.mechanism in ("relu", "abs"):
        yield np.sign(net.forward(params, x)[1].heads.scores.reshape(len(x), -1))


def _clear_of_kinks(net, params, direction, x):
    """The inputs for which no preactivation crosses a kink within the steps of the difference quotient."""
    sides = [list(above_kinks(net, _moved(params, direction, t), x)) for t in np.linspace(-STEP, STEP, 9)]
    stays = [np.all(now == at_first, axis=1) for later in sides for now, at_first in zip(later, sides[0], strict=True)]
    return x[np.all(stays, axis=0)] if stays else x


# ---- a problem on a backend ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """A problem with its arrays on a backend."""

    net: nn.Layer
    params: object
    direction: object
    x: object
    x2: object
    u: object


def placed(case: Case, backend) -> Placed:
    host = problem(case)
    trees = (tree_map(backend.array, tree) for tree in (host.params, host.direction))
    return Placed(case.net, *trees, *(backend.array(a) for a in (host.x, host.x2, host.u)))


def jacobian_rows(here: Placed, backend, x) -> dict[str, np.ndarray]:
    """The explicit Jacobian on the host in float64: each parameter's share (N, C, its size)."""
    leaves = flatten(here.net.jacobian(here.params, x))
    return {name: backend.host(j).astype(float).reshape(*j.shape[:2], -1) for name, j in leaves.items()}


def gram_of(j1: np.ndarray, j2: np.ndarray, outputs: str) -> np.ndarray:
    """J J^T (N1, C, N2, C) and its reductions."""
    full = np.einsum("icp,jdp->icjd", j1, j2)
    match outputs:
        case "full":
            return full
        case "classwise":
            return np.einsum("icjc->cij", full)
        case "trace":
            return np.einsum("icjc->ij", full) / full.shape[1]
        case _:
            return full.sum(axis=(1, 3)) / full.shape[1]


def subsets(params) -> list[tuple[object, set[str]]]:
    """Values of trainable, and the names that each selects."""
    names = list(flatten(params))
    last = names[-1].rpartition(".")[0]
    found = [
        (None, set(names)),
        ("last", {name for name in names if name.rpartition(".")[0] == last}),
        (names[0], {names[0]}),
        ((names[-1], names[0]), {names[0], names[-1]}),
    ]
    prefix = names[0].rpartition(".")[0]
    return found + ([(prefix, {name for name in names if name.startswith(f"{prefix}.")})] if prefix else [])


# ---- checks --------------------------------------------------------------------------------------------------------


def check_derivative(case: Case, backend) -> None:
    """Output and J v against the host's difference quotient."""
    host, here = problem(case), placed(case, backend)
    backend.close(here.net(here.params, here.x), host.output, factor=100)
    # float64: 1e-10, what the difference quotient is good for; float32: rounding of the forward pass
    change = here.net.jvp(here.params, here.direction, here.x)
    backend.close(change, host.change, factor=1e-10 / backend.eps if backend.dtype_name == "float64" else 200)


def check_complex_step(case: Case) -> None:
    """J v against Im f(theta + i h v) / h, which has no rounding error of a difference."""
    host, h = problem(case), 1e-30
    f, _ = case.net.forward(_moved(host.params, host.direction, 1j * h), host.x)
    change = case.net.jvp(host.params, host.direction, host.x)
    np.testing.assert_allclose(change, f.imag / h, rtol=0, atol=1e-14 * np.abs(change).max())


def check_adjoint(case: Case, backend) -> None:
    """<u, J v> = <J^T u, v>."""
    here = placed(case, backend)
    forward = backend.host(here.u * here.net.jvp(here.params, here.direction, here.x)).astype(float)
    pulled = here.net.vjp(here.params, here.x, here.u)
    assert {k: v.shape for k, v in flatten(pulled).items()} == {k: v.shape for k, v in flatten(here.params).items()}
    pairs = zip(flatten(pulled).values(), flatten(here.direction).values(), strict=True)
    back = [backend.host(one).astype(float) * backend.host(two) for one, two in pairs]
    scale = sum(np.abs(b).sum() for b in back)
    backend.close(forward.sum(), np.asarray(sum(b.sum() for b in back)), factor=50, scale=scale)


def check_jacobian(case: Case, backend) -> None:
    """Structure, shapes, and J v."""
    here = placed(case, backend)
    jacobian = flatten(here.net.jacobian(here.params, here.x))
    n, outputs = here.u.shape
    shapes = {name: (n, outputs, *leaf.shape) for name, leaf in flatten(here.params).items()}
    assert {name: tuple(leaf.shape) for name, leaf in jacobian.items()} == shapes
    v = np.concatenate([backend.host(leaf).astype(float).ravel() for leaf in flatten(here.direction).values()])
    change = here.net.jvp(here.params, here.direction, here.x)
    rows = np.concatenate(list(jacobian_rows(here, backend, here.x).values()), axis=2)
    scale = float(np.max(np.abs(rows) @ np.abs(v)))
    backend.close(change, rows @ v, factor=50, scale=scale)


def check_gram(case: Case, backend, outputs: str) -> None:
    """Blocks, diagonals and products of the empirical NTK against J J^T, for subsets of the parameters."""
    here = placed(case, backend)
    all1, all2 = (jacobian_rows(here, backend, x) for x in (here.x, here.x2))
    for trainable, names in subsets(here.params)[: None if outputs == "full" else 2]:
        kernel = EmpiricalNTK(here.net, here.params, outputs, trainable)
        j1, j2 = (np.concatenate([j for name, j in rows.items() if name in names], axis=2) for rows in (all1, all2))
        symmetric, rectangular = gram_of(j1, j1, outputs), gram_of(j1, j2, outputs)
        scale = float(np.max(np.abs(symmetric)))
        # float64: 4e-14 of the largest entry
        backend.close(kernel(here.x), symmetric, factor=200, scale=scale)
        backend.close(kernel(here.x, here.x2), rectangular, factor=200, scale=scale)
        pairs = {"full": "icid->icd", "classwise": "cii->ci"}.get(outputs, "ii->i")
        backend.close(kernel.diag(here.x), np.einsum(pairs, symmetric), factor=200, scale=scale)
        if trainable in (None, "last"):
            _check_products(kernel, here, backend, symmetric, rectangular, scale)


def _check_products(kernel, here, backend, symmetric, rectangular, scale) -> None:
    rng = np.random.default_rng(1)
    formula = {"scalar": "ij,jc->ic", "classwise": "cij,jc->ic", "full": "icjd,jd->ic"}[kernel.kind]
    columns = 2 if kernel.kind == "scalar" else here.u.shape[1]
    v = rng.normal(size=(here.x2.shape[0], columns))
    product = kernel.matvec(here.x, here.x2, backend.array(v))
    backend.close(product, np.einsum(formula, rectangular, v), factor=500, scale=scale)
    v = rng.normal(size=(here.x.shape[0], columns))
    expected = np.einsum(formula, symmetric, v)
    if kernel.kind == "scalar":
        v, expected = v[:, 0], expected[:, 0]
    backend.close(kernel.matvec(here.x, None, backend.array(v)), expected, factor=500, scale=scale)


def check_symmetry(case: Case, backend, outputs: str) -> None:
    """Exactly symmetric, positive semidefinite up to rounding, and the same against a copy."""
    here = placed(case, backend)
    kernel = EmpiricalNTK(here.net, here.params, outputs)
    k = backend.host(kernel(here.x))
    backend.close(kernel(here.x, backend.array(problem(case).x)), k, factor=100)
    if outputs == "full":
        k = k.reshape(k.shape[0] * k.shape[1], -1)
    np.testing.assert_array_equal(k, np.swapaxes(k, -1, -2))
    smallest, largest = np.linalg.eigvalsh(k.astype(float))[..., [0, -1]].T
    assert np.all(smallest >= -100 * backend.eps * largest)


def check_batches(case: Case, backend) -> None:
    """Rows computed by themselves agree with those of the whole batch."""
    here = placed(case, backend)
    rows = [here.x[i : i + 1, ...] for i in range(here.x.shape[0])]
    whole = backend.host(here.net(here.params, here.x))
    backend.close(np.concatenate([backend.host(here.net(here.params, row)) for row in rows]), whole, factor=50)
    kernel = EmpiricalNTK(here.net, here.params)
    whole = backend.host(kernel(here.x))
    parts = [[backend.host(kernel(one, two)) for two in rows] for one in rows]
    backend.close(np.concatenate([np.concatenate(part, axis=2) for part in parts]), whole, factor=100)


def check_home(case: Case, backend) -> None:
    """Every result has the library, dtype and device of the inputs, and the inputs are as they were."""
    here, host = placed(case, backend), problem(case)
    net, params, x, x2, u = here.net, here.params, here.x, here.x2, here.u
    _check_at_home(x, net(params, x), net.jvp(params, here.direction, x))
    _check_at_home(
        x, *(leaf for tree in (net.vjp(params, x, u), net.init(0, like=x)) for leaf in flatten(tree).values())
    )
    for outputs in OUTPUTS:
        kernel = EmpiricalNTK(net, params, outputs)
        v = u[: x2.shape[0], :]
        _check_at_home(x, kernel(x), kernel(x, x2), kernel.diag(x), kernel.matvec(x, x2, v))
    for array, before in ((x, host.x), (x2, host.x2), (u, host.u)):
        np.testing.assert_array_equal(backend.host(array), before.astype(backend.dtype_name))
    for tree, before in ((params, host.params), (here.direction, host.direction)):
        for array, old in zip(flatten(tree).values(), flatten(before).values(), strict=True):
            np.testing.assert_array_equal(backend.host(array), old.astype(backend.dtype_name))


def _check_at_home(x, *results) -> None:
    for result in results:
        assert type(result) is type(x)
        assert home(result)[1:] == home(x)[1:]


# ---- infinite width ------------------------------------------------------------------------------------------------


def check_limit(case: Case, which: str) -> None:
    """Infinite width within 4 standard errors of random networks, the standard error at most 1 % of the kernel.

    Wide networks have a bias of O(1 / width), which is below that at the widths of the table. Fixed seeds.
    """
    x = case.inputs(np.random.default_rng(3), 4)
    x[2:] *= 0.95
    x[3] = -0.95 * x[0]
    if which == "ntk":
        net = case.build(case.width, 8)
        exact, drawn = InfiniteNTK(net), MonteCarloNTK
    else:  # many outputs: they are the samples here
        net = case.build(min(case.width, 512), 256)
        exact, drawn = InfiniteNNGP(net), MonteCarloNNGP
    k = exact(x)
    scale = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    pilot = drawn(net, 40, 10).estimate(x)
    needed = 40 * (np.max(pilot.standard_error / scale) / 0.0085) ** 2
    mean, error = drawn(net, max(40, int(needed)), 11).estimate(x)
    assert np.max(error / scale) <= 0.01, f"standard error {np.max(error / scale):.4f} of the kernel"
    # the second term: kernels without any randomness, such as that of one dense layer
    excess = np.abs(k - mean) / (4 * error + 1e-12 * scale)
    assert np.max(excess) <= 1, f"{4 * np.max(excess):.1f} standard errors off"


@cache
def infinite_on_host(case: Case) -> tuple[np.ndarray, np.ndarray]:
    host = problem(case)
    both = np.concatenate([host.x, host.x2])
    return case.kernel(case.net)(both), InfiniteNNGP(case.net)(both)


def check_infinite(case: Case, backend) -> None:
    """Infinite-width kernels on a backend: the host's values, exact symmetry, diagonal, semidefinite, home."""
    here, n = placed(case, backend), len(problem(case).x)
    ntk, nngp = infinite_on_host(case)
    cross = case.kernel(case.net)(here.x, here.x2)
    backend.close(cross, ntk[:n, n:], factor=200, scale=ntk.max())
    block = case.kernel(case.net)(here.x)
    # the angle between inputs loses digits near 0 and pi: these are random inputs and up to 3 layers
    backend.close(block, ntk[:n, :n], factor=200)
    diagonal = InfiniteNNGP(case.net).diag(here.x)
    backend.close(diagonal, np.diag(nngp)[:n], factor=50)
    _check_at_home(here.x, cross, block, diagonal)
    k = backend.host(block)
    np.testing.assert_array_equal(k, k.T)
    values = np.linalg.eigvalsh(k.astype(float))
    assert values[0] >= -200 * backend.eps * values[-1]


# ---- the rest of the protocol, on the host -------------------------------------------------------------------------


def check_signal(case: Case) -> None:
    """Shapes, of outputs and parameters, without drawing any; the degree of homogeneity."""
    net, host = case.net, problem(case)
    before = Signal(case.shape)
    assert net.signal(before).shape == host.output.shape[1:]
    expected = {name: parameter.shape for name, parameter in flatten(net.parameters(before)).items()}
    assert {name: leaf.shape for name, leaf in flatten(host.params).items()} == expected
    assert net.factor_count == _layers_with_parameters(net)
    degree, found = net.signal(before).degree, _degree(case)
    assert degree == found, f"f(a x) = a^{found} f(x) for a > 0, and the signal says {degree}"
    x = np.linspace(-2.0, 2.0, 41)[:, None]
    for phi in (layer for layer in leaves(net) if isinstance(layer, Activation)):
        there, opposite = phi.forward({}, x)[0], phi.forward({}, -x)[0]
        for fact, sign in (("odd", -1.0), ("even", 1.0)):
            holds = np.max(np.abs(opposite - sign * there)) < 1e-12
            assert getattr(phi, fact) == (holds and not isinstance(phi, nn.Elementwise)), f"{phi!r}: {fact} is wrong"


def _layers_with_parameters(net: nn.Layer) -> int:
    if isinstance(net, Composite):
        return sum(map(_layers_with_parameters, net.layers))
    return int(net.factor_count > 0)


def _degree(case: Case) -> float | None:
    """The p in f(a x) = a^p f(x), from outputs at a few multiples of the inputs; None where there is none."""
    host = problem(case)
    degrees = []
    for a in (0.5, 2.0, 3.0):
        output = case.net(host.params, a * host.x)
        factor = np.sum(output * host.output) / np.sum(host.output**2)
        if factor <= 0 or np.max(np.abs(output - factor * host.output)) > 1e-9 * np.max(np.abs(output)):
            return None
        degrees.append(np.log(factor) / np.log(a))
    return round(degrees[0], 9) if np.ptp(degrees) < 1e-9 else None


def check_gradient(case: Case, which: type[InfiniteNTK] | type[InfiniteNNGP]) -> None:
    """The derivative of the limit in hyper-parameters, against differences of rescaled kernels, to 1e-8 of the scale;
    rescaling by a factor that is no hyper-parameter changes nothing."""
    kernel, x = which(case.net), problem(case).x
    k = kernel(x)
    for name in ("log_weight_std", "log_bias_std"):
        factor = name.removeprefix("log_")
        if name not in kernel.hyperparameters:
            np.testing.assert_array_equal(kernel.rescaled(**{factor: 2.0})(x), k)
            continue
        expected = _richardson(lambda t, factor=factor: kernel.rescaled(**{factor: float(np.exp(t))})(x))
        slope = kernel.gradient(x, wrt=name)[name]
        np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-8 * np.max(np.abs(k)))
        np.testing.assert_array_equal(slope, slope.T)
        if case.noisy:
            continue
        copied = kernel.gradient(x, x.copy(), wrt=name)[name]
        np.testing.assert_allclose(copied, slope, rtol=0, atol=1e-7 * np.max(np.abs(k)))


def check_angles(case: Case) -> None:
    """At every place the angle that travels is that of the covariances, or there is none."""
    x = case.inputs(np.random.default_rng(5), 6)
    one, two = Inputs.of(x[:3]), Inputs.of(1.7 * x[3:])
    program = case.kernel(case.net).program(case.shape).fitted(Inputs.of(np.concatenate([x, 1.7 * x])), {})
    walks = [program.walk(batch, ntk=case.ntk).rows for batch in (one, two)]
    for place in range(len(program.steps) + 1):
        upto = program.upto(place)
        sine, k12 = (upto.run(program.between(one, two, ntk=case.ntk), *walks, read) for read in ("sine", "k12"))
        if sine is not None:
            count = len(program.signals[place].shape) - 1
            frame = Frame(count, count > 0 and sine.ndim == 2 * count + 2)
            row, column = frame.row(walks[0][place].variance), frame.column(walks[1][place].variance)
            # A zero row, such as padding, has no angle.
            known = row * column > 0
            squares = sine**2 + k12**2 / np.where(known, row * column, 1.0)
            np.testing.assert_allclose(squares[known], 1.0, rtol=0, atol=1e-10)


def check_tables(case: Case) -> None:
    """Unequal norms, and parts of a batch, whose tables have other ranges: the same kernel."""
    kernel = case.kernel(case.net)
    x = case.inputs(np.random.default_rng(6), 5)
    x = x * np.geomspace(0.8, 1.25, 5).reshape(-1, *[1] * len(case.shape))
    whole, error = kernel(x), kernel.quadrature_error(x)
    assert error < 1e-9
    scale = np.sqrt(np.outer(np.diag(whole), np.diag(whole)))
    rows = slice(0, 2) if case.noisy else slice(1, 3)  # the second has an input in common with the columns
    part = kernel(x[rows], x[2:4])
    assert np.max(np.abs(part - whole[rows, 2:4]) / scale[rows, 2:4]) < 1e-12 + 10 * error
    np.testing.assert_allclose(np.diag(whole), kernel.diag(x), rtol=4e-15)
    if not case.noisy:
        np.testing.assert_allclose(kernel(x, x.copy()), whole, rtol=0, atol=1e-7 * np.max(whole))


def check_files(case: Case, path) -> None:
    """Saved and loaded: the same network, the same parameters. Layers from elsewhere are refused."""
    net, params = case.net, problem(case).params
    if not all(type(layer).__module__.startswith("ntk_array.") for layer in leaves(net)):
        with pytest.raises(TypeError, match="cannot be saved"):
            nn.save(path, net, params)
        return
    nn.save(path, net, params)
    own = {layer.name: layer for layer in leaves(net) if isinstance(layer, nn.Elementwise)}
    loaded, read = nn.load(path, activations=own)
    assert loaded == net
    assert flatten(read).keys() == flatten(params).keys()
    np.testing.assert_array_equal(loaded(read, problem(case).x), net(params, problem(case).x))


def leaves(net: nn.Layer) -> Iterator[nn.Layer]:
    """All layers of a network, composites included."""
    yield net
    if isinstance(net, Composite):
        for layer in net.layers:
            yield from leaves(layer)


def check_pickling(case: Case) -> None:
    """Networks and kernels, before use and after."""
    x = problem(case).x
    net = pickle.loads(pickle.dumps(case.net))
    assert net == case.net
    np.testing.assert_array_equal(net(problem(case).params, x), problem(case).output)
    if case.limit:
        kernel = case.kernel(case.net)
        expected = kernel(x)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(kernel))(x), expected)


def inside(case: Case) -> list[Case]:
    """The network inside others: at the start of a Sequential, as a branch of a Sum, and its layers at the end of one.

    Branches see the same inputs, and the same cotangents. Behind an activation these are one for each input, so that a
    layer that writes into them is found.
    """

    def in_sequential(width: int, outputs: int) -> nn.Layer:
        return nn.Sequential(nn.Sequential(case.build(width, 4)), nn.Dense(outputs, 0.9, 0.1))

    def in_sum(width: int, outputs: int) -> nn.Layer:
        return nn.Sum(case.build(width, outputs), case.build(width, outputs), _linear(case, outputs))

    def at_the_end(leaf: nn.Layer) -> Callable[[int, int], nn.Layer]:
        branches = nn.Sum(nn.Sequential(nn.Dense(5, 1.1, 0.2), leaf), nn.Dense(5, 0.6))
        return lambda _, outputs: nn.Sequential(nn.Dense(5), branches, nn.Dense(5, 0.9), nn.Sin(), nn.Dense(outputs))

    small = [layer for layer in leaves(case.build(5, 5)) if not isinstance(layer, Composite)]
    ends = (
        []
        if len(case.shape) > 1
        else [leaf for leaf in dict.fromkeys(small) if leaf.signal(Signal((5,))).shape == (5,)]
    )
    builds = {"a sequential": in_sequential, "a sum": in_sum}
    builds |= {f"a branch that ends in {leaf!r}": at_the_end(leaf) for leaf in ends}
    return [replace(case, name=f"{case.name} in {name}", build=build) for name, build in builds.items()]


def _linear(case: Case, outputs: int) -> nn.Layer:
    """A linear network on the inputs of a case."""
    dense = nn.Dense(outputs, 0.6)
    return dense if len(case.shape) == 1 else nn.Sequential(nn.Flatten(), dense)


def check_nesting(case: Case, backend) -> None:
    """Derivatives, kernels and limits of networks that contain the network."""
    for nested in inside(case):
        check_derivative(nested, backend)
        check_adjoint(nested, backend)
        check_jacobian(nested, backend)
        check_gram(nested, backend, "full")
    if case.limit and not case.first:
        kernel, x = case.kernel, problem(case).x
        added = kernel(inside(case)[1].net)(x)
        parts = 2 * kernel(case.net)(x) + kernel(_linear(case, 1))(x)
        np.testing.assert_allclose(added, parts, rtol=0, atol=1e-12 * np.max(np.abs(parts)))
