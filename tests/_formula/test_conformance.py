"""Every compiler on every formula: values, shapes and dtypes, for arrays of every shape and layout."""

import numpy as np
import pytest

from ntk_array._formula import compilers
from ntk_array._formula.formula import ARITHMETIC, COLUMN, ENTRY, ROW, NotElementwise, _Namespace, trace

from . import conformance as c

pytestmark = pytest.mark.host

ALL = pytest.mark.parametrize("case", c.FORMULAS, ids=str)
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
EPS_FACTOR = 20
"""A few operations of a library each round to a few units: 2 to 4 in the last place for tan or cosh in float32."""


def marked(ways):
    return [pytest.param(way, marks=[pytest.mark.session(way.session)] * bool(way.session)) for way in ways]


@pytest.mark.parametrize("way", marked(c.COMPILERS), ids=str)
def test_a_compiler_is_here(way):
    """Skipped once for each compiler that this machine lacks; all other tests leave it out."""
    if missing := way.missing():
        pytest.skip(missing)


@pytest.fixture(params=marked(way for way in c.COMPILERS if not way.missing()), ids=str)
def way(request):
    return request.param


def arrays_for(case, shape, dtype, rng):
    full = {ENTRY: shape, ROW: (shape[0], 1), COLUMN: (1, shape[1])}
    return [rng.uniform(0.1, 0.9, size=full[axes]).astype(dtype) for axes in case.axes]


def check(way, case, dtype, arrays):
    """Results are those of NumPy in float64; theirs are the dtype and the shapes that the formula says."""
    formula = trace(case.code, case.axes, np.dtype(dtype))
    function = way.compile(formula, np.dtype(dtype))
    if not way.runs:
        return
    expected = case.code(*(a.astype(float) for a in arrays))
    results = function(*map(way.moved, arrays))
    assert len(results) == len(expected)
    n1, n2 = np.broadcast_shapes(*(a.shape for a in arrays))
    for place, result, value in zip(formula.results, map(way.host, results), expected, strict=True):
        axes = formula.operations[place].axes
        assert result.shape == (n1 if axes & ROW else 1, n2 if axes & COLUMN else 1)
        assert result.dtype == dtype
        scale = max(1.0, np.max(np.abs(value)))
        np.testing.assert_allclose(
            result, np.broadcast_to(value, result.shape), rtol=0, atol=EPS_FACTOR * np.finfo(dtype).eps * scale
        )


@ALL
@DTYPES
def test_values_shapes_and_dtypes(way, case, dtype, rng):
    check(way, case, dtype, arrays_for(case, (5, 7), dtype, rng))


@ALL
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1)])
def test_one_row_or_one_column(way, case, shape, rng):
    check(way, case, "float64", arrays_for(case, shape, "float64", rng))


@ALL
def test_arrays_that_are_not_contiguous(way, case, rng):
    wide = [a[::2, ::2] for a in arrays_for(case, (9, 13), "float64", rng)]
    turned = [np.asfortranarray(a) for a in arrays_for(case, (5, 7), "float64", rng)]
    locked = arrays_for(case, (5, 7), "float64", rng)
    for a in locked:
        a.flags.writeable = False
    for arrays in (wide, turned, locked):
        check(way, case, "float64", arrays)


def test_inputs_stay_as_they_are(way, rng):
    case = next(case for case in c.FORMULAS if case.name == "an input, and twice")
    function = way.compile(trace(case.code, case.axes, np.dtype("float64")), np.dtype("float64"))
    if way.runs:
        x = rng.uniform(size=(4, 3))
        before = x.copy()
        function(way.moved(x))
        np.testing.assert_array_equal(x, before)


def test_a_result_that_depends_on_no_array(way):
    """Has no shape of its own: a compiler refuses it, or makes one number."""
    formula = trace(lambda x: [x, 2.0], [ENTRY], np.dtype("float64"))
    try:
        function = way.compile(formula, np.dtype("float64"))
    except NotElementwise:
        return
    assert way.host(function(way.moved(np.ones((2, 3))))[1]).tolist() == [[2.0]]


def test_every_operation_of_the_language_is_in_a_formula():
    seen = set()
    for case in c.FORMULAS:
        seen |= {operation.name for operation in trace(case.code, case.axes, np.dtype("float64")).operations}
    assert seen == {"input", "constant", *ARITHMETIC, *_Namespace.FUNCTIONS}


def test_every_compiler_of_the_package_is_in_the_table():
    assert {entry.compile for entry in compilers.COMPILERS.values()} <= {way.compile for way in c.COMPILERS}
