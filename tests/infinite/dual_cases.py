"""The activations whose duals are tested, under the names of their oracles."""

from ntk_array import nn

CLOSED_FORM = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.25),
    "abs": nn.Abs(),
    "erf": nn.Erf(),
    "gelu": nn.GELU(),
    "sin": nn.Sin(),
    "cos": nn.Cos(),
}


def hard_tanh(*breakpoints):
    return nn.Elementwise(
        lambda xp, x: xp.clip(x, min=-1.0, max=1.0),
        lambda xp, x: xp.where(xp.abs(x) < 1, xp.ones_like(x), xp.zeros_like(x)),
        breakpoints,
        "hard_tanh",
    )


NUMERICAL = {
    "elu": nn.ELU(),
    "bent": nn.Elementwise(
        lambda xp, x: xp.clip(x, min=0.0) + 0.25 * xp.sin(x),
        lambda xp, x: xp.where(x > 0, xp.ones_like(x), xp.zeros_like(x)) + 0.25 * xp.cos(x),
        (0.0,),
        "bent",
    ),
    "hard_tanh": hard_tanh(-1.0, 1.0),
    "tanh": nn.Tanh(),
    "tanh_8x": nn.Elementwise(lambda xp, x: xp.tanh(8 * x), lambda xp, x: 8 * (1 - xp.tanh(8 * x) ** 2)),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(),
}

ACTIVATIONS = CLOSED_FORM | NUMERICAL
