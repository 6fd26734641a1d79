"""Gram matrices on disk, against the same matrices in memory."""

import errno
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.gram import assemble, one_block
from ntk_array.gram.blocks import Blocks
from ntk_array.gram.lease import lease

from .stores import BLOCKS, KERNEL, SIDE, X, chunk, recorded, small_blocks

N = len(X)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small_blocks(monkeypatch)


@pytest.fixture
def matrix():
    return KERNEL(X)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "theta"
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        return assemble(KERNEL, X, store=path)


@pytest.fixture
def finished(made_once, tmp_path):
    """A copy of a finished store."""
    return ntk.gram.open(shutil.copytree(made_once.path, tmp_path / "theta"))


# ---- the same numbers as in memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "two"), [("scalar", False), ("classwise", False), ("full", False), ("full", True), ("monte carlo", True)]
)
def test_every_kind_is_what_the_kernel_gives(backend, tmp_path, kind, two):
    if backend.name == "jax" and kind != "classwise":
        pytest.skip("JAX compiles for every shape: one kind of kernel")
    x = backend.array(X[:26])
    inputs = (x, backend.array(X[:19] + 0.5)) if two else (x,)
    net = ntk.nn.mlp((6,), 3, activation="tanh", bias_std=0.1)
    kernel = {
        "scalar": ntk.InfiniteNNGP(ntk.nn.mlp((1,), 1)),
        "classwise": 2.0 * ntk.EmpiricalNTK(net, net.init(0, like=x), outputs="classwise"),
        "full": ntk.EmpiricalNTK(net, net.init(0, like=x)),
        "monte carlo": ntk.MonteCarloNTK(net, 2, 0),
    }[kind]
    store = assemble(kernel, *inputs, store=tmp_path / "theta")
    block = backend.host(kernel(*inputs))
    expected = block.reshape(3 * len(block), -1) if kind == "full" else block
    assert store.finished
    assert len(store.layout) >= 2
    assert store.dtype == backend.dtype_name
    assert store.shape == expected.shape
    backend.close(store.array(), expected, factor=50)
    np.testing.assert_array_equal(store[[3, -1, 3], 25:5:-7], store.array()[..., [3, -1, 3], :][..., 25:5:-7])
    if not two:
        np.testing.assert_array_equal(store.array(), np.matrix_transpose(store.array()))
        backend.close(store.diagonal(), kernel.diag(x), factor=50)
    v = np.random.default_rng(1).normal(size=(expected.shape[-1], 2))
    backend.close(store @ backend.array(v), expected @ v, factor=1e3)
    backend.close(store @ backend.array(v[:, 0]), expected @ v[:, 0], factor=1e3)


@pytest.mark.host
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(None), slice(None)),
        (slice(95, None, -3), slice(0, 0)),
        (7, slice(15, 45)),
        (slice(15, 45), np.int64(-1)),
        (99, 0),
        ([5, 70, 5], [99, 0, 41]),
        (np.arange(N) % 3 == 0, np.asarray([-100, 99])),
    ],
)
def test_parts(finished, rows, columns):
    """Zarr itself reads the triangle on disk, and NumPy mirrors it and picks."""
    import zarr

    upper = zarr.open_array(finished.path / "matrix", mode="r")[:]
    whole = np.where(np.isnan(upper), upper.T, upper)
    assert np.isnan(upper[SIDE:, :SIDE]).all(), "blocks below the diagonal are not stored"
    np.testing.assert_array_equal(finished[rows, columns], whole[rows, :][..., columns])
    np.testing.assert_array_equal(finished[rows], whole[rows])


@pytest.mark.host
@pytest.mark.parametrize("index", [(100, 0), ([0, -101], 0), (0.5, 0), ([[1]], 0), ("a", 0), (0, 0, 0), ([True], 0)])
def test_what_is_no_part(finished, index):
    with pytest.raises(IndexError):
        finished[index]


@pytest.mark.host
def test_a_product_reads_each_block_once(finished, matrix, monkeypatch):
    read, own = [], Blocks.read
    monkeypatch.setattr(Blocks, "read", lambda self, tile: read.append(tile) or own(self, tile))
    np.testing.assert_allclose(finished @ np.ones(N), matrix.sum(axis=1), rtol=1e-12)
    assert len(read) == len(set(map(str, read))) == BLOCKS
    np.testing.assert_allclose(
        finished.product(np.asarray([50, 1]), np.arange(9), np.ones((9, 1)))[:, 0], matrix[[50, 1], :9].sum(axis=1)
    )
    with pytest.raises(ValueError, match=r"v has shape \(3,\); expected \(100,\)"):
        finished @ np.ones(3)
    with pytest.raises(TypeError, match="v has dtype float32, the store has float64"):
        finished @ np.ones(N, dtype=np.float32)


