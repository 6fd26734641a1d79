"""Gram matrices written to disk block by block, so that nothing is lost when that is interrupted."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from .._support.atomic import PARTIAL, write_whole
from .._support.progress import progress_sum
from .blocks import ARRAY, MARKS, METADATA, Blocks, required_zarr
from .layout import in_block, words
from .lease import FILE as LOCK
from .lease import lease
from .memory import readable
from .spec import FILE as SPEC
from .spec import Spec
from .store import DONE, Audit, Store
from .tiled import Tile

__all__ = ["INPUTS", "computed_block", "drive", "finish_block", "keep_block"]

INPUTS = "inputs"
"""The folder of the inputs, where tasks of an executor read them."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What systems say where a file does not fit."""
MARKER_BYTES = 4096
"""What the marker of a block takes on most file systems."""

Work = Callable[[Blocks, list[Tile]], Generator[int, None, None]]
"""Finishes blocks, in any order; gives the number of entries of each once it is finished. Once closed, none is
written any more."""


def drive(folder: Path, spec: Spec, work: Work, progress: bool) -> Store:
    """Write the matrix of ``spec`` to a folder: all blocks, or those that are missing or damaged there.

    Parameters
    ----------
    folder : Path
        Of the store; made if need be.
    work : callable
        Finishes blocks, by :func:`finish_block`.
    """
    required_zarr()  # before a block is computed
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"store={str(folder)!r} is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with lease(folder):
        there, version = Spec.read(folder), spec.version
        if there is None:
            _refuse_files(folder)
            # The array first: a folder with a spec.json is a store.
            Blocks(folder, spec).create()
            spec.write(folder)
        else:
            there.refuse_another(spec, folder)
            _remove_partial_files(folder)
            spec = there
        blocks, store = Blocks(folder, spec), Store(folder, spec)
        found = _begun(blocks, store, progress) if there else Audit(len(spec.layout), list(spec.layout.tiles()), [])
        left = sorted([*found.missing, *found.damaged], key=spec.layout.number)
        if left and spec.version != version:
            raise ValueError(
                f"{folder} was begun by ntk_array {spec.version}, and this is {version}, whose kernels may differ: "
                "go on with that version, or give another folder"
            )
        if left or not store.finished:
            _compute(blocks, left, work, progress)
            _finish(folder, spec, store.audit(progress=progress) if left else found)
    return store


def finish_block(blocks: Blocks, compute: Callable[[Tile], np.ndarray], tile: Tile) -> int:
    """Compute a block, write it, and mark it as finished; the number of entries that this gives."""
    return keep_block(blocks, tile, computed_block(blocks, compute, tile))


def computed_block(blocks: Blocks, compute: Callable[[Tile], np.ndarray], tile: Tile) -> np.ndarray:
    """The numbers of a block. Errors say which block it is."""
    with _named(blocks, tile):
        return compute(tile)


def keep_block(blocks: Blocks, tile: Tile, values: np.ndarray) -> int:
    """Write a block that was computed, and mark it as finished; the number of entries that this gives.

    The marker is the last to be written. It has the hash of what was read back and was equal to what was computed.
    """
    with _named(blocks, tile):
        values = np.asarray(values, dtype=blocks.layout.dtype)
        if not np.isfinite(values).all():
            raise FloatingPointError("the kernel is NaN or infinite")
        blocks.write(tile, values)
        written = blocks.read(tile)
        if not np.array_equal(written, values):
            raise OSError(errno.EIO, "the disk gives back other numbers than were written", str(blocks.folder))
        blocks.mark(tile, written)
    return blocks.layout.entries(tile)


@contextmanager
def _named(blocks: Blocks, tile: Tile) -> Iterator[None]:
    """Errors note the block that they come from."""
    try:
        yield
    except Exception as error:
        error.add_note(in_block(blocks.layout, tile, blocks.folder))
        raise


def _begun(blocks: Blocks, store: Store, progress: bool) -> Audit:
    """What is there of a store that was begun. Markers of damaged blocks are removed."""
    try:
        blocks.check_metadata()
    except ValueError:
        blocks.create()  # it follows from spec.json
    found = store.audit(progress=progress)
    if not found.whole:
        (store.path / DONE).unlink(missing_ok=True)
    for tile in found.damaged:
        blocks.unmark(tile)
    return found


def _compute(blocks: Blocks, left: list[Tile], work: Work, progress: bool) -> None:
    layout = blocks.layout
    _check_disk(blocks.folder, len(left), layout.file_bytes)
    total, missing = math.prod(layout.shape), sum(layout.entries(tile) for tile in left)
    made = 0
    try:
        # Closed before the folder is given back: an interruption between two blocks would leave the work open.
        with closing(work(blocks, left)) as finished:
            for _ in progress_sum(finished, total, "Gram matrix", " entries", progress, done=total - missing):
                made += 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        needed = (len(left) - made) * (layout.file_bytes + MARKER_BYTES)
        full = OSError(
            error.errno,
            f"the disk is full: {len(left) - made} blocks are missing and take {needed} bytes ({readable(needed)}); "
            "nothing that is written is lost: free some space and call the same again",
            str(blocks.folder),
        )
        raise full from error


def _finish(folder: Path, spec: Spec, found: Audit) -> None:
    if not found.whole:
        bad = "; ".join(words(spec.layout, tile) for tile in [*found.missing, *found.damaged][:5])
        raise OSError(errno.EIO, f"blocks changed on the disk after they were written: {bad}", str(folder))
    _remove_partial_files(folder)  # of workers that were killed
    write_whole(folder / DONE, spec.digest.encode(), durable=True)


def _check_disk(folder: Path, blocks: int, each: int) -> None:
    """Refused before work starts: an error after a day would be worth little."""
    needed, free = blocks * (each + MARKER_BYTES), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{needed} bytes ({readable(needed)}) are needed for {blocks} blocks, and {free} ({readable(free)}) are "
            "free on the disk; take another disk, fewer inputs or float32",
            str(folder),
        )


def _refuse_files(folder: Path) -> None:
    """A new store is made in an empty folder, where nothing of the user's can be in the way.

    Or in one where a process was killed before it wrote spec.json.
    """
    ours = {folder: {LOCK, ARRAY, MARKS, SPEC}, folder / ARRAY: {METADATA}, folder / MARKS: set()}
    for own, names in ours.items():
        there = os.listdir(own) if own.is_dir() else []
        # A file that was not finished is called spec.json.1a2b3c4d.partial.
        strange = [n for n in there if n not in names and not (n.endswith(PARTIAL) and n.rsplit(".", 2)[0] in names)]
        if strange:
            raise ValueError(f"{own} has other files in it, such as {strange[0]!r}; give an empty folder or a new one")


def _remove_partial_files(folder: Path) -> None:
    """Of processes that were killed: while this one holds the lease nobody else writes."""
    parts = [(folder / part).rglob(f"*{PARTIAL}") for part in (ARRAY, MARKS, INPUTS)]
    for path in chain(*parts, *(folder.glob(f"{name}.*{PARTIAL}") for name in (SPEC, DONE))):
        path.unlink(missing_ok=True)
