"""The kernels that are timed: network, parameters and inputs, from NumPy alone, so that every library has the same."""

import json
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

    @property
    def infinite(self) -> bool:
        """Without a number of outputs the network is infinitely wide."""
        return not self.outputs

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """The inputs and outputs of each dense layer of a finite network."""
        sizes = (self.features, *self.widths, self.outputs)
        return tuple(pairwise(sizes))

    def inputs(self) -> np.ndarray:
        """(n, features); the first ones are nearly equal and nearly opposite, see PLANTED, one is equal.

        Fewer inputs are the first ones of more.
        """
        x = np.random.default_rng(1).standard_normal((self.n, self.features))
        across = np.random.default_rng(0).standard_normal(self.features)
        across -= (across @ x[0]) / (x[0] @ x[0]) * x[0]
        across *= np.linalg.norm(x[0]) / np.linalg.norm(across)
        for i, t in enumerate(PLANTED):
            x[1 + 2 * i] = np.cos(t) * x[0] + np.sin(t) * across
            x[2 + 2 * i] = -x[1 + 2 * i]
        x[DUPLICATE] = x[0]
        if self.equal_norms:
            x *= np.sqrt(self.features) / np.linalg.norm(x, axis=1, keepdims=True)
        return x.astype(self.dtype)

    def parameters(self) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """The weight (n_out, n_in) and the bias (n_out,), if there is one, of each layer, as the layer takes them."""
        rng = np.random.default_rng(2)
        standard = self.parameterization == "standard"
        found = []
        for n_in, n_out in self.layers:
            weight = rng.standard_normal((n_out, n_in)) * (self.weight_std / n_in**0.5 if standard else 1.0)
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
        return Case(**{**fields, "widths": tuple(fields["widths"])})
