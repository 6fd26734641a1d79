"""Largest eigenvalues from a few products."""

from collections.abc import Callable

import numpy as np

from .._array.linalg import norm
from .._array.namespace import Array, to_host
from .operator import GramOperator

__all__ = ["largest_eigenvalue"]

STEPS = 4
"""Of the power method. It finds the largest of n eigenvalues to a factor of about n^(1 / (2 steps)): 3 for 10^4."""


def largest_eigenvalue(operator: GramOperator, apply: Callable[[Array], Array], steps: int = STEPS) -> float:
    """About the largest eigenvalue, from below, of positive semidefinite matrices that are given by their products.

    They are of the size of the operator, such as its inverses.
    """
    b, n, _ = operator.shape
    here = operator.home
    v = here.asarray(np.random.default_rng(0).normal(size=(b, n, 1)))
    largest = 0.0
    for _ in range(steps):
        v = apply(v)
        size = norm(v, axis=-2)
        largest = float(to_host(here.xp.max(size)))
        if not 0.0 < largest < np.inf:
            return largest
        v = v / here.xp.where(size > 0, size, 1.0)
    return largest
