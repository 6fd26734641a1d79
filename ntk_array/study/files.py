"""The one reader of users' files: CSV, NumPy and Parquet, and what is wrong with them, by line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from zipfile import BadZipFile

import numpy as np

from .csv_table import as_numbers, csv_table, number

__all__ = ["FORMATS", "TableFile", "read_file", "some_names"]

LARGEST = 1e150
"""Squares of larger numbers overflow, and with them every mean square."""


@dataclass(frozen=True)
class TableFile:
    """What a file holds.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    x : numpy.ndarray (N, ...)
        Inputs as they came: rows of numbers, or images.
    y : numpy.ndarray (N,) or None
        The target, numbers or text; None where no target was asked for.
    columns : tuple of str
        Names of the columns of x, which of a .npy file are numbers; empty where x has no columns to name.
    lines : sequence of int or None
        The line of each row in a text file; None where rows are counted from 0.
    target : str
        What the target is called in messages.
    """

    name: str
    x: np.ndarray
    y: np.ndarray | None
    columns: tuple[str, ...] = ()
    lines: Sequence[int] | None = None
    target: str = ""

    def row(self, row: int) -> str:
        """What a row is called in messages, and in an editor."""
        return f"line {self.lines[row]}" if self.lines is not None else f"row {row} (the first is row 0)"

    def cell(self, row: int, column: int) -> str:
        """What a number of x is called in messages."""
        return f"{self.row(row)}, column {repr(self.columns[column]) if self.columns else column}"


def read_file(source: str, target: str | None = None, columns: Sequence[str] | None = None) -> TableFile:
    """The inputs of a file, and its target if one is named.

    Every number is finite, and small enough to be squared.

    Parameters
    ----------
    source : str
        The path of a .csv file with a header line, a .parquet file, a .npz file with named arrays, or a .npy file with
        one array.
    target : str, optional
        What is no input: the column's name (.csv, .parquet; or its number, from 0), the array's name (.npz), or the
        column's number (.npy). The inputs are all other columns; of a .npz file the array "x" or "X", or the only other
        one.
    columns : sequence of str, optional
        Of a .csv or .parquet file the columns that are inputs, in this order; all others are left out.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file, or the target in it, is not there, or the file is damaged or holds what is no number; the message
        names the place.
    ImportError
        For a .parquet file without pyarrow.
    """
    path = Path(source)
    if path.is_dir():
        raise ValueError(f"{source!r} is a folder; give a file: {', '.join(FORMATS)}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {source!r}")
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path.name} is not a {', '.join(FORMATS)} file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path.name} is empty: the file has no bytes")
    found = reader(path, target, columns)
    if found.x.dtype.kind not in "fiub":
        raise ValueError(f"the inputs of {path.name} have dtype {found.x.dtype}; they must be real numbers")
    if 0 in found.x.shape:
        raise ValueError(f"{path.name} has no rows of inputs: their shape is {found.x.shape}")
    _check_numbers(found)
    return found


def _check_numbers(found: TableFile) -> None:
    """Refuse what is not finite, or too large to be scaled, in the inputs and in a target of numbers."""
    flat = found.x.reshape(len(found.x), -1)
    for wrong, what, advice in (
        (~np.isfinite(flat), "NaN or infinity", "drop such rows or fill them in"),
        (np.abs(flat) > LARGEST, f"a number above {LARGEST:g}", "its square overflows: give it in another unit"),
    ):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            number = int(wrong.any(axis=1).sum())
            others = f" and {number - 1} more rows" if number > 1 else ""
            raise ValueError(f"{found.name} has {what} in {found.cell(row, column)}{others}; {advice}")
    y = found.y
    if y is not None and y.dtype.kind == "f":
        wrong = ~np.isfinite(y) | (np.abs(y) > LARGEST)
        if wrong.any():
            # A target of another shape than (N,) is refused later, with its shape.
            row = int(np.argwhere(wrong)[0][0])
            raise ValueError(
                f"the target{found.target} is {np.ravel(y[row])[0]:g} in {found.row(row)} of {found.name}; drop such "
                "rows or fill them in"
            )


def _read_csv(path: Path, target: str | None, columns: Sequence[str] | None) -> TableFile:
    header, body = csv_table(path)
    target, names = _chosen(path, header, target, columns)
    lines = list(body)
    places = [header.index(name) for name in names]
    x = np.asarray([[number(path, body[line][j], line, header[j]) for j in places] for line in lines])
    y = None
    if target is not None:
        texts = [body[line][header.index(target)].strip() for line in lines]
        y = as_numbers(path, texts, [f"line {line}" for line in lines], target)
    return TableFile(path.name, x, y, names, lines, f", column {target!r},")


def _chosen(
    path: Path, header: Sequence[str], target: str | None, columns: Sequence[str] | None
) -> tuple[str | None, tuple[str, ...]]:
    """The names of the target and of the inputs: the columns asked for, or all but the target."""
    if target is not None and target not in header:
        if not (target.isdecimal() and int(target) < len(header)):
            raise ValueError(f"{path.name} has no column {target!r}; its columns are {some_names(header)}")
        target = header[int(target)]
    missing = [name for name in columns or () if name not in header]
    if missing:
        raise ValueError(f"{path.name} has no column {some_names(missing)}; its columns are {some_names(header)}")
    names = tuple(columns or (name for name in header if name != target))
    if not names:
        raise ValueError(f"{path.name} has no column besides the target {target!r}")
    return target, names


def some_names(names: Sequence[str]) -> str:
    """Names for a message, which stays one line."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _read_parquet(path: Path, target: str | None, columns: Sequence[str] | None) -> TableFile:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ImportError(f"{path.name} needs pyarrow: pip install pyarrow, or save the table as CSV") from error
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        _damaged(path, error)
    # pandas keeps the names of rows in such columns, and takes them out again.
    header = [name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)]
    target, names = _chosen(path, header, target, columns)
    inputs = [_column(path, name, table) for name in names]
    for name, column in zip(names, inputs, strict=True):
        if column.dtype.kind not in "fiub":
            raise ValueError(
                f"column {name!r} of {path.name} holds {table.schema.field(name).type}; inputs must be numbers: encode "
                "it first"
            )
    y = None if target is None else _column(path, target, table)
    if target is not None and y is not None and y.dtype.kind not in "fiub":
        places = [f"row {row} (the first is row 0)" for row in range(len(y))]
        y = as_numbers(path, ["" if value is None else str(value) for value in y.tolist()], places, target)
    x = np.column_stack([np.asarray(column, dtype=np.float64) for column in inputs])
    return TableFile(path.name, x, y, names, None, f", column {target!r},")


