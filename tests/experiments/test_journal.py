"""Runs are kept once and whole, damage is noticed, another experiment's folder is refused."""

import json
import os

import numpy as np
import pytest

from ntk_array import nn
from ntk_array._array.description import fingerprint
from ntk_array.experiments.journal import Journal, described

SPEC = {"widths": [1, 2], "steps": 5}
ARRAYS = {"a/b": np.asarray([1.0, 2.0], dtype=np.float32), "c": np.asarray(3)}


def never():
    raise AssertionError("a finished run was computed again")


def keep(journal, name="run"):
    journal.keep(name, lambda: ARRAYS)


def same(found):
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_finished_run_is_read_back(tmp_path):
    folder = tmp_path / "made" / "here"
    keep(Journal(folder, SPEC))
    same(Journal(folder, SPEC).keep("run", never))
    assert sorted(path.name for path in folder.iterdir()) == ["run.npz", "spec.json"]


def test_no_folder_keeps_nothing():
    with pytest.raises(AssertionError):
        Journal(None, SPEC).keep("run", never)
    same(Journal(None, SPEC).keep("run", lambda: ARRAYS))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "pickled"])
def test_a_damaged_run_is_computed_again(tmp_path, damage):
    keep(Journal(tmp_path, SPEC))
    path = tmp_path / "run.npz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[content.index(np.float32(2.0).tobytes())] ^= 1
    path.write_bytes(content[: {"truncated": len(content) // 2, "empty": 0}.get(damage, len(content))])
    if damage == "pickled":
        np.savez(path, a=np.asarray([{}], dtype=object))
    with pytest.raises(AssertionError):
        Journal(tmp_path, SPEC).keep("run", never)
    keep(Journal(tmp_path, SPEC))
    same(Journal(tmp_path, SPEC).keep("run", never))


def test_two_may_finish_the_same_run_at_once(tmp_path, monkeypatch):
    journal, replace, nested = Journal(tmp_path, SPEC), os.replace, []

    def late(source, target):
        if not nested:
            nested.append(True)
            keep(Journal(tmp_path, SPEC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)
    keep(journal)
    same(journal.keep("run", never))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.npz", "spec.json"]


def test_an_interrupted_run_is_not_kept(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Journal(tmp_path, SPEC).keep("run", interrupted)
    same(Journal(tmp_path, SPEC).keep("run", lambda: ARRAYS))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({**SPEC, "steps": 6}, "steps: 5 there, 6 now$"),
        ({"widths": [1, 2]}, "steps: 5 there, null now$"),
        ({**SPEC, "seed": 0}, "seed: null there, 0 now$"),
        ({**SPEC, "widths": list(range(200))}, r"widths: \[1, 2\] there, \[0, 1, .*\.\.\. now"),
    ],
)
def test_another_spec_is_refused(tmp_path, spec, message):
    Journal(tmp_path, SPEC)
    with pytest.raises(ValueError, match="holds runs of another experiment") as refusal:
        Journal(tmp_path, spec)
    assert refusal.match(message)
    assert json.loads((tmp_path / "spec.json").read_text())["steps"] == 5


@pytest.mark.parametrize("content", ["", "[]", "{", "[1, 2]", " " * 1_000_001])
def test_a_spec_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "spec.json").write_text(content)
    with pytest.raises(ValueError, match="give another folder"):
        Journal(tmp_path, SPEC)


def test_fingerprints_tell_values_shapes_and_dtypes_apart(backend):
    x = backend.array(np.asarray([[1.0, 2.0, 3.0, 4.0]]))
    others = [backend.array(np.asarray(a)) for a in ([[1.0, 2.0, 3.0, 4.5]], [[1.0, 2.0], [3.0, 4.0]], [[1, 2, 3, 4]])]
    prints = {fingerprint(a) for a in (x, *others)}
    assert len(prints) == 4
    assert fingerprint(backend.array(np.asarray([[1.0, 2.0, 3.0, 4.0]]))) == fingerprint(x)
    assert fingerprint(None) is None


def test_the_file_of_another_run_is_not_taken_for_this_one(tmp_path):
    journal = Journal(tmp_path, SPEC)
    for name, value in (("one", 3), ("two", 4)):
        journal.keep(name, lambda value=value: {"c": np.asarray(value)})
    (tmp_path / "one.npz").write_bytes((tmp_path / "two.npz").read_bytes())
    with pytest.raises(AssertionError):
        Journal(tmp_path, SPEC).keep("one", never)


def test_results_that_are_not_finite_are_computed_again(tmp_path):
    Journal(tmp_path, SPEC).keep("run", lambda: {"a/b": np.asarray([1.0, np.nan])})
    with pytest.raises(AssertionError):
        Journal(tmp_path, SPEC).keep("run", never)


def test_functions_of_one_name_are_told_apart():
    def net(f, derivative):
        wave = nn.Elementwise(lambda xp, x: f(x), lambda xp, x: derivative(x), name="wave")
        return nn.Sequential(nn.Dense(4), nn.Residual(nn.Sequential(nn.Dense(4), wave)), nn.Dense(1))

    sine = described(net(np.sin, np.cos))
    assert sine == described(net(lambda x: np.sin(x) * (1 + 1e-13), np.cos))
    assert sine != described(net(np.cos, lambda x: -np.sin(x)))
    assert sine != described(net(np.sin, lambda x: 1.001 * np.cos(x)))
    assert described(nn.mlp((4,), 1)) == repr(nn.mlp((4,), 1))
