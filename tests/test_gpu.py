"""The benchmarks on a GPU: that their jobs run, on NumPy and with few inputs, and that the page is what they gave."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cifar, sections
from benchmarks.gpu import images, jobs, launches, page
from benchmarks.gpu.card import Card
from benchmarks.gpu.options import Options
from benchmarks.gpu.products import in_tf32, of_columns, of_parts, parts, rounded
from ntk_array._formula import numba_loops

pytestmark = pytest.mark.host

HOST = Card.of("numpy")
OTHERS = {"peers": "torch", "jax_peer": "jax"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Nothing is compiled, and networks have few layers."""
    monkeypatch.setattr(numba_loops, "ENOUGH", 2**62)
    monkeypatch.setattr(images, "NETWORKS", ((2, 0.0), (2, 0.1)))
    monkeypatch.setattr(images, "SMALL", 5)
    monkeypatch.setattr(cifar, "DEPTHS", (2, 3))


@pytest.fixture
def options(tmp_path):
    """A few random images of 6 x 6 in place of CIFAR-10."""
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.integers(256, size=(n, 6, 6, 3), dtype=np.uint8) for part, n in SIZES.items()}
    labels = {f"y_{part}": rng.integers(10, size=n, dtype=np.uint8) for part, n in SIZES.items()}
    np.savez(tmp_path / "images.npz", **arrays, **labels)
    return Options(0.002, images=tmp_path / "images.npz", keep=tmp_path / "keep")


SIZES = {"train": 12, "test": 8}


def errors(found):
    """All numbers of rows whose name is that of an error, but for those of JAX in TF32."""
    if isinstance(found, list):
        return [error for row in found if row.get("precision") != "default" for error in errors(row)]
    named = {name: value for name, value in found.items() if re.match("error|apart|against|float32 against", name)}
    return [e for value in named.values() for e in (value.values() if isinstance(value, dict) else [value])]


@pytest.mark.parametrize("name", jobs.JOBS)
def test_a_job_runs_and_its_rows_are_kept(name, options, tmp_path):
    if name in OTHERS:
        pytest.importorskip(OTHERS[name])
    rows = jobs.run(name, HOST, options, tmp_path / "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text()) == rows != []
    assert all(error < 5e-6 for error in errors(rows))
    assert name in ("launches", "products", "images") or errors(rows)


def test_rows_that_are_finished_are_kept_when_the_next_one_fails(monkeypatch, options, tmp_path):
    def failing(card, options):
        yield {"inputs": 1}
        raise MemoryError

    monkeypatch.setitem(jobs.JOBS, "failing", failing)
    with pytest.raises(MemoryError):
        jobs.run("failing", HOST, options, tmp_path / "rows.json")
    assert [row["inputs"] for row in json.loads((tmp_path / "rows.json").read_text())] == [1]


def test_the_script_runs_all_jobs_in_their_order():
    script = (Path(jobs.__file__).parent / "run.sh").read_text()
    assert re.search(r'^jobs="(.*)"$', script, re.MULTILINE)[1].split() == [*jobs.JOBS][:-1]


def test_the_page_is_what_the_results_give():
    assert sections.found(page.PAGE)[page.TITLE].strip() == page.section().strip()


def test_results_of_every_job_are_on_the_page(options, tmp_path):
    waiting = {name: text[:30] for name, text in page.WAITING.items()}
    for path in page.RESULTS.glob("*.json"):
        if path.stem not in waiting:
            shutil.copy(path, tmp_path)
    machine = json.loads((tmp_path / "machine.json").read_text())
    jobs.write(tmp_path / "machine.json", machine | {"date": "2026-01-01"})
    before = " ".join(page.section(tmp_path).split())
    new = {"planes", "gaussian", "products", "launches", "images"}
    for name in new:
        jobs.run(name, HOST, options, tmp_path / f"{name}.json")
    text = page.section(tmp_path)
    assert all(line in before for line in waiting.values())
    assert {name for name, line in waiting.items() if line not in " ".join(text.split())} == new
    for head in ("| convolutions |", "| m, n, k |", "| m, n, k, dtype |", "| K(x) of |", "| network | accuracy"):
        assert head in text
        assert head not in before
    assert all(f"`{name}`" in text.partition("| NTK of")[0] for name in new)  # they ran on another day
    assert all(len(line) <= 120 or line[0] == "|" for line in text.splitlines())


def test_numbers_are_rounded_to_ten_bits():
    a = np.random.default_rng(0).standard_normal(4000).astype(np.float32) * np.float32(1e3)
    fraction, exponent = np.frexp(a.astype(float))
    exact = np.sign(a) * np.ldexp(np.floor(np.abs(fraction) * 2**11 + 0.5) / 2**11, exponent)
    high, low = parts(np, a)
    assert np.array_equal(high, exact)
    assert np.array_equal(high.astype(float) + low, a.astype(float))
    assert np.array_equal(rounded(np, high), high)


def test_two_parts_have_the_digits_of_float32():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((20, 64)).astype(np.float32) for _ in range(2))
    exact = a.astype(float) @ b.T.astype(float)
    wrong = [
        np.max(np.abs(found - exact)) / 64
        for found in (
            in_tf32(HOST, a, b),
            of_parts(HOST, parts(np, a), parts(np, b)),
            of_columns(HOST, parts(np, a), parts(np, b)),
        )
    ]
    assert 1e-5 < wrong[0] < 1e-3
    assert max(wrong[1:]) < 1e-6


def test_calls_inside_others_are_not_counted():
    class Base:
        def get(self):
            return 1

    class Array(Base):
        def __float__(self):
            return float(self.get())

    found, inside, array = Counter(), [0], Array()
    with launches.counted(Array, "get", found, inside), launches.counted(Array, "__float__", found, inside):
        assert float(array) + array.get() == 2.0
    assert found == {"__float__ in elsewhere": 1, "get in elsewhere": 1}
    assert "get" not in vars(Array)
    assert float(array) == 1.0
    assert found.total() == 2


def test_rows_of_images_are_read_again(options, tmp_path):
    given = cifar.problem(options.images, *SIZES.values())
    first = cifar.accuracy(given, 3, "global", tmp_path, HOST)
    kernel = cifar.ntk.InfiniteNTK(cifar.network(3, "global"))
    matrix, known = cifar.kernel_rows(kernel, given.x, given.n, tmp_path / "global-depth-3-12-8", HOST)
    assert known == len(given.x)
    assert np.allclose(matrix, kernel(given.x.astype(float))[:, : given.n], rtol=1e-5)
    again = cifar.accuracy(given, 3, "global", tmp_path, HOST)
    assert (again["accuracy"], again["rows from files"]) == (first["accuracy"], len(given.x))
    assert "rows from files" not in first
