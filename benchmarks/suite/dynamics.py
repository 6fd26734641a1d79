"""Gradient flow and training."""

import numpy as np

import ntk_array as ntk

from .inputs import batch, regression


class Flow:
    """GradientFlow of the infinite ReLU NTK: decomposition once, then predictions at 100 times."""

    params = ((300, 1000),)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        self.cost = regression(n, 16)
        self.kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
        self.flow = ntk.dynamics.GradientFlow(self.kernel, self.cost)
        self.x_new = batch(50, 16)

    def time_construct(self, n: int) -> None:
        ntk.dynamics.GradientFlow(self.kernel, self.cost)

    def time_predict(self, n: int) -> None:
        self.flow.predict(self.x_new, np.geomspace(1e-2, 1e6, 100))

    def track_residual_at_infinity(self, n: int) -> float:
        """Largest training residual of kernel regression."""
        return float(np.max(np.abs(self.flow.predict() - self.cost.y)))


class Training:
    """Fifty steps of full-batch gradient descent on 16-256-256-2."""

    def setup(self) -> None:
        self.cost = regression(200, 16)
        self.net = ntk.nn.mlp((256, 256), 2)
        self.params = self.net.init(0, like=self.cost.p_in.x)

    def time_train(self) -> None:
        ntk.nn.train(self.net, self.params, self.cost, step=0.05, steps=50)
