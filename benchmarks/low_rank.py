"""Kernels of features beside exact ones: errors against the rank, and time and memory against the number of inputs.

Run from the checkout: python -m benchmarks.low_rank --data FOLDER. Without --data the page is written again from the
results. The folder has MNIST as its four files of the name
train-images-idx3-ubyte.gz and so on, and uci90.npz with arrays NAME/X, NAME/y, NAME/fold0_train and NAME/fold0_test.
Writes benchmarks/results/low_rank.json, and the section "Measured" of docs/low_rank.md. Processor time is that of all
threads of the process. Each large run is a process of its own, whose largest resident memory Linux counts.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import scipy.linalg

import ntk_array as ntk
from ntk_array.dynamics import FeatureRegression

from . import sections
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/low_rank.json"
RANKS = (125, 250, 500, 1000, 2000)
SMALL_RANKS = (50, 100, 200, 400, 800)
TABLES = ("abalone", "spambase")
TRAIN, TEST = 4000, 2000
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)  # over the mean of K(x, x)
LARGE_RIDGE = 1e-2
LARGE = ((15_000, 1000), (30_000, 1000), (60_000, 1000), (60_000, 2000))
METHODS = {
    "pivots": "Nystroem, random pivots",
    "uniform": "Nystroem, uniform landmarks",
    "random": "random features",
}

TEXT = """
Kernel: the ReLU NTK of two hidden layers, bias_std 0.1. Targets are one-hot less their mean, the class is that of the
largest output. The ridge is a power of ten times the mean of K(x, x), that with the least leave-one-out error at the
largest number of landmarks: {ridges}. Made by `python -m benchmarks.low_rank`; the
numbers are in `benchmarks/results/low_rank.json`, from {machine}.

"Residual" is the trace of K - K~ over that of K on the training inputs. "Kernel" is `estimated_error` on the test
inputs. "Predictions" is the root mean square distance of predictions from those of the exact kernel, over the root mean
square of the latter. "Wrong" is the share of test inputs in a wrong class. Time is processor time in seconds, of
landmarks or draws, features, fit and predictions, and of the Gram matrix, its Cholesky factor and predictions for the
exact kernel.

{small}

At the largest number of features predictions are off by {reading}.

More images of MNIST, in float32, with a ridge of {large_ridge:g} times the mean of K(x, x) and landmarks from random
pivots. {large}

{scaling}
"""


def images(folder: Path, part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a part of MNIST (count, 784), of norm sqrt(784) less their mean, and their labels."""
    pixels = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(pixels, np.uint8, count * 784, 16).reshape(count, 784).astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    x *= 784**0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    return x, np.frombuffer(labels, np.uint8, count, 8).astype(int)


def table(folder: Path, name: str) -> tuple[np.ndarray, ...]:
    """Training and test inputs and labels of the first fold of a table, standardized."""
    with np.load(folder / "uci90.npz", allow_pickle=False) as data:
        x, y = data[f"{name}/X"].astype(np.float64), data[f"{name}/y"].astype(int)
        train, test = data[f"{name}/fold0_train"], data[f"{name}/fold0_test"]
    center, spread = x[train].mean(axis=0), x[train].std(axis=0)
    x = (x - center) / np.where(spread > 0, spread, 1.0)
    return x[train], y[train], x[test], y[test]


def problem(folder: Path, name: str) -> tuple[np.ndarray, ...]:
    """Inputs and labels, in float64."""
    if name != "MNIST":
        return table(folder, name)
    (x, labels), (x_test, test_labels) = images(folder, "train", TRAIN), images(folder, "t10k", TEST)
    return x.astype(np.float64), labels, x_test.astype(np.float64), test_labels


def network_kernel() -> ntk.Kernel:
    """The exact kernel."""
    return ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.1))


def targets(labels: np.ndarray, dtype: Any) -> np.ndarray:
    """One-hot, less the mean over the classes."""
    one_hot = np.eye(int(labels.max()) + 1)[labels]
    return (one_hot - one_hot.mean(axis=1, keepdims=True)).astype(dtype)


