"""Stores whose process is killed, and stores whose files are damaged: a few cases here, hundreds in long runs."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.gram import assemble

from ..reliability import cases
from .stores import BLOCKS, KERNEL, X, chunk, recorded, small_blocks

pytestmark = pytest.mark.host
KILLS, DAMAGES = cases(5, 200), cases(5, 200)

JOB = """
import sys, zarr
from tests.gram import stores
from ntk_array.gram import assemble, one_block, stored

stored.BLOCK = stores.SIDE**2
compute = one_block.OneBlock.__call__

def logged(self, tile):
    with open(sys.argv[2], "a") as file:
        print(tile.rows.start, tile.columns.start, file=file)
    return compute(self, tile)

one_block.OneBlock.__call__ = logged
print("begun", flush=True)
assemble(stores.KERNEL, stores.X, store=sys.argv[1])
"""


def marks(path):
    """The blocks that a reader would take for finished."""
    return {tuple(map(int, name.split("."))) for name in os.listdir(path / "marks") if not name.endswith(".partial")}


def test_killed_processes_lose_nothing(tmp_path, record_property):
    """At random moments, up to a little more than a job takes; the next process goes on."""
    rng = np.random.default_rng(0)
    expected, longest = KERNEL(X), 0.3
    killed = finished = recomputed = torn = lost = 0
    path, before = tmp_path / "0", set()
    while killed < KILLS:
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        command = [sys.executable, "-c", JOB, str(path), str(log)]
        job = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert job.stdout.readline() == b"begun\n"
        time.sleep(rng.uniform(0.0, longest))
        os.killpg(job.pid, signal.SIGKILL)
        done = job.wait() == 0
        job.stdout.close()
        killed += not done
        # Twice as fast machines are killed as often in the middle.
        longest = max(0.02, 0.8 * longest) if done else 1.05 * longest
        computed = {tuple(map(int, line.split())) for line in log.read_text().splitlines()} if log.exists() else set()
        recomputed += len({(20 * i, 20 * j) for i, j in before} & computed)
        if (path / "spec.json").exists():
            after = marks(path)
            lost += len(before - after)
            torn += len(ntk.gram.open(path).audit().damaged)
            before = after
        if done or len(before) == BLOCKS:
            store = assemble(KERNEL, X, store=path)
            np.testing.assert_allclose(store.array(), expected, rtol=0, atol=1e-12)
            finished += 1
            path, before = tmp_path / str(finished), set()
    record_property("kills", f"{killed} kills, {lost} lost, {torn} torn, {recomputed} computed again")
    assert (lost, torn, recomputed) == (0, 0, 0)
    store = assemble(KERNEL, X, store=path)
    np.testing.assert_allclose(store.array(), expected, rtol=0, atol=1e-12)
    assert not list(path.rglob("*.partial"))


def flip(content, rng):
    bit = int(rng.integers(8 * len(content)))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def truncate(content, rng):
    return content[: int(rng.integers(len(content)))]


def delete(content, rng):
    return None


@pytest.mark.parametrize("damage", [flip, truncate, delete])
def test_damage_is_noticed(tmp_path, monkeypatch, damage, record_property):
    """By an audit, by whoever reads that block, and by the next assembly, which repairs it."""
    small_blocks(monkeypatch)
    store = assemble(KERNEL, X, store=tmp_path / "theta")
    whole = store.array()
    rng, detected = np.random.default_rng(0), 0
    for _ in range(DAMAGES):
        row, column = sorted(rng.integers(5, size=2).tolist())
        file = chunk(store.path, row, column)
        content = file.read_bytes()
        changed = damage(content, rng)
        if changed is None:
            file.unlink()
        else:
            file.write_bytes(changed)
        tile = store.layout.tile(row, column)
        audited = ntk.gram.open(store.path).audit().damaged == [tile]
        with pytest.raises(
            ValueError, match=rf"rows {tile.rows.start}:.* and columns {tile.columns.start}:.* is damaged"
        ):
            store[column * 20, row * 20]  # the mirror image of the block
        detected += audited
        file.write_bytes(content)
    record_property("damages", f"{detected} of {DAMAGES} detected")
    assert detected == DAMAGES

    for own in ((1, 3), (2, 2)):
        file = chunk(store.path, *own)
        changed = damage(file.read_bytes(), rng)
        file.unlink()
        if changed is not None:
            file.write_bytes(changed)
    made = recorded(monkeypatch)
    store = assemble(KERNEL, X, store=store.path)
    assert [store.layout.number(tile) for tile in made] == [(1, 3), (2, 2)]
    assert store.finished
    np.testing.assert_array_equal(store.array(), whole)


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damaged_markers_are_noticed(tmp_path, monkeypatch, damage):
    """Also one of another block with its hash, and DONE."""
    small_blocks(monkeypatch)
    store = assemble(KERNEL, X, store=tmp_path / "theta")
    rng, whole = np.random.default_rng(1), store.array()
    mark = store.path / "marks" / "0.3"
    mark.write_bytes(damage(mark.read_bytes(), rng))
    done = store.path / "DONE"
    done.write_bytes(damage(done.read_bytes(), rng))
    assert not store.finished
    # A block and its marker in the place of another: equal bytes, and not that block.
    for folder, first, second in (("matrix/c", "0/1", "0/2"), ("marks", "0.1", "0.2")):
        (store.path / folder / second).write_bytes((store.path / folder / first).read_bytes())
    made = recorded(monkeypatch)
    store = assemble(KERNEL, X, store=store.path)
    assert [store.layout.number(tile) for tile in made] == [(0, 2), (0, 3)]
    np.testing.assert_array_equal(store.array(), whole)
