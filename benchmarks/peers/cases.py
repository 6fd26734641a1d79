"""The kernels that are timed: network, parameters and inputs, from NumPy alone, so that every library has the same."""

import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

PLANTED = (1e-2, 1e-4, 1e-7)
"""Angles to the first input, and to its opposite, of the inputs that follow it."""
DUPLICATE = 1 + 2 * len(PLANTED)
"""The input that equals the first."""


@dataclass(frozen=True)
class Case:
    """One kernel on one batch of inputs.

    ``widths`` are those of the hidden layers; for an infinite network only their number counts. ``equal_norms`` puts
    the inputs on a sphere, to rounding; otherwise they are normal, and have norms that differ.

    With ``image``, the sizes of its axes, inputs are images of ``features`` channels. Hidden layers are then
    convolutions of 3 x 3 with zeros at the edges, and ``readout`` says what the output sees of the last.
    """

    n: int
    features: int
    widths: tuple[int, ...]
    outputs: int = 0
    activation: str = "relu"
    weight_std: float = 2**0.5
    bias_std: float = 0.0
    parameterization: str = "ntk"
    dtype: str = "float64"
    equal_norms: bool = False
    degree: int = 0
    """Of a peer's quadrature, where it has one."""
    compiled: bool = True
    """Whether ours may use Numba."""
    image: tuple[int, ...] = ()
    readout: str = "average"
    """Of images: "average" over all positions, or "flatten"."""

    @property
    def infinite(self) -> bool:
        """Without a number of outputs the network is infinitely wide."""
        return not self.outputs

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """The inputs and outputs of each dense layer or convolution of a finite network."""
        *hidden, last = pairwise((self.features, *self.widths, self.outputs))
        return (*hidden, (last[0] * self.positions if self.readout == "flatten" else last[0], last[1]))

    @property
    def positions(self) -> int:
        """How many an image has."""
        return math.prod(self.image)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Of convolutions; empty for dense layers."""
        return (3,) * len(self.image)

    def inputs(self) -> np.ndarray:
        """(n, *image, features); the first ones are nearly equal and nearly opposite, see PLANTED, one is equal.

        Fewer inputs are the first ones of more.
        """
        size = self.positions * self.features
        x = np.random.default_rng(1).standard_normal((self.n, size))
        across = np.random.default_rng(0).standard_normal(size)
        across -= (across @ x[0]) / (x[0] @ x[0]) * x[0]
        across *= np.linalg.norm(x[0]) / np.linalg.norm(across)
        for i, t in enumerate(PLANTED):
            x[1 + 2 * i] = np.cos(t) * x[0] + np.sin(t) * across
            x[2 + 2 * i] = -x[1 + 2 * i]
        x[DUPLICATE] = x[0]
        if self.equal_norms:
            x *= np.sqrt(size) / np.linalg.norm(x, axis=1, keepdims=True)
        return x.reshape(self.n, *self.image, self.features).astype(self.dtype)

    def parameters(self) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """The weight (n_out, *kernel_size, n_in) and the bias (n_out,), if there is one, of each layer."""
        rng = np.random.default_rng(2)
        standard = self.parameterization == "standard"
        found = []
        for i, (n_in, n_out) in enumerate(self.layers):
            size = self.kernel_size if i < len(self.widths) else ()
            fan_in = math.prod(size) * n_in
            weight = rng.standard_normal((n_out, *size, n_in)) * (self.weight_std / fan_in**0.5 if standard else 1.0)
            bias = rng.standard_normal(n_out) * (self.bias_std if standard else 1.0)
            found.append((weight.astype(self.dtype), bias.astype(self.dtype) if self.bias_std else None))
        return found

    def to_json(self) -> str:
        """Text from which :meth:`from_json` makes the case again."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Case":
        """The case of :meth:`to_json`."""
        fields = json.loads(text)
        return Case(**{**fields, "widths": tuple(fields["widths"]), "image": tuple(fields["image"])})
