"""Training at finite times and forever, from a given start; the largest learning rate."""

import neural_tangents as nt
import numpy as np
from neural_tangents import stax


def main(asarray):
    rng = np.random.default_rng(5)
    x_train, x_test = (asarray(rng.standard_normal((n, 3))) for n in (6, 4))
    y_train = asarray(rng.standard_normal((6, 2)))
    fx_train_0, fx_test_0 = (asarray(rng.standard_normal((n, 2))) for n in (6, 4))
    _, _, kernel_fn = stax.serial(stax.Dense(32, b_std=0.3), stax.Erf(), stax.Dense(2, b_std=0.3))
    k_train_train, k_test_train = kernel_fn(x_train, None, "ntk"), kernel_fn(x_test, x_train, "ntk")

    predict_fn = nt.predict.gradient_descent_mse(k_train_train, y_train, learning_rate=0.5)
    times = asarray(np.asarray([[0.0, 1.0, 7.5], [30.0, 400.0, 1e4]]))
    train, test = predict_fn(times, fx_train_0, fx_test_0, k_test_train)
    forever_train, forever_test = predict_fn(fx_train_0=fx_train_0, fx_test_0=fx_test_0, k_test_train=k_test_train)

    ridged = nt.predict.gradient_descent_mse(k_train_train, y_train, diag_reg=0.1)
    absolute = nt.predict.gradient_descent_mse(k_train_train, y_train, diag_reg=0.1, diag_reg_absolute_scale=True)
    return {
        "train": train,
        "test": test,
        "train forever": forever_train,
        "test forever": forever_test,
        "train with a ridge": ridged(20.0),
        "test with a ridge": ridged(20.0, None, 0.0, k_test_train),
        "test with a ridge forever": ridged(None, None, fx_test_0, k_test_train),
        "absolute ridge": absolute(None, None, 0.0, k_test_train),
        "learning rate": asarray(float(nt.predict.max_learning_rate(k_train_train, y_train_size=12))),
        "with momentum": asarray(float(nt.predict.max_learning_rate(k_train_train, momentum=0.9))),
    }
