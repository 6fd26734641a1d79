"""Errors of solutions with a noise or a ridge, over those of a plain solve in the same dtype.

Kernel matrices are given as numbers of the dtype, so that the reference in long double solves the very same problem.
"""

import warnings
from typing import Any

import numpy as np
import scipy.linalg

import ntk_array as ntk
from ntk_array.dynamics import GaussianProcess, GradientFlow
from ntk_array.function_space import EmpiricalMeasure, SquaredError

SIZES = (100, 500, 2000)
NOISES = (1e-12, 1e-9, 1e-6, 1e-3, 1.0)
METHODS = ("GaussianProcess", "GradientFlow")
NEW = 30  # inputs to predict at
BLOCK = 64  # columns
WIDE = np.longdouble


def kernels() -> dict[str, tuple[ntk.Kernel, int]]:
    """Five kernels, and how many features their inputs have."""
    mlp = ntk.nn.mlp
    return {
        "ReLU NNGP, 1-D": (ntk.InfiniteNNGP(mlp((1, 1), 1, weight_std=1.5, bias_std=0.5)), 1),
        "ReLU NTK, 10-D": (ntk.InfiniteNTK(mlp((1, 1), 1, weight_std=2**0.5)), 10),
        "tanh NNGP, 3-D": (ntk.InfiniteNNGP(mlp((1, 1), 1, activation="tanh", weight_std=1.5)), 3),
        "erf NTK with biases, 2-D": (ntk.InfiniteNTK(mlp((1,), 1, activation="erf", bias_std=0.3)), 2),
        "GELU NTK, 5-D": (ntk.InfiniteNTK(mlp((1, 1), 1, activation="gelu")), 5),
    }


def wide_cholesky(matrix: np.ndarray) -> np.ndarray | None:
    """The lower factor in long double, block by block; None where the matrix is not positive definite."""
    a = np.tril(matrix.astype(WIDE))
    n = len(a)
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        for j in range(start, end):
            if not a[j, j] > 0:
                return None
            a[j:, j] /= np.sqrt(a[j, j])
            a[j + 1 :, j + 1 : end] -= np.outer(a[j + 1 :, j], a[j + 1 : end, j])
        for left in range(end, n, 256):  # of the rest, the parts below the diagonal
            right = min(left + 256, n)
            a[left:, left:right] -= np.einsum("ik,jk->ij", a[left:, start:end], a[left:right, start:end])
    return np.tril(a)


def substituted(lower: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(L L^T)^{-1} b."""
    b = b.astype(WIDE)
    for j in range(len(b)):
        b[j] = (b[j] - lower[j, :j] @ b[:j]) / lower[j, j]
    for j in reversed(range(len(b))):
        b[j] = (b[j] - lower[j + 1 :, j] @ b[j + 1 :]) / lower[j, j]
    return b


def exact_solve(s: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """S^{-1} b in long double, with iterative refinement; None where S is not positive definite.

    By a factor in float64 where that converges, and else by one in long double.
    """
    try:
        factor = scipy.linalg.cho_factor(s.astype(np.float64), lower=True)
    except np.linalg.LinAlgError:
        factor = None
    if factor is not None:
        found, last = np.zeros(len(b), WIDE), np.inf
        for _ in range(30):
            step = scipy.linalg.cho_solve(factor, (b - s @ found).astype(np.float64))
            found = found + step
            size = float(np.linalg.norm(step))
            if size <= 1e-18 * float(np.linalg.norm(found.astype(np.float64))):
                return found
            if size > 0.3 * last:
                break
            last = size
        if last < 1e-17 * float(np.linalg.norm(found.astype(np.float64))):
            return found
    lower = wide_cholesky(s)
    if lower is None:
        return None
    found = substituted(lower, b)
    return found + substituted(lower, b - s @ found)


def plain_solve(s: np.ndarray, b: np.ndarray) -> np.ndarray:
    """By SciPy in the dtype: a Cholesky factor, or an LU factor where there is none."""
    try:
        return scipy.linalg.cho_solve(scipy.linalg.cho_factor(s, lower=True), b)
    except np.linalg.LinAlgError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
            return scipy.linalg.lu_solve(scipy.linalg.lu_factor(s), b)


def solves() -> list[dict[str, Any]]:
    """One row a kernel, a number of inputs, a dtype and a noise."""
    return [
        row
        for name, (kernel, features) in kernels().items()
        for n in SIZES
        for dtype in (np.float32, np.float64)
        for row in _problem(name, kernel, features, n, dtype)
    ]


def _problem(name: str, kernel: ntk.Kernel, features: int, n: int, dtype: type) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    x = rng.uniform(-3, 3, size=(n + NEW, features))
    y = (np.sin(2 * x[:n, 0]) + 0.1 * rng.normal(size=n)).astype(dtype)
    k = kernel(x).astype(dtype)
    places = np.arange(float(n + NEW), dtype=dtype)[:, None]
    process = GaussianProcess(ntk.Precomputed(k), places[:n], y, 1.0)
    flow = GradientFlow(ntk.Precomputed(k), SquaredError(EmpiricalMeasure(places[:n]), y), ridge=1.0)
    rows = []
    for noise in NOISES:
        s = k[:n, :n].astype(WIDE) + WIDE(dtype(noise)) * np.eye(n, dtype=WIDE)
        alpha = exact_solve(s, y.astype(WIDE))
        row = {"kernel": name, "inputs": n, "dtype": dtype.__name__, "noise": noise}
        rows.append(row)
        here = process.with_noise(noise)
        row["warns"] = here.singular
        if alpha is None:
            row |= dict.fromkeys(("error", *METHODS))
            continue
        exact = k[n:, :n].astype(WIDE) @ alpha
        plain = plain_solve(k[:n, :n] + dtype(noise) * np.eye(n, dtype=dtype), y)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* is below what rounding does to the kernel matrix")
            found = {"GaussianProcess": here.predict(places[n:]).mean}
            found["GradientFlow"] = flow.with_ridge(noise).predict(places[n:])
        error = float(np.max(np.abs(k[n:, :n] @ plain - exact)))
        row["error"] = error
        row |= {key: float(np.max(np.abs(values - exact))) / error for key, values in found.items()}
    return rows


def line(rows: list[dict[str, Any]]) -> str:
    """A line of the table: the larger of both ratios for every noise."""
    first = rows[0]
    cells = [first["kernel"], str(first["inputs"]), first["dtype"]]
    for row in rows:
        ratios = [row[key] for key in METHODS]
        cell = "indefinite" if None in ratios else f"{max(ratios):.1f}"
        cells.append(f"({cell})" if row["warns"] else cell)
    return f"| {' | '.join(cells)} |"


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each kernel, number of inputs and dtype."""
    width = len(NOISES)
    return "\n".join(line(rows[start : start + width]) for start in range(0, len(rows), width))
