"""ntk_array itself: ``K(x)``, ``gram.assemble``, and ``gram.assemble`` into an array that is there already."""

import importlib.metadata as metadata
import sys
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import ntk_array as ntk
from ntk_array.nn.activations import activation_named

from .cases import Case
from .worker import Ways, serve

MEMORY = "512 MiB"


def kernel(case: Case) -> ntk.Kernel:
    """The kernel of a case."""
    net = network(case)
    if case.infinite:
        return ntk.InfiniteNTK(net)
    params: list[dict[str, np.ndarray]] = []
    for weight, bias in case.parameters():
        params += [{"weight": weight} if bias is None else {"weight": weight, "bias": bias}, {}]
    if case.image:
        params.insert(-2, {})  # of the readout
    return ntk.EmpiricalNTK(net, tuple(params[:-1]))


def network(case: Case) -> ntk.nn.Sequential:
    """Dense layers, or convolutions and a readout."""
    options: dict[str, Any] = {
        "weight_std": case.weight_std,
        "bias_std": case.bias_std,
        "parameterization": case.parameterization,
    }
    if not case.image:
        return ntk.nn.mlp(case.widths, case.outputs or 1, activation=case.activation, **options)
    layers: list[ntk.nn.Layer] = []
    for width in case.widths:
        layers += [ntk.nn.Conv(width, case.kernel_size, **options), activation_named(case.activation)]
    gathered = ntk.nn.GlobalAvgPool() if case.readout == "average" else ntk.nn.Flatten()
    return ntk.nn.Sequential(*layers, gathered, ntk.nn.Dense(case.outputs or 1, **options))


def prepare(case: Case) -> Ways:
    """Blocks of empirical kernels are (N, C, N, C), Gram matrices (N C, N C)."""
    if not case.compiled:
        sys.modules["numba"] = None  # type: ignore[assignment]  # as if it were not installed
    x, k = case.inputs(), kernel(case)
    side = case.n * max(case.outputs, 1)
    kept: list[np.ndarray] = []

    def into() -> np.ndarray:
        if not kept:
            kept.append(np.zeros((side, side), dtype=case.dtype))
        return ntk.gram.assemble(k, x, memory=MEMORY, out=kept[0])

    return {
        "K(x)": lambda: k(x),
        "assemble": lambda: ntk.gram.assemble(k, x, memory=MEMORY),
        "assemble, out=": into,
    }


def flat(result: np.ndarray) -> np.ndarray:
    """(N C, N C)."""
    return result if result.ndim == 2 else result.reshape(result.shape[0] * result.shape[1], -1)


def version() -> str:
    """Of what computes: NumPy's matrix products are those of its BLAS, for a kind of processor."""
    blas, *_ = (pool for pool in threadpool_info() if pool["user_api"] == "blas")  # NumPy was imported first
    name = f"{blas['internal_api']} {blas['version']} for {blas.get('architecture', 'this processor')}"
    return f"ntk_array (NumPy {np.__version__} with {name}, Numba {metadata.version('numba')})"


if __name__ == "__main__":
    serve(prepare, flat, version())
