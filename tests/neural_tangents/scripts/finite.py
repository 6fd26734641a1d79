"""Kernels of finite networks with given parameters: perceptrons, convolutions of all kinds and attention."""

import neural_tangents as nt
import numpy as np
from neural_tangents import stax


def drawn(asarray, rng, *shapes):
    return tuple(None if shape is None else asarray(rng.standard_normal(shape)) for shape in shapes)


def main(asarray):
    rng = np.random.default_rng(7)
    x1, x2 = (asarray(rng.standard_normal((n, 3))) for n in (3, 2))
    _, apply_fn, _ = stax.serial(
        stax.Dense(8, W_std=1.4, b_std=0.2),
        stax.FanOut(2),
        stax.parallel(stax.serial(stax.Relu(), stax.Dense(8), stax.Erf()), stax.Identity()),
        stax.FanInSum(),
        stax.LayerNorm(),
        stax.Dense(2, parameterization="standard", b_std=0.5),
    )

    def params():
        branch = [(), drawn(asarray, rng, (8, 8), None), ()]
        first, last = drawn(asarray, rng, (3, 8), (1, 8)), drawn(asarray, rng, (8, 2), (1, 2))
        return [first, (), [branch, ()], (), (), last]

    old, new = params(), params()
    full = nt.empirical_ntk_fn(apply_fn, trace_axes=(), implementation=1)(x1, x2, old)
    both = nt.empirical_kernel_fn(apply_fn)(x1, x2, None, old)
    vector = drawn(asarray, rng, (2, 2))[0]
    found = {
        "outputs": apply_fn(old, x1),
        "full": full,
        "trace": both.ntk,
        "nngp": both.nngp,
        "full nngp": nt.empirical_nngp_fn(apply_fn, trace_axes=())(x1, x2, old),
        "by outputs": nt.empirical_ntk_fn(apply_fn, trace_axes=(), diagonal_axes=(-1,))(x1, x2, old),
        "each with itself": nt.empirical_ntk_fn(apply_fn, trace_axes=(), diagonal_axes=(0,))(x1, None, old),
        "times a vector": nt.empirical_ntk_vp_fn(apply_fn, x1, x2, old)(vector),
        "linearized": nt.linearize(apply_fn, old)(new, x1),
        "of degree 1": nt.taylor_expand(apply_fn, old, 1)(new, x2),
    }
    y = drawn(asarray, rng, (3, 2))[0]
    square = nt.empirical_ntk_fn(apply_fn, trace_axes=())(x1, None, old)
    across = nt.empirical_ntk_fn(apply_fn, trace_axes=())(x2, x1, old)
    predict_fn = nt.predict.gradient_descent_mse(square, y, trace_axes=())
    found["train at t"], found["test at t"] = predict_fn(3.0, apply_fn(old, x1), apply_fn(old, x2), across)

    images = asarray(rng.standard_normal((2, 5, 4, 2)))
    _, convolve, _ = stax.serial(
        stax.ConvTranspose(3, (3, 2), strides=(2, 1), b_std=0.3),
        stax.Relu(),
        stax.ConvLocal(4, (3, 3), strides=(2, 1), padding="SAME", b_std=0.3),
        stax.Relu(),
        stax.Conv(3, (2, 3), padding="CIRCULAR"),
        stax.Flatten(),
        stax.Dense(2),
    )
    weights = [
        drawn(asarray, rng, (3, 2, 2, 3), (1, 1, 1, 3)),
        (),
        drawn(asarray, rng, (6, 5, 27, 4), (1, 6, 5, 4)),
        (),
        drawn(asarray, rng, (2, 3, 4, 3), None),
        (),
        drawn(asarray, rng, (90, 2), None),
    ]
    found["convolutions"] = convolve(weights, images)
    found["ntk of convolutions"] = nt.empirical_ntk_fn(convolve, trace_axes=())(images, None, weights)

    for padding in ("SAME", "CIRCULAR"):
        _, spread, _ = stax.serial(
            stax.ConvTranspose(3, (3, 2), strides=(2, 1), padding=padding), stax.GlobalSumPool(), stax.Dense(2)
        )
        own = [drawn(asarray, rng, (3, 2, 2, 3), None), (), drawn(asarray, rng, (3, 2), None)]
        gram = nt.empirical_ntk_fn(spread)(images, None, own)
        found |= {f"{padding} transposed": spread(own, images), f"ntk of {padding} transposed": gram}

    words = asarray(rng.standard_normal((2, 4, 3)))
    for name, options, query in (
        ("attention", {"linear_scaling": True, "W_key_std": 1.5, "pos_emb_type": "SUM"}, None),
        ("attention by roots", {"linear_scaling": False, "W_query_std": 1.5, "val_pos_emb": True}, (2, 6, 5)),
    ):
        kind = options.setdefault("pos_emb_type", "CONCAT")
        width = 6 if kind == "CONCAT" else 3
        layer = stax.GlobalSelfAttention(4, 5, 3, 2, b_std=0.1, W_pos_emb_std=0.6, **options)
        _, attend, _ = stax.serial(layer, stax.GlobalAvgPool(), stax.Dense(2))
        value = width if options.get("val_pos_emb") else 3
        own = drawn(asarray, rng, query, (2, width, 5), (2, value, 3), (6, 4), (1, 1, 4), (1, 4, 3))
        params_of = [own, (), drawn(asarray, rng, (4, 2), None)]
        found[name] = attend(params_of, words)
        found[f"ntk of {name}"] = nt.empirical_ntk_fn(attend, trace_axes=())(words, None, params_of)
    return found
