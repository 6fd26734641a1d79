"""Which kernels are asked for: the argument ``get``, and the results that it names."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["answered", "chosen"]


def chosen(get: Any, everything: tuple[str, ...], known: Iterable[str]) -> tuple[str, ...]:
    """The names that ``get`` gives, all of them for None."""
    if get is None:
        return everything
    names = (get,) if isinstance(get, str) else tuple(get)
    names = tuple(name.lower() for name in names)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"get must have one name or more, each once; got {get!r}")
    for name in names:
        if name not in known:
            raise ValueError(f"get must be one of {', '.join(known)}, or a tuple of these; got {get!r}")
    return names


def answered(title: str, get: Any, names: tuple[str, ...], value: Callable[[str], Any]) -> Any:
    """One value where ``get`` is one name, and else a named tuple of them."""
    if isinstance(get, str):
        return value(names[0])
    return namedtuple(title, names)(*map(value, names))
