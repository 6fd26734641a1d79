"""A Numba compiler for functions whose arrays share no memory. Only generated modules import it, after Numba."""

from __future__ import annotations

from typing import Any

from numba.core.compiler import Compiler

__all__ = ["Distinct"]


class Distinct(Compiler):  # type: ignore[misc]  # Numba has no types
    """Tells LLVM that no array of a function overlaps with another.

    A loop over many arrays is made of vectors then, however many there are. Else LLVM compares their places before each
    loop, and gives up where these are too many comparisons.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.flags.noalias = True
