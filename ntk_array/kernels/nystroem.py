"""The Nystroem approximation of a kernel: features from its values with a few landmarks."""

from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._array.namespace import Array, home, itemsize, to_host
from .._array.random import Seed
from .._array.validate import count, nonnegative, same_home
from ..gram.tiled import Costs
from ..solve.pivoted import pivoted_cholesky
from .base import Kernel
from .features import Approximation, scalar_only, taken
from .landmarks import RandomPivots

__all__ = ["Nystroem"]


@dataclass(frozen=True, eq=False)
class Nystroem(Approximation):
    """The Nystroem approximation K~(x, x') = k(x, Z) k(Z, Z)^{-1} k(Z, x') of a kernel by landmarks Z.

    Its features are phi(x) = L^{-1} k(Z, x) with the Cholesky factor L L^T = k(Z, Z) (Williams and Seeger 2001). It is
    exact where x or x' is a landmark, and K - K~ is positive semidefinite. Everything that takes a kernel takes it, and
    :class:`ntk_array.dynamics.FeatureRegression` takes it to any number of inputs.

    The factor has pivots. A landmark whose pivot is rounding adds nothing to the others and is dropped: at most
    R eps max k(z, z), for R landmarks. The R x R matrix is factored on the host in float64, once; all else happens
    where the inputs are. Smooth kernels of few features have most of their spectrum below rounding in float32: use
    float64 if many landmarks are dropped.

    Parameters
    ----------
    kernel : Kernel
        K, scalar.
    landmarks : array (R, ...)
        Inputs. :meth:`of` chooses them.

    Attributes
    ----------
    landmarks : array (rank, ...)
        Those that were kept, in the order of their pivots.
    dropped : int
        How many were not.
    residual : float or None
        From :meth:`of`: the trace of K - K~ over the trace of K, on the inputs that landmarks were chosen from.

    Raises
    ------
    TypeError, ValueError
        If the kernel is not a scalar kernel, or the landmarks are no inputs of it.
    numpy.linalg.LinAlgError
        If k(Z, Z) is not positive semidefinite, or zero.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> near = ntk.Nystroem.of(K, x, rank=50, seed=0)
    >>> near.features(x).shape
    (200, 50)
    >>> near.residual < 0.1, near.estimated_error(x) < 0.02
    (True, True)
    >>> bool(np.allclose(ntk.Nystroem(K, x)(x), K(x)))             # every input is a landmark
    True
    """

    kernel: Kernel
    landmarks: Array
    dropped: int = field(init=False)
    residual: float | None = field(init=False, default=None)
    _whitening: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scalar_only(self.kernel)
        landmarks = self.kernel.validated(self.landmarks, None)[0]
        gram = self.kernel.values(landmarks, None)
        factor = pivoted_cholesky(to_host(gram), home(gram).eps)
        object.__setattr__(self, "dropped", int(landmarks.shape[0]) - len(factor.rows))
        object.__setattr__(self, "landmarks", taken(landmarks, factor.rows))
        object.__setattr__(self, "_whitening", home(gram).asarray(factor.inverse.T))

    @property
    def inputs_are(self) -> str:  # type: ignore[override]
        return self.kernel.inputs_are

    @classmethod
    def of(
        cls, kernel: Kernel, x: Array, rank: int, seed: Seed, *, tolerance: float = 0.0, progress: bool = False
    ) -> "Nystroem":
        """With landmarks chosen from inputs x by randomly pivoted Cholesky (Chen, Epperly, Tropp, Webber 2022).

        Landmarks are drawn one after the other, each with a probability proportional to what K - K~ has left on the
        diagonal. That takes rank x N kernel values and as much memory. With r landmarks the trace of K - K~ is in
        expectation at most 1 + delta times that of the best approximation of rank k, from r = k / delta +
        k log(1 / (delta eta)) landmarks on, where eta is the latter trace over that of K.

        Parameters
        ----------
        kernel : Kernel
            K, scalar.
        x : array (N, ...)
            Inputs to choose from.
        rank : int
            How many landmarks, at most; fewer where the matrix K(x, x) has a smaller rank, up to rounding.
        seed : int or numpy.random.Generator
            One seed gives the same landmarks on every library, where rounding does not decide.
        tolerance : float
            Stop at the first landmark with which ``residual`` is no larger than this.
        progress : bool
            Show a bar that counts landmarks.

        Returns
        -------
        Nystroem
            With ``residual``, which is exact for the landmarks that were chosen.

        Raises
        ------
        MemoryError
            If rank x N numbers are more than the memory that is available, before work starts.

        Examples
        --------
        >>> import numpy as np, ntk_array as ntk
        >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> near = ntk.Nystroem.of(K, x, rank=200, seed=0, tolerance=0.05)
        >>> near.residual <= 0.05, len(near.landmarks) < 80
        (True, True)
        """
        scalar_only(kernel)
        x = kernel.validated(x, None)[0]
        rank, tolerance = count("rank", rank), nonnegative("tolerance", tolerance)
        pivots = RandomPivots(kernel.specialized(x, None), x, rank, tolerance, seed)
        pivots.run(progress)
        made = cls(kernel, taken(x, np.asarray(pivots.chosen)))
        object.__setattr__(made, "residual", pivots.residual)
        return made

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """Inputs like the landmarks."""
        x1, x2 = self.kernel.validated(x1, x2)
        same_home(x1=x1, landmarks=self.landmarks)
        if x1.shape[1:] != self.landmarks.shape[1:]:
            raise ValueError(
                f"inputs of shape {tuple(x1.shape[1:])} are not like the landmarks, which have the shape "
                f"{tuple(self.landmarks.shape[1:])}"
            )
        return x1, x2

    def specialized(self, x1: Array, x2: Array | None) -> "Nystroem":
        other = copy(self)
        both = x1 if x2 is None else home(x1).xp.concat([x1, x2])
        object.__setattr__(other, "kernel", self.kernel.specialized(both, self.landmarks))
        return other

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Features, and what the kernel prepares."""
        # Of the home of kernel values: inputs may be numbers of rows.
        inner = self.kernel.costs(x1, self.landmarks)
        size = itemsize(inner.home)
        return Costs(inner.home, 1, 3 * size, size * self.feature_count(x1) + inner.input)

    def feature_count(self, x: Array) -> int:
        return int(self.landmarks.shape[0])

    def feature_rows(self, x: Array) -> Array:
        return self.kernel.values(x, self.landmarks) @ self._whitening
