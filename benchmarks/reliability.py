"""Thousands of random cases against exact answers: the long runs of tests that the suite has a few cases of.

Writes benchmarks/results/reliability.json and a section of docs/accuracy.md, and fails where a case does.
Run from the checkout: python -m benchmarks.reliability [-n PROCESSES] [PART ...]
With names of parts, only these are run again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from . import sections

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks/results/reliability.json"
FILES = {
    "random networks": "tests/kernels/test_random_networks.py",
    "random duals": "tests/kernels/test_random_duals.py",
    "damaged files": "tests/nn/test_damaged_files.py",
    "matrices on disk": "tests/gram/test_store_reliability.py",
    "Dask clusters": "tests/gram/test_dask.py",
}
KERNELS = ("InfiniteNNGP", "InfiniteNTK")
TEXT = """
Made by `python -m benchmarks.reliability`, or `nox -s reliability`; the numbers are in
`benchmarks/results/reliability.json`. The suite has a few of each.

* {networks[test_whatever_the_layers_are][passed]} random networks of one to five layers: symmetry, blocks, float32 and
  compiled loops agree. {networks[test_values_are_exact][passed]} of them, whose duals are known in mpmath, agree with
  mpmath, near-coincident inputs included; so do the derivatives of {networks[test_derivatives_are_exact][passed]}.
* {stated[kernels]} kernels of random functions that grow, oscillate, have kinks or saturate, one to five layers deep:
  the error that `quadrature_error` states is below the true one in {stated[below the true error]} of them. It is
  {stated[quantiles of the ratio][10 %]:.3g} to {stated[quantiles of the ratio][90 %]:.3g} times the true one in four of
  five, and at most 1000 times in {stated[at most 1000 times it]:.1%}.
* Files of networks with one bit flipped: {files[flipped][refused]} raised a ValueError, and {files[flipped][as saved]},
  whose bit means nothing, loaded as they were. Files that were cut: {files[cut][refused]} raised a ValueError. Each
  took at most two seconds and 256 MB.
* Matrices on disk: {kills[kills]} processes were killed at random moments. Of the blocks that were finished
  {kills[lost]} were lost, {kills[torn]} torn and {kills[computed again]} computed again by the next process. Of blocks
  with one bit flipped, blocks cut short and blocks deleted, {damages[flip][detected]} of {damages[flip][of]},
  {damages[truncate][detected]} of {damages[truncate][of]} and {damages[delete][detected]} of {damages[delete][of]} were
  detected, by audits and by whoever read them.
* Matrices on disk by a Dask cluster of two worker processes, one or both of which were killed in the middle of a block
  or right after it: {cluster[workers killed]} workers in {cluster[runs]} runs, all of which finished with the right
  matrix. No finished block was computed again, and {cluster[unfinished blocks begun again]} others were begun again. A
  block that always kills its worker was {killer}.
* Cases that failed: {failures}.
"""


def tested(file: str, processes: int) -> list[ElementTree.Element]:
    """The test cases of a file, from the report of its long run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", file, "-q", "-n", str(processes), f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "NTK_ARRAY_RELIABILITY": "1"}, check=False)
        return list(ElementTree.parse(report).iter("testcase"))


def outcome(case: ElementTree.Element) -> str:
    for word, tag in (("failed", "failure"), ("failed", "error"), ("skipped", "skipped")):
        if case.find(tag) is not None:
            return word
    return "passed"


def properties(case: ElementTree.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}


def by_test(cases: list[ElementTree.Element]) -> dict[str, dict[str, Any]]:
    """How many cases of each test passed, and which did not."""
    found: dict[str, dict[str, Any]] = {}
    for case in cases:
        name = case.attrib["name"].split("[")[0]
        row = found.setdefault(name, {"passed": 0, "skipped": 0, "failed": 0, "failures": []})
        row[outcome(case)] += 1
        if outcome(case) == "failed":
            row["failures"].append(case.attrib["name"])
    return found


def stated(cases: list[ElementTree.Element]) -> dict[str, Any]:
    """The errors that kernels state for their tables, over the true ones."""
    rows = [p[kernel].split() for p in map(properties, cases) for kernel in KERNELS if kernel in p]
    true, said = np.asarray(rows, dtype=float).T
    ratios = said / np.maximum(true, 1e-300)
    return {
        "kernels": len(rows),
        "below the true error": int(np.sum(said < true)),
        "at most 1000 times it": float(np.mean(ratios <= 1000.0)),
        "quantiles of the ratio": dict(zip(("0 %", "10 %", "50 %", "90 %"), _quantiles(ratios), strict=True)),
    }