@pytest.mark.host
def test_a_store_travels(finished, matrix, tmp_path):
    other = pickle.loads(pickle.dumps(ntk.gram.open(str(tmp_path / "theta"))))
    assert other.path == finished.path
    assert repr(other) == f"Store({str(finished.path)!r}, scalar, (100, 100), float64, finished)"
    np.testing.assert_allclose(np.asarray(other, dtype=np.float32), matrix, rtol=1e-6)
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(other, copy=False)


# ---- resuming --------------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_finished_blocks_are_not_computed_again(tmp_path, monkeypatch, matrix):
    made, bars = recorded(monkeypatch), []
    compute = one_block.OneBlock.__call__

    def failing(self, tile):
        if len(made) == 7:
            raise ArithmeticError("no number")
        return compute(self, tile)

    monkeypatch.setattr(one_block.OneBlock, "__call__", failing)
    path = tmp_path / "theta"
    with pytest.raises(ArithmeticError) as caught:
        assemble(KERNEL, X, store=path)
    assert caught.value.__notes__ == [f"in the block of rows 20:40 and columns 60:80 of {path}"]
    store = ntk.gram.open(path)
    found = store.audit()
    assert (found.whole, found.blocks, len(found.missing), found.damaged) == (False, BLOCKS, BLOCKS - 7, [])
    np.testing.assert_allclose(store[:20], matrix[:20], rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=r"is not finished: the blocks of rows 20:40 and columns 60:80; rows 20:40"):
        store[:, 25]
    assert not store.finished

    first = list(made)
    monkeypatch.setattr(one_block.OneBlock, "__call__", compute)
    import tqdm

    class Bar(tqdm.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append((self.desc, self.initial, self.total))

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    store = assemble(KERNEL, X, store=path, memory="1 GiB", progress=True)
    assert len(made) == BLOCKS
    assert not set(map(str, made[7:])) & set(map(str, first))
    assert bars == [("audit", 0, N * N), ("Gram matrix", 2 * 400 + 5 * 800, N * N), ("audit", 0, N * N)]
    np.testing.assert_allclose(store.array(), matrix, rtol=0, atol=1e-13)

    assemble(KERNEL, X, store=path)
    assert len(made) == BLOCKS, "nothing is computed of a finished matrix"


def test_another_library_goes_on(backend, tmp_path, monkeypatch):
    """Where the numbers of the inputs are the same."""
    if backend.name == "jax":
        pytest.skip("JAX compiles for every shape")
    x = backend.array(X)
    assemble(KERNEL, backend.host(x), store=tmp_path / "theta")
    made = recorded(monkeypatch)
    chunk(tmp_path / "theta", 0, 1).unlink()
    store = assemble(KERNEL, x, store=tmp_path / "theta")
    assert len(made) == 1
    backend.close(store.array(), KERNEL(x), factor=50)


def _net(**options):
    return ntk.nn.mlp((1,), 1, **{"bias_std": 0.1, **options})


@pytest.mark.host
@pytest.mark.parametrize(
    ("kernel", "x", "message"),
    [
        (KERNEL, np.nextafter(X, 9.0), r"x1: .*sha256.* there, .*sha256.* now"),
        (KERNEL, X[:99], r"inputs: \[100, 100\] there, \[99, 99\] now"),
        (KERNEL, X.astype(np.float32), r'dtype: "float64" there, "float32" now'),
        (ntk.InfiniteNNGP(_net()), X, r'kernel.class: ".*InfiniteNTK" there, ".*InfiniteNNGP" now$'),
        (ntk.InfiniteNTK(_net(bias_std=0.2)), X, r"layers\[0\].bias_std: 0.1 there, 0.2 now"),
        (ntk.InfiniteNTK(_net(activation="gelu")), X, r"layers\[1\].class"),
        (ntk.InfiniteNTK(_net(), trainable="last"), X, r'kernel.trainable: null there, "last" now'),
        (2.0 * KERNEL, X, "kernel.factor: null there, 2.0 now"),
    ],
)
def test_another_matrix_is_refused(finished, monkeypatch, kernel, x, message):
    made, before = recorded(monkeypatch), finished.array()
    with pytest.raises(ValueError, match=rf"holds another Gram matrix, which is left as it is.*differ in .*{message}"):
        assemble(kernel, x, store=finished.path)
    assert not made
    assert finished.finished
    np.testing.assert_array_equal(finished.array(), before)


@pytest.mark.host
def test_another_version_does_not_go_on(finished, monkeypatch):
    monkeypatch.setattr("ntk_array.gram.spec.installed_version", lambda name: "9.9")
    assemble(KERNEL, X, store=finished.path)
    chunk(finished.path, 1, 1).unlink()
    with pytest.raises(ValueError, match=r"was begun by ntk_array .*, and this is 9\.9"):
        assemble(KERNEL, X, store=finished.path)


@pytest.mark.host
def test_a_second_driver_is_refused(tmp_path, matrix):
    (tmp_path / "theta").mkdir()
    held = lease(tmp_path / "theta")
    with (
        held,
        pytest.raises(BlockingIOError, match=f"is being written by process {os.getpid()} on {socket.gethostname()}"),
    ):
        assemble(KERNEL, X, store=tmp_path / "theta")
    np.testing.assert_allclose(assemble(KERNEL, X, store=tmp_path / "theta").array(), matrix, rtol=0, atol=1e-13)


FORKING = """
import os, sys, time
from pathlib import Path
from ntk_array.gram.lease import lease

with lease(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os.close(1)  # the pipe, whose end is waited for
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    os._exit(0)
"""


@pytest.mark.host
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that are forked")
def test_a_process_that_was_forked_off_does_not_hold_the_folder(tmp_path):
    """As those of a pool are: they may outlive the process that was killed."""
    done = subprocess.run([sys.executable, "-c", FORKING, str(tmp_path)], check=True, stdout=subprocess.PIPE, text=True)
    try:
        with lease(tmp_path):
            pass
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


# ---- room ------------------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_a_full_disk_in_the_middle(tmp_path, monkeypatch, matrix):
    resource = pytest.importorskip("resource", reason="limits of files")
    made, written, write = recorded(monkeypatch), [], Blocks.write
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def filling(self, tile, values):
        written.append(tile)
        if len(written) == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        write(self, tile, values)

    monkeypatch.setattr(Blocks, "write", filling)
    try:
        with pytest.raises(OSError, match=r"the disk is full: 10 blocks are missing and take \d+ bytes") as caught:
            assemble(KERNEL, X, store=tmp_path / "theta")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    found = ntk.gram.open(tmp_path / "theta").audit()
    assert (len(found.missing), found.damaged) == (10, [])
    assert not list((tmp_path / "theta").rglob("*.partial"))
    np.testing.assert_allclose(assemble(KERNEL, X, store=tmp_path / "theta").array(), matrix, rtol=0, atol=1e-13)
    assert len(made) == 7 + 10  # the seventh block was computed while the sixth was written


@pytest.mark.host
def test_what_does_not_fit_is_refused_before_work_starts(tmp_path, monkeypatch):
    made, path = recorded(monkeypatch), tmp_path / "theta"
    needed = BLOCKS * (8 * SIDE**2 + 4 + 4096)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": needed - 1}))
    with pytest.raises(
        OSError, match=rf"{needed} bytes .* are needed for 15 blocks, and {needed - 1} .* are free"
    ) as full:
        assemble(KERNEL, X, store=path)
    assert full.value.errno == errno.ENOSPC
    monkeypatch.setattr("ntk_array.gram.memory.host_memory", lambda: 20_000)
    with pytest.raises(MemoryError, match=r"^making blocks of 20 x 20 inputs takes \d+ bytes .*, and 19.5 KiB"):
        assemble(KERNEL, X, store=path)
    assert not made
    monkeypatch.undo()
    small_blocks(monkeypatch)
    store = assemble(KERNEL, X, store=path)
    with pytest.raises(ValueError, match=r"memory=10000 is too little: blocks of 20 x 20 inputs take 12.5 KiB"):
        assemble(KERNEL, X, store=path, memory=10_000)
    monkeypatch.setattr("ntk_array.gram.memory.host_memory", lambda: 80_000)
    with pytest.raises(MemoryError, match=r"^a part of the shape \(100, 100\) takes 86400 bytes"):
        store.array()
    assert store[:50].shape == (50, 100)


RESIDENT = """
import sys
import numpy as np, ntk_array as ntk

def peak():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(status["VmHWM"].split()[0])

x = np.random.default_rng(0).normal(size=(2600, 8)).astype(np.float32)
kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
ntk.gram.assemble(kernel, x[:800], threads=2, store={path!r} + "/first")  # what importing and compiling take
before = peak()
store = ntk.gram.assemble(kernel, x, memory={budget}, threads=2, store={path!r} + "/theta")
store @ x
print(4 * store.shape[0] ** 2, peak() - before)
assert not {{"dask", "distributed", "torch", "jax"}} & set(sys.modules)
"""


@pytest.mark.host
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak")
def test_the_process_stays_within_its_budget(tmp_path, record_property):
    """A matrix of five times the budget: resident memory grows by the budget and a tenth of it at most."""
    budget = 5_400_000
    code = RESIDENT.format(path=str(tmp_path), budget=budget)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    matrix, grown = map(int, done.stdout.split())
    record_property("R8", f"{grown / budget:.2f} of the budget (on disk)")
    assert matrix > 5 * budget
    assert grown <= 1.1 * budget


# ---- folders and files that are no store -----------------------------------------------------------------------------


@pytest.mark.host
def test_folders_of_something_else(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"has other files in it, such as 'thesis.txt'; give an empty folder"):
        assemble(KERNEL, X, store=tmp_path)
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "chapter.1.partial").write_text("years of work")
    with pytest.raises(ValueError, match=r"has other files in it, such as 'chapter\.1\.partial'"):
        assemble(KERNEL, X, store=tmp_path / "draft")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "spec.json.1a2b3c4d.partial").write_text("{")
    assert assemble(KERNEL, X, store=tmp_path / "begun").finished
    assemble(KERNEL, X, store=tmp_path / "begun")
    assert not list((tmp_path / "begun").glob("*.partial"))
    (tmp_path / "kernels" / "matrix").mkdir(parents=True)
    (tmp_path / "kernels" / "matrix" / "mine.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"kernels/matrix has other files in it, such as 'mine.txt'"):
        assemble(KERNEL, X, store=tmp_path / "kernels")
    with pytest.raises(ValueError, match=r"is a file; give a folder"):
        assemble(KERNEL, X, store=tmp_path / "thesis.txt")
    with pytest.raises(FileNotFoundError, match="is not the folder of a Gram matrix"):
        ntk.gram.open(tmp_path)
    with pytest.raises(ValueError, match="give out= or store=, not both"):
        assemble(KERNEL, X, store=tmp_path / "a", out=np.empty((N, N)))


@pytest.mark.host
@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("spec.json", lambda text: text[:-20], "spec.json is damaged"),
        ("spec.json", lambda text: "[]", "spec.json is damaged: it is no JSON object"),
        ("spec.json", lambda text: " " * 5_000_000, "spec.json is damaged: it has more than 4000000 bytes"),
        ("spec.json", lambda text: "[" * 100_000, "spec.json is damaged"),
        ("spec.json", lambda text: text.replace('"bias_std": 0.1', '"bias_std": 0.3'), "spec.json is damaged"),
        (
            "spec.json",
            lambda text: text.replace("gram 1", "gram 2"),
            "has schema 'ntk_array gram 2'; this version reads",
        ),
        ("matrix/zarr.json", lambda text: text.replace("crc32c", "gzip"), "zarr.json is damaged"),
        ("matrix/zarr.json", lambda text: text.replace("20", "25"), "zarr.json is damaged"),
        ("matrix/zarr.json", lambda text: None, "zarr.json cannot be read"),
    ],
)
def test_damaged_descriptions(finished, file, change, message):
    path = finished.path / file
    text = change(path.read_text())
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        ntk.gram.open(finished.path)
    if file == "spec.json":
        with pytest.raises(ValueError, match=message):
            assemble(KERNEL, X, store=finished.path)
    else:
        assert assemble(KERNEL, X, store=finished.path).finished, "what follows from spec.json is written again"
        assert ntk.gram.open(finished.path).audit().whole


