"""How the time of an entry of the convolutional kernel grows with depth, image size and channels, as a picture.

Run from the checkout, on a quiet machine: python -m benchmarks.images_scaling. Writes
benchmarks/results/images_scaling.json, docs/images/convolution_scaling.svg and a section of docs/performance.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

import ntk_array as ntk
from ntk_array.experiments.pictures import draw_panels

from . import sections
from .performance import machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/images_scaling.json"
PICTURE = ROOT / "docs/images/convolution_scaling.svg"
TITLE = "Scaling of convolutional kernels"
BASE = {"depth": 4, "side": 16, "channels": 3}
VALUES = {"depth": (1, 2, 4, 8, 16), "side": (8, 12, 16, 24, 32), "channels": (1, 3, 16, 64, 256)}
NAMES = {"depth": "convolutions", "side": "pixels along each side", "channels": "channels of an image"}
ENDS = {"pooling": "mean over positions", "flatten": "Flatten"}
IMAGES, ROUNDS = 16, 3

TEXT = """
Time of an entry of the NTK of convolutions of 3 x 3 with zeros at the edges and ReLU, float32, {images} images with
themselves, behind the mean over all positions and behind `Flatten`: {base}, and one of these at a time changed. The
least of {rounds} runs, without compilation. Made by `python -m benchmarks.images_scaling`; the numbers are in
`benchmarks/results/images_scaling.json`, from {machine}.

![Time of an entry against depth, size and channels](images/convolution_scaling.svg)

{reading}

The first call of a network compiles, and keeps the code in files. Weights and the number of images are no part of it.
Seconds of the first call on two images of 32 x 32, where nothing is kept yet and in the next process:

{firsts}
"""
NETWORKS = {
    "4 convolutions, mean over positions": "cnn((1,) * 4, 1)",
    "8 convolutions, mean over positions": "cnn((1,) * 8, 1)",
    "ResNet of three stages": "resnet((1, 1, 1), 1)",
    "Myrtle-5": "myrtle(5, 1)",
}
FIRST = """
import time
import numpy as np, ntk_array as ntk
kernel, x = ntk.InfiniteNTK(ntk.nn.{network}), np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
start = time.perf_counter()
kernel(x)
print(time.perf_counter() - start)
"""


def seconds(end: str, depth: int, side: int, channels: int) -> float:
    """Of an entry: the least of some runs."""
    last = ntk.nn.GlobalAvgPool() if end == "pooling" else ntk.nn.Flatten()
    layers = [layer for _ in range(depth) for layer in (ntk.nn.Conv(1, (3, 3), weight_std=2**0.5), ntk.nn.ReLU())]
    kernel = ntk.InfiniteNTK(ntk.nn.Sequential(*layers, last, ntk.nn.Dense(1)))
    x = np.random.default_rng(0).normal(size=(IMAGES, side, side, channels)).astype(np.float32)
    found = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        kernel(x)
        found.append(time.perf_counter() - start)
    return min(found[1:]) / (IMAGES * (IMAGES + 1) / 2)


def measured() -> list[dict[str, Any]]:
    """Each end, along each axis."""
    rows = []
    for end in ENDS:
        for axis, values in VALUES.items():
            for value in values:
                rows.append(
                    {"end": end, "axis": axis, "value": value, "seconds": seconds(end, **(BASE | {axis: value}))}
                )
                print(rows[-1], flush=True)
    return rows


def first_calls() -> dict[str, list[float]]:
    """Seconds of the first call in a process, without files of compiled code and with them."""
    found = {}
    for name, network in NETWORKS.items():
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-c", FIRST.format(network=network)]
            where = os.environ | {"NTK_ARRAY_CACHE": cache}
            runs = (subprocess.run(command, env=where, capture_output=True, text=True, check=True) for _ in range(2))
            found[name] = [float(run.stdout) for run in runs]
        print(name, found[name], flush=True)
    return found


def slope(rows: list[dict[str, Any]], end: str, axis: str) -> float:
    """The exponent between the last two values."""
    one, two = [row for row in rows if (row["end"], row["axis"]) == (end, axis)][-2:]
    return float(np.log(two["seconds"] / one["seconds"]) / np.log(two["value"] / one["value"]))


def picture(rows: list[dict[str, Any]]) -> Any:
    """A matplotlib Figure."""

    def draw(axes: np.ndarray) -> None:
        for panel, (axis, name) in zip(axes, NAMES.items(), strict=True):
            for end, label in ENDS.items():
                own = [row for row in rows if (row["end"], row["axis"]) == (end, axis)]
                panel.loglog(
                    [r["value"] for r in own], [1e3 * r["seconds"] for r in own], "o-", ms=4, lw=1.2, label=label
                )
            panel.set_xticks(VALUES[axis], [str(value) for value in VALUES[axis]])
            panel.minorticks_off()
            panel.set_xlabel(name)
            panel.set_ylabel("milliseconds an entry")
            panel.legend(fontsize=7)

    return draw_panels(3, draw)


def page(found: dict[str, Any]) -> str:
    """The section."""
    rows, base = found["rows"], ", ".join(f"{NAMES[axis]} {value}" for axis, value in BASE.items())
    grows = "; ".join(
        f"{label}: {slope(rows, end, 'depth'):.2f} in depth, {slope(rows, end, 'side'):.2f} in the side, "
        f"{slope(rows, end, 'channels'):.2f} in channels"
        for end, label in ENDS.items()
    )
    reading = (
        f"Exponents between the last two points of each curve. {grows}. Behind `Flatten` each position of one image "
        "meets one of the other, side^2 pairs; the mean over positions needs all side^4. Channels enter once, in inner "
        "products of the inputs."
    )
    lines = ["| network | compiled | read from files |", "|---|---|---|"]
    lines += [f"| {name} | {first:.1f} | {next_one:.2f} |" for name, (first, next_one) in found["first calls"].items()]
    text = TEXT.format(
        images=IMAGES,
        base=base,
        rounds=ROUNDS,
        machine="{processor}, {cores} cores, {date}".format(**found["machine"]),
        reading=fill(reading, 120),
        firsts="\n".join(lines),
    )
    head, rest = text.strip().split("\n\n", 1)
    return fill(" ".join(head.split()), 120, break_on_hyphens=False) + "\n\n" + rest


def main() -> None:
    found = {"machine": machine(), "rows": measured(), "first calls": first_calls()}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    picture(found["rows"]).savefig(PICTURE)
    sections.put(ROOT / "docs/performance.md", TITLE, page(found))


if __name__ == "__main__":
    main()
