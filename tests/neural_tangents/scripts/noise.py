"""Dropout, layer normalisation and every activation."""

import numpy as np
from neural_tangents import stax

ACTIVATIONS = {
    "relu": stax.Relu(),
    "abrelu": stax.ABRelu(-0.3, 0.8),
    "leaky": stax.LeakyRelu(0.2),
    "abs": stax.Abs(),
    "erf": stax.Erf(1.5, 0.7),
    "shifted erf": stax.Erf(1.5, 0.7, 0.4),
    "sigmoid": stax.Sigmoid_like(),
    "gelu": stax.Gelu(),
    "sin": stax.Sin(1.2, 0.8, 0.3),
    "cos": stax.Cos(1.2, 0.8, 0.3),
    "rbf": stax.Rbf(0.6),
    "exp": stax.Exp(0.7, 0.4),
    "exp normalized": stax.ExpNormalized(0.9, -0.8),
    "gaussian": stax.Gaussian(1.3, -0.6),
    "gabor": stax.Gabor(),
    "monomial": stax.Monomial(3),
    "rectified": stax.RectifiedMonomial(2),
    "polynomial": stax.Polynomial([0.5, -1.0, 0.2, 0.3]),
}


def main(asarray):
    rng = np.random.default_rng(8)
    x1, x2 = (asarray(rng.standard_normal((n, 4))) for n in (3, 2))
    found = {}
    for name, activation in ACTIVATIONS.items():
        _, _, kernel_fn = stax.serial(stax.Dense(1, b_std=0.2), activation, stax.Dense(1, parameterization="standard"))
        found[name] = kernel_fn(x1, x2, "ntk")
    _, _, sign = stax.serial(stax.Dense(1), stax.Sign(), stax.Dense(1))
    _, _, hermite = stax.serial(stax.Dense(1), stax.LayerNorm(eps=0.0), stax.Hermite(3), stax.Dense(1))
    found |= {"sign": sign(x1, x2, "nngp"), "hermite": hermite(x1, x2, "ntk")}

    def dropped(mode):
        return stax.serial(
            stax.Dense(8),
            stax.LayerNorm(axis=-1),
            stax.Gelu(),
            stax.Dropout(0.8, mode),
            stax.Dense(8, b_std=0.1),
            stax.Dropout(0.6, mode),
            stax.Dense(1),
        )[2]

    for mode in ("train", "test"):
        found |= {f"dropout in {mode}": dropped(mode)(x1, None, "ntk"), f"{mode} across": dropped(mode)(x1, x2, "ntk")}

    def nngp_fn(cov12, var1, var2):
        return 2 * cov12**2 + var1 * var2

    def d_nngp_fn(cov12, var1, var2):
        return 4 * cov12

    def square(x):
        return x**2

    _, _, given = stax.serial(stax.Dense(1), stax.Elementwise(square, nngp_fn, d_nngp_fn), stax.Dense(1))
    _, _, integrated = stax.serial(
        stax.Dense(1), stax.ElementwiseNumerical(square, deg=25, df=lambda x: 2 * x), stax.Dense(1)
    )
    return found | {"elementwise": given(x1, x2, "ntk"), "integrated": integrated(x1, x2, "ntk")}
