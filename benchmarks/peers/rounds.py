"""Processes that take turns: ours in every way, the other in its fastest, ours again, and so on."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Case
from .jobs import Job

ROOT = Path(__file__).parents[2]
PAUSE = 0.2
"""Seconds between runs: idle threads of a library spin for a while, and would take the processor from the other."""
LONG = 2.0
"""Seconds of a run that needs no second one before it is timed: what is done once is little of it."""


class Worker:
    """One process that serves one case; see worker.py."""

    def __init__(self, module: str, python: str | Path, case: Case, threads: int, log: Path) -> None:
        counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", module, case.to_json()],
                cwd=ROOT,
                env={**os.environ, **counts},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        said = self._answer()
        self.ways: list[str] = said["ways"]
        self.version: str = said["version"]

    def run(self, way: str, save: Path | None = None) -> dict[str, Any]:
        """The seconds of one run and the load of the machine before it."""
        assert self._process.stdin
        time.sleep(PAUSE)
        print(json.dumps({"way": way, "save": save and str(save)}), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):  # a library may print too
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"a worker ended with {self._process.wait()}:\n{self._log.read_text()[-2000:]}")


@contextmanager
def workers(job: Job, python: Path | str) -> Iterator[tuple[Worker, Worker, Path]]:
    """Ours, the other's, and a folder for results."""
    module = "benchmarks.floor" if job.other == "floor" else f"benchmarks.peers.{job.other}"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = Worker("benchmarks.peers.ours", sys.executable, job.case, job.threads[0], folder / "ours.log")
        stack.callback(ours.close)
        other = Worker(module, python, job.against, job.threads[1], folder / "other.log")
        stack.callback(other.close)
        yield ours, other, folder


def take_turns(
    job: Job, python: Path | str
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, Any], list[np.ndarray]]:
    """Seconds of ours by way, of the other by way (one, unless it is ours), facts, and the results where there are.

    Everything runs before it is timed, twice unless that takes long.
    """
    with workers(job, python) as (ours, other, folder):
        results = []
        mine = job.ways
        theirs = job.ways if job.other == "ours" else [min(other.ways, key=lambda way: _second(other, way))]
        for side, worker, ways in (("ours", ours, mine), ("other", other, theirs)):
            path = folder / f"{side}.npy"
            for way in ways:
                first = worker.run(way, path if way == ways[0] and worker.version != "floor" else None)
                if first["seconds"] < LONG:
                    worker.run(way)
            if path.exists():
                results.append(np.load(path, mmap_mode="r"))
        seconds: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
        loads = []
        for turn in range(job.repeats):
            for worker, ways, found in ((ours, mine, seconds[0]), (other, theirs, seconds[1])):
                first = turn % len(ways)  # another one each time: the first finds caches and pages of the other process
                for way in (*ways[first:], *ways[:first]):
                    answer = worker.run(way)
                    found.setdefault(way, []).append(answer["seconds"])
                    loads.append(answer["load"])
        facts = {"versions": [ours.version, other.version], "loads": [min(loads), max(loads)]}
        return *seconds, facts, [np.asarray(result) for result in results]


def _second(worker: Worker, way: str) -> float:
    worker.run(way)
    return float(worker.run(way)["seconds"])
