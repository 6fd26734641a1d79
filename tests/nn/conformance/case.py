"""A family of networks to test, and what such families are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ntk_array import InfiniteNNGP, InfiniteNTK, nn
from ntk_array.nn.activations import NAMED

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
    packed: str | None = None  # "graphs" or "padded": what its inputs are

    def inputs(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Random inputs."""
        return PACKED[self.packed](rng, n, self.shape)

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


def mlp(depth: int, **options) -> Callable[[int, int], nn.Layer]:
    return lambda width, outputs: nn.mlp((width,) * depth, outputs, **options)


def activated(width: int, activation: nn.Layer) -> nn.Layer:
    """A dense layer and an activation, with nothing behind it: a branch whose values are not centred."""
    return nn.Sequential(nn.Dense(width, 1.1, 0.3), activation)


def around(layer: nn.Layer) -> Callable[[int, int], nn.Layer]:
    """A network with the layer in its middle."""
    return lambda width, outputs: nn.Sequential(nn.Dense(width, 1.2, 0.3), layer, nn.Dense(outputs, 1.1, 0.2))


def images(*layers: Callable[[int], nn.Layer]) -> Callable[[int, int], nn.Layer]:
    """Layers made for a width, and a readout."""
    return lambda width, outputs: nn.Sequential(*(layer(width) for layer in layers), nn.Dense(outputs, 1.1, 0.2))


def conv(*size: int, **options) -> Callable[[int], nn.Layer]:
    return lambda width: nn.Conv(width, size, **({"weight_std": 1.3, "bias_std": 0.2} | options))


def just(layer: nn.Layer) -> Callable[[int], nn.Layer]:
    return lambda _: layer


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


def some_padded(rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random directions; of four inputs that follow one another only the first has all positions."""
    *positions, width = shape
    values, mask = some_inputs(rng, n, (*positions, width - 1)), np.ones((n, *positions))
    for axis in range(len(positions)):
        mask[axis + 1 :: 4].swapaxes(1, axis + 1)[:, -1] = 0.0
    mask[3::4, -2:] = 0.0
    return nn.padded(values, mask=mask)


PACKED = {None: some_inputs, "graphs": some_graphs, "padded": some_padded}
