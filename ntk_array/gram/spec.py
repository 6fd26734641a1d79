"""What a store on disk is the Gram matrix of: spec.json."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._array.description import canonical, description_of, fingerprint
from .._array.namespace import Array
from .._support.atomic import write_whole
from .._support.versions import installed_version
from .layout import Layout

__all__ = ["Spec", "read_json"]

SCHEMA = "ntk_array gram 1"
FILE = "spec.json"
MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class Spec:
    """All that the entries of a matrix depend on.

    Attributes
    ----------
    layout : Layout
    matrix : dict
        The kernel with every hyper-parameter, and the fingerprints of the inputs, as JSON.
    version : str or None
        Of ntk_array.
    """

    layout: Layout
    matrix: dict[str, Any]
    version: str | None

    @classmethod
    def of(cls, layout: Layout, kernel: Any, x1: Array, x2: Array | None) -> Spec:
        """For the matrix of a kernel between validated inputs."""
        matrix = {"kernel": description_of("kernel", kernel), "x1": fingerprint(x1), "x2": fingerprint(x2)}
        # Through JSON, because a spec that is read from a file has passed through it too.
        return cls(layout, json.loads(canonical(matrix)), installed_version("ntk_array"))

    @property
    def _tree(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "ntk_array": self.version, "layout": asdict(self.layout), **self.matrix}

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(canonical(self._tree)).hexdigest()

    def write(self, folder: Path) -> None:
        """As spec.json in the folder of the store."""
        text = json.dumps({**self._tree, "sha256": self.digest}, indent=1).encode()
        if len(text) > MAX_BYTES:
            raise ValueError(f"the description of the kernel takes {len(text)} bytes, more than a store keeps")
        write_whole(folder / FILE, text, durable=True)

    @classmethod
    def read(cls, folder: Path) -> Spec | None:
        """What is in a folder; None where there is no spec.json."""
        path = folder / FILE
        if not os.path.lexists(path):
            return None
        tree = read_json(path, MAX_BYTES)
        if tree.get("schema") != SCHEMA:
            raise ValueError(f"{path} has schema {str(tree.get('schema'))[:40]!r}; this version reads {SCHEMA!r}")
        digest = tree.pop("sha256", None)
        if digest != hashlib.sha256(canonical(tree)).hexdigest():
            raise ValueError(f"{path} is damaged: it is not what was written")
        try:
            layout = Layout.from_json(tree["layout"])
            matrix = {name: tree[name] for name in ("kernel", "x1", "x2")}
            return cls(layout, matrix, tree["ntk_array"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error

    def refuse_another(self, now: Spec, folder: Path) -> None:
        """ValueError where this store is not that of what is asked for now; the block size may be another."""
        there, here = ({**asdict(spec.layout), **spec.matrix, "block": None} for spec in (self, now))
        found = list(_differences("", there, here))
        if found:
            raise ValueError(
                f"{folder} holds another Gram matrix, which is left as it is; give another folder. The two differ in "
                f"{'; '.join(found[:5])}{f'; and {len(found) - 5} more' if len(found) > 5 else ''}"
            )


def read_json(path: Path, largest: int) -> dict[str, Any]:
    """A JSON object from a file of at most so many bytes."""
    try:
        with open(path, "rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > largest:
        raise ValueError(f"{path} is damaged: it has more than {largest} bytes")
    try:
        tree = json.loads(content)
        if not isinstance(tree, dict):
            raise TypeError("it is no JSON object")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return tree


def _differences(where: str, there: Any, now: Any) -> Iterator[str]:
    """The places at which two JSON trees differ, with both values."""
    if isinstance(there, dict) and isinstance(now, dict):
        for name in {**there, **now}:
            yield from _differences(f"{where}.{name}" if where else name, there.get(name), now.get(name))
    elif isinstance(there, list) and isinstance(now, list) and len(there) == len(now):
        for i, (one, two) in enumerate(zip(there, now, strict=True)):
            yield from _differences(f"{where}[{i}]", one, two)
    elif there != now:
        yield f"{where}: {_short(there)} there, {_short(now)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
