"""Values of kernels of images by other means: the recursion of the convolutional kernel, and explicit Jacobians."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import mpmath
import numpy as np

from .cases import Case

DIGITS = 40


class Arithmetic(NamedTuple):
    """What numbers are made of: of mpmath, or long doubles."""

    number: Any
    sqrt: Any
    arctan2: Any
    back: Any
    """From one number to one of mpmath."""


def _long(value: Any) -> np.longdouble:
    return np.longdouble(mpmath.nstr(value, 25))


EXACT = Arithmetic(
    *(np.vectorize(f, otypes=[object]) for f in (mpmath.mpf, mpmath.sqrt, mpmath.atan2)), back=mpmath.mpf
)
WIDE = Arithmetic(
    np.vectorize(_long, otypes=[np.longdouble]), np.sqrt, np.arctan2, back=lambda value: mpmath.mpf(str(value))
)


def infinite(
    case: Case, rows: Iterable[int], columns: Iterable[int], x: np.ndarray | None = None, of: Arithmetic = WIDE
) -> np.ndarray:
    """The NTK of some pairs of inputs, for ReLU: those of the case, or others.

    Positions p of one image and q of another depend on p + d and q + d only: entries with p = q, where patches may
    nearly coincide, are computed in mpmath, the others in another arithmetic.
    """
    if case.activation != "relu":
        raise ValueError("only ReLU has its closed form here")
    with mpmath.workdps(DIGITS):
        x = EXACT.number((case.inputs() if x is None else x).astype(float))
        known = {i: _variances(case, x[i]) for i in {*rows, *columns}}
        values = [_pair(case, of, (x[i], x[j]), (known[i], known[j])) for i, j in zip(rows, columns, strict=True)]
        return WIDE.number(np.asarray(values, dtype=object))


def _variances(case: Case, x: np.ndarray) -> list[np.ndarray]:
    """Behind each convolution, (H, W)."""
    k = np.sum(x * x, axis=-1) / case.features
    found = []
    for _ in case.widths:
        found.append(_convolved(case, EXACT, k))
        k = found[-1] / 2
    return found


def _pair(case: Case, of: Arithmetic, images: tuple[np.ndarray, ...], variances: tuple[list[np.ndarray], ...]) -> Any:
    """The NTK of two images: a sum over pairs of positions, and a dense layer."""
    x, y = images
    one, two = variances
    sums = [np.sum(a) for a in _walk(case, EXACT, np.sum(x * y, axis=-1), one, two)]
    count = case.positions
    if case.readout == "average":
        x, y = (of.number(image) for image in images)
        one = [of.number(k)[:, :, None, None] for k in one]
        two = [of.number(k) for k in two]
        for i, a in enumerate(_walk(case, of, np.tensordot(x, y, (-1, -1)), one, two)):
            entries = a.reshape(count, count)
            np.fill_diagonal(entries, 0)
            sums[i] += of.back(np.sum(entries))
        count *= count
    k, theta = (mpmath.mpf(case.weight_std) ** 2 * total / count for total in sums)
    return k + mpmath.mpf(case.bias_std) ** 2 + theta


def _walk(
    case: Case, of: Arithmetic, products: np.ndarray, one: list[np.ndarray], two: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Covariances and NTK behind the last activation, from <x_p, y_q>, for p = q or for every pair."""
    pi = of.arctan2(of.number(0), of.number(-1))
    k, theta = products / case.features, 0 * products
    for k11, k22 in zip(one, two, strict=True):
        k = _convolved(case, of, k)
        theta = k + _convolved(case, of, theta, bias=False)
        root = of.sqrt(np.maximum(k11 * k22 - k * k, of.number(0)))
        slope = (pi - of.arctan2(root, k)) / (2 * pi)
        k, theta = root / (2 * pi) + slope * k, slope * theta
    return k, theta


def _convolved(case: Case, of: Arithmetic, k: np.ndarray, bias: bool = True) -> np.ndarray:
    """weight_std^2 times the mean over 3 x 3 elements, moved along both images together, and bias_std^2."""
    scale, shift = (of.number(mpmath.mpf(value) ** 2) for value in (case.weight_std, case.bias_std))
    total = sum(_windows(k, k.ndim // 2))
    return scale / 9 * total + (shift if bias else 0)


def _windows(a: np.ndarray, sides: int) -> Iterator[np.ndarray]:
    """What each element of a window of 3 x 3 sees of (H, W) or (H, W, H, W), with zeros outside."""
    padded = np.pad(a, [(1, 1)] * 2 * sides + [(0, 0)] * (a.ndim - 2 * sides))
    height, width = a.shape[:2]
    for i, j in itertools.product(range(3), repeat=2):
        yield padded[(slice(i, i + height), slice(j, j + width)) * sides]


def jacobian_gram(case: Case, inputs: int = 4) -> np.ndarray:
    """J J^T of the first inputs of a finite ReLU network, in float64, layer by layer."""
    h, standard, tape = case.inputs()[:inputs].astype(float), case.parameterization == "standard", []
    for weight, bias in case.parameters():
        scale, shift = (1.0, 1.0) if standard else (case.weight_std / weight[0].size ** 0.5, case.bias_std)
        matrix = scale * weight.reshape(len(weight), -1).astype(float)
        if len(tape) == len(case.widths):
            seen = h.mean(axis=(1, 2)) if case.readout == "average" else h.reshape(inputs, -1)
        else:
            seen = np.concatenate(list(_windows(h.transpose(1, 2, 0, 3), 1)), axis=-1).transpose(2, 0, 1, 3)
        z = seen @ matrix.T + (0.0 if bias is None else shift * bias.astype(float))
        tape.append((seen, z > 0, matrix, scale, 0.0 if bias is None else shift))
        h = np.maximum(z, 0.0)
    seen, _, matrix, scale, shift = tape.pop()
    gram = np.kron(scale**2 * seen @ seen.T + shift**2, np.eye(case.outputs))
    # (C, n) to (N, C, H, W, channels)
    shape = tape[-1][1].shape[1:]
    delta = matrix[:, None, None, :] / case.positions if case.readout == "average" else matrix.reshape(-1, *shape)
    delta = np.broadcast_to(delta, (inputs, case.outputs, *shape))
    for seen, active, matrix, scale, shift in reversed(tape):
        delta = delta * active[:, None]
        rows = delta.reshape(inputs, case.outputs, case.positions, -1)
        weights = rows.swapaxes(2, 3) @ seen.reshape(inputs, 1, case.positions, -1)
        for jacobian in (scale * weights, shift * rows.sum(axis=2)):
            flat = jacobian.reshape(len(gram), -1)
            gram += flat @ flat.T
        delta = _scattered(delta @ matrix)
    return gram


def _scattered(seen: np.ndarray) -> np.ndarray:
    """The adjoint of gathering windows, (N, C, H, W, 9 channels) to (N, C, H, W, channels)."""
    *lead, height, width, size = seen.shape
    padded = np.zeros((*lead, height + 2, width + 2, size // 9))
    for (i, j), part in zip(itertools.product(range(3), repeat=2), np.split(seen, 9, axis=-1), strict=True):
        padded[..., i : i + height, j : j + width, :] += part
    return padded[..., 1:-1, 1:-1, :]
