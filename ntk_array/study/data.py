"""Data sets for the study: bundled ones and files of the user's."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from .._array.validate import count, inputs, one_of

__all__ = ["BUNDLED", "Dataset", "Split", "load_dataset", "load_inputs"]

BUNDLED = {
    "digits": "classification",
    "wine": "classification",
    "breast_cancer": "classification",
    "diabetes": "regression",
}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Dataset:
    """Inputs and one target, on the host.

    Attributes
    ----------
    name : str
    x : numpy.ndarray (N, d), or (N, H, W, channels) for images
        Inputs as they came, in float64.
    target : numpy.ndarray (N,)
        Class numbers 0 .. C - 1, or real values.
    classes : tuple of str
        Class names; empty for regression.
    """

    name: str
    x: np.ndarray
    target: np.ndarray
    classes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    def split(self, train: int | None, test: int | None, seed: np.random.SeedSequence) -> Split:
        """Random training and test sets, scaled by what the training set shows.

        Every input feature is centred; features are divided by their standard deviations, or by one common number
        where they share a unit (the bundled digits as a table). Then ||x||^2 = d on average. Images are centred and
        divided by one number for each channel, that of all pixels. Class targets are one-hot, less 1/C and scaled to
        mean square 1; real targets have mean 0 and variance 1.
        """
        train, test = count("train", train), count("test", test)
        if train + test > len(self.x):
            raise ValueError(
                f"{self.name} has {len(self.x)} rows; train = {train} and test = {test} together ask for more"
            )
        order = np.random.default_rng(seed).permutation(len(self.x))
        rows_train, rows_test = order[:train], order[train : train + test]
        x_train = self.x[rows_train]
        # Over rows, and over the positions of images: all axes but the features or channels.
        axes = tuple(range(x_train.ndim - 1))
        center, spread = x_train.mean(axis=axes), x_train.std(axis=axes)
        # The root of the mean variance: then the variances of the d features sum to d.
        if self.name == "digits" and x_train.ndim == 2:
            spread = np.full_like(spread, np.sqrt(np.mean(spread**2)))
        # A feature that is constant in training is 0 once it is centred. Dividing it by 0 would make NaN.
        spread = np.where(spread > 0, spread, 1.0)
        if self.classes:
            c = len(self.classes)
            # The mean square of a one-hot row less 1/c is ((1 - 1/c)^2 + (c - 1)/c^2) / c = (c - 1)/c^2.
            y = (np.eye(c)[self.target] - 1.0 / c) * c / (c - 1) ** 0.5
        else:
            y_train = self.target[rows_train]
            if y_train.std() == 0:
                raise ValueError(f"the target of {self.name} is the same in all {train} training rows")
            y = ((self.target - y_train.mean()) / y_train.std())[:, None]
        x = (self.x - center) / spread
        return Split(x[rows_train], y[rows_train], x[rows_test], y[rows_test], self.target[rows_test])


class Split(NamedTuple):
    """Scaled training and test sets: inputs (N, d) or images, targets (N, C), and the raw test target (M,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    target_test: np.ndarray


def load_dataset(source: str, target: str | None = None, task: str = "auto", *, images: bool = False) -> Dataset:
    """A bundled data set by its name, or a file.

    Parameters
    ----------
    source : str
        "digits", "wine", "breast_cancer", "diabetes" (they come with scikit-learn), or the path of a file: CSV with a
        header line, .npz with named arrays, or .npy with one table.
    target : str
        What to predict: the column's name (CSV), the array's name (.npz; the inputs are the array "x" or "X", or the
        only other one; without a target it is the array "y"), or the column's number (.npy).
    task : "auto", "classification" or "regression"
        auto: text, and whole numbers of at most 20 different values, are classes.
    images : bool
        Whether inputs stay images (N, H, W, channels): those of a .npz file, (N, H, W, channels) or (N, H, W) for one
        channel, and the bundled digits. Without it every image is a row of features.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file, or the target in it, is not there; the message lists what is.
    """
    one_of("task", task, ("auto", "classification", "regression"))
    if source in BUNDLED:
        if target is not None:
            raise ValueError(f"{source} is bundled with its own target; leave the target out")
        return _bundled(source, images)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {source!r}; bundled data sets are {', '.join(BUNDLED)}")
    readers = {".csv": _read_csv, ".npz": _read_npz, ".npy": _read_npy}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path.name} is not a .csv, .npz or .npy file")
    if target is None and reader is not _read_npz:
        raise ValueError(f"name the target of {path.name}: the column or array to predict")
    x, y = reader(path, target or "y")
    x = _with_channels(x, path.name) if images else _as_rows(x)
    x = np.asarray(inputs("x", x), dtype=np.float64)
    return _with_task(path.stem, x, np.asarray(y), task)


