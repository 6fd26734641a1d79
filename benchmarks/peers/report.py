"""docs/performance.md from the results."""

from typing import Any

HEAD = """# Performance

Made by `python -m benchmarks.performance --environments DIR`; all figures are in `benchmarks/results/performance.json`.
Versions: {versions}.

{machines}

A job runs in two processes that take turns, after runs that are not counted: ours in each of its ways, then the other
in its fastest. Runs of less than a fifth of a second are repeated for so long, and the turn counts as their median. A
ratio is the other's time for an entry of the matrix over ours: the median of the rounds,
with the lowest and the highest in brackets. Above 1 we are faster. A target counts as met by the faster of `K(x)` and
`assemble`, which both make a new array; with `out=` the array is there already. "Error" is the largest on a sample of
entries against values by other means (mpmath, quadrature in long double, explicit Jacobians in float64), relative to
the root of the two diagonal entries, nearly equal and nearly opposite inputs included; "difference" is the largest
between the two results, over all entries that both computed. "Load" is the machine's load average before the runs:
about the number of processes that wanted to run, this benchmark included. "Commit" is that of the code that was timed:
rows of an older one wait for their next run.
"""
TABLES = {
    "Infinite width": "Inputs of 64 features, symmetric. The peer's quadrature is timed on few inputs, per entry.\n",
    "Empirical, full kernel": "float32, symmetric, matrices (N C, N C). 'At the floor' is the ratio that code at the "
    "floor of the machine would\nhave, from our share of it in the table below. neural-tangents is told by "
    "`vmap_axes=0` that outputs depend on their\nown input: without that it takes far longer, and earlier versions of "
    "this page had compared with that.\n",
    "Images": "Images of 32 x 32 x 3, convolutions of 3 x 3 with zeros at the edges, ReLU, and the mean over all "
    "positions, or Flatten.\nThe convolutional kernel has four layers.\n",
    "Floor of the machine": "The floor is the counted operations of A A^T and of the other products at the rates that "
    "`benchmarks/floor.py`\nmeasures in the same rounds, and one write of the result to a new array; the ratio is the "
    "share of its rate that we reach.\n",
    "Scaling": "Time for an entry, against ourselves: 1 is flat; for threads, the gain, also with `out=`: writing to a "
    "new array gains\nlittle from a second thread (see the rates below). Bars in the picture go from the fastest round "
    "to the slowest.\n\n![Cost of an entry over N and depth, and the gain of two threads]("
    "images/performance.svg)\n",
}
WAYS = ("K(x)", "assemble", "assemble, out=")


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    versions = sorted({version for r in found["jobs"] for version in r["versions"]} - {"floor"})
    parts = [HEAD.format(versions=", ".join(versions), machines="\n".join(_machines(found["jobs"])))]
    for table, text in TABLES.items():
        rows = [r for r in found["jobs"] if r["table"] == table]
        if rows:
            parts.append(f"## {table}\n\n{text}\n" + _table(rows, _shares(found["jobs"])))
    if "rates" in found:
        parts.append("## Rates of the machine\n\n" + RATES + "\n".join(_rate_rows(found["rates"])) + "\n")
    if found["memory"]:
        parts.append("## Memory\n\n" + MEMORY + "\n".join(map(_memory_row, found["memory"])) + "\n")
    return "\n".join(parts)


def _machines(results: list[dict[str, Any]]) -> list[str]:
    """Where and when the rows of each commit were measured."""
    found: dict[str, list[str]] = {}
    for r in results:
        where = "{processor}, {cores} cores; Python {python}; {date}".format(**r["machine"])
        found.setdefault(where, []).append(r["commit"] or "no commit")
    return [f"* {where}: rows of {', '.join(sorted(set(commits)))}" for where, commits in found.items()]


def _shares(results: list[dict[str, Any]]) -> dict[tuple[str, int, str], float]:
    """Of the floor's rate, by name, N and dtype."""
    return {_kind(r): r["ratio"][_fastest(r)] for r in results if r["other"] == "floor"}


def _kind(r: dict[str, Any]) -> tuple[str, int, str]:
    return r["name"], r["n"][0], r["dtype"]


def _table(rows: list[dict[str, Any]], shares: dict[tuple[str, int, str], float]) -> str:
    peers = "difference" in rows[0]
    bounds = {id(r): r["ratio"][_fastest(r)] / shares[_kind(r)] for r in rows if _has_floor(r, shares)}
    ways = [way for way in WAYS if any(way in r["ratio"] for r in rows)]
    head = ["job", "N", "dtype", *(["against"] if peers else []), "target", "met", *ways, "our s", "error"]
    head += ["its error", "difference"] if peers else []
    head += ["at the floor"] if bounds else []
    head += ["load", "commit"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for r in rows:
        n = " / ".join(map(str, dict.fromkeys(r["n"])))
        cells = [r["name"], n, r["dtype"], *([f"{r['other']}, {next(iter(r['other_seconds']))}"] if peers else [])]
        cells += ["" if r["target"] is None else f"{r['target']:.3g}", met(r), *(_ratio(r, way) for way in ways)]
        cells += [f"{r['seconds'][_fastest(r)]:.3g}", f"{r['error']:.1e}"]
        cells += [f"{r['other_error']:.1e}", f"{r['difference']:.1e}"] if peers else []
        cells += [f"{bounds[id(r)]:.3g}" if id(r) in bounds else ""] if bounds else []
        cells += [" to ".join(f"{load:.1f}" for load in r["loads"]), r["commit"] or ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _has_floor(result: dict[str, Any], shares: dict[tuple[str, int, str], float]) -> bool:
    return "difference" in result and _kind(result) in shares


def met(result: dict[str, Any]) -> str:
    """Whether the faster way that makes a new array reaches the target."""
    if result["target"] is None:
        return ""
    fastest = _fastest(result)
    return "yes" if result["ratio"][fastest] >= result["target"] else "**no**"


def _fastest(result: dict[str, Any]) -> str:
    return min((way for way in WAYS[:2] if way in result["seconds"]), key=lambda way: result["seconds"][way])


def _ratio(result: dict[str, Any], way: str) -> str:
    if way not in result["ratios"]:
        return ""
    ratios = result["ratios"][way]
    return f"{result['ratio'][way]:.3g} ({min(ratios):.3g} to {max(ratios):.3g})"


RATES = """\
Measured by `python -m benchmarks.floor`. No code that lives on matrix products gains more from a second thread.

| what | 1 thread | 2 threads | gain |
|---|---|---|---|
"""


def _rate_rows(rates: dict[str, dict[str, float]]) -> list[str]:
    one, two = rates["1"], rates["2"]
    return [f"| {name} | {one[name]:.3g} | {two[name]:.3g} | {two[name] / one[name]:.2f} |" for name in one]


MEMORY = """\
What `assemble` takes at most beside what was there before, in MiB; the target is at most 1.1 times the sum of the
result and the budget.

| kernel | N | budget | result | peak | met |
|---|---|---|---|---|---|
"""


def _memory_row(row: dict[str, Any]) -> str:
    reached = "yes" if row["peak"] <= 1.1 * (row["result"] + row["budget"]) else "**no**"
    cells = (row["name"], row["case"]["n"], row["budget"], f"{row['result']:.0f}", f"{row['peak']:.0f}", reached)
    return "| " + " | ".join(map(str, cells)) + " |"
