"""A wide residual network: blocks of FanOut, parallel and FanInSum; concatenation and products."""

import numpy as np
from neural_tangents import stax


def block(channels, strides=(1, 1), channel_mismatch=False):
    main_path = stax.serial(
        stax.Relu(),
        stax.Conv(channels, (3, 3), strides, padding="SAME"),
        stax.Relu(),
        stax.Conv(channels, (3, 3), padding="SAME"),
    )
    shortcut = stax.Conv(channels, (3, 3), strides, padding="SAME") if channel_mismatch else stax.Identity()
    return stax.serial(stax.FanOut(2), stax.parallel(main_path, shortcut), stax.FanInSum())


def branches(join):
    one = stax.serial(stax.Dense(6, b_std=0.1), stax.Relu(), stax.Dense(6))
    two = stax.serial(stax.Dense(6), stax.Erf(), stax.Dense(6, W_std=0.5))
    return stax.serial(stax.Dense(8), stax.FanOut(2), stax.parallel(one, two), join, stax.Dense(1))


def main(asarray):
    rng = np.random.default_rng(2)
    x1, x2 = (asarray(rng.standard_normal((n, 6, 6, 3))) for n in (2, 3))
    _, _, kernel_fn = stax.serial(
        stax.Conv(8, (3, 3), padding="SAME"),
        block(8, strides=(2, 2), channel_mismatch=True),
        block(8),
        stax.AvgPool((3, 3)),
        stax.Flatten(),
        stax.Dense(2, 1.0, 0.0),
    )
    u, v = x1[:, 0, 0, :], x2[:, 0, 0, :]
    return {
        "ntk": kernel_fn(x1, x2, "ntk"),
        "concatenated": branches(stax.FanInConcat())[2](u, v, "ntk"),
        "product": branches(stax.FanInProd())[2](u, v, "ntk"),
        "repeated": stax.repeat(stax.serial(stax.Dense(3), stax.Erf()), 4)[2](u, v, "ntk"),
    }
