"""Errors of float32 kernels of smooth networks, in which rounding grows from layer to layer, against mpmath.

Writes benchmarks/results/accuracy_rounding.json and a section of docs/accuracy.md.
Run from the checkout: python -m benchmarks.accuracy_rounding
"""

import json
import math
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mpmath
import numpy as np

import ntk_array as ntk
from ntk_array.kernels import infinite

from . import sections

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/accuracy_rounding.json"
TITLE = "Rounding in deep smooth networks"
TEXT = """
Made by `python -m benchmarks.accuracy_rounding`; the numbers are in `benchmarks/results/accuracy_rounding.json`. The
largest error of the NTK of layers of Erf with bias_std {bias:g} for {count} float32 inputs of {features} features,
equal, nearly equal, opposite and longer ones, relative to sqrt(K(x, x) K(x', x')). The reference is the closed form
(Williams 1997) in {digits} digits at the inputs as they are. In brackets is the dtype that ntk_array computes in, which
follows from an estimate of how rounding grows; "float32 all the way" is what it would come to without that.

| weight_std | layers | ntk_array | float32 all the way |
|---|---|---|---|
{rows}
"""
BIAS, FEATURES, DIGITS = 0.1, 12, 40


def inputs() -> np.ndarray:
    """Some, and others near to them, opposite to them and longer."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, FEATURES))
    return np.concatenate([x, x * (1 + 1e-3 * rng.normal(size=x.shape)), x + 1e-4, -x, 1.5 * x]).astype(np.float32)


def exact(x: np.ndarray, depth: int, weight_std: float) -> np.ndarray:
    """Layer by layer K' = (2 / pi) asin(2 k12 / r) with r^2 = (1 + 2 k11)(1 + 2 k22).

    The slope is 4 / (pi sqrt(r^2 - 4 k12^2)).
    """
    n = len(x)
    with mpmath.workdps(DIGITS):
        w, b, pi = mpmath.mpf(weight_std) ** 2, mpmath.mpf(BIAS) ** 2, mpmath.pi
        rows = [[mpmath.mpf(float(v)) for v in row] for row in x]
        k = [[w * mpmath.fdot(rows[i], rows[j]) / FEATURES + b for j in range(n)] for i in range(n)]
        theta = [row[:] for row in k]
        for layer in range(depth):
            # The last Dense layer has weight_std 1 and no bias.
            w2, b2 = (w, b) if layer < depth - 1 else (mpmath.mpf(1), mpmath.mpf(0))
            diagonal = [k[i][i] for i in range(n)]
            for i in range(n):
                for j in range(n):
                    r = mpmath.sqrt((1 + 2 * diagonal[i]) * (1 + 2 * diagonal[j]))
                    value = w2 * 2 / pi * mpmath.asin(2 * k[i][j] / r) + b2
                    slope = w2 * 4 / (pi * mpmath.sqrt(r * r - 4 * k[i][j] ** 2))
                    theta[i][j] = value + slope * theta[i][j]
                    k[i][j] = value
        return np.asarray([[np.longdouble(mpmath.nstr(v, 25)) for v in row] for row in theta])


def errors() -> list[dict[str, Any]]:
    """A row for each network."""
    x, rows = inputs(), []
    for weight_std in (1.0, 1.5, 2.0):
        for depth in (2, 5, 20):
            reference = exact(x, depth, weight_std)
            size = np.sqrt(np.outer(np.diag(reference), np.diag(reference)))
            one = [ntk.nn.Dense(1, weight_std=weight_std, bias_std=BIAS), ntk.nn.Erf()]
            kernel = ntk.InfiniteNTK(ntk.nn.Sequential(*one * depth, ntk.nn.Dense(1)))
            found = kernel(x)
            with patch.object(infinite, "MOST_GROWTH", math.inf):
                narrow = ntk.InfiniteNTK(kernel.net)(x)
            errors = [float(np.max(np.abs(k.astype(np.longdouble) - reference) / size)) for k in (found, narrow)]
            rows.append(
                {
                    "weight_std": weight_std,
                    "layers": depth,
                    "float64": kernel.wide(x),
                    "error": errors[0],
                    "float32 all the way": errors[1],
                }
            )
    return rows


def section(rows: list[dict[str, Any]]) -> str:
    """Of docs/accuracy.md."""
    lines = [
        f"| {r['weight_std']:g} | {r['layers']} | {r['error']:.1e} ({'float64' if r['float64'] else 'float32'}) | "
        f"{r['float32 all the way']:.1e} |"
        for r in rows
    ]
    return TEXT.format(rows="\n".join(lines), bias=BIAS, count=len(inputs()), features=FEATURES, digits=DIGITS)


def main() -> None:
    """Write both files."""
    rows = errors()
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    sections.put(ROOT / "docs/accuracy.md", TITLE, section(rows))


if __name__ == "__main__":
    main()
