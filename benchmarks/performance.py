"""Times against other libraries and against this machine's floor: docs/performance.md and results/performance.json.

Run from the checkout, on a machine that does nothing else:

    python -m benchmarks.performance --environments DIR

DIR holds a virtual environment for each peer and is filled where it does not; ``nox -s peers`` does the same.
``--quick`` runs small cases of ours only; ``--only TEXT`` the jobs that have the text in their name or the name of
their peer, and leaves the other results as they are; ``--report`` writes the page from the results again.

``--against FOLDER`` compares with a checkout of another commit, and does nothing else: see commits.py.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import sections
from .commits import commit, compare
from .peers.jobs import JOBS, Job
from .peers.memory import MEMORY_JOBS, peak
from .peers.oracle import error
from .peers.pictures import scaling
from .peers.report import page
from .peers.rounds import take_turns

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/performance.json"
PAGE = ROOT / "docs/performance.md"
PICTURE = ROOT / "docs/images/performance.svg"


def environment(folder: Path, name: str) -> Path:
    """The Python of a peer's own environment, which is made if it is not there."""
    python = folder / name / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        wanted = Path(__file__).parent / "peers" / f"{name}.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
    return python


def measure(job: Job, python: Path | str) -> dict[str, Any]:
    """Ratios of a job, round by round, with what shows that both sides computed the same."""
    mine, theirs, facts, results = take_turns(job, python)
    entries = [case.n**2 * max(case.outputs, 1) ** 2 for case in (job.case, job.against)]
    ratios = {
        way: [
            (b / entries[1]) / (a / entries[0])
            for a, b in zip(seconds, theirs.get(way, next(iter(theirs.values()))), strict=True)
        ]
        for way, seconds in mine.items()
    }
    accuracy = {"error": error(job.case, results[0])}
    if job.other not in ("ours", "floor"):
        accuracy["other_error"] = error(job.against, results[1])
        accuracy["difference"] = difference(results[0], results[1])
    return {
        "table": job.table,
        "name": job.name,
        "other": job.other,
        "target": job.target,
        "n": [job.case.n, job.against.n],
        "dtype": job.case.dtype,
        "threads": job.threads,
        "commit": commit(ROOT),
        "machine": machine(),
        "seconds": {way: statistics.median(times) for way, times in mine.items()},
        "other_seconds": {way: statistics.median(times) for way, times in theirs.items()},
        "ratio": {way: statistics.median(r) for way, r in ratios.items()},
        "ratios": ratios,
        **accuracy,
        **facts,
    }


def difference(ours: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of the entries that both have, relative to the root of the diagonal entries."""
    side = min(len(ours), len(other))
    root = np.sqrt(np.diagonal(ours)[:side].astype(float))
    return max(
        float(np.max(np.abs(ours[i, :side].astype(float) - other[i, :side]) / (root[i] * root))) for i in range(side)
    )


def run(jobs: list[Job], environments: Path | None) -> Iterator[dict[str, Any]]:
    """One result a job; without environments, those that need none."""
    for job in jobs:
        if job.environment is None or environments:
            python = environment(environments, job.environment) if environments and job.environment else sys.executable
            done = measure(job, python)
            print(f"{job.table}: {job.name} against {job.other}: {done['ratio']}, load {done['loads']}", flush=True)
            yield done


def rates(threads: int) -> dict[str, float]:
    """Of this machine, with so many threads."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    command = [sys.executable, "-m", "benchmarks.floor"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **counts}, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def machine() -> dict[str, Any]:
    """Where and when."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": model[0].split(":")[1].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description="Times against other libraries and against the machine's floor.")
    parser.add_argument("--environments", type=Path, help="folder of the peers' environments")
    parser.add_argument("--quick", action="store_true", help="small cases of ours only; writes nothing")
    parser.add_argument("--only", default="", help="only jobs with this text in their name or their peer's")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="only compare with another checkout of ours")
    parser.add_argument("--report", action="store_true", help="only write the page again")
    options = parser.parse_args()
    if options.against:
        compare(options.against.absolute())
        return
    jobs = [job for job in JOBS if options.only in f"{job.table}: {job.name}, {job.other}"]
    if options.quick:
        list(run([job.quick() for job in jobs], None))
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"jobs": [], "memory": []}
    if not options.report:
        for new in run(jobs, options.environments and options.environments.absolute()):
            found["jobs"] = in_order([*found["jobs"], new])
            write(found)
        if options.only in "Rates":
            found["rates"] = {str(threads): rates(threads) for threads in (1, 2)}
            write(found)
        if options.only in "Memory":
            found["memory"] = [peak(job) for job in MEMORY_JOBS]
            write(found)
    sections.rewrite(PAGE, page(found))
    scaling(found["jobs"]).savefig(PICTURE, metadata={"Date": None})


def write(found: dict[str, Any]) -> None:
    """After each job, so that nothing is lost."""
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def in_order(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the jobs are listed, later results in place of earlier ones; those of jobs that are gone are left out."""

    def key(result: dict[str, Any]) -> tuple[Any, ...]:
        return result["table"], result["name"], result["other"], result["n"][0], result["dtype"]

    kept = {key(result): result for result in results}
    keys = [(job.table, job.name, job.other, job.case.n, job.case.dtype) for job in JOBS]
    return [kept[k] for k in keys if k in kept]


if __name__ == "__main__":
    main()
