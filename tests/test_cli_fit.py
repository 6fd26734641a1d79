"""ntk-array fit and predict: from a table to predictions."""

import csv

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntk_array.cli import main
from ntk_array.sklearn import NTKClassifier, NTKRegressor, load, save

pytestmark = pytest.mark.host

X, NUMBERS = load_iris(return_X_y=True)
KINDS = np.asarray(["setosa", "versi, color", "virginica"])[NUMBERS]
COLUMNS = ["length", "width", "petal length", "petal width"]


def table(path, columns, *rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(path)


def read(path):
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def test_classes_by_name(tmp_path, capsys):
    data = table(tmp_path / "iris.csv", [*COLUMNS, "kind"], *([*x, k] for x, k in zip(X, KINDS, strict=True)))
    model = str(tmp_path / "iris.npz")
    assert main(["fit", data, "--target", "kind", "--out", model, "--depth", "1", "--ridge", "0.1"]) == 0
    said = capsys.readouterr().out
    assert f"{model}: NTKClassifier, 150 rows of 4 columns, 3 classes: setosa, versi, color, virginica\n" in said
    assert "\nridge 0.1\naccuracy 0.9" in said
    # Other columns, in another order.
    others = table(tmp_path / "new.csv", ["id", *COLUMNS[::-1]], *([f"n{i}", *x[::-1]] for i, x in enumerate(X)))
    assert main(["predict", model, others, "--out", str(tmp_path / "out.csv")]) == 0
    header, rows = read(tmp_path / "out.csv")
    assert header == ["prediction", *(f"probability of {kind}" for kind in np.unique(KINDS))]
    expected = make_pipeline(StandardScaler(), NTKClassifier(depth=1, ridge=0.1)).fit(X, KINDS)
    assert [row[0] for row in rows] == expected.predict(X).tolist()
    probabilities = np.asarray([row[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(probabilities, expected.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".parquet"])
def test_numbers_from_every_kind_of_file(suffix, tmp_path, capsys):
    x, y = (part[:80] for part in load_diabetes(return_X_y=True))
    path, target = tmp_path / f"data{suffix}", "10"
    if suffix == ".csv":
        table(path, [f"c{j}" for j in range(11)], *np.column_stack([x, y]).tolist())
    elif suffix == ".npy":
        np.save(path, np.column_stack([x, y]))
    elif suffix == ".npz":
        np.savez(path, x=x, y=y)
        target = "y"
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({f"c{j}": column for j, column in enumerate([*x.T, y])}), path)
    words = ["fit", str(path), "--target", target, "--out", str(tmp_path / "m.npz"), "--folds", "0", "--kernel", "nngp"]
    assert main(words) == 0
    inputs = tmp_path / "inputs.npy"
    np.save(inputs, x)
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "m.npz"), str(inputs)]) == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["prediction", "standard deviation"]
    expected = make_pipeline(StandardScaler(), NTKRegressor(kernel="nngp")).fit(x, y)
    mean, std = expected.predict(x, return_std=True)
    noise = expected[-1].scale_ ** 2 * expected[-1].ridge_
    np.testing.assert_allclose(np.asarray(rows, float).T, [mean, np.sqrt(std**2 + noise)], rtol=1e-6)


def test_columns_as_they_are(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=X[:, 0])
    words = [
        "fit",
        str(tmp_path / "data.npz"),
        "--out",
        str(tmp_path / "m.npz"),
        "--raw",
        "--folds",
        "0",
        "--ridge",
        "1",
    ]
    assert main(words) == 0
    assert isinstance(load(tmp_path / "m.npz"), NTKRegressor)


def test_a_class_of_one_row_leaves_nothing_to_judge_by(tmp_path, capsys):
    path = table(tmp_path / "t.csv", ["a", "b", "kind"], [1, 2, "x"], [2, 1, "x"], [3, 3, "y"])
    assert main(["fit", path, "--target", "kind", "--out", str(tmp_path / "m.npz")]) == 0
    assert capsys.readouterr().out.endswith("rows left out is not known: a class has one row only\n")


def test_an_interrupted_fit_starts_anew(tmp_path, capsys, monkeypatch):
    def interrupt(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr("ntk_array.cli.fit.load_dataset", interrupt)
    assert main(["fit", "wine", "--out", str(tmp_path / "m.npz")]) == 130
    assert capsys.readouterr().err == "ntk-array: interrupted; the same command starts anew\n"


def test_a_ridge_that_is_no_number(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "wine", "--out", "m.npz", "--ridge", "much"])
    assert "'much' is neither a number nor one of leave_one_out, marginal_likelihood" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit data.csv --out m.npz", "name the target of data.csv"),
        ("fit data.csv --target 7 --out m.npz", "data.csv has no column '7'; its columns are a, b, kind"),
        ("fit data.csv --target kind --out m.npz --task regression", "the target holds text such as 'x'"),
        ("fit data.csv --target kind --out .", "--out . is a folder"),
        ("fit data.csv --target kind --out nowhere/m.npz", "there is no folder 'nowhere'"),
        ("fit data.csv --target kind --out m.npz --depth 0", "depth must be a whole number of at least 1"),
        ("fit data.csv --target kind --out m.npz --folds 1", "--folds must be at least 2, or 0 for none, got 1"),
        ("fit tiny.csv --target kind --out m.npz", "tiny has inputs that are too large or too small to be scaled"),
        ("predict nothing.npz data.csv", "there is no file 'nothing.npz'"),
        ("predict arrays.npz data.csv", "arrays.npz is not an estimator saved by ntk_array.sklearn.save"),
        ("predict good.npz less.csv", "less.csv has no column b; its columns are a, c"),
        ("predict several.npz wide.npy", "the model predicts several labels for each row; use it from Python"),
        ("predict good.npz wide.npy", "X has 5 features, but StandardScaler is expecting 2"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table("data.csv", ["a", "b", "kind"], *([i, i**2, "xy"[i % 2]] for i in range(8)))
    table("less.csv", ["a", "c"], [1, 2])
    table("tiny.csv", ["a", "kind"], *([i * 1e-170, "xy"[i % 2]] for i in range(8)))
    np.savez("arrays.npz", x=X)
    np.save("wide.npy", np.ones((3, 5)))
    save("several.npz", NTKClassifier(ridge=0.1).fit(np.eye(5), np.eye(5, 2, dtype=int)))
    assert main(["fit", "data.csv", "--target", "kind", "--out", "good.npz"]) == 0
    capsys.readouterr()
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("ntk-array: ")
    assert error.count("\n") == 1
    assert message in error