def _column(path: Path, name: str, table: Any) -> np.ndarray:
    column = table.column(name)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise ValueError(
            f"{path.name} has an empty field in row {row} (the first is row 0), column {name!r}; fill in missing "
            "values first"
        )
    return np.asarray(column.to_numpy())


def _read_npz(path: Path, target: str | None, columns: Sequence[str] | None) -> TableFile:
    del columns  # these arrays have no names for them
    arrays = _loaded(path)
    if target is not None and target not in arrays:
        raise ValueError(f"{path.name} has no array {target!r}; its arrays are {some_names(list(arrays))}")
    names = [name for name in arrays if name != target]
    chosen = next((name for name in ("x", "X") if name in names), names[0] if len(names) == 1 else None)
    if chosen is None:
        raise ValueError(f"name the inputs of {path.name} 'x'; its arrays are {some_names(list(arrays)) or 'none'}")
    y = None if target is None else arrays[target]
    return TableFile(path.name, _with_rows(path, arrays[chosen]), y, target=f", array {target!r},")


def _read_npy(path: Path, target: str | None, columns: Sequence[str] | None) -> TableFile:
    del columns
    table = _with_rows(path, _loaded(path)["x"])
    if target is None:
        return TableFile(path.name, table, None)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(
            f"{path.name} has shape {table.shape}; expected a table (rows, columns) with two columns or more"
        )
    last = table.shape[1] - 1
    if not (target.isdecimal() and int(target) <= last):
        raise ValueError(f"{target!r} is no column of {path.name}; give a column number from 0 to {last}")
    column, names = int(target), tuple(str(j) for j in range(last + 1) if j != int(target))
    return TableFile(path.name, np.delete(table, column, axis=1), table[:, column], names, target=f", column {target},")


def _with_rows(path: Path, x: np.ndarray) -> np.ndarray:
    if x.ndim < 2:
        raise ValueError(f"{path.name} has inputs of shape {x.shape}; expected a table (rows, columns), or images")
    return x


def _loaded(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a NumPy file; that of a .npy file is "x"."""
    try:
        # Pickled objects can run code when they are read, and the file may come from anywhere.
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return dict(loaded)
    except (ValueError, EOFError, BadZipFile, OSError, TypeError, KeyError, NotImplementedError) as error:
        # NumPy takes every file that does not begin as its own for a pickle, and says so of objects in other words.
        if "Object arrays" in str(error):
            raise ValueError(
                f"{path.name} holds Python objects; they are pickles, which can run code and are not read: save arrays "
                "of numbers"
            ) from None
        unknown = "pickled" in str(error)
        _damaged(path, ValueError("it does not begin as a NumPy file") if unknown else error)
    return {"x": loaded}


def _damaged(path: Path, error: Exception) -> NoReturn:
    raise ValueError(f"{path.name} is damaged: {' '.join(str(error).split()) or type(error).__name__}") from None


FORMATS: dict[str, Callable[[Path, str | None, Sequence[str] | None], TableFile]] = {
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
"""Readers by how names of files end."""
