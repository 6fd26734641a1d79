"""Tables of docs/gpu.md, of the rows of jobs."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import Any

Jobs = dict[str, list[dict[str, Any]]]
MEASURED = ("no_bias", "biases", "tanh", "empirical")


def digits(x: float) -> str:
    """Two digits, or all before the point."""
    return f"{x:,.0f}" if x >= 100 else f"{x:#.2g}".rstrip(".")


def power(x: float) -> str:
    """An error, such as 1.9e-7."""
    if x == 0.0:
        return "0"
    mantissa, exponent = f"{x:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def table(*rows: list[str]) -> str:
    """Of columns by their heads."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("|" + "|".join(f" {cell} " if cell != "---" else cell for cell in line) + "|" for line in lines)


def name_of(case: dict[str, Any]) -> str:
    """The network of a case."""
    biases = "biases" if case["bias_std"] else "no biases"
    if case["outputs"]:
        sizes = "-".join(str(size) for size in (case["features"], *case["widths"], case["outputs"]))
        return f"empirical, {sizes}, {biases}, all outputs"
    activation = {"relu": "ReLU"}.get(case["activation"], case["activation"])
    last = biases if case["activation"] == "relu" else "unequal norms"
    return f"infinite width, {len(case['widths'])} hidden {activation} layers, {last}"


def kernels(jobs: Jobs) -> str:
    """Whole kernels K(x)."""
    lines, before = [["NTK of", "inputs", "time", "times the floor", "error"]], ""
    for row in (row for job in MEASURED for row in jobs.get(job, [])):
        case, over = row["case"], row.get("over the floor")
        name = name_of(case)
        lines.append(
            [
                name if name != before else "",
                f"{case['n']:,} x {case['features']}",
                f"{digits(row['seconds']['median'])} s",
                digits(over) if over else "",
                power(row["error"]),
            ]
        )
        before = name
    # An empty cell is one space wide.
    return table(*lines).replace("|  |", "| |").replace("|  |", "| |")


def planes(jobs: Jobs) -> list[str]:
    """Convolutional kernels."""
    rows = [row for row in jobs.get("planes", []) if "dtype" in row]
    if not rows:
        return []
    exact = {(row["depth"], row["bias_std"]): row for row in jobs["planes"] if "against layers" in row}
    n, *shape = rows[0]["images"]
    small = next((key for row in exact.values() for key in row if key.startswith("against NumPy")), "against NumPy")
    lines = [["convolutions", "dtype", "planes", "time an entry", "error", f"error {small}"]]
    for row in rows:
        errors = exact.get((row["depth"], row["bias_std"]))
        lines.append(
            [
                f"{row['depth']}, {'biases' if row['bias_std'] else 'no biases'}",
                row["dtype"],
                "yes" if row["planes"] else "no",
                f"{digits(row['milliseconds an entry'])} ms",
                power(errors["against layers"][row["dtype"]]) if errors else "",
                power(errors[small][row["dtype"]]) if errors else "",
            ]
        )
    text = (
        f"NTKs of convolutions of 3 x 3 with a mean over positions, on {n} images of {' x '.join(map(str, shape))}. "
        "The first error is that on a few images, against the layers one after another on the card in float64. The "
        "second is that on smaller images, against NumPy."
    )
    return [paragraph(text), table(*lines)]


def products(jobs: Jobs) -> list[str]:
    """Matrix products, and symmetric ones."""
    rows = jobs.get("products", [])
    found = []
    for key, text in (
        (
            "ways",
            "Products A B^T of A (m, k) and B (n, k) on the card, in units of 10^12 operations a second of the product "
            "itself, and the largest error relative to |a| |b|. Two parts are a = hi + lo, each in TF32, and hi hi + "
            "hi lo + lo hi, one after the other or as one product of three times the columns.",
        ),
        (
            "symmetric",
            "A A^T in the same units, counted as a whole product each time: as any product, one triangle of it by the "
            "BLAS, and as the library computes it.",
        ),
    ):
        own = [row for row in rows if key in row]
        if own:
            ways = list(own[0][key])
            lines = [["m, n, k" + (", dtype" if key == "symmetric" else ""), *ways]]
            for row in own:
                size = ", ".join(str(side) for side in row["shape"])
                size += f", {row['dtype']}" if key == "symmetric" else ""
                cells = [row[key][way] for way in ways]
                lines.append(
                    [size, *(f"{cell['operations a second'] / 1e12:.1f}, {power(cell['error'])}" for cell in cells)]
                )
            found += [paragraph(text), table(*lines)]
    return found


def launches(jobs: Jobs) -> list[str]:
    """How the host and the device share the work."""
    rows = [row for row in jobs.get("launches", []) if "host" in row]
    if not rows:
        return []
    traces = {row["kernel"]: row["trace"] for row in jobs["launches"] if "trace" in row}
    lines = [["K(x) of", "inputs", "time", "until the call returns", "reads and waits", "kernels"]]
    lines += [
        [
            row["kernel"],
            f"{row['case']['n']:,} x {row['case']['features']}",
            f"{digits(row['seconds']['median'])} s",
            f"{digits(row['host'])} s",
            str(sum(row["waits"].values())),
            str(traces[row["kernel"]]["kernels"]) if row["kernel"] in traces else "",
        ]
        for row in rows
    ]
    text = (
        "How often the host reads a number from the device or waits for it, as Python sees it, and how many kernels "
        "are launched. The networks are those above, the empirical one with one output."
    )
    return [paragraph(text), table(*lines)]


def images(jobs: Jobs) -> list[str]:
    """Accuracies on CIFAR-10."""
    rows = jobs.get("images", [])
    if not rows:
        return []
    lines = [["network", "accuracy", "standard error", "published", "time"]]
    lines += [
        [
            row["network"],
            f"{100 * row['accuracy']:.1f} %",
            f"{100 * row['standard_error']:.1f} %",
            f"{100 * row['published']:.2f} %" if row["published"] else "",
            f"{digits(row['seconds'])} s" + (", of a part" if row.get("rows from files") else ""),
        ]
        for row in rows
    ]
    text = (
        f"Regression without a ridge on {rows[0]['train']:,} training and {rows[0]['test']:,} test images of CIFAR-10, "
        "kernels in float32. Published are the accuracies of Arora et al. 2019, Table 1, for 2,000 training images and "
        "all test images, as far as they are known here."
    )
    return [paragraph(text), table(*lines)]


def paragraph(text: str) -> str:
    """Lines that fill the width of a page."""
    return fill(" ".join(text.split()), 120, break_on_hyphens=False)


TABLES: tuple[Callable[[Jobs], list[str]], ...] = (planes, products, launches, images)
