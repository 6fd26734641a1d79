"""``ntk-array predict``: predictions of a saved estimator for a table."""

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .._support.atomic import write_whole
from ..study.files import FORMATS, read_file
from .options import Commands, add_command, file_for_results

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the command."""
    predict = add_command(
        commands,
        "predict",
        run,
        "predict rows of a table by a model that ntk-array fit has saved",
        "Predict each row of a table, and write CSV with a header line: the prediction, and the probability of each "
        "class or the standard deviation of a new observation, its noise included.",
    )
    predict.add_argument("model", help="the file that ntk-array fit has made, or save() of ntk_array.sklearn")
    predict.add_argument(
        "data",
        help=f"a {', '.join(FORMATS)} file; columns of .csv and .parquet are found by name, and others are left out",
    )
    predict.add_argument("--out", help="a .csv file; by default standard output")


def run(options: argparse.Namespace) -> int:
    """Load, predict and write."""
    out = None if options.out is None else file_for_results(options.out)
    from ..sklearn import load

    if not Path(options.model).is_file():
        raise FileNotFoundError(f"there is no file {options.model!r}; ntk-array fit makes models")
    model = load(options.model)
    first = model[0] if hasattr(model, "steps") else model
    # They choose the columns. The estimator gets a plain array then, and would miss them.
    names = vars(first).pop("feature_names_in_", None)
    found = read_file(options.data, columns=None if names is None else names.tolist())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header, columns = predictions(model, np.asarray(found.x, dtype=np.float64))
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    if out is None:
        sys.stdout.write(text.getvalue())
    else:
        write_whole(out, text.getvalue().encode())
    return 0


def predictions(model: Any, x: np.ndarray) -> tuple[list[str], list[list[Any]]]:
    """The names of columns, and the columns."""
    estimator = model[-1] if hasattr(model, "steps") else model
    if hasattr(estimator, "predict_proba"):
        if estimator.is_multilabel_:
            raise ValueError("the model predicts several labels for each row; use it from Python")
        probabilities = model.predict_proba(x)
        labels = [f"probability of {label}" for label in estimator.classes_]
        return ["prediction", *labels], [model.predict(x).tolist(), *probabilities.T.tolist()]
    mean, std = (model.predict(x), None) if estimator.scale_ is None else model.predict(x, return_std=True)
    outputs = mean[:, None] if mean.ndim == 1 else mean
    names = ["prediction"] if outputs.shape[1] == 1 else [f"prediction {c}" for c in range(outputs.shape[1])]
    if std is None:
        return names, outputs.T.tolist()
    spread = np.sqrt(std.reshape(outputs.shape)[:, 0] ** 2 + estimator.scale_**2 * estimator.ridge_)
    return [*names, "standard deviation"], [*outputs.T.tolist(), spread.tolist()]
