"""Deep networks on CuPy: one kernel that loops over equal layers, whose source runs on the host and through NVRTC."""

import re
import sys
from types import SimpleNamespace
from typing import ClassVar

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._formula import compilers, numba_loops

from .._formula import conformance, cuda_on_host

WITH_BIASES = {"weight_std": 2**0.5, "bias_std": 0.1}


def mlp(depth, **options):
    return nn.mlp((1,) * depth, 1, **(WITH_BIASES | options))


def block(*layers):
    return nn.Residual(nn.Sequential(*layers))


dense = nn.Dense(1, **WITH_BIASES)
NETS = {
    "relu": mlp(20),
    "three layers": mlp(3),
    "leaky": mlp(9, activation=nn.LeakyReLU(0.3)),
    "linear": nn.Sequential(*[dense] * 7),
    # The inputs have a sine, and what no kink is behind does not: the first layer is not like the others.
    "smooth": mlp(8, activation="erf"),
    "residual": nn.Sequential(dense, *[block(nn.ReLU(), dense)] * 6, nn.ReLU(), dense),
    "four steps and a skip": nn.Sequential(dense, *[block(nn.ReLU(), dense, nn.Abs(), dense)] * 4, dense),
    "eight steps": nn.Sequential(dense, *[block(*(nn.ReLU(), dense) * 3)] * 3, dense),
    # What the skip around all of them holds is needed when they are done, and starts them.
    "a skip around a loop": nn.Sequential(dense, nn.ReLU(), dense, block(*(nn.ReLU(), dense) * 5), nn.ReLU(), dense),
    "means": nn.Sequential(dense, nn.ReLU(), *[block(dense, nn.ReLU())] * 5, dense),
    "widths and the standard parameterization": nn.mlp((7, 5, 5, 5, 5, 3), 1, parameterization="standard", **WITH_BIASES),
    "two loops": nn.Sequential(dense, *(nn.ReLU(), dense) * 4, *(nn.Abs(), dense) * 4),
    "a table in between": nn.Sequential(dense, *(nn.ReLU(), dense) * 3, nn.Tanh(), dense, *(nn.ReLU(), dense) * 3),
}


class Launched(conformance.HostKernel):
    """Notes what it launches: how many arrays of a block each kernel reads and writes."""

    seen: ClassVar[list] = []

    def __init__(self, inputs, outputs, body, name):
        super().__init__(inputs, outputs, body, name)
        self.name = name

    def __call__(self, *given):
        found = super().__call__(*given)
        read = sum(np.shape(a) == found[0].shape for a, own in zip(given, self.inputs, strict=True) if not own.raw)
        self.seen.append((self.name, read, len(found)))
        return found


@pytest.fixture
def stacks(monkeypatch):
    """Arrays of NumPy take the way of those of CuPy. What this gives has the launches of stacks so far."""
    if missing := cuda_on_host.missing():
        pytest.skip(missing)
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    monkeypatch.setitem(compilers.COMPILERS, "numba", compilers.COMPILERS["cupy"])
    cupy = SimpleNamespace(ElementwiseKernel=Launched, ndarray=type("ndarray", (), {}))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(Launched, "seen", [])
    return lambda: [own for name, *own in Launched.seen if name == "ntk_array_stack"]


def inputs(dtype="float64"):
    """Among them equal, nearly equal and opposite ones, a multiple and zeros."""
    x = np.random.default_rng(0).normal(size=(11, 4))
    x[1], x[2], x[3], x[4] = x[0], -x[0], x[0] * (1 + 1e-4 * x[5]), 2.0 * x[0]
    x[5] = 0.0
    return x.astype(dtype)


def one_by_one(kernel, x1, x2):
    """Operation by operation, in float64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba_loops, "ENOUGH", 2**30)
        return kernel(x1.astype(float), x2.astype(float))


def error(found, expected):
    scale = np.sqrt(np.diag(expected))
    return np.max(np.abs(found - expected[:, : found.shape[1]]) / scale[:, None] / scale[: found.shape[1]])


@pytest.mark.host
@pytest.mark.parametrize("kind", [ntk.InfiniteNTK, ntk.InfiniteNNGP])
@pytest.mark.parametrize("name", NETS)
def test_a_stack_gives_what_the_layers_give(name, kind, stacks):
    kernel = kind(NETS[name])
    for dtype, tolerance in (("float64", 2e-14), ("float32", 5e-6)):
        x = inputs(dtype)
        found = kernel(x, x[:7].copy())
        assert found.dtype == dtype
        assert error(found, one_by_one(kernel, x, x)) < tolerance
        assert stacks()
