"""Time of the README's first command, ``ntk-array study``, by the clock: alone, and beside four busy processes.

Run from the checkout, on a quiet machine: python -m benchmarks.first_minute. Writes
benchmarks/results/first_minute.json.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .performance import machine

RESULTS = Path(__file__).parent / "results/first_minute.json"
BUSY = 4


def seconds() -> float:
    """Of one run, from the start of its process to its end."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "ntk_array", "study", "--out", f"{folder}/study"]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    """Write both times, each of two runs."""
    found = {"machine": machine(), "alone": [seconds() for _ in range(2)]}
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        found[f"beside {BUSY} busy processes"] = [seconds() for _ in range(2)]
    finally:
        for process in others:
            process.kill()
            process.wait()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
