"""Errors of infinite-width kernels against mpmath, as docs/accuracy.md and benchmarks/results/accuracy.json.

Run from the checkout: python -m benchmarks.accuracy
"""

import json
import math
from pathlib import Path

import mpmath
import numpy as np

import ntk_array as ntk
from ntk_array.infinite.covariance import Covariance
from ntk_array.infinite.dual import std_range
from tests.infinite.dual_cases import ACTIVATIONS, CLOSED_FORM

ROOT = Path(__file__).parent.parent
TEXT = """# Accuracy

Made by `python -m benchmarks.accuracy`; the numbers are in `benchmarks/results/accuracy.json`.

## Dual activations

Largest errors of E[phi(u) phi(v)] and of its slope E[phi'(u) phi'(v)] against {points} values of 19 right digits by
mpmath, relative to the geometric mean of the two variances (of phi and of phi'), in float64: standard deviations from
0.02 to 2.5 (tanh to 5), equal and unequal, angles from 0.05 to 3.1. "Stated" is the error that ntk_array itself
estimates for a numerical dual, relative to the largest value in the range rather than to each entry's own scale.

| activation | by | error | error of the slope | stated |
|---|---|---|---|---|
{duals}

`hard_tanh` is a user's activation with kinks at -1 and 1, `bent` one with a kink at 0, `tanh_8x` is tanh(8x).

## Near-coincident inputs

Error of the ReLU NTK of depth 3 between two inputs at a small angle, relative to the diagonal, against mpmath.

| angle | float64 | float32 |
|---|---|---|
{angles}

The kernel has a kink at angle 0, and a cosine that is known to rounding gives half of the digits of a small angle. So
the sine of the angle travels through ReLU, leaky ReLU and abs layers and biases beside the covariances, and small
angles of inputs come from their differences. Behind other activations, whose kernels have no such kink, it is taken
from the cosine. The diagonal is exact.
"""


def duals() -> list[dict[str, float | str]]:
    """One row an activation."""
    reference = json.loads((ROOT / "tests/infinite/dual_reference.json").read_text())["duals"]
    rows = []
    for name, activation in ACTIVATIONS.items():
        points = [point for point in reference if point["activation"] == name]
        s1, s2, t = (np.asarray([point[key] for point in points]) for key in ("s1", "s2", "t"))
        state = Covariance(s1 * s2 * np.cos(t), s1**2, s2**2)
        fitted = activation.fitted(*std_range(state.k11, state.k22))
        value, slope, _ = fitted.dual(state)
        errors = {
            key: max(
                abs(float((mpmath.mpf(float(got)) - mpmath.mpf(point[key])) / mpmath.mpf(point[f"{key}_scale"])))
                for got, point in zip(found, points, strict=True)
            )
            for key, found in (("value", value), ("slope", slope))
        }
        by = "closed form" if name in CLOSED_FORM else "quadrature"
        rows.append({"activation": name, "by": by, **errors, "stated": fitted.quadrature_error, "points": len(points)})
    return rows


def relu_ntk(t: float, depth: int) -> mpmath.mpf:
    """The ReLU NTK of unit-variance inputs at angle t, weight_std^2 = 2 and no bias, over its diagonal."""
    with mpmath.workdps(40):
        cosine = mpmath.cos(mpmath.mpf(t))
        theta = cosine
        for _ in range(depth):
            angle = mpmath.acos(cosine)
            slope = (mpmath.pi - angle) / mpmath.pi
            cosine = (mpmath.sin(angle) + (mpmath.pi - angle) * cosine) / mpmath.pi
            theta = cosine + theta * slope
        return theta / (depth + 1)


def angles() -> list[dict[str, float]]:
    """One row an angle; inputs at exactly that angle, to rounding, in 64 dimensions."""
    first, second = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 2)))[0].T
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1, weight_std=2**0.5))
    rows = []
    for t in 10.0 ** -np.arange(1, 9):
        row = {"angle": float(t)}
        for dtype in ("float64", "float32"):
            x = np.stack([first, math.cos(t) * first + math.sin(t) * second]).astype(dtype)
            exact = relu_ntk(_angle(x), 3)
            found = kernel(x)
            row[dtype] = abs(float(mpmath.mpf(float(found[0, 1] / np.sqrt(found[0, 0] * found[1, 1]))) - exact))
        rows.append(row)
    return rows


def _angle(x: np.ndarray) -> float:
    """The angle between the rounded inputs themselves."""
    with mpmath.workdps(40):
        u, v = ([mpmath.mpf(float(value)) for value in row] for row in x)
        norms = mpmath.sqrt(mpmath.fdot(u, u) * mpmath.fdot(v, v))
        return mpmath.acos(mpmath.fdot(u, v) / norms)


def main() -> None:
    """Write both files."""
    result = {"duals": duals(), "angles": angles()}
    lines = [
        f"| {r['activation']} | {r['by']} | {r['value']:.1e} | {r['slope']:.1e} | "
        + (f"{r['stated']:.1e} |" if r["by"] == "quadrature" else "|")
        for r in result["duals"]
    ]
    near = [f"| {r['angle']:.0e} | {r['float64']:.1e} | {r['float32']:.1e} |" for r in result["angles"]]
    points = sum(int(r["points"]) for r in result["duals"])
    text = TEXT.format(points=points, duals="\n".join(lines), angles="\n".join(near))
    (ROOT / "docs/accuracy.md").write_text(text)
    (ROOT / "benchmarks/results/accuracy.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
