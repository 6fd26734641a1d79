"""A kernel for the Gaussian processes of scikit-learn."""

import math
from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from .._array.validate import count, one_of
from ..kernels.base import Kernel as NetworkKernel
from ..kernels.infinite import INFINITE_KERNELS
from ..nn.builders import mlp

__all__ = ["NTKKernel"]

STEP = float(np.finfo(np.float64).eps) ** (1.0 / 3.0)
"""Of central differences: errors of rounding and of the formula are then both about eps^(2/3), 4e-11."""


class NTKKernel(Kernel):  # type: ignore[misc]
    """The kernel of an infinitely wide perceptron, for ``sklearn.gaussian_process``.

    It combines with the kernels of scikit-learn, as in ``ConstantKernel() * NTKKernel() + WhiteKernel()``, and its
    hyper-parameters weight_std and bias_std are found with theirs, by derivatives in their logarithms (central
    differences of kernel values, right to about 1e-10).

    Parameters
    ----------
    kernel : "ntk" or "nngp"
        The neural tangent kernel, or the covariance of the network's outputs at initialization.
    depth : int
        Hidden layers.
    activation : str or Activation
        A name such as "relu", "gelu", "erf", or a layer of :mod:`ntk_array.nn`.
    weight_std : float
        The standard deviation of all weights, in the NTK parameterization.
    bias_std : float
        That of all biases. 0.0 is a network without biases, and stays 0.
    weight_std_bounds, bias_std_bounds : pair of floats or "fixed"
        Between which values scikit-learn's optimizer looks.

    Notes
    -----
    For a homogeneous activation such as ReLU and no bias, weight_std is a factor of the kernel and says the same as a
    ``ConstantKernel``: fix one of them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import WhiteKernel
    >>> from ntk_array.sklearn import NTKKernel
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 2))
    >>> y = np.cos(x[:, 0]) + 0.1 * rng.normal(size=60)
    >>> process = GaussianProcessRegressor(NTKKernel(activation="erf") + WhiteKernel()).fit(x, y)
    >>> mean, std = process.predict(x[:5], return_std=True)
    >>> mean.shape, std.shape
    ((5,), (5,))
    """

    def __init__(
        self,
        kernel: str = "ntk",
        depth: int = 2,
        activation: Any = "relu",
        weight_std: float = 2**0.5,
        bias_std: float = 0.1,
        weight_std_bounds: Any = (0.1, 10.0),
        bias_std_bounds: Any = (1e-2, 10.0),
    ) -> None:
        self.kernel = kernel
        self.depth = depth
        self.activation = activation
        self.weight_std = weight_std
        self.bias_std = bias_std
        self.weight_std_bounds = weight_std_bounds
        self.bias_std_bounds = bias_std_bounds

    @property
    def hyperparameter_weight_std(self) -> Any:
        """As scikit-learn describes hyper-parameters."""
        return Hyperparameter("weight_std", "numeric", self.weight_std_bounds)

    @property
    def hyperparameter_bias_std(self) -> Any:
        """The logarithm of 0 cannot be searched."""
        return Hyperparameter("bias_std", "numeric", "fixed" if self.bias_std == 0 else self.bias_std_bounds)

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """K(X, Y), and with ``eval_gradient`` its derivatives (N, N, P) in the logarithms of P hyper-parameters.

        ValueError if derivatives are asked for between two batches.
        """
        kernel, x = self._kernel(), np.atleast_2d(np.asarray(X, dtype=np.float64))
        values = kernel(x, None if Y is None else np.atleast_2d(np.asarray(Y, dtype=np.float64)))
        if not eval_gradient:
            return values
        if Y is not None:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        names = [one.name for one in self.hyperparameters if not one.fixed]
        slopes = np.empty((*values.shape, len(names)))
        for i, name in enumerate(names):
            # Values run as compiled loops, and kernel.gradient layer by layer: differences take a tenth of its time.
            up, down = (kernel.rescaled(**{name: math.exp(step)})(x) for step in (STEP, -STEP))
            slopes[..., i] = (up - down) / (2.0 * STEP)
        return values, slopes

    def diag(self, X: Any) -> np.ndarray:
        """K(x, x) for each x."""
        values: np.ndarray = self._kernel().diag(np.atleast_2d(np.asarray(X, dtype=np.float64)))
        return values

    def is_stationary(self) -> bool:
        """It depends on more than differences of inputs."""
        return False

    def __repr__(self) -> str:
        return (
            f"NTKKernel({self.kernel!r}, depth={self.depth}, activation={self.activation!r}, "
            f"weight_std={self.weight_std:.3g}, bias_std={self.bias_std:.3g})"
        )

    def _kernel(self) -> NetworkKernel:
        net = mlp(
            (1,) * count("depth", self.depth),
            1,
            activation=self.activation,
            weight_std=float(self.weight_std),
            bias_std=float(self.bias_std),
        )
        return INFINITE_KERNELS[one_of("kernel", self.kernel, tuple(INFINITE_KERNELS))](net)
