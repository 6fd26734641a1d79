"""How often the host waits for a device: numbers that are read from it, and shapes that depend on its numbers.

A wait costs little where it is one for a call, and much where it is one for each tile: nothing is queued meanwhile.
"""

import sys
from collections import Counter

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array.gram import assemble, plan
from ntk_array.operators import Derivative, OperatorKernel, Value

strict = pytest.importorskip("array_api_strict", reason="a device that is not the host, whose reads can be counted")
pytestmark = pytest.mark.host
DEVICE = strict.Device("device1")
N = 16

READS = (
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
    "__complex__",
    "__array__",
    "__dlpack__",
    "__iter__",
    "to_device",
)
SHAPED = ("nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values")
"""Functions whose results have as many entries as the numbers say."""


@pytest.fixture
def waits(monkeypatch):
    """What the host waited for, by the name of the method or function."""
    found, array = Counter(), type(strict.asarray(0.0))

    def counted(owner, name, waits=lambda x, *args: True):
        own = getattr(owner, name)

        def call(x, *args, **kwargs):
            found[name] += x.device == DEVICE and waits(x, *args)
            return own(x, *args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    def masks(x, key):
        keys = key if isinstance(key, tuple) else (key,)
        return any(isinstance(one, array) and one.dtype == strict.bool for one in keys)

    for name in READS:
        if hasattr(array, name):
            counted(array, name)
    for name in SHAPED:
        counted(strict, name)
    counted(array, "__getitem__", masks)
    return found


@pytest.fixture
def side(monkeypatch):
    """Tiles of so many inputs along each axis, as on an accelerator."""
    module = sys.modules["ntk_array.gram.plan"]  # the package has a function of this name
    monkeypatch.setattr(module, "on_accelerator", lambda home: True)
    monkeypatch.setattr(module, "SMALL", 1)
    monkeypatch.setattr(module, "ENOUGH", 1)
    return lambda n, numbers: monkeypatch.setattr(module, "ACCELERATOR_ENTRIES", n * n * numbers)


def images(last):
    layers = (nn.Conv(1, (3, 3), bias_std=0.1), nn.ReLU(), nn.Conv(1, (3, 3)), nn.ReLU(), last)
    return nn.Sequential(*layers, nn.Dense(1))


def operators(kernel):
    return OperatorKernel(kernel, (Value(), Derivative(1)))


def empirical(outputs="trace", layers=(), shape=(30,)):
    net = nn.Sequential(*layers, nn.Dense(7, bias_std=0.1), nn.Tanh(), nn.Dense(3))
    return ntk.EmpiricalNTK(net, net.init(0, like=strict.zeros((1, *shape), device=DEVICE)), outputs)


FLAT, IMAGES = (30,), (3, 2, 12)
CASES = {
    # Which angles are small, if any, is asked of each tile.
    "zonal": (lambda: ntk.InfiniteNTK(nn.mlp((1, 1), 1)), FLAT, 1),
    "biases": (lambda: ntk.InfiniteNTK(nn.mlp((1, 1), 1, bias_std=0.1)), FLAT, 1),
    "tabulated": (lambda: ntk.InfiniteNTK(nn.mlp((1, 1), 1, activation="tanh", bias_std=0.1)), FLAT, 1),
    "sum": (lambda: ntk.InfiniteNTK(nn.mlp((1,), 1, bias_std=0.1)) + ntk.InfiniteNNGP(nn.mlp((1,), 1)), FLAT, 2),
    "images, mean": (lambda: ntk.InfiniteNTK(images(nn.GlobalAvgPool())), IMAGES, 1),
    # It is asked of each position by itself.
    "images, flattened": (lambda: ntk.InfiniteNTK(images(nn.Flatten())), IMAGES, 6),
    "empirical": (empirical, FLAT, 0),
    "empirical, full": (lambda: empirical("full"), FLAT, 0),
    "empirical, class-wise": (lambda: empirical("classwise"), FLAT, 0),
    "empirical, images": (lambda: empirical("trace", (nn.Conv(4, (3, 3)), nn.ReLU(), nn.Flatten()), IMAGES), IMAGES, 0),
    "empirical, operators": (lambda: operators(empirical(shape=(2,))), (2,), 0),
}
"""A kernel, the shape of its inputs, and how many waits there may be for each tile."""


@pytest.mark.parametrize("whole", [False, True], ids=["assemble", "call"])
@pytest.mark.parametrize("name", CASES)
def test_waits_do_not_grow_with_the_tiles(waits, side, name, whole):
    make, shape, each = CASES[name]
    # So many features that no angle is small.
    x1, x2 = (strict.asarray(a, device=DEVICE) for a in np.random.default_rng(0).normal(size=(2, N, *shape)))
    kernel, found = make(), []
    if isinstance(kernel, OperatorKernel):
        x1, x2 = (kernel.rows(x[: N // 2, :], x[N // 2 :, :]) for x in (x1, x2))
    numbers = {"scalar": 1, "classwise": 3, "full": 9}[kernel.kind]
    for n, tiles in ((8, 4), (4, 16)):
        side(n, numbers)
        assert len(plan(kernel, x1, x2)) == tiles
        waits.clear()
        if whole:
            kernel(x1, x2)
        else:
            assemble(kernel, x1, x2)
        found.append(sum(waits.values()))
    # Inputs are validated, tables ask for the range of variances, and pooling looks at each image by itself.
    assert 2 <= found[0] - 4 * each <= (20 + 2 * N if name == "images, mean" else 20)
    assert found[1] - found[0] <= 12 * each, waits