@pytest.mark.host
@pytest.mark.parametrize(
    "change",
    [
        {"block": [0, 20]},
        {"block": [20]},
        {"block": [10**30, 10**30], "inputs": [10**30, 10**30]},
        {"inputs": [100, 90]},
        {"dtype": "object"},
        {"kind": "../../etc"},
        {"symmetric": 1},
        {"outputs": "3"},
        {"more": 1},
    ],
    ids=str,
)
def test_hostile_layouts(finished, change):
    """With the right hash, as whoever made the file would see to."""
    import hashlib

    from ntk_array._array.description import canonical

    path = finished.path / "spec.json"
    tree = json.loads(path.read_text())
    del tree["sha256"]
    tree["layout"] |= change
    path.write_text(json.dumps({**tree, "sha256": hashlib.sha256(canonical(tree)).hexdigest()}))
    with pytest.raises(ValueError, match=r"spec\.json is damaged"):
        ntk.gram.open(finished.path)


@pytest.mark.host
def test_numbers_that_are_not_finite_are_not_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(one_block.OneBlock, "__call__", lambda self, tile: np.full((SIDE, SIDE), np.inf))
    with pytest.raises(FloatingPointError, match="the kernel is NaN or infinite") as caught:
        assemble(KERNEL, X, store=tmp_path / "theta")
    assert "rows 0:20 and columns 0:20" in caught.value.__notes__[0]
    assert len(ntk.gram.open(tmp_path / "theta").audit().missing) == BLOCKS


