"""The test matrix itself: every backend that was asked for ran, and its guards guard."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ntk_array._array.namespace import to_host

from .backends import NAMES
from .conftest import TESTS


def test_a_hidden_read_of_a_device_array_fails(backend):
    if not backend.name.startswith("strict"):
        pytest.skip("the guards are for array-api-strict; on other libraries there is nothing to guard")
    x = backend.array([1.0, 2.0])
    for read in (lambda: float(x[0]), lambda: bool(x[0] > 0), lambda: backend.xp.from_dlpack(x), lambda: list(x)):
        with pytest.raises((AssertionError, TypeError)):
            read()
    assert float(to_host(x[0])) == 1.0


def test_read_only_inputs_are_read_only(backend):
    if backend.name == "numpy-readonly":
        with pytest.raises(ValueError, match="read-only"):
            backend.array(np.ones(3))[0] = 2.0


SUITE = """
import pytest

@pytest.mark.parametrize("case", range({cases}))
def test_something(backend, case):
    if case == 0:
        pytest.skip("a test that is skipped has not run")
    assert backend.array([1.0]).shape == (1,)
"""


@pytest.fixture
def suite(tmp_path):
    """A run of a suite of its own, with this conftest: what it printed, and its exit status."""

    def run(cases, *options):
        room = tmp_path / "tests" / "_array"
        room.mkdir(parents=True)
        for name in ("__init__.py", "conftest.py", "backends.py"):
            shutil.copy(TESTS / name, tmp_path / "tests")
        (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
        (room / "__init__.py").touch()
        (room / "test_something.py").write_text(SUITE.format(cases=cases))
        paths = os.pathsep.join([str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr, done.returncode

    return run


IN_PARALLEL = pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])


@pytest.mark.host
@IN_PARALLEL
def test_every_requested_backend_ran(suite, options):
    output, status = suite(30, "--backend", "numpy", "--backend", "strict", *options)
    assert status == 0, output
    assert "numpy: 29 tests\n" in output
    assert "strict: 29 tests\n" in output


@pytest.mark.host
@IN_PARALLEL
def test_a_backend_that_hardly_ran_is_an_error(suite, options):
    output, status = suite(3, "--backend", "strict", *options)
    assert status == 1, output
    assert "strict: 2 tests  ERROR: asked for, and left out\n" in output


@pytest.mark.host
def test_a_part_of_the_suite_may_be_small(suite):
    output, status = suite(3, "--backend", "numpy", "tests/_array")
    assert status == 0, output
    assert "numpy: 2 tests\n" in output


@pytest.mark.host
def test_a_backend_that_is_missing_is_an_error(suite):
    if importlib.util.find_spec("cupy"):
        pytest.skip("the backend of this test is installed")
    output, status = suite(30, "--backend", "cupy")
    assert status == 4, output
    assert "backend 'cupy' was asked for and cannot be used" in output


@pytest.mark.host
def test_nox_knows_every_backend():
    tree = ast.parse((TESTS.parent / "noxfile.py").read_text(encoding="utf-8"))
    (backends,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BACKENDS"
    )
    assert ast.literal_eval(backends) == NAMES
