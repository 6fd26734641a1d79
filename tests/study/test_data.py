"""Data sets: bundled ones, files, and what a wrong file or target gets."""

import sys

import numpy as np
import pytest

from ntk_array.study import Dataset, load_dataset


@pytest.fixture
def table(rng):
    x = rng.normal(size=(30, 3))
    return x, x @ np.asarray([1.0, -2.0, 0.5])


def write_csv(path, x, y, header="a,b,c,yield"):
    lines = [",".join(f"{value:.17g}" if isinstance(value, float) else str(value) for value in row) for row in x]
    path.write_text("\n".join([header, *(f"{line},{target}" for line, target in zip(lines, y, strict=True))]) + "\n")
    return str(path)


def test_csv_regression(tmp_path, table):
    x, y = table
    data = load_dataset(write_csv(tmp_path / "t.csv", x.tolist(), [f"{v:.17g}" for v in y]), "yield")
    assert data.task == "regression"
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.target, y)


def test_csv_text_classes_in_any_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("kind,a,b\nred,1,2\nblue,3,4\nred,5,6\n")
    data = load_dataset(str(path), "kind")
    assert data.classes == ("blue", "red")
    assert data.target.tolist() == [1, 0, 1]
    assert data.x.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_names_that_python_takes_for_numbers(tmp_path):
    """1_1 and 11 are two classes."""
    (tmp_path / "t.csv").write_text("a,kind\n1,1_1\n2,11\n3,1_1\n")
    data = load_dataset(str(tmp_path / "t.csv"), "kind")
    assert (data.classes, data.target.tolist()) == (("11", "1_1"), [1, 0, 1])


def test_features_share_a_unit_in_the_bundled_digits_only(tmp_path, table):
    x, y = table
    path = write_csv(tmp_path / "digits.csv", (x * [1.0, 10.0, 100.0]).tolist(), y)
    split = load_dataset(path, "yield").split(20, 5, np.random.SeedSequence(0))
    np.testing.assert_allclose(split.x_train.std(axis=0), 1.0)
    spread = load_dataset("digits").split(200, 5, np.random.SeedSequence(0)).x_train.std(axis=0)
    np.testing.assert_allclose((np.mean(spread**2), spread.min()), (1.0, 0.0), rtol=1e-12)
    assert spread.max() > 1.5


def test_npz_and_npy(tmp_path, table):
    x, y = table
    np.savez(tmp_path / "t.npz", x=x, y=y, other=x)
    np.testing.assert_array_equal(load_dataset(str(tmp_path / "t.npz"), "y").x, x)
    np.save(tmp_path / "t.npy", np.column_stack([y, x]))
    np.testing.assert_array_equal(load_dataset(str(tmp_path / "t.npy"), "0").target, y)


def test_images_in_npz_are_flattened(tmp_path, rng):
    np.savez(tmp_path / "t.npz", x=rng.normal(size=(6, 2, 2)), y=np.arange(6) % 2)
    data = load_dataset(str(tmp_path / "t.npz"), "y")
    assert data.x.shape == (6, 4)
    assert data.task == "classification"


