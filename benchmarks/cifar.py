"""Kernel regression with convolutional kernels on CIFAR-10: python -m benchmarks.cifar IMAGES.npz --folder FOLDER

IMAGES.npz holds x_train (N, 32, 32, 3), y_train, x_test and y_test. Pixels are standardized per channel, targets are
one-hot minus 0.1, and there is no ridge, as in Arora et al. 2019, section 6. From 2,000 training images their vanilla
kernel of depth 3 (two convolutions and the readout) reaches 40.94 % on all test images (Table 1). Rows of the kernel
that are finished are kept in the folder, and a run that was interrupted goes on from there.
"""

import argparse
import io
import json
import time
from pathlib import Path

import numpy as np
import scipy.linalg

import ntk_array as ntk
from ntk_array._support.atomic import write_whole
from ntk_array._support.progress import progress_bar

ROWS = 100


def standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float32, with mean 0 and standard deviation 1 for each channel of the training images."""
    mean, std = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    return tuple(((x - mean) / std).astype(np.float32) for x in (train, test))


def kernel_rows(kernel: ntk.Kernel, x: np.ndarray, n: int, folder: Path) -> np.ndarray:
    """Kernel values between all images (N + M) and the first n, a few rows at a time, from files where they exist."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = []
    for start in progress_bar(range(0, len(x), ROWS), "rows of the kernel", f"{ROWS} rows", True):
        path = folder / f"rows-{start}.npy"
        if not path.exists():
            # Of the training images, the entries below the diagonal are mirror images.
            stop = min(start + ROWS, len(x))
            first = start if stop <= n else 0
            block = np.zeros((stop - start, n), dtype=x.dtype)
            block[:, first:] = kernel(x[start:stop], x[first:n])
            buffer = io.BytesIO()
            np.save(buffer, block)
            write_whole(path, buffer.getvalue())
        blocks.append(np.load(path))
    matrix = np.concatenate(blocks).astype(np.float64)
    train = matrix[:n]
    upper = np.triu(train)
    return np.concatenate([upper + np.triu(train, 1).T, matrix[n:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where rows and the result are kept")
    parser.add_argument("--depth", type=int, default=3, help="convolutions and the readout")
    parser.add_argument("--pooling", choices=("flatten", "global"), default="flatten")
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    options = parser.parse_args()
    with np.load(options.images, allow_pickle=False) as data:
        x_train, y_train = data["x_train"][: options.train], data["y_train"][: options.train]
        x_test, y_test = data["x_test"][: options.test], data["y_test"][: options.test]
    train, test = standardized(x_train.astype(np.float64), x_test.astype(np.float64))
    layers = [
        layer for _ in range(options.depth - 1) for layer in (ntk.nn.Conv(1, (3, 3), weight_std=2**0.5), ntk.nn.ReLU())
    ]
    last = ntk.nn.Flatten() if options.pooling == "flatten" else ntk.nn.GlobalAvgPool()
    kernel = ntk.InfiniteNTK(ntk.nn.Sequential(*layers, last, ntk.nn.Dense(1)))
    name = f"{options.pooling}-depth-{options.depth}-{len(train)}-{len(test)}"
    start = time.perf_counter()
    matrix = kernel_rows(kernel, np.concatenate([train, test]), len(train), options.folder / name)
    targets = np.eye(10)[y_train] - 0.1
    found = matrix[len(train) :] @ scipy.linalg.solve(matrix[: len(train)], targets, assume_a="pos")
    accuracy = float(np.mean(np.argmax(found, axis=1) == y_test))
    result = {
        "network": f"{options.depth - 1} convolutions 3 x 3, {options.pooling}, readout",
        "train": len(train),
        "test": len(test),
        "accuracy": accuracy,
        "standard_error": float((accuracy * (1 - accuracy) / len(test)) ** 0.5),
        "seconds": round(time.perf_counter() - start, 1),
    }
    write_whole(options.folder / f"{name}.json", (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
