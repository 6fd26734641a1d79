"""Objects as JSON: what a kernel is, said in full, so that a later run can tell whether it has the same one."""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import json
import numbers
from collections.abc import Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from .namespace import Array, is_array, to_host

__all__ = ["canonical", "description_of", "fingerprint"]

ROWS = 1024
"""So many inputs are taken to the host at a time."""
GENERATED = {"__init__", "__eq__", "__repr__", "__hash__", "__setattr__", "__delattr__", "__getstate__", "__setstate__"}
GENERATED |= {"__module__", "__qualname__", "__doc__", "__firstlineno__", "__replace__", "__annotate_func__"}
"""What a dataclass has of its own accord, and what says nothing of its values."""
MOVED = {"ntk_array.kernels.algebra": "ntk_array.kernels.base"}
"""Where classes of these modules stood before: files name them by that place, and stay valid."""


def fingerprint(x: Array | None) -> str | None:
    """dtype, shape and SHA-256 of the values of an array, by way of the host, some rows at a time."""
    if x is None:
        return None
    n = x.shape[0] if x.ndim else 0
    digest = hashlib.sha256()
    for i in range(0, max(n, 1), ROWS):
        host = np.ascontiguousarray(to_host(x[i : min(i + ROWS, n), ...] if n else x))
        digest.update(host.tobytes())
    # Equal bytes may be arrays of another dtype or shape. So these two are part of the fingerprint.
    return f"{host.dtype} {tuple(x.shape)} sha256 {digest.hexdigest()}"


def canonical(tree: Any) -> bytes:
    """The one JSON text of a tree, whatever the order of its keys."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


def description_of(name: str, value: Any) -> Any:
    """A value as a JSON tree. Equal trees mean equal values.

    Dataclasses are described by their class and fields, arrays by their fingerprint. Functions are described by their
    name, byte code, constants, and all that they refer to: variables of the functions around them, global variables,
    and functions of the same package. The same goes for the methods of classes from outside this package.

    Raises
    ------
    TypeError
        If something in the value cannot be described; the message says where it is, starting with ``name``.
    """
    return _Description().of(name, value)


class _Description:
    """One description in the making; it knows which functions and classes it is in, since they may go in circles."""

    def __init__(self) -> None:
        self._inside: list[Any] = []

    def of(self, where: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            return float(value)
        if is_array(value):
            return fingerprint(value)
        if isinstance(value, Mapping):
            return {str(key): self.of(f"{where}[{key!r}]", one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(f"{where}[{i}]", one) for i, one in enumerate(value)]
        if isinstance(value, set | frozenset):
            return sorted(self.of(where, one) for one in value)
        if isinstance(value, slice):
            return [value.start, value.stop, value.step]
        if isinstance(value, np.random.SeedSequence):
            return {"entropy": self.of(where, value.entropy), "spawn_key": self.of(where, value.spawn_key)}
        if callable(getattr(type(value), "described", None)):
            return value.described()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._dataclass(where, value)
        return self._code(where, value)

    def _dataclass(self, where: str, value: Any) -> dict[str, Any]:
        fields = {field.name: field.init for field in dataclasses.fields(value)}
        # A copy with something bound to it, such as a layer with its random numbers, has attributes beside its fields.
        # What is only kept for the next call does not count.
        bound = [
            name
            for name in getattr(value, "__dict__", {})
            if name not in fields and not isinstance(getattr(type(value), name, None), functools.cached_property)
        ]
        made = [name for name, given in fields.items() if given] or list(fields)
        parts = {name: self.of(f"{where}.{name}", getattr(value, name)) for name in [*made, *bound]}
        return {"class": self.of(where, type(value)), **parts}

    def _code(self, where: str, value: Any) -> Any:
        """Functions, classes and modules."""
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, np.ufunc | BuiltinFunctionType):
            return f"{getattr(value, '__module__', None) or 'numpy'}.{value.__name__}"
        if isinstance(value, MethodType):
            return [self.of(where, value.__self__), self.of(where, value.__func__)]
        if isinstance(value, functools.partial):
            return [self.of(where, part) for part in (value.func, value.args, value.keywords)]
        if not isinstance(value, FunctionType | type):
            raise TypeError(
                f"{where} is {_short(value)}, which cannot be described in a file: a later run could not tell whether "
                "it has the same one; take numbers, arrays, functions or frozen dataclasses of these"
            )
        top = _package(value.__module__)
        name = f"{value.__module__}.{value.__qualname__}"
        if top == _package(__package__):
            return f"{MOVED.get(value.__module__, value.__module__)}.{value.__qualname__}"
        # Told apart by identity: two functions of one name are not the same.
        circle = next((i for i, outer in enumerate(self._inside) if outer is value), None)
        if circle is not None:
            return {"inside": circle}
        self._inside.append(value)
        try:
            return self._class(where, name, value) if isinstance(value, type) else self._function(where, name, value)
        finally:
            self._inside.pop()

    def _class(self, where: str, name: str, cls: type) -> dict[str, Any]:
        """By what is written in it, and by the classes that it derives from."""
        members: dict[str, Any] = {}
        for key, member in vars(cls).items():
            for inner in (getattr(member, part, None) for part in ("fget", "func", "__func__")):
                member = inner or member
            if isinstance(member, FunctionType | int | float | str) and key not in GENERATED | {
                "__module__",
                "__doc__",
            }:
                members[key] = self.of(f"{where}.{key}", member)
        bases = [self._named(f"{where}'s base", base, cls.__module__) for base in cls.__bases__]
        return {"name": name, "members": members, "bases": bases}

    def _function(self, where: str, name: str, function: FunctionType) -> dict[str, Any]:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        outer: dict[str, Any] = {}
        for key, cell in cells:
            try:
                outer[key] = cell.cell_contents
            except ValueError:  # a variable that has no value yet
                outer[key] = None
        known = function.__globals__
        outer |= {key: known[key] for key in _global_names(function.__code__) if key in known}
        return {
            "name": name,
            "code": hashlib.sha256(_text_of(function.__code__).encode()).hexdigest(),
            "defaults": self.of(f"a default of {where}", [function.__defaults__, function.__kwdefaults__]),
            "refers to": {
                key: self._named(f"the variable {key} that {where} refers to", one, function.__module__)
                for key, one in sorted(outer.items())
            },
        }

    def _named(self, where: str, value: Any, module: str) -> Any:
        """By its name alone where it is a function or a class of another package."""
        if isinstance(value, FunctionType | type) and _package(value.__module__) != _package(module):
            return f"{value.__module__}.{value.__qualname__}"
        return self.of(where, value)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _global_names(code: CodeType) -> set[str]:
    """The global variables that a function reads, and the functions inside it."""
    names = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = [_global_names(const) for const in code.co_consts if isinstance(const, CodeType)]
    return names.union(*inner)


def _text_of(code: CodeType) -> str:
    """Byte code, names and constants, without file names and line numbers."""
    constants = [_text_of(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    return repr((code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants))


def _constant(value: Any) -> str:
    # Sets have no order of their own: that of text changes from process to process.
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
