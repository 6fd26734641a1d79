"""Training by gradient flow, in closed form."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._array.namespace import Array, home, is_array, to_host
from .._array.validate import nonnegative, real_array, same_home
from ..function_space.cost import Cost, SquaredError
from ..kernels.base import Kernel
from ..solve.spectrum import decompose
from .outputs import stack_block, stack_values, unstack_values

__all__ = ["GradientFlow"]


class GradientFlow:
    """Kernel gradient flow of the squared error, d/dt f_t = -grad_K C|_{f_t}, at any time in closed form.

    With S = Theta + ridge I over the N training points, C(f) = (1/N) sum ||f(x_i) - y_i||^2 and
    phi_t(s) = (1 - exp(-2 t s / N)) / s,

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
        Added to the kernel. It is weight decay (rho/2) ||theta - theta_0||^2 with ridge = rho N / 2.

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
        if not isinstance(kernel, Kernel):
            raise TypeError(f"kernel must be a kernel such as ntk_array.InfiniteNTK(net), got {kernel!r}")
        if not isinstance(cost, SquaredError):
            raise TypeError(f"the flow has a closed form for SquaredError only, got {type(cost).__name__}")
        if f0 is not None and not callable(f0):
            raise TypeError("f0 must be a function of x, such as net.bind(params), or None for a centred network")
        self.kernel, self.cost, self.f0 = kernel, cost, f0
        self.ridge = nonnegative("ridge", ridge)
        p_in, y = cost.p_in, cost.y
        xp, n = home(y).xp, len(p_in)
        self._initial = self._f0(p_in.x)
        residual = stack_values(kernel.kind, y - self._initial)
        gram = stack_block(kernel.kind, kernel(p_in.x))
        if gram.shape[0] != residual.shape[0] or gram.shape[1] != residual.shape[1]:
            raise ValueError(
                f"the kernel and the targets disagree on the number of outputs: the kernel matrix is "
                f"{tuple(gram.shape)}, the targets are {tuple(y.shape)}"
            )
        # With weights the flow is symmetric in the variables sqrt(N w_i) f(x_i).
        self._root = None
        if not p_in.uniform:
            columns = xp.broadcast_to(xp.sqrt(n * p_in.column_weights), y.shape)
            self._root = stack_values(kernel.kind, columns)[..., :1]
            gram = self._root * gram * xp.matrix_transpose(self._root)
            residual = self._root * residual
        self.spectrum = decompose(gram)
        self._coordinates = xp.matrix_transpose(self.spectrum.vectors) @ residual

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
        times = _times(t)
        spectrum, kind, outputs = self.spectrum, self.kernel.kind, self.cost.y.shape[1]
        x = self.cost.p_in.x
        xp = home(x).xp
        if x_new is None:
            start, features = self._initial, spectrum.vectors * spectrum.values[:, None, :]
            features = features if self._root is None else features / self._root
        else:
            cross = stack_block(kind, self.kernel(x_new, x))
            cross = cross if self._root is None else cross * xp.matrix_transpose(self._root)
            start, features = self._f0(x_new), cross @ spectrum.vectors
        flows = [
            self.cost.shaped(start + unstack_values(kind, features @ (self._filter(time) * self._coordinates), outputs))
            for time in times.ravel().tolist()
        ]
        return xp.stack(flows) if times.ndim else flows[0]

    def _filter(self, t: float) -> Array:
        """phi_t of the eigenvalues of S, (B, n, 1)."""
        spectrum, n = self.spectrum, len(self.cost.p_in)
        place = home(spectrum.values)
        xp, eps = place.xp, place.eps
        s = spectrum.values + self.ridge
        resolved = s > spectrum.cutoff
        safe = xp.where(s > 0, s, 1.0)
        rate = 2.0 * t / n
        largest = spectrum.largest + self.ridge
        if rate * largest > 0.01 * float(xp.finfo(place.dtype).max):
            rate = math.inf
        phi = 1.0 / safe if rate == math.inf else xp.where(s > 0, -xp.expm1(-rate * s) / safe, rate)
        if rate * max(spectrum.cutoff, 1e-300) > math.sqrt(eps):
            phi = xp.where(resolved, phi, 0.0)
        return phi[..., None]

    def _f0(self, x: Array) -> Array:
        """f_0 at inputs (M, ...), as (M, C)."""
        y = self.cost.y
        xp = home(y).xp
        if self.f0 is None:
            return xp.zeros((x.shape[0], y.shape[1]), dtype=home(y).dtype, device=home(y).device)
        values = real_array("f0(x)", self.f0(x))
        values = values[:, None] if values.ndim == 1 else values
        same_home(**{"y": y, "f0(x)": values})
        if values.shape != (x.shape[0], y.shape[1]):
            raise ValueError(f"f0(x) has shape {tuple(values.shape)}; expected ({x.shape[0]}, {y.shape[1]})")
        return values


def _times(t: Any) -> np.ndarray:
    times = np.asarray(to_host(t) if is_array(t) else t, dtype=np.float64)
    if times.ndim > 1 or not (times >= 0).all():
        raise ValueError(f"t must be a time or a sequence of times, from 0 to inf, got {t!r}")
    return times
