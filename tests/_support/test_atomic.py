"""Files that are there in full or not at all."""

import os

import pytest

from ntk_array._support.atomic import write_whole

pytestmark = pytest.mark.host


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b""):
        write_whole(path, content, durable=content == b"one")
        assert path.read_bytes() == content
    write_whole(str(path), b"two")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_interruption_leaves_the_older_file(tmp_path, monkeypatch, error):
    path = tmp_path / "file"
    write_whole(path, b"one")

    def interrupted(*paths):
        raise error

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(error):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """And its folder after that, where the name is."""
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append(os.fstat(file).st_ino) or sync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("name") or replace(*paths))
    write_whole(tmp_path / "file", b"one", durable=True)
    assert done == [(tmp_path / "file").stat().st_ino, "name", tmp_path.stat().st_ino]
