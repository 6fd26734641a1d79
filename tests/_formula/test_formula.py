"""Formulas recorded from elementwise code, and what each compiler makes of them, against mpmath."""

import ctypes
import math
import os
import shutil
import subprocess
import sys

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array._array.namespace import home
from ntk_array._formula import compilers, cupy_kernels, numba_loops
from ntk_array._formula.formula import COLUMN, ENTRY, ROW, NotElementwise, trace

EXACT = {
    "add": mpmath.fadd,
    "subtract": mpmath.fsub,
    "multiply": mpmath.fmul,
    "divide": mpmath.fdiv,
    "atan2": mpmath.atan2,
    "maximum": max,
    "minimum": min,
    "abs": mpmath.fabs,
    **{name: getattr(mpmath, name) for name in ["acos", "asin", "atan", "cos", "cosh", "exp", "expm1", "log", "log1p"]},
    **{name: getattr(mpmath, name) for name in ["sign", "sin", "sinh", "sqrt", "tan", "tanh"]},
}
TWO = ("add", "subtract", "multiply", "divide", "atan2", "maximum", "minimum")
NEED_POSITIVE = ("sqrt", "log", "log1p")


def operator(name):
    signs = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
    if name in signs:
        return eval(f"lambda a, b: a {signs[name]} b")
    return lambda *arrays: getattr(home(arrays[0]).xp, name)(*arrays)


def compiled_c(formula, dtype):
    """The CUDA body of a formula as a C++ function on the host."""
    compiler = shutil.which("c++") or pytest.skip("no C++ compiler here")
    kind = {"float64": "double", "float32": "float"}[np.dtype(dtype).name]

    def call(*arrays):
        arrays = np.broadcast_arrays(*arrays)
        results = []
        for i, _ in enumerate(formula.results):
            inputs = "".join(f"T x{k} = x[{k}][n];" for k in range(len(arrays)))
            code = (
                f"#include <cmath>\nusing namespace std;\nusing T = {kind};\n"
                f'extern "C" void run(long size, T** x, T* y) {{ for (long n = 0; n < size; n++) {{ {inputs} T y{i};'
                f"{cupy_kernels.body(formula, [i])} y[n] = y{i}; }} }}"
            )
            library = build(code, compiler)
            copies = [np.ascontiguousarray(a) for a in arrays]
            pointers = (ctypes.c_void_p * len(copies))(*(a.ctypes.data for a in copies))
            results.append(np.empty_like(copies[0]))
            library.run(ctypes.c_long(copies[0].size), pointers, ctypes.c_void_p(results[-1].ctypes.data))
        return results

    return call


def build(code, compiler):
    folder = os.environ["NTK_ARRAY_CACHE"]
    path = os.path.join(folder, f"body_{os.getpid()}_{abs(hash(code))}.so")
    subprocess.run(
        [compiler, "-x", "c++", "-shared", "-fPIC", "-ffp-contract=off", "-o", path, "-"],
        input=code.encode(),
        check=True,
    )
    library = ctypes.CDLL(path)
    os.remove(path)
    return library


def interpreted(formula, dtype):
    return lambda *arrays: formula.evaluate(np, *arrays)


WAYS = pytest.mark.parametrize(
    "way", [numba_loops.loop_of, compiled_c, interpreted], ids=["numba", "cuda", "array api"]
)
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


