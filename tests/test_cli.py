"""ntk-array gram: kernel matrices from the command line."""

import errno
import io
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.cli import main

pytestmark = pytest.mark.host


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.random.default_rng(0).normal(size=(40, 6)))
    return path


def test_a_matrix_from_a_file(data, tmp_path, capsys):
    words = f"gram {data} --out {tmp_path / 'theta'} --activation gelu --depth 1 --bias-std 0.2 --dtype float32"
    for _ in range(2):  # the second time nothing is left to do
        assert main(words.split()) == 0
    printed = capsys.readouterr()
    assert printed.out == 2 * f"{tmp_path / 'theta'}: ntk (40, 40), float32, finished and audited\n"
    assert printed.err == "", "no bar where nobody looks"
    net = ntk.nn.mlp((1,), 1, activation="gelu", bias_std=0.2, readout_weight_std=0.5)
    x = np.load(data).astype(np.float32)
    np.testing.assert_allclose(ntk.gram.open(tmp_path / "theta").array(), ntk.InfiniteNTK(net)(x), rtol=1e-5)


def test_images_in_an_archive(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, size=(5, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=images, y=np.arange(5))
    words = f"gram {tmp_path / 'images.npz'} --out {tmp_path / 'k'} --network cnn --depth 1 --kernel nngp"
    assert main(words.split()) == 0
    net = ntk.nn.cnn((1,), 1, pooling="flatten", bias_std=0.1, readout_weight_std=0.5, weight_std=2**0.5)
    expected = ntk.InfiniteNNGP(net)(images[..., None].astype(float))
    np.testing.assert_allclose(ntk.gram.open(tmp_path / "k").array(), expected, rtol=1e-10)


def test_a_bar_on_a_terminal(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["gram", str(data), "--out", str(tmp_path / "theta")]) == 0
    assert "Gram matrix" in capsys.readouterr().err
    assert main(["gram", str(data), "--out", str(tmp_path / "other"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere.npy", "there is no file 'nowhere.npy'"),
        ("{folder}/table.csv", "table.csv needs a header line and rows of data"),
        ("{folder}/table.xls", "table.xls is not a .csv, .npy, .npz, .parquet file"),
        ("{folder}", "is a folder; give a file"),
        ("{folder}/empty.npy", "empty.npy is empty: the file has no bytes"),
        ("{folder}/large.npy", "a number above 1e+150 in row 1 (the first is row 0), column 0"),
        ("{folder}/broken.npy", r"broken.npy is damaged"),
        ("{folder}/broken.npz", "broken.npz is damaged: it does not begin as a NumPy file"),
        ("{folder}/pickle.npy", "pickle.npy holds Python objects; they are pickles"),
        ("{folder}/two.npz", r"name the inputs of two.npz 'x'; its arrays are a, b"),
        ("{folder}/data.npy --memory much", "memory must be text"),
        ("{folder}/data.npy --network cnn", "has inputs of shape (40, 6); images are"),
        ("{folder}/data.npy --bias-std -1", "bias_std must be finite and not negative"),
        ("{folder}/nan.npy", "nan.npy has NaN or infinity in row 2 (the first is row 0), column 0"),
    ],
)
def test_bad_input_is_one_line(data, tmp_path, capsys, words, message):
    (tmp_path / "table.csv").write_text("a,b")
    (tmp_path / "broken.npy").write_bytes(data.read_bytes()[:20])
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    np.save(tmp_path / "pickle.npy", np.asarray([object()]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=np.eye(2), b=np.eye(2))
    (tmp_path / "table.xls").write_text("a,b")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "large.npy", np.asarray([[1.0], [1e305]]))
    np.save(tmp_path / "nan.npy", np.asarray([[1.0], [2.0], [np.nan]]))
    command = ["gram", *words.format(folder=tmp_path).split(), "--out", str(tmp_path / "theta")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("ntk-array: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "theta").exists()


def test_results_where_a_file_is(data, capsys):
    for words in (f"gram {data} --out {data}", f"study wine --out {data / 'below'}"):
        assert main(words.split()) == 2
        assert f"{data} is a file; give a folder, which is made\n" in capsys.readouterr().err


def test_a_full_disk_is_one_line(tmp_path, capsys, monkeypatch):
    def full(path, *rest):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("ntk_array.experiments.journal.write_whole", full)
    assert main(["study", "wine", "--out", str(tmp_path / "out"), "--train", "20"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ntk-array: ")
    assert error.endswith(
        "no space is left on the disk; make room, and the same command goes on from what was finished\n"
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full, on Linux")
def test_output_that_goes_nowhere():
    command = [sys.executable, "-m", "ntk_array", "info"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no space is left on the disk" in done.stderr


def test_output_that_is_no_file(monkeypatch, capsys):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["info"]) == 2
    assert "no space is left on the disk" in capsys.readouterr().err


def test_a_table_of_text_has_a_matrix(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    assert main(["gram", str(tmp_path / "t.csv"), "--out", str(tmp_path / "theta")]) == 0
    assert "ntk (3, 3), float64" in capsys.readouterr().out


def test_info_says_what_there_is(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"memory +\S+ \S+ may be taken", printed)
    assert re.search(r"devices\n  numpy +cpu \(.* free\)", printed)
    assert "formulas of infinite-width kernels" in printed


def test_another_matrix_in_the_folder(data, tmp_path, capsys):
    words = ["gram", str(data), "--out", str(tmp_path / "theta")]
    assert main(words) == 0
    assert main([*words, "--depth", "3"]) == 2
    assert "holds another Gram matrix" in capsys.readouterr().err


JOB = """
import signal
import sys

# Where the tests run in the background this signal is ignored, and processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from ntk_array.gram import one_block, stored
from ntk_array.cli import main
stored.BLOCK = 25
compute = one_block.OneBlock.__call__

def slow(self, tile):
    if tile.columns.start == 20:
        print("here", flush=True)
        import time
        time.sleep(60)
    return compute(self, tile)

one_block.OneBlock.__call__ = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends the signal of Ctrl-C")
def test_control_c_leaves_what_was_finished(data, tmp_path):
    words = ["gram", str(data), "--out", str(tmp_path / "theta")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", JOB, *words], **pipes) as job:
        assert job.stdout.readline() == "here\n"
        job.send_signal(signal.SIGINT)
        error = job.stderr.read()
        assert job.wait() == 130
    assert error == "ntk-array: interrupted; the same command goes on from what was finished\n"
    found = ntk.gram.open(tmp_path / "theta").audit()
    assert (found.blocks - len(found.missing), found.damaged) == (4, [])
    assert main(words) == 0
