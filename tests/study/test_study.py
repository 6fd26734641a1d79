"""The study: its numbers against direct computation, its files, and the command line."""

import base64
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.cli import main
from ntk_array.study import StudySettings, load_dataset, run_study
from ntk_array.study import study as study_module
from ntk_array.study.pictures import FIGURES
from ntk_array.study.report import write
from ntk_array.study.words import table

SMALL = {"widths": (16, 64), "train": 24, "test": 20, "networks": 2, "steps": 60, "draws": 3, "ensemble": 3}
QUICK = "study wine --widths 8,16 --train 20 --test 20 --steps 5 --networks 1 --draws 2 --ensemble 2"


@pytest.fixture(scope="module", params=["wine", "diabetes"])
def study(request):
    return run_study(StudySettings(**SMALL), load_dataset(request.param))


def test_shapes(study):
    t = len(study.arrays["steps"])
    for name in ("cost", "error_network", "error_linearized", "gap_linearized", "gap_infinite", "movement"):
        assert study.arrays[name].shape == (2, 2, t), name
    assert study.arrays["concentration"].shape == (3, 3)
    assert study.arrays["watched_network"].shape == (2, t, 4)
    assert all(np.isfinite(array).all() for array in study.arrays.values())


def test_everything_starts_where_the_network_does(study):
    assert np.max(study.arrays["gap_linearized"][:, :, 0]) < 1e-12
    assert np.max(study.arrays["gap_infinite"][:, :, 0]) < 1e-12
    assert np.max(study.arrays["movement"][:, :, 0]) == 0
    np.testing.assert_allclose(
        study.arrays["watched_network"][:, 0], study.arrays["watched_linearized"][:, 0], atol=1e-12
    )


def test_training_learns_and_width_helps(study):
    cost, gap = study.arrays["cost"], study.arrays["gap_linearized"]
    assert (cost[:, :, -1] < 0.3 * cost[:, :, 0]).all()
    assert gap[1].max(axis=-1).mean() < gap[0].max(axis=-1).mean()
    assert study.arrays["movement"][1].max() < study.arrays["movement"][0].max()


def test_infinite_regression_is_kernel_regression(study):
    """Against a plain linear solve on the same split."""
    settings = study.settings
    data = load_dataset(study.data["name"])
    seeds = np.random.SeedSequence(settings.seed).spawn(3)[0]
    split = data.split(settings.train, settings.test, seeds)
    kernel = ntk.InfiniteNTK(settings.build(1, split.y_train.shape[1]))
    f = kernel(split.x_test, split.x_train) @ np.linalg.solve(kernel(split.x_train), split.y_train)
    if study.data["task"] == "classification":
        expected = np.mean(np.argmax(f, axis=1) != split.target_test)
    else:
        expected = np.sqrt(np.mean((f - split.y_test) ** 2))
    np.testing.assert_allclose(study.arrays["regression_infinite"], expected, rtol=1e-8)