@pytest.mark.host
@WAYS
@DTYPES
@pytest.mark.parametrize("name", EXACT)
def test_every_operation(way, dtype, name, rng):
    count = 2 if name in TWO else 1
    arrays = [rng.normal(size=(7, 9)).astype(dtype) for _ in range(count)]
    if name in NEED_POSITIVE:
        arrays = [np.abs(a) + np.asarray(1e-3, dtype) for a in arrays]
    if name in ("acos", "asin"):
        arrays = [np.tanh(a) for a in arrays]
    formula = trace(lambda *symbols: [operator(name)(*symbols)], [ENTRY] * count, np.dtype(dtype))
    (found,) = way(formula, np.dtype(dtype))(*arrays)
    expected = [
        float(EXACT[name](*map(mpmath.mpf, map(float, entry)))) for entry in zip(*map(np.ravel, arrays), strict=True)
    ]
    assert found.dtype == dtype
    np.testing.assert_allclose(found.ravel(), expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.host
@DTYPES
def test_angle_everywhere(dtype, rng):
    """The angle is our own: all quadrants, the axes, and ratios from the smallest to the largest."""
    size = 10.0 ** rng.uniform(-18, 18, size=(60, 40))
    y, x = (np.sign(rng.normal(size=size.shape)) * s for s in (size, 1.0 / size))
    y[0, :], x[1, :] = 0.0, 0.0
    y[2, :], x[2, :] = 0.0, 0.0
    x[3, :] = y[3, :]
    x, y = x.astype(dtype), y.astype(dtype)
    formula = trace(lambda a, b: [operator("atan2")(a, b)], [ENTRY, ENTRY], np.dtype(dtype))
    (found,) = numba_loops.loop_of(formula, np.dtype(dtype))(y, x)
    expected = [float(mpmath.atan2(float(a), float(b))) for a, b in zip(y.ravel(), x.ravel(), strict=True)]
    np.testing.assert_allclose(found.ravel(), expected, rtol=3 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


def mixed(entry, row, column):
    """Every way in which rows, columns, entries and numbers meet."""
    xp = home(entry).xp
    root = xp.sqrt(row) * 0.5
    size = xp.where(column > 0.3, column * column, xp.ones_like(column))
    value = xp.clip(entry * root - size, min=-0.5, max=2.0)
    return [value / (1.0 + row), root, size**3 - column, -entry + xp.zeros_like(row), xp.ones_like(entry), 2.0 / size]


@pytest.mark.host
@WAYS
@DTYPES
@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (3, 17), (40, 33)])
def test_rows_columns_and_entries(way, dtype, shape, rng):
    n1, n2 = shape
    arrays = [rng.uniform(0.1, 2.0, size=s).astype(dtype) for s in ((n1, n2), (n1, 1), (1, n2))]
    formula = trace(mixed, [ENTRY, ROW, COLUMN], np.dtype(dtype))
    expected = mixed(*(a.astype(float) for a in arrays))
    for one, other in zip(way(formula, np.dtype(dtype))(*arrays), expected, strict=True):
        if way is not compiled_c:
            assert one.shape == other.shape
        np.testing.assert_allclose(one, np.broadcast_to(other, one.shape), rtol=0, atol=100 * np.finfo(dtype).eps)


def test_apply_on_every_library(backend, rng, monkeypatch):
    monkeypatch.setattr(numba_loops, "ENOUGH", 1)
    hosts = [rng.uniform(0.1, 2.0, size=s) for s in ((6, 5), (6, 1), (1, 5))]
    arrays = [backend.array(a) for a in hosts]
    for i, exact in enumerate(mixed(*(backend.host(a).astype(float) for a in arrays))):
        found = compilers.apply(lambda *given, i=i: mixed(*given)[i], *arrays)
        backend.close(found, exact, factor=8)


@pytest.mark.host
@pytest.mark.parametrize(
    "function",
    [
        lambda x: home(x).xp.sum(x),
        lambda x: x @ x,
        lambda x: x.T,
        lambda x: x[0, :],
        lambda x: x * 2 if x > 0 else x,
        lambda x: x * float(x),
        lambda x: x**0.5,
        lambda x: x * x.shape[0],
        lambda x: home(x).xp.reshape(x, (3, -1)),
        lambda x: next(iter(x)),
        lambda x: "x",
    ],
)
def test_what_is_no_formula(function):
    with pytest.raises(NotElementwise):
        trace(lambda x: [function(x)], [ENTRY], np.dtype("float64"))
    a = np.ones((200, 200))
    assert compilers.compiled(lambda x: [function(x)], [ENTRY], compilers.NUMBA, a.dtype) is None


