"""Short texts for objects that hold arrays: shapes in the place of numbers."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from .namespace import is_array

__all__ = ["short", "short_repr"]

LONGEST = 90
"""Characters of what stands inside of another object."""


def short_repr(self: Any) -> str:
    """An object by what it was made of: ``__repr__ = short_repr`` in the body of its class.

    These are the fields of a data class or of a named tuple; of another class the arguments of its constructor that
    are attributes. What is as it is by default is left out.
    """
    shown = [f"{name}={short(value)}" for name, value, default in _parts(self) if not _same(value, default)]
    return f"{type(self).__name__}({', '.join(shown)})"


def short(value: Any) -> str:
    """One value in at most LONGEST characters."""
    if is_array(value):
        return _array(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    leaves = _leaves(value)
    if leaves and all(map(is_array, leaves)):
        return _array(leaves[0]) if len(leaves) == 1 else f"{len(leaves)} arrays"
    if isinstance(value, list | tuple | dict) and len(value) > 6:
        return f"{len(value)} items"
    if isinstance(value, partial):
        text = f"{short(value.func)} with parameters"
    elif inspect.isroutine(value):
        text = str(getattr(value, "__qualname__", "function"))
    else:
        text = " ".join(repr(value).split())
        # Python's own text, with an address in memory.
        text = type(value).__name__ if text.startswith("<") else text
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _array(value: Any) -> str:
    return f"{str(value.dtype).rpartition('.')[2]} {tuple(value.shape)}"


def _leaves(value: Any) -> list[Any]:
    """What nested parameters hold."""
    if isinstance(value, dict | list | tuple):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in _leaves(part)]
    return [value]


def _same(value: Any, default: Any) -> bool:
    # Arrays do not compare as one, and nothing that holds them does.
    return value is default or (isinstance(value, str | int | float) and value == default)


def _parts(self: Any) -> list[tuple[str, Any, Any]]:
    """Names, values and defaults."""
    if is_dataclass(self):
        return [(one.name, getattr(self, one.name), one.default) for one in fields(self) if one.repr]
    if isinstance(self, tuple):
        names: tuple[str, ...] = getattr(self, "_fields", ())
        return [(name, value, inspect.Parameter.empty) for name, value in zip(names, self, strict=True)]
    parameters = inspect.signature(type(self)).parameters.values()
    return [(one.name, vars(self)[one.name], one.default) for one in parameters if one.name in vars(self)]