def _quantiles(ratios: np.ndarray) -> list[float]:
    return [float(f"{q:.3g}") for q in np.quantile(ratios, [0.0, 0.1, 0.5, 0.9])]


def damaged(cases: list[ElementTree.Element]) -> dict[str, dict[str, int]]:
    """What became of files with a bit flipped, and of files that were cut."""
    totals: dict[str, Counter[str]] = {"flipped": Counter(), "cut": Counter()}
    for one in map(properties, cases):
        for damage, total in totals.items():
            if found := re.fullmatch(r"(\d+) refused, (\d+) as saved", one.get(damage, "")):
                total.update({"refused": int(found[1]), "as saved": int(found[2])})
    return {damage: dict(total) for damage, total in totals.items()}


def kills(cases: list[ElementTree.Element]) -> dict[str, int]:
    """What became of the finished blocks of processes that were killed."""
    return counted(said(cases, "kills"))


def said(cases: list[ElementTree.Element], name: str) -> str:
    """What one of the cases recorded under a name."""
    (text,) = (p[name] for p in map(properties, cases) if name in p)
    return text


def counted(text: str) -> dict[str, int]:
    """The numbers of "20 runs, 30 workers killed", by what they count."""
    return {word: int(number) for number, word in (one.split(" ", 1) for one in text.split(", "))}


def clusters(cases: list[ElementTree.Element]) -> dict[str, int]:
    """What became of clusters whose workers were killed."""
    runs = [counted(p["cluster"]) for p in map(properties, cases) if "cluster" in p]
    return {"runs": len(runs), **{word: sum(run[word] for run in runs) for word in runs[0]}}


def damages(cases: list[ElementTree.Element]) -> dict[str, dict[str, int]]:
    """How many damaged blocks were detected, by the kind of damage."""
    found = {}
    for case in cases:
        if text := properties(case).get("damages"):
            detected, _, number, _ = text.split()
            found[case.attrib["name"].partition("[")[2].rstrip("]")] = {"detected": int(detected), "of": int(number)}
    return found


def part(name: str, processes: int) -> dict[str, Any]:
    """The result of one part."""
    cases = tested(FILES[name], processes)
    more: dict[str, Any] = {
        "random duals": {"stated over true error": stated},
        "damaged files": {"files": damaged},
        "matrices on disk": {"killed": kills, "damaged": damages},
        "Dask clusters": {
            "killed": clusters,
            "killer": lambda cases: said(cases, "killer"),
        },
    }.get(name, {})
    return {"tests": by_test(cases)} | {key: measure(cases) for key, measure in more.items()}


def failed(result: dict[str, Any]) -> bool:
    """Whether a case failed, or the stated errors are far too large in more than one case of ten."""
    cases = sum(row["failed"] for one in result.values() for row in one["tests"].values())
    share = result.get("random duals", {}).get("stated over true error", {}).get("at most 1000 times it", 1.0)
    return bool(cases) or share < 0.9


def written(result: dict[str, Any]) -> None:
    """The section of docs/accuracy.md."""
    tests = [row for one in result.values() for row in one["tests"].values()]
    text = TEXT.format(
        networks=result["random networks"]["tests"],
        stated=result["random duals"]["stated over true error"],
        files=result["damaged files"]["files"],
        kills=result["matrices on disk"]["killed"],
        damages=result["matrices on disk"]["damaged"],
        cluster=result["Dask clusters"]["killed"],
        killer=result["Dask clusters"]["killer"],
        failures=", ".join(name for row in tests for name in row["failures"]) or "none",
    )
    sections.put(ROOT / "docs/accuracy.md", "Random cases", text)


def main() -> int:
    """Run all, write the result, and return 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(FILES))
    parser.add_argument("-n", type=int, default=min(os.cpu_count() or 1, 8), metavar="PROCESSES")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(FILES):
        parser.error(f"no part is named {unknown.pop()!r}; there are {', '.join(FILES)}")
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in options.parts or FILES:
        result[name] = part(name, options.n)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    # Parts that were never run have nothing to say yet.
    if set(FILES) <= set(result):
        written(result)
    print(json.dumps(result, indent=1))
    return int(failed(result))


if __name__ == "__main__":
    sys.exit(main())
