"""Ridge regression on explicit features, for as many inputs as there are: no matrix has a row for each input."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator

import numpy as np

from .._array.namespace import Array, home, itemsize, to_host
from .._array.short import short_repr
from .._array.validate import positive, same_home, targets
from .._support.progress import progress_bar
from ..gram.memory import refuse_without_room
from ..kernels.features import FeatureKernel
from ..solve.low_rank import reduced
from .leave_one_out import LeaveOneOut
from .problem import refuse_other_outputs

__all__ = ["FeatureRegression"]


class FeatureRegression:
    """Kernel regression with a kernel of R features, K(x, x') = phi(x)^T phi(x'), for any number N of inputs.

    The predictions are f(x) = phi(x)^T w with the weights w = (F^T F + ridge I)^{-1} F^T y for the features F (N, R) of
    the sample: those of ``GaussianProcess(kernel, x, y, noise=ridge)``, and of a ``GradientFlow`` with this ridge at
    t = inf, with equal weights of p^in and f_0 = 0. Features are computed a block of inputs at a time and never kept.
    Work is N R^2, and memory R^2, whatever N.

    Each block is added to a triangular factor of [F, y] (Golub and Van Loan 2013, section 5.3), whose singular values
    serve every ridge. F^T F, which has the squares of them, is not formed.

    Parameters
    ----------
    kernel : Nystroem, RandomFeatures or EmpiricalFeatures
        A kernel with ``features``.
    x : array (N, ...)
        Training inputs.
    y : array (N, C) or (N,)
        Targets.
    ridge : float
        Positive; the variance of the noise of a Gaussian process.
    progress : bool
        Show a bar that counts blocks of inputs.

    Attributes
    ----------
    ridge : float
    weights : array (R, C)
        w.
    singular_values : array (R,)
        Of F, in descending order.

    Raises
    ------
    TypeError
        If the kernel has no features.
    ValueError
        If y does not have one row an input, or the ridge is not positive.
    MemoryError
        If matrices of R x R are more than the memory that is available, before work starts.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> y = np.sin(x[:, 0])
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))
    >>> fit = ntk.dynamics.FeatureRegression(ntk.Nystroem.of(K, x, rank=200, seed=0), x, y, ridge=0.01)
    >>> x_new = np.random.default_rng(1).normal(size=(40, 3))
    >>> fit.predict(x_new).shape, fit.variance(x_new).shape
    ((40,), (40,))
    >>> exact = ntk.dynamics.GaussianProcess(K, x, y, noise=0.01).predict(x_new).mean
    >>> bool(np.mean((fit.predict(x_new) - exact) ** 2) < 0.003)
    True
    >>> bool(fit.leave_one_out().error < 0.1)
    True
    """

    __repr__ = short_repr

    def __init__(self, kernel: FeatureKernel, x: Array, y: Array, ridge: float, *, progress: bool = False) -> None:
        if not isinstance(kernel, FeatureKernel):
            raise TypeError(
                f"kernel must be a kernel with features, such as Nystroem.of(kernel, x, rank, seed), got {kernel!r}"
            )
        self.ridge = positive("ridge", ridge)
        self.kernel, self.x = kernel, kernel.validated(x, None)[0]
        refuse_other_outputs(kernel, self.x)
        y = targets("y", y, self.x)
        same_home(x=self.x, y=y)
        self._is_vector, self.y = y.ndim == 1, y[:, None] if y.ndim == 1 else y
        self._check_room()
        self._reduced = reduced(self._with_targets(progress))

    def _check_room(self) -> None:
        # Two rows of blocks for each feature, what a decomposition copies of these, and three factors.
        size, here = self.kernel.feature_count(self.x), home(self.x)
        needed = 12 * itemsize(here) * size**2
        refuse_without_room(needed, here, f"regression on {size} features", "take fewer features")

    def _with_targets(self, progress: bool) -> Iterator[tuple[Array, Array]]:
        """The features and the targets of each block of training inputs."""
        least = 2 * self.kernel.feature_count(self.x)
        for rows, phi in self._blocks(self.x, progress, least):
            yield phi, self.y[rows, :]

    def _blocks(self, x: Array, progress: bool, least: int = 1) -> Iterator[tuple[slice, Array]]:
        """Rows of inputs, and their features."""
        rows = self.kernel.blocks_of_rows(x, least)
        bar = progress_bar(rows, "features", " blocks", progress)
        return zip(bar, self.kernel.feature_blocks(x, least), strict=True)

    @property
    def singular_values(self) -> Array:
        """Of F, in descending order."""
        return self._reduced.values

    @property
    def weights(self) -> Array:
        """w, (R, C)."""
        # w = V s / (s^2 + ridge) U^T y. Where neither s nor the ridge is above rounding, the direction is left out.
        values = self._reduced.values[:, None]
        return self._reduced.vectors @ (self._inverse()[:, None] * values * self._reduced.coordinates)

    def _inverse(self) -> Array:
        """1 / (s^2 + ridge), or 0 in directions that are rounding."""
        values = self._reduced.values
        shifted, xp = values**2 + self.ridge, home(values).xp
        if self.ridge > self._rounding**2:
            return 1.0 / shifted
        return xp.where(values > self._rounding, 1.0 / shifted, 0.0)

    @property
    def _rounding(self) -> float:
        """What rounding of the features does to singular values."""
        return 4.0 * home(self.x).eps * float(to_host(self._reduced.values[0]))

    def with_ridge(self, ridge: float) -> FeatureRegression:
        """The same regression with another ridge, from the same decomposition. ValueError if it is not positive."""
        other = copy.copy(self)
        other.ridge = positive("ridge", ridge)
        return other

    def predict(self, x_new: Array | None = None, *, progress: bool = False) -> Array:
        """The mean at new inputs (M, ...), or at the training inputs: (M, C), or (M,) where targets were (N,).

        With a RuntimeWarning where the ridge is so small that rounding of the features decides.
        """
        self._warn()
        x, weights = self._inputs(x_new), self.weights
        return self._shaped(home(x).xp.concat([phi @ weights for _, phi in self._blocks(x, progress)]))

    def variance(self, x_new: Array | None = None, *, progress: bool = False) -> Array:
        """The posterior variance at new inputs, or at the training inputs, (M,): the same for every output.

        ridge phi(x)^T (F^T F + ridge I)^{-1} phi(x), without the noise of a new observation. It is that of a Gaussian
        process whose covariance is the kernel of the features. Far from all landmarks, a Nystroem approximation is
        smaller than the kernel that it stands for, and so is the variance: what it leaves out there is
        ``K.diag(x) - kernel.diag(x)`` for the exact K.
        """
        x = self._inputs(x_new)
        return home(x).xp.concat([self._variance(phi) for _, phi in self._blocks(x, progress)])

    def _variance(self, phi: Array) -> Array:
        values = self._reduced.values
        share = self.ridge / (values**2 + self.ridge)
        return home(phi).xp.sum((phi @ self._reduced.vectors) ** 2 * share, axis=1)

    def leave_one_out(self, *, progress: bool = False) -> LeaveOneOut:
        """The prediction of each target from all the others, without a refit.

        With h_i = phi_i^T (F^T F + ridge I)^{-1} phi_i, the residual is (y_i - f(x_i)) / (1 - h_i) and the variance
        ridge / (1 - h_i), noise included.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the fit goes through a target up to rounding, so that the formula would divide zero by zero.
        """
        xp, weights, inverse = home(self.x).xp, self.weights, self._inverse()
        residuals, left = [], []
        for rows, phi in self._blocks(self.x, progress):
            residuals.append(self.y[rows, :] - phi @ weights)
            left.append(1.0 - xp.sum((phi @ self._reduced.vectors) ** 2 * inverse, axis=1))
        free = xp.concat(left)
        least, eps = float(to_host(xp.min(free))), home(free).eps
        if not least > 64.0 * eps:
            raise np.linalg.LinAlgError(
                f"the features fit a target up to rounding (1 - h = {least:.1e}): leave-one-out has no closed form; "
                "give a larger ridge, or fewer features"
            )
        residual = xp.concat(residuals) / free[:, None]
        return LeaveOneOut(self._shaped(self.y - residual), self._shaped(residual), self.ridge / free)

    def log_marginal_likelihood(self) -> Array:
        """log p(y | x) of the Gaussian process with this kernel, the ridge its noise; summed over the outputs.

        -(1/2) sum_c y_c^T S^{-1} y_c - (C/2) log det S - (N C / 2) log(2 pi) with S = F F^T + ridge I, from the
        singular values of F (Rasmussen and Williams 2006, eq. 2.30 and A.9). An array of no axes.
        """
        values, _, coordinates, remainder = self._reduced
        xp, (n, outputs) = home(values).xp, self.y.shape
        shifted = values**2 + self.ridge
        fit = xp.sum(coordinates**2 / shifted[:, None]) + xp.sum(remainder) / self.ridge
        # The zeros among R values of fewer than R inputs are no eigenvalues of S, and are taken off again.
        determinant = xp.sum(xp.log(shifted)) + (n - values.shape[0]) * math.log(self.ridge)
        return -0.5 * (fit + outputs * determinant + n * outputs * math.log(2.0 * math.pi))

    def _inputs(self, x_new: Array | None) -> Array:
        if x_new is None:
            return self.x
        x_new = self.kernel.validated(x_new, None)[0]
        same_home(x=self.x, x_new=x_new)
        return x_new

    def _shaped(self, values: Array) -> Array:
        """As the targets were."""
        return values[:, 0] if self._is_vector else values

    def _warn(self) -> None:
        if self.ridge <= self._rounding**2:
            warnings.warn(
                f"the ridge {self.ridge:g} is below what rounding of the features does, {self._rounding**2:.1e}: "
                "directions that are rounding are left out; use float64 if the inputs are float32, or a larger ridge",
                RuntimeWarning,
                stacklevel=3,
            )
