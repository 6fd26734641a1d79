"""Data sets for the study: bundled ones and files of the user's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._array.short import short_repr
from .._array.validate import count, one_of
from .._support.hints import install_hint
from .files import FORMATS, TableFile, read_file

__all__ = ["BUNDLED", "Dataset", "Split", "load_dataset", "load_inputs", "refuse_unscalable"]

BUNDLED = {
    "digits": "classification",
    "wine": "classification",
    "breast_cancer": "classification",
    "diabetes": "regression",
}


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
    columns : tuple of str
        Names of the columns of x in a .csv or .parquet file; empty where there are none.
    one_unit : bool
        Whether all features of a table share a unit, as the pixels of the bundled digits do.
    """

    __repr__ = short_repr

    name: str
    x: np.ndarray
    target: np.ndarray
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    one_unit: bool = False

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    def split(self, train: int | None, test: int | None, seed: np.random.SeedSequence) -> Split:
        """Random training and test sets, scaled by what the training set shows.

        Every input feature is centred; features are divided by their standard deviations, or by one common number
        where they share a unit. Then ||x||^2 = d on average. Images are centred and
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
        if self.one_unit and x_train.ndim == 2:
            spread = np.full_like(spread, np.sqrt(np.mean(spread**2)))
        refuse_unscalable(self.name, x_train, spread)
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


def refuse_unscalable(name: str, x: np.ndarray, spread: np.ndarray) -> None:
    """ValueError for features that differ, and whose standard deviations (over all axes but the last) say otherwise.

    The squares of tiny differences underflow. Such a feature would be taken for a constant, and nobody would know.
    """
    differs = np.ptp(x, axis=tuple(range(x.ndim - 1))) > 0
    if ((spread == 0) & differs).any() or not np.isfinite(spread).all():
        raise ValueError(f"{name} has inputs that are too large or too small to be scaled; change their unit")


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
        header line, .parquet (read by pyarrow), .npz with named arrays, or .npy with one table.
    target : str
        What to predict: the column's name or its number from 0 (.csv, .parquet), the array's name (.npz; the inputs are
        the array "x" or "X", or the only other one; without a target it is the array "y"), or the column's number
        (.npy).
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
    if not path.exists():
        raise FileNotFoundError(f"there is no file {source!r}; bundled data sets are {', '.join(BUNDLED)}")
    if target is None and path.suffix.lower() != ".npz" and path.suffix.lower() in FORMATS:
        raise ValueError(f"name the target of {path.name}: the column or array to predict")
    found = read_file(source, target or "y")
    x = np.asarray(_shaped(found, images), dtype=np.float64)
    return _with_task(path.stem, x, found, task)


def load_inputs(source: str, *, images: bool = False) -> np.ndarray:
    """The inputs of a file: all columns of a .csv or .parquet file, the array of a .npy file, or of a .npz file its
    array "x" or "X", or its only one.

    They stay as they are, but for their shape: images become (N, H, W, channels), or rows of features where no images
    are asked for.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is not there, is damaged, or has no such array.
    """
    return _shaped(read_file(source), images)


def _shaped(found: TableFile, images: bool) -> np.ndarray:
    x = found.x
    if images:
        return _with_channels(x, found.name)
    return x.reshape(len(x), -1) if x.ndim > 2 else x


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


def _bundled(name: str, images: bool) -> Dataset:
    if images and name != "digits":
        raise ValueError(f"the bundled data set {name} is a table; digits are images")
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            f"the bundled data sets come with scikit-learn: {install_hint('study')}, or give a file"
        ) from error
    bunch = getattr(datasets, f"load_{name}")()
    x = np.asarray(bunch.images[..., None] if images else bunch.data, dtype=np.float64)
    data = _with_task(name, x, TableFile(name, x, np.asarray(bunch.target)), BUNDLED[name])
    return replace(data, one_unit=name == "digits")


def _with_task(name: str, x: np.ndarray, found: TableFile, task: str) -> Dataset:
    y = np.asarray(found.y)
    if y.ndim != 1 or len(y) != len(x):
        raise ValueError(f"the target has shape {y.shape}; expected ({len(x)},), one value for each row of inputs")
    numeric = y.dtype.kind in "fiub"
    values = np.unique(y)
    if task == "auto":
        few = numeric and len(values) <= 20 and bool((y == np.round(y)).all())
        task = "classification" if few or not numeric else "regression"
    if task == "regression":
        if not numeric:
            raise ValueError(f"the target holds text such as {str(y[0])!r}; it can be classified, not regressed")
        if len(values) == 1:
            raise ValueError(f"the target is {values[0]:g} in every row: there is nothing to predict")
        return Dataset(name, x, y.astype(np.float64), columns=_columns(found))
    if len(values) < 2:
        raise ValueError(f"the target has one class only, {_class_name(values[0])!r}")
    if len(values) > 100:
        raise ValueError(f"the target has {len(values)} classes; with so many values it may be a regression target")
    # np.unique has sorted the values, so the place of a value among them is its class number.
    return Dataset(name, x, np.searchsorted(values, y), tuple(_class_name(v) for v in values), _columns(found))


def _columns(found: TableFile) -> tuple[str, ...]:
    """Names that another table has too: the columns of a NumPy file are numbers."""
    return found.columns if found.lines is not None or Path(found.name).suffix.lower() == ".parquet" else ()


def _class_name(value: np.generic) -> str:
    """Class 3 of a CSV file is the number 3.0."""
    number = value.item()
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)
