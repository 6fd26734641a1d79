"""Gaussian processes on small tables beside scikit-ntk: time and accuracy.

Run from the checkout, on a quiet machine: python -m benchmarks.tabular_peers --environments FOLDER. The folder holds a
virtual environment for scikit-ntk, as for ``benchmarks.performance``, and is filled where it does not. Without it the
section is written again from the results. Writes benchmarks/results/tabular_peers.json, and a section of
docs/sklearn.md.
"""

import argparse
import importlib.metadata as metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from . import sections
from .peers.tabular import DATA, DEPTH, FOLDS, WAYS
from .performance import environment, machine
from .tabular import PAGE

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/tabular_peers.json"
TITLE = "Beside scikit-ntk, measured"
ROUNDS = 3
THREADS = "2"

INTRO = """
Regression on diabetes (442 rows), and on the classes -1 and 1 of breast cancer (569 rows), by a ReLU network of
{depth} hidden layers; {folds} folds, standardised features, scores on rows left out (R^2, and the share of right
signs). GaussianProcessRegressor finds amplitude, noise and, where there are biases, their size from one start;
NTKRegressor finds amplitude and noise over one spectrum. Without biases the two libraries have the same kernel, up to
a factor; biases enter otherwise. Seconds are wall time of one fold, the median of {folds}, the least of {rounds}
rounds in which the ways take turns, each run a process of its own.
"""
READING = """
Made by `python -m benchmarks.tabular_peers --environments FOLDER` ({machine}; {versions}); the numbers are in
`benchmarks/results/tabular_peers.json`.
"""


def run(python: Path | str, way: str, data: str, bias: bool) -> list[dict[str, float]]:
    """All folds, in a process of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), THREADS)
    command = [str(python), "-m", "benchmarks.peers.tabular", way, data, str(int(bias))]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **threads}, capture_output=True, text=True, check=True)
    found: list[dict[str, float]] = json.loads(done.stdout)
    return found


def measure(environments: Path) -> None:
    """Every way on every data set, in turns."""
    peer = environment(environments, "scikit_ntk")
    found: dict[str, Any] = {"machine": machine(), "versions": versions(), "loads": [], "rounds": []}
    for _ in range(ROUNDS):
        found["loads"].append(os.getloadavg()[0])
        found["rounds"].append(
            [
                {"data": data, "bias": bias, "way": way, "folds": run(python, way, data, bias)}
                for data in DATA
                for bias in (False, True)
                for way in WAYS
                for python in [peer if way == "scikit_ntk" else sys.executable]
            ]
        )
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def versions() -> str:
    wanted = (ROOT / "benchmarks/peers/scikit_ntk.txt").read_text().split()[0].replace("==", " ")
    return ", ".join([f"scikit-learn {metadata.version('scikit-learn')}", f"NumPy {np.__version__}", wanted])


def write(found: dict[str, Any]) -> None:
    """The section of the page."""
    lines = ["| data | biases | way | score | fit, s | predictions, s |", "|---|---|---|---|---|---|"]
    for runs in zip(*found["rounds"], strict=True):
        first = runs[0]
        score = np.mean([fold["score"] for fold in first["folds"]])
        fit, predict = (
            min(np.median([fold[key] for fold in one["folds"]]) for one in runs) for key in ("fit", "predict")
        )
        biases = "yes" if first["bias"] else "no"
        lines.append(
            f"| {first['data']} | {biases} | {WAYS[first['way']][0]} | {score:.3f} | {fit:.2g} | {predict:.2g} |"
        )
    intro = fill(" ".join(INTRO.split()).format(depth=DEPTH, folds=FOLDS, rounds=len(found["rounds"])), 120)
    words = "{processor}, {cores} cores, {date}".format(**found["machine"])
    reading = fill(" ".join(READING.split()).format(machine=words, versions=found["versions"]), 120)
    sections.put(PAGE, TITLE, "\n\n".join([intro, "\n".join(lines), reading]))


def main() -> None:
    """Measure, or write the section again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, help="folder of the peers' environments")
    options = parser.parse_args()
    if options.environments:
        measure(options.environments)
    write(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
