"""Formulas recorded from elementwise code, and what each compiler makes of them, against mpmath."""

import math

import mpmath
import numpy as np
import pytest

import ntk_array as ntk
from ntk_array._array.namespace import home
from ntk_array._formula import compilers, numba_loops
from ntk_array._formula.formula import ENTRY, NotElementwise, trace

from .conformance import interpreted, mixed

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


WAYS = pytest.mark.parametrize("way", [numba_loops.loop_of, interpreted], ids=["numba", "array api"])
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
