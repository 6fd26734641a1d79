"""What all benchmarks share: seeded inputs that are never zeros."""

import numpy as np

import ntk_array as ntk


def batch(n: int, features: int, dtype: str = "float64") -> np.ndarray:
    """Standard normal inputs (n, features)."""
    return np.random.default_rng(1).standard_normal((n, features)).astype(dtype)


def regression(n: int, features: int) -> ntk.function_space.SquaredError:
    """A smooth target on normal inputs."""
    x = batch(n, features)
    return ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), np.sin(x[:, :2]))
