"""Gradient flow and training."""

import numpy as np

import ntk_array as ntk

from .inputs import batch, regression


class Flow:
    """GradientFlow of the infinite ReLU NTK: the matrix, its decomposition once, then predictions at 100 times."""

    params = ((300, 1000),)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        self.cost = regression(n, 16)
        self.kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
        self.flow = ntk.dynamics.GradientFlow(self.kernel, self.cost)
        self.x_new = batch(50, 16)
        self.flow.spectrum  # noqa: B018 - predictions are timed without it

    def time_construct(self, n: int) -> None:
        ntk.dynamics.GradientFlow(self.kernel, self.cost).spectrum  # noqa: B018

    def time_predict(self, n: int) -> None:
        self.flow.predict(self.x_new, np.geomspace(1e-2, 1e6, 100))

    def track_residual_at_infinity(self, n: int) -> float:
        """Largest training residual of kernel regression."""
        return float(np.max(np.abs(self.flow.predict() - self.cost.y)))


class Regression:
    """A Gaussian process with noise: its fit, and 200 means, by each solver."""

    params = ((1000,), ("cholesky", "spectrum", "conjugate_gradient"))
    param_names = ("n", "solver")

    def setup(self, n: int, solver: str) -> None:
        cost = regression(n, 16)
        self.x, self.y, self.x_new = cost.p_in.x, cost.y, batch(200, 16)
        self.kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))

    def time_fit_and_predict(self, n: int, solver: str) -> None:
        ntk.dynamics.GaussianProcess(self.kernel, self.x, self.y, 0.1, solver).predict(self.x_new, covariance=None)

    def track_residual(self, n: int, solver: str) -> float:
        """Of the coefficients, relative to the targets."""
        return ntk.dynamics.GaussianProcess(self.kernel, self.x, self.y, 0.1, solver).solved.residual


class Training:
    """Fifty steps of full-batch gradient descent on 16-256-256-2."""

    def setup(self) -> None:
        self.cost = regression(200, 16)
        self.net = ntk.nn.mlp((256, 256), 2)
        self.params = self.net.init(0, like=self.cost.p_in.x)

    def time_train(self) -> None:
        ntk.nn.train(self.net, self.params, self.cost, step=0.05, steps=50)
