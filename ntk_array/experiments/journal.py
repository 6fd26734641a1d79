"""A folder in which finished runs are kept, so that an interrupted experiment goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._support.atomic import write_whole
from ..nn.activations import Activation, Elementwise
from ..nn.composite import Composite
from ..nn.layer import Layer

__all__ = ["Journal", "described"]

SCHEMA = 1
MAX_SPEC_BYTES = 1_000_000
NAME = "name of the run"
"""Among the arrays of a run."""
POINTS = np.linspace(-3.0, 3.0, 25)
"""Where functions of users are compared."""


class Journal:
    """Finished runs by name: each a small .npz file, written whole, beside a spec.json that says what they are runs of.

    Parameters
    ----------
    folder : path or None
        Made if need be. None keeps nothing: every run is computed.
    spec : dict
        All that the results depend on, as JSON.

    Raises
    ------
    ValueError
        If the folder belongs to another spec; the message says what differs.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, spec: dict[str, Any]) -> None:
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        # JSON makes lists of tuples. So the spec passes through JSON before it is compared with the one on disk.
        text = json.dumps({"schema": SCHEMA, **spec}, indent=1)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "spec.json"
        if path.exists():
            _refuse_another(path, json.loads(text))
        else:
            write_whole(path, text.encode())

    def keep(self, name: str, run: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays of this run: from its file, or computed now and written. A damaged file is computed again."""
        if self.folder is None:
            return run()
        path = self.folder / f"{name}.npz"
        arrays = _read(path, name)
        if arrays is None:
            arrays = run()
            # The archive is made in memory, so that write_whole can put it on disk in full or not at all.
            buffer = io.BytesIO()
            np.savez(buffer, **arrays, **{NAME: np.asarray(name)})  # type: ignore[arg-type]
            write_whole(path, buffer.getvalue())
        return arrays


def described(net: Layer) -> str:
    """A network as text; activations of a user with values of theirs, since a name says nothing of a function.

    The values have six digits, so that a run may go on where another version of NumPy rounds otherwise.
    """
    parts = [repr(net)]
    for activation in _activations(net):
        if isinstance(activation, Elementwise):
            digits = [f"{y:.5e}" for y in np.concatenate(activation.value_and_derivative(np, POINTS)).tolist()]
            parts.append(f"{activation.name} {hashlib.sha256(' '.join(digits).encode()).hexdigest()[:16]}")
    return "; ".join(dict.fromkeys(parts))


def _activations(net: Layer) -> Iterator[Activation]:
    if isinstance(net, Composite):
        for part in net.layers:
            yield from _activations(part)
    elif isinstance(net, Activation):
        yield net


def _read(path: Path, name: str) -> dict[str, np.ndarray] | None:
    """The arrays of a run; None where there is no whole file of this run, or a result in it is not finite."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception:  # no file yet, or one of the dozen errors that zipfile and NumPy have for damaged bytes
        return None
    # A file may have been copied over that of another run.
    if str(arrays.pop(NAME, "")) != name:
        return None
    numbers = [array for array in arrays.values() if array.dtype.kind in "fc"]
    return arrays if all(np.isfinite(array).all() for array in numbers) else None


def _refuse_another(path: Path, spec: dict[str, Any]) -> None:
    try:
        if path.stat().st_size > MAX_SPEC_BYTES:
            raise ValueError("too large")
        there = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the spec of an experiment ({error}); give another folder") from error
    differing = [name for name in {**spec, **there} if spec.get(name) != there.get(name)]
    if differing:
        listing = "; ".join(
            f"{name}: {_short(there.get(name))} there, {_short(spec.get(name))} now" for name in differing
        )
        raise ValueError(f"{path.parent} holds runs of another experiment, give another folder: {listing}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
