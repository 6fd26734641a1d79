"""Networks on images and graphs against the values of another library, and one against its closed form written out."""

import json
from pathlib import Path

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn

from .networks import network

FROZEN = json.loads((Path(__file__).parent / "frozen/convolution.json").read_text())
"""Values by neural-tangents; made by ``python -m benchmarks.agreement``."""
NETWORKS = FROZEN["networks"]
COMPILED = ("2-D, relu", "2-D, rbf", "2-D, residual, strided")
"""Networks that run where each network is compiled first, which takes seconds."""


@pytest.mark.parametrize("given", NETWORKS, ids=[given["name"] for given in NETWORKS])
def test_kernels_are_those_of_neural_tangents(backend, given):
    compiled = backend.name in ("numpy-compiled", "jax")
    if compiled and given["name"] not in COMPILED:
        pytest.skip("compiling every network takes long; three of them show that compiled ones agree")
    x = np.random.default_rng(given["seed"]).standard_normal((5, *given["shape"]))
    if given["layers"][0][0] == "GraphNetwork":
        nodes, width = given["shape"]
        x[..., width - nodes - 1] = 1.0  # marks
    net = network(given["layers"])
    kinds = {"ntk": ntk.InfiniteNTK} if compiled else {"ntk": ntk.InfiniteNTK, "nngp": ntk.InfiniteNNGP}
    for name, kind in kinds.items():
        wanted = np.asarray(given[name])
        backend.close(kind(net)(backend.array(x[:2]), backend.array(x[2:])), wanted, factor=100)


def test_values_that_differ_near_an_edge_with_zeros(backend):
    """E(u - v)^2 of positions inside and outside of an image, which sin and cos depend on, is not zero.

    Rbf makes exp(-gamma |x - x'|^2 / d) of patches; GlobalAvgPool the mean over pairs of them.
    """
    x = np.random.default_rng(0).standard_normal((3, 4, 1))
    padded = np.pad(x[..., 0], ((0, 0), (1, 1)))
    patches = np.stack([padded[:, i : i + 4] for i in range(3)], axis=-1)
    apart = np.sum((patches[:, None, :, None] - patches[None, :, None, :]) ** 2, axis=-1) / 3
    wanted = np.mean(np.exp(-0.7 * apart), axis=(2, 3))
    net = nn.Sequential(nn.Conv(1, (3,)), nn.Rbf(0.7), nn.GlobalAvgPool(), nn.Dense(1))
    backend.close(ntk.InfiniteNNGP(net)(backend.array(x)), wanted, factor=20)
