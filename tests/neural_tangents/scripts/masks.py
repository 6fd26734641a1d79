"""Sequences of several lengths: a number stands where none is left."""

import neural_tangents as nt
import numpy as np
from neural_tangents import stax

MASK = 100.0


def layers():
    branch = stax.serial(stax.Erf(), stax.Conv(16, (2,), padding="SAME", b_std=0.2))
    return stax.serial(
        stax.Conv(16, (3,), padding="SAME", W_std=1.3, b_std=0.3),
        stax.FanOut(2),
        stax.parallel(stax.Identity(), branch),
        stax.FanInSum(),
        stax.LayerNorm(),
        stax.GlobalSelfAttention(16, n_chan_key=8, n_chan_val=8, n_heads=2, linear_scaling=True, W_key_std=1.2),
        stax.Erf(),
        stax.AvgPool((2,), padding="SAME"),
        stax.GlobalAvgPool(),
        stax.Dense(2, b_std=0.1),
    )


def sequences(rng, n, lengths):
    x = rng.standard_normal((n, 6, 3))
    x[np.arange(6) >= np.asarray(lengths)[:, None]] = MASK
    return x


def main(asarray):
    rng = np.random.default_rng(5)
    x1, x2 = sequences(rng, 3, (6, 2, 4)), sequences(rng, 2, (3, 5))
    _, _, kernel_fn = layers()
    found = kernel_fn(asarray(x1), asarray(x2), ("nngp", "ntk", "cov1"), mask_constant=MASK)
    missing = (asarray(np.where(x == MASK, np.nan, x)) for x in (x1, x2))

    _, apply_fn, sum_fn = stax.serial(
        stax.Dense(8, b_std=0.5),
        stax.Relu(),
        stax.Conv(8, (3,), padding="SAME", b_std=0.3),
        stax.Relu(),
        stax.GlobalSumPool(),
        stax.Dense(2),
    )
    shapes = ((3, 8), (1, 1, 8)), ((3, 8, 8), (1, 1, 8)), ((8, 2), None)
    one, two, three = (tuple(None if s is None else asarray(rng.standard_normal(s)) for s in pair) for pair in shapes)
    params = [one, (), two, (), (), three]
    f = stax.unmask_fn(apply_fn)
    theta_times = nt.empirical_ntk_vp_fn(f, asarray(x1), asarray(x2), params, mask_constant=MASK)
    return {
        **dict(zip(("nngp", "ntk", "cov1"), found, strict=True)),
        "missing": kernel_fn(*missing, "ntk", mask_constant=np.nan),
        "sum": sum_fn(asarray(x1), asarray(x2), "ntk", mask_constant=MASK),
        "outputs": f(params, asarray(x1), mask_constant=MASK),
        "empirical": nt.empirical_ntk_fn(f, trace_axes=())(asarray(x1), asarray(x2), params, mask_constant=MASK),
        "product": theta_times(asarray(rng.standard_normal((2, 2)))),
        "linearized": nt.linearize(f, params)(params, asarray(x1), mask_constant=MASK),
    }
