"""Errors of kernels against mpmath, and of predictions against long double.

Writes docs/accuracy.md and benchmarks/results/accuracy.json.
Run from the checkout: python -m benchmarks.accuracy [PART ...]
With names of parts, only these are measured again.
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

import ntk_array as ntk
from ntk_array.infinite.covariance import Covariance
from ntk_array.infinite.dual import std_range
from ntk_array.infinite.tabulate import FLOOR, SAFETY
from tests.dynamics import test_precision as precision
from tests.infinite.dual_cases import ACTIVATIONS, CLOSED_FORM

from . import sections, solves

ROOT = Path(__file__).parent.parent
TEXT = """# Accuracy

Made by `python -m benchmarks.accuracy`; the numbers are in `benchmarks/results/accuracy.json`.

## Dual activations

Largest errors of E[phi(u) phi(v)] and of its slope E[phi'(u) phi'(v)] against {points} values of 19 right digits by
mpmath, relative to the geometric mean of the two variances (of phi and of phi'), in float64: standard deviations from
0.02 to 2.5 (tanh to 5), equal and unequal, angles from 0.05 to 3.1. "Stated" is the error that ntk_array itself
estimates for a numerical dual: {safety:g} times the largest difference from a finer rule at points off the table's
grid, and at least {floor:.0e}.

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
angles of inputs come from their differences. Behind other activations it is taken from the slope of the dual and the
difference of the norms where inputs nearly coincide, and else from the cosine. The diagonal is exact.

## Raw data

Largest error of one layer's NNGP kernel for four inputs of two features, with weight_std 1 and bias_std 0.5, at a
scale and an offset, relative to sqrt(K(x, x) K(x', x')). The reference is the closed form in 400 digits at the inputs
as they are rounded. "refused": squares overflow, and a ValueError says so.

| activation | scale | offset | float64 | float32 |
|---|---|---|---|---|
{raw}

## Solutions with a noise or a ridge

Errors of predictions at {new} new inputs, over those of a plain solve in the same dtype: SciPy's Cholesky factor, or
its LU factor where there is none. A cell is the larger of two ratios: that of the mean of `GaussianProcess` with this
noise, and that of `GradientFlow` with this ridge at t = inf. All solve the same matrix in the dtype; the reference
solves it in long double. In brackets: the noise is below what rounding does to the matrix, and a RuntimeWarning says
so. "indefinite": rounding has made the matrix indefinite, so that there is nothing to compare with.

| kernel | inputs | dtype | {solved} |
|---|---|---|{solved_rule}|
{solves}

The largest ratio without a warning is {worst:.1f}. An eigendecomposition by itself is further off than a Cholesky
factor; a few steps of iterative refinement mend that, as long as they make the residual smaller.

## Noise near rounding

Predictions of `GaussianProcess` from {samples} inputs, whose kernel matrix has eigenvalues below rounding: the largest
error, over that of a Cholesky factor in the same dtype. Both solve the same matrix in the dtype; the reference solves
it in long double. The noise is in units of eps lambda_max, so that eps lambda_max / noise is what rounding of the
matrix may do to a solution. "-": rounding has made the matrix indefinite, or there is no Cholesky factor in the dtype.

| kernel | noise | float32: error | over Cholesky | float64: error | over Cholesky |
|---|---|---|---|---|---|
{noise}

What rounding does to eigenvalues that are zero in exact arithmetic, or far below rounding: the most negative one found,
in units of eps lambda_max. A noise above 1/16 of the unit keeps all directions; without noise those below 4 units are
left out, or below twice the most negative one.

| inputs | {columns} |
|---|{rule}|
{negative}
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


RAW = ("relu", "abs", "erf", "gelu", "sin", "cos")
PLACES = ((1e-150, 0.0), (1e-15, 0.0), (1.0, 0.0), (1.0, 1e3), (1.0, 1e9), (1e15, 0.0), (1e150, 0.0))
"""Scales and offsets of inputs."""


def one_layer(name: str, x: np.ndarray, y: np.ndarray) -> mpmath.mpf:
    """E[phi(u) phi(v)] at the covariances <x, y> / 2 + 1/4, in 400 digits."""
    with mpmath.workdps(400):

        def covariance(a: np.ndarray, b: np.ndarray) -> mpmath.mpf:
            return mpmath.fdot([float(p) for p in a], [float(q) for q in b]) / 2 + mpmath.mpf("0.25")

        k12, k11, k22 = covariance(x, y), covariance(x, x), covariance(y, y)
        root = mpmath.sqrt(k11 * k22)
        c = min(max(k12 / root, mpmath.mpf(-1)), mpmath.mpf(1))
        if name in ("relu", "abs"):
            along = mpmath.sqrt(1 - c * c) + c * (mpmath.pi / 2 - mpmath.acos(c))  # of |x|, times pi / 2
            return root * along * 2 / mpmath.pi if name == "abs" else (k12 / 4 + root * along / (2 * mpmath.pi))
        if name in ("sin", "cos"):
            near, far = (mpmath.exp(s * k12 - (k11 + k22) / 2) for s in (1, -1))
            return (near + far if name == "cos" else near - far) / 2
        if name == "erf":
            return 2 / mpmath.pi * mpmath.asin(2 * k12 / mpmath.sqrt((1 + 2 * k11) * (1 + 2 * k22)))
        a, b = 1 + k11, 1 + k22
        both = mpmath.mpf(1) / 4 + mpmath.asin(k12 / mpmath.sqrt(a * b)) / (2 * mpmath.pi)
        rest = k11 * k22 - k12**2 + k12**2 * (1 / a + 1 / b)
        return k12 * both + rest / (2 * mpmath.pi * mpmath.sqrt(a * b - k12**2))


def _root(name: str, x: np.ndarray, y: np.ndarray) -> mpmath.mpf:
    with mpmath.workdps(400):
        return mpmath.sqrt(one_layer(name, x, x) * one_layer(name, y, y))


def raw() -> list[dict[str, Any]]:
    """One row an activation, a scale and an offset."""
    rows = []
    base = np.random.default_rng(0).standard_normal((4, 2))
    for name in RAW:
        net = ntk.nn.mlp((1,), 1, activation=name, weight_std=1.0, bias_std=0.5).layers[:2]
        kernel = ntk.InfiniteNNGP(ntk.nn.Sequential(*net, ntk.nn.Dense(1)))
        for scale, offset in (
            (1e-150, 0.0),
            (1e-15, 0.0),
            (1.0, 0.0),
            (1.0, 1e3),
            (1.0, 1e9),
            (1e15, 0.0),
            (1e150, 0.0),
        ):
            row: dict[str, Any] = {"activation": name, "scale": scale, "offset": offset}
            for dtype in (np.float64, np.float32):
                x = (scale * base + offset).astype(dtype)
                try:
                    found = kernel(x, x.copy())
                except ValueError:
                    row[dtype.__name__] = None
                    continue
                row[dtype.__name__] = max(
                    abs(float((mpmath.mpf(float(found[i, j])) - one_layer(name, x[i], x[j])) / _root(name, x[i], x[j])))
                    for i in range(4)
                    for j in range(4)
                )
            rows.append(row)
    return rows


def noises() -> list[dict[str, Any]]:
    """One row a kernel and a noise, by the problems that the tests solve."""
    rows = []
    places = np.arange(float(precision.N + precision.M))[:, None]
    for name in precision.kernels():
        for relative in (0.1, 1.0, 30.0, 1e3, 1e5):
            row: dict[str, Any] = {"kernel": name, "noise": relative}
            for dtype in (np.float32, np.float64):
                k, y = precision.problem(name, dtype)
                noise = float(relative * np.finfo(dtype).eps * np.linalg.eigvalsh(k[: precision.N, : precision.N])[-1])
                exact, plain = (precision.cholesky_mean(k, y, noise, kind) for kind in (precision.WIDE, dtype))
                inputs = places.astype(dtype)
                process = ntk.dynamics.GaussianProcess(ntk.Precomputed(k), inputs[: precision.N], y, noise)
                found = process.predict(inputs[precision.N :]).mean
                error = None if exact is None else float(np.max(np.abs(found - exact)))
                ratio = None if error is None or plain is None else error / float(np.max(np.abs(plain - exact)))
                row[dtype.__name__] = {"error": error, "over Cholesky": ratio}
            rows.append(row)
    return rows


def most_negative() -> list[dict[str, Any]]:
    """One row a number of inputs on a line: the most negative eigenvalue of each kernel, over eps lambda_max."""
    rows, gelu = [], ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1, activation="gelu"))
    for n in (100, 500, 2000):
        row: dict[str, Any] = {"inputs": n}
        for name, (kernel, features) in (precision.kernels() | {"gelu, 1-D": (gelu, 1)}).items():
            x = np.random.default_rng(0).uniform(-3, 3, size=(n, features))
            for dtype in (np.float32, np.float64):
                values = np.linalg.eigvalsh(kernel(x.astype(dtype)))
                row[f"{name}, {dtype.__name__}"] = float(min(values[0], 0.0) / (np.finfo(dtype).eps * values[-1]))
        rows.append(row)
    return rows


PARTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "duals": duals,
    "angles": angles,
    "raw": raw,
    "solves": solves.solves,
    "noise": noises,
    "most negative": most_negative,
}


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    path, parts = ROOT / "benchmarks/results/accuracy.json", parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part is named {unknown.pop()!r}; there are {', '.join(PARTS)}")
    kept = json.loads(path.read_text()) if path.exists() else {}
    result = {name: measure() if name in parts else kept[name] for name, measure in PARTS.items()}
    path.write_text(json.dumps(result, indent=1) + "\n")
    lines = [
        f"| {r['activation']} | {r['by']} | {r['value']:.1e} | {r['slope']:.1e} | "
        + (f"{r['stated']:.1e} |" if r["by"] == "quadrature" else "|")
        for r in result["duals"]
    ]
    near = [f"| {r['angle']:.0e} | {r['float64']:.1e} | {r['float32']:.1e} |" for r in result["angles"]]
    points = sum(int(r["points"]) for r in result["duals"])
    columns = [name for name in result["most negative"][0] if name != "inputs"]
    text = TEXT.format(
        points=points,
        duals="\n".join(lines),
        angles="\n".join(near),
        raw="\n".join(map(_raw_line, result["raw"])),
        safety=SAFETY,
        floor=FLOOR,
        new=solves.NEW,
        solved=" | ".join(f"{noise:g}" for noise in solves.NOISES),
        solved_rule="|".join("---" for _ in solves.NOISES),
        solves=solves.table(result["solves"]),
        worst=max(row[key] or 0.0 for row in result["solves"] if not row["warns"] for key in solves.METHODS),
        samples=precision.N,
        noise="\n".join(map(_noise_line, result["noise"])),
        columns=" | ".join(columns),
        rule="|".join("---" for _ in columns),
        negative="\n".join(
            f"| {r['inputs']} | " + " | ".join(f"{r[name]:.1f}" for name in columns) + " |"
            for r in result["most negative"]
        ),
    )
    sections.rewrite(ROOT / "docs/accuracy.md", text)


def _raw_line(row: dict[str, Any]) -> str:
    errors = ("refused" if row[dtype] is None else f"{row[dtype]:.1e}" for dtype in ("float64", "float32"))
    return f"| {row['activation']} | {row['scale']:.0e} | {row['offset']:.0e} | {' | '.join(errors)} |"


def _noise_line(row: dict[str, Any]) -> str:
    cells = [row["kernel"], f"{row['noise']:g}"]
    for dtype in ("float32", "float64"):
        error, ratio = row[dtype]["error"], row[dtype]["over Cholesky"]
        cells += ["-" if error is None else f"{error:.1e}", "-" if ratio is None else f"{ratio:.1f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
