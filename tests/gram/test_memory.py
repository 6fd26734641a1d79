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
