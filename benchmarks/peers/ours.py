"""ntk_array itself: ``K(x)``, ``gram.assemble``, and ``gram.assemble`` into an array that is there already."""

import importlib.metadata as metadata
import sys

import numpy as np
from threadpoolctl import threadpool_info

import ntk_array as ntk

from .cases import Case
from .worker import Ways, serve

MEMORY = "512 MiB"


def kernel(case: Case) -> ntk.Kernel:
    """The kernel of a case."""
    net = ntk.nn.mlp(
        case.widths,
        case.outputs or 1,
        activation=case.activation,
        weight_std=case.weight_std,
        bias_std=case.bias_std,
        parameterization=case.parameterization,
    )
    if case.infinite:
        return ntk.InfiniteNTK(net)
    params: list[dict[str, np.ndarray]] = []
    for weight, bias in case.parameters():
        params += [{"weight": weight} if bias is None else {"weight": weight, "bias": bias}, {}]
    return ntk.EmpiricalNTK(net, tuple(params[:-1]))


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