def test_components_and_regression_by_plain_linear_algebra(study):
    """The first network again: its residual along eigenvectors of the kernel, and its distance from regression."""
    settings, arrays = study.settings, study.arrays
    split_seeds, network_seeds, *_ = np.random.SeedSequence(settings.seed).spawn(4)
    split = load_dataset(study.data["name"]).split(settings.train, settings.test, split_seeds)
    net = settings.build(settings.widths[0], split.y_train.shape[1])
    params = net.init(network_seeds.spawn(4)[0], like=split.x_train)
    f0, f0_test = net(params, split.x_train), net(params, split.x_test)
    values, vectors = np.linalg.eigh(ntk.InfiniteNTK(net)(split.x_train))
    values, vectors = values[::-1] / settings.train, vectors[:, ::-1]
    np.testing.assert_allclose(arrays["eigenvalues"], values, rtol=1e-8)

    cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(split.x_train), split.y_train)
    trained = ntk.nn.train(net, params, cost, step=study.data["step"], steps=settings.steps).params
    last = net(trained, split.x_train) - split.y_train
    left = (1 - 2 * study.data["step"] * values[:, None]) ** settings.steps * (vectors.T @ (f0 - split.y_train))
    for b, (low, high) in enumerate(arrays["bands"]):
        before = np.sum((vectors.T @ (f0 - split.y_train))[low:high] ** 2)
        np.testing.assert_allclose(
            arrays["remaining_network"][0, 0, -1, b], np.sum((vectors.T @ last)[low:high] ** 2) / before, rtol=1e-6
        )
        np.testing.assert_allclose(
            arrays["remaining_infinite"][0, 0, -1, b], np.sum(left[low:high] ** 2) / before, rtol=1e-6, atol=1e-20
        )
    assert arrays["bands"][0, 0] == 0
    assert arrays["bands"][-1, 1] == len(values)

    kernel, c = ntk.EmpiricalNTK(net, params), split.y_train.shape[1]
    gram = kernel(split.x_train).reshape(settings.train * c, -1)
    alpha = np.linalg.solve(gram, (split.y_train - f0).ravel())
    regression = f0_test + (kernel(split.x_test, split.x_train).reshape(-1, settings.train * c) @ alpha).reshape(-1, c)
    gap = np.sqrt(np.mean((net(trained, split.x_test) - regression) ** 2) / np.mean(split.y_test**2))
    np.testing.assert_allclose(arrays["from_regression_empirical"][0, 0], gap, rtol=1e-5)


def check_pictures(page):
    """All of them are inside, and none is empty."""
    pictures = re.findall(r"<img alt='[^']+' src='data:image/svg\+xml;base64,([^']+)'>", page)
    assert len(pictures) == len(FIGURES)
    assert all(b"<svg" in base64.b64decode(picture) for picture in pictures)


@pytest.mark.parametrize("study", ["diabetes"], indirect=True)
def test_files_are_complete_and_self_contained(study, tmp_path):
    """The command line below writes such a report of classes."""
    report = write(study, tmp_path / "out")
    assert sorted(path.name for path in report.parent.iterdir()) == ["arrays.npz", "report.html", "results.json"]
    page = report.read_text()
    check_pictures(page)
    assert not re.search(r"(src|href)=['\"]?(https?:|/|\.)", page), "the report refers to nothing outside itself"
    results = json.loads((report.parent / "results.json").read_text())
    assert results["settings"]["train"] == 24
    with np.load(report.parent / "arrays.npz", allow_pickle=False) as arrays:
        for name, array in study.arrays.items():
            np.testing.assert_array_equal(arrays[name], array)
        np.testing.assert_array_equal(arrays["ensemble_outputs"], study.ensemble.outputs)
    assert [line.split("  ")[0] for line in table(study).splitlines()[2:-1]] == list(results["table"])


def test_same_seed_same_study(study):
    again = run_study(study.settings, load_dataset(study.data["name"]))
    for name, array in study.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)