def test_whole_numbers_can_be_regressed_on_request(tmp_path, table):
    x, _ = table
    path = write_csv(tmp_path / "t.csv", x.tolist(), [i % 5 for i in range(30)])
    assert load_dataset(path, "yield").task == "classification"
    assert load_dataset(path, "yield", task="regression").task == "regression"


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer", "diabetes"])
def test_bundled(name):
    data = load_dataset(name)
    assert len(data.x) == len(data.target) > 100
    assert np.isfinite(data.x).all()


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        ("a,b\n1,2\n3,4\n", "yield", "no column 'yield'; its columns are a, b"),
        ("a,b\n1,2\n3,x\n", "a", "'x' in line 3, column 'b'"),
        ("a,b\n1,2\n3,\n", "a", "an empty field in line 3, column 'b'"),
        ("a,b\n1,2\n3\n", "a", "line 3 .* 1 fields, the header has 2"),
        ("a,b\n1,2\n,4\n", "a", "line 3 .* empty target"),
        ("a\n1\n2\n", "a", "no column besides"),
        ("a,b\n", "a", "header line and rows"),
        ("a,b\n1,2\n1,4\n", "a", "one class only"),
        ("a,b\n1,2\nnan,4\n", "a", "target, column 'a', is nan in line 3"),
        ("a,b\n" + 30 * "1,nan\n" + "1,x\n2,y\n", "b", "target 'nan' in line 2, column 'b', which reads as a missing"),
        ("a,b\n1,x\n2,y\n3,N/A\n", "b", "target 'N/A' in line 4, .* rename it if it is a class"),
        ("a,b\n1,2\n2,inf\n", "a", "NaN or infinity in line 3, column 'b'"),
        ("a,b\n\n1,2\n\n3,x\n", "a", "'x' in line 5, column 'b'"),
        (",a,b\n0,1,2\n1,3,4\n", "b", "column 1 of t.csv has no name"),
        ("a;b\n1,5;2\n", "b", "separated by semicolons; save it with a comma"),
        ("a,b,a\n1,2,3\n", "a", "two columns 'a'"),
        ("a,b\n1,2\n1e305,4\n2,2\n", "b", "a number above 1e\\+150 in line 3, column 'a'; its square overflows"),
        ("1,2\n3,4\n", "1", "line 1 of t.csv holds numbers"),
        ("", "a", "t.csv is empty: the file has no bytes"),
        ("\n\n", "a", "t.csv is empty; it needs a header line and rows of data"),
        ("a,b\n1,2\n" + "1" * 200_000 + ",2\n", "a", "t.csv is not a table of text after line 2: field larger"),
        ("a,b\n1,red\n1,red\n", "b", "one class only, 'red'"),
        ("a,b\n1,2.5\n2,2.5\n", "b", "the target is 2.5 in every row: there is nothing to predict"),
        ("a,b\n1_000,1\n2,2\n", "b", "'1_000' in line 2, column 'a'"),
        ("a,b\n" + "".join(f"1,{k}.5\n" for k in range(30)) + "1,n/a\n", "b", "target 'n/a' in line 32, where most"),
    ],
)
def test_wrong_csv(tmp_path, content, target, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_dataset(str(path), target)


def test_text_in_another_encoding(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("größe,alter\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"not UTF-8 text .* it may be Latin-1"):
        load_dataset(str(path), "alter")


def test_wrong_sources(tmp_path, table):
    with pytest.raises(FileNotFoundError, match="bundled data sets are digits"):
        load_dataset("nowhere.csv", "y")
    (tmp_path / "t.xls").write_text("")
    with pytest.raises(ValueError, match=r"not a \.csv"):
        load_dataset(str(tmp_path / "t.xls"), "y")
    path = write_csv(tmp_path / "t.csv", table[0].tolist(), table[1])
    with pytest.raises(ValueError, match="name the target"):
        load_dataset(path)
    with pytest.raises(ValueError, match="its own target"):
        load_dataset("digits", "y")
    with pytest.raises(ValueError, match="task must be one of"):
        load_dataset(path, "yield", task="clustering")
    np.savez(tmp_path / "two.npz", a=table[0], b=table[0], y=table[1])
    with pytest.raises(ValueError, match="name the inputs"):
        load_dataset(str(tmp_path / "two.npz"), "y")
    with pytest.raises(ValueError, match="no array 'z'; its arrays are a, b, y"):
        load_dataset(str(tmp_path / "two.npz"), "z")
    np.save(tmp_path / "flat.npy", table[1])
    with pytest.raises(ValueError, match="expected a table"):
        load_dataset(str(tmp_path / "flat.npy"), "0")
    np.save(tmp_path / "one.npy", table[1][:, None])
    with pytest.raises(ValueError, match=r"one.npy has shape \(30, 1\); .* with two columns or more"):
        load_dataset(str(tmp_path / "one.npy"), "0")
    np.save(tmp_path / "t.npy", table[0])
    with pytest.raises(ValueError, match="column number from 0 to 2"):
        load_dataset(str(tmp_path / "t.npy"), "3")


def test_broken_numpy_files(tmp_path):
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npz").write_bytes(b"a,b")
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    np.save(tmp_path / "pickle.npy", np.asarray([[None]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "text_y.npz", x=np.eye(2), y=np.asarray(["red", "red"]))
    np.savez(tmp_path / "words.npz", x=np.asarray([["1", "2"]]), y=np.arange(1))
    for name, message in (
        ("empty.npy", "empty.npy is empty: the file has no bytes"),
        ("text.npz", "text.npz is damaged: it does not begin as a NumPy file"),
        ("none.npy", r"has no rows of inputs: their shape is \(0, 2\)"),
        ("pickle.npy", "holds Python objects"),
        ("text_y.npz", "one class only, 'red'$"),
        ("words.npz", "inputs of words.npz have dtype <U1; they must be real numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            load_dataset(str(tmp_path / name), "0" if name.endswith("npy") else "y")


def test_features_that_cannot_be_scaled(rng):
    x = rng.normal(size=(20, 2)) * np.asarray([1.0, 1e-200])
    with pytest.raises(ValueError, match="too large or too small to be scaled"):
        Dataset("data", x, x[:, 0]).split(10, 10, np.random.SeedSequence(0))


def test_parquet(tmp_path, table):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet files are read by pyarrow")
    from pyarrow import parquet

    x, y = table
    columns = {"a": x[:, 0], "b": x[:, 1], "kind": ["red", "blue"] * 15, "y": y}
    parquet.write_table(pyarrow.table({k: columns[k] for k in ("a", "b", "y")}), tmp_path / "t.parquet")
    data = load_dataset(str(tmp_path / "t.parquet"), "y")
    np.testing.assert_array_equal(data.x, x[:, :2])
    np.testing.assert_array_equal(data.target, y)
    parquet.write_table(pyarrow.table(columns), tmp_path / "text.parquet")
    with pytest.raises(ValueError, match=r"column 'kind' of text.parquet holds string; inputs must be numbers"):
        load_dataset(str(tmp_path / "text.parquet"), "y")
    parquet.write_table(pyarrow.table({"a": [1.0, None], "y": [1, 2]}), tmp_path / "null.parquet")
    with pytest.raises(ValueError, match=r"an empty field in row 1 \(the first is row 0\), column 'a'"):
        load_dataset(str(tmp_path / "null.parquet"), "y")
    parquet.write_table(pyarrow.table({"a": [1.0, 2.0], "y": ["red", ""]}), tmp_path / "empty.parquet")
    with pytest.raises(ValueError, match=r"row 1 \(the first is row 0\) of empty.parquet has an empty target"):
        load_dataset(str(tmp_path / "empty.parquet"), "y")
    rows = pyarrow.table({"a": [1.0, 2.0], "y": ["red", "blue"], "__index_level_0__": [5, 7]})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    assert load_dataset(str(tmp_path / "rows.parquet"), "y").columns == ("a",), "names of rows are no input"
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ValueError, match=r"broken.parquet is damaged"):
        load_dataset(str(tmp_path / "broken.parquet"), "y")


def test_parquet_without_its_reader(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        load_dataset(str(tmp_path / "t.parquet"), "y")


def test_text_cannot_be_regressed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\nred,2\nblue,4\n")
    with pytest.raises(ValueError, match="not regressed"):
        load_dataset(str(path), "a", task="regression")


def test_object_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.asarray([{}, {}], dtype=object), y=np.arange(2))
    with pytest.raises(ValueError, match="holds Python objects; they are pickles"):
        load_dataset(str(tmp_path / "t.npz"), "y")


def test_split_scales_by_the_training_set_alone(rng):
    data = Dataset("data", rng.normal(3.0, 10.0, size=(50, 4)), rng.normal(size=50))
    split = data.split(30, 20, np.random.SeedSequence(0))
    np.testing.assert_allclose(split.x_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(split.x_train.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose([split.y_train.mean(), split.y_train.std()], [0, 1], atol=1e-12)
    rows = {tuple(row) for row in split.x_train} | {tuple(row) for row in split.x_test}
    assert len(rows) == 50, "training and held-out rows are distinct"


def test_class_targets_have_mean_square_one():
    split = load_dataset("wine").split(100, 50, np.random.SeedSequence(0))
    np.testing.assert_allclose(np.mean(split.y_train**2), 2 / 2, rtol=1e-12)
    np.testing.assert_allclose(split.y_train.sum(axis=1), 0, atol=1e-12)


def test_constant_features_become_zero(rng):
    x = rng.normal(size=(20, 2))
    x[:, 1] = 7.0
    split = Dataset("data", x, rng.normal(size=20)).split(10, 10, np.random.SeedSequence(0))
    assert (split.x_train[:, 1] == 0).all()


def test_split_refuses_what_is_not_there(rng):
    data = Dataset("data", rng.normal(size=(20, 2)), np.ones(20))
    with pytest.raises(ValueError, match="has 20 rows"):
        data.split(15, 10, np.random.SeedSequence(0))
    with pytest.raises(ValueError, match="the same in all"):
        data.split(10, 10, np.random.SeedSequence(0))
