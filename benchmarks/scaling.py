"""How cost grows: time and memory against N, from 2,000 to 60,000 images, and what a million would take.

Run from the checkout, on a quiet machine: python -m benchmarks.scaling --data FOLDER --store FOLDER. The data folder
has MNIST as its four files of the name train-images-idx3-ubyte.gz and so on. The store takes 7 GiB at N = 60,000.
Each measurement is a process of its own and is written to benchmarks/results/scaling.json when it ends, so that the
same command goes on after an interruption. Without --data docs/scaling.md is written again from the results.
For a trial run: --inputs 300 600 1200 --out FILE.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

import ntk_array as ntk
from ntk_array.solve import ConjugateGradient, KernelMatrix

from .low_rank import images, resident, targets
from .mnist import OnDisk
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/scaling.json"
CLUSTER = ROOT / "benchmarks/results/cluster.json"
PAGE = ROOT / "docs/scaling.md"
SIZES = (2000, 5000, 10_000, 20_000, 40_000, 60_000)
NOISE = 0.01  # over the mean of K(x, x)
MATRIX_FREE = 10_000
"""The most inputs for which kernel values are computed anew in each step; it is the same work at every N."""
MILLION, SIDE = 1_000_000, 2000

TEXT = """# How cost grows

The ReLU NTK of three hidden layers on the first N training images of MNIST in float32, ten outputs, noise of {noise:g}
times the mean of K(x, x). Each measurement is a process of its own on {cores} cores; memory is the largest resident
memory beyond that of the data.

{table}

{growth}

## A million inputs, on paper

{million}

Made by `python -m benchmarks.scaling`; the numbers are in `benchmarks/results/scaling.json`, from {machine}.
"""


def kernel() -> ntk.Kernel:
    return ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1, weight_std=2**0.5))


def on_disk(x: np.ndarray, y: np.ndarray, noise: float, folder: Path) -> dict[str, Any]:
    """The kernel matrix, block by block, to a store."""
    store = ntk.gram.assemble(kernel(), x, store=folder / f"theta-{len(x)}", memory="1 GiB")
    return {"bytes": len(store.layout) * store.layout.file_bytes}


def cholesky(x: np.ndarray, y: np.ndarray, noise: float, folder: Path) -> dict[str, Any]:
    """Matrix, factor and coefficients in memory; a MemoryError where they have no room."""
    process = ntk.dynamics.GaussianProcess(kernel(), x, y, noise, "cholesky")
    return {"residual": float(process.solved.residual)}


def from_disk(x: np.ndarray, y: np.ndarray, noise: float, folder: Path) -> dict[str, Any]:
    """Conjugate gradients on the store."""
    store = ntk.gram.open(folder / f"theta-{len(x)}")
    found = ntk.solve.solve(OnDisk(kernel(), x, store), y, ridge=noise, solver=ConjugateGradient())
    return {"residual": float(found.residual), "iterations": int(found.iterations)}


def matrix_free(x: np.ndarray, y: np.ndarray, noise: float, folder: Path) -> dict[str, Any]:
    """Conjugate gradients on a kernel that is computed anew in each step."""
    found = ntk.solve.solve(KernelMatrix(kernel(), x), y, ridge=noise, solver=ConjugateGradient(matrix_free=True))
    return {"residual": float(found.residual), "iterations": int(found.iterations)}


METHODS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "on_disk": ("matrix to disk", on_disk),
    "cholesky": ("matrix and Cholesky in memory", cholesky),
    "from_disk": ("conjugate gradients on disk", from_disk),
    "matrix_free": ("conjugate gradients, no matrix", matrix_free),
}


def one(data: Path, folder: Path, method: str, n: int) -> dict[str, Any]:
    """A measurement, in this process."""
    x, labels = images(data, "train", n)
    y, noise = targets(labels, x.dtype), NOISE * float(np.mean(kernel().diag(x[:100])))
    kernel()(x[:300])  # what is imported and compiled
    before = resident("VmRSS")
    # Linux forgets the largest resident set so far.
    Path("/proc/self/clear_refs").write_text("5")
    wall, processor = time.perf_counter(), time.process_time()
    try:
        more = METHODS[method][1](x, y, noise, folder)
    except MemoryError as error:
        more = {"refused": str(error)}
    return {
        "method": method,
        "n": n,
        "seconds": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "mib": resident("VmHWM") - before,
        **more,
    }


def measure(data: Path, folder: Path, sizes: list[int], out: Path) -> None:
    """What is not there yet; results are kept after each measurement."""
    found = json.loads(out.read_text()) if out.exists() else {"machine": machine(), "rows": []}
    folder.mkdir(parents=True, exist_ok=True)
    for n in sizes:
        done = {row["method"] for row in found["rows"] if row["n"] == n}
        for method in METHODS:
            if method in done or (method == "matrix_free" and n > MATRIX_FREE):
                continue
            if method == "on_disk":  # of a run that was interrupted: a part of it would be measured
                shutil.rmtree(folder / f"theta-{n}", ignore_errors=True)
            if method == "from_disk" and not (folder / f"theta-{n}" / "DONE").exists():
                on_disk(images(data, "train", n)[0], np.empty(0), 0.0, folder)
            command = [sys.executable, "-m", "benchmarks.scaling", "--data", str(data), "--store", str(folder)]
            said = subprocess.run(
                [*command, "--one", method, str(n)], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            row = json.loads(said.stdout.splitlines()[-1])
            print(row, flush=True)
            found["rows"].append(row)
            out.write_text(json.dumps(found, indent=1) + "\n")
        shutil.rmtree(folder / f"theta-{n}", ignore_errors=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Seconds and memory of each method, by N."""
    lines = ["| N | " + " | ".join(name for name, _ in METHODS.values()) + " |", "|" + "---|" * (len(METHODS) + 1)]
    for n in sorted({row["n"] for row in rows}):
        own = {row["method"]: row for row in rows if row["n"] == n}
        lines.append(f"| {n:,} | " + " | ".join(cell(own.get(method)) for method in METHODS) + " |")
    return "\n".join(lines)


def cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if "refused" in row:
        return "refused: no room"
    steps = f", {row['iterations']} steps" if "iterations" in row else ""
    return f"{row['seconds']:.1f} s, {row['mib'] / 1024:.2f} GiB{steps}"


def exponents(rows: list[dict[str, Any]]) -> str:
    """The powers of N that time and memory follow, between the largest sizes of each method that were measured."""
    parts = []
    for method, (name, _) in METHODS.items():
        own = sorted(
            (row for row in rows if row["method"] == method and "refused" not in row), key=lambda row: row["n"]
        )
        if len(own) >= 2:
            small, large = own[-2:]
            ratio = np.log(large["n"] / small["n"])
            power = float(np.log(large["seconds"] / small["seconds"]) / ratio)
            parts.append(f"{name} as N^{power:.1f} (from {small['n']:,} to {large['n']:,})")
    return "Between the two largest sizes of each, time grows: " + ", ".join(parts) + "."


def million(rows: list[dict[str, Any]]) -> str:
    """What a cluster would do, by the measured cost of an entry, of a step and of a task."""
    largest = max((row for row in rows if row["method"] == "on_disk"), key=lambda row: row["n"])
    steps = max((row for row in rows if row["method"] == "from_disk"), key=lambda row: row["n"])
    blocks = MILLION // SIDE
    tasks = blocks * (blocks + 1) // 2
    size = tasks * (4 * SIDE**2 + 4)
    entries = largest["n"] ** 2 / 2
    hours = largest["processor"] / entries * MILLION**2 / 2 / 3600
    text = (
        f"In blocks of {SIDE} rows the upper triangle is {tasks:,} tasks and {size / 1e12:.1f} TB on disk, in as many "
        f"files, and as many marks. A task computes and writes {4 * SIDE**2 / 1e6:.0f} MB. By the processor time of an "
        f"entry at N = {largest['n']:,} the matrix takes {hours:,.0f} hours of one core. "
    )
    if CLUSTER.exists():
        task = json.loads(CLUSTER.read_text())["seconds of a task"]["scheduler"]
        each = hours * 3600 / tasks
        text += (
            f"Dask's scheduler, one process, needs {1e3 * task:.2f} ms a task: {tasks * task / 60:.0f} minutes in all. "
            f"A task takes {each:.1f} s of a core: the scheduler could feed {each / task:,.0f} cores, and with more of "
            "them its minutes are what the matrix takes. "
        )
    else:
        text += "What Dask's scheduler takes for a task is not measured yet (`python -m benchmarks.cluster`). "
    return text + (
        f"A step of conjugate gradients reads all of it, in {size / 2e10:.0f} s at 1 GB/s for each of 20 disks. At "
        f"N = {steps['n']:,} there were {steps['iterations']} steps. A store is read by one process here: to read it "
        "by many, each with its rows, is not part of ntk_array yet. A Cholesky factor takes N^3 / 3 = "
        f"{MILLION**3 / 3:.1e} multiplications and 4 TB of memory, and is not offered beyond one machine."
    )


def page(found: dict[str, Any]) -> str:
    rows = found["rows"]
    return TEXT.format(
        noise=NOISE,
        cores=found["machine"]["cores"],
        table=table(rows),
        growth=fill(exponents(rows), 120, break_on_hyphens=False),
        million=fill(million(rows), 120, break_on_hyphens=False),
        machine="{processor}, {cores} cores, {date}".format(**found["machine"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--inputs", type=int, nargs="*", default=SIZES)
    parser.add_argument("--out", type=Path, help="write the numbers here, and print the page")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.data, given.store, given.one[0], int(given.one[1]))))
        return
    out = given.out or RESULTS
    if given.data:
        measure(given.data.absolute(), given.store.absolute(), list(given.inputs), out)
    text = page(json.loads(out.read_text()))
    if given.out:
        print(text)
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