def approximation(method: str, kernel: ntk.Kernel, x: np.ndarray, rank: int, seed: int) -> Any:
    """A kernel of about so many features."""
    if method == "pivots":
        return ntk.Nystroem.of(kernel, x, rank, seed)
    if method == "uniform":
        return ntk.Nystroem(kernel, x[np.random.default_rng(seed).choice(len(x), rank, replace=False)])
    return ntk.RandomFeatures(kernel, rank // 2, seed)


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """The exact kernel on one data set, and each method at each rank."""
    x, labels, x_test, test_labels = problem(folder, name)
    y, kernel = targets(labels, x.dtype), network_kernel()
    diagonal, ranks = kernel.diag(x), RANKS if name == "MNIST" else SMALL_RANKS
    unit = float(np.mean(diagonal))
    first = FeatureRegression(approximation("pivots", kernel, x, ranks[-1], seed=0), x, y, unit)
    chosen = min(RIDGES, key=lambda ridge: float(first.with_ridge(ridge * unit).leave_one_out().error))
    ridge, start = chosen * unit, time.process_time()
    gram = kernel(x)
    exact = kernel(x_test, x) @ scipy.linalg.cho_solve(scipy.linalg.cho_factor(gram + ridge * np.eye(len(x))), y)
    rows = [
        {
            "data": name,
            "train": len(x),
            "method": "exact",
            "ridge": chosen,
            "wrong": float(np.mean(np.argmax(exact, axis=1) != test_labels)),
            "seconds": time.process_time() - start,
        }
    ]
    for method in METHODS:
        for rank in ranks:
            start = time.process_time()
            near = approximation(method, kernel, x, rank, seed=0)
            found = FeatureRegression(near, x, y, ridge).predict(x_test)
            seconds = time.process_time() - start
            rows.append(
                {
                    "data": name,
                    "method": method,
                    "rank": near.feature_count(x),
                    "residual": None if method == "random" else 1.0 - float(np.sum(near.diag(x)) / np.sum(diagonal)),
                    "kernel": near.estimated_error(x_test),
                    "predictions": float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))),
                    "wrong": float(np.mean(np.argmax(found, axis=1) != test_labels)),
                    "seconds": seconds,
                }
            )
            print(rows[-1], flush=True)
    return rows


def large(folder: Path, n: int, rank: int) -> dict[str, Any]:
    """One run on many images, in this process, and the memory that it took at most."""
    x, labels = images(folder, "train", n)
    x_test, test_labels = images(folder, "t10k", 10_000)
    y, kernel = targets(labels, x.dtype), network_kernel()
    ridge = LARGE_RIDGE * float(np.mean(kernel.diag(x)))
    before = resident("VmRSS")
    # Linux forgets the largest resident set so far.
    Path("/proc/self/clear_refs").write_text("5")
    times = [time.process_time()]
    near = ntk.Nystroem.of(kernel, x, rank, seed=0)
    times.append(time.process_time())
    fit = FeatureRegression(near, x, y, ridge)
    times.append(time.process_time())
    found = fit.predict(x_test)
    times.append(time.process_time())
    return {
        "train": n,
        "rank": len(near.landmarks),
        "residual": near.residual,
        "landmarks": times[1] - times[0],
        "fit": times[2] - times[1],
        "predict": times[3] - times[2],
        "mib_before": before,
        "mib": resident("VmHWM"),
        "matrix_mib": 4 * n * n / 2**20,
        "wrong": float(np.mean(np.argmax(found, axis=1) != test_labels)),
    }


