"""Leave-one-out in closed form: what a kernel fitted to all points but one predicts of that one, without a refit."""

from typing import NamedTuple

import numpy as np

from .._array.kinds import Kind, unstack_values
from .._array.namespace import Array, home, to_host
from ..solve.spectrum import Spectrum

__all__ = ["LeaveOneOut", "error_derivative", "left_out_residual", "precision_diagonal", "regular_inverse"]


class LeaveOneOut(NamedTuple):
    """What is predicted of each target from all the others.

    Attributes
    ----------
    mean : array (N, C) or (N,)
        The prediction of y_i.
    residual : array (N, C) or (N,)
        y_i minus its prediction.
    variance : array (N,), optional
        Of y_i given the others, noise included; the same for every output. None for a flow, which predicts no variance.
    """

    mean: Array
    residual: Array
    variance: Array | None = None

    @property
    def error(self) -> Array:
        """The mean squared residual, (1/N) sum_i ||y_i - mean_i||^2 as in the squared error; an array of no axes."""
        return home(self.residual).xp.sum(self.residual**2) / self.residual.shape[0]


def regular_inverse(spectrum: Spectrum, ridge: float, name: str, consequence: str) -> Array:
    """The eigenvalues (B, n) of S^{-1} = (K + ridge I)^{-1}.

    Raises numpy.linalg.LinAlgError with the consequence if one of S is below the cut-off and cannot be told from 0.
    """
    s = spectrum.values + ridge
    if not to_host(home(s).xp.all(s > spectrum.cutoff)):
        raise np.linalg.LinAlgError(
            f"the kernel matrix of {s.shape[-1]} rows has rank {spectrum.rank}, and the {name} {ridge:g} is not above "
            f"the cut-off {spectrum.cutoff:.1e}: {consequence}; drop repeated inputs or give a larger {name}"
        )
    return 1.0 / s


def precision_diagonal(vectors: Array, inverse: Array) -> Array:
    """The diagonals (B, n) of S^{-1}."""
    return home(vectors).xp.sum(vectors**2 * inverse[..., None, :], axis=-1)


def left_out_residual(kind: Kind, vectors: Array, inverse: Array, coordinates: Array, outputs: int) -> Array:
    """y_i minus its prediction from the others, (N, C), for eigenvectors and coordinates of y - f_0 along them.

    It is [S^{-1}]_ii^{-1} [S^{-1} (y - f_0)]_i, where [.]_ii is a C x C block if the kernel couples the outputs: the
    block of S^{-1} is the inverse of the Schur complement, the covariance of point i given the others (Rasmussen and
    Williams 2006, eq. 5.12 and A.12).
    """
    xp = home(vectors).xp
    alpha = vectors @ (inverse[..., None] * coordinates)
    if kind != "full":
        return unstack_values(kind, alpha / precision_diagonal(vectors, inverse)[..., None], outputs)
    rows = xp.reshape(vectors, (-1, outputs, vectors.shape[-1]))
    blocks = (rows * inverse) @ xp.matrix_transpose(rows)
    return xp.linalg.solve(blocks, xp.reshape(alpha, (-1, outputs, 1)))[..., 0]


def error_derivative(vectors: Array, inverse: Array, coordinates: Array, change: Array) -> Array:
    """The derivative of ``LeaveOneOut.error`` of a scalar kernel, for a derivative (n, n) of S.

    From dS^{-1} = -S^{-1} dS S^{-1}: with alpha = S^{-1} y and q = diag S^{-1}, the residual e = alpha / q has
    de = (d alpha - e dq) / q (Rasmussen and Williams 2006, section 5.4.2).
    """
    xp = home(vectors).xp
    scaled = vectors * inverse
    turned = vectors.T @ change @ vectors
    q = precision_diagonal(vectors, inverse)[:, None]
    residual = scaled @ coordinates / q
    dalpha = -(scaled @ (turned @ (inverse[:, None] * coordinates)))
    dq = -xp.sum((scaled @ turned) * scaled, axis=1)[:, None]
    return 2.0 / vectors.shape[0] * xp.sum(residual * (dalpha - residual * dq) / q)