def load_inputs(source: str, *, images: bool = False) -> np.ndarray:
    """The inputs of a .npy file, or of a .npz file: its array "x" or "X", or its only one.

    They stay as they are, but for their shape: images become (N, H, W, channels), or rows of features where no images
    are asked for.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is not there, is damaged, or has no such array.
    """
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {source!r}")
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"{path.name} is not a .npy or .npz file")
    try:
        # Pickled objects can run code when they are read, and the file may come from anywhere.
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if path.suffix.lower() == ".npz" else {"x": loaded}
    except (ValueError, EOFError, BadZipFile, OSError, TypeError) as error:
        raise ValueError(f"{path.name} is damaged, or holds more than plain numbers: {error}") from error
    x = arrays[_named_inputs(path, list(arrays))]
    return np.asarray(inputs("x", _with_channels(x, path.name) if images else _as_rows(x)))


def _named_inputs(path: Path, names: list[str]) -> str:
    """Which array of a .npz file has the inputs."""
    chosen = next((name for name in ("x", "X") if name in names), names[0] if len(names) == 1 else None)
    if chosen is None:
        raise ValueError(f"name the inputs of {path.name} 'x'; its arrays are {', '.join(names)}")
    return chosen


def _with_channels(x: np.ndarray, name: str) -> np.ndarray:
    """Images (N, H, W, channels), from these or from images of one channel (N, H, W)."""
    if x.ndim not in (3, 4):
        raise ValueError(
            f"{name} has inputs of shape {x.shape}; images are (N, H, W, channels), or (N, H, W) for one channel, in a "
            ".npz file"
        )
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[-1] not in (1, 3):
        raise ValueError(
            f"{name} has images of shape {x.shape[1:]}, which look as if channels came first; they have to be last: "
            "x.transpose(0, 2, 3, 1)"
        )
    return x[..., None] if x.ndim == 3 else x


def _as_rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) if x.ndim > 2 else x


def _bundled(name: str, images: bool) -> Dataset:
    if images and name != "digits":
        raise ValueError(f"the bundled data set {name} is a table; digits are images")
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "the bundled data sets come with scikit-learn: pip install 'ntk_array[study]', or give a file"
        ) from error
    bunch = getattr(datasets, f"load_{name}")()
    x = np.asarray(bunch.images[..., None] if images else bunch.data, dtype=np.float64)
    return _with_task(name, x, np.asarray(bunch.target), BUNDLED[name])


