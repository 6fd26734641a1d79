"""Solutions by Cholesky factors, in the ratio by which LAPACK tests its own."""

import numpy as np
import pytest

import ntk_array as ntk

LIMIT = 30.0


@pytest.mark.host
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_solutions(dtype, record_property, rng):
    """R16: |b - A x| / (|A| |x| eps), without the factor n that LAPACK has, for condition numbers up to 1 / (8 eps)."""
    eps, worst = float(np.finfo(dtype).eps), 0.0
    for condition in (1e1, 1e4, 0.125 / eps):
        q = np.linalg.qr(rng.normal(size=(200, 200)))[0]
        a = ((q * np.geomspace(1.0, 1.0 / condition, 200)) @ q.T).astype(dtype)
        a = (a + a.T) / 2
        b = rng.normal(size=200).astype(dtype)
        ridge = float(np.float32(2.0 / condition))
        x = ntk.solve.solve(a, b, ridge=ridge, solver="cholesky").x.astype(float)
        exact = a.astype(float) + ridge * np.eye(200)
        ratio = np.abs(b - exact @ x).max() / (np.linalg.norm(exact, np.inf) * np.abs(x).max() * eps)
        worst = max(worst, ratio)
    record_property("R16", f"{worst:.2g} in {dtype}")
    assert worst < LIMIT
