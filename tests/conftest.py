"""Backends as fixtures, and guards against values that leak to the host unnoticed.

A test that takes the ``backend`` fixture runs once a backend; all others run once.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

# JAX would take most of a GPU's memory when it is imported, and leave too little for the other libraries.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
import pytest

from ntk_array._formula import numba_loops

from .backends import DEFAULT, NAMES, Backend, backend_named

RAN: Counter[str] = Counter()
"""Tests that ran on each backend, in all processes: counted from their reports, where the run was started."""
ENOUGH_TESTS = 20
"""A run of the whole suite has more than this many tests on each backend that was asked for."""
TESTS = Path(__file__).parent
COMPILED = ("_array", "_formula", "infinite", "nn", "gram", "kernels")
"""Where tests run on compiled formulas too: what stands on the kernels does not meet them again."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        choices=[*NAMES, "all-cpu"],
        help=f"array backend to test, repeatable; default: {', '.join(DEFAULT)}; all-cpu: all but cupy",
    )
    parser.addoption(
        "--only-backends", action="store_true", help="only tests of array libraries: the others are those of any run"
    )


def requested(config: pytest.Config) -> list[str]:
    """The names of the backends asked for."""
    chosen = config.getoption("--backend") or list(DEFAULT)
    if "all-cpu" in chosen:
        chosen = [name for name in NAMES if name != "cupy"]
    return list(dict.fromkeys(chosen))


