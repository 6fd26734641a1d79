"""Kernel regression with convolutional kernels on CIFAR-10: python -m benchmarks.cifar IMAGES.npz --folder FOLDER

IMAGES.npz holds x_train (N, 32, 32, 3), y_train, x_test and y_test. Pixels are standardized per channel, targets are
one-hot minus 0.1, and there is no ridge, as in Arora et al. 2019, section 6. From 2,000 training images their vanilla
kernel of depth 3 (two convolutions and the readout) reaches 40.94 % on all test images (Table 1). Rows of the kernel
that are finished are kept in the folder, and a run that was interrupted goes on from there.

--depth and --pooling take several values; shallow networks come first. With --library cupy kernels are computed on a
GPU. Each network has a file of its own, and accuracies.json has those of all that ran.
"""

import argparse
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg

import ntk_array as ntk
from ntk_array._support.atomic import write_whole
from ntk_array._support.progress import progress_bar

from .gpu.card import Card

ROWS = 100
DEPTHS = (3, 4, 6, 11, 21)
"""Convolutions and the readout, of the networks of Table 1."""
POOLINGS = ("flatten", "global")
PUBLISHED = {("flatten", 3): 0.4094}
"""Accuracies of Table 1 from 2,000 training images, on all test images, by pooling and depth."""


@dataclass(frozen=True)
class Problem:
    """Images in float32, of which the first n are those of training, and their labels."""

    x: np.ndarray
    labels: np.ndarray
    n: int


def standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float32, with mean 0 and standard deviation 1 for each channel of the training images."""
    mean, std = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    return tuple(((x - mean) / std).astype(np.float32) for x in (train, test))


def problem(path: Path, train: int, test: int) -> Problem:
    """The first images of a file."""
    with np.load(path, allow_pickle=False) as data:
        x_train, x_test = data["x_train"][:train].astype(np.float64), data["x_test"][:test].astype(np.float64)
        labels = np.concatenate([data["y_train"][:train], data["y_test"][:test]])
    return Problem(np.concatenate(standardized(x_train, x_test)), labels, len(x_train))


def kernel_rows(kernel: ntk.Kernel, x: np.ndarray, n: int, folder: Path, card: Card) -> tuple[np.ndarray, int]:
    """Kernel values between all images (N + M) and the first n, and how many rows of them come from files.

    A few rows at a time are computed and written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks, known, on_card = [], 0, card.xp.asarray(x)
    for start in progress_bar(range(0, len(x), ROWS), "rows of the kernel", f"{ROWS} rows", True):
        path = folder / f"rows-{start}.npy"
        if path.exists():
            known += min(ROWS, len(x) - start)
        else:
            # Of the training images, the entries below the diagonal are mirror images.
            stop = min(start + ROWS, len(x))
            first = start if stop <= n else 0
            block = np.zeros((stop - start, n), dtype=x.dtype)
            block[:, first:] = card.host(kernel(on_card[start:stop], on_card[first:n]))
            buffer = io.BytesIO()
            np.save(buffer, block)
            write_whole(path, buffer.getvalue())
        blocks.append(np.load(path))
    matrix = np.concatenate(blocks).astype(np.float64)
    train = matrix[:n]
    upper = np.triu(train)
    return np.concatenate([upper + np.triu(train, 1).T, matrix[n:]]), known


def network(depth: int, pooling: str, bias_std: float = 0.0) -> ntk.nn.Layer:
    """Convolutions and a readout, so many together."""
    layers = (ntk.nn.Conv(1, (3, 3), weight_std=2**0.5, bias_std=bias_std), ntk.nn.ReLU()) * (depth - 1)
    last = ntk.nn.Flatten() if pooling == "flatten" else ntk.nn.GlobalAvgPool()
    return ntk.nn.Sequential(*layers, last, ntk.nn.Dense(1))


def accuracy(given: Problem, depth: int, pooling: str, folder: Path, card: Card) -> dict[str, Any]:
    """The accuracy of one network, which is also written to the folder. Its seconds leave out rows from files."""
    n, m = given.n, len(given.x) - given.n
    name = f"{pooling}-depth-{depth}-{n}-{m}"
    start = time.perf_counter()
    kernel = ntk.InfiniteNTK(network(depth, pooling))
    matrix, known = kernel_rows(kernel, given.x, n, folder / name, card)
    targets = np.eye(10)[given.labels[:n]] - 0.1
    found = matrix[n:] @ scipy.linalg.solve(matrix[:n], targets, assume_a="pos")
    right = float(np.mean(np.argmax(found, axis=1) == given.labels[n:]))
    result = {
        "network": f"{depth - 1} convolutions 3 x 3, {pooling}, readout",
        "train": n,
        "test": m,
        "accuracy": right,
        "standard_error": float((right * (1 - right) / m) ** 0.5),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if known:
        result["rows from files"] = known
    write_whole(folder / f"{name}.json", (json.dumps(result, indent=1) + "\n").encode())
    published = PUBLISHED.get((pooling, depth))
    return {"depth": depth, "pooling": pooling, **result, "published": published}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where rows and the results are kept")
    parser.add_argument("--depth", type=int, nargs="+", default=[3], help="convolutions and the readout")
    parser.add_argument("--pooling", choices=POOLINGS, nargs="+", default=["flatten"])
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--library", choices=("cupy", "numpy"), default="numpy")
    options = parser.parse_args()
    given, card = problem(options.images, options.train, options.test), Card.of(options.library)
    rows = []
    for depth in sorted(options.depth):
        for pooling in options.pooling:
            rows.append(accuracy(given, depth, pooling, options.folder, card))
            print(json.dumps(rows[-1], indent=1), flush=True)
            write_whole(options.folder / "accuracies.json", (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
