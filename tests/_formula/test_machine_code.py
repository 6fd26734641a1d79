"""Machine code in files: kept for the next process, and never a reason to fail."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ntk_array._formula import machine_code
from ntk_array._formula.machine_code import jit, loop_from

pytestmark = pytest.mark.host

CODE = """
import sys, numpy as np, ntk_array as ntk, numba
x = np.random.default_rng(0).normal(size=(200, 5))
total = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, bias_std=0.2))(x).sum()
loops = [module.loop for name, module in sys.modules.items() if name.startswith("ntk_array_loop")]
print(len(loops), sum(sum(loop.stats.cache_hits.values()) for loop in loops), repr(float(total)))
"""


def run(folder, first=""):
    """How many loops a process used, how many of them it found, and what it computed, after a statement of its own."""
    environment = {**os.environ, "NTK_ARRAY_CACHE": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", first + CODE], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    loops, found, total = done.stdout.split()
    return int(loops), int(found), total


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A cache folder that a process has filled, and what the process said."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, run(folder)


def test_machine_code_is_kept_for_the_next_process(kept):
    folder, (loops, found, total) = kept
    assert loops > 0
    assert found == 0
    assert run(folder) == (loops, loops, total)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("py", b"garbage ("), ("nbi", b""), ("nbi", bytes(500)), ("nbc", b"garbage ("), ("nbc", bytes(500))],
    ids=["py text", "nbi empty", "nbi zeros", "nbc text", "nbc zeros"],
)
def test_damaged_files_are_made_again(kept, kind, content):
    folder, (loops, _, total) = kept
    damaged = list(folder.rglob(f"*.{kind}"))
    assert damaged
    for path in damaged:
        path.write_bytes(content)
    assert run(folder)[::2] == (loops, total)
    assert run(folder) == (loops, loops, total)


def test_files_that_cannot_be_removed_are_left_alone(kept):
    folder, (loops, _, total) = kept
    indices = list(folder.rglob("*.nbi"))
    for path in indices:
        path.unlink()
        path.mkdir()
    assert run(folder) == (loops, 0, total)
    for path in indices:
        path.rmdir()
    run(folder)


def test_a_cache_folder_that_is_a_file(kept, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert run(file) == (kept[1][0], 0, kept[1][2])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser can write to every folder")
def test_a_read_only_folder(kept, tmp_path):
    tmp_path.chmod(0o500)
    assert run(tmp_path) == (kept[1][0], 0, kept[1][2])


@pytest.mark.parametrize("room", [0, 9000], ids=["none", "for the source"])
def test_a_full_disk(kept, tmp_path, room):
    """A limit on the size of files: writing beyond it is an OSError, as on a full disk, in temporary folders too."""
    pytest.importorskip("resource", reason="limits on files are of POSIX systems")
    done = run(tmp_path, f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))")
    assert done == (kept[1][0], 0, kept[1][2])
    assert not list(tmp_path.rglob("*.partial"))


def test_the_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("NTK_ARRAY_CACHE", str(tmp_path))
    assert list(machine_code._folders()) == [tmp_path / "ntk_array"]

    def nowhere(*args):
        raise RuntimeError("no home")

    monkeypatch.delenv("NTK_ARRAY_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert list(machine_code._folders()) == []


def double(x):
    for i in range(x.size):
        x[i] *= 2


def test_a_function_beside_its_file(monkeypatch, tmp_path):
    """Damage to its machine code is mended, and it runs once only for each call."""
    (tmp_path / "module.py").write_text("def double(x):\n    for i in range(x.size):\n        x[i] *= 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    from module import double

    for content in (None, b"garbage"):
        for path in tmp_path.rglob("*.nbi"):
            path.write_bytes(content)
        x = np.ones(3)
        jit(double)(x)
        assert x.tolist() == [2.0] * 3
    assert list(tmp_path.rglob("*.nbi"))


def test_where_numba_finds_no_folder(monkeypatch):
    import numba

    def refusing(**options):
        if options["cache"]:
            raise RuntimeError("cannot cache function: no locator available")
        return numba_njit(**options)

    numba_njit = numba.njit
    monkeypatch.setattr(numba, "njit", refusing)
    x = np.ones(3)
    jit(double)(x)
    assert x.tolist() == [2.0] * 3


def test_errors_of_the_loop_itself_are_raised(monkeypatch, tmp_path):
    monkeypatch.setenv("NTK_ARRAY_CACHE", str(tmp_path))
    with pytest.raises(Exception, match="undefined"):
        loop_from(f"from numba import njit\n@njit(**{machine_code.OPTIONS})\ndef loop(x):\n    return undefined\n")(1)


def test_lack_of_memory_is_not_mended():
    def full(kept):
        assert kept, "made once only"

        def run():
            raise MemoryError

        return run

    with pytest.raises(MemoryError):
        machine_code._Loop(full)()
