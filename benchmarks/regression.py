"""Gaussian process regression with noise beside its floor and scikit-learn: time and memory.

Run from the checkout, on a quiet machine: python -m benchmarks.regression --data FOLDER. Without --data the page is
written again from the results. The folder has MNIST as its four files of the name train-images-idx3-ubyte.gz and so on.
Writes benchmarks/results/regression.json, and a section of docs/performance.md. Each run is a process of its own, whose
largest resident memory Linux counts; methods take turns.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import scipy.linalg

import ntk_array as ntk

from . import sections
from .low_rank import images, resident, targets
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/regression.json"
TITLE = "Gaussian processes"
NEW = 2000
NOISE = 0.01  # over the mean of K(x, x)
CASES = tuple((n, dtype) for n in (4000, 10_000, 20_000) for dtype in ("float32", "float64"))
ROUNDS = {4000: 3, 10_000: 2, 20_000: 1}

TEXT = """
{intro}

{table}

{reading}
"""
INTRO = """
Regression on the first N images of MNIST, ten outputs, the ReLU NTK of three hidden layers, noise of {noise:g} times
the mean of K(x, x): fit and {new:,} means. "Floor" is our Gram matrix, LAPACK's Cholesky factor in its place, the
solve, and the product with our kernel values of new inputs. scikit-learn gets the same Gram matrix, whose time is
counted. Seconds are wall time on two cores, each run in a process of its own, the least of {rounds}; "matrices" is
the largest resident memory beyond that of the data, over that of one Gram matrix. "Off" is the largest distance of
means from those of the floor in float64 (of conjugate gradients in float64 where it crashes), over the largest mean.
Made by `python -m benchmarks.regression`; the numbers are in `benchmarks/results/regression.json`, from {machine}.
"""


def kernel() -> ntk.Kernel:
    return ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1, weight_std=2**0.5))


def ours(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, noise: float) -> np.ndarray:
    """GaussianProcess with its default solver."""
    return ntk.dynamics.GaussianProcess(kernel(), x, y, noise).predict(x_new, covariance=None).mean


def iterated(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, noise: float) -> np.ndarray:
    """GaussianProcess by conjugate gradients."""
    gp = ntk.dynamics.GaussianProcess(kernel(), x, y, noise, "conjugate_gradient")
    return gp.predict(x_new, covariance=None).mean


def floor(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, noise: float) -> np.ndarray:
    """What has to be done, by the calls that do it."""
    gram = kernel()(x)
    gram[np.diag_indices(len(x))] += noise
    factor = scipy.linalg.cho_factor(gram.T, lower=True, overwrite_a=True, check_finite=False)
    return kernel()(x_new, x) @ scipy.linalg.cho_solve(factor, y, check_finite=False)


def ridge(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, noise: float) -> np.ndarray:
    """scikit-learn's KernelRidge."""
    from sklearn.kernel_ridge import KernelRidge

    fitted = KernelRidge(alpha=noise, kernel="precomputed").fit(kernel()(x), y)
    return fitted.predict(kernel()(x_new, x))


