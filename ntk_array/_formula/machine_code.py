"""Loops as machine code, by Numba, kept in files so that the next process need not compile them.

Files may be damaged, a disk may be full and a folder read-only. None of that is a reason to fail: a loop whose machine
code cannot be read or written is compiled for this process only.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from .._support.atomic import write_whole

__all__ = ["OPTIONS", "distinct", "jit", "loop_from"]

OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract": True, "nsz": True}}
"""Rounding may differ from NumPy's where a product and a sum become one instruction, and nowhere else."""
KEPT_NOWHERE = OPTIONS | {"cache": False}

_COMPILING = threading.RLock()
"""Held while a loop is loaded or mended, so that threads that need the same loop compile it once."""


def jit(function: Callable[..., None]) -> Callable[..., None]:
    """A function of arrays as machine code, compiled at its first call. Numba keeps it beside the function's file."""
    return _Loop(partial(_dispatcher, function))


def distinct() -> type:
    """A Numba compiler that tells LLVM that no array of a function overlaps with another.

    A loop over many arrays is made of vectors then, however many there are. Else LLVM compares their places before each
    loop, and gives up where these are too many comparisons. It is given as ``njit(pipeline_class=distinct())``.
    """
    from numba.core.compiler import Compiler

    class Distinct(Compiler):  # type: ignore[misc]  # Numba has no types
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.state.flags.noalias = True

    return Distinct


def loop_from(text: str, superword: bool = False) -> Callable[..., None]:
    """The function ``loop`` of a module in Python, given as text. It is kept in the user's cache folder.

    With ``superword`` LLVM makes vectors of several variables that are computed alike, too. Numba leaves that out.
    """
    return _Loop(lambda kept: _module(text, kept).loop, superword)


class _Loop:
    """A loop as Numba's dispatcher, made once more where files fail it: ``make(kept)`` gives one with or without files.

    Numba reads and writes files at the first call with arguments of a new type, before the loop runs. Loops raise
    nothing themselves, except for lack of memory. So an exception means that no array has been touched, and that the
    loop can be called again.
    """

    def __init__(self, make: Callable[[bool], Any], superword: bool = False) -> None:
        self._make, self._superword = make, superword
        self._run: Any = None  # made at the first call: Numba takes long to import

    def __call__(self, *arguments: Any) -> None:
        if self._run is None:
            with _COMPILING:
                self._run = self._run or self._make(True)
        if self._superword:
            with _COMPILING, _superword():
                self._superword = False  # whatever comes of it, the first call is the one that compiles
                self._called(*arguments)
        else:
            self._called(*arguments)

    def _called(self, *arguments: Any) -> None:
        try:
            self._run(*arguments)
        except MemoryError:
            raise
        except Exception:
            with _COMPILING:
                self._call_again(*arguments)

    def _call_again(self, *arguments: Any) -> None:
        # A second call is enough where code could not be written, since it is compiled by then, or where another
        # thread has mended the loop. Code that cannot be read has to go before the third.
        for damaged in (False, True):
            if damaged:
                _remove_files(self._run)
            try:
                self._run(*arguments)
                return
            except Exception:
                continue
        self._run = self._make(False)
        self._run(*arguments)


@contextmanager
def _superword() -> Iterator[None]:
    """LLVM's vectors of variables, for what is compiled meanwhile."""
    from numba.core import config

    before = config.SLP_VECTORIZE
    config.SLP_VECTORIZE = 1
    try:
        yield
    finally:
        config.SLP_VECTORIZE = before


def _dispatcher(function: Callable[..., None], kept: bool) -> Any:
    from numba import njit

    if kept:
        with suppress(OSError, RuntimeError):  # Numba finds no folder that it can write to
            return njit(**OPTIONS)(function)
    return njit(**KEPT_NOWHERE)(function)


def _remove_files(dispatcher: Any) -> None:
    """Remove the machine code of all functions that stand in the same source file as this one."""
    folder, stem = dispatcher.stats.cache_path, Path(dispatcher.py_func.__code__.co_filename).stem
    if folder is None:
        return
    for kind in ("nbi", "nbc"):  # an index, and the machine code for arguments of one type
        for path in Path(folder).glob(f"{stem}.*.{kind}"):
            with suppress(OSError):
                path.unlink()


def _module(text: str, kept: bool) -> ModuleType:
    """A module from its text, which is written to a file if its machine code is to be kept."""
    import hashlib

    name = f"ntk_array_loop_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if kept:
        for folder in _folders():
            # RuntimeError: Numba can write machine code for this file nowhere.
            with suppress(OSError, RuntimeError):
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{name}.py"
                if not path.exists() or path.read_bytes() != text.encode():
                    write_whole(path, text.encode())
                return _run_as_module(name, text, path)
    return _run_as_module(name, text.replace(repr(OPTIONS), repr(KEPT_NOWHERE)), Path(f"<{name}>"))


def _run_as_module(name: str, text: str, path: Path) -> ModuleType:
    # Not by Python's import: that would keep bytecode in one more file, and fail where this one is damaged.
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # Numba looks up the module of kept machine code by its name
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def _folders() -> Iterator[Path]:
    """Where generated modules may be kept: the user's cache, if there is one."""
    given = os.environ.get("NTK_ARRAY_CACHE") or os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # there may be no home
        yield Path(given or Path.home() / ".cache") / "ntk_array"
