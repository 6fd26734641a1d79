"""The distribution of trained networks over their initializations, in the infinite-width limit."""

import math
from collections.abc import Sequence
from typing import Any

from .._array.namespace import Array, home
from .._array.validate import time_points
from ..function_space.cost import Cost, SquaredError
from ..kernels.base import Kernel
from ..kernels.infinite import InfiniteNNGP, InfiniteNTK
from ..nn.layer import Layer
from .gaussian import Gaussian, scalar_kernel
from .problem import refuse_other_outputs
from .spectral_flow import SpectralFlow

__all__ = ["Ensemble"]


class Ensemble:
    """The distribution over initializations of f_t, trained by gradient flow of the squared error.

    At infinite width each output of f_0 is a Gaussian process with mean zero and covariance K, the NNGP kernel, and f_t
    is linear in f_0 (:class:`GradientFlow`). So f_t is Gaussian too. With A_t(x) = Theta(x, X) phi_t(S),
    S = Theta + ridge I over the N training points, and phi_t(s) = (1 - exp(-2 t s / N)) / s,

        mean(x) = A_t(x) y,
        covariance(x, x') = K(x, x') + A_t(x) K(X, X) A_t(x')^T - A_t(x) K(X, x') - K(x, X) A_t(x')^T

    (Lee et al. 2019, eq. 13 to 15). Time is that of d/dt f_t = -grad_K C|_{f_t} with
    C(f) = (1/N) sum ||f(x_i) - y_i||^2: gradient descent with step eta is at t = eta k after k steps. Another
    convention of :class:`~ntk_array.function_space.SquaredError`, c times that, has c t in place of t.

    ``Ensemble(nngp, nngp, cost)`` trains the last layer only, whose kernel is K: at t = inf its distribution is the
    posterior of :class:`GaussianProcess` without noise. ``Ensemble.of(net, cost, trainable=...)`` trains any layers.

    Parameters
    ----------
    ntk_kernel : Kernel
        Theta, the kernel whose gradient flow f_t follows.
    nngp_kernel : Kernel
        K, the covariance of f_0.
    cost : SquaredError
        The sample, its weights and the targets.
    ridge : float
        Added to Theta: weight decay (rho/2) ||theta - theta_0||^2 with ridge = rho N / 2.

    Attributes
    ----------
    spectrum : Spectrum
        Eigenvalues of the weighted matrix Theta(X, X), its rank, condition number and the cut-off. Directions below the
        cut-off are treated as in :class:`GradientFlow`: at long times training does not move them, so that they keep
        the covariance that they have at t = 0.

    Raises
    ------
    ValueError
        If a kernel is not scalar (N1, N2). The outputs of an infinitely wide network are independent and share one
        kernel.
    numpy.linalg.LinAlgError
        If the matrix Theta(X, X) is not positive semidefinite.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.asarray([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), np.asarray([0.0, 1.0, 0.0]))
    >>> ensemble = ntk.dynamics.Ensemble.of(ntk.nn.mlp((1,), 1), cost)
    >>> start, end = ensemble.predict(t=0.0), ensemble.predict()
    >>> start.mean.round(6) + 0.0, start.standard_deviation.round(3)
    (array([0., 0., 0.]), array([1.414, 1.   , 1.414]))
    >>> end.mean.round(6) + 0.0, end.standard_deviation.round(6)
    (array([0., 1., 0.]), array([0., 0., 0.]))
    >>> path = ensemble.predict(np.asarray([[0.5, 1.0], [2.0, 1.0]]), t=[0.5, 5.0])
    >>> path.mean.shape, path.covariance.shape
    ((2, 2), (2, 2, 2))
    """

    def __init__(self, ntk_kernel: Kernel, nngp_kernel: Kernel, cost: Cost, ridge: float = 0.0) -> None:
        for name, kernel in (("ntk_kernel", ntk_kernel), ("nngp_kernel", nngp_kernel)):
            scalar_kernel(name, kernel)
        if not isinstance(cost, SquaredError):
            raise TypeError(f"the ensemble has a closed form for SquaredError only, got {type(cost).__name__}")
        refuse_other_outputs(nngp_kernel, cost.p_in.x)
        self.ntk_kernel, self.nngp_kernel, self.cost = ntk_kernel, nngp_kernel, cost
        self._flow = SpectralFlow(ntk_kernel, cost, None, ridge)
        solution = self._flow.solution
        self.spectrum, self.ridge = solution.factor.spectrum, self._flow.ridge
        self._eigenvectors = solution.problem.weighted(self.spectrum.vectors)[0, ...]
        self._prior = nngp_kernel(cost.p_in.x)
        # A K(X, X) A^T is (Theta V) phi (V^T K V) phi (Theta V)^T: the middle does not depend on time.
        self._prior_coordinates = self._eigenvectors.T @ self._prior @ self._eigenvectors

    @classmethod
    def of(cls, net: Layer, cost: Cost, ridge: float = 0.0, trainable: str | Sequence[str] | None = None) -> "Ensemble":
        """The ensemble of a network, with its InfiniteNTK and InfiniteNNGP.

        All layers are trained, or those parameters that ``trainable`` of :class:`InfiniteNTK` names. ValueError if the
        network does not end in a dense layer: its outputs are then not Gaussian.
        """
        return cls(InfiniteNTK(net, trainable), InfiniteNNGP(net), cost, ridge)

    def predict(self, x_new: Array | None = None, t: Any = math.inf) -> Gaussian:
        """The distribution of f_t at new inputs.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.
        t : float or sequence of float
            Times of d/dt f = -grad_K C, from 0 to inf.

        Returns
        -------
        Gaussian
            ``mean`` (M, C), or (M,) where the targets were (N,), and ``covariance`` (M, M), the same for every output;
            with a leading axis T for T times. The covariance is exactly symmetric, and positive semidefinite up to
            rounding.
        """
        times = time_points(t)
        solution, x = self._flow.solution, self.cost.p_in.x
        features = solution.features(x_new)[0, ...]
        if x_new is None:
            prior = cross = self._prior
        else:
            prior, cross = self.nngp_kernel(x_new), self.nngp_kernel(x, x_new)
        # For all times at once: only the gain depends on time.
        seen = self._eigenvectors.T @ cross
        means, covariances = [], []
        for time in times.ravel().tolist():
            gain = features * self._flow.filter(time)[0, :, 0]
            means.append(self.cost.shaped(gain @ solution.coordinates[0, ...]))
            # The covariance changes by A K A^T - A K(X, x') - K(x, X) A^T. It is computed as one half plus the
            # transpose of that half, which makes it exactly symmetric.
            half = gain @ (0.5 * self._prior_coordinates @ gain.T - seen)
            covariances.append(prior + (half + half.T))
        if not times.ndim:
            return Gaussian(means[0], covariances[0])
        xp = home(prior).xp
        return Gaussian(xp.stack(means), xp.stack(covariances))
