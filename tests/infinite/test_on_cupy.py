"""What runs on CuPy as one CUDA kernel where the array API takes many operations: its source runs on the host."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import nn
from ntk_array._array import cupy_matrices
from ntk_array._array.libraries import LIBRARIES
from ntk_array._array.linalg import inner, mirror
from ntk_array._formula import cupy_near, cupy_tables, numba_loops
from ntk_array._formula.formula import COLUMN, ENTRY, ROW, trace
from ntk_array.gram import assemble, plan
from ntk_array.infinite import inputs as batches
from ntk_array.infinite.series import sum_mixed

from .._formula import conformance
from ..kernels.exact_networks import error, exact

pytestmark = pytest.mark.host


def inputs(dtype="float64", d=40):
    """Among them equal, nearly equal and opposite ones, multiples and zeros; more features than one part of a sum."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, d))
    x[1], x[2], x[3], x[4] = x[0], -x[0], x[0] * (1 + 1e-4 * x[5]), 2.0 * x[0]
    x[6] = -x[7] + 1e-2 * x[8]
    x[5] = 0.0
    return x.astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2e-15), ("float32", 5e-7)])
def test_a_series_in_the_angle_is_that_of_mpmath(dtype, tolerance, on_host):
    net, x = nn.mlp((1, 1, 1), 1), inputs(dtype)
    kernel, some = ntk.InfiniteNTK(net), np.flatnonzero(np.any(x != 0, axis=1))
    # An input that is zero has the kernel 0 with all.
    expected, whole = np.zeros((len(x), len(x))), kernel(x)
    expected[np.ix_(some, some)] = exact(net, x[some])[1].astype(np.float64)
    assert whole.dtype == dtype
    assert error(whole, expected) < tolerance
    assert error(kernel(x, x[:7].copy()), expected) < tolerance
    np.testing.assert_array_equal(whole, whole.T)


def test_the_angle_of_an_input_with_itself_is_zero(on_host):
    one = batches.Inputs.of(inputs("float32"))
    for two in (None, one):
        sine = batches.between(one, two, ntk=False).sine
        np.testing.assert_array_equal(np.diag(sine), np.where(one.variance[:, 0] > 0, 0.0, 1.0))


NETS = {
    "equal norms but for a spread": nn.mlp((1, 1), 1, bias_std=0.3, activation="erf"),
    "a table": nn.mlp((1, 1), 1, bias_std=0.3, activation="tanh"),
    "a table of spread values": nn.mlp((1, 1), 1, weight_std=5.0, activation="softplus"),
    "a table before a kink": nn.Sequential(nn.Dense(1), nn.Tanh(), nn.Dense(1), nn.ReLU(), nn.Dense(1)),
    "gaps": nn.mlp((1, 1), 1, weight_std=3.0, activation="sin"),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2e-12), ("float32", 2e-6)])
def test_kernels_are_those_of_the_layers(name, dtype, tolerance, on_host, monkeypatch):
    """Operation by operation, on NumPy in float64. Behind a table a small angle t is known to rounding over t."""
    x, kernel = inputs(dtype), ntk.InfiniteNTK(NETS[name])
    if name.startswith("equal"):
        x = x[[0, 1, 2, 3, 7, 8]]
        x = x / np.linalg.norm(x, axis=1, keepdims=True).astype(dtype) * np.asarray(6.0, dtype)
    found = kernel(x), kernel(x, x[:4].copy())
    monkeypatch.undo()
    monkeypatch.setattr(numba_loops, "ENOUGH", 2**30)
    expected = ntk.InfiniteNTK(NETS[name])(x.astype(np.float64))
    assert all(one.dtype == dtype and error(one, expected) < tolerance for one in found)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_table_is_the_sum_of_its_terms(dtype, on_host):
    """In NumPy's order of terms, in float64; rows and columns that fill no group of threads."""
    rng = np.random.default_rng(0)
    degrees, p, q, height, width = 7, 5, 6, 9, cupy_tables.THREADS + 3
    series = rng.normal(size=(degrees, p, q)) * 0.5 ** np.arange(degrees)[:, None, None]
    series[3, :, 2:], series[5, 4:] = 0.0, 0.0
    left, right = rng.normal(size=(height, p)).astype(dtype), rng.normal(size=(width, q)).astype(dtype)
    y = rng.uniform(-1.0, 1.0, size=(height, width)).astype(dtype)
    found = sum_mixed(series, left, right, y)
    wide = [a.astype(np.float64) for a in (left, right, y)]
    expected = np.einsum(
        "kpq,ip,jq,kij->ij", series, *wide[:2], np.stack([np.cos(k * np.arccos(wide[2])) for k in range(degrees)])
    )
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=60 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1, 1), (31, 31), (32, 32), (3, 70, 70)])
def test_the_upper_triangle_is_turned(shape, dtype, on_host):
    a = np.random.default_rng(0).normal(size=shape).astype(dtype)
    expected = np.triu(a) + np.swapaxes(np.triu(a, 1), -1, -2)
    np.testing.assert_array_equal(mirror(a.copy()), expected)
    turned = mirror(np.swapaxes(np.swapaxes(a, -1, -2).copy(), -1, -2))
    np.testing.assert_array_equal(turned, expected)