def process(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, noise: float) -> np.ndarray:
    """scikit-learn's GaussianProcessRegressor."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Kernel

    class Ours(Kernel):
        def __init__(self) -> None:
            pass

        def __call__(self, one: np.ndarray, two: np.ndarray | None = None, eval_gradient: bool = False) -> np.ndarray:
            return kernel()(one, two)

        def diag(self, one: np.ndarray) -> np.ndarray:
            return kernel().diag(one)

        def is_stationary(self) -> bool:
            return False

    return GaussianProcessRegressor(Ours(), alpha=noise, optimizer=None).fit(x, y).predict(x_new)


METHODS: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "floor": ("floor", floor),
    "ours": ("ntk_array", ours),
    "iterated": ("ntk_array, conjugate gradients", iterated),
    "ridge": ("scikit-learn KernelRidge", ridge),
    "process": ("scikit-learn GaussianProcessRegressor", process),
}


def run(folder: Path, method: str, n: int, dtype: str, out: Path) -> dict[str, Any]:
    """One fit and its means, in this process."""
    (x, labels), (x_new, _) = images(folder, "train", n), images(folder, "t10k", NEW)
    x, x_new, y = x.astype(dtype), x_new.astype(dtype), targets(labels, dtype)
    noise = NOISE * float(np.mean(kernel().diag(x[:100])))
    METHODS[method][1](x[:300], y[:300], x_new[:10], noise)  # what is imported and compiled
    before = resident("VmRSS")
    # Linux forgets the largest resident set so far.
    Path("/proc/self/clear_refs").write_text("5")
    wall, processor = time.perf_counter(), time.process_time()
    means = METHODS[method][1](x, y, x_new, noise)
    result = {
        "method": method,
        "n": n,
        "dtype": dtype,
        "seconds": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "matrices": (resident("VmHWM") - before) * 2**20 / (n * n * np.dtype(dtype).itemsize),
    }
    np.save(out, means)
    return result


def measured(folder: Path) -> list[dict[str, Any]]:
    """Every case, the methods taking turns."""
    rows = []
    for n, dtype in CASES:
        best: dict[str, dict[str, Any]] = {}
        means = {}
        for _ in range(ROUNDS[n]):
            for method in METHODS:
                out = Path(tempfile.gettempdir()) / f"{os.getpid()}-means.npy"
                command = [sys.executable, "-m", "benchmarks.regression", "--data", str(folder)]
                command += ["--one", method, str(n), dtype, str(out)]
                said = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=os.environ)
                if said.returncode == -signal.SIGSEGV:
                    continue
                row = json.loads(said.stdout.splitlines()[-1])
                print(row, flush=True)
                means[method] = np.load(out).astype(np.float64)
                out.unlink()
                if method not in best or row["seconds"] < best[method]["seconds"]:
                    best[method] = row
        rows += [best[method] | {"means": means[method]} for method in METHODS if method in best]
        if dtype == "float64":
            # Of each N the last case. Conjugate gradients have a small residual where the floor crashes.
            exact = means.get("floor", means["iterated"])
            for row in rows:
                if row["n"] == n:
                    row["off"] = float(np.abs(row.pop("means") - exact).max() / np.abs(exact).max())
    return rows


def page(found: dict[str, Any]) -> str:
    """The section."""
    head = "| N | dtype | " + " | ".join(name for name, _ in METHODS.values()) + " | off | matrices |"
    lines = [head, "|" + "---|" * (len(METHODS) + 4)]
    worst = 0.0
    for n, dtype in CASES:
        own = {row["method"]: row for row in found["rows"] if (row["n"], row["dtype"]) == (n, dtype)}
        least = own["floor"]["seconds"] if "floor" in own else None
        cells = []
        for method in METHODS:
            seconds = own[method]["seconds"] if method in own else math.inf
            ratio = f" ({seconds / least:.2f})" if least else ""
            cells.append(f"{seconds:.1f} s{ratio}" if method in own else "crash")
        worst = max(worst, own["ours"]["seconds"] / least) if least else worst
        cells += [f"{own['ours']['off']:.0e}", f"{own['ours']['matrices']:.2f}"]
        lines.append(f"| {n:,} | {dtype} | " + " | ".join(cells) + " |")
    rounds = ", ".join(f"{number} at N = {n:,}" for n, number in ROUNDS.items())
    intro = INTRO.format(
        noise=NOISE, new=NEW, rounds=rounds, machine="{processor}, {cores} cores, {date}".format(**found["machine"])
    )
    reading = (
        f"In brackets: times the floor. ntk_array takes at most {worst:.2f} times the floor. Off and matrices are of "
        "ntk_array with its default solver, a Cholesky factor. Crash: LAPACK's Cholesky factor, as OpenBLAS has it on "
        "two threads, ends the process (SIGSEGV) from 16,000 rows in float64 on; ntk_array factors large matrices by "
        "blocks of its own."
    )
    return TEXT.format(intro=fill(" ".join(intro.split()), 120), table="\n".join(lines), reading=fill(reading, 120))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        method, n, dtype, out = given.one
        print(json.dumps(run(given.data, method, int(n), dtype, Path(out))))
        return
    if given.data:
        found = {"machine": machine(), "rows": measured(given.data)}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    sections.put(ROOT / "docs/performance.md", TITLE, page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
