"""What is promised, which test checks it, and what was measured: docs/reliability.md.

Run from the checkout: python -m benchmarks.scorecard [-n PROCESSES] [--backend NAME ...]. It runs the tests that it
names, on these array libraries or those of the suite, and writes benchmarks/results/scorecard.json and the page. With
--page the page is written again from committed results; figures of long runs are those of reliability.json and
accuracy.json in the same folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from .performance import machine
from .reliability import outcome, properties

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
OUT = RESULTS / "scorecard.json"
PAGE = ROOT / "docs/reliability.md"
TEXT = """# Reliability

What is promised, the test that checks it, the target, and what was measured. The tests named here run with every
change; "long run" is `python -m benchmarks.reliability`, with many more cases of the same tests. "Passed" counts cases.
Where a promise is not kept, or was not measured, it says so.

## Matrices on disk and clusters

{store}

## Numbers

{numbers}

## Files, processes, users

{users}

Made by `python -m benchmarks.scorecard` from `scorecard.json`, `reliability.json`, `accuracy.json` and `raises.json` in
`benchmarks/results/`; tests ran on {machine}.
"""

Figure = Callable[[dict[str, Any]], str]


class Row(NamedTuple):
    """A promise. ``figure`` reads committed results; else it is what a test recorded under the number of the row."""

    number: int
    promise: str
    target: str
    tests: tuple[str, ...]
    figure: Figure | None = None


def killed(found: dict[str, Any]) -> str:
    return "long run: {kills} kills, {lost} lost, {torn} torn, {computed again} computed again".format(
        **found["reliability"]["matrices on disk"]["killed"]
    )


def clusters(found: dict[str, Any]) -> str:
    own = found["reliability"]["Dask clusters"]["killed"]
    return f"long run: {own['runs']} runs, {own['workers killed']} workers killed, all right"


def killer(found: dict[str, Any]) -> str:
    return f"long run: {found['reliability']['Dask clusters']['killer']}"


def damaged(found: dict[str, Any]) -> str:
    own = found["reliability"]["matrices on disk"]["damaged"].values()
    return f"long run: {sum(one['detected'] for one in own)} of {sum(one['of'] for one in own)}"


def angles(found: dict[str, Any]) -> str:
    return "depth 3: " + ", ".join(
        f"{max(row[dtype] for row in found['accuracy']['angles']):.1e} in {dtype}" for dtype in ("float32", "float64")
    )


def solves(found: dict[str, Any]) -> str:
    ratios = [
        row[name]
        for row in found["accuracy"]["solves"]
        for name in ("GaussianProcess", "GradientFlow")
        if not row["warns"] and row.get(name) is not None
    ]
    return f"{max(ratios):.1f}x at most without a warning, of {len(ratios)}"


def stated(found: dict[str, Any]) -> str:
    own = found["reliability"]["random duals"]["stated over true error"]
    return (
        f"long run, tables and series: {own['below the true error']} of {own['kernels']} below; errors of low rank are "
        "checked in a few cases only"
    )


def raw(found: dict[str, Any]) -> str:
    rows = found["accuracy"]["raw"]
    names = len({row["activation"] for row in rows})
    errors = ", ".join(
        f"{max(row[d] for row in rows if row[d] is not None):.1e} in {d}" for d in ("float32", "float64")
    )
    return f"{errors}, {names} activations in {len(rows)} cases; others in tests"


def raises(found: dict[str, Any]) -> str:
    own = found["raises"]
    if own is None:
        return "not measured yet: `python -m benchmarks.raises`"
    text = f"{own['raised']} of {own['raises']}"
    return text if not own["not raised"] else f"{text}: missed; the others are in `benchmarks/results/raises.json`"


DISK, KILLS = "tests/gram/test_store.py::test_", "tests/gram/test_store_reliability.py::test_"
DASK, VALID = "tests/gram/test_dask.py::test_", "tests/_array/test_validate.py"
STORE = (
    Row(1, "The processes that write are killed at random, and started again", "200 kills: nothing lost, torn or "
        "computed again", (f"{KILLS}killed_processes_lose_nothing",), killed),
    Row(2, "Workers of a cluster are killed, one or all", "20 runs: all finish, right values",
        (f"{DASK}workers_that_are_killed",), clusters),
    Row(3, "A block that always kills its worker", "an error that names it, in 60 s",
        (f"{DASK}a_block_that_always_kills_its_worker", f"{DASK}a_cluster_without_workers"), killer),
    Row(4, "The disk is full", "OSError with the bytes needed; goes on afterwards", (f"{DISK}a_full_disk",)),
    Row(5, "A bit flipped, a chunk cut or deleted", "600 of 600 noticed",
        (f"{KILLS}damage_is_noticed", f"{KILLS}damaged_markers_are_noticed"), damaged),
    Row(6, "Other inputs, kernel or hyper-parameter in the same folder", "refused, nothing changed",
        (f"{DISK}another_matrix_is_refused", f"{DISK}another_version_does_not_go_on")),
    Row(7, "Two processes write to one folder", "the second is refused", (f"{DISK}a_second_driver_is_refused",)),
    Row(8, "A matrix of five times the memory budget", "resident memory grows by the budget + 10 % at most",
        (f"{DISK}the_process_stays_within_its_budget", "tests/gram/test_budget.py")),
    Row(9, "Too many inputs for disk or memory", "refused before work, with the bytes needed",
        (f"{DISK}what_does_not_fit_is_refused", "tests/gram/test_assemble.py::test_what_does_not_fit_is_refused",
         "tests/dynamics/test_solvers.py::test_covariances_without_room")),
)  # fmt: skip
NUMBERS = (
    Row(10, "NaN or infinity in inputs and targets", "ValueError that names the first bad row",
        (f"{VALID}::test_nonfinite", "tests/dynamics/test_solvers.py::test_new_inputs_are_validated_whole")),
    Row(11, "Inputs of other dtypes and shapes", "an error that says what to do, or the documented result", (VALID,)),
    Row(12, "Angles from 1e-8 to 0.1 from 0 and from pi", "1e-6 in float32, 1e-14 a layer in float64",
        ("tests/infinite/test_angle.py",), angles),
    Row(13, "Self products above 1 by rounding", "no NaN", ("tests/infinite/test_angle.py::test_many_near",)),
    Row(14, "Symmetry", "exact", ("tests/gram/test_assemble.py::test_tiles_do_not_change_values",
        "tests/_array/test_linalg.py::test_inner_products")),
    Row(15, "Any tiles, threads and library", "the same values to 8 eps",
        ("tests/gram/test_assemble.py::test_tiles_do_not", "tests/gram/test_assemble.py::test_threads_do_not_change")),
    Row(16, "Solutions by Cholesky factors", "LAPACK's ratio below 30",
        ("tests/solve/test_ratios.py::test_solutions",)),
    Row(17, "Eigendecompositions", "LAPACK's ratios below 60", ("tests/solve/test_spectrum.py::test_residual",)),
    Row(18, "Matrices near singular", "no silent wrong answer: solver, residual and condition are said",
        ("tests/solve/test_factor.py", "tests/dynamics/test_precision.py")),
    Row(19, "Matrices that are not positive semidefinite", "LinAlgError on every library",
        ("tests/solve/test_spectrum.py", "tests/_array/test_host_cholesky.py::test_matrices_without_a_factor")),
    Row(20, "Conjugate gradients", "the residual that is stated, and a warning where it stalls",
        ("tests/solve/test_iterative.py",)),
    Row(27, "Noise from 1e-12 to 1, both dtypes, 100 to 2000 inputs", "10 times the error of a plain solve, or a "
        "warning", ("tests/dynamics/test_precision.py",), solves),
    Row(28, "Errors that are stated", "never below the true ones, 300 cases",
        ("tests/kernels/test_random_duals.py", "tests/kernels/test_nystroem.py"), stated),
    Row(29, "Inputs from 1e-150 to 1e150, offsets to 1e9", "as row 12, or a clear error",
        ("tests/kernels/test_raw_data.py",), raw),
    Row(30, "Work before the first entry", "2 s for built-in activations at any scale",
        ("tests/infinite/test_preparation.py",)),
)  # fmt: skip
USERS = (
    Row(21, "Files of others", "no pickle, sizes limited, nothing outside the folder",
        ("tests/nn/test_damaged_files.py", f"{DISK}hostile_layouts", f"{DISK}damaged_descriptions")),
    Row(22, "Kernels and solutions sent to processes (spawn, forkserver)", "equal answers",
        ("tests/test_processes.py::test_kernels",)),
    Row(23, "Processor time of several threads", "1.3 times that of one at most",
        ("tests/test_processes.py::test_threads",)),
    Row(24, "scikit-learn's check_estimator", "0 failed", ("tests/sklearn/test_conventions.py",)),
    Row(25, "Errors", "every `raise` is raised by a test", (), raises),
    Row(26, "Ctrl-C", "goes on afterwards; no stray thread or process",
        ("tests/test_cli.py::test_control_c", "tests/gram/test_assemble.py::test_control_c")),
)  # fmt: skip
TABLES = {"store": STORE, "numbers": NUMBERS, "users": USERS}


def covers(node: str, case: ElementTree.Element) -> bool:
    """Whether a test case is one of those that a row names: those of a file, or with the beginning of a name."""
    file, _, name = node.partition("::")
    return case.attrib["classname"] == file.removesuffix(".py").replace("/", ".") and case.attrib["name"].startswith(
        name
    )


def collected(nodes: list[str], options: list[str]) -> list[str]:
    """The tests that are named by their file, or by the beginning of their names in it."""
    files = sorted({node.partition("::")[0] for node in nodes})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options, *files]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    # Without parameters: those of a test are all run.
    found = [line.partition("[")[0] for line in lines if "::" in line]
    return sorted({test for test in found if any(test.startswith(node) for node in nodes)})


def measured(processes: int, backends: list[str]) -> dict[str, Any]:
    """How many cases of each row passed, and the figures that they recorded."""
    rows = [row for table in TABLES.values() for row in table]
    wanted = sorted({node for row in rows for node in row.tests if (ROOT / node.partition("::")[0]).exists()})
    only = [word for name in backends for word in ("--backend", name)]
    with tempfile.TemporaryDirectory() as folder:
        report, chosen = Path(folder) / "report.xml", Path(folder) / "chosen"
        chosen.write_text("\n".join(collected(wanted, only)))
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(processes), f"--junitxml={report}", f"@{chosen}"]
        subprocess.run([*command, *only], cwd=ROOT, check=False)
        cases = list(ElementTree.parse(report).iter("testcase"))
    found: dict[str, Any] = {}
    for row in rows:
        own = [case for case in cases if any(covers(node, case) for node in row.tests)]
        counts = {word: sum(outcome(case) == word for case in own) for word in ("passed", "failed", "skipped")}
        said = [text for case in own if (text := properties(case).get(f"R{row.number}"))]
        found[f"R{row.number}"] = {**counts, "figures": said}
    return {"machine": machine(), "backends": backends or ["those of the suite"], "rows": found}


def cell(row: Row, found: dict[str, Any]) -> str:
    """What was measured of a row."""
    own = found["scorecard"]["rows"].get(f"R{row.number}", {})
    parts = [row.figure(found)] if row.figure else list(own.get("figures", []))
    if own.get("failed"):
        parts.append(f"**missed: {own['failed']} of {own['failed'] + own['passed']} cases failed**")
    elif own.get("passed"):
        parts.append(f"{own['passed']} passed")
    return "; ".join(part for part in parts if part) or "not measured"


def table(rows: tuple[Row, ...], found: dict[str, Any]) -> str:
    lines = ["| | promise | target | measured | tests |", "|---|---|---|---|---|"]
    for row in rows:
        names = ", ".join(dict.fromkeys(f"`{node.partition('::')[0].removeprefix('tests/')}`" for node in row.tests))
        lines.append(f"| R{row.number} | {row.promise} | {row.target} | {cell(row, found)} | {names} |")
    return "\n".join(lines)


def page() -> str:
    names = ("scorecard", "reliability", "accuracy", "raises")
    files = {name: RESULTS / f"{name}.json" for name in names}
    found = {name: json.loads(file.read_text()) if file.exists() else None for name, file in files.items()}
    where = "{processor}, {cores} cores, {date}".format(**found["scorecard"]["machine"])
    where += f"; array libraries: {', '.join(found['scorecard']['backends'])}"
    return TEXT.format(machine=where, **{name: table(rows, found) for name, rows in TABLES.items()})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=2, metavar="PROCESSES")
    parser.add_argument("--backend", action="append", default=[])
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    if not given.page:
        OUT.write_text(json.dumps(measured(given.n, given.backend), indent=1) + "\n")
    PAGE.write_text(page())
    return int(any(row["failed"] for row in json.loads(OUT.read_text())["rows"].values()))


if __name__ == "__main__":
    sys.exit(main())
