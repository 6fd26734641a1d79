"""What a Dask cluster adds to the plain loop over blocks of 2000: time, processor time, and the scheduler's share.

Run from the checkout, on a quiet machine: python -m benchmarks.cluster [--inputs N] [--rounds R]. With --page the page
is written again from the results. Writes benchmarks/results/cluster.json, and a section of docs/scale.md. The scheduler
and the workers are processes of their own. Each worker reads and prepares all inputs once, which shows in small
matrices. The store takes 3.4 GB at N = 40,000. For a trial run: --inputs 1200 --side 200 --rounds 1 --out FILE.
"""

import argparse
import json
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

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
TEXT = """
{n:,} inputs in {blocks} blocks of {side} rows, the NTK of three hidden ReLU layers in float32 on disk, one thread for
each process. The plain loop takes {plain:.1f} s of processor time and {plain_wall:.1f} s by the clock. On a Dask
cluster of one worker it is {one:.1f} s of processor time, of worker, scheduler and caller together ({one_more:+.1%}),
and {one_wall:.1f} s by the clock ({one_wall_more:+.1%}); of two workers {two:.1f} s ({two_more:+.1%}) and
{two_wall:.1f} s by the clock. The scheduler needs {task:.2f} ms of processor time for a task, measured with blocks of
{small} rows, and the caller {caller:.2f} ms. Least of {rounds}. Made by `python -m benchmarks.cluster`; the numbers are
in `benchmarks/results/cluster.json`, from {machine}.
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
def cluster(workers: int) -> Any:
    """A client of a new cluster, all of whose processes have imported and compiled what they need."""
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    options = {"threads_per_worker": 1, "scheduler_kwargs": {"dashboard": False}}
    with SubprocessCluster(n_workers=workers, **options) as processes, Client(processes) as client:
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
    x, runs = inputs(n), {str(number): [] for number in (0, *WORKERS)}
    warm_up()
    for _ in range(rounds):
        stored.BLOCK = side**2
        runs["0"].append(assembled(x, None))
        for number in WORKERS:
            with cluster(number) as client:
                stored.BLOCK = side**2
                runs[str(number)].append(assembled(x, client))
    with cluster(WORKERS[-1]) as client:
        task = a_task(client)
    rows = -(-n // side)
    return {
        "machine": machine(),
        "inputs": n,
        "side": side,
        "blocks": rows * (rows + 1) // 2,
        "rounds": rounds,
        "workers": {number: fewest(own) for number, own in runs.items()},
        "seconds of a task": task,
    }


def page(found: dict[str, Any]) -> str:
    """The section."""
    walls = [found["workers"][str(number)]["wall"] for number in (0, *WORKERS)]
    plain, one, two = (
        sum(found["workers"][str(number)].values()) - wall for number, wall in zip((0, *WORKERS), walls, strict=True)
    )
    text = TEXT.format(
        n=found["inputs"],
        blocks=found["blocks"],
        side=found["side"],
        plain=plain,
        one=one,
        two=two,
        one_more=one / plain - 1,
        two_more=two / plain - 1,
        plain_wall=walls[0],
        one_wall=walls[1],
        two_wall=walls[2],
        one_wall_more=walls[1] / walls[0] - 1,
        task=1e3 * found["seconds of a task"]["scheduler"],
        caller=1e3 * found["seconds of a task"]["caller"],
        small=SMALL_SIDE,
        rounds="{rounds} rounds".format(**found),
        machine="{processor}, {cores} cores, {date}".format(**found["machine"]),
    )
    return fill(" ".join(text.split()), 120, break_on_hyphens=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=40_000)
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
