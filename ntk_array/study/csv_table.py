"""CSV files: a header line and rows, and what is wrong with them by line and column."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["as_numbers", "csv_table", "number"]

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


MISSING = ("nan", "<na>", "n/a", "#n/a", "null")
"""What other programs write for a missing value, in small letters. NA and None are names, too."""


def csv_table(path: Path) -> tuple[list[str], dict[int, list[str]]]:
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
        raise ValueError(
            f"{path.name} is not UTF-8 text ({error.reason}); it may be Latin-1: save it again in the encoding UTF-8"
        ) from None
    except csv.Error as error:
        raise ValueError(f"{path.name} is not a table of text after line {max(lines, default=0)}: {error}") from None
    if not lines:
        raise ValueError(f"{path.name} is empty; it needs a header line and rows of data")
    header = [name.strip() for name in lines.pop(min(lines))]
    separator = next((name for mark, name in SEPARATORS.items() if mark in header[0]), None)
    if len(header) == 1 and separator:
        raise ValueError(
            f"{path.name} is separated by {separator}; save it with a comma between fields and a point in numbers"
        )
    if not lines:
        raise ValueError(f"{path.name} needs a header line and rows of data; it has one line")
    if "" in header:
        raise ValueError(
            f"column {header.index('') + 1} of {path.name} has no name; it may be the index of a table, which is no "
            "input: leave it out, or name it"
        )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path.name} has two columns {twice!r}; names of columns must differ")
    if all(_is_number(name) for name in header):
        raise ValueError(
            f"line 1 of {path.name} holds numbers, {', '.join(header[:3])}; it needs a header line with the names"
            " of columns"
        )
    for line, row in lines.items():
        if len(row) != len(header):
            raise ValueError(f"line {line} of {path.name} has {len(row)} fields, the header has {len(header)}")
    return header, lines


def _is_number(text: str) -> bool:
    try:
        _parsed(text)
    except ValueError:
        return False
    return True


def _parsed(text: str) -> float:
    """A number, or ValueError. To Python 1_1 is the number 11, and in a table it is a name."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def number(path: Path, text: str, line: int, name: str) -> float:
    """An input as a number."""
    try:
        return _parsed(text)
    except ValueError:
        shown = "an empty field" if not text.strip() else repr(text)
        raise ValueError(
            f"{path.name} has {shown} in line {line}, column {name!r}; inputs must be numbers: encode text columns and "
            "fill in missing values first"
        ) from None


def as_numbers(path: Path, texts: list[str], places: Sequence[str], name: str) -> np.ndarray:
    """The target of this name as numbers if all of it are numbers; else text, of which none is empty or missing.

    Text between numbers is refused.
    """
    values, other = [], None
    for text, place in zip(texts, places, strict=True):
        if not text.strip():
            raise ValueError(f"{place} of {path.name} has an empty target, column {name!r}")
        try:
            values.append(_parsed(text))
        except ValueError:
            other = other or (text, place)
    if other is None:
        return np.asarray(values)
    # Names of classes may look like numbers too, but then there are few. NaN is not equal to itself.
    if len(set(np.nan_to_num(values))) > 20 and 2 * len(values) > len(texts):
        raise ValueError(
            f"{path.name} has the target {other[0]!r} in {other[1]}, where most targets are numbers; drop such rows or "
            "fill them in"
        )
    for text, place in zip(texts, places, strict=True):
        if text.strip().lower() in MISSING:
            raise ValueError(
                f"{path.name} has the target {text!r} in {place}, column {name!r}, which reads as a missing value: "
                "drop such rows or fill them in, and rename it if it is a class"
            )
    return np.asarray(texts)
