"""Infinite-width kernels of dense networks in mpmath, and their derivatives: what random networks are compared with."""

from functools import partial

import mpmath
import numpy as np
from mpmath import mpf

from ntk_array import nn

from .dual_closed_forms import Pair, bent_dual, cosine_dual, ramp_dual, step_dual, wave_dual

DIGITS = 50
STEP = mpf(10) ** -12  # of a central difference, whose error is its square

DUALS = {
    nn.Abs: partial(bent_dual, -1.0, [(2.0, 0.0)]),
    nn.Cos: cosine_dual,
    nn.Erf: partial(step_dual, 1.0),
    nn.GELU: partial(ramp_dual, 1.0),
    nn.Identity: lambda k11, k12, k22: (k12, mpf(1)),
    nn.ReLU: partial(bent_dual, 0.0, [(1.0, 0.0)]),
    nn.Sin: partial(wave_dual, 1.0, 0.0),
}


def known(net: nn.Sequential) -> bool:
    """Whether all duals of a network are known here."""
    return all(isinstance(layer, nn.Dense | nn.LeakyReLU) or type(layer) in DUALS for layer in net.layers)


def dual(layer: nn.Activation, k11: mpf, k12: mpf, k22: mpf) -> Pair:
    if isinstance(layer, nn.LeakyReLU):
        below = layer.negative_slope
        return bent_dual(below, [(1.0 - below, 0.0)], k11, k12, k22)
    return DUALS[type(layer)](k11, k12, k22)


def covariances(x: np.ndarray) -> list[list[mpf]]:
    """<x, x'> / d of the inputs as they are rounded."""
    rows = [[mpf(float(value)) for value in row] for row in x]
    return [[mpmath.fdot(one, two) / x.shape[1] for two in rows] for one in rows]


def pair(net: nn.Sequential, features: int, k: tuple[mpf, ...], weight: mpf, bias: mpf) -> Pair:
    """The NNGP kernel and the NTK of two inputs of these covariances (k11, k12, k22), with all weight_std and bias_std
    times factors. The recursions are those of Jacot et al. 2018, Theorem 1; in the standard parameterization the
    parameters are the weights themselves."""
    ntk, fan_in = [mpf(0)] * 3, features
    for layer in net.layers:
        if isinstance(layer, nn.Dense):
            w2, b2 = (weight * mpf(layer.weight_std)) ** 2, (bias * mpf(layer.bias_std)) ** 2
            after = tuple(w2 * one + b2 for one in k)
            if layer.parameterization == "ntk":
                ntk = [w2 * t + one for t, one in zip(ntk, after, strict=True)]
            else:
                ntk = [w2 * t + fan_in * one + bool(layer.bias_std) for t, one in zip(ntk, k, strict=True)]
            k, fan_in = after, layer.width
        else:
            found = [dual(layer, k[0], k[0], k[0]), dual(layer, *k), dual(layer, k[2], k[2], k[2])]
            k, ntk = tuple(value for value, _ in found), [t * s for t, (_, s) in zip(ntk, found, strict=True)]
    return k[1], ntk[1]


def exact(net: nn.Sequential, x: np.ndarray, weight: mpf = 1, bias: mpf = 1) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK between inputs, as arrays of mpmath's numbers."""
    with mpmath.workdps(DIGITS):
        k = covariances(x)
        found = np.empty((2, len(x), len(x)), dtype=object)
        for i, j in zip(*np.triu_indices(len(x)), strict=True):
            found[:, i, j] = found[:, j, i] = pair(net, x.shape[1], (k[i][i], k[i][j], k[j][j]), weight, bias)
        return found[0], found[1]


def exact_gradient(net: nn.Sequential, x: np.ndarray, name: str) -> np.ndarray:
    """The derivative of the NTK in "log_weight_std" or "log_bias_std", rounded to float64."""
    with mpmath.workdps(DIGITS):
        factors = (mpmath.exp(side * STEP) for side in (1, -1))
        more, less = (exact(net, x, **{name.removeprefix("log_").removesuffix("_std"): f})[1] for f in factors)
        return ((more - less) / (2 * STEP)).astype(np.float64)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest error of the first rows and columns of a kernel, relative to sqrt(K(x, x) K(x', x'))."""
    rows, columns = found.shape
    scale = np.sqrt(np.diag(expected))
    scale = np.where(scale > 0, scale, 1.0)
    return float(np.max(np.abs(found - expected[:rows, :columns]) / scale[:rows, None] / scale[:columns]))
