"""The blocks of a store: a Zarr array of one chunk a block, and beside it a marker for each block that is finished."""

from __future__ import annotations

import hashlib
import json
import math
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .._support.atomic import flush, write_whole
from .._support.hints import install_hint
from .layout import Layout, words
from .spec import Spec, read_json
from .tiled import Tile

__all__ = ["Blocks", "required_zarr"]

ARRAY, MARKS = "matrix", "marks"
METADATA = "zarr.json"
MAX_METADATA_BYTES = 10_000
DIGITS = 64
"""Of a SHA-256."""


class Blocks:
    """The blocks of a store in a folder. Only the code that holds the lease of the folder writes.

    The array has no compression, and a CRC-32C for each chunk. What is missing reads as NaN, never as 0.
    """

    def __init__(self, folder: Path, spec: Spec) -> None:
        self.folder, self.layout, self.digest = folder, spec.layout, spec.digest

    def create(self) -> None:
        """Make an array without blocks. One that is there keeps its blocks."""
        (self.folder / ARRAY).mkdir(exist_ok=True)
        (self.folder / MARKS).mkdir(exist_ok=True)
        # Written here and not by Zarr, which deletes all blocks where it replaces a file that is damaged.
        content = json.dumps(_metadata(self.layout), indent=1).encode()
        write_whole(self.folder / ARRAY / METADATA, content, durable=True)

    def check_metadata(self) -> None:
        """ValueError where Zarr would read something else than what was written."""
        path = self.folder / ARRAY / METADATA
        if read_json(path, MAX_METADATA_BYTES) != _metadata(self.layout):
            raise ValueError(f"{path} is damaged: it is not that of the matrix in spec.json; assemble the store again")

    # ---- blocks ----------------------------------------------------------------------------------------------------

    def read(self, tile: Tile) -> np.ndarray:
        """A block, compared with its checksum. ValueError where it is missing or damaged."""
        path = self._path(tile)
        try:
            size = os.stat(path, follow_symlinks=False).st_size
        except FileNotFoundError:
            raise self._refusal(tile, "its file is missing") from None
        # Before anything is read: a file of another size would be asked for as much memory as it says.
        if size != self.layout.file_bytes:
            raise self._refusal(tile, f"its file has {size} bytes in place of {self.layout.file_bytes}")
        try:
            values = np.asarray(self._array[self.layout.region(tile)])
        except ValueError as error:
            raise self._refusal(tile, str(error)) from error
        # Zarr makes NaN of a file that was removed in this moment. Finished blocks have none.
        if math.isnan(values.flat[0]):
            raise self._refusal(tile, "its file is missing")
        return values

    def write(self, tile: Tile, values: np.ndarray) -> None:
        """Write a finite block; it is on the disk when this returns."""
        path = self._path(tile)
        # The names of files are in their folders, which have names too where they are new.
        folders = path.relative_to(self.folder).parents[: 1 if path.parent.exists() else -1]
        self._writable[self.layout.region(tile)] = values
        flush(path)
        for folder in folders:
            flush(self.folder / folder)

    def _refusal(self, tile: Tile, reason: str) -> ValueError:
        return ValueError(
            f"the block of {words(self.layout, tile)} in {self.folder} is damaged: {reason}; "
            "call ntk_array.gram.assemble as before, which computes damaged blocks again"
        )

    # ---- markers ---------------------------------------------------------------------------------------------------

    def marked(self, tile: Tile) -> bool:
        """Whether a block is finished, as far as its marker says."""
        return self._mark(tile).is_file()

    def mark(self, tile: Tile, values: np.ndarray) -> None:
        """Say that a block is finished, and what was read back of it."""
        write_whole(self._mark(tile), self.hash(tile, values).encode(), durable=True)

    def unmark(self, tile: Tile) -> None:
        """Take that back."""
        self._mark(tile).unlink(missing_ok=True)

    def intact(self, tile: Tile) -> bool:
        """Whether a block that is marked is what was written. This reads it."""
        try:
            with open(self._mark(tile), "rb") as file:
                expected = file.read(DIGITS + 1)
            return expected == self.hash(tile, self.read(tile)).encode()
        except PermissionError:
            raise
        except (ValueError, OSError):  # damaged, or a part of the disk that cannot be read
            return False

    def hash(self, tile: Tile, values: np.ndarray) -> str:
        """Of the numbers of a block, of its place, and of the matrix that it belongs to."""
        digest = hashlib.sha256(f"{self.digest} {self.layout.number(tile)}".encode())
        digest.update(np.ascontiguousarray(values, dtype=np.dtype(self.layout.dtype).newbyteorder("<")).data)
        return digest.hexdigest()

    # ---- files -----------------------------------------------------------------------------------------------------

    def _path(self, tile: Tile) -> Path:
        row, column = self.layout.number(tile)
        stack = ["0"] * (len(self.layout.shape) - 2)
        return self.folder.joinpath(ARRAY, "c", *stack, str(row), str(column))

    def _mark(self, tile: Tile) -> Path:
        row, column = self.layout.number(tile)
        return self.folder / MARKS / f"{row}.{column}"

    @cached_property
    def _array(self) -> Any:
        self.check_metadata()
        return _opened(self.folder / ARRAY, "r")

    @cached_property
    def _writable(self) -> Any:
        return _opened(self.folder / ARRAY, "r+")


def required_zarr() -> Any:
    """The library; an ImportError that says how to install it."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError(f"stores need zarr: {install_hint('scale')}") from error
    return zarr


def _opened(path: Path, mode: str) -> Any:
    zarr = required_zarr()
    return zarr.open_array(zarr.storage.LocalStore(path, read_only=mode == "r"), mode=mode)


def _metadata(layout: Layout) -> dict[str, Any]:
    """The zarr.json of the array (Zarr core protocol, version 3)."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(layout.shape),
        "data_type": layout.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(layout.chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "attributes": {},
    }
