"""The most memory that gram.assemble takes beside what was there: the result and its budget, or less."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .cases import Case
from .jobs import NARROW, RELU, WIDE

ROOT = Path(__file__).parents[2]
MIB = 2**20


@dataclass(frozen=True)
class MemoryJob:
    """A kernel and the budget of its assembly, in MiB."""

    name: str
    case: Case
    budget: int


MEMORY_JOBS = [
    MemoryJob(name, case, budget)
    for name, case in (
        ("infinite ReLU, no bias", replace(RELU, n=4000)),
        ("infinite ReLU, biases", replace(RELU, n=4000, bias_std=0.1)),
        ("empirical 64-256-256-10", replace(NARROW, n=500)),
        ("empirical 784-1024-1024-1024-10", replace(WIDE, n=500)),
    )
    for budget in (64, 256)
]


def peak(job: MemoryJob) -> dict[str, Any]:
    """Measured in a process of its own, after an assembly of a few inputs, which loads all libraries."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.memory", job.case.to_json(), str(job.budget)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {**asdict(job), **json.loads(done.stdout)}


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"no {field} in /proc/self/status: this is measured on Linux")


def main() -> None:
    """Print what the kernel of Linux says."""
    from ntk_array.gram import assemble

    from .ours import kernel

    case = Case.from_json(sys.argv[1])
    x, k = case.inputs(), kernel(case)
    assemble(k, x[: 200 if case.infinite else 20])  # enough for compiled loops, which are no part of an assembly
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _resident("VmRSS")
    result = assemble(k, x, memory=int(sys.argv[2]) * MIB)
    print(json.dumps({"result": result.nbytes / MIB, "peak": (_resident("VmHWM") - before) / MIB}))


if __name__ == "__main__":
    main()
