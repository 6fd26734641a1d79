"""A ridge that follows the scale of the kernel matrix."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .._array.namespace import to_host
from .._array.validate import nonnegative
from .operator import GramOperator

__all__ = ["Ridge", "TimesMeanDiagonal", "absolute_ridge"]


@dataclass(frozen=True)
class TimesMeanDiagonal:
    """A ridge, or a variance of noise, that is a multiple of the mean diagonal entry of the kernel matrix, tr(K) / n.

    Predictions then do not change where the kernel is multiplied by a number, as it is by another ``weight_std`` or
    another normalization of the limit. A ``ridge=`` or ``noise=`` that is a plain number is absolute.

    Parameters
    ----------
    factor : float
        At least 0.

    Raises
    ------
    ValueError
        If the factor is negative or not finite.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(30, 3))
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
    >>> gp = ntk.dynamics.GaussianProcess(K, x, x[:, 0], noise=ntk.solve.TimesMeanDiagonal(1e-2))
    >>> bool(np.isclose(gp.noise, 1e-2 * np.mean(K.diag(x))))
    True
    """

    factor: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", nonnegative("factor", self.factor))


Ridge: TypeAlias = float | TimesMeanDiagonal


def absolute_ridge(name: str, ridge: Any, operator: Callable[[], GramOperator]) -> float:
    """A ridge as a number; the matrix is asked for its diagonal where the ridge depends on it."""
    if not isinstance(ridge, TimesMeanDiagonal):
        return nonnegative(name, ridge)
    return ridge.factor * float(to_host(operator().diagonal()).mean(dtype="float64"))