@pytest.mark.parametrize("outputs", ["full", "classwise"])
def test_a_matrix_of_several_tiles_is_turned_at_the_end(outputs, on_host, monkeypatch):
    """Also in an array of the user's that lies column by column."""
    monkeypatch.setattr(sys.modules["ntk_array.gram.plan"], "ENOUGH", 1)
    monkeypatch.setattr(sys.modules["ntk_array.gram.plan"], "HOST_BYTES", 2**12)
    x, net = inputs(), nn.mlp((6,), 2)
    kernel = ntk.EmpiricalNTK(net, net.init(0, like=x), outputs=outputs)
    assert len(plan(kernel, x, threads=1)) > 1
    found = assemble(kernel, x, threads=1)
    given = np.full_like(found, np.nan, order="F")
    assert assemble(kernel, x, threads=1, out=given) is given
    np.testing.assert_array_equal(found, given)
    np.testing.assert_array_equal(found, np.swapaxes(found, -1, -2))
    monkeypatch.undo()
    np.testing.assert_allclose(found, assemble(kernel, x), rtol=0, atol=1e-12 * np.max(found))


def test_half_of_a_product_is_mirrored(on_host):
    a = np.random.default_rng(0).normal(size=(40, 3))
    np.testing.assert_allclose(inner(a, a), a @ a.T, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(inner(a, a), inner(a, a).T)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sin"])
@pytest.mark.parametrize("bias_std", [0.0, 0.3])
def test_the_host_reads_nothing_for_a_tile(activation, bias_std, on_host, monkeypatch):
    """Each read waits for all that was asked of the device before."""
    reads = []
    own = LIBRARIES["numpy"]
    counted = replace(own, to_host=lambda xp, x: (reads.append(x.shape), own.to_host(xp, x))[1])
    monkeypatch.setitem(LIBRARIES, "numpy", counted)
    x, kernel = inputs()[:8], ntk.InfiniteNTK(nn.mlp((1, 1), 1, activation=activation, bias_std=bias_std))
    found = []
    monkeypatch.setattr(sys.modules["ntk_array.gram.plan"], "ENOUGH", 1)
    for entries in (64, 16, 4):
        monkeypatch.setattr(
            sys.modules["ntk_array.gram.plan"], "HOST_BYTES", entries * kernel.specialized(x, None).costs(x, None).entry
        )
        tiles = len(plan(kernel, x, threads=1))
        reads.clear()
        assemble(kernel, x, threads=1)
        found.append((tiles, len(reads)))
    assert found[0][0] < found[1][0] < found[2][0]
    assert found[0][1] == found[1][1] == found[2][1]


@pytest.mark.parametrize("outputs", ["full", "trace", "classwise", "sum_of_logits"])
def test_empirical_kernels_are_those_of_numpy(outputs, on_host, monkeypatch):
    x, net = inputs(), nn.mlp((12, 8), 3, bias_std=0.3)
    params = net.init(0, like=x)
    found = [ntk.EmpiricalNTK(net, params, outputs=outputs)(*given) for given in ((x,), (x, x[:4].copy()))]
    monkeypatch.undo()
    expected = ntk.EmpiricalNTK(net, params, outputs=outputs)(x)
    columns = {"full": (slice(None), slice(None), slice(4)), "classwise": (..., slice(4))}
    for one, right in zip(found, (expected, expected[columns.get(outputs, (..., slice(4)))]), strict=True):
        np.testing.assert_allclose(one, right, rtol=0, atol=1e-12 * np.max(expected))
    rows = found[0].reshape(27, 27) if outputs == "full" else found[0]
    np.testing.assert_array_equal(rows, np.swapaxes(rows, -1, -2))


@pytest.mark.session("torch")  # NVIDIA's compiler is installed there
def test_nvidias_compiler_takes_the_sources():
    if missing := conformance.installed("nvidia.cuda_nvrtc")():
        pytest.skip(missing)
    for character in "fd":
        conformance.compile_cuda(cupy_tables.source(np.dtype(character)))
        conformance.compile_cuda(cupy_matrices.mirror_source(character))
    first = trace(batches._sine_by_products, (ENTRY, ROW, COLUMN), np.dtype("float32"))
    again = trace(lambda *a: [batches._sine_of_gap(*a)], (ENTRY, ENTRY, ROW, COLUMN), np.dtype("float32"))
    arrays = "T x0, T x1, T x2, raw T u, raw T v, int64 width, int64 features"
    conformance.CudaSource(arrays, "T y0", cupy_near.source(first, again), "near")
