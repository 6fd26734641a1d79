"""Random networks: what must agree whatever the layers are. More of them by ``nox -s random``."""

import math
import os

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._formula import numba_loops
from ntk_array.nn.activations.names import activation_named

pytestmark = pytest.mark.host
NETWORKS = int(os.environ.get("NTK_ARRAY_RANDOM", "24"))
CLOSED = ("relu", "abs", "erf", "gelu", "sin", "cos", "identity")
TABLES = ("elu", "tanh", "silu")
"""Slow to make: one network in forty has one."""


def drawn(seed):
    """A network, two batches of inputs and whether they are float32."""
    rng = np.random.default_rng(seed)
    depth, parameterization = int(rng.integers(1, 6)), str(rng.choice(["ntk", "standard"]))
    layers = []
    for _ in range(depth):
        weight_std, bias_std = float(np.exp(rng.normal(0.3, 0.4))), float(rng.choice([0.0, 0.3, 1.0]))
        layers.append(nn.Dense(int(rng.integers(2, 9)), weight_std, bias_std, parameterization))
        layers.append(nn.LeakyReLU(0.2) if rng.random() < 0.1 else activation_named(str(rng.choice(CLOSED))))
    if seed % 40 == 0:
        layers[1] = activation_named(str(rng.choice(TABLES)))
    net = nn.Sequential(*layers, nn.Dense(1, 1.0, 0.0, parameterization))
    x = rng.normal(size=(7, int(rng.integers(1, 9)))) * float(rng.choice([0.1, 1.0, 3.0]))
    x[5], x[6] = x[0] * (1.0 + 1e-9), -2.0 * x[1]  # nearly equal inputs, and parallel ones
    return net, x, seed % 3 == 0


def tolerance(net, single):
    """R12: relative to sqrt(K(x, x) K(x', x'))."""
    layers = len(net.layers)
    return 1e-6 * layers if single else 4e-14 * layers


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_whatever_the_layers_are(seed, monkeypatch):
    net, x, single = drawn(seed)
    x = x.astype(np.float32) if single else x
    for kind in (ntk.InfiniteNTK, ntk.InfiniteNNGP):
        kernel = kind(net)
        diagonal = kernel.diag(x)
        root = np.sqrt(diagonal.astype(np.float64))
        scale, allowed = np.maximum(np.outer(root, root), 1e-300), tolerance(net, single)

        def close(one, two, scale=scale, allowed=allowed):
            error = np.max(np.abs(one.astype(np.float64) - two) / scale)
            assert error <= allowed, (error, net)

        block = kernel(x)
        assert np.isfinite(block).all()
        np.testing.assert_array_equal(block, block.T)
        np.testing.assert_allclose(np.diagonal(block), diagonal, rtol=4 * np.finfo(x.dtype).eps)
        close(kernel(x, x.copy()), block)
        close(kernel(x[3:], x[:3]).T, block[:3, 3:], scale[:3, 3:])
        if single:
            close(block, kind(net)(x.astype(np.float64)))
        if seed % 8 == 1:  # a second or two of compilation for each layer that is new
            with monkeypatch.context() as compiled:
                compiled.setattr(numba_loops, "ENOUGH", 0)
                close(kind(net)(x, x.copy()), block)


@pytest.mark.parametrize("seed", range(1, NETWORKS, 4))
def test_derivatives_are_differences(seed):
    net, x, _ = drawn(seed)
    kernel, h = ntk.InfiniteNTK(net), 1e-5
    for name in sorted(kernel.hyperparameters):
        by = name.removeprefix("log_")
        more, less = (kernel.rescaled(**{by: math.exp(s * h)})(x) for s in (1, -1))
        expected = (more - less) / (2 * h)
        error = np.max(np.abs(kernel.gradient(x, wrt=name)[name] - expected))
        assert error <= 1e-6 * np.max(np.abs(more)), (error, net)
