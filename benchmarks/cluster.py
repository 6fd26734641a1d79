"""What a Dask cluster adds to the plain loop over blocks of 2000: time, processor time, and the scheduler's share.

Run from the checkout, on a quiet machine: python -m benchmarks.cluster [--inputs N] [--rounds R]. With --page the page
is written again from the results. Writes benchmarks/results/cluster.json, and a section of docs/scale.md. The scheduler
and the workers are processes of their own. Each worker reads and prepares all inputs once, which shows in small
matrices. The store takes 1.9 GB at N = 30,000. For a trial run: --inputs 1200 --side 200 --rounds 1 --out FILE.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

import ntk_array as ntk
from ntk_array.gram import stored

from . import sections
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/cluster.json"
TITLE = "What Dask costs"
WORKERS = (1, 2)
SMALL_SIDE, SMALL_ROWS = 20, (15, 45)
"""Blocks that take no time, and how many rows of them: their difference is what the scheduler needs for a task."""
IDLE = 20.0  # seconds
KEPT = {"MALLOC_TRIM_THRESHOLD_": 2**28, "MALLOC_MMAP_THRESHOLD_": 2**25}
"""Have workers keep what they freed, for the next array. By Dask's own setting they give it back to the system at once,
and each array costs a page fault for every 4 KiB."""
WAYS = ("plain", *(f"{workers}, {memory}" for workers in WORKERS for memory in ("as installed", "memory kept")))
TEXT = """
{n:,} inputs in {blocks} blocks of {side} rows, the NTK of three hidden ReLU layers in float32 on disk, one thread for
each process. "Processor time" is that of workers, scheduler and caller together.

{table}

