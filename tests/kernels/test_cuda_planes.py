"""The CUDA kernel of planes: its source, run on the host, gives what the layers give, and NVIDIA's compiler takes it.

There need not be a GPU. Where the backend "cupy" is asked for, the kernel runs on one.
"""

import sys

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._formula import numba_loops
from ntk_array._formula.formula import ROW
from ntk_array.infinite.planes import Batch, CudaPlanes, cuda, layout_of
from ntk_array.infinite.planes.crossings import route
from ntk_array.infinite.planes.sides import _direction, sides
from ntk_array.kernels import planes as in_planes
from ntk_array.kernels.planes import PlanesKernel

from .._formula import conformance, cuda_on_host
from .test_planes import NETS as NETS_ON_THE_HOST


def conv(*size, **options):
    return nn.Conv(1, size, **({"weight_std": 1.4} | options))


def images(shape, dtype="float64"):
    """Equal, nearly equal, opposite and zero images, multiples, and flat regions of different brightness."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, *shape))
    x[0, :2], x[1, :2] = 0.2, 0.7
    x[2], x[3], x[4] = 0.0, -x[0], 2.0 * x[1]
    x[5] = x[0] * (1.0 + 1e-6 * rng.normal(size=shape))
    x[6, :2] = 0.0
    return x.astype(dtype)


vgg = (conv(3, 3), nn.ReLU()) * 4
biased = (conv(3, 3, bias_std=0.3), nn.ReLU(), conv(3, 3, bias_std=0.3), nn.ReLU())
residual = (conv(3, 3), nn.Residual(nn.Sequential(nn.LeakyReLU(), conv(2, 3))), nn.Abs())
NETS = {
    "pooled": ((5, 4, 2), (*vgg, nn.GlobalAvgPool())),
    "biases": ((5, 4, 2), (*biased, nn.GlobalAvgPool())),
    "residual": ((4, 6, 3), (*residual, nn.GlobalSumPool())),
    "flattened": ((6, 7, 2), (*vgg, nn.Flatten())),
    "circular": ((3, 5, 1), (conv(3, 2, padding="circular", dilation=2), nn.Erf(), nn.GlobalAvgPool())),
    "wider than a warp": ((31, 33, 1), (conv(3, 3), nn.ReLU(), nn.Flatten())),
    "two planes of that width": ((3, 33, 1), (conv(3, 3), nn.ReLU(), conv(2, 3), nn.ReLU(), nn.GlobalAvgPool())),
    # Not a kink behind the mean: its angle comes from a cosine, and a rounding of that is 4e-11 at an angle of 3e-6.
    "sequences": ((9, 2), (conv(3), nn.GELU(), conv(4), nn.GELU(), nn.GlobalAvgPool(), nn.Dense(1), nn.Erf())),
    **{name: NETS_ON_THE_HOST[name] for name in ("strides", "pooling in between")},
}
SINGLE = ("pooled", "biases", "residual")
# Behind pooling angles come from their cosines: planes in float64 have half of its digits, all that float32 has.
CASES = [(name, "float64") for name in NETS if name != "pooling in between"] + [(name, "float32") for name in SINGLE]
CASES.append(("pooling in between", "float32"))


def kernel_of(name, kind=ntk.InfiniteNTK):
    return kind(nn.Sequential(*NETS[name][1], nn.Dense(1)))


def error(kernel, x, found):
    """Against the layers one by one in float64, relative to sqrt(K(x, x) K(x', x'))."""
    wide = x.astype(np.float64)
    expected = kernel.block(wide, wide.copy())
    scale = np.sqrt(np.diag(expected))
    scale[2] = 1.0  # the zero image
    return np.max(np.abs(found - expected) / scale / scale[:, None])


def planes_of(name, dtype, kind=ntk.InfiniteNTK):
    program = kernel_of(name, kind).program(NETS[name][0])
    return CudaPlanes(layout_of(program.steps, program.signals, kind is ntk.InfiniteNTK), np.dtype(dtype))


BY_CUPY = ("-ftz=true", "--device-as-default-execution-space")
TOLERANCE = {"float64": 4e-15, "float32": 4e-7}


@pytest.fixture
def on_host(monkeypatch):
    """Arrays of NumPy take the way of those of CuPy."""
    if missing := cuda_on_host.missing():
        pytest.skip(missing)
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    monkeypatch.setitem(in_planes.KINDS, "numba", CudaPlanes)
    monkeypatch.setitem(sys.modules, "cupy", cuda_on_host.cupy(cuda_on_host.HostKernel))


@pytest.mark.host
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_planes_are_those_of_the_layers(name, dtype, on_host):
    x, kernel = images(NETS[name][0], dtype), kernel_of(name)
    planes = kernel.specialized(x, None)
    assert isinstance(planes, PlanesKernel)
    assert isinstance(planes.planes, CudaPlanes)
    for found in (kernel(x), np.concatenate([kernel(x[:3], x), kernel(x[3:], x)])):
        assert found.dtype == dtype
        assert error(kernel, x, found) < TOLERANCE[dtype]
    np.testing.assert_array_equal(kernel(x), kernel(x).T)
    np.testing.assert_array_equal(np.diag(kernel(x)), kernel.diag(x))


@pytest.mark.host
@pytest.mark.session("torch")  # NVIDIA's compiler is installed there
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_nvidias_compiler_takes_the_source(name, dtype, monkeypatch):
    if missing := conformance.installed("nvidia.cuda_nvrtc")():
        pytest.skip(missing)
    compiled = []
    cupy = cuda_on_host.cupy(
        lambda code, name, options: compiled.append(conformance.compile_cuda(code, *options, *BY_CUPY))
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    planes = planes_of(name, dtype)
    grids, ways = len(planes.whole.grids), sum(map(len, planes.whole.ways))
    assert len(compiled) == grids + ways


@pytest.mark.host
def test_large_images_take_the_general_way(on_host, monkeypatch):
    """Where a plane has no room in the shared memory of a block."""
    monkeypatch.setattr(cuda_on_host, "SHARED_BYTES", 2**10)
    assert not isinstance(kernel_of("pooled").specialized(images(NETS["pooled"][0]), None), PlanesKernel)


@pytest.mark.host
def test_long_sequences_take_the_general_way(on_host):
    """A position of a row is a thread, of which a block has no more than 1024."""
    sizes = (1024, 1025)
    kernel = ntk.InfiniteNTK(nn.Sequential(conv(3), nn.ReLU(), nn.Flatten(), nn.Dense(1)))
    found = [isinstance(kernel.specialized(images((size, 1)), None), PlanesKernel) for size in sizes]
    assert found == [True, False]


@pytest.mark.parametrize(("name", "every"), [("pooled", True), ("pooled", False), ("circular", True)])
@pytest.mark.host
def test_each_plane_is_in_one_task(name, every):
    """Those of a task are neighbours along y, and have one offset along x."""
    planes = planes_of(name, "float64")
    way = route(planes.layout, 1, every)
    code, tasks = planes.code_on(0, way)
    count, number = tasks[:2]
    dy, dx, *own = tasks[2:].reshape(2 + code.together, number)
    y, x = (np.asarray(offsets) for offsets in way.offsets[0])
    assert code.together == (2 if every else 1)
    assert sorted(n for numbers in own for n in numbers if n >= 0) == list(range(count)) == list(range(len(y) * len(x)))
    for k, numbers in enumerate(own):
        there = numbers >= 0
        np.testing.assert_array_equal(y[numbers[there] // len(x)], dy[there] + k)
        np.testing.assert_array_equal(x[numbers[there] % len(x)], dx[there])


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("change", [1.0, 1e-6])
@pytest.mark.host
def test_coordinates_of_directions(size, change):
    """Distances of unit vectors from their coordinates, at 50 digits from the vectors themselves."""
    rng = np.random.default_rng(0)
    one = rng.uniform(size=size)
    two = one + change * rng.uniform(size=size)
    (*c1, w1), (*c2, w2) = (_direction(list(r[:, None]), np.linalg.norm(r)[None]) for r in (one, two))
    found = w1 * w2 * sum((a - b) ** 2 for a, b in zip(c1, c2, strict=True))
    with mpmath.workdps(50):
        a, b = (mpmath.matrix(r.tolist()) for r in (one, two))
        exact = mpmath.norm(a) * mpmath.norm(b) - sum(p * q for p, q in zip(a, b, strict=True))
    # A difference of coordinates has the rounding of the coordinates.
    assert abs(found[0] / float(exact) - 1) < 8 * np.finfo(float).eps / np.sqrt(float(exact))
    assert all(c[0] == 0.0 for c in _direction([np.asarray([0.3])] * size, np.asarray([0.3 * size**0.5]))[:-1])


@pytest.mark.host
def test_tables_take_the_general_way(on_host):
    """The CUDA kernels sum none."""
    kernel = ntk.InfiniteNTK(nn.Sequential(conv(3, 3), nn.Tanh(), nn.GlobalAvgPool(), nn.Dense(1)))
    assert not isinstance(kernel.specialized(images((4, 4, 1)), None), PlanesKernel)


@pytest.mark.host
def test_a_block_takes_several_launches(on_host, monkeypatch):
    """Squares of few images at a time, and those of the diagonal of the block."""
    kernel, x = kernel_of("pooled"), images(NETS["pooled"][0])
    whole, other = kernel(x), kernel(x[:3], x[1:])
    monkeypatch.setattr(cuda, "ROOM", 2**16)
    np.testing.assert_array_equal(kernel(x), whole)
    np.testing.assert_array_equal(kernel(x[:3], x[1:]), other)
    np.testing.assert_array_equal(kernel(x[:1]), whole[:1, :1])


@pytest.mark.parametrize("name", ["sequences", "strides"])
def test_what_images_have_by_themselves_is_computed_on_their_own_library(name, backend):
    """By the standard only, which CuPy speaks too: numbers are those of NumPy, on the device and in the dtype."""
    if backend.name == "jax":
        pytest.skip("JAX compiles each operation, for seconds")
    planes, rng = planes_of(name, backend.dtype_name), np.random.default_rng(0)
    shapes = [(3, *signal.shape[:-1]) for signal in planes.layout.signals[: planes.layout.end]]
    pixels, rows = rng.normal(size=(3, *NETS[name][0])), [rng.uniform(0.5, 2.0, size=shape) for shape in shapes]
    chosen, given = np.asarray([2, 0]), (planes.layout, planes.formulas)
    expected = sides(*given, Batch(pixels, rows).taken(chosen), ROW, directions=True)
    batch = Batch(backend.array(pixels), list(map(backend.array, rows))).taken(chosen)
    found = sides(*given, batch, ROW, directions=True)
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        assert one.dtype == backend.dtype
        backend.close(one, two, factor=10, scale=1.0 + np.max(np.abs(two)))


def test_planes_on_a_gpu(backend, monkeypatch):
    """Every network, in blocks of several launches."""
    if backend.name != "cupy":
        pytest.skip("on CuPy only planes are a CUDA kernel")
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    monkeypatch.setattr(cuda, "ROOM", 2**20)
    for name, dtype in CASES:
        kernel, x = kernel_of(name), images(NETS[name][0], dtype)
        on_card = backend.xp.asarray(x)
        assert isinstance(kernel.specialized(on_card, None), PlanesKernel)
        found = backend.host(kernel(on_card))
        assert found.dtype == dtype
        assert error(kernel, x, found) < TOLERANCE[dtype]
        assert error(kernel, x, backend.host(kernel(on_card, on_card.copy()))) < TOLERANCE[dtype]
