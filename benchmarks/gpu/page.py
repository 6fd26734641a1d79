"""What has been run on a card: ``python -m benchmarks.gpu.page`` writes a section of docs/gpu.md from the results."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

from .. import sections
from .sentences import SENTENCES
from .tables import TABLES, digits, kernels, paragraph

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks/results/gpu"
PAGE = ROOT / "docs/gpu.md"
TITLE = "What has been run on a card"
FIRST = "2026-11-26"
"""The date of rows, and of a machine, that have none."""
ALL = 60_000
"""Inputs of the last row of the job mnist; one that was stopped has fewer."""
LOOPS = "2026-11-30"
"""Since when deep networks are one kernel on a card."""

HEAD = """
On an {card} ({memory} MiB) with driver {driver} and CUDA {cuda}, {versions}, on {date}. {older}"Floor" is the product
of all inputs and one write of the result, at the rates of the card; errors are relative to sqrt(K(x, x) K(x', x')) and
against NumPy in float64, on 64 inputs. Kernels are in float32 and the whole K(x). Made by `bash benchmarks/gpu/run.sh`
and `python -m benchmarks.gpu.page`; the numbers are in `benchmarks/results/gpu`.
"""
NAMES = {
    "cupy-cuda12x": "CuPy",
    "cupy-cuda13x": "CuPy",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "torch": "PyTorch",
    "jax": "JAX",
    "array-api-compat": "array-api-compat",
    "python": "Python",
}
OF_JOB = {"torch": "peers", "jax": "jax_peer"}
"""Libraries that one job alone uses."""
WAITING = {
    "planes": "convolutional networks plane by plane. Their CUDA kernels go through NVIDIA's compiler and run on the "
    "host in tests ([what is tested of them](architecture.md#positions)); the job `planes` waits",
    "gaussian": "Gaussian processes of more than 4,000 inputs (the job `gaussian`)",
    "mnist": "regression on 60,000 inputs (`mnist`)",
    "images": "regression on CIFAR-10 with kernels from a card (`images`)",
    "products": "products in TF32, and those of float32 from two TF32 parts (`products`)",
    "launches": "how often the host waits for the device (`launches`)",
    "jax_peer": "empirical kernels beside Jacobians by JAX (`jax_peer`)",
}
LOOPS_WAIT = (
    "dense kernels as they are computed now. After these times were written: one kernel with a loop over equal "
    "layers, for deep networks with biases; small angles, zonal series and tables of activations as one kernel each; "
    "half of the product of a batch with itself; larger tiles. The CUDA sources go through NVIDIA's compiler and run "
    "on the host in tests ([what that is](architecture.md#a-network-as-a-program)); all jobs of the table wait to run "
    "again"
)
NEVER = (
    "ntk_array on tensors of PyTorch and arrays of JAX on a GPU. These libraries are tested on the host",
    "conjugate gradients, low rank, graphs and attention, and whatever else is not named here",
    "several GPUs, and cards of other makers",
)

INSTRUCTIONS = RESULTS.parent / "gpu_instructions.json"

Rows = list[dict[str, Any]]


def results(folder: Path) -> dict[str, Any]:
    """What the files of a folder hold, by job."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def date_of(rows: Rows) -> str:
    """When a job ran."""
    return max(row.get("date", FIRST) for row in rows)


def head(found: dict[str, Any], jobs: dict[str, Rows]) -> str:
    """The card, versions, dates, and what the columns are."""
    machine = found["machine"]
    card, driver, memory = machine["card"].split(", ")
    date = machine.get("date", FIRST)
    used = [name for name in NAMES if name in machine and OF_JOB.get(name, name) in {name, *jobs}]
    *most, last = (f"{NAMES[name]} {machine[name]}" for name in used)
    old = [f"`{name}`" for name, rows in jobs.items() if date_of(rows) != date]
    dates = sorted({date_of(rows) for rows in jobs.values()} - {date})
    return HEAD.format(
        card=card,
        memory=f"{int(memory.split()[0]):,}",
        driver=driver,
        cuda=f"{int(machine['CUDA']) // 1000}.{int(machine['CUDA']) % 1000 // 10}",
        versions=", ".join([*most, last]),
        date=date,
        older=f"The jobs {', '.join(old)} ran on {' and '.join(dates)}. " if old else "",
    )


def missing(jobs: dict[str, Rows]) -> list[str]:
    """What has not been measured."""
    complete = {name for name, rows in jobs.items() if name != "mnist" or rows[-1]["inputs"] >= ALL}
    found = [text for name, text in WAITING.items() if name not in complete]
    if "planes" not in complete:
        found[0] += ". " + predicted()
    if "biases" not in jobs or date_of(jobs["biases"]) < LOOPS:
        found.append(LOOPS_WAIT)
    return [*found, *NEVER]


def predicted() -> str:
    """What planes should take, from the instructions of their machine code."""
    counted = json.loads(INSTRUCTIONS.read_text())
    times = " and ".join(f"{row['milliseconds an entry']:.3f} ms in {row['dtype']}" for row in counted["kernels"])
    return (
        f"For {counted['convolutions']} convolutions with ReLU and a global mean on 32 x 32 images an entry should "
        f"take {times} on an H200 (`benchmarks/gpu/instructions.py`). That is a prediction from the instructions of "
        "their machine code and a lower bound, in which nothing waits"
    )


def bullets(lines: list[str], end: str = ".") -> str:
    """A list, its lines filled."""
    parts = [fill(f"* {line}", 120, subsequent_indent="  ", break_on_hyphens=False) for line in lines]
    return "\n".join(f"{part}{end}" for part in parts)


def section(folder: Path = RESULTS) -> str:
    """The section."""
    found = results(folder)
    jobs = {name: rows for name, rows in found.items() if isinstance(rows, list) and rows}
    first = max(
        row["seconds"]["first"] for name in ("no_bias", "biases", "tanh", "empirical") for row in jobs.get(name, [])
    )
    times = f"Times are medians without the first call. The first call compiles and took up to {digits(first)} s."
    said = [line for sentence in SENTENCES for line in sentence(jobs)]
    waiting = missing(jobs)
    return "\n\n".join(
        [
            paragraph(head(found, jobs)),
            kernels(jobs),
            times,
            bullets(said, end=""),
            *(part for table in TABLES for part in table(jobs)),
            "What has **not** been measured on a card:",
            bullets(waiting[:-1], end=";") + "\n" + bullets(waiting[-1:]),
        ]
    )


if __name__ == "__main__":
    sections.put(PAGE, TITLE, section())
