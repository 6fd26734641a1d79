"""Gram matrices in tiles: against formulas entry by entry, against one block, and how they end early."""

import _thread
import math
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.gram import assemble, plan

from ..backends import backend_named

TIGHT = "4 kB"


@pytest.fixture
def x(backend, rng):
    return backend.array(rng.normal(size=(17, 3)))


@pytest.fixture
def x2(backend, rng):
    return backend.array(rng.normal(size=(7, 3)))


def kernels(x):
    """Kernels of every kind, and the ways that they combine."""
    net = ntk.nn.mlp((7, 5), 2, activation="erf", weight_std=1.5, bias_std=0.2)
    params = net.init(0, like=x)
    outputs = {name: ntk.EmpiricalNTK(net, params, name) for name in ("full", "trace", "classwise", "sum_of_logits")}
    infinite = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, bias_std=0.3))
    return {
        "ntk": infinite,
        "nngp": ntk.InfiniteNNGP(net),
        **outputs,
        "last": ntk.EmpiricalNTK(net, params, "classwise", trainable="last"),
        "outputs": ntk.EmpiricalNNGP(net, params),
        "sum": 0.5 * outputs["trace"] + infinite,
        "product": outputs["classwise"] * outputs["classwise"],
        "monte carlo": ntk.MonteCarloNTK(net, 3, 0),
    }


KERNELS = pytest.mark.parametrize("name", kernels(np.ones((1, 3))))


def whole(backend, kernel, *inputs):
    """One block, on the host, as assembled matrices are laid out."""
    block = backend.host(kernel(*inputs))
    n1, *_, n2 = block.shape[0], block.shape[-1]
    return block.reshape(n1 * n2, -1) if kernel.kind == "full" else block


# ---- values ----------------------------------------------------------------------------------------------------------


def test_a_relu_network_entry_by_entry(backend, x, x2):
    """One hidden layer, one entry after the other in Python: Cho and Saul 2009, eq. 6; Jacot et al. 2018, Theorem 1."""

    def theta(u, v):
        k11, k22, k12 = (
            2 * sum(a * b for a, b in zip(p, q, strict=True)) / 3 + 0.09 for p, q in ((u, u), (v, v), (u, v))
        )
        t = math.acos(max(-1.0, min(1.0, k12 / math.sqrt(k11 * k22))))
        value = math.sqrt(k11 * k22) / (2 * math.pi) * (math.sin(t) + (math.pi - t) * math.cos(t))
        return 2 * value + 0.09 + 2 * k12 * (math.pi - t) / (2 * math.pi)

    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, bias_std=0.3))
    rows, columns = (backend.host(a).astype(float).tolist() for a in (x, x2))
    expected = np.asarray([[theta(u, v) for v in columns] for u in rows])
    backend.close(assemble(kernel, x, x2, memory=TIGHT), expected, factor=20)
    # acos loses half of the digits on the diagonal
    symmetric = np.asarray([[theta(u, v) for v in rows] for u in rows])
    off = 1 - np.eye(17)
    backend.close(off * backend.host(assemble(kernel, x, memory=TIGHT)), off * symmetric, factor=20)


def test_gradients_of_a_finite_network_multiplied_out(backend, x, x2):
    """f_c = s/sqrt(n) v_c . tanh(s/sqrt(d) W x): output c of input n is in row n C + c."""
    net = ntk.nn.mlp((7,), 2, activation="tanh", weight_std=1.5)
    params = net.init(0, like=x)
    w, v = (backend.host(params[layer]["weight"]).astype(float) for layer in (0, 2))

    def gradients(batch):
        rows = []
        for u in backend.host(batch).astype(float):
            h = np.tanh(1.5 / math.sqrt(3) * w @ u)
            for c in range(2):
                inner = np.outer(1.5 / math.sqrt(7) * v[c] * (1 - h**2), 1.5 / math.sqrt(3) * u)
                readout = np.zeros((2, 7))
                readout[c] = 1.5 / math.sqrt(7) * h
                rows.append(np.concatenate([inner.ravel(), readout.ravel()]))
        return np.stack(rows)

    one, two = gradients(x), gradients(x2)
    full, classwise = (ntk.EmpiricalNTK(net, params, outputs) for outputs in ("full", "classwise"))
    backend.close(assemble(full, x, x2, memory=TIGHT), one @ two.T, factor=50)
    backend.close(assemble(full, x, memory=TIGHT), one @ one.T, factor=50)
    expected = np.stack([one[c::2] @ two[c::2].T for c in range(2)])
    backend.close(assemble(classwise, x, x2, memory=TIGHT), expected, factor=50)


