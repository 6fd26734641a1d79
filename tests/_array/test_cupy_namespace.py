"""What is known of CuPy without a GPU: which functions its namespace has, what they take, and which would wait."""

import ast
import inspect
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import ntk_array
from ntk_array._array.libraries import library_of

cupy = pytest.importorskip("cupy", reason="CuPy, which is imported without a GPU too")
pytestmark = [pytest.mark.host, pytest.mark.session("cupy")]

PACKAGE = Path(ntk_array.__file__).parent
PROPERTIES = {"__name__", "linalg", "float32", "float64", "int32", "int64"}


def namespace():
    import array_api_compat.cupy as compat

    return library_of(compat).namespace(compat)


def calls(source):
    """The functions of a namespace ``xp`` that are named in a source, and the keywords that they are called with."""
    tree, found = ast.parse(source), defaultdict(set)
    keywords = {
        id(node.func): {word.arg for word in node.keywords} for node in ast.walk(tree) if type(node) is ast.Call
    }
    for node in ast.walk(tree):
        parts, inner = [], node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            parts.insert(0, inner.id)
        if "xp" in parts[:-1]:
            name = ".".join(parts[parts.index("xp") + 1 :])
            found[name] |= keywords.get(id(node), set()) - {None}
    return found


def missing(found):
    """Those that CuPy does not have, or not with these keywords."""
    wrong = []
    for name, keywords in found.items():
        function = namespace()
        for part in name.split("."):
            function = getattr(function, part, None)
        if name in PROPERTIES or name.startswith("__array_namespace_info__"):
            continue
        try:
            parameters = inspect.signature(function).parameters.values() if keywords else ()
        except (TypeError, ValueError):
            wrong.append(name)
            continue
        takes = {p.name for p in parameters}
        if function is None or (keywords - takes and not any(p.kind is p.VAR_KEYWORD for p in parameters)):
            wrong.append(name)
    return wrong


def test_cupy_has_all_that_is_called():
    found = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for name, keywords in calls(path.read_text(encoding="utf-8")).items():
            found[name] |= keywords
    # An error function is asked for where a library may have one.
    del found["erf"]
    assert len(found) > 60
    assert missing(found) == []


@pytest.mark.parametrize(
    "line", ["xp.no_such_function(x)", "home(x).xp.clip(x, lowest=0.0)", "here.xp.linalg.solve(a, b, lower=True)"]
)
def test_the_check_finds_what_is_missing(line):
    assert len(missing(calls(line))) == 1


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_repeats_are_one_kernel(monkeypatch, axis):
    for name in ("broadcast_to", "repeat"):
        monkeypatch.setattr(cupy, name, getattr(np, name))
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(namespace().repeat(x, 3, axis=axis), np.repeat(x, 3, axis=axis))
    np.testing.assert_array_equal(namespace().repeat(x, [1, 0, 2], axis=1), np.repeat(x, [1, 0, 2], axis=1))


def test_entries_are_not_written_by_masks(monkeypatch):
    """array-api-compat does that in both functions, and CuPy reads from the device how many entries a mask has."""
    import array_api_compat.cupy as compat

    xp = namespace()
    assert xp is namespace()
    assert xp.__name__ == compat.__name__
    assert xp.exp is compat.exp
    for name in ("clip", "sign", "isnan", "where"):
        monkeypatch.setattr(cupy, name, getattr(np, name))  # on the host, where they are the same but for NaN in sign
    x = np.asarray([-2.0, -0.5, 0.0, 0.5, 2.0, np.nan, np.inf, -np.inf], dtype=np.float32)
    for bounds in ({"min": 0.0}, {"max": 1.0}, {"min": -1.0, "max": 1.0}, {}):
        clipped = xp.clip(x, **bounds)
        assert clipped.dtype == np.float32
        low, high = bounds.get("min", -np.inf), bounds.get("max", np.inf)
        np.testing.assert_array_equal(clipped, np.where(x < low, low, np.where(x > high, high, x)))
    np.testing.assert_array_equal(xp.sign(x), [-1, -1, 0, 1, 1, np.nan, 1, -1])
    np.testing.assert_array_equal(xp.sign(np.asarray([-3, 0, 2])), [-1, 0, 1])
    np.testing.assert_array_equal(xp.clip(np.asarray([-3, 0, 2]), min=0), [0, 0, 2])