@pytest.mark.host
def test_a_disk_that_gives_back_other_numbers(tmp_path, monkeypatch):
    """At once, and until the audit at the end."""
    read = Blocks.read
    monkeypatch.setattr(Blocks, "read", lambda self, tile: read(self, tile) + (tile.columns.start == 40))
    with pytest.raises(OSError, match="the disk gives back other numbers than were written") as caught:
        assemble(KERNEL, X, store=tmp_path / "theta")
    assert caught.value.errno == errno.EIO
    assert "rows 0:20 and columns 40:60" in caught.value.__notes__[0]
    monkeypatch.undo()

    small_blocks(monkeypatch)
    mark = Blocks.mark

    def late(self, tile, values):
        mark(self, tile, values)
        if tile.rows.start == 80:
            chunk(self.folder, 0, 0).unlink()

    monkeypatch.setattr(Blocks, "mark", late)
    with pytest.raises(OSError, match="blocks changed on the disk after they were written: rows 0:20 and columns 0:20"):
        assemble(KERNEL, X, store=tmp_path / "theta")
    assert not ntk.gram.open(tmp_path / "theta").finished
    monkeypatch.undo()
    assert assemble(KERNEL, X, store=tmp_path / "theta").finished


@pytest.mark.host
def test_a_finished_block_has_no_nan(finished):
    """Written by Zarr itself, with the right size and checksum."""
    import zarr

    zarr.open_array(finished.path / "matrix", mode="r+")[20, 40] = np.nan
    with pytest.raises(ValueError, match=r"the block of rows 20:40 and columns 40:60 in .* is damaged"):
        finished[20:40, 40:60]
    assert len(finished.audit().damaged) == 1


