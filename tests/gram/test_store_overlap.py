"""Blocks of matrices on disk that are computed while the block before is written."""

import threading
import time
import tracemalloc

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.gram import assemble, one_block, stored
from ntk_array.gram.blocks import Blocks
from ntk_array.gram.lease import lease
from ntk_array.gram.plan import plan_for

from .stores import BLOCKS, KERNEL, SIDE, X, recorded, small_blocks

pytestmark = pytest.mark.host
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small_blocks(monkeypatch)


def nothing_is_left(path):
    """No thread, and nobody holds the folder."""
    with lease(path):
        return not [thread.name for thread in threading.enumerate() if thread.name.startswith("ntk_array")]


def failing(monkeypatch, owner, name, number, error, before=lambda: None):
    """Have a method fail from the call of this number on."""
    calls, own = [], getattr(owner, name)

    def method(*args):
        calls.append(args)
        if len(calls) >= number:
            before()
            raise error
        return own(*args)

    monkeypatch.setattr(owner, name, method)


def test_the_next_block_is_computed_while_one_is_written(tmp_path, monkeypatch):
    """Each block but the last is only written once the next one is begun."""
    made, written, write = recorded(monkeypatch), [], Blocks.write
    path = tmp_path / "theta"

    def waiting(self, tile, values):
        written.append(threading.current_thread())
        end = time.monotonic() + PATIENCE
        while len(made) == len(written) < BLOCKS:
            assert time.monotonic() < end
            time.sleep(1e-4)
        write(self, tile, values)

    monkeypatch.setattr(Blocks, "write", waiting)
    store = assemble(KERNEL, X, store=path)
    np.testing.assert_allclose(store.array(), KERNEL(X), rtol=0, atol=1e-13)
    assert len(written) == BLOCKS
    assert set(written) != {threading.current_thread()}
    assert len(set(written)) == 1
    assert nothing_is_left(path)


def test_little_memory_is_for_one_block_at_a_time(tmp_path, monkeypatch):
    threads, write = set(), Blocks.write

    def recording(self, tile, values):
        threads.add(threading.current_thread())
        write(self, tile, values)

    monkeypatch.setattr(Blocks, "write", recording)
    block = 8 * SIDE**2
    for number, alone in ((19, True), (20, False)):
        threads.clear()
        store = assemble(KERNEL, X, store=tmp_path / str(number), memory=number * block, threads=1)
        assert store.layout.block == (SIDE, SIDE)
        assert (threads == {threading.current_thread()}) == alone


def test_an_error_of_the_disk_comes_before_one_of_the_next_block(tmp_path, monkeypatch):
    computed = threading.Event()
    failing(monkeypatch, Blocks, "write", 3, ValueError("no such block"), lambda: computed.wait(PATIENCE))
    failing(monkeypatch, one_block.OneBlock, "__call__", 4, ArithmeticError("no number"), computed.set)
    path = tmp_path / "theta"
    with pytest.raises(ValueError, match="no such block") as caught:
        assemble(KERNEL, X, store=path)
    assert caught.value.__notes__ == [f"in the block of rows 0:20 and columns 40:60 of {path}"]
    assert isinstance(caught.value.__context__, ArithmeticError)
    assert len(ntk.gram.open(path).audit().missing) == BLOCKS - 2
    assert nothing_is_left(path)


@pytest.mark.parametrize("error", [ArithmeticError, KeyboardInterrupt])
def test_a_block_that_is_being_written_is_finished(tmp_path, monkeypatch, error):
    """Where the next one fails, or the user ends it."""
    failed, write = threading.Event(), Blocks.write

    def slow(self, tile, values):
        if tile.columns.start == 60:
            assert failed.wait(PATIENCE)
        write(self, tile, values)

    monkeypatch.setattr(Blocks, "write", slow)
    with monkeypatch.context() as patch:
        failing(patch, one_block.OneBlock, "__call__", 5, error("enough"), failed.set)
        path = tmp_path / "theta"
        with pytest.raises(error, match="enough"):
            assemble(KERNEL, X, store=path)
    assert len(ntk.gram.open(path).audit().missing) == BLOCKS - 4
    assert nothing_is_left(path)
    made = recorded(monkeypatch)
    assert assemble(KERNEL, X, store=path).finished
    assert len(made) == BLOCKS - 4


def test_an_interruption_between_two_blocks(tmp_path, monkeypatch):
    """The error keeps the frames that it went through alive, and with them the work that was open."""
    import tqdm

    class Bar(tqdm.tqdm):
        def update(self, n=1):
            super().update(n)
            if self.n == 400 + 2 * 800:
                raise KeyboardInterrupt

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    path = tmp_path / "theta"
    with pytest.raises(KeyboardInterrupt) as caught:
        assemble(KERNEL, X, store=path, progress=True)
    assert caught.tb is not None
    assert nothing_is_left(path)
    assert len(ntk.gram.open(path).audit().missing) == BLOCKS - 3


@pytest.mark.parametrize("networks", [0, 2])
def test_memory_beside_a_block_that_is_written(tmp_path, monkeypatch, networks):
    """R8: all that exists at once, where the next block is done before the one before is read back."""
    side, size = 500, 8 * 500**2
    small_blocks(monkeypatch, side)
    x = np.random.default_rng(0).normal(size=(3 * side, 4))
    kernel = ntk.MonteCarloNTK(ntk.nn.mlp((8,), 1), networks, 0) if networks else KERNEL
    assemble(kernel, x[:600], store=tmp_path / "first", threads=1)  # what is compiled and kept
    read, done, compute = Blocks.read, threading.Semaphore(0), one_block.OneBlock.__call__

    def marking(self, tile):
        values = compute(self, tile)
        done.release()
        return values

    def late(self, tile):
        values = read(self, tile)
        if threading.current_thread() is not threading.main_thread():
            done.acquire(timeout=0.2)  # the last block has no next one
        return values

    monkeypatch.setattr(one_block.OneBlock, "__call__", marking)
    monkeypatch.setattr(Blocks, "read", late)
    held = stored._held(kernel, True) * size
    tiles = stored.SHARE * held - held
    stated = plan_for(kernel, x[:side], x[:side], tiles, 1).working_bytes
    tracemalloc.start()
    try:
        assemble(kernel, x, store=tmp_path / "theta", memory=stored.SHARE * held, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= held + stated
