"""Values of the kernels by other means: mpmath, quadrature in long double, explicit Jacobians; for some entries."""

import mpmath
import numpy as np

from . import oracle_images as images
from .cases import DUPLICATE, Case

SAMPLE = 24
"""Inputs of which all pairs may be drawn; the planted ones come first."""
PAIRS = 60
STEP, REACH = 0.1, 9.5
"""Of the trapezoidal rule, in standard deviations. The poles of tanh, at imaginary parts of pi/2, are 0.7 of them away
at a variance of 5: the error is about exp(-2 pi 0.7 / STEP), below rounding."""


def exact(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the (N C, N C) matrix, and its entries there."""
    if not case.infinite:
        gram = images.jacobian_gram(case) if case.image else _jacobian_gram(case)
        rows, columns = np.indices(gram.shape)
        return rows.ravel(), columns.ravel(), gram.ravel()
    rng = np.random.default_rng(3)
    few, pairs = min(SAMPLE, case.n), PAIRS if not case.image else 8
    rows = np.concatenate([np.zeros(DUPLICATE + 1, dtype=int), np.arange(few), rng.integers(few, size=pairs)])
    columns = np.concatenate([np.arange(DUPLICATE + 1), np.arange(few), rng.integers(few, size=pairs)])
    if case.image:
        return rows, columns, images.infinite(case, rows, columns)
    return rows, columns, (_relu if case.activation == "relu" else _tanh)(case, rows, columns)


def error(case: Case, gram: np.ndarray) -> float:
    """The largest error of a Gram matrix on the sample, relative to the root of the two diagonal entries."""
    rows, columns, values = exact(case)
    scale = np.sqrt(gram[rows, rows].astype(float) * gram[columns, columns])
    return float(np.max(np.abs(gram[rows, columns].astype(np.longdouble) - values) / scale))


def _relu(case: Case, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    with mpmath.workdps(40):
        w2, b2 = mpmath.mpf(case.weight_std) ** 2, mpmath.mpf(case.bias_std) ** 2
        inputs = [[mpmath.mpf(float(v)) for v in row] for row in case.inputs()[: max(SAMPLE, DUPLICATE + 1)]]
        found = []
        for i, j in zip(rows, columns, strict=True):
            a, b = inputs[i], inputs[j]
            k12, k11, k22 = (w2 * mpmath.fdot(p, q) / case.features + b2 for p, q in ((a, b), (a, a), (b, b)))
            theta = k12
            for _ in case.widths:
                root = mpmath.sqrt(k11 * k22)
                t = mpmath.atan2(mpmath.sqrt(max(k11 * k22 - k12**2, mpmath.mpf(0))), k12)
                value = root * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / (2 * mpmath.pi)
                slope = (mpmath.pi - t) / (2 * mpmath.pi)
                k12, k11, k22 = (w2 * k + b2 for k in (value, k11 / 2, k22 / 2))
                theta = k12 + w2 * theta * slope
            found.append(np.longdouble(mpmath.nstr(theta, 25)))
    return np.asarray(found)


def _tanh(case: Case, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    z = np.arange(-REACH, REACH + STEP / 2, STEP, dtype=np.longdouble)
    weights = np.exp(-z * z / 2)
    weights /= weights.sum()
    w2, b2 = np.longdouble(case.weight_std) ** 2, np.longdouble(case.bias_std) ** 2
    x = case.inputs()[: max(SAMPLE, DUPLICATE + 1)].astype(np.longdouble)
    found = []
    for i, j in zip(rows, columns, strict=True):
        k12, k11, k22 = (w2 * (x[p] @ x[q]) / case.features + b2 for p, q in ((i, j), (i, i), (j, j)))
        theta = k12
        for _ in case.widths:
            s1, s2 = np.sqrt(k11), np.sqrt(k22)
            across = np.sqrt(max(k22 - (k12 / s1) ** 2, np.longdouble(0)))
            u, v = np.tanh(s1 * z), np.tanh((k12 / s1) * z[:, None] + across * z)
            value, slope = (weights @ (f * (g @ weights)) for f, g in ((u, v), (1 - u * u, 1 - v * v)))
            k11, k22 = (w2 * (weights @ np.tanh(s * z) ** 2) + b2 for s in (s1, s2))
            k12 = w2 * value + b2
            theta = k12 + w2 * theta * slope
        found.append(theta)
    return np.asarray(found)


def _jacobian_gram(case: Case, inputs: int = 4) -> np.ndarray:
    """J J^T of the first inputs, in float64, layer by layer."""
    h, standard = case.inputs()[:inputs].astype(float), case.parameterization == "standard"
    tape = []
    for weight, bias in case.parameters():
        scale, shift = (1.0, 1.0) if standard else (case.weight_std / weight.shape[1] ** 0.5, case.bias_std)
        weight = scale * weight.astype(float)
        z = h @ weight.T + (0.0 if bias is None else shift * bias.astype(float))
        tape.append((h, z > 0, weight, scale, None if bias is None else shift))
        h = np.maximum(z, 0.0)
    delta = np.broadcast_to(np.eye(case.outputs), (inputs, case.outputs, case.outputs))
    gram = np.zeros((inputs * case.outputs, inputs * case.outputs))
    for h, _, weight, scale, shift in reversed(tape):
        jacobian = (scale * delta[..., None] * h[:, None, None, :]).reshape(len(gram), -1)
        gram += jacobian @ jacobian.T
        if shift is not None:
            jacobian = shift * delta.reshape(len(gram), -1)
            gram += jacobian @ jacobian.T
        delta = (delta @ weight) * (h > 0)[:, None, :]
    return gram
