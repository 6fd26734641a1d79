"""Times of two commits side by side: ``python -m benchmarks.performance --against FOLDER``.

The folder is a checkout of the other commit.
Processes of both take turns, job by job, and the median of the ratios of neighbours is what counts: a machine that
grows slower or faster does so for both. Results are in results/commits.json.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/commits.json"
SECONDS = 0.5
"""For each job in each process; its time is the median there."""


def inputs(n: int, features: int, dtype: str = "float64") -> np.ndarray:
    """Random inputs."""
    return np.random.default_rng(0).normal(size=(n, features)).astype(dtype)


def jobs() -> dict[str, Callable[[], Callable[[], Any]]]:
    """By name, what makes the work ready and returns it."""
    import ntk_array as ntk

    def infinite(depth: int, n: int, features: int, dtype: str = "float64", repeats: int = 1, **options: Any) -> Any:
        def ready() -> Callable[[], Any]:
            kernel, x = ntk.InfiniteNTK(ntk.nn.mlp((1,) * depth, 1, **options)), inputs(n, features, dtype)
            return lambda: [kernel(x) for _ in range(repeats)]

        return ready

    def empirical(width: int) -> Any:
        def ready() -> Callable[[], Any]:
            net, x = ntk.nn.mlp((width, width), 10), inputs(256, 64, "float32")
            kernel = ntk.EmpiricalNTK(net, net.init(0, like=x))
            return lambda: kernel(x)

        return ready

    def gradient() -> Callable[[], Any]:
        kernel, x = ntk.InfiniteNTK(ntk.nn.mlp((1,) * 3, 1, bias_std=0.1)), inputs(600, 20)
        return lambda: kernel.gradient(x)

    def prediction(model: Callable[[Any, np.ndarray, np.ndarray], Any], **when: Any) -> Any:
        def ready() -> Callable[[], Any]:
            net, x, x_new = ntk.nn.mlp((1,) * 3, 1, bias_std=0.1), inputs(600, 20), inputs(800, 20)[600:]
            y = np.sin(x[:, :3])
            return lambda: model(net, x, y).predict(x_new, **when)

        return ready

    def cost(x: np.ndarray, y: np.ndarray) -> Any:
        return ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), y)

    def selection() -> Callable[[], Any]:
        kernel, x = ntk.InfiniteNNGP(ntk.nn.mlp((1, 1), 1, bias_std=0.1)), inputs(200, 5)
        process = ntk.dynamics.GaussianProcess(kernel, x, np.sin(x[:, 0]), 0.1)
        return lambda: ntk.dynamics.select_hyperparameters(process, by="marginal_likelihood")

    dynamics, biases = ntk.dynamics, {"bias_std": 0.1}
    times = [1.0, 10.0, np.inf]
    return {
        "InfiniteNTK, no bias, depth 3, N = 3000": infinite(3, 3000, 64),
        "InfiniteNTK, no bias, depth 20, N = 3000": infinite(20, 3000, 64),
        "InfiniteNTK, biases, depth 3, N = 2000": infinite(3, 2000, 64, **biases),
        "InfiniteNTK, biases, depth 3, N = 2000, float32": infinite(3, 2000, 64, "float32", **biases),
        "InfiniteNTK, biases, depth 20, N = 1000": infinite(20, 1000, 64, **biases),
        "InfiniteNTK, erf, depth 3, N = 2000": infinite(3, 2000, 64, activation="erf", **biases),
        "InfiniteNTK, tanh, depth 3, N = 1000": infinite(3, 1000, 64, activation="tanh", weight_std=1.5, **biases),
        "InfiniteNTK, biases, depth 3, N = 20, 50 calls": infinite(3, 20, 5, repeats=50, **biases),
        "InfiniteNTK, biases, depth 20, N = 20, 20 calls": infinite(20, 20, 5, repeats=20, **biases),
        "InfiniteNTK.gradient, depth 3, N = 600": gradient,
        "EmpiricalNTK, width 128, N = 256, 10 outputs, float32": empirical(128),
        "EmpiricalNTK, width 1024, N = 256, 10 outputs, float32": empirical(1024),
        "GaussianProcess.predict, N = 600": prediction(
            lambda net, x, y: dynamics.GaussianProcess(ntk.InfiniteNNGP(net), x, y, 0.1)
        ),
        "GradientFlow.predict, N = 600, 3 times": prediction(
            lambda net, x, y: dynamics.GradientFlow(ntk.InfiniteNTK(net), cost(x, y)), t=times
        ),
        "Ensemble.predict, N = 600, 3 times": prediction(
            lambda net, x, y: dynamics.Ensemble.of(net, cost(x, y)), t=times
        ),
        "select_hyperparameters, N = 200": selection,
    }


def seconds(name: str) -> float:
    """The median time of a job in this process, after a first run that compiles."""
    work = jobs()[name]()
    work()
    taken, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(taken) < 3:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def commit(checkout: Path) -> str:
    """The short name of what is checked out in a folder."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=checkout, capture_output=True, check=True)
    return done.stdout.decode().strip()


def compare(other: Path, rounds: int = 7) -> None:
    """Measure this checkout and another, print the ratios and write them."""
    found: dict[str, Any] = {"commit": commit(ROOT), "against": commit(other), "threads": 1, "jobs": []}
    for name in jobs():
        pairs = []
        for k in range(rounds):
            turn = {}
            for checkout in (ROOT, other) if k % 2 == 0 else (other, ROOT):
                turn[checkout] = in_checkout(checkout, name)
            pairs.append((turn[ROOT], turn[other]))
        ratio = statistics.median(a / b for a, b in pairs)
        mine, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        found["jobs"].append({"name": name, "seconds": mine, "against": theirs, "ratio": ratio})
        print(f"{ratio:.3f}  {mine:.4f} s against {theirs:.4f} s  {name}", flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def in_checkout(checkout: Path, name: str) -> float:
    """The time of a job in a process of its own that imports the package of a checkout. One thread: it is steadier."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, name], cwd=checkout, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    print(seconds(sys.argv[1]))
