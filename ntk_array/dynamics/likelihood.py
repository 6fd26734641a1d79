"""The likelihood of observations of a Gaussian process, and its derivatives."""

import math
from dataclasses import dataclass
from functools import cached_property

from .._array.namespace import Array, home
from ..solve.factor import Factorization
from .noise import Noise

__all__ = ["HYPERPARAMETERS", "Likelihood"]

HYPERPARAMETERS = ("log_weight_std", "log_bias_std", "log_noise", "log_amplitude")
"""The hyper-parameters of a likelihood: factors of all weight_std and bias_std, the variance of the noise, and a factor
of the kernel."""


@dataclass(frozen=True)
class Likelihood:
    """The density of targets y whose covariance is S = K + D, for B matrices of n rows with k columns of targets each.

    Parameters
    ----------
    factor : Factorization
        Of S, which is regular.
    noise : Noise
        D.
    prepared : array (B, n, k)
        y, prepared by the factor.
    """

    factor: Factorization
    noise: Noise
    prepared: Array

    @property
    def data_fit(self) -> Array:
        """sum_c y_c^T S^{-1} y_c. It is the square of one half, and never negative, whatever rounding does."""
        half = self.factor.prepared_half(self.prepared)
        return home(half).xp.sum(half * half)

    def logarithm(self) -> Array:
        """log p(y), summed over the columns of all matrices."""
        fit, determinants = self.data_fit, self.factor.log_determinant()
        constant = math.prod(self.prepared.shape) * math.log(2.0 * math.pi)
        return -0.5 * (fit + self._columns * home(determinants).xp.sum(determinants) + constant)

    def along(self, change: Array) -> Array:
        """Its derivative where S changes by dS (B, n, n)."""
        xp, alpha = home(change).xp, self._alpha
        return self._slope(xp.sum(alpha * (change @ alpha)), xp.sum(self.factor.trace_of(change)))

    def in_log_noise(self) -> Array:
        """Its derivative in the logarithm of the noise, for which dS = D."""
        return self._slope(*self._of_noise())

    def in_log_amplitude(self) -> Array:
        """Its derivative in the logarithm of a factor of K, for which dS = K = S - D."""
        fit, trace = self._of_noise()
        return self._slope(self.data_fit - fit, math.prod(self.prepared.shape[:2]) - trace)

    def _of_noise(self) -> tuple[Array, Array]:
        """sum_c alpha_c^T D alpha_c and tr(S^{-1} D), which take no product with a matrix."""
        xp, alpha = home(self.prepared).xp, self._alpha
        diagonal = self.factor.inverse_diagonal()[..., None]
        return xp.sum(self.noise.times(alpha * alpha)), xp.sum(self.noise.times(diagonal))

    def _slope(self, fit: Array, trace: Array) -> Array:
        # (1/2) sum_c alpha_c^T dS alpha_c - (C/2) tr(S^{-1} dS) with alpha = S^{-1} y.
        return 0.5 * (fit - self._columns * trace)

    @cached_property
    def _alpha(self) -> Array:
        return self.factor.prepared_solve(self.prepared)

    @property
    def _columns(self) -> int:
        return int(self.prepared.shape[-1])