@KERNELS
def test_tiles_do_not_change_values(backend, x, x2, name):
    kernel, tiles = kernels(x)[name], set()
    for inputs in ((x,), (x, x2)):
        expected = whole(backend, kernel, *inputs)
        for memory in (TIGHT, "2 GiB"):
            k = assemble(kernel, *inputs, memory=memory, threads=1)
            tiles.add(len(plan(kernel, *inputs, memory=memory, threads=1)))
            assert k.dtype == backend.dtype
            backend.close(k, expected, factor=8)
            if len(inputs) == 1:
                host = backend.host(k)
                np.testing.assert_array_equal(host, np.swapaxes(host, -1, -2))
    assert min(tiles) == 1 < max(tiles)


def test_the_diagonal_is_exact(backend, x):
    """With ReLU, K(x, x) halves and the slope is 1/2 at an angle of 0: fractions, without rounding."""
    w2, b2 = Fraction(2), Fraction(0.3) ** 2
    exact = []
    for row in backend.host(x).tolist():
        k, theta = sum(Fraction(entry) ** 2 for entry in row) / 3, Fraction(0)
        for layer in range(3):
            k = w2 * k + b2
            theta = k + w2 * theta
            k, theta = (k / 2, theta / 2) if layer < 2 else (k, theta)
        exact.append(float(theta))
    kernel = kernels(x)["ntk"]
    tiles = np.diagonal(backend.host(assemble(kernel, x, memory=TIGHT)))
    np.testing.assert_allclose(tiles, np.asarray(exact), rtol=8 * backend.eps)
    if backend.name != "jax":  # XLA rounds the last entries of a tile by its shape: products and sums become one step
        np.testing.assert_array_equal(tiles, np.diagonal(whole(backend, kernel, x)))


@pytest.mark.parametrize("activation", ["tanh", "softplus", "elu"])
def test_tables_of_tiles_agree(activation):
    """Tables cover the norms of one tile: they differ, within their errors."""
    backend = backend_named("numpy")
    x = np.random.default_rng(0).normal(size=(40, 5))
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation=activation, bias_std=0.1))
    backend.close(assemble(kernel, x, memory="80 kB", threads=1), kernel(x), factor=1, scale=1e-13 / backend.eps)


def test_rows_of_a_given_matrix(backend, rng):
    host = rng.normal(size=(9, 9))
    matrix = backend.array(host @ host.T)
    rows = backend.array(np.asarray([[4.0], [0.0], [8.0], [4.0], [5.0]]))
    expected = backend.host(matrix)[np.ix_([4, 0, 8, 4, 5], [4, 0, 8, 4, 5])]
    np.testing.assert_array_equal(backend.host(assemble(ntk.Precomputed(matrix), rows, memory="1 kB")), expected)


# ---- where results go ------------------------------------------------------------------------------------------------


def test_out_is_written_in_place(backend, x, x2):
    for name in ("ntk", "full", "classwise"):
        kernel = kernels(x)[name]
        expected = backend.host(assemble(kernel, x, x2))
        out = backend.zeros(expected.shape)
        if backend.name == "jax":
            with pytest.raises(TypeError, match=r"^JAX arrays cannot be written in place"):
                assemble(kernel, x, x2, out=out)
            continue
        assert assemble(kernel, x, x2, out=out, memory=TIGHT) is out
        backend.close(out, expected, factor=8)


def test_a_file_and_a_view_as_out(tmp_path):
    x = np.random.default_rng(0).normal(size=(23, 3))
    kernel = kernels(x)["full"]
    expected = kernel(x).reshape(46, 46)
    file = np.memmap(tmp_path / "gram", dtype=float, mode="w+", shape=(46, 46))
    view = np.zeros((50, 92))[2:48, ::2]
    for out in (file, view):
        assert assemble(kernel, x, out=out, memory="40 kB", threads=2) is out
        np.testing.assert_allclose(out, expected, atol=1e-13)


# ---- passes over the inputs ------------------------------------------------------------------------------------------


class Recorded(ntk.EmpiricalNTK):
    """An empirical kernel that counts its passes."""

    def prepare(self, x):
        passes.append(x.shape[0])
        return super().prepare(x)


passes: list[int] = []