def resident(what: str) -> float:
    """Memory of this process in MiB, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def small_tables(rows: list[dict[str, Any]]) -> str:
    """A table for each data set."""
    parts = []
    for name in ("MNIST", *TABLES):
        own = [row for row in rows if row["data"] == name]
        exact = own[0]
        lines = [f"| {name}, {exact['train']} | features | residual | kernel | predictions | wrong | time |"]
        lines.append("|---|---|---|---|---|---|---|")
        lines.append(f"| exact | | 0 | 0 | 0 | {100 * exact['wrong']:.1f} % | {exact['seconds']:.1f} |")
        for row in own[1:]:
            residual = "" if row["residual"] is None else f"{row['residual']:.4f}"
            lines.append(
                f"| {METHODS[row['method']]} | {row['rank']} | {residual} | {row['kernel']:.4f} | "
                f"{row['predictions']:.3f} | {100 * row['wrong']:.1f} % | {row['seconds']:.1f} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def reading(rows: list[dict[str, Any]]) -> str:
    """The errors of predictions in words."""
    found, pairs = [], []
    for name in ("MNIST", *TABLES):
        own = {method: [r for r in rows if r["data"] == name and r["method"] == method] for method in METHODS}
        last = {method: f"{each[-1]['predictions']:.3f}" for method, each in own.items()}
        found.append("{pivots}, {uniform} and {random} for ".format(**last) + name)
        pairs += list(zip(own["pivots"], own["uniform"], strict=True))
    nearer, closer = (sum(one[what] > two[what] for one, two in pairs) for what in ("residual", "predictions"))
    return (
        f"{'; '.join(found)}, for random pivots, uniform landmarks and random features. Of {len(pairs)} pairs of rows, "
        f"uniform landmarks have the smaller residual in {nearer} and the nearer predictions in {closer}: random "
        "pivots go to inputs that are far from others, whether or not these matter for predictions"
    )


def scaling_table(rows: list[dict[str, Any]]) -> str:
    """Time and memory against the number of inputs."""
    lines = [
        "| inputs | features | residual | landmarks | fit | 10,000 predictions | memory | K(x, x) alone | wrong |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['train']} | {row['rank']} | {row['residual']:.4f} | {row['landmarks']:.0f} s | {row['fit']:.0f} s "
        f"| {row['predict']:.0f} s | {row['mib'] / 1024:.2f} GiB | {row['matrix_mib'] / 1024:.1f} GiB "
        f"| {100 * row['wrong']:.2f} % |"
        for row in rows
    ]
    return "\n".join(lines)


def scaling_words(rows: list[dict[str, Any]]) -> str:
    """What the table of large runs shows."""
    first, last = rows[0], [row for row in rows if row["rank"] == rows[0]["rank"]][-1]
    work = [row["landmarks"] + row["fit"] for row in (first, last)]
    return (
        f"{last['train'] / first['train']:g} times the inputs take {work[1] / work[0]:.1f} times the time for "
        f"landmarks and fit, at {first['rank']} features. Memory is the largest resident set of the process; "
        f"with the images, before landmarks are chosen, it is {rows[-1]['mib_before'] / 1024:.2f} GiB for "
        f"{rows[-1]['train']}. Choosing landmarks keeps N x rank numbers, the regression none of them."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(large(options.data, *options.one)))
        return
    if options.data:
        measure(options.data)
    write_page(json.loads(RESULTS.read_text()))


def measure(folder: Path) -> None:
    """Measure, and write the results."""
    small = [row for name in ("MNIST", *TABLES) for row in rows_of(folder, name)]
    command = [sys.executable, "-m", "benchmarks.low_rank", "--data", str(folder), "--one"]
    runs = []
    for size in LARGE:
        made = subprocess.run([*command, *map(str, size)], check=True, capture_output=True, text=True, env=os.environ)
        runs.append(json.loads(made.stdout))
        print(runs[-1], flush=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "small": small, "large": runs}, indent=1) + "\n")


def write_page(found: dict[str, Any]) -> None:
    """The section of the page."""
    small, runs = found["small"], found["large"]
    body = TEXT.format(
        ridges=", ".join(f"{row['ridge']:g} for {row['data']}" for row in small if row["method"] == "exact"),
        large_ridge=LARGE_RIDGE,
        machine="{processor}, {cores} cores; Python {python}; {date}".format(**found["machine"]),
        small=small_tables(small),
        reading=reading(small),
        large=scaling_words(runs),
        scaling=scaling_table(runs),
    )
    blocks = [block if block[0] == "|" else fill(block, 118) for block in body.strip().split("\n\n")]
    sections.put(ROOT / "docs/low_rank.md", "Measured", "\n\n".join(blocks))


if __name__ == "__main__":
    main()
