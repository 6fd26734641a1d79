"""Self-attention over positions, and layer normalisation."""

import numpy as np
from neural_tangents import stax


def kernel(attention, x1, x2):
    _, _, kernel_fn = stax.serial(
        stax.Dense(16),
        stax.Erf(),
        stax.Dense(16, b_std=0.1),
        attention,
        stax.LayerNorm(),
        stax.GlobalAvgPool(),
        stax.Dense(1),
    )
    return kernel_fn(x1, x2, "ntk")


def main(asarray):
    rng = np.random.default_rng(3)
    x1, x2 = (asarray(rng.standard_normal((n, 5, 4))) for n in (3, 2))
    softmax = stax.GlobalSelfAttention(16, 8, 8, 2, W_key_std=2.0, W_value_std=1.2, b_std=0.1)
    identity = stax.GlobalSelfAttention(16, 8, 8, 2, linear_scaling=False, attention_mechanism="IDENTITY")
    embedded = stax.GlobalSelfAttention(
        16, 8, 8, 2, pos_emb_type="SUM", W_pos_emb_std=0.7, val_pos_emb=True, attention_mechanism="RELU"
    )
    beside = stax.GlobalSelfAttention(16, 8, 8, 2, pos_emb_type="CONCAT", n_chan_pos_emb=8)
    return {
        "softmax": kernel(softmax, x1, x2),
        "identity": kernel(identity, x1, x2),
        "embedded": kernel(embedded, x1, x2),
        "beside": kernel(beside, x1, x2),
    }