def test_each_input_is_prepared_once_where_that_fits():
    x = np.random.default_rng(0).normal(size=(40, 3))
    net = ntk.nn.mlp((64,), 1)
    kernel = Recorded(net, net.init(0, like=x))
    expected = kernel(x).reshape(40, 40)
    for memory, kept in (("200 kB", True), ("60 kB", False)):
        scheme = plan(kernel, x, memory=memory, threads=1)
        assert scheme.keeps == kept
        assert len(scheme) > 1
        passes.clear()
        np.testing.assert_allclose(assemble(kernel, x, memory=memory, threads=1), expected, atol=1e-13)
        assert (sum(passes) == 40) == kept  # and none for the plan


# ---- threads ---------------------------------------------------------------------------------------------------------


@KERNELS
def test_threads_do_not_change_values(name):
    rng = np.random.default_rng(0)
    x, x2 = rng.normal(size=(90, 3)), rng.normal(size=(50, 3))
    kernel = kernels(x)[name]
    for inputs in ((x,), (x, x2)):
        alone = assemble(kernel, *inputs, threads=1)
        for threads in (2, 3):
            assert plan(kernel, *inputs, memory="150 kB", threads=threads).threads == threads
            together = assemble(kernel, *inputs, memory="150 kB", threads=threads)
            np.testing.assert_allclose(together, alone, rtol=0, atol=8 * 2.3e-16 * np.max(alone))


class Watched(ntk.InfiniteNTK):
    """An infinite-width kernel that tells when a block begins."""

    def specialized(self, x1, x2):
        return self

    def prepared_block(self, x1, x2):
        watch()
        return super().prepared_block(x1, x2)


def watch(): ...


def watching(monkeypatch, function):
    monkeypatch.setattr(sys.modules[__name__], "watch", function)
    return Watched(ntk.nn.mlp((1,), 1)), np.random.default_rng(0).normal(size=(60, 3))


def stray_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ntk_array")]


def blas_threads():
    from threadpoolctl import threadpool_info

    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_matrix_products_have_one_thread_meanwhile(monkeypatch):
    from threadpoolctl import threadpool_limits

    seen = []
    kernel, x = watching(monkeypatch, lambda: seen.append((threading.current_thread().name, blas_threads())))
    with threadpool_limits(2, user_api="blas"):
        assemble(kernel, x, memory="60 kB")
        assert blas_threads() == {2}
    _, *tiles = seen  # the first is the corner that the plan looks at
    assert len(tiles) > 5
    assert all(limits == {1} for _, limits in tiles)
    assert {name for name, _ in tiles} == {threading.current_thread().name, "ntk_array-gram-1"}
    assert not stray_threads()


def test_assemblies_that_overlap_leave_the_threads_as_they_were():
    """The one that starts first ends first, and must not put back its limit while the other runs."""
    from ntk_array.gram.threads import workers

    before = blas_threads()
    one, two = workers(2), workers(2)
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert blas_threads() == {1}
    two.__exit__(None, None, None)
    assert blas_threads() == before


def test_networks_are_drawn_once_for_all_tiles(monkeypatch):
    x = np.random.default_rng(0).normal(size=(50, 3))
    drawn = []
    init = ntk.nn.Sequential.init
    monkeypatch.setattr(ntk.nn.Sequential, "init", lambda *a, **k: drawn.append(1) or init(*a, **k))
    kernel = ntk.MonteCarloNTK(ntk.nn.mlp((8,), 2), 4, 0)
    whole = kernel(x)
    assert len(drawn) == 4
    assert len(plan(kernel, x, memory="30 kB", threads=1)) > 4
    assert len(drawn) == 4  # planning runs no kernel
    np.testing.assert_allclose(assemble(kernel, x, memory="30 kB", threads=1), whole, rtol=1e-13)
    assert len(drawn) == 8
    out = np.empty((50, 50))
    sums = ntk.InfiniteNTK(ntk.nn.mlp((8,), 2)) + 2.0 * kernel
    assert assemble(sums, x, memory="30 kB", threads=1, out=out) is out
    np.testing.assert_allclose(out, sums(x), rtol=1e-13)
    assert len(drawn) == 16


