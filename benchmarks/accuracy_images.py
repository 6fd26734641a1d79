"""Errors of the convolutional kernel against mpmath, on images whose patches are parallel or nearly so.

Writes benchmarks/results/accuracy_images.json and a section of docs/accuracy.md.
Run from the checkout: python -m benchmarks.accuracy_images
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import sections
from .peers.cases import Case
from .peers.oracle_images import EXACT, infinite
from .peers.ours import kernel

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/accuracy_images.json"
TITLE = "Convolutional kernels"
TEXT = """
Made by `python -m benchmarks.accuracy_images`; the numbers are in `benchmarks/results/accuracy_images.json`. Errors of
the NTK of convolutions of 3 x 3 with zeros at the edges, ReLU and weight_std^2 = 2, behind the mean over all positions
or behind `Flatten`, relative to sqrt(K(x, x) K(x', x')). An image x of 4 x 4 is compared with others; the reference is
the recursion over all pairs of positions in 40 digits, at the inputs as they are rounded. Flat regions are two halves
of constant brightness, whose patches are all parallel; the other image has them at other brightnesses.

{table}

float32 against float64, both by ntk_array, on images of 32 x 32 x 3 and the mean over all positions:

{large}
"""
DEPTHS, DTYPES = (4, 20), ("float64", "float32")
NEAR = (1e-2, 1e-5)
"""Relative distances of images that are nearly equal."""


def images(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The first, and the others by what they are to it."""
    rng = np.random.default_rng(0)
    x, other = rng.standard_normal((2, *shape))
    flat, brighter = np.ones(shape), np.ones(shape)
    half = shape[0] // 2
    flat[:half], flat[half:] = 0.3, 1.1
    brighter[:half], brighter[half:] = 0.9, 0.4
    near = {f"nearly equal, {t:.0e}": x + t * other for t in NEAR}
    return {
        "x": x,
        "equal": x,
        **near,
        "opposite": -x,
        "2 x": 2 * x,
        "another": other,
        "flat": flat,
        "flat, other brightness": brighter,
    }


def pairs(names: list[str]) -> dict[str, tuple[int, int]]:
    """The places of both images of each comparison: x with the others, and flat ones with one another."""
    flat = names.index("flat")
    found = {name: (0, i) for i, name in enumerate(names[1:flat], start=1)}
    return found | {"flat, equal": (flat, flat), "flat, other brightness": (flat, flat + 1), "x, flat": (0, flat)}


def errors() -> list[dict[str, Any]]:
    """A row for each network and comparison."""
    rows = []
    named = images((4, 4, 1))
    places = pairs(list(named))
    for readout in ("average", "flatten"):
        for bias in (0.0, 0.1):
            for depth in DEPTHS:
                case = Case(1, 1, (1,) * depth, bias_std=bias, image=(4, 4), readout=readout)
                found = {dtype: _errors(replace(case, dtype=dtype), named, places) for dtype in DTYPES}
                rows += [
                    {"readout": readout, "bias_std": bias, "depth": depth, "images": name}
                    | {dtype: found[dtype][name] for dtype in DTYPES}
                    for name in places
                ]
    return rows


def _errors(case: Case, named: dict[str, np.ndarray], places: dict[str, tuple[int, int]]) -> dict[str, float]:
    x = np.stack(list(named.values())).astype(case.dtype)
    rows, columns = (np.asarray([place[side] for place in places.values()]) for side in (0, 1))
    used = sorted({*rows, *columns})
    exact = infinite(case, rows, columns, x, of=EXACT)
    diagonal = dict(zip(used, infinite(case, used, used, x, of=EXACT), strict=True))
    k = kernel(case)
    # As two batches, so that no input is known to meet itself; and as one.
    together, apart = k(x), k(x, x.copy())
    scale = np.sqrt(np.asarray([diagonal[i] * diagonal[j] for i, j in zip(rows, columns, strict=True)]))
    worst = np.maximum(*(np.abs(values[rows, columns].astype(np.longdouble) - exact) for values in (together, apart)))
    return {name: float(error) for name, error in zip(places, worst / scale, strict=True)}


def large() -> list[dict[str, Any]]:
    """float32 against float64 where mpmath would take too long."""
    named, rows = images((32, 32, 3)), []
    x = np.stack(list(named.values())).astype("float32")
    others = [i for i, name in enumerate(named) if name != "x"]
    for depth in DEPTHS:
        case = Case(1, 3, (1,) * depth, bias_std=0.1, image=(32, 32))
        k = kernel(case)
        # One pair at a time: covariances of all pairs of positions take much memory.
        single, double = (
            np.asarray([k(x[:1].astype(dtype), x[i : i + 1].astype(dtype))[0, 0] for i in others])
            for dtype in ("float32", "float64")
        )
        wide = x.astype(float)
        scale = np.sqrt(k.diag(wide[:1]) * np.concatenate([k.diag(wide[i : i + 1]) for i in others]))
        rows.append(
            {
                "depth": depth,
                **dict(zip((list(named)[i] for i in others), np.abs(single - double) / scale, strict=True)),
            }
        )
    return [{name: float(value) if name != "depth" else value for name, value in row.items()} for row in rows]


def section(found: dict[str, Any]) -> str:
    """Of docs/accuracy.md: rows are comparisons, columns networks."""
    networks = list(dict.fromkeys((r["readout"], r["bias_std"], r["depth"]) for r in found["small"]))
    cells = {(r["images"], r["readout"], r["bias_std"], r["depth"]): r for r in found["small"]}
    parts = []
    for readout, bias in dict.fromkeys(network[:2] for network in networks):
        head = ["images", *(f"{depth} layers, {dtype}" for depth in DEPTHS for dtype in DTYPES)]
        title = "the mean over all positions" if readout == "average" else "`Flatten`"
        lines = [f"{title[0].upper()}{title[1:]}, bias_std {bias:g}:\n", _line(head), "|---" * len(head) + "|"]
        for name in dict.fromkeys(r["images"] for r in found["small"]):
            own = [cells[name, readout, bias, depth][dtype] for depth in DEPTHS for dtype in DTYPES]
            lines.append(_line([name, *(f"{error:.1e}" for error in own)]))
        parts.append("\n".join(lines))
    names = [name for name in found["large"][0] if name != "depth"]
    lines = [_line(["layers", *names]), "|---" * (len(names) + 1) + "|"]
    lines += [_line([str(row["depth"]), *(f"{row[name]:.1e}" for name in names)]) for row in found["large"]]
    return TEXT.format(table="\n\n".join(parts), large="\n".join(lines))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, and write both files."""
    found: dict[str, Any] = {"small": errors()}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")  # kept if what follows takes too much memory
    found["large"] = large()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    sections.put(ROOT / "docs/accuracy.md", TITLE, section(found))


if __name__ == "__main__":
    main()
