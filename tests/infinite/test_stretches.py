"""Deep networks on CuPy: one kernel that loops over equal layers, whose source runs on the host and through NVRTC."""

import re
from typing import ClassVar

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._formula import numba_loops
from ntk_array.nn.activations import base

from .._formula import conformance, cuda_on_host
from ..kernels.exact_networks import error, exact

WEIGHT, BIAS = 1.4, 0.3
STDS = {"weight_std": WEIGHT, "bias_std": BIAS}


def mlp(depth, **options):
    return nn.mlp((1,) * depth, 1, **(STDS | options))


def residual(*layers):
    return nn.Residual(nn.Sequential(*layers))


dense, relu = nn.Dense(1, **STDS), nn.ReLU()
unlike = [part for k in range(5) for part in (nn.LeakyReLU(0.1 * k), dense)]
NETS = {
    # The last layer is not like the others: it has no angle.
    "relu": (mlp(20), 1),
    "linear": (nn.Sequential(*[dense] * 7), 1),
    # The inputs have a sine, and what no kink is behind has none: the first layer is not like the others.
    "smooth": (mlp(8, activation="erf"), 1),
    # Blocks of four steps, and a skip around all of them, which reads what they start from.
    "residual": (nn.Sequential(dense, residual(*[residual(relu, dense)] * 4, relu, dense), relu, dense), 1),
    "means": (nn.Sequential(dense, relu, *[residual(dense, relu)] * 5, dense), 1),
    "widths": (nn.mlp((7, 5, 5, 5, 3), 1, parameterization="standard", **STDS), 1),
    "two loops": (nn.Sequential(dense, *(relu, dense) * 4, *(nn.Abs(), dense) * 4), 1),
    "a table in between": (nn.Sequential(dense, *(relu, dense) * 3, nn.Tanh(), dense, *(relu, dense) * 3), 2),
    # Twelve steps, of which none is like another, run by six.
    "all different": (nn.Sequential(dense, *unlike, nn.Abs()), 2),
}
"""Networks, and how many kernels they take."""
ON_HOST = ("smooth", "residual", "means", "widths", "a table in between")


def listed(name):
    return [kernel for kernel in Noted.launched if kernel.name == name]


class Noted:
    """In place of cupy.ElementwiseKernel: notes what is launched, and gives zeros."""

    launched: ClassVar[list] = []

    def __init__(self, inputs, outputs, body, name):
        self.given, self.made = conformance.Parameter.listed(inputs), conformance.Parameter.listed(outputs)
        self.texts, self.name = (inputs, outputs, body), name

    def __call__(self, *given):
        self.launched.append(self)
        whole = [a for a, own in zip(given, self.given, strict=True) if own.kind == "T" and not own.raw]
        shape = np.broadcast_shapes(*(a.shape for a in whole))
        assert self.name != "ntk_array_stack" or all(a.shape == shape for a in whole)
        return [np.zeros(shape, whole[0].dtype) for _ in self.made]


class NotedRaw:
    """In place of cupy.RawKernel: notes what is launched, and leaves zeros."""

    def __init__(self, code, name, options=()):
        self.code, self.name = code, name

    def __call__(self, grid, block, arrays, *, shared_mem):
        Noted.launched.append(self)
        arrays[-1][...] = 0.0


@pytest.fixture
def noted(monkeypatch):
    monkeypatch.setattr(Noted, "launched", [])
    cuda_on_host.on_cupys_way(monkeypatch, Noted, NotedRaw)
    monkeypatch.setattr(base, "ACCURATE", np.inf)  # of tables that are zeros here
    yield
    cuda_on_host.forget_kernels()


def inputs(dtype="float64"):
    """Among them equal, nearly equal and opposite ones, a multiple and zeros."""
    x = np.random.default_rng(0).normal(size=(9, 4))
    x[1], x[2], x[3], x[4] = x[0], -x[0], x[0] * (1 + 1e-4 * x[5]), 2.0 * x[0]
    x[5] = 0.0
    return x.astype(dtype)


@pytest.mark.host
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2e-15), ("float32", 1e-6)])
def test_twenty_layers_are_those_of_mpmath(dtype, tolerance, on_host):
    x = inputs(dtype)
    found = ntk.InfiniteNTK(mlp(20))(x, x[:5].copy())
    assert found.dtype == dtype
    assert error(found, exact(mlp(20), x)[1].astype(np.float64)) < tolerance


@pytest.mark.host
@pytest.mark.parametrize("name", ON_HOST)
def test_a_stack_gives_what_the_layers_give(name, on_host, monkeypatch):
    """Operation by operation, on NumPy."""
    x, kernel = inputs(), ntk.InfiniteNTK(NETS[name][0])
    found = kernel(x, x[:7].copy())
    monkeypatch.setattr(numba_loops, "ENOUGH", 2**30)
    assert error(found, kernel(x, x.copy())) < 1e-14


@pytest.mark.host
@pytest.mark.parametrize("name", NETS)
def test_a_block_is_read_and_written_by_few_kernels(name, noted):
    """However many layers are alike, each kernel reads at most k12, the NTK and the sine, and the last writes one."""
    net, count = NETS[name]
    x = inputs()
    ntk.InfiniteNTK(net)(x, x[:7].copy())
    stacks = listed("ntk_array_stack")
    assert len(stacks) == count
    assert all(sum(own.kind == "T" and not own.raw for own in kernel.given) <= 3 for kernel in stacks)
    assert len(stacks[-1].made) == 1


def code_of(depth):
    x = inputs()
    Noted.launched.clear()
    ntk.InfiniteNTK(mlp(depth))(x, x[:7].copy())
    (kernel,) = listed("ntk_array_stack")
    return kernel, len(Noted.launched)


@pytest.mark.host
def test_code_and_launches_do_not_grow_with_depth(noted):
    short, few = code_of(3)
    long, many = code_of(200)
    assert few == many
    numbers = re.compile(r"(?<=l < )\d+|(?<=rows\[)\d+|(?<=columns\[\()\d+")
    assert numbers.sub("", short.texts[2]) == numbers.sub("", long.texts[2])


@pytest.mark.host
@pytest.mark.session("torch")  # NVIDIA's compiler is installed there
def test_registers_do_not_grow_with_depth(noted):
    """Of 65,536 on a multiprocessor: with 64 for a thread, half of the threads that it can hold run at once."""
    if missing := conformance.installed("nvidia.cuda_nvrtc")():
        pytest.skip(missing)
    found = {}
    for depth in (3, 200):
        sources = conformance.CudaSource(*code_of(depth)[0].texts, "stack")
        found[depth] = {kind: conformance.machine_code(code) for kind, code in sources.codes.items()}
    for kind, most in (("float", 48), ("double", 80)):
        registers = [found[depth][kind][0] for depth in found]
        sizes = [found[depth][kind][1] for depth in found]
        assert max(registers) <= most
        assert max(sizes) <= 1.1 * min(sizes)


def test_a_stack_on_a_gpu(backend, monkeypatch):
    """Every network, in both dtypes."""
    if backend.name != "cupy":
        pytest.skip("on CuPy only equal layers are a loop")
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    for net, _ in NETS.values():
        kernel, x = ntk.InfiniteNTK(net), inputs()
        expected = kernel(x, x.copy())
        for dtype, tolerance in (("float64", 1e-14), ("float32", 5e-6)):
            on_card = backend.xp.asarray(x.astype(dtype))
            assert error(backend.host(kernel(on_card, on_card[:7].copy())), expected) < tolerance
