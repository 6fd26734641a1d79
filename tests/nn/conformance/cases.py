"""All networks that the suite runs. A new layer joins by one line in CASES."""

from collections.abc import Callable

from ntk_array import nn
from ntk_array.nn.activations import NAMED

from ..strangers.difference import Difference
from ..strangers.gain import Gain
from ..strangers.shift import Shift
from ..strangers.square import Square
from .case import ANALYTIC, KINKED, LIKE_HARDTANH, WEIGHT_STD, Case, activated, around, mlp
from .images import ATTENTION, IMAGES
from .layers import GRAPHS, NORMALIZED, OTHERS, PADDED


def _nested(width: int, outputs: int) -> nn.Layer:
    inner = nn.Sequential(nn.Dense(width, 1.3, 0.2), nn.Sequential(nn.Sin(), nn.Dense(width + 1, 1.1)))
    return nn.Sequential(inner, nn.Erf(), nn.Dense(outputs, 0.7, 0.4))


def _bumpy(xp, x):
    return xp.sin(x) + 0.3 * x


def _bumpy_prime(xp, x):
    return xp.cos(x) + 0.3


def _bent(xp, x):
    return xp.where(x > 0, xp.sin(x), 0.3 * x)


def _bent_prime(xp, x):
    return xp.where(x > 0, xp.cos(x), 0.3 * xp.ones_like(x))


def _cubic(xp, x):
    return x - x**3 / 6


def _cubic_prime(xp, x):
    return 1 - x**2 / 2


def _cubic_dual(xp, k11, k12, k22):
    """By Isserlis: E[u v] - (E[u v^3] + E[u^3 v]) / 6 + E[u^3 v^3] / 36."""
    return k12 - (k11 + k22) * k12 / 2 + (9 * k11 * k22 * k12 + 6 * k12**3) / 36


def _cubic_dual_prime(xp, k11, k12, k22):
    return 1 - (k11 + k22) / 2 + (k11 * k22 + 2 * k12**2) / 4


# Functions of a module, not lambdas: a network of lambdas cannot be pickled.
BUMPY = nn.Elementwise(_bumpy, _bumpy_prime, name="bumpy")
CUBIC = nn.Elementwise(_cubic, _cubic_prime, name="cubic", dual_phi=_cubic_dual, dual_phi_prime=_cubic_dual_prime)
BENT = nn.Elementwise(_bent, _bent_prime, breakpoints=(0.0,), name="bent")


def _residual(activation: nn.Layer, blocks: int = 2) -> Callable[[int, int], nn.Layer]:
    """Residual blocks whose branches end in activations."""
    return lambda width, outputs: nn.Sequential(
        nn.Dense(width, 1.2, 0.4),
        *(nn.Residual(activated(width, activation)) for _ in range(blocks)),
        nn.Dense(outputs),
    )


def _sum(width: int, outputs: int) -> nn.Layer:
    branches = nn.Sum(activated(width, nn.ReLU()), activated(width, nn.GELU()), nn.Dense(width, 0.5, 0.2))
    return nn.Sequential(branches, nn.Dense(outputs, 1.1, 0.1))


def _sum_at_the_end(width: int, outputs: int) -> nn.Layer:
    deep = nn.Sequential(nn.Dense(width, 1.2, 0.2), nn.Erf(), nn.Dense(outputs))
    return nn.Sum(deep, nn.Dense(outputs, 0.7))


def _product(width: int, outputs: int) -> nn.Layer:
    gates = nn.Product(activated(width, nn.Sigmoid()), nn.Dense(width, 1.2, 0.3), nn.Dense(width, 0.8, 0.5))
    return nn.Sequential(gates, nn.Dense(outputs))


def _homogeneous_product(width: int, outputs: int) -> nn.Layer:
    return nn.Sequential(nn.Product(nn.Dense(width), nn.Sequential(nn.Dense(width), nn.ReLU())), nn.Dense(outputs))


def _concatenate(width: int, outputs: int) -> nn.Layer:
    sides = nn.Concatenate(activated(width, nn.ReLU()), activated(2 * width, nn.Tanh()), nn.Dense(width, 0.8))
    return nn.Sequential(nn.Dense(width, 1.3, 0.2), sides, nn.Dense(width, 1.2, 0.1), nn.Sin(), nn.Dense(outputs))


def _mixed(width: int, outputs: int) -> nn.Layer:
    """Composites in composites: a sum of a product and of a way around, whose inputs are not centred."""
    inner = nn.Product(activated(width, nn.Sigmoid()), nn.Dense(width, 0.9, 0.2))
    first = nn.Concatenate(activated(width, nn.ReLU()), nn.Dense(width))
    residual = nn.Residual(nn.Sequential(inner, nn.Dense(width)))
    return nn.Sequential(first, nn.Dense(width, 1.1, 0.2), residual, nn.Dense(outputs))


