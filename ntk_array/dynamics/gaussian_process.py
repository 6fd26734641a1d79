"""Gaussian process regression: posterior, samples, marginal likelihood and leave-one-out, from one spectrum."""

import math
from typing import NamedTuple

import numpy as np

from .._array.linalg import mirror
from .._array.namespace import Array, home, to_host
from .._array.random import Seed
from .._array.validate import inputs, nonnegative, same_home, targets
from ..kernels.base import Kernel
from ..solve.spectrum import decompose
from .gaussian import Gaussian, scalar_kernel

__all__ = ["GaussianProcess", "LeaveOneOut"]


class LeaveOneOut(NamedTuple):
    """What a Gaussian process predicts of each target from all the others.

    Attributes
    ----------
    mean : array (N, C) or (N,)
        The prediction of y_i.
    residual : array (N, C) or (N,)
        y_i minus its prediction.
    variance : array (N,)
        Of y_i given the others, noise included; the same for every output.
    """

    mean: Array
    residual: Array
    variance: Array


class GaussianProcess:
    """Gaussian process regression, y_i = f(x_i) + N(0, noise) with f ~ GP(0, K), each output by itself.

    With S = K(X, X) + noise I, the values of f at new inputs have the distribution

        mean(x) = K(x, X) S^{-1} y,
        covariance(x, x') = K(x, x') - K(x, X) S^{-1} K(X, x')

    (Rasmussen and Williams 2006, eq. 2.23 and 2.24). K(X, X) is diagonalized once, at construction: its eigenvalues
    plus the noise are those of S, which give the posterior, the likelihood and leave-one-out alike, and show which
    directions rounding leaves unresolved. S is never inverted.

    There is no time here. Without noise and with K an NNGP kernel it is the limit t = inf of training the last layer,
    ``Ensemble(nngp, nngp, cost)``. An ensemble whose ridge is the noise has the same mean there, and another
    covariance.

    Parameters
    ----------
    kernel : Kernel
        K, scalar: the same for every output.
    x : array (N, ...)
        Training inputs.
    y : array (N, C) or (N,)
        Targets.
    noise : float
        The variance of the noise, at least 0, added to the diagonal.

    Attributes
    ----------
    spectrum : Spectrum
        Eigenvalues of K(X, X), its rank, condition number and the cut-off.
    singular : bool
        Whether an eigenvalue of S is below the cut-off n eps lambda_max(K), so that it cannot be told from 0: inputs
        repeat, and there is no noise. The posterior is then its limit as the noise vanishes, the solution of minimum
        norm; the likelihood and leave-one-out do not exist.

    Raises
    ------
    ValueError
        If the kernel is not scalar, if y does not have one row an input, or if the noise is negative.
    numpy.linalg.LinAlgError
        If the matrix K(X, X) is not positive semidefinite.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.asarray([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> K = ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1))
    >>> gp = ntk.dynamics.GaussianProcess(K, x, np.asarray([0.0, 1.0, 0.0]), noise=0.1)
    >>> posterior = gp.predict(np.asarray([[0.0, 1.0], [3.0, 1.0]]))
    >>> posterior.mean.shape, posterior.covariance.shape
    ((2,), (2, 2))
    >>> bool(posterior.standard_deviation[0] < posterior.standard_deviation[1])
    True
    >>> gp.sample(x, 5, seed=0).shape
    (5, 3)
    """

    def __init__(self, kernel: Kernel, x: Array, y: Array, noise: float) -> None:
        scalar_kernel("kernel", kernel)
        self.kernel, self.noise = kernel, nonnegative("noise", noise)
        self.x = inputs("x", x)
        y = targets("y", y, int(self.x.shape[0]))
        same_home(x=self.x, y=y)
        self._vector = y.ndim == 1
        self.y = y[:, None] if self._vector else y
        self._gram = kernel(self.x)
        self.spectrum = decompose(self._gram[None, ...])
        xp = home(self.y).xp
        self._vectors = self.spectrum.vectors[0, ...]
        self._s = self.spectrum.values[0, :] + self.noise
        resolved = self._s > self.spectrum.cutoff
        self.singular = not bool(to_host(xp.all(resolved)))
        self._inverse = xp.where(resolved, 1.0 / xp.where(resolved, self._s, 1.0), 0.0)
        self._coordinates = self._vectors.T @ self.y

    def predict(self, x_new: Array | None = None) -> Gaussian:
        """The posterior distribution of f, without the noise of a new observation.

        Parameters
        ----------
        x_new : array (M, ...), optional
            Inputs; the training points if None.

        Returns
        -------
        Gaussian
            ``mean`` (M, C), or (M,) where the targets were (N,), and ``covariance`` (M, M), the same for every output,
            exactly symmetric, and positive semidefinite up to rounding.
        """
        xp = home(self.y).xp
        if x_new is None:
            prior, features = self._gram, self._vectors * self.spectrum.values[0, :]
        else:
            prior, features = self.kernel(x_new), self.kernel(x_new, self.x) @ self._vectors
        explained = features * xp.sqrt(self._inverse)
        mean = features @ (self._inverse[:, None] * self._coordinates)
        return Gaussian(self._shaped(mean), mirror(prior - explained @ explained.T))

    def sample(self, x_new: Array | None, draws: int, seed: Seed) -> Array:
        """Independent draws of f from the posterior, (draws, M, C) or (draws, M).

        One seed gives the same draws on every library, up to the root of its rounding; see :meth:`Gaussian.sample`.
        """
        return self.predict(x_new).sample(draws, seed)

    def log_marginal_likelihood(self) -> Array:
        """log p(y | x), summed over the outputs, an array of no axes.

        -(1/2) sum_c y_c^T S^{-1} y_c - (C/2) log det S - (N C / 2) log(2 pi) (Rasmussen and Williams 2006, eq. 2.30).

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is singular: the targets have no density.
        """
        self._refuse_singular("the targets have no density")
        xp = home(self.y).xp
        n, outputs = self.y.shape
        fit = xp.sum(self._inverse[:, None] * self._coordinates**2)
        return -0.5 * (fit + outputs * xp.sum(xp.log(self._s)) + n * outputs * math.log(2.0 * math.pi))

    def leave_one_out(self) -> LeaveOneOut:
        """The prediction of each target from all the others, without a refit.

        With alpha = S^{-1} y, the residual is alpha_i / [S^{-1}]_ii and the variance 1 / [S^{-1}]_ii
        (Rasmussen and Williams 2006, eq. 5.12).

        Raises
        ------
        numpy.linalg.LinAlgError
            If S is singular: the formula would divide zero by zero.
        """
        self._refuse_singular("leave-one-out has no closed form")
        xp = home(self.y).xp
        alpha = self._vectors @ (self._inverse[:, None] * self._coordinates)
        variance = 1.0 / xp.sum(self._vectors**2 * self._inverse, axis=1)
        residual = alpha * variance[:, None]
        return LeaveOneOut(self._shaped(self.y - residual), self._shaped(residual), variance)

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self._vector else values

    def _refuse_singular(self, consequence: str) -> None:
        if self.singular:
            n, rank, cutoff = self.y.shape[0], self.spectrum.rank, self.spectrum.cutoff
            raise np.linalg.LinAlgError(
                f"the kernel matrix of {n} inputs has rank {rank}, and the noise {self.noise:g} is not above the "
                f"cut-off {cutoff:.1e}: {consequence}; drop repeated inputs or give a larger noise"
            )