@pytest.mark.host
def test_a_block_that_may_not_be_read_is_not_damaged(finished, monkeypatch):
    def refused(self, tile):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("ntk_array.gram.blocks.Blocks.read", refused)
    with pytest.raises(PermissionError):
        finished.audit()


@pytest.mark.host
def test_no_solution_of_a_matrix_between_two_batches(tmp_path):
    store = assemble(KERNEL, X, X[:50], store=tmp_path / "theta")
    with pytest.raises(ValueError, match="is between two batches; a Gram matrix is that of a batch with itself"):
        ntk.solve.solve(store, np.ones(N), ridge=1.0)


@pytest.mark.host
def test_what_is_missing_on_this_system(tmp_path, monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "zarr", None)
        with pytest.raises(ImportError, match=r"stores need zarr: pip install .*scale") as refused:
            assemble(KERNEL, X, store=tmp_path / "theta")
        assert not getattr(refused.value, "__notes__", [])  # of a block that was computed in vain
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(OSError, match=r"stores need file locks \(fcntl\), which this system does not have"):
        assemble(KERNEL, X, store=tmp_path / "theta")
    monkeypatch.undo()
    (tmp_path / "theta" / "lock").write_text("no JSON")
    with lease(tmp_path / "theta"):
        (tmp_path / "theta" / "lock").write_text("no JSON")
        with pytest.raises(BlockingIOError, match="is being written by another process"):
            assemble(KERNEL, X, store=tmp_path / "theta")


@pytest.mark.host
def test_a_kernel_that_is_too_long_to_describe(tmp_path, monkeypatch):
    monkeypatch.setattr("ntk_array.gram.spec.MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"the description of the kernel takes \d+ bytes, more than a store keeps"):
        assemble(KERNEL, X, store=tmp_path / "theta")
    with pytest.raises(AttributeError, match="has no attribute 'close'"):
        ntk.gram.close  # noqa: B018
