"""Blocks of a matrix on disk on a Dask cluster whose workers are killed: one run here, many in long runs."""

import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.gram import assemble, dask_cluster

from ..reliability import cases
from .stores import BLOCKS, KERNEL, SIDE, X, small_blocks

distributed = pytest.importorskip("distributed", reason="needs dask[distributed], which .[scale] has")

pytestmark = pytest.mark.host
RUNS = cases(1, 20)
SURVIVED = cases(1, 3)
"""Deaths of workers that a block survives; in long runs as many as Dask allows unless it is told otherwise."""
STARTED = cases(0.2, 1.0)
"""Seconds until Dask knows that a worker has started: one that dies before is not replaced."""
MATRIX = KERNEL(X)


@dataclass(frozen=True)
class Deadly(ntk.Kernel):
    """A kernel that kills the process which computes certain blocks: those that have a file in a folder.

    A file in "once" has the seconds until then, and is used up.
    """

    folder: str

    def prepare(self, x):
        return KERNEL.prepare(x)

    def prepared_block(self, prepared1, prepared2):
        values = KERNEL.prepared_block(prepared1, prepared2)
        folder, block = Path(self.folder), f"{values.flat[0]:.9e}"
        with open(folder / "log", "a") as file:
            print(block, file=file)
        once = folder / "once" / block
        if (folder / "always" / block).exists():
            time.sleep(STARTED)
            os.kill(os.getpid(), signal.SIGKILL)
        if once.exists():
            delay = float(once.read_text())
            once.unlink()
            time.sleep(STARTED)
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            time.sleep(0.005)
        return values

    def block_diagonal(self, x):
        return KERNEL.block_diagonal(x)


@dataclass(frozen=True)
class Missing(Deadly):
    """A kernel of which a file is missing."""

    def prepare(self, x):
        return open(Path(self.folder) / "missing")


def block(row, column):
    """The name of a block there."""
    return f"{MATRIX[row * SIDE, column * SIDE]:.9e}"


@pytest.fixture
def client():
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": SURVIVED}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def folder(tmp_path, monkeypatch):
    small_blocks(monkeypatch)
    for name in ("once", "always"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.filterwarnings("ignore:the Dask cluster has no worker")  # where both are started anew
@pytest.mark.parametrize("run", range(RUNS))
def test_workers_that_are_killed(client, folder, record_property, run):
    """One or both, in the middle of a block: others finish it, and no block is computed again that was finished."""
    rng = np.random.default_rng(run)
    blocks = [(i, j) for i in range(5) for j in range(i, 5)]
    killing = rng.permutation(BLOCKS)[: 1 + run % 2]
    for chosen in killing:
        (folder / "once" / block(*blocks[chosen])).write_text(str(rng.uniform(0.0, 0.02)))
    store = assemble(Deadly(str(folder)), X, store=folder / "theta", executor=client)
    assert store.finished
    assert not list((folder / "once").iterdir())
    np.testing.assert_allclose(store.array(), MATRIX, rtol=0, atol=1e-13)
    assert not list(store.path.rglob("*.partial"))
    computed = len((folder / "log").read_text().split())
    assert computed <= BLOCKS + len(killing)
    record_property("cluster", f"{len(killing)} workers killed, {computed - BLOCKS} unfinished blocks begun again")


def test_a_block_that_always_kills_its_worker(client, folder, record_property):
    (folder / "always" / block(2, 3)).touch()
    kernel, path = Deadly(str(folder)), folder / "theta"
    start = time.perf_counter()
    with pytest.raises(BrokenExecutor, match=r"workers have died that had the block of .*rows 40:60 and columns 60:80"):
        assemble(kernel, X, store=path, executor=client)
    seconds = time.perf_counter() - start
    record_property("killer", f"named after {SURVIVED + 1} deaths and {seconds:.0f} s")
    assert seconds < 60
    (folder / "always" / block(2, 3)).unlink()
    np.testing.assert_allclose(assemble(kernel, X, store=path).array(), MATRIX, rtol=0, atol=1e-13)


@pytest.mark.parametrize("deaths", [0, 2])
def test_a_cluster_without_workers(folder, monkeypatch, deaths):
    """Where no block is to blame it is waited for one, and that is said."""
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.3)
    monkeypatch.setattr(dask_cluster, "_suspicions", partial(_suspicions, deaths))
    quiet = {"dashboard_address": ":0", "processes": False}
    with distributed.LocalCluster(n_workers=0, **quiet) as cluster, distributed.Client(cluster) as client:
        if deaths:
            with pytest.raises(BrokenExecutor, match=r"2 workers have died .*columns 80:100 or 10 more of"):
                assemble(KERNEL, X, store=folder / "theta", executor=client)
            return
        timer = threading.Timer(1.0, cluster.scale, (1,))
        timer.start()
        with pytest.warns(UserWarning, match="the Dask cluster has no worker at present: waiting for one"):
            store = assemble(KERNEL, X, store=folder / "theta", executor=client)
        timer.join()
    np.testing.assert_allclose(store.array(), MATRIX, rtol=0, atol=1e-13)


def _suspicions(deaths, dask_scheduler):
    return dict.fromkeys(dask_scheduler.tasks, deaths)


def test_errors_of_tasks_name_their_block(folder):
    """In whichever way Dask is asked."""
    quiet = {"dashboard_address": ":0", "processes": False}
    with distributed.LocalCluster(n_workers=1, **quiet) as cluster, distributed.Client(cluster) as client:
        for executor in (client, client.get_executor()):
            with pytest.raises(FileNotFoundError) as caught:
                assemble(Missing(str(folder)), X, store=folder / "theta", executor=executor)
            assert "in the block of rows" in caught.value.__notes__[0]
        store = assemble(KERNEL, X, store=folder / "other", executor=client.get_executor())
    np.testing.assert_allclose(store.array(), MATRIX, rtol=0, atol=1e-13)
