"""Training on any loss, with momentum and without, on JAX arrays."""

import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from jax.nn import log_softmax
from neural_tangents import stax


def main(asarray):
    rng = np.random.default_rng(9)
    x_train, x_test = (asarray(rng.standard_normal((n, 3))) for n in (6, 4))
    y_train = asarray(np.eye(3)[rng.integers(0, 3, size=6)])
    _, _, kernel_fn = stax.serial(stax.Dense(32, b_std=0.3), stax.Erf(), stax.Dense(3))
    k_train_train, k_test_train = kernel_fn(x_train, None, "ntk"), kernel_fn(x_test, x_train, "ntk")

    def cross_entropy(fx, y_hat):
        return -jnp.mean(log_softmax(fx) * y_hat)

    found = {}
    for name, momentum in (("plain", None), ("momentum", 0.9)):
        predict_fn = nt.predict.gradient_descent(cross_entropy, k_train_train, y_train, 0.2, momentum)
        train, test = predict_fn(asarray(np.asarray([1.0, 30.0])), 0.0, 0.0, k_test_train)
        state = predict_fn(5.0, nt.predict.ODEState(y_train, 0.0 * test[0]), None, k_test_train)
        found |= {f"{name} train": train, f"{name} test": test, f"{name} state": state.fx_test}
    return found | {"velocities": state.qx_train}
