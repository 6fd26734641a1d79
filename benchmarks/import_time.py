"""What ``import ntk_array`` adds to ``import numpy``: medians of paired runs in fresh processes.

Run: python benchmarks/import_time.py > benchmarks/results/import_time.json
"""

import json
import platform
import statistics
import subprocess
import sys

CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(modules: str) -> float:
    """Time of one import in a fresh process."""
    done = subprocess.run([sys.executable, "-c", CODE.format(modules)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the result as JSON."""
    seconds("numpy, ntk_array")
    pairs = [(seconds("numpy"), seconds("numpy, ntk_array")) for _ in range(15)]
    result = {
        "numpy_s": statistics.median(a for a, _ in pairs),
        "numpy_and_ntk_array_s": statistics.median(b for _, b in pairs),
        "added_s": statistics.median(b - a for a, b in pairs),
        "python": platform.python_version(),
        "runs": len(pairs),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