def _with_task(name: str, x: np.ndarray, y: np.ndarray, task: str) -> Dataset:
    if y.ndim != 1 or len(y) != len(x):
        raise ValueError(f"the target has shape {y.shape}; expected ({len(x)},), one value for each row of inputs")
    numeric = y.dtype.kind in "fiub"
    if numeric and not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise ValueError(f"the target is NaN or infinite in row {row}; drop such rows or fill them in")
    values = np.unique(y)
    if task == "auto":
        few = numeric and len(values) <= 20 and bool((y == np.round(y)).all())
        task = "classification" if few or not numeric else "regression"
    if task == "regression":
        if not numeric:
            raise ValueError(f"the target holds text such as {y[0]!r}; it can be classified, not regressed")
        return Dataset(name, x, y.astype(np.float64))
    if len(values) < 2:
        raise ValueError(f"the target has one class only, {values[0]!r}")
    if len(values) > 100:
        raise ValueError(f"the target has {len(values)} classes; with so many values it may be a regression target")
    # np.unique has sorted the values, so the place of a value among them is its class number.
    return Dataset(name, x, np.searchsorted(values, y), tuple(str(v) for v in values))


def _read_csv(path: Path, target: str) -> tuple[np.ndarray, np.ndarray]:
    header, body = _csv_table(path)
    if target not in header:
        raise ValueError(f"{path.name} has no column {target!r}; its columns are {', '.join(header)}")
    column = header.index(target)
    if len(header) < 2:
        raise ValueError(f"{path.name} has no column besides the target {target!r}")

    def parse(text: str, line: int, name: str) -> float:
        try:
            return float(text)
        except ValueError:
            shown = "an empty field" if not text.strip() else repr(text)
            raise ValueError(
                f"line {line} of {path.name} has {shown} in column {name!r}; inputs must be numbers: encode text "
                "columns and fill in missing values first"
            ) from None

    x = np.asarray(
        [[parse(row[j], line, name) for j, name in enumerate(header) if j != column] for line, row in body.items()]
    )
    texts = {line: row[column].strip() for line, row in body.items()}
    for line, text in texts.items():
        if not text:
            raise ValueError(f"line {line} of {path.name} has an empty target {target!r}")
    try:
        return x, np.asarray([float(text) for text in texts.values()])
    except ValueError:
        return x, np.asarray(list(texts.values()))


def _csv_table(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """The names of the columns, and the fields of each row by the number of its line; blank lines are left out."""
    lines: dict[int, list[str]] = {}
    try:
        # utf-8-sig drops a byte-order mark. With plain utf-8 it would be part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for row in reader:
                if row:
                    lines[reader.line_num] = row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text ({error.reason}); save it in the encoding UTF-8") from None
    if len(lines) < 2:
        raise ValueError(f"{path.name} needs a header line and rows of data")
    header = [name.strip() for name in lines.pop(min(lines))]
    separator = next((name for mark, name in SEPARATORS.items() if mark in header[0]), None)
    if len(header) == 1 and separator:
        raise ValueError(f"{path.name} is separated by {separator}; save it with a comma between fields")
    if "" in header:
        raise ValueError(
            f"column {header.index('') + 1} of {path.name} has no name; it may be the index of a table, which is no "
            "input: leave it out, or name it"
        )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path.name} has two columns {twice!r}; names of columns must differ")
    for line, row in lines.items():
        if len(row) != len(header):
            raise ValueError(f"line {line} of {path.name} has {len(row)} fields, the header has {len(header)}")
    return header, lines


def _read_npz(path: Path, target: str) -> tuple[np.ndarray, np.ndarray]:
    # Pickled objects can run code when they are read, and the file may come from anywhere.
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    if target not in arrays:
        raise ValueError(f"{path.name} has no array {target!r}; its arrays are {', '.join(arrays)}")
    return arrays[_named_inputs(path, [name for name in arrays if name != target])], arrays[target]


def _read_npy(path: Path, target: str) -> tuple[np.ndarray, np.ndarray]:
    table = np.load(path, allow_pickle=False)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(
            f"{path.name} has shape {table.shape}; expected a table (rows, columns) with two columns or more"
        )
    last = table.shape[1] - 1
    if not (target.isdecimal() and int(target) <= last):
        raise ValueError(f"{target!r} is no column of {path.name}; give a column number from 0 to {last}")
    return np.delete(table, int(target), axis=1), table[:, int(target)]