def test_a_tile_is_data_and_computing_one_a_function():
    """What a store on disk and workers elsewhere need: everything survives pickling."""
    import pickle

    from ntk_array.gram.tiled import compute

    x = np.random.default_rng(0).normal(size=(50, 3))
    for kernel in (ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, bias_std=0.1)), kernels(x)["full"]):
        scheme = plan(kernel, x, memory="40 kB", threads=1)
        tiles, kernel = pickle.loads(pickle.dumps((list(scheme.tiles()), kernel)))
        whole, matrix = assemble(kernel, x), np.zeros(scheme.shape)
        c = scheme.outputs
        for tile in tiles:
            block = compute(kernel, kernel.prepare(x[tile.rows]), kernel.prepare(x[tile.columns]), tile)
            rows, columns = (slice(s.start * c, s.stop * c) for s in (tile.rows, tile.columns))
            matrix[rows, columns] = block
            if tile.mirrored:
                matrix[columns, rows] = block.T
        np.testing.assert_allclose(matrix, whole, rtol=0, atol=1e-13 * np.max(whole))


def test_derivatives_are_computed_in_tiles():
    x = np.random.default_rng(0).normal(size=(300, 3))
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="tanh", bias_std=0.1))
    slope = kernel.gradient(x, wrt="log_weight_std")["log_weight_std"]
    derivative = kernel.derivative("log_weight_std")
    assert len(plan(derivative, x, memory="1 MB", threads=2)) > 4
    np.testing.assert_allclose(assemble(derivative, x, memory="1 MB", threads=2), slope, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(slope, slope.T)
    product = (kernel * (2.0 * kernel)).derivative("log_weight_std")
    np.testing.assert_allclose(product.values(x[:20], None), (4.0 * kernel(x[:20])) * slope[:20, :20], rtol=1e-9)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_names_its_tile(monkeypatch, threads):
    calls = []

    def fail_late():
        calls.append(None)
        if len(calls) > 4:
            raise ArithmeticError("no number")

    kernel, x = watching(monkeypatch, fail_late)
    before = blas_threads()
    with pytest.raises(ArithmeticError, match=r"^no number\nin the tile of rows \d+:\d+ and columns \d+:\d+$"):
        assemble(kernel, x, memory="60 kB", threads=threads)
    assert len(calls) < 5 + 2 * threads
    assert blas_threads() == before
    assert not stray_threads()


@pytest.mark.parametrize("threads", [1, 2])
def test_control_c_leaves_finished_tiles_and_no_thread(monkeypatch, request, threads):
    # Where the tests run in the background this signal is ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    calls = []

    def interrupt_once():
        calls.append(None)
        if len(calls) == 5:
            _thread.interrupt_main()
        time.sleep(0.02)  # as long as Python takes to switch threads, and more

    kernel, x = watching(monkeypatch, interrupt_once)
    out = np.full((60, 60), np.nan)
    scheme = plan(kernel, x, memory="60 kB", threads=threads)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        assemble(kernel, x, memory="60 kB", threads=threads, out=out)
    assert len(calls) < 5 + 2 * threads < len(scheme)
    assert not stray_threads()
    done = np.isfinite(out)
    assert 0 < done.sum() < done.size
    np.testing.assert_allclose(out[done], kernel(x)[done], atol=1e-13)


def test_an_error_before_the_first_tile_of_a_row_names_the_row():
    x = np.ones((30, 2))

    class Choosy(ntk.EmpiricalNTK):
        def prepare(self, x):
            if x[0, 0] > 1:
                raise ArithmeticError("no number")
            return super().prepare(x)

    x[20:] = 2.0
    net = ntk.nn.mlp((64,), 1)
    kernel = Choosy(net, net.init(0, like=x))
    assert not plan(kernel, x, memory="20 kB", threads=1).keeps
    with pytest.raises(ArithmeticError, match=r"^no number\nin the tile of rows \d+:\d+"):
        assemble(kernel, x, memory="20 kB", threads=1)


# ---- progress and memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [1, 2])
def test_the_bar_counts_every_entry(monkeypatch, inputs):
    import tqdm

    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    x = np.random.default_rng(0).normal(size=(30, 3))
    assemble(kernels(x)["full"], *(x, x[:7])[:inputs], memory="20 kB", threads=2, progress=True)
    (bar,) = bars
    assert bar.n == bar.total == 60 * (60, 14)[inputs - 1]


@pytest.mark.host
@pytest.mark.parametrize("progress", [False, True])
def test_tables_have_a_bar_where_it_is_asked_for(capsys, progress):
    x = np.random.default_rng(0).normal(size=(5, 3))
    assemble(ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="elu", bias_std=0.1)), x, progress=progress)
    assert ("dual activations" in capsys.readouterr().err) == progress