def pytest_configure(config: pytest.Config) -> None:
    # The folder is there before any test is: in a fresh checkout pytest makes it at the end of its first run.
    os.makedirs(os.environ.setdefault("NTK_ARRAY_CACHE", str(config.rootpath / ".pytest_cache")), exist_ok=True)
    # What JAX compiles, for most of the time of its tests, is kept for the other processes and for later runs.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.environ["NTK_ARRAY_CACHE"] + "/jax")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    for name in requested(config):
        try:
            backend_named(name)
        except Exception as error:
            raise pytest.UsageError(f"backend {name!r} was asked for and cannot be used: {error}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        names = requested(metafunc.config)
        if metafunc.module.__name__.split(".")[1] not in COMPILED:
            names = [name for name in names if name != "numpy-compiled"]
        metafunc.parametrize("backend", names, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Cases that are much like others run on NumPy and on the strict library only. JAX, which takes a thirtieth of a
    second to compile each operation for each shape, has the first case of each test, of layers those checks that every
    layer's own code runs through, and of what stands on kernels the first tests of each file."""
    asked = requested(config) if config.getoption("--only-backends") else None
    dropped = {item for item in items if _is_like_others(item) or not (asked is None or _is_of(item, asked))}
    dropped |= _later_cases_on_jax(item for item in items if item not in dropped)
    config.hook.pytest_deselected(items=list(dropped))
    items[:] = [item for item in items if item not in dropped]


def _is_of(item: pytest.Item, asked: list[str]) -> bool:
    """Whether it runs on a backend, or takes what the session of one of those that were asked for installs."""
    return "backend" in item.fixturenames or any({*asked} & {*mark.args} for mark in item.iter_markers("session"))


IMAGES_ON_JAX = ("conv, pooling in the middle",)
"""It has convolutions, pooling and positions flattened; two more took an eighth of the time of all tests on JAX."""
IMAGES_COMPILED = ("conv, flatten", "conv, pooling in the middle", "attention, softmax")
"""Each other network on images would be compiled for seconds; tests/kernels/test_planes.py is about how."""
FEW_ON_JAX = 2
ON_JAX = ("difference_quotient", "live_where_the_inputs_do", "on_every_backend")


def _is_like_others(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    backend, case = parameters.get("backend", "numpy"), parameters.get("case")
    of_layers = item.module.__name__.endswith("nn.test_conformance")
    if not of_layers or case is None or backend in ("numpy", "numpy-readonly", "strict"):
        return False
    compiled = {"jax": IMAGES_ON_JAX, "numpy-compiled": IMAGES_COMPILED}.get(backend)
    if compiled is not None and len(case.shape) > 1 and case.name not in compiled:
        return True
    if backend == "jax" and not any(word in item.name for word in ON_JAX):
        return True
    return not case.everywhere


def _later_cases_on_jax(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """All cases of each test on JAX but the first, where the test is not one that runs through every layer; and all
    tests of a file but the first ones, where it is about what stands on kernels."""
    later: set[pytest.Item] = set()
    seen: set[str] = set()
    files: Counter[Path] = Counter()
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if parameters.get("backend") != "jax" or "case" in parameters:
            continue
        test = item.nodeid.split("[")[0]
        on_kernels = item.module.__name__.split(".")[1] not in COMPILED
        if test in seen or (on_kernels and files[item.path] == FEW_ON_JAX):
            later.add(item)
        elif on_kernels:
            files[item.path] += 1
        seen.add(test)
    return later


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    # Properties travel with the report of a test, from another process too.
    request.node.user_properties.append(("backend", request.param))
    found = backend_named(request.param)
    if found.dtype_name == "float32":
        # What is lost without float64 is within the tolerances of tests on such a device.
        warnings.filterwarnings("ignore", "there is no float64", RuntimeWarning)  # pytest resets filters after a test
    return found


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and not report.skipped:
        RAN.update(value for name, value in report.user_properties if name == "backend")


def left_out(config: pytest.Config) -> list[str]:
    """Backends that were asked for and hardly ran, in a run of the whole suite."""
    partial = any(config.getoption(option, False) for option in ("keyword", "markexpr", "lf", "collectonly"))
    if partial or list(config.args) not in ([str(path) for path in config.getini("testpaths")], [str(TESTS)]):
        return []
    return [name for name in requested(config) if RAN[name] <= ENOUGH_TESTS]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that left a backend out. Workers of pytest-xdist have seen their own share only."""
    if exitstatus == 0 and not hasattr(session.config, "workerinput") and left_out(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20180620)


@pytest.fixture(autouse=True)
def compiled_at_any_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On numpy-compiled, formulas run as compiled loops however few entries there are."""
    if hasattr(request.node, "callspec") and request.node.callspec.params.get("backend") == "numpy-compiled":
        monkeypatch.setattr(numba_loops, "ENOUGH", 1)


@pytest.fixture(autouse=True)
def no_hidden_reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On array-api-strict, reading a device array as a Python number or through DLPack raises.

    array-api-strict itself lets these pass, and so would hide copies that a GPU would make.
    """
    name = request.node.callspec.params.get("backend", "") if hasattr(request.node, "callspec") else ""
    if not name.startswith("strict"):
        return
    import array_api_strict
    from array_api_strict._array_object import CPU_DEVICE, Array

    def guarded(dunder: str):
        original = getattr(Array, dunder)

        def read(self, *args, **kwargs):
            if self.device != CPU_DEVICE:
                raise AssertionError(f"{dunder} of an array on {self.device}: a hidden copy to the host")
            return original(self, *args, **kwargs)

        return read

    for dunder in ("__float__", "__bool__", "__int__", "__index__", "__complex__", "__iter__", "__dlpack__"):
        monkeypatch.setattr(Array, dunder, guarded(dunder))
    original = array_api_strict.from_dlpack

    def from_dlpack(x, /, **kwargs):
        if getattr(x, "device", CPU_DEVICE) != CPU_DEVICE:
            raise AssertionError("from_dlpack of a device array: a hidden copy to the host")
        return original(x, **kwargs)

    monkeypatch.setattr(array_api_strict, "from_dlpack", from_dlpack)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("backends")
    for name in requested(config):
        failed = "  ERROR: asked for, and left out" if name in left_out(config) else ""
        terminalreporter.write_line(f"{name}: {RAN[name]} tests{failed}", red=bool(failed))
