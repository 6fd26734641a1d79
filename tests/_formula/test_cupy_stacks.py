"""Stacks of formulas as one CUDA kernel with loops, whose source runs on the host."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from ntk_array._formula import cupy_stacks
from ntk_array._formula.formula import COLUMN, ENTRY, ROW, trace
from ntk_array._formula.stack import Part, Stack

from . import conformance, cuda_on_host

pytestmark = pytest.mark.host


def turned(x, y, row, column):
    """The results change places with what they are made of, and a number of the row alone is a root."""
    root = row.__array_namespace__().sqrt(row)
    return [y, x + root * column - 0.5 * y * root]


def ended(start, x, y, column):
    return [start * x - y, y + column, x]


def no_sides(x):
    return [x * x]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_parts_follow_one_another_and_times_too(dtype, monkeypatch):
    if missing := cuda_on_host.missing():
        pytest.skip(missing)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ElementwiseKernel=conformance.HostKernel))
    loop = trace(turned, (ENTRY, ENTRY, ROW, COLUMN), np.dtype(dtype))
    last = trace(ended, (ENTRY, ENTRY, ENTRY, COLUMN), np.dtype(dtype))
    square = trace(no_sides, (ENTRY,), np.dtype(dtype))
    # Entries 0 and 1 come in; the loop makes 2 and 3, the second part 4, 5 and 6, the third 7.
    parts = (Part(loop, (0, 1), 3), Part(last, (0, 2, 3), 1), Part(square, (6,), 1))
    run = cupy_stacks.stack_of(Stack(parts, 2, (7, 4, 2, 5)), np.dtype(dtype))
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(0.1, 0.9, size=(5, 7)).astype(dtype) for _ in range(2))
    rows = [rng.uniform(0.1, 0.9, size=5).astype(dtype) for _ in range(3)]
    columns = [rng.uniform(0.1, 0.9, size=7).astype(dtype) for _ in range(4)]
    found = run([x, y], list(map(np.stack, [rows, columns[:3], columns[3:]])))
    one, two = x.astype(float), y.astype(float)
    for row, column in zip(rows, columns, strict=False):
        root = np.sqrt(row.astype(float))[:, None]
        one, two = two, one + root * column - 0.5 * two * root
    expected = [one * one, x * one - two, one, two + columns[3]]
    for result, value in zip(found, expected, strict=True):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, value, rtol=0, atol=20 * np.finfo(dtype).eps)
