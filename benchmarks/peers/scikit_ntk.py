"""scikit-ntk: the infinite ReLU NTK in NumPy; its bias enters otherwise than ours, so only cases without one."""

import importlib.metadata as metadata

import numpy as np

from .cases import Case
from .worker import Ways, serve


def prepare(case: Case) -> Ways:
    """Its kernel is ours times features / (2 (depth + 1)) where weight_std^2 is 2."""
    from skntk import NeuralTangentKernel

    if case.bias_std or case.activation != "relu" or abs(case.weight_std**2 - 2.0) > 1e-12:
        raise ValueError("scikit-ntk has ReLU networks with weight_std^2 = 2; its bias is another one")
    x, kernel = case.inputs(), NeuralTangentKernel(len(case.widths), bias=0.0)
    scale = 2.0 * (len(case.widths) + 1) / case.features

    def run() -> np.ndarray:
        return scale * kernel(x)

    return {"kernel": run}


if __name__ == "__main__":
    serve(prepare, np.asarray, f"scikit-ntk {metadata.version('scikit-ntk')}")