def test_what_does_not_fit_is_refused_before_work_starts(backend, monkeypatch):
    blocks = []
    kernel, _ = watching(monkeypatch, lambda: blocks.append(None))
    x = backend.array(np.ones((1000, 2)))
    scheme = plan(kernel, x, memory="4 MB")
    itemsize = 4 if backend.dtype_name == "float32" else 8
    assert scheme.result_bytes == itemsize * 10**6
    needed = scheme.result_bytes + scheme.working_bytes
    monkeypatch.setattr("ntk_array.gram.memory.available", lambda home: needed - 1)
    with pytest.raises(MemoryError, match=rf"^the kernel matrix \(1000, 1000\), of .* takes {needed} bytes"):
        assemble(kernel, x, memory="4 MB")
    assert not blocks


def test_out_needs_no_new_memory(monkeypatch):
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))
    x = np.random.default_rng(0).normal(size=(50, 2))
    scheme = plan(kernel, x, memory="60 kB", threads=1)
    monkeypatch.setattr("ntk_array.gram.memory.host_memory", lambda: scheme.working_bytes)
    with pytest.raises(MemoryError):
        assemble(kernel, x, memory="60 kB", threads=1)
    np.testing.assert_allclose(assemble(kernel, x, memory="60 kB", threads=1, out=np.empty((50, 50))), kernel(x))


ACTIVATIONS = ("identity", "relu", "erf", "gelu", "sin", "tanh")


def traced_peak(function):
    """Bytes of NumPy arrays and Python objects that the call takes at most, with what it returns."""
    function()  # what is made once and kept, such as tables
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [*ACTIVATIONS, *kernels(np.ones((1, 3)))])
def test_plans_do_not_underestimate(name):
    x = np.random.default_rng(0).normal(size=(300, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)  # tables for one norm are quick
    if name in ACTIVATIONS:
        kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, activation=name, bias_std=0.1))
    else:
        kernel = kernels(x)[name]
    n = 60 if name == "full" else 300
    for inputs in ((x[:n],), (x[:n], x[: n // 2])):
        for memory in ("1 MB", "3 MB"):
            scheme = plan(kernel, *inputs, memory=memory, threads=1)
            peak = traced_peak(lambda: assemble(kernel, *inputs, memory=memory, threads=1))  # noqa: B023
            assert peak <= scheme.result_bytes + scheme.working_bytes + 100_000, scheme  # objects, and what is kept
            # An average holds matrices of its own.
            assert scheme.working_bytes - (name == "monte carlo") * 3 * scheme.result_bytes <= float(memory[0]) * 1e6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("features", [3, 100])
def test_plans_do_not_underestimate_where_all_inputs_are_near(dtype, features):
    """Their angles come from differences of inputs, pair by pair."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=features) + 1e-3 * rng.normal(size=(300, features))).astype(dtype)
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, bias_std=0.1))
    scheme = plan(kernel, x, memory="2 MB", threads=1)
    peak = traced_peak(lambda: assemble(kernel, x, memory="2 MB", threads=1))
    assert peak <= scheme.result_bytes + scheme.working_bytes + 100_000


@pytest.mark.parametrize("memory", [2_000_000, 12_000_000])
@pytest.mark.parametrize(("outputs", "n"), [("trace", 600), ("classwise", 600), ("full", 400)])
def test_factors_of_wide_networks_stay_within_the_budget(memory, outputs, n):
    """Kept for all inputs, or for a row of tiles."""
    x = np.random.default_rng(0).normal(size=(n, 20))
    net = ntk.nn.mlp((64, 64), 3)
    kernel = ntk.EmpiricalNTK(net, net.init(0, like=x), outputs)
    scheme = plan(kernel, x, memory=memory, threads=1)
    assert scheme.keeps == (memory > 10**7)
    assert len(scheme) > 2
    peak = traced_peak(lambda: assemble(kernel, x, memory=memory, threads=1))
    assert peak <= scheme.result_bytes + scheme.working_bytes + 100_000


RESIDENT = """
import numpy as np, ntk_array as ntk

def peak():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(status["VmHWM"].split()[0])

x = np.random.default_rng(0).normal(size=(2600, 8)).astype(np.float32)
kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
ntk.gram.assemble(kernel, x[:400], threads=2)  # what importing, compiling and starting take
before = peak()
result = ntk.gram.assemble(kernel, x, memory={budget}, threads=2)
print(result.nbytes, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak")
def test_the_process_stays_within_its_budget():
    """A result of five times the budget: resident memory grows by both, and a tenth of the budget."""
    budget = 5_400_000
    code = RESIDENT.format(budget=budget)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    result, grown = map(int, done.stdout.split())
    assert result > 5 * budget
    assert result < grown <= result + 1.1 * budget
