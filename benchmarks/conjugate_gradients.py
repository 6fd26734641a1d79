"""Conjugate gradients beside a Cholesky factor: steps with and without the preconditioner, and how far apart they are.

Run from the checkout: python -m benchmarks.conjugate_gradients --data FOLDER. Without --data the page is written again
from the results. The folder has MNIST as its four files of the name train-images-idx3-ubyte.gz and so on. Writes
benchmarks/results/conjugate_gradients.json, and a section of docs/accuracy.md. Nothing is timed: another process beside
it changes no figure.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

import ntk_array as ntk

from . import sections
from .low_rank import images, targets

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/conjugate_gradients.json"
TITLE = "Conjugate gradients"
N, LARGE, NEW = 4000, 16_000, 1000
RIDGES = (1e-2, 1e-4, 1e-6)
LARGE_RIDGE = 1e-2

INTRO = """
Regression with noise by preconditioned conjugate gradients (the solver "conjugate_gradient", all outputs at once) and
by a Cholesky factor of the same matrix, in float64: {n:,} training inputs, {new:,} new ones, and once {large:,}
training inputs. The noise is relative to the mean of K(x, x). Each step is one product with the matrix. "Columns" are
those of the preconditioner, as many as it takes by itself; "off" is the largest distance of predictions over the
largest prediction. The residual asked for is 1.5e-10. Made by `python -m benchmarks.conjugate_gradients`; the numbers
are in `benchmarks/results/conjugate_gradients.json`.
"""

Problem = tuple[ntk.Kernel, np.ndarray, np.ndarray, np.ndarray]


def digits(folder: Path, n: int) -> Problem:
    """Eigenvalues that fall as a power."""
    (x, labels), (x_new, _) = images(folder, "train", n), images(folder, "t10k", NEW)
    net = ntk.nn.mlp((1, 1, 1), 1, weight_std=2**0.5)
    return ntk.InfiniteNTK(net), x.astype("float64"), targets(labels, "float64"), x_new.astype("float64")


def plane(folder: Path, n: int) -> Problem:
    """Eigenvalues that fall at once: few directions matter."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, size=(n + NEW, 2))
    y = np.stack([np.sin(4 * x[:, 0]) * x[:, 1], np.abs(x).sum(axis=1)], axis=1)
    net = ntk.nn.mlp((1,), 1, activation="erf", weight_std=1.5, bias_std=0.5)
    return ntk.InfiniteNTK(net), x[:n], y[:n], x[n:]


def noise(folder: Path, n: int) -> Problem:
    """Eigenvalues that hardly fall: inputs in all of 784 directions."""
    x = np.random.default_rng(0).normal(size=(n + NEW, 784))
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1)
    net = ntk.nn.mlp((1, 1, 1), 1, weight_std=2**0.5)
    return ntk.InfiniteNTK(net), x[:n], y[:n], x[n:]


PROBLEMS: dict[str, tuple[str, Callable[[Path, int], Problem]]] = {
    "digits": ("MNIST, ReLU, three hidden layers", digits),
    "plane": ("two features, erf, one hidden layer, biases", plane),
    "noise": ("Gaussian inputs of 784 features, ReLU, three hidden layers", noise),
}


def steps(gp: Any, x_new: np.ndarray, exact: np.ndarray) -> dict[str, Any]:
    """How one process was solved, and how far its means are from exact ones."""
    mean = gp.predict(x_new, covariance=None).mean
    return {
        "steps": gp.solved.iterations,
        "columns": gp.factor.columns,
        "residual": gp.solved.residual,
        "converged": gp.solved.converged,
        "off": float(np.abs(mean - exact).max() / np.abs(exact).max()),
    }


def measured(folder: Path, name: str, n: int, ridges: tuple[float, ...]) -> list[dict[str, Any]]:
    """One problem with each noise; the kernel matrix is computed once."""
    kernel, x, y, x_new = PROBLEMS[name][1](folder, n)
    rows = []
    gp = ntk.dynamics.GaussianProcess(kernel, x, y, 1.0, "cholesky")
    for ridge in ridges:
        gp = gp.with_solver("cholesky").with_noise(ntk.solve.TimesMeanDiagonal(ridge))
        exact = gp.predict(x_new, covariance=None).mean
        row = {"problem": name, "n": n, "noise": ridge, "condition": gp.factor.condition}
        for word, rank in (("plain", 0), ("preconditioned", None)):
            row[word] = steps(gp.with_solver(ntk.solve.ConjugateGradient(rank=rank)), x_new, exact)
        print(row, flush=True)
        rows.append(row)
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The section."""
    lines = [
        "| problem | N | noise | condition at most | steps, plain | steps, preconditioned | columns | off, plain "
        "| off |",
        "|" + "---|" * 9,
    ]
    for row in rows:
        plain, other = row["plain"], row["preconditioned"]
        cells = [PROBLEMS[row["problem"]][0], f"{row['n']:,}", f"{row['noise']:g}", f"{row['condition']:.0e}"]
        cells += [_steps(plain), _steps(other), f"{other['columns']}", f"{plain['off']:.0e}", f"{other['off']:.0e}"]
        lines.append("| " + " | ".join(cells) + " |")
    worst = max(row["preconditioned"]["off"] for row in rows)
    reading = (
        f"With the preconditioner predictions agree to {worst:.0e} of the largest. Where eigenvalues fall at once, few "
        "columns hold nearly all of the matrix; where they hardly fall the plain method needs few steps, and there is "
        "no preconditioner (0 columns). A star marks residuals that did not reach 1.5e-10; a warning says so."
    )
    intro = INTRO.format(n=N, new=NEW, large=LARGE)
    return f"{fill(' '.join(intro.split()), 120)}\n\n" + "\n".join(lines) + f"\n\n{fill(reading, 120)}\n"


def _steps(found: dict[str, Any]) -> str:
    return f"{found['steps']:,}{'' if found['converged'] else ' *'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of MNIST's four files")
    folder = parser.parse_args().data
    if folder is not None:
        rows = [row for name in PROBLEMS for row in measured(folder, name, N, RIDGES)]
        rows += measured(folder, "digits", LARGE, (LARGE_RIDGE,))
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    sections.put(ROOT / "docs/accuracy.md", TITLE, page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
