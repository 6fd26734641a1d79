"""Jobs: Gaussian processes, up to all of MNIST."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import ntk_array as ntk
from ntk_array.solve.operator import Matrix

from ..low_rank import images, targets
from .card import Card
from .kernels import PROBED
from .options import Options

NOISE = 0.1
SUBSET = 2000
"""Training inputs of the problem that NumPy solves too."""
MATRICES = 3.2
"""Of the size of K, that are on the card at once, and tiles. The factor is computed from K + noise I, in a copy:
K, K + noise I and the copy. The copy becomes L, of which each triangular solve needs another with its columns
contiguous: K, L and that."""


@dataclass(frozen=True)
class Problem:
    """Inputs on the sphere of radius sqrt(784), in float64 on the host, targets of ten classes, and labels."""

    x: np.ndarray
    y: np.ndarray
    x_new: np.ndarray
    labels: np.ndarray
    source: str


def problem(options: Options, n: int, m: int) -> Problem:
    """The first images of MNIST, where there is a folder with them, else random inputs and classes of a function."""
    if options.data is not None:
        (x, labels), (x_new, labels_new) = images(options.data, "train", n), images(options.data, "t10k", m)
        return Problem(x.astype(float), targets(labels, float), x_new.astype(float), labels_new, "MNIST")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n + m, 784))
    x *= np.sqrt(784) / np.linalg.norm(x, axis=1, keepdims=True)
    labels = np.argmax(np.tanh(x @ rng.standard_normal((784, 10)) / 28), axis=1)
    return Problem(x[:n], targets(labels, float)[:n], x[n:], labels[n:], "random, standardised")


def network_kernel() -> ntk.Kernel:
    """The NTK of three hidden ReLU layers."""
    return ntk.InfiniteNTK(ntk.nn.mlp((1,) * 3, 1, weight_std=2**0.5))


def fitted(x: Any, y: Any) -> ntk.dynamics.GaussianProcess:
    """The Gaussian process."""
    return ntk.dynamics.GaussianProcess(network_kernel(), x, y, noise=NOISE)


def error_of_equations(found: Problem, alpha: np.ndarray) -> float:
    """The largest error of a few rows of (K + noise I) alpha = y, with rows of K by NumPy, over the largest target."""
    rows = np.linspace(0, len(found.x) - 1, PROBED).astype(int)
    left = network_kernel()(found.x[rows], found.x) @ alpha + NOISE * alpha[rows]
    return float(np.max(np.abs(left - found.y[rows])) / np.max(np.abs(found.y)))


def error_of_subset(found: Problem, card: Card) -> float:
    """The largest error of means from a few training inputs, against NumPy's solution, over the largest mean."""
    x, y, x_new = found.x[:SUBSET], found.y[:SUBSET], found.x_new[:SUBSET]
    kernel = network_kernel()
    exact = kernel(x_new, x) @ np.linalg.solve(kernel(x) + NOISE * np.eye(len(x)), y)
    xp = card.xp
    got = fitted(xp.asarray(x), xp.asarray(y)).predict(xp.asarray(x_new), covariance=None).mean
    return float(np.max(np.abs(card.host(got) - exact)) / np.max(np.abs(exact)))


def gaussian(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """A Gaussian process with ten targets and means of new inputs in float64: the whole, and its parts one by one."""
    found = problem(options, options.size(20_000), options.size(10_000))
    x, y, x_new = (card.xp.asarray(a) for a in (found.x, found.y, found.x_new))
    times = card.seconds(lambda: fitted(x, y).predict(x_new, covariance=None).mean, repeats=2)
    row = {"inputs": len(x), "new inputs": len(x_new), "data": found.source, "seconds": times}
    yield (
        row
        | {"parts": parts(card, x, y, x_new)}
        | {
            "error": error_of_subset(found, card),
            "error of equations": error_of_equations(found, card.host(fitted(x, y).solved.x[0])),
        }
    )


def parts(card: Card, x: Any, y: Any, x_new: Any) -> dict[str, float]:
    """Median seconds of what a Gaussian process does."""
    kernel = network_kernel()
    matrix = Matrix(kernel(x)[None])
    factor = ntk.solve.Cholesky().factor(matrix, NOISE)
    alpha = factor.solve(y[None])[0]
    runs = {
        "kernel": lambda: kernel(x),
        "Cholesky": lambda: ntk.solve.Cholesky().factor(matrix, NOISE),
        "solution and its residual": lambda: factor.solution(y[None]),
        "means of new inputs": lambda: kernel(x_new, x) @ alpha,
    }
    return {name: card.seconds(run, repeats=2)["median"] for name, run in runs.items()}


def mnist(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """Regression on up to 60,000 inputs, from arrays on the host to the classes of 10,000 new ones."""
    for n in (20_000, 40_000, 60_000):
        found = problem(options, options.size(n), options.size(10_000))
        fits = MATRICES * 8 * len(found.x) ** 2 < card.free()
        yield end_to_end(card, found, "float64" if fits else "float32")
        card.forget()


def end_to_end(card: Card, found: Problem, dtype: str) -> dict[str, Any]:
    """One run, without another before it."""
    host = [a.astype(dtype) for a in (found.x, found.y, found.x_new)]
    card.wait()
    start = time.perf_counter()
    x, y, x_new = (card.xp.asarray(a) for a in host)
    process = fitted(x, y)
    card.wait()
    fit = time.perf_counter() - start
    means = card.host(process.predict(x_new, covariance=None).mean)
    accuracy = float(np.mean(np.argmax(means, axis=1) == found.labels))
    seconds = time.perf_counter() - start
    solved = process.solved
    return {
        "inputs": len(x),
        "new inputs": len(x_new),
        "data": found.source,
        "dtype": dtype,
        "seconds": seconds,
        "fit": fit,
        "accuracy": accuracy,
        "solver": solved.solver,
        "residual": solved.residual,
        "error of equations": error_of_equations(found, card.host(solved.x[0])),
        "GiB of the matrix": np.dtype(dtype).itemsize * len(x) ** 2 / 2**30,
        "GiB at most": card.taken() / 2**30,
    }


def regression(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """A Gaussian process with ten targets and the means of 2000 new inputs, beside two decompositions of its matrix."""
    n, m = options.size(4000), options.size(2000)
    rng = np.random.default_rng(0)
    host = rng.standard_normal((n + m, 784))
    host *= np.sqrt(784) / np.linalg.norm(host, axis=1, keepdims=True)
    outputs = np.tanh(host @ rng.standard_normal((784, 10)) / 28)
    x, y = card.xp.asarray(host), card.xp.asarray(outputs)
    kernel = ntk.InfiniteNNGP(ntk.nn.mlp((1,) * 3, 1, weight_std=1.4, bias_std=0.1))

    def fit() -> Any:
        return ntk.dynamics.GaussianProcess(kernel, x[:n], y[:n], noise=NOISE).predict(x[n:]).mean

    times = card.seconds(fit, repeats=1)
    gram = kernel(x[:n]) + NOISE * card.xp.eye(n)
    decomposed = {"cholesky": card.seconds(lambda: card.xp.linalg.cholesky(gram), repeats=2)}
    decomposed["eigh"] = card.seconds(lambda: card.xp.linalg.eigh(gram), repeats=1)
    exact = card.host(kernel(x[n:], x[:n])) @ np.linalg.solve(card.host(gram), outputs[:n])
    yield {"inputs": n, "new inputs": m, "seconds": times, **decomposed} | {
        "error": float(np.max(np.abs(card.host(fit()) - exact)))
    }
