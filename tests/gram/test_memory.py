"""Amounts of memory."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from ntk_array._array.namespace import Home, home
from ntk_array.gram import memory
from ntk_array.gram.memory import available, bytes_of, on_accelerator, readable


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2 GiB", 2 * 2**30),
        ("512 MB", 512_000_000),
        ("1.5kB", 1500),
        (" 3 tib ", 3 * 2**40),
        ("64k", 64_000),
        ("7 B", 7),
        ("7", 7),
        (7, 7),
        (np.int64(7), 7),
    ],
)
def test_amounts(text, number):
    assert bytes_of("memory", text) == number


@pytest.mark.parametrize("bad", ["", "GiB", "2 GiBs", "-1 MB", "1 iB", "two", "0 MB", "0.4 B", 0, -1, 2.5, True, None])
def test_what_is_no_amount(bad):
    with pytest.raises(
        ValueError, match=r'^memory must be text such as "2 GiB" or "512 MB", or a number of bytes, got'
    ):
        bytes_of("memory", bad)


def test_text_for_people():
    assert [readable(n) for n in (0, 999, 1000, 2**20, 1_500_000_000, 2**50)] == [
        "0 B",
        "999 B",
        "0.977 KiB",
        "1 MiB",
        "1.4 GiB",
        "1.02e+03 TiB",
    ]


def test_memory_of_the_host(monkeypatch):
    here = home(np.ones(1))
    physical = 10**9 if not hasattr(memory.os, "sysconf") else memory.os.sysconf("SC_PHYS_PAGES") * 4096
    assert 2**20 < available(here) <= 64 * physical

    def missing(*args, **kwargs):
        raise OSError

    monkeypatch.setattr("builtins.open", missing)
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert available(here) == 40960
    monkeypatch.setattr(memory.os, "sysconf", missing)
    assert available(here) is None


def test_memory_of_devices(monkeypatch):
    """With stand-ins for the libraries: what is free, and what their pools hold unused."""

    class Device:
        def __str__(self):
            return "<CUDA Device 0>"

        def __enter__(self): ...

        def __exit__(self, *args): ...

    cuda = SimpleNamespace(
        memory_reserved=lambda _: 50, memory_allocated=lambda _: 20, mem_get_info=lambda _: (1000, 2000)
    )
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(runtime=SimpleNamespace(memGetInfo=lambda: (300, 400))),
        get_default_memory_pool=lambda: SimpleNamespace(free_bytes=lambda: 7),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for name, device, free in (("torch", "cuda:0", 1030), ("cupy", Device(), 307), ("jax.numpy", "cuda:0", None)):
        place = Home(SimpleNamespace(__name__=name), None, device)
        assert on_accelerator(place)
        assert available(place) == free
    assert not on_accelerator(home(np.ones(1)))


VERSION_1 = {
    "own": "4:memory:/job/step\n2:cpu,cpuacct:/other\n0::/\n",
    "memory/job/step": {"limit_in_bytes": 2**63 - 4096, "usage_in_bytes": 900, "stat": "total_inactive_file 0"},
    "memory/job": {"limit_in_bytes": 1000, "usage_in_bytes": 700, "stat": "cache 5\ntotal_inactive_file 50"},
    "memory": {"limit_in_bytes": 9000, "usage_in_bytes": 900, "stat": "total_inactive_file 0"},
}
VERSION_2 = {
    "own": "0::/slice/pod\n",
    "slice/pod": {"max": "max", "current": 10, "stat": "inactive_file 1"},
    "slice": {"max": 5000, "current": 4500, "stat": "anon 7\ninactive_file 100"},
}
IN_A_CONTAINER = {"own": "0::/somewhere/on/the/host\n", "": {"max": 800, "current": 900, "stat": "inactive_file 0"}}


@pytest.mark.parametrize(
    ("files", "left"), [(VERSION_1, 350), (VERSION_2, 600), (IN_A_CONTAINER, 0), ({"own": "a"}, None)]
)
def test_limits_of_containers(tmp_path, monkeypatch, files, left):
    """Of the group of this process and of those above it, less what is used and is no cache."""
    for folder, values in files.items():
        if folder == "own":
            (tmp_path / "own").write_text(values)
            continue
        (tmp_path / "cgroup" / folder).mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            (tmp_path / "cgroup" / folder / f"memory.{name}").write_text(f"{value}\n")
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    machine = available(home(np.ones(1)))
    assert machine == left if left is not None else machine > 2**20


def test_limits_of_jobs(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    assert available(home(np.ones(1))) == 0, "this process has more than 1 MB"
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100000")
    assert 0 < available(home(np.ones(1))) < 100_000 * 2**20
    for unlimited in ("0", "many"):
        monkeypatch.setenv("SLURM_MEM_PER_NODE", unlimited)
        assert available(home(np.ones(1))) > 2**20
