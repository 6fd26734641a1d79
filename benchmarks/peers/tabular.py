"""Gaussian processes of scikit-learn on its own data sets, with the kernel of one library; one process is one run.

    python -m benchmarks.peers.tabular WAY DATA BIAS

prints, as JSON, for each of five folds the seconds of fit and of predictions, and the score of rows left out: R^2, or
the share of right signs for classes -1 and 1. BIAS is 0 or 1: whether the network has biases, whose size is searched.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

DATA = {"diabetes": load_diabetes, "breast cancer": load_breast_cancer}
DEPTH = 3
FOLDS = 5
BIAS = 0.1


def process(kernel: Any) -> Any:
    """Amplitude, noise and the hyper-parameters of the kernel are those of the largest likelihood."""
    bounds = (1e-5, 1e5)
    return GaussianProcessRegressor(ConstantKernel(1.0, bounds) * kernel + WhiteKernel(0.1, bounds))


def scikit_ntk(bias: bool) -> Any:
    from skntk import NeuralTangentKernel

    return process(NeuralTangentKernel(DEPTH, BIAS, (1e-3, 10.0)) if bias else NeuralTangentKernel(DEPTH, 0.0, "fixed"))


def ours(bias: bool) -> Any:
    from ntk_array.sklearn import NTKKernel

    # The amplitude is that of ConstantKernel.
    options: dict[str, Any] = {"depth": DEPTH, "weight_std_bounds": "fixed", "bias_std_bounds": (1e-3, 10.0)}
    return process(NTKKernel(bias_std=BIAS if bias else 0.0, **options))


def regressor(bias: bool) -> Any:
    """Amplitude and noise by likelihood, over one spectrum; the size of biases stays as it is."""
    from ntk_array.sklearn import NTKRegressor

    return NTKRegressor(depth=DEPTH, bias_std=BIAS if bias else 0.0, ridge="marginal_likelihood")


WAYS: dict[str, tuple[str, Callable[[bool], Any]]] = {
    "scikit_ntk": ("GaussianProcessRegressor, scikit-ntk", scikit_ntk),
    "ours": ("GaussianProcessRegressor, NTKKernel", ours),
    "regressor": ("NTKRegressor", regressor),
}


def folds(way: str, data: str, bias: bool) -> list[dict[str, float]]:
    """Each fold once. The first fit of a process loads what is loaded once, and is not counted."""
    x, y = DATA[data](return_X_y=True)
    classes = data == "breast cancer"
    y = 2.0 * y - 1.0 if classes else (y - y.mean()) / y.std()
    make, found = WAYS[way][1], []
    make(bias).fit(x[:30] / 100.0, y[:30])
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(x):
        scaler = StandardScaler().fit(x[train])
        seen, unseen = scaler.transform(x[train]), scaler.transform(x[test])
        start = time.perf_counter()
        model = make(bias).fit(seen, y[train])
        fit = time.perf_counter()
        mean, _ = model.predict(unseen, return_std=True)
        end = time.perf_counter()
        score = (
            np.mean((mean > 0) == (y[test] > 0)) if classes else 1.0 - np.mean((y[test] - mean) ** 2) / y[test].var()
        )
        found.append({"fit": fit - start, "predict": end - fit, "score": float(score)})
    return found


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hyper-parameters at their bounds
        print(json.dumps(folds(sys.argv[1], sys.argv[2], sys.argv[3] == "1")))
