"""Convolutional networks with pooling, on images: kernels at infinite width, in batches."""

import neural_tangents as nt
import numpy as np
from neural_tangents import stax


def main(asarray):
    rng = np.random.default_rng(1)
    x1, x2 = (asarray(rng.standard_normal((n, 6, 5, 3))) for n in (2, 4))
    _, _, pooled = stax.serial(
        stax.Conv(32, (3, 3), padding="SAME", W_std=1.3, b_std=0.1),
        stax.Relu(),
        stax.AvgPool((2, 2), strides=(2, 1), padding="SAME"),
        stax.Conv(32, (2, 2), strides=(1, 2)),
        stax.Relu(),
        stax.GlobalAvgPool(),
        stax.Dense(10),
    )
    _, _, flat = stax.serial(
        stax.Conv(32, (3, 3), padding=stax.Padding.CIRCULAR.name),
        stax.Erf(),
        stax.SumPool((2, 2)),
        stax.Flatten(),
        stax.Dense(1, b_std=0.2),
    )
    _, _, shaped = stax.serial(
        stax.ConvTranspose(8, (3, 3), strides=(2, 2), padding="SAME"),
        # Behind an odd number of convolutions, neural-tangents resizes images that are not square by wrong axes.
        stax.Conv(8, (1, 2), padding="SAME"),
        stax.Relu(),
        stax.ConvLocal(8, (3, 2), padding="SAME", b_std=0.1),
        stax.Relu(),
        stax.ImageResize((-1, 13, 12, -1), "linear"),
        stax.ImageResize((-1, 9, 10, -1), "linear", antialias=False),
        stax.ImageResize((-1, 10, 7, -1), "nearest"),
        stax.Index(stax.Slice[:, 1:9, 3]),
        stax.Conv(4, (3,)),
        stax.Flatten(),
        stax.Dense(1),
    )
    batched = nt.batch(pooled, batch_size=2)
    return {
        "pooled": batched(x1, x2, "ntk"),
        "pooled nngp": pooled(x1, x2, "nngp"),
        "flat": flat(x1, x2, "ntk"),
        "shaped": shaped(x1, x2, "ntk"),
    }
