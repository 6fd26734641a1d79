"""Gaussian process inference, and ensembles at finite times."""

import neural_tangents as nt
import numpy as np
from neural_tangents import stax


def main(asarray):
    rng = np.random.default_rng(6)
    x_train, x_test = (asarray(rng.standard_normal((n, 3))) for n in (6, 4))
    y_train = asarray(rng.standard_normal((6, 2)))
    _, _, kernel_fn = stax.serial(
        stax.Dense(32, b_std=0.3), stax.Sin(), stax.Dense(32), stax.Sigmoid_like(), stax.Dense(2, b_std=0.3)
    )
    k_train_train = kernel_fn(x_train, None, ("nngp", "ntk"))
    k_test_train = kernel_fn(x_test, x_train, ("nngp", "ntk"))
    k_test_test = kernel_fn(x_test, None, ("nngp", "ntk"))
    found = {}

    predict_fn = nt.predict.gp_inference(k_train_train, y_train, diag_reg=0.05)
    for get in ("nngp", "ntk", "ntkgp"):
        posterior = predict_fn(get=get, k_test_train=k_test_train, k_test_test=k_test_test)
        found |= {f"{get} mean": posterior.mean, f"{get} covariance": posterior.covariance}
    means = predict_fn(get=("ntk", "nngp"), k_test_train=k_test_train)
    found |= {"ntk mean alone": means.ntk, "nngp mean alone": means.nngp}

    ensemble = nt.predict.gradient_descent_mse_ensemble(kernel_fn, x_train, y_train, learning_rate=2.0, diag_reg=0.01)
    times = asarray(np.asarray([0.5, 20.0]))
    for name, x in (("test", x_test), ("train", None)):
        both = ensemble(t=times, x_test=x, get=("nngp", "ntk"), compute_cov=True)
        for get in ("nngp", "ntk"):
            mean, covariance = getattr(both, get)
            found |= {f"{name} {get} mean at times": mean, f"{name} {get} covariance at times": covariance}
    found["mean at a time"] = ensemble(t=3.0, x_test=x_test, get="ntk")
    return found