def _difference(width: int, outputs: int) -> nn.Layer:
    deep = nn.Sequential(activated(width, nn.Sin()), nn.Dense(width, 1.1))
    return nn.Sequential(Difference(deep, nn.Dense(width, 0.8)), nn.Tanh(), nn.Dense(outputs))


CASES = (
    *IMAGES,
    *ATTENTION,
    *GRAPHS,
    *PADDED,
    *NORMALIZED,
    *OTHERS,
    *(
        Case(
            name,
            mlp(1, activation=name, weight_std=WEIGHT_STD.get(name, 1.2), bias_std=0.3),
            smooth=name not in KINKED,
            analytic=name in ANALYTIC,
            limit=name not in LIKE_HARDTANH,
            ntk=name != "sign",
            rescaled=name != "hardtanh",
        )
        for name in NAMED
    ),
    Case("leaky_relu(0.2)", mlp(1, activation=nn.LeakyReLU(0.2)), smooth=False),
    Case("abrelu", mlp(1, activation=nn.ABReLU(-0.5, 1.2)), smooth=False),
    Case("erf(a, b, c)", mlp(1, activation=nn.Erf(1.2, 0.8, 0.5), bias_std=0.3)),
    Case("sin(a, b, c)", mlp(1, activation=nn.Sin(1.2, 0.8, 0.5), bias_std=0.3), analytic=True),
    Case("cos(a, b, c)", mlp(1, activation=nn.Cos(1.2, 0.8, 0.5), bias_std=0.3), analytic=True),
    Case("monomial(2)", mlp(1, activation=nn.Monomial(2)), analytic=True),
    Case(
        "polynomial",
        mlp(1, activation=nn.Polynomial([0.2, -0.5, 0.3, 0.1]), weight_std=0.8, bias_std=0.3),
        analytic=True,
    ),
    Case("hermite(3)", mlp(1, activation=nn.Hermite(3), weight_std=0.6, bias_std=0.3), analytic=True),
    Case("rectified_monomial(0)", mlp(1, activation=nn.RectifiedMonomial(0)), smooth=False, ntk=False),
    Case("rectified_monomial(2)", mlp(1, activation=nn.RectifiedMonomial(2)), smooth=False),
    Case("elementwise, smooth", mlp(1, activation=BUMPY, bias_std=0.1), analytic=True),
    Case("elementwise, bent", mlp(1, activation=BENT), smooth=False),
    Case("elementwise, closed form", mlp(2, activation=CUBIC, weight_std=0.8, bias_std=0.1), analytic=True, width=256),
    Case("dense", lambda _, outputs: nn.Dense(outputs), analytic=True),
    Case("dense, bias", lambda _, outputs: nn.Dense(outputs, 1.5, 0.5), analytic=True),
    Case("dense, standard", lambda _, outputs: nn.Dense(outputs, 1.5, 0.0, "standard"), analytic=True),
    Case("dense, standard, bias", lambda _, outputs: nn.Dense(outputs, 1.5, 0.5, "standard"), analytic=True),
    Case("nested", _nested, width=256),
    Case("mlp, one layer", mlp(1, activation="erf", weight_std=1.5, bias_std=0.1, readout_weight_std=0.8)),
    Case("mlp, two layers", mlp(2, activation="relu"), smooth=False, width=256),
    Case("mlp, standard", mlp(2, activation="erf", bias_std=0.2, parameterization="standard"), width=256),
    Case("mlp, standard, no bias", mlp(1, activation="relu", parameterization="standard"), smooth=False),
    Case("sum", _sum, smooth=False, width=512),
    Case("sum at the end", _sum_at_the_end, width=512),
    Case("residual, relu", _residual(nn.ReLU()), smooth=False, width=256),
    Case("residual, gelu", _residual(nn.GELU(), 1), width=256),
    Case("residual, silu", _residual(nn.SiLU(), 1), analytic=True, width=256),
    Case("product", _product, analytic=True, width=512),
    Case("product, homogeneous", _homogeneous_product, smooth=False, width=512),
    Case("concatenate", _concatenate, smooth=False, width=256),
    Case("mixed", _mixed, smooth=False, width=256),
    Case("stranger's layer", around(Gain()), analytic=True, width=512),
    Case("stranger's shift", around(nn.Sequential(Shift(0.5), nn.Sin())), analytic=True, width=512),
    Case("stranger's combinator", _difference, analytic=True, width=512),
    Case("stranger's activation", around(Square()), analytic=True, width=512),
    Case("mlp, three layers", mlp(3, activation="sin", weight_std=1.2, bias_std=0.3), analytic=True, width=256),
)
