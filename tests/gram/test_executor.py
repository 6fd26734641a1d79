"""Blocks of a matrix on disk in other threads and processes."""

import multiprocessing
import os
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.gram import assemble, one_block

from .stores import BLOCKS, KERNEL, X, chunk, recorded, small_blocks

pytestmark = pytest.mark.host


@dataclass(frozen=True)
class Fatal(ntk.Kernel):
    """A kernel that ends its process, wherever that is not the one of the tests."""

    inner: ntk.Kernel
    tests: int

    def prepared_block(self, prepared1, prepared2):
        if os.getpid() != self.tests:
            os._exit(1)
        return self.inner.prepared_block(prepared1, prepared2)

    def prepare(self, x):
        return self.inner.prepare(x)

    def block_diagonal(self, x):
        return self.inner.block_diagonal(x)


def processes(number):
    return ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small_blocks(monkeypatch)


def test_processes_compute_blocks(tmp_path):
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.1))
    with processes(2) as pool:
        store = assemble(kernel, X, X[:33] + 1.0, store=tmp_path / "theta", executor=pool)
    np.testing.assert_allclose(store.array(), kernel(X, X[:33] + 1.0), rtol=0, atol=1e-13)


def test_a_process_that_dies(tmp_path):
    kernel = Fatal(KERNEL, os.getpid())
    with processes(1) as pool, pytest.raises(BrokenExecutor) as caught:
        assemble(kernel, X, store=tmp_path / "theta", executor=pool)
    assert "perhaps for want of memory; no finished block is lost" in caught.value.__notes__[0]
    assert len(ntk.gram.open(tmp_path / "theta").audit().missing) == BLOCKS
    store = assemble(kernel, X, store=tmp_path / "theta")
    np.testing.assert_allclose(store.array(), KERNEL(X), rtol=0, atol=1e-13)


def test_threads_go_on_where_a_block_failed(tmp_path, monkeypatch):
    """Inputs that are damaged in the folder are written again, and inputs that are there are not."""
    made, compute = recorded(monkeypatch), one_block.OneBlock.__call__

    def failing(self, tile):
        if tile.rows.start == 40 and tile.columns.start == 60:
            raise ArithmeticError("no number")
        return compute(self, tile)

    path = tmp_path / "theta"
    monkeypatch.setattr(one_block.OneBlock, "__call__", failing)
    with ThreadPoolExecutor(2) as pool, pytest.raises(ArithmeticError, match="no number") as caught:
        assemble(KERNEL, X, store=path, executor=pool)
    assert caught.value.__notes__ == [f"in the block of rows 40:60 and columns 60:80 of {path}"]
    first = len(made)
    assert BLOCKS - len(ntk.gram.open(path).audit().missing) == first < BLOCKS

    monkeypatch.setattr(one_block.OneBlock, "__call__", compute)
    kept = path / "inputs" / "x1.npy"
    content = kept.read_bytes()
    kept.write_bytes(content[:-9])
    with ThreadPoolExecutor(2) as pool:
        store = assemble(KERNEL, X, store=path, executor=pool)
        assert len(made) == BLOCKS
        assert kept.read_bytes() == content
        before = kept.stat().st_ino
        chunk(path, 0, 4).unlink()
        assert assemble(KERNEL, X, store=path, executor=pool).finished
    assert kept.stat().st_ino == before
    np.testing.assert_allclose(store.array(), KERNEL(X), rtol=0, atol=1e-13)


class Silent(Executor):
    """The first task fails, and no other is heard of again: as of Dask's, where they end while they are cancelled."""

    def __init__(self):
        self.futures = []

    def submit(self, *task):
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_exception(OSError("gone"))
        return self.futures[-1]


def test_cancelled_tasks_are_not_waited_for(tmp_path):
    executor = Silent()
    with pytest.raises(OSError, match="gone"):
        assemble(KERNEL, X, store=tmp_path / "theta", executor=executor)
    assert all(future.cancelled() for future in executor.futures[1:])
    assert len(executor.futures) == BLOCKS


def test_inputs_that_were_exchanged_are_noticed(tmp_path):
    path = tmp_path / "theta"
    with ThreadPoolExecutor(1) as pool:
        store = assemble(KERNEL, X, store=path, executor=pool)
    np.save(path / "inputs" / "x1.npy", X + 1.0)
    one_block._LAST.clear()
    (path / "marks" / "0.0").unlink()
    task = (str(path), store.described()["store"], KERNEL, 10**6, 1, 0, 0)
    with pytest.raises(ValueError, match="does not hold the inputs that are named"):
        one_block.finish_from_folder(*task)
    with pytest.raises(FileNotFoundError, match="is not the folder of a Gram matrix"):
        one_block.finish_from_folder(str(tmp_path), *task[1:])
    with pytest.raises(ValueError, match="holds another Gram matrix than the one that this block is of"):
        one_block.finish_from_folder(str(path), "the digest of another", *task[2:])


def test_what_an_executor_needs(tmp_path):
    strict = pytest.importorskip("array_api_strict", reason="the second library")
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="executor= needs store="):
            assemble(KERNEL, X, executor=pool)
        with pytest.raises(ValueError, match="executor= is for NumPy arrays"):
            assemble(KERNEL, strict.asarray(X), store=tmp_path / "theta", executor=pool)
    with pytest.raises(TypeError, match=r"executor must be an executor of .* or a dask.distributed.Client, got a str"):
        assemble(KERNEL, X, store=tmp_path / "theta", executor="dask")
    # As dask.distributed has it: a real one starts a cluster.
    waits = {"__module__": "distributed.client", "asynchronous": True, "get_executor": None}
    with pytest.raises(TypeError, match="executor is an asynchronous client, for which nothing here can wait"):
        assemble(KERNEL, X, store=tmp_path / "theta", executor=type("Client", (), waits)())
