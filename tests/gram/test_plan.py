"""Tiles: that they cover the matrix, and fit the memory."""

import sys

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array._formula.numba_loops import ENOUGH
from ntk_array.gram import plan
from ntk_array.gram.plan import _Bytes

RELU = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))


def empirical(x, outputs="full", width=8):
    net = ntk.nn.mlp((width,), 3)
    return ntk.EmpiricalNTK(net, net.init(0, like=x), outputs)


@pytest.mark.parametrize("memory", [10_000, 100_000, 10**6, "2 GiB"])
@pytest.mark.parametrize(("n1", "n2"), [(1, 1), (1, 40), (40, 1), (23, 40), (301, 300), (37, None), (301, None)])
def test_every_entry_belongs_to_one_tile(memory, n1, n2):
    """Where the matrix is symmetric, the tiles above its diagonal and their mirror images do the same."""
    x1, x2 = np.ones((n1, 2)), None if n2 is None else np.ones((n2, 2))
    for kernel in (RELU, empirical(x1)):
        scheme = plan(kernel, x1, x2, memory=memory, threads=1)
        seen = np.zeros((n1, n2 or n1), dtype=int)
        tiles = 0
        for r in scheme.rows():
            for c in scheme.columns(r.start if n2 is None else 0):
                tiles += 1
                seen[r, c] += 1
                if n2 is None and r != c:
                    seen[c, r] += 1
                assert r.stop - r.start <= scheme.tile[0]
                assert c.stop - c.start <= scheme.tile[1]
        assert (seen == 1).all()
        assert tiles == len(scheme)
        assert scheme.working_bytes <= ntk.gram.memory.bytes_of("memory", memory)


def test_shapes_and_bytes_of_results():
    x, x2 = np.ones((5, 2), dtype=np.float32), np.ones((4, 2), dtype=np.float32)
    shapes = {"full": (15, 12), "classwise": (3, 5, 4), "trace": (5, 4), "sum_of_logits": (5, 4)}
    for outputs, shape in shapes.items():
        scheme = plan(empirical(x, outputs), x, x2)
        assert scheme.shape == shape
        assert scheme.result_bytes == 4 * np.prod(shape)
    assert plan(empirical(x), x).shape == (15, 15)


def test_the_largest_tile_that_fits():
    costs = _Bytes(per_entry=10, per_input=7)
    for room in (24, 100, 1234, 10**6):
        side, same = costs.tile(10**6, 10**6, True, room, 10**9, 1)
        assert side == same
        assert costs.of_tile(side, side) <= room < costs.of_tile(side + 1, side + 1)
    rows, columns = costs.tile(3, 10**6, False, 10**4, 10**9, 1)
    assert rows == 3
    assert costs.of_tile(3, columns) <= 10**4
    assert costs.of_tile(3, columns + 3) > 10**4  # evened out over its tiles
    assert costs.tile(10**6, 10**6, True, 10**9, 64, 1) == (8, 8)
    assert costs.tile(2, 10**6, False, 10**9, 64, 1) == (2, 32)


@pytest.mark.parametrize(("n1", "n2"), [(300, 300), (400, 400), (1000, 190), (190, 5000), (40, 3000), (257, 600)])
def test_tiles_are_large_enough_to_compile_their_loops(n1, n2):
    x = np.ones((max(n1, n2), 2))
    cases = [(x[:n1], x[:n2])] + ([(x[:n1],)] if n1 == n2 else [])
    for inputs in cases:
        for threads in (1, 2, 64):
            scheme = plan(RELU, *inputs, threads=threads)
            # the last tile along an axis may be a few entries smaller
            assert scheme.tile[0] * scheme.tile[1] >= ENOUGH, scheme
    costs = _Bytes(per_entry=10, per_input=7)
    assert costs.tile(30, 30, True, 10**9, 400, 256) == (30, 30)
    assert costs.tile(30, 30, True, 10 * 450, 400, 256) == (15, 15)  # no room for more than the wanted ones


def test_prepared_inputs_are_kept_where_they_fit():
    x = np.random.default_rng(0).normal(size=(200, 4))
    kernel = empirical(x, width=64)
    generous, tight = (plan(kernel, x, memory=memory, threads=1) for memory in ("2 GiB", "300 kB"))
    assert generous.keeps
    assert not tight.keeps
    assert tight.working_bytes <= 300_000


def test_no_more_threads_than_tiles():
    assert plan(RELU, np.ones((10, 2)), threads=8).threads == 1
    assert plan(RELU, np.ones((1000, 2)), threads=8).threads == 8


def test_threads_are_those_of_matrix_products():
    from threadpoolctl import threadpool_limits

    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            assert plan(RELU, np.ones((1000, 2))).threads == threads


def test_what_it_says():
    scheme = plan(RELU, np.ones((900, 2)), threads=1)
    assert repr(scheme) == (
        "Plan(6 tiles of 300 x 300 inputs, 1 at once; 6.18 MiB for the result (900, 900), "
        f"{scheme.working_bytes / 2**20:.3g} MiB to work)"
    )


def test_bad_arguments(backend):
    x = backend.array(np.ones((4, 2)))
    with pytest.raises(TypeError, match=r"^kernel must be a kernel such as ntk_array.InfiniteNTK\(net\), got <class"):
        plan(ntk.InfiniteNTK, x)
    with pytest.raises(TypeError, match=r"^kernel must be a kernel such as ntk_array.InfiniteNTK\(net\), got 'relu'"):
        plan("relu", x)
    with pytest.raises(ValueError, match=r"^memory='50 B' is too little: a tile of one entry takes"):
        plan(RELU, x, memory="50 B", threads=1)
    with pytest.raises(ValueError, match=r"^threads must be a whole number of at least 1, got 0"):
        plan(RELU, x, threads=0)
    if not backend.name.startswith("numpy"):
        with pytest.raises(ValueError, match=r"^threads=2 is for NumPy arrays; leave threads=None"):
            plan(RELU, x, threads=2)


def test_small_matrices_are_one_tile():
    """Matrix products share the processors there; with threads that were asked for, tiles do."""
    x = np.ones((64, 2))
    net = ntk.nn.mlp((8,), 10)
    kernel = ntk.EmpiricalNTK(net, net.init(0, like=x))
    assert len(plan(kernel, x)) == 1
    assert len(plan(kernel, x, memory="1 MB")) > 1
    assert len(plan(kernel, x, threads=2)) > 1


def test_little_memory_takes_fewer_threads(monkeypatch):
    """However many processors a machine has, what one thread can compute is not refused, unless more were asked for."""
    module = sys.modules["ntk_array.gram.plan"]  # the package has the function under this name
    monkeypatch.setattr(module, "thread_count", lambda x, threads: 64 if threads is None else threads)
    x = np.ones((9, 2))
    with pytest.raises(ValueError, match="on each of 64 threads takes"):
        plan(RELU, x, memory="1 KB", threads=64)
    assert 1 <= plan(RELU, x, memory="1 KB").threads < 64


def test_the_least_memory_is_enough():
    x = np.ones((9, 2))
    for kernel in (RELU, empirical(x)):
        with pytest.raises(ValueError, match=r"takes ([\d.]+) (KiB|B)$") as error:
            plan(kernel, x, memory=1, threads=3)
        number, unit = str(error.value).split()[-2:]
        least = int(float(number) * {"B": 1, "KiB": 1024}[unit]) + 6  # three digits of up to 1024
        assert plan(kernel, x, memory=least, threads=3).tile == (1, 1)
