"""An infinitely wide perceptron: kernels, predictions and their uncertainties."""

import neural_tangents as nt
import numpy as np
from neural_tangents import stax


def main(asarray):
    rng = np.random.default_rng(0)
    x_train, x_test = (asarray(rng.standard_normal((n, 4))) for n in (7, 5))
    y_train = asarray(rng.standard_normal((7, 2)))

    _, _, kernel_fn = stax.serial(
        stax.Dense(512, W_std=1.5, b_std=0.05),
        stax.Erf(),
        stax.Dense(512, W_std=1.5, b_std=0.05),
        stax.Gelu(),
        stax.Dense(2, W_std=1.5, b_std=0.05),
    )
    both = kernel_fn(x_test, x_train, ("ntk", "nngp"))
    whole = kernel_fn(x_test, x_train)
    predict_fn = nt.predict.gradient_descent_mse_ensemble(kernel_fn, x_train, y_train, diag_reg=1e-4)
    nngp_mean, nngp_covariance = predict_fn(x_test=x_test, get="nngp", compute_cov=True)
    ntk_mean, ntk_covariance = predict_fn(x_test=x_test, get="ntk", compute_cov=True)
    return {
        "ntk": both.ntk,
        "nngp": both.nngp,
        "train": kernel_fn(x_train, None, "ntk"),
        "whole": whole.ntk,
        "cov1": whole.cov1,
        "cov2": whole.cov2,
        "nngp mean": nngp_mean,
        "nngp covariance": nngp_covariance,
        "ntk mean": ntk_mean,
        "ntk covariance": ntk_covariance,
    }
