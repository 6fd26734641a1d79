"""Networks on graphs: dense and sparse patterns of edges."""

import numpy as np
from neural_tangents import stax


def layers(aggregate):
    return stax.serial(
        aggregate,
        stax.Dense(16),
        stax.Relu(),
        aggregate,
        stax.Dense(16, b_std=0.1),
        stax.Relu(),
        stax.GlobalSumPool(),
        stax.Dense(1),
    )


def main(asarray):
    rng = np.random.default_rng(4)
    x1, x2 = (asarray(rng.standard_normal((n, 6, 3))) for n in (3, 2))
    edges = [rng.integers(0, 6, size=(n, 9, 2)) for n in (3, 2)]
    dense = [np.zeros((n, 6, 6)) for n in (3, 2)]
    for pattern, of_batch in zip(dense, edges, strict=True):
        for i, of_graph in enumerate(of_batch):
            np.add.at(pattern[i], (of_graph[:, 0], of_graph[:, 1]), 1.0)
    patterns = tuple(asarray(pattern) for pattern in dense)

    _, apply_fn, kernel_fn = layers(stax.Aggregate(aggregate_axis=1, batch_axis=0, channel_axis=-1))
    weights = [asarray(rng.standard_normal(shape)) for shape in ((3, 16), (16, 16), (16, 1))]
    bias = asarray(rng.standard_normal((1, 1, 16)))
    params = [(), (weights[0], None), (), (), (weights[1], bias), (), (), (weights[2], None)]
    _, _, sparse_fn = layers(stax.Aggregate(aggregate_axis=1, implementation="SPARSE"))
    return {
        "outputs": apply_fn(params, x1, pattern=patterns[0]),
        "ntk": kernel_fn(x1, x2, "ntk", pattern=patterns),
        "nngp": kernel_fn(x1, x2, "nngp", pattern=patterns),
        "sparse": sparse_fn(x1, x2, "ntk", pattern=tuple(asarray(e) for e in edges)),
    }
