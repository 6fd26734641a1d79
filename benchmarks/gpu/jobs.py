"""One job on a GPU: ``python -m benchmarks.gpu.jobs NAME --out FILE`` writes its times and errors as JSON.

``--library numpy --scale 0.02`` tries a job on the host, with small inputs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ntk_array._support.atomic import write_whole

from .card import Card, machine, today
from .empirical import empirical, jax_peer, peers
from .images import images, planes
from .infinite import biases, no_bias, precision, tanh
from .launches import launches
from .options import Options
from .products import products
from .regression import gaussian, mnist, regression

JOBS: dict[str, Callable[[Card, Options], Iterator[dict[str, Any]]]] = {
    job.__name__: job
    for job in (
        planes,
        gaussian,
        no_bias,
        biases,
        tanh,
        empirical,
        products,
        launches,
        precision,
        peers,
        mnist,
        jax_peer,
        images,
        regression,
    )
}
"""The most important ones first. run.sh leaves out the last, of which ``gaussian`` is the successor."""


def write(out: Path, found: Any) -> None:
    """Write JSON whole or not at all: a job may be stopped at any time."""
    write_whole(out, (json.dumps(found, indent=1) + "\n").encode())


def run(name: str, card: Card, options: Options, out: Path) -> list[dict[str, Any]]:
    """Run a job. Rows that are finished are written even if the next one fails."""
    rows: list[dict[str, Any]] = []
    for row in JOBS[name](card, options):
        rows.append(row | {"date": today()})
        write(out, rows)
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Run one job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=[*JOBS, "machine"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--library", choices=("cupy", "numpy"), default="cupy")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--data", type=Path, help="a folder with the four files of MNIST")
    parser.add_argument("--images", type=Path, help="CIFAR-10 as one file, see benchmarks/cifar.py")
    parser.add_argument("--keep", type=Path, default=Options.keep, help="where rows of kernels of images are kept")
    given = parser.parse_args()
    if given.job == "machine":
        write(given.out, machine())
        return
    run(given.job, Card.of(given.library), Options(given.scale, given.data, given.images, given.keep), given.out)


if __name__ == "__main__":
    main()
