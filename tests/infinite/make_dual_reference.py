"""Writes dual_reference.json, which test_dual reads: python -m tests.infinite.make_dual_reference (some minutes).

Every number has 20 digits, of which about 19 are right.
"""

import json
from itertools import product
from multiprocessing import Pool
from pathlib import Path

import mpmath
from mpmath import mp, mpf

from .dual_oracle import DIGITS, ORACLES, expectations, variance

FILE = Path(__file__).with_name("dual_reference.json")

ANGLES = (0.05, 0.4, 1.3, 1.6, 2.4, 3.1)
STDS = ((1.0, 1.0), (0.1, 0.1), (2.5, 2.5), (0.3, 2.5), (2.5, 0.3), (0.02, 1.0))
OTHER_STDS = {
    "tanh": (*STDS, (5.0, 5.0), (1.0, 5.0)),
    "tanh_8x": ((1.0, 1.0), (0.3, 1.0), (1.0, 0.3), (0.1, 0.1)),
    "sin": ((1.0, 1.0), (0.1, 0.1), (0.3, 1.5)),  # at larger variances there is nothing left of exp(-K)
    "cos": ((1.0, 1.0), (0.1, 0.1), (0.3, 1.5)),
}

INPUTS = ((1.0, 0.5, -0.3), (0.2, -1.0, 1.1), (2.0, 1.5, 0.4), (-0.2, 0.1, 0.1))
NETWORKS = (  # activation, weight_std, bias_std, depth
    ("tanh", 1.5, 0.3, 3),
    ("elu", 1.2, 0.2, 3),
    ("relu", 2**0.5, 0.25, 3),
    ("hard_tanh", 1.4, 0.1, 2),
    ("tanh", 5.0, 0.5, 2),
)


def text(x: mpf) -> str:
    return mpmath.nstr(x, 20)


def dual_row(name: str, s1: float, s2: float, t: float) -> dict:
    """Both expectations at one point, and the scales sqrt(K(x,x) K(x',x')) that their errors are relative to."""
    value, slope = expectations(ORACLES[name], s1, s2, t)
    value_scale, slope_scale = (
        mpmath.sqrt(a * b) for a, b in zip(variance(ORACLES[name], s1), variance(ORACLES[name], s2), strict=True)
    )
    parts = {"value": value, "slope": slope, "value_scale": value_scale, "slope_scale": slope_scale}
    return {"activation": name, "s1": s1, "s2": s2, "t": t} | {key: text(x) for key, x in parts.items()}


def network_row(name: str, weight_std: float, bias_std: float, depth: int, i: int, j: int) -> dict:
    """NNGP and NTK of a whole network between INPUTS[i] and INPUTS[j]: Jacot et al. 2018, Theorem 1."""
    phi = ORACLES[name]
    with mp.workdps(DIGITS):
        w2, b2 = mpf(weight_std) ** 2, mpf(bias_std) ** 2
        one, two = ([mpf(v) for v in INPUTS[k]] for k in (i, j))
        dot = lambda a, b: mpmath.fdot(a, b) / len(a)  # noqa: E731
        k12, k11, k22 = (w2 * dot(a, b) + b2 for a, b in ((one, two), (one, one), (two, two)))
        ntk = k12
        ntk11, ntk22 = k11, k22
        for _ in range(depth):
            s1, s2 = mpmath.sqrt(k11), mpmath.sqrt(k22)
            (k11, slope11), (k22, slope22) = variance(phi, s1), variance(phi, s2)
            k12, slope12 = (k11, slope11) if i == j else expectations(phi, s1, s2, mpmath.acos(k12 / (s1 * s2)))
            k12, k11, k22 = (w2 * k + b2 for k in (k12, k11, k22))
            ntk = k12 + w2 * ntk * slope12
            ntk11, ntk22 = k11 + w2 * ntk11 * slope11, k22 + w2 * ntk22 * slope22
        parts = {"nngp": k12, "ntk": ntk, "nngp_scale": mpmath.sqrt(k11 * k22), "ntk_scale": mpmath.sqrt(ntk11 * ntk22)}
    setting = {"activation": name, "weight_std": weight_std, "bias_std": bias_std, "depth": depth, "i": i, "j": j}
    return setting | {key: text(x) for key, x in parts.items()}


def main() -> None:
    points = [(name, *std, t) for name in ORACLES for std, t in product(OTHER_STDS.get(name, STDS), ANGLES)]
    pairs = [(i, j) for i in range(len(INPUTS)) for j in range(i, len(INPUTS))]
    with Pool(2) as pool:
        networks = pool.starmap_async(network_row, [(*net, *pair) for net in NETWORKS for pair in pairs], chunksize=1)
        rows = pool.starmap(dual_row, points, chunksize=4)
        reference = {"inputs": INPUTS, "duals": rows, "networks": networks.get()}
    lines = [f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in part) + "\n]" for key, part in reference.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