Workers keep what they freed, for the next array, where the [settings above](#a-cluster) say so. By Dask's own setting
they give it back at once, and get it again page by page. A cluster of one worker takes {idle:.0%} of a processor
while it has nothing to do, for its heartbeats and its profiler. Every worker reads, compares and prepares all inputs
once. The scheduler needs {task:.2f} ms of processor time for a task, measured with blocks of {small} rows, and the
caller {caller:.2f} ms. Least of {rounds}. Made by `python -m benchmarks.cluster`; the numbers are in
`benchmarks/results/cluster.json`, from {machine}.
"""


def kernel() -> ntk.Kernel:
    return ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1, weight_std=2**0.5))


def inputs(n: int, features: int = 784) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, features)).astype(np.float32)


def warm_up() -> None:
    """What is imported and compiled once in a process."""
    with tempfile.TemporaryDirectory() as folder:
        ntk.gram.assemble(kernel(), inputs(300), store=f"{folder}/theta", threads=1)


@contextmanager
def cluster(workers: int, memory: str = "as installed") -> Iterator[Any]:
    """A client of a new cluster, all of whose processes have imported and compiled what they need."""
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    options = {"threads_per_worker": 1, "scheduler_kwargs": {"dashboard": False}}
    with tempfile.TemporaryDirectory() as folder:
        if memory == "memory kept":  # settings reach other processes by a file
            settings = {"distributed": {"nanny": {"pre-spawn-environ": KEPT}}}
            (Path(folder) / "settings.yaml").write_text(json.dumps(settings))
        with (
            patch.dict(os.environ, DASK_CONFIG=folder),
            SubprocessCluster(n_workers=workers, **options) as processes,
            Client(processes) as client,
        ):
            client.wait_for_workers(workers)
            client.run(warm_up)
            yield client


def processor(client: Any | None) -> dict[str, float]:
    """Processor time so far, in seconds."""
    return {"caller": time.process_time()} | (
        {}
        if client is None
        else {
            "scheduler": client.run_on_scheduler(time.process_time),
            "workers": sum(client.run(time.process_time).values()),
        }
    )


def idle(client: Any) -> float:
    """Processor time that a cluster takes for each second in which it has nothing to do."""
    before = processor(client)
    time.sleep(IDLE)
    return (sum(processor(client).values()) - sum(before.values())) / IDLE


def assembled(x: np.ndarray, client: Any | None) -> dict[str, float]:
    """One matrix on disk: the seconds it took, by the clock and of each processor."""
    with tempfile.TemporaryDirectory() as folder:
        before, start = processor(client), time.perf_counter()
        ntk.gram.assemble(kernel(), x, store=f"{folder}/theta", threads=1, executor=client)
        wall = time.perf_counter() - start
        return {name: after - before[name] for name, after in processor(client).items()} | {"wall": wall}


def fewest(runs: list[dict[str, float]]) -> dict[str, float]:
    """The run that took the least processor time, and the least time by the clock of all."""
    best = min(runs, key=lambda run: sum(run.values()) - run["wall"])
    return best | {"wall": min(run["wall"] for run in runs)}


def a_task(client: Any) -> dict[str, float]:
    """Processor time that a task takes of scheduler and caller, in seconds."""
    found, numbers = [], []
    for rows in SMALL_ROWS:
        stored.BLOCK = SMALL_SIDE**2
        found.append(assembled(inputs(rows * SMALL_SIDE, 4), client))
        numbers.append(rows * (rows + 1) // 2)
    tasks = numbers[1] - numbers[0]
    return {name: (found[1][name] - found[0][name]) / tasks for name in ("scheduler", "caller")}


def measured(n: int, side: int, rounds: int) -> dict[str, Any]:
    """All of it; the loop and the clusters take turns."""
    x, runs = inputs(n), {way: [] for way in WAYS}
    warm_up()
    for _ in range(rounds):
        for way in WAYS:
            stored.BLOCK = side**2
            if way == "plain":
                with threadpool_limits(1, "blas"):
                    runs[way].append(assembled(x, None))
            else:
                workers, memory = way.split(", ")
                with cluster(int(workers), memory) as client:
                    stored.BLOCK = side**2
                    runs[way].append(assembled(x, client))
    with cluster(WORKERS[-1]) as client:
        task = a_task(client)
    with cluster(1) as client:
        alone = idle(client)
    rows = -(-n // side)
    return {
        "machine": machine(),
        "inputs": n,
        "side": side,
        "blocks": rows * (rows + 1) // 2,
        "rounds": rounds,
        "ways": {way: fewest(own) for way, own in runs.items()},
        "seconds of a task": task,
        "processors of an idle cluster": alone,
    }


def page(found: dict[str, Any]) -> str:
    """The section."""
    walls = {way: run["wall"] for way, run in found["ways"].items()}
    totals = {way: sum(run.values()) - run["wall"] for way, run in found["ways"].items()}
    lines = ["| | processor time | by the clock |", "|---|---|---|"]
    for way in WAYS:
        workers, _, memory = way.partition(", ")
        name = "the plain loop" if way == "plain" else f"Dask, {workers} worker{'s' * (workers > '1')}, {memory}"
        more = [""] * 2 if way == "plain" else [f" ({own[way] / own['plain'] - 1:+.0%})" for own in (totals, walls)]
        lines.append(f"| {name} | {totals[way]:.1f} s{more[0]} | {walls[way]:.1f} s{more[1]} |")
    text = TEXT.format(
        n=found["inputs"],
        blocks=found["blocks"],
        side=found["side"],
        table="{table}",
        idle=found["processors of an idle cluster"],
        task=1e3 * found["seconds of a task"]["scheduler"],
        caller=1e3 * found["seconds of a task"]["caller"],
        small=SMALL_SIDE,
        rounds="{rounds} rounds".format(**found),
        machine="{processor}, {cores} cores, {date}".format(**found["machine"]),
    )
    paragraphs = [fill(" ".join(part.split()), 120, break_on_hyphens=False) for part in text.strip().split("\n\n")]
    return "\n\n".join(paragraphs).format(table="\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=30_000)
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, help="write the numbers here, and no page")
    given = parser.parse_args()
    if not given.page:
        out = given.out or RESULTS
        out.write_text(json.dumps(measured(given.inputs, given.side, given.rounds), indent=1) + "\n")
    if given.out:
        print(page(json.loads(given.out.read_text())))
    else:
        sections.put(ROOT / "docs/scale.md", TITLE, page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