@pytest.mark.host
def test_operations_are_recorded_once():
    def twice(x):
        return [home(x).xp.sqrt(x + 1.0) * home(x).xp.sqrt(x + 1.0)]

    names = [operation.name for operation in trace(twice, [ENTRY], np.dtype("float64")).operations]
    assert names == ["input", "constant", "add", "sqrt", "multiply"]


@pytest.mark.host
def test_one_loop_for_all_constants(tmp_path):
    """Networks that differ in their weight_std only share machine code."""
    one, other = (
        numba_loops.source(trace(lambda x, w=w: [w * x + 1.0], [ENTRY], np.dtype("float64")), np.dtype("float64"))
        for w in (0.5, 2.5)
    )
    assert one == other


@pytest.mark.host
@pytest.mark.parametrize("writable", [True, False])
def test_machine_code_is_kept_for_the_next_process(tmp_path, writable):
    folder = tmp_path / "cache"
    folder.write_bytes(b"") if not writable else folder.mkdir()  # a file cannot be a folder, whoever asks
    code = (
        "import numpy as np, ntk_array as ntk, numba;"
        "x = np.random.default_rng(0).normal(size=(200, 5));"
        "k = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, bias_std=0.2))(x);"
        "from ntk_array._formula import numba_loops;"
        "loops = [m.loop for n, m in __import__('sys').modules.items() if n.startswith('ntk_array_loop')];"
        "print(len(loops), sum(sum(l.stats.cache_hits.values()) for l in loops), repr(float(k.sum())))"
    )
    environment = {**os.environ, "NTK_ARRAY_CACHE": str(folder)}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    (loops, first, total), (again, second, same) = (run.split() for run in runs)
    assert int(loops) == int(again) > 0
    assert int(first) == 0
    assert int(second) == (int(loops) if writable else 0)
    assert total == same


@pytest.mark.host
def test_cuda_source_compiles(rng):
    """With NVIDIA's run-time compiler, where its library is installed: no GPU is needed."""
    nvrtc = pytest.importorskip("nvidia.cuda_nvrtc")
    folder = os.path.join(next(iter(nvrtc.__path__)), "lib")
    library = ctypes.CDLL(
        os.path.join(folder, next(name for name in os.listdir(folder) if name.startswith("libnvrtc.so")))
    )
    formula = trace(mixed, [ENTRY, ROW, COLUMN], np.dtype("float64"))
    for kind in ("float", "double"):
        inputs = ", ".join(f"const T* a{k}" for k in range(3))
        loads = " ".join(f"T x{k} = a{k}[n]; T y{k}, y{k + 3};" for k in range(3))
        code = f"""typedef {kind} T; extern "C" __global__ void kernel({inputs}, T* out) {{
            int n = blockIdx.x * blockDim.x + threadIdx.x; {loads}
            {cupy_kernels.body(formula, list(range(6)))}
            out[n] = y0 + y1 + y2 + y3 + y4 + y5; }}"""
        program = ctypes.c_void_p()
        assert library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"formula.cu", 0, None, None) == 0
        status = library.nvrtcCompileProgram(program, 0, None)
        size = ctypes.c_size_t()
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        assert status == 0, log.value.decode()


@pytest.mark.host
def test_without_numba(monkeypatch, rng):
    """The same kernel to rounding, and a word about what to install."""
    x = rng.normal(size=(300, 4))
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.3))
    compiled = kernel(x)
    monkeypatch.setattr(numba_loops, "available", lambda: None)
    np.testing.assert_allclose(kernel(x), compiled, rtol=0, atol=20 * np.finfo(float).eps * np.max(compiled))
    assert "pip install" in compilers.descriptions()["numpy"]


@pytest.mark.host
def test_descriptions_name_every_library():
    assert set(compilers.descriptions()) == {"numpy", "torch", "jax", "cupy"}
    assert numba_loops.available() in compilers.descriptions()["numpy"]
    assert math.isfinite(float(numba_loops.available().split(".")[1]))
