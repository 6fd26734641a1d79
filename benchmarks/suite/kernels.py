"""Gram matrices of infinite-width and empirical kernels."""

import numpy as np

import ntk_array as ntk

from .inputs import batch


class InfiniteGram:
    """InfiniteNTK of an MLP of depth 3 with biases, symmetric, 64 features."""

    params = (("relu", "erf", "tanh"), (300, 1000), ("float32", "float64"))
    param_names = ("activation", "n", "dtype")

    def setup(self, activation: str, n: int, dtype: str) -> None:
        net = ntk.nn.mlp((1, 1, 1), 1, activation=activation, weight_std=1.5, bias_std=0.1)
        self.kernel = ntk.InfiniteNTK(net)
        self.x = batch(n, 64, dtype)

    def time_gram(self, activation: str, n: int, dtype: str) -> None:
        self.kernel(self.x)

    def peakmem_gram(self, activation: str, n: int, dtype: str) -> None:
        self.kernel(self.x)

    def track_error_against_float64(self, activation: str, n: int, dtype: str) -> float:
        """Largest difference from float64 on the same inputs, relative to the diagonal."""
        sample = self.x[:100]
        exact = self.kernel(sample.astype("float64"))
        return float(np.max(np.abs(self.kernel(sample) - exact)) / np.max(exact))


class FirstGram:
    """The first call for an activation without a closed form, which tabulates its dual: norms within a factor."""

    params = (2.0, 8.0)
    param_names = ("factor",)
    number, warmup_time = 1, 0.0

    def setup(self, factor: float) -> None:
        x = batch(300, 64, "float64")
        self.x = x / np.linalg.norm(x, axis=1, keepdims=True) * np.geomspace(8.0, 8.0 * factor, 300)[:, None]

    def time_first_gram(self, factor: float) -> None:
        # Tables are kept for an activation, and this one is new.
        activation = ntk.nn.Elementwise(lambda xp, x: xp.tanh(x), lambda xp, x: 1.0 - xp.tanh(x) ** 2)
        ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation=activation, bias_std=0.1))(self.x)


class EmpiricalGram:
    """The full empirical NTK of 64-256-256-10, symmetric, float32."""

    params = ((64, 256), (0.0, 0.1))
    param_names = ("n", "bias_std")

    def setup(self, n: int, bias_std: float) -> None:
        self.x = batch(n, 64, "float32")
        self.net = ntk.nn.mlp((256, 256), 10, bias_std=bias_std)
        self.params = self.net.init(0, like=self.x)
        self.kernel = ntk.EmpiricalNTK(self.net, self.params)

    def time_full(self, n: int, bias_std: float) -> None:
        self.kernel(self.x)

    def peakmem_full(self, n: int, bias_std: float) -> None:
        self.kernel(self.x)

    def time_trace(self, n: int, bias_std: float) -> None:
        ntk.EmpiricalNTK(self.net, self.params, outputs="trace")(self.x)

    def track_error_against_jacobian(self, n: int, bias_std: float) -> float:
        """Largest difference from J J^T in float64, relative to its largest entry."""
        x = self.x[:8].astype("float64")
        params = self.net.init(0, like=x)
        leaves = [leaf for layer in self.net.jacobian(params, x) for leaf in layer.values()]
        rows = np.concatenate([leaf.reshape(80, -1) for leaf in leaves], axis=1)
        exact = rows @ rows.T
        return float(np.max(np.abs(self.kernel(self.x[:8]).reshape(80, 80) - exact)) / np.max(exact))