def test_an_interrupted_study_goes_on(study, tmp_path, monkeypatch):
    dataset, compare, calls = load_dataset(study.data["name"]), study_module.compare, []

    def counted(*options):
        calls.append(options)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compare(*options)

    monkeypatch.setattr(study_module, "compare", counted)
    with pytest.raises(KeyboardInterrupt):
        run_study(study.settings, dataset, folder=tmp_path)
    kept, before = len(list(tmp_path.glob("*/[0-9]*.npz"))), len(calls)
    assert 1 <= kept < before, "another run may go on at the same time: it is given up, or finished"
    resumed = run_study(study.settings, dataset, folder=tmp_path)
    assert (resumed.ensemble.outputs == study.ensemble.outputs).all()
    assert len(calls) == before + 4 - kept
    assert repr(resumed.laws) == repr(study.laws)  # NaN equals nothing
    for name, array in study.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)
    run_study(replace(study.settings, steps=2), dataset, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "another study has a folder of its own"


def test_settings_are_checked():
    for wrong, message in (
        ({"widths": (64,)}, "two different widths"),
        ({"widths": (0, 2)}, "widths must be a whole number"),
        ({"steps": 0}, "steps must be"),
        ({"train": 0}, "train must be"),
        ({"ensemble": 1}, "ensemble must be at least 2"),
        ({"step_fraction": 1.0}, "below 1"),
        ({"weight_std": -1.0}, "weight_std must be"),
    ):
        with pytest.raises(ValueError, match=message):
            StudySettings(**wrong)
    with pytest.raises(ValueError, match="kernel matrix of 15000 rows"):
        run_study(StudySettings(train=1500, test=10), load_dataset("digits"))
    with pytest.raises(ValueError, match="library must be one of"):
        run_study(StudySettings(library="fortran"), load_dataset("wine"))


def test_numbers_of_numpy_are_python_numbers_after_that():
    given = {"train": np.int64(24), "steps": np.int32(3), "seed": np.int64(1), "bias_std": np.float32(0.5)}
    settings = StudySettings(widths=np.asarray([16, 64]), **given)
    assert json.loads(json.dumps(asdict(settings)))["train"] == 24
    assert settings == StudySettings(widths=(16, 64), train=24, steps=3, seed=1, bias_std=0.5)


def test_the_default_split_fits_small_data():
    small = {**SMALL, "train": None, "test": None, "steps": 5, "networks": 1, "draws": 1, "ensemble": 2}
    study = run_study(StudySettings(**small), load_dataset("wine"))
    assert (study.settings.train, study.settings.test) == (118, 60)


def test_command_line(tmp_path, capsys):
    assert main([*QUICK.split(), "--quiet", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "infinite kernel regression" in printed.out
    assert "report.html written" in printed.out
    assert "none                        movement of the kernel in training, its largest value: no law" in printed.out
    assert printed.out.startswith("wine: 20 training rows and 20 held-out rows of 178; 138 rows are not used")
    assert re.search(r"The cost of 2 of 2 runs did not fall .* in 5 steps; .* try --steps \d+", printed.out)
    assert "nan" not in printed.out
    assert printed.err == "", "--quiet shows no bars"
    check_pictures((tmp_path / "out" / "report.html").read_text())


@pytest.mark.usefixtures("without_pictures")
def test_command_line_shows_progress(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main([*QUICK.split(), "--out", str(tmp_path)]) == 0
    assert "networks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("study nowhere.csv --target y", "there is no file"),
        ("study digits --train 5000", "has 1797 rows|kernel matrix of 50000 rows"),
        ("study wine --depth 0", "depth must be"),
        ("study wine --train 177", "wine has 178 rows; train = 177 leaves 1 held-out rows, and a test error needs 2"),
        ("study wine --test 1", "a test error needs 2 or more"),
    ],
)
def test_bad_input_on_the_command_line(words, message, capsys):
    assert main([*words.split(), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert "Traceback" not in error


def test_interrupting_says_so(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ntk_array.cli.study.run_study", interrupt)
    assert main(["study", "wine"]) == 130
    assert "goes on from what was finished" in capsys.readouterr().err


def test_info(capsys):
    assert main(["info"]) == 0
    assert "numpy" in capsys.readouterr().out


def test_python_m():
    done = subprocess.run([sys.executable, "-m", "ntk_array", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"ntk_array {ntk.__version__}"


@pytest.mark.session("torch", "jax", "cupy")
def test_the_study_runs_on_other_libraries(request):
    from ..conftest import requested

    libraries = [name for name in ("torch", "jax", "cupy") if name in requested(request.config)]
    if not libraries:
        pytest.skip("only NumPy backends were asked for")
    reference = run_study(StudySettings(**SMALL), load_dataset("wine"))
    for library in libraries:
        study = run_study(StudySettings(**SMALL, library=library), load_dataset("wine"))
        np.testing.assert_allclose(study.arrays["gap_linearized"], reference.arrays["gap_linearized"], atol=1e-8)


def test_the_step_is_stable_for_narrow_networks_too():
    """Their kernels' largest eigenvalues lie above the limit's; the linearized network must not diverge."""
    settings = StudySettings(
        widths=(4, 8),
        train=60,
        test=20,
        networks=1,
        draws=1,
        activation="tanh",
        steps=200,
        step_fraction=0.9,
        ensemble=2,
    )
    study = run_study(settings, load_dataset("wine"))
    assert np.max(study.arrays["watched_linearized"]) < 10
