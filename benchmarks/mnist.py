"""Exact kernel regression on all 60,000 training images of MNIST, within 8 GiB, killed twice on the way.

Run from the checkout: python -m benchmarks.mnist --data FOLDER --store FOLDER. The data folder has MNIST as its four
files of the name train-images-idx3-ubyte.gz and so on. The store takes 7 GiB of disk, and is removed at the end. Writes
benchmarks/results/mnist.json, and a section of docs/scale.md.

The work is done by a process that computes the kernel matrix on disk, solves with it by conjugate gradients, and
predicts. It is killed (SIGKILL) once in each of the first two parts, and started again: each time it goes on from what
is on disk.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

import ntk_array as ntk
from ntk_array.solve import ConjugateGradient, KernelMatrix

from . import sections
from .low_rank import images, resident, targets
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/mnist.json"
TITLE = "All of MNIST"
RANK = 1000
TEST = 10_000

TEXT = """
The NTK of three hidden ReLU layers on all {n:,} training images of MNIST, without a ridge, and {tested:,} test
images, on {cores} cores: {seconds:.0f} seconds from the files of images to the predictions, killed twice on the way.
The matrix was computed and written to disk in {assembled:.0f} s ({gib:.1f} GiB, its upper triangle), the ten systems
were solved by {iterations} steps of conjugate gradients in {solved:.0f} s, each of which reads the matrix once, and
the predictions took {predicted:.0f} s. Residual: {residual:.1e}{ended}. The process held at most {resident:.1f} GiB.
{accuracy:.2f} % of the test images are classified right. Made by `python -m benchmarks.mnist`; the numbers are in
`benchmarks/results/mnist.json`, from {machine}.
"""


class OnDisk(KernelMatrix):
    """Products from the store; single columns from the kernel, which is quicker than to look for them on disk."""

    def __init__(self, kernel: ntk.Kernel, x: np.ndarray, store: Any) -> None:
        super().__init__(kernel, x)
        self.store = store

    def product(self, v: np.ndarray) -> np.ndarray:
        return (self.store @ v[0])[None]


def work(data: Path, folder: Path, n: int) -> None:
    """Everything, from the images to the predictions; a line of JSON after each part."""
    start = time.perf_counter()

    def say(**what: Any) -> None:
        print(json.dumps(what | {"seconds": time.perf_counter() - start, "mib": resident("VmHWM")}), flush=True)

    (x, labels), (x_test, test_labels) = images(data, "train", n), images(data, "t10k", TEST)
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1, weight_std=2**0.5))
    store = ntk.gram.assemble(kernel, x, store=folder / "theta", memory="1 GiB", progress=True)
    say(part="assembled")
    solver = ConjugateGradient(rank=min(RANK, n // 10), checkpoint=folder / "state.npz", checkpoint_seconds=5.0)
    found = ntk.solve.solve(OnDisk(kernel, x, store), targets(labels, x.dtype), solver=solver)
    say(part="solved", iterations=found.iterations, residual=found.residual, converged=found.converged)
    means = kernel.matvec(x_test, x, found.x)
    right = float(np.mean(np.argmax(means, axis=1) == test_labels))
    say(part="predicted", accuracy=right)


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """The process that works."""
    command = [sys.executable, "-m", "benchmarks.mnist", *arguments, "--work"]
    with open(folder / "progress.log", "a") as log:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, start_new_session=True
        )


def killed_once(process: subprocess.Popen[str], folder: Path, ready: Any) -> float:
    """Kill it as soon as something is there; the most memory it had."""
    most = 0.0
    while process.poll() is None and not ready():
        status = Path(f"/proc/{process.pid}/status").read_text()
        most = max([most, *(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.2)
    if process.poll() is not None:
        raise RuntimeError(f"it ended before it could be killed: {(folder / 'progress.log').read_text()[-2000:]}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return most


def measured(data: Path, folder: Path, n: int) -> dict[str, Any]:
    """The whole run, with two kills."""
    folder.mkdir(parents=True)
    arguments = ["--data", str(data), "--store", str(folder), "--images", str(n)]
    blocks = -(-n // 2000) * (-(-n // 2000) + 1) // 2
    start = time.perf_counter()
    marks = folder / "theta/marks"
    most = [
        killed_once(
            started(arguments, folder), folder, lambda: marks.exists() and len(list(marks.iterdir())) > blocks // 2
        )
    ]
    most.append(killed_once(started(arguments, folder), folder, (folder / "state.npz").exists))
    process = started(arguments, folder)
    said, _ = process.communicate()
    seconds = time.perf_counter() - start
    rows = {row["part"]: row for row in map(json.loads, said.splitlines())}
    size = sum(path.stat().st_size for path in (folder / "theta").rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return {
        "machine": machine(),
        "n": n,
        "seconds": seconds,
        "gib": size / 2**30,
        "resident": max([*most, *(row["mib"] for row in rows.values())]) / 1024,
        **rows,
    }


def page(found: dict[str, Any]) -> str:
    """The section."""
    text = TEXT.format(
        n=found["n"],
        tested=TEST,
        cores=found["machine"]["cores"],
        seconds=found["seconds"],
        assembled=found["seconds"] - found["predicted"]["seconds"] + found["assembled"]["seconds"],
        gib=found["gib"],
        iterations=found["solved"]["iterations"],
        solved=found["solved"]["seconds"] - found["assembled"]["seconds"],
        predicted=found["predicted"]["seconds"] - found["solved"]["seconds"],
        residual=found["solved"]["residual"],
        ended=""
        if found["solved"]["converged"]
        else ", where rounding in float32 ended it: one class or more stayed above the tolerance of 1e-4",
        resident=found["resident"],
        accuracy=100 * found["predicted"]["accuracy"],
        machine="{processor}, {cores} cores, {date}".format(**found["machine"]),
    )
    return fill(" ".join(text.split()), 120, break_on_hyphens=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.data, given.store, given.images)
        return
    if given.data:
        RESULTS.write_text(json.dumps(measured(given.data, given.store, given.images), indent=1) + "\n")
    sections.put(ROOT / "docs/scale.md", TITLE, page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
