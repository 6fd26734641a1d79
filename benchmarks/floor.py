"""What this machine can do: rates of matrix products and of writing memory, and the least time that a kernel takes.

Run: python -m benchmarks.floor, with OMP_NUM_THREADS=1 or 2 for the number of threads. It prints the rates as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import blas

from .peers.cases import Case
from .peers.worker import Ways, serve

LARGEST = 4096
"""Rows of the largest product that is timed; rates do not grow beyond."""
OF_PAIR = 48.0
"""Operations that a convolution of 3 x 3 and ReLU take for a pair of positions, about: 18 additions for the covariance
and the NTK, and the dual activation. For four of them on 32 x 32 positions that is 0.2 GFLOP for a pair of images."""


def rate(work: float, run: Callable[[], Any], repeats: int = 3) -> float:
    """Work a second, in the best of a few runs after one more."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return work / min(times)


def gemm_rate(dtype: str, m: int, n: int, k: int) -> float:
    """Floating-point operations a second of (m, k) times (k, n), 2 m n k of them."""
    a, b = (np.asfortranarray(np.ones(shape, dtype)) for shape in ((m, k), (k, n)))
    c = np.zeros((m, n), dtype, order="F")
    gemm = blas.sgemm if dtype == "float32" else blas.dgemm
    return rate(2.0 * m * n * k, lambda: gemm(1.0, a, b, c=c, overwrite_c=True))


def syrk_rate(dtype: str, n: int, k: int) -> float:
    """Floating-point operations a second of A A^T for A (n, k), of which one triangle is computed: n (n + 1) k."""
    a, c = np.asfortranarray(np.ones((n, k), dtype)), np.zeros((n, n), dtype, order="F")
    syrk = blas.ssyrk if dtype == "float32" else blas.dsyrk
    return rate(n * (n + 1.0) * k, lambda: syrk(1.0, a, c=c, overwrite_c=True))


def write_rate(size: int, new: bool) -> float:
    """Bytes a second of filling memory: a new array, whose pages may have to be made first, or one that is there."""
    array = np.empty(size, dtype=np.uint8)
    return rate(float(size), lambda: (np.empty(size, dtype=np.uint8) if new else array).fill(1))


def products(case: Case) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int, int], float]]:
    """Operations of a kernel: of A A^T by (rows, columns) of A, of other products by (m, n, k).

    At infinite width: one product of the inputs. At finite width, per layer: the inner products of its inputs and those
    of its cotangents, but for the readout's, which are known; one forward and one backward pass.
    """
    n, symmetric, others = case.n, {}, {}

    def add(rows: int, columns: int) -> None:
        symmetric[rows, columns] = symmetric.get((rows, columns), 0.0) + rows * (rows + 1.0) * columns

    if case.infinite:
        # Without positions there is one; for Flatten only equal positions meet.
        together = case.readout == "average"
        add(n * case.positions if together else n, case.features * (1 if together else case.positions))
        return symmetric, others
    if case.image:
        raise ValueError("products of finite networks on images are not counted")
    for i, (n_in, n_out) in enumerate(case.layers):
        last = i == len(case.widths)
        add(n, n_in)
        if not last:
            add(n * case.outputs, n_out)
        for rows in (n, 0 if last or i == 0 else n * case.outputs):
            if rows:
                others[rows, n_out, n_in] = others.get((rows, n_out, n_in), 0.0) + 2.0 * rows * n_out * n_in
    return symmetric, others


def of_positions(case: Case) -> float:
    """Operations of an infinite-width kernel of images but for the product of the inputs."""
    pairs = case.positions ** (2 if case.readout == "average" else 1)
    return OF_PAIR * len(case.widths) * pairs * case.n * (case.n + 1) / 2


def floor_seconds(case: Case) -> float:
    """Counted operations at the rates of products of their sizes, and one write of the result to a new array."""
    symmetric, others = products(case)
    size = (case.n * max(case.outputs, 1)) ** 2 * np.dtype(case.dtype).itemsize
    seconds = size / write_rate(min(size, 2**28), new=True)
    for (rows, columns), work in symmetric.items():
        seconds += work / syrk_rate(case.dtype, min(rows, LARGEST), columns)
    seconds += of_positions(case) / gemm_rate(case.dtype, 1024, 1024, 1024) if case.image else 0.0
    for (m, n, k), work in others.items():
        seconds += work / gemm_rate(case.dtype, min(m, LARGEST), n, k)
    return seconds


def prepare(case: Case) -> Ways:
    """The floor as something that performance.py measures in turn with the kernel."""
    return {"floor": lambda: floor_seconds(case)}


def rates() -> dict[str, float]:
    """What the floors of kernels are made of, each by what it is."""
    found = {}
    for dtype in ("float32", "float64"):
        for k in (64, 256, 1024):
            found[f"A A^T, A of 2560 x {k}, {dtype}, GFLOP/s"] = syrk_rate(dtype, 2560, k) / 1e9
            found[f"A B, A of 2560 x {k}, B of {k} x 1024, {dtype}, GFLOP/s"] = gemm_rate(dtype, 2560, 1024, k) / 1e9
    for name, new in (("a new array", True), ("one that is there", False)):
        found[f"writing 256 MiB to {name}, GB/s"] = write_rate(2**28, new) / 1e9
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(prepare, np.asarray, "floor")
    else:
        print(json.dumps(rates(), indent=1))
