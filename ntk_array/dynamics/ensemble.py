"""The distribution of trained networks over their initializations, in the infinite-width limit."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._array.namespace import Array, home
from .._array.short import short_repr
from .._array.validate import time_points
from ..function_space.cost import Cost, SquaredError
from ..kernels.base import Kernel, same_inputs
from ..kernels.infinite import InfiniteNNGP, InfiniteNTK
from ..nn.layer import Layer
from ..solve.ridge import Ridge
from .gaussian import Covariance, Gaussian, checked, room_for_covariance, scalar_kernel
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
    ridge : float or TimesMeanDiagonal
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

    __repr__ = short_repr

    def __init__(self, ntk_kernel: Kernel, nngp_kernel: Kernel, cost: Cost, ridge: Ridge = 0.0) -> None:
        for name, kernel in (("ntk_kernel", ntk_kernel), ("nngp_kernel", nngp_kernel)):
            scalar_kernel(name, kernel)
        same_inputs(ntk_kernel, nngp_kernel)
        if not isinstance(cost, SquaredError):
            raise TypeError(f"the ensemble has a closed form for SquaredError only, got {type(cost).__name__}")
        refuse_other_outputs(nngp_kernel, cost.p_in.x)
        self.ntk_kernel, self.nngp_kernel, self.cost = ntk_kernel, nngp_kernel, cost
        self._flow = SpectralFlow(ntk_kernel, cost, None, ridge)
        solution = self._flow.solution
        self.spectrum, self.ridge = solution.spectrum, self._flow.ridge
        self._eigenvectors = solution.problem.weighted(self.spectrum.vectors)[0, ...]
        self._prior = nngp_kernel(cost.p_in.x)
        # A K(X, X) A^T is (Theta V) phi (V^T K V) phi (Theta V)^T: the middle does not depend on time.
        self._prior_coordinates = self._eigenvectors.T @ self._prior @ self._eigenvectors

    @classmethod
    def of(cls, net: Layer, cost: Cost, ridge: Ridge = 0.0, trainable: str | Sequence[str] | None = None) -> "Ensemble":
        """The ensemble of a network, with its InfiniteNTK and InfiniteNNGP.

        All layers are trained, or those parameters that ``trainable`` of :class:`InfiniteNTK` names. ValueError if the
        network does not end in a dense layer: its outputs are then not Gaussian.

        The sample of the cost is of points. Rows that :meth:`ntk_array.operators.OperatorKernel.rows` makes are arrays
        too, and nothing tells them from points with one more feature: for observations of operators make the ensemble
        of two operator kernels, ``Ensemble(OperatorKernel(InfiniteNTK(net), L), OperatorKernel(InfiniteNNGP(net), L),
        cost)``.
        """
        return cls(InfiniteNTK(net, trainable), InfiniteNNGP(net), cost, ridge)

    def predict(
        self,
        x_new: Array | None = None,
        t: Any = math.inf,
        covariance: Covariance = "full",
        *,
        memory: str | int = "1 GiB",
    ) -> Gaussian:
        """The distribution of f_t at new inputs.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.
        t : float or sequence of float
            Times of d/dt f = -grad_K C, from 0 to inf.
        covariance : "full", "diagonal" or None
            The whole covariance (M, M), the variances (M,) alone, or means alone, which take far less time and memory.
        memory : str or int
            What kernel values of new inputs with the sample may take, where the covariance is not full; new inputs come
            in blocks that fit.

        Returns
        -------
        Gaussian
            ``mean`` (M, C), or (M,) where the targets were (N,), and ``covariance`` (M, M) or None, the same for every
            output; with a leading axis T for T times. The covariance is exactly symmetric, and positive semidefinite up
            to rounding; ``variance`` is its diagonal.

        Raises
        ------
        MemoryError
            If there is no room for the covariance, before work starts.
        """
        times, x = time_points(t), self.cost.p_in.x
        checked(covariance)
        several = times if times.ndim else times[None]
        points = x if x_new is None else self._flow.solution.problem.new_inputs(x_new)
        if covariance == "full":
            room_for_covariance(x, points.shape[0], x.shape[0], times.size)
        if covariance == "full" or x_new is None:
            found = self._at(x_new, several, covariance)
        else:
            cuts = self._flow.solution.problem.cuts(points, memory, blocks=2 + 2 * times.size)
            parts = [self._at(points[cut, ...], several, covariance) for cut in cuts]
            concat = home(x).xp.concat
            variance = None if covariance is None else concat([part.variance for part in parts], axis=1)
            found = Gaussian(concat([part.mean for part in parts], axis=1), variance=variance)
        if times.ndim:
            return found
        mean, full, variance = (
            None if a is None else a[0, ...] for a in (found.mean, found.covariance, found.variance)
        )
        return Gaussian(mean, full, variance)

    def _at(self, x_new: Array | None, times: np.ndarray, covariance: Covariance) -> Gaussian:
        """The distribution at T times, with a leading axis of T."""
        flow, xp = self._flow, home(self._prior).xp
        # For all times at once: only the gain depends on time.
        features = self._features(x_new)
        filters = [flow.solution.spectral_factor.filter(*flow.filter(time)) for time in times.tolist()]
        gains = xp.stack([features * filtered[0, :, 0] for filtered in filters])
        means = [self.cost.shaped(gains[i, ...] @ flow.solution.coordinates[0, ...]) for i in range(len(filters))]
        if covariance is None:
            return Gaussian(xp.stack(means))
        prior = self._prior if x_new is None else None
        cross = prior if x_new is None else self.nngp_kernel(self.cost.p_in.x, x_new)
        turned = xp.matrix_transpose(gains)
        # The covariance changes by A K A^T - A K(X, x') - K(x, X) A^T. It is computed as one half plus the transpose of
        # that half, which makes it exactly symmetric.
        right = 0.5 * (self._prior_coordinates @ turned) - self._eigenvectors.T @ cross
        if covariance == "diagonal":
            diagonal = self.nngp_kernel.diag(self.cost.p_in.x if x_new is None else x_new)
            variance = diagonal + 2.0 * xp.sum(turned * right, axis=-2)
            return Gaussian(xp.stack(means), variance=xp.clip(variance, min=0.0))
        half = gains @ right
        prior = self.nngp_kernel(x_new) if prior is None else prior
        return Gaussian(xp.stack(means), prior + (half + xp.matrix_transpose(half)))

    def _features(self, x_new: Array | None) -> Array:
        """Theta(x, X) times the weighted eigenvectors, (rows, n), with x the training points if None."""
        problem = self._flow.solution.problem
        if x_new is None:
            return problem.unweighted(self.spectrum.vectors * self.spectrum.values[:, None, :])[0, ...]
        return (problem.cross(x_new) @ self.spectrum.vectors)[0, ...]
