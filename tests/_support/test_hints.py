"""Hints on what to install: from the checkout, from the folder of the installation, or by names of packages."""

import json
from importlib import metadata

import pytest

from ntk_array._support import hints
from ntk_array._support.clock import seconds_since_start

pytestmark = pytest.mark.host


class Distribution:
    def __init__(self, url):
        self.url = url

    def read_text(self, name):
        return None if self.url is None else json.dumps({"url": self.url})


@pytest.mark.parametrize(
    ("folder", "there", "hint"),
    [
        ("package", True, 'pip install "{tmp}/package[cpu]"'),
        ("elsewhere", True, 'pip install "{tmp}/my checkout[cpu]"'),
        ("elsewhere", False, 'pip install "numba>=0.61"'),
    ],
)
def test_hints_work_where_the_package_came_from(tmp_path, monkeypatch, folder, there, hint):
    for name in ("package", "my checkout"):
        (tmp_path / name).mkdir()
    (tmp_path / "package" / "pyproject.toml").write_text("")
    if there:
        (tmp_path / "my checkout" / "pyproject.toml").write_text("")
    url = (tmp_path / "my checkout").as_uri()
    monkeypatch.setattr(hints, "PROJECT", tmp_path / folder)
    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution(url))
    extras = ["numpy>=2", 'numba>=0.61; extra == "cpu"', "torch; extra == 'torch'"]
    monkeypatch.setattr(metadata, "requires", lambda name: extras)
    assert hints.install_hint("cpu") == hint.format(tmp=tmp_path)


def test_an_unknown_origin_still_has_a_hint(tmp_path, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(hints, "PROJECT", tmp_path)
    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr(metadata, "requires", missing)
    assert hints.install_hint("cpu") == 'pip install "ntk_array[cpu]"'


def test_the_clock_began_with_the_process():
    first = seconds_since_start()
    assert 0.1 < first <= seconds_since_start()
