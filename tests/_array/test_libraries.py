"""The entries of array libraries, and how a new library joins: as CONTRIBUTING.md says."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array._array.libraries import LIBRARIES, STANDARD, Library, is_numpy, library_of
from ntk_array._array.namespace import home, standard_namespace, to_host, true_indices
from ntk_array._array.special import erf
from ntk_array._array.validate import real_array
from ntk_array._formula.compilers import COMPILERS, compiler_for, descriptions
from ntk_array.function_space import EmpiricalMeasure, SquaredError
from ntk_array.gram.memory import available, on_accelerator
from ntk_array.gram.result import Result

from .new_library import newarray

KERNELS = {
    "infinite": lambda: ntk.InfiniteNTK(ntk.nn.mlp((3, 3), 1, activation="gelu", bias_std=0.2)),
    "erf": lambda: ntk.InfiniteNNGP(ntk.nn.mlp((3,), 1, activation="erf")),
    "tabulated": lambda: ntk.InfiniteNTK(ntk.nn.mlp((3,), 1, activation="tanh", bias_std=0.2)),
}


def test_every_backend_has_an_entry(backend):
    library = home(backend.array(np.ones(1))).library
    known = LIBRARIES.get(backend.name.split("-")[0], STANDARD)
    assert library is known
    assert library_of(backend.xp) is known
    assert library_of(standard_namespace(backend.xp)) is known


def test_entries_name_compilers_that_there_are():
    assert {library.compiler for library in LIBRARIES.values()} - {None} == set(COMPILERS)
    assert set(descriptions()) == set(LIBRARIES)


def test_tiles_are_written(backend):
    its_home = home(backend.array(np.ones(1)))
    empty, tile = backend.array(np.zeros((2, 4, 5))), backend.array(np.ones((2, 2, 3)))
    if backend.name == "numpy-readonly":
        empty = empty.copy()
    expected = np.zeros((2, 4, 5))
    expected[:, 1:3, 2:] = 1.0
    written = its_home.library.write(empty, tile, 1, 2)
    assert (written is empty) == its_home.library.writable
    backend.close(written, expected)


def test_arrays_with_values_are_not_refused(backend):
    x = backend.array(np.ones(2))
    library = home(x).library
    assert library.without_values(x) == ""
    assert not library.recorded(x)


@pytest.mark.host
def test_is_numpy():
    assert is_numpy(np.ones(1))

    assert not is_numpy(newarray.ones(1))
    assert not is_numpy(1.0)


@pytest.mark.host
@pytest.mark.parametrize(
    ("device", "expected"),
    [("cuda:0", True), ("TPU_0(process=0)", True), ("mps", True), ("TFRT_CPU_0", False), ("cpu", False)],
)
def test_accelerators_by_the_names_of_their_devices(device, expected):
    assert STANDARD.on_accelerator(device) is expected
    assert not LIBRARIES["numpy"].on_accelerator(device)


@pytest.mark.host
def test_a_library_without_an_entry_has_all_it_needs():
    x = newarray.asarray(np.random.default_rng(0).normal(size=(9, 4)))
    its_home = home(x)
    assert its_home.library is STANDARD
    assert not on_accelerator(its_home)
    assert available(its_home) is None or available(its_home) > 0
    assert compiler_for(newarray.ones((400, 400))) is None
    assert type(to_host(x)) is np.ndarray
    np.testing.assert_array_equal(to_host(true_indices(newarray.asarray([False, True, True]))), [1, 2])
    np.testing.assert_allclose(to_host(erf(x)), LIBRARIES["numpy"].erf(to_host(x)), rtol=1e-14)


@pytest.mark.host
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_of_a_library_without_an_entry(name):
    host = np.random.default_rng(0).normal(size=(9, 4))
    expected = KERNELS[name]()(host)
    for memory in ("1 GiB", 60_000):
        found = ntk.gram.assemble(KERNELS[name](), newarray.asarray(host), memory=memory)
        assert type(found) is type(newarray.ones(1))
        np.testing.assert_allclose(to_host(found), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.host
def test_training_and_prediction_of_a_library_without_an_entry():
    rng = np.random.default_rng(0)
    host, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))
    net = ntk.nn.mlp((16,), 1)

    def predicted(x, y):
        kernel = ntk.EmpiricalNTK(net, net.init(0, like=x))
        cost = SquaredError(EmpiricalMeasure(x), y)
        flow = ntk.dynamics.GradientFlow(kernel, cost)
        return to_host(flow.predict(x, 1.0))

    expected = predicted(host, y)
    np.testing.assert_allclose(predicted(newarray.asarray(host), newarray.asarray(y)), expected, rtol=0, atol=1e-10)


@pytest.mark.host
def test_an_entry_for_it(monkeypatch):
    """The steps of "How to add an array library": one entry answers every question that the standard leaves open."""
    asked = []

    def answering(name, answer):
        def answered(*arguments):
            asked.append(name)
            return answer(*arguments)

        return answered

    def written(result, tile, row, column):
        result = newarray.asarray(result, copy=True)
        return STANDARD.write(result, tile, row, column)

    entry = Library(
        "NewArray",
        "newarray",
        to_host=answering("to_host", lambda xp, x: x._host),
        erf=answering("erf", lambda x: newarray.asarray(LIBRARIES["numpy"].erf(x._host))),
        writable=False,
        write=answering("write", written),
        recorded=answering("recorded", lambda x: False),
        without_values=lambda x: "an array to come; compute it first" if x.shape == (1, 7) else "",
        on_accelerator=answering("on_accelerator", lambda device: True),
        free_memory=answering("free_memory", lambda device: 10**9),
        compiles_each_shape=True,
        true_indices=answering("true_indices", STANDARD.true_indices),
    )
    monkeypatch.setitem(LIBRARIES, "newarray", entry)
    x = newarray.asarray(np.random.default_rng(0).normal(size=(30, 4)))
    assert home(x).library is entry
    for kernel in KERNELS.values():
        found = ntk.gram.assemble(kernel(), x, memory=200_000)
        np.testing.assert_allclose(to_host(found), kernel()(to_host(x)), rtol=1e-12, atol=1e-12)
    erf(x), true_indices(newarray.asarray([True]))
    assert set(asked) == {"to_host", "erf", "write", "recorded", "on_accelerator", "free_memory", "true_indices"}
    with pytest.raises(TypeError, match=r"^NewArray arrays cannot be written in place: leave out=None"):
        Result(home(x), (2, 3), newarray.zeros((2, 3)))
    with pytest.raises(TypeError, match=r"^x1 is an array to come; compute it first$"):
        real_array("x1", newarray.zeros((1, 7)))
    assert descriptions()["newarray"] == "operation by operation"


@pytest.mark.host
def test_a_library_that_makes_another_dtype_is_refused():
    """As JAX does without its x64 switch."""
    narrow = home(np.ones(1))._replace(dtype=np.dtype("float64"), xp=_Narrow())
    with pytest.raises(ValueError, match=r"^narrow made float32 where float64 was asked for; for float64 in JAX call"):
        narrow.asarray([1.0])


class _Narrow:
    __name__ = "narrow"

    @staticmethod
    def asarray(host, dtype, device):
        return np.asarray(host, dtype=np.float32)
