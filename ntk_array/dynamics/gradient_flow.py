"""Training by gradient flow, in closed form."""

import math
from collections.abc import Callable
from typing import Any

from .._array.namespace import Array, home
from .._array.validate import time_points
from ..function_space.cost import Cost
from ..kernels.base import Kernel
from .spectral import SpectralDynamics

__all__ = ["GradientFlow"]


class GradientFlow(SpectralDynamics):
    """Kernel gradient flow of the squared error, d/dt f_t = -grad_K C|_{f_t}, at any time in closed form.

    With S = Theta + ridge I over the N training points, C(f) = (1/N) sum ||f(x_i) - y_i||^2 and
    phi_t(s) = (1 - exp(-2 t s / N)) / s (another convention of :class:`~ntk_array.function_space.SquaredError`, c times
    that, has c t in place of t),

        f_t(x) = f_0(x) + Theta(x, X) phi_t(S) (y - f_0(X))

    (Jacot et al. 2018, section 5; Lee et al. 2019, eq. 8 and 9). At t = inf it is kernel regression. S is
    diagonalized once, at construction, and never inverted.

    Parameters
    ----------
    kernel : Kernel
        Theta. A kernel (N, N) is the same for every output; "classwise" is C flows; "full" couples the outputs.
    cost : SquaredError
        The sample, its weights and the targets.
    f0 : callable, optional
        The function at t = 0, such as ``net.bind(params)``. None is the centred network, f_0 = 0.
    ridge : float
        Added to the kernel. It is weight decay (rho/2) ||theta - theta_0||^2 with ridge = rho N / 2, in another
        convention rho N / (2 c): the limit depends on the ridge and not on the convention.

    Attributes
    ----------
    spectrum : Spectrum
        Eigenvalues of the weighted kernel matrix, its rank, condition number and the cut-off.

    Notes
    -----
    Directions whose eigenvalue of S is below the cut-off n eps lambda_max cannot be told from null directions, in
    which a positive semidefinite kernel changes no prediction, on the sample or off it. They are kept while t is so
    short that this does not matter and left out afterwards: the limit is the solution of minimum norm.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the kernel matrix is not positive semidefinite.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> rng = np.random.default_rng(0)
    >>> x, x_new = rng.normal(size=(20, 3)), rng.normal(size=(5, 3))
    >>> cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), np.sin(x[:, 0]))
    >>> flow = ntk.dynamics.GradientFlow(ntk.InfiniteNTK(ntk.nn.mlp((1,), 1)), cost)
    >>> flow.predict(x_new).shape, flow.predict(x_new, t=[1.0, 10.0, 100.0]).shape
    ((5,), (3, 5))
    >>> bool(np.allclose(flow.predict(), np.sin(x[:, 0])))
    True
    """

    def __init__(
        self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None = None, ridge: float = 0.0
    ) -> None:
        super().__init__(kernel, cost, f0, ridge)

    def predict(self, x_new: Array | None = None, t: Any = math.inf) -> Array:
        """f_t at new inputs.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.
        t : float or sequence of float
            Times of d/dt f = -grad_K C, from 0 to inf. Gradient descent with step eta is at t = eta k.

        Returns
        -------
        array
            (M, C), or (T, M, C) for T times; without the last axis where the targets were (N,).
        """
        times = time_points(t)
        flows = self._evolve(x_new, times.ravel().tolist())
        return home(self.cost.y).xp.stack(flows) if times.ndim else flows[0]

    def _speed(self, time: float) -> float:
        return self._rate * time

    def _phi(self, s: Array, time: float) -> Array:
        xp, dtype, _ = home(s)
        rate, positive = self._speed(time), s > 0
        safe = xp.where(positive, s, 1.0)
        fastest = self.spectrum.largest + self.ridge
        if rate == math.inf or rate * fastest > 0.01 * float(xp.finfo(dtype).max):
            return 1.0 / safe  # the directions in which this is not the limit are the unresolved ones
        return xp.where(positive, -xp.expm1(-rate * s) / safe, rate)
