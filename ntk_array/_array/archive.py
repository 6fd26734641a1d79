"""Files of plain arrays and one JSON text: npz archives that hold no pickle, as hostile as they may be."""

import io
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._support.atomic import write_whole

__all__ = ["read_archive", "write_archive"]

MAX_TEXT_BYTES = 1_000_000
MAX_DIRECTORY_BYTES = 500_000
"""Of an archive: some thousands of arrays. Networks of more layers have longer descriptions than are allowed."""


def write_archive(
    path: str | os.PathLike[str], key: str, description: Any, arrays: Mapping[str, np.ndarray], too_long: str
) -> None:
    """Write arrays by name, and a description as JSON under the name ``key``, whole or not at all.

    ValueError, with the words ``too_long``, if the text is longer than what :func:`read_archive` takes.
    """
    text = np.asarray(json.dumps(description))
    if text.nbytes > MAX_TEXT_BYTES:
        raise ValueError(too_long)
    # Written in memory first, so that the file can be put in place whole.
    buffer = io.BytesIO()
    np.savez(buffer, **{key: text}, **arrays)  # type: ignore[arg-type]
    write_whole(path, buffer.getvalue())


def read_archive(
    path: str | os.PathLike[str], key: str, schema: str, origin: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays by name. What a file claims to hold is compared with its size first.

    Raises
    ------
    ValueError
        If the file is not what ``origin`` says, is damaged, or has another schema.
    """
    from zipfile import ZipFile, is_zipfile  # takes a while to import

    name = os.fspath(path)
    with _LimitedReads(path) as file:
        if not is_zipfile(file):
            raise ValueError(f"{name} is not {origin}")
        room = file.seek(0, os.SEEK_END)
        try:
            with ZipFile(file) as archive:
                file.limited, members = False, archive.infolist()
                # Nothing is compressed, so that all members together are no larger than the file. Where the two sizes
                # of a member differ, memory would be asked for by the one that is not checked.
                packed = any(m.compress_type or m.compress_size != m.file_size for m in members)
                if packed or sum(m.file_size for m in members) > room:
                    raise ValueError("its members are compressed, or larger than the file")
                names = [m.filename.removesuffix(".npy") for m in members]
                if len(set(names)) < len(names):
                    raise ValueError("two of its members have one name")
                contents = {one: _array(archive.read(m)) for one, m in zip(names, members, strict=True)}
        except Exception as error:  # zipfile and NumPy have a dozen for damaged bytes
            raise ValueError(f"{name} is damaged: {str(error) or type(error).__name__}") from error
    text = contents.pop(key, None)
    if text is None or text.dtype.kind != "U" or text.nbytes > MAX_TEXT_BYTES:
        raise ValueError(f"{name} is not {origin}")
    try:
        description = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged: its {key} is no JSON ({error})") from error
    found = description.get("schema") if isinstance(description, dict) else None
    if found != schema:
        raise ValueError(f"{name} has schema {found!r}; this version reads {schema!r}")
    return description, contents


class _LimitedReads(io.FileIO):
    """A file of which no more than a directory is read at once, while it is ``limited``.

    An archive is as hostile as its directory is long: its entries take ten times as much memory as the bytes of them.
    """

    limited = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limited and size is not None and size > MAX_DIRECTORY_BYTES:
            raise ValueError("its directory is longer than that of any file of this kind")
        return super().read(-1 if size is None else size)


def _array(content: bytes) -> np.ndarray:
    """An array in NumPy's format, in this machine's byte order. ValueError where its header claims another size."""
    file = io.BytesIO(content)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"its arrays have version {version}")
    shape, fortran, dtype = read[version](file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they are pickles")
    numbers = content[file.tell() :]
    # In Python's integers, which do not overflow.
    if math.prod(shape) * dtype.itemsize != len(numbers):
        raise ValueError(f"an array of shape {shape} has {len(numbers)} bytes")
    array = np.frombuffer(numbers, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))
