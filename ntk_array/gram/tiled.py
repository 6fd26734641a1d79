"""What a kernel must offer for its Gram matrices to be computed in tiles."""

from typing import Any, Protocol, runtime_checkable

from .._array.namespace import Array
from .kinds import Kind

__all__ = ["Tiled", "part"]


@runtime_checkable
class Tiled(Protocol):
    """A kernel, as far as assembly knows it; :class:`ntk_array.Kernel` is one."""

    @property
    def kind(self) -> Kind:
        """The shape of its blocks."""

    @property
    def temporaries(self) -> int:
        """How many arrays of the size of a block exist at once, at most, while one is computed."""

    def checked(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """The inputs, validated."""

    def restricted(self, x1: Array, x2: Array | None) -> "Tiled":
        """The kernel between these inputs and no others: what all tiles have in common is decided here."""

    def prepare(self, x: Array) -> Any:
        """What the blocks of one batch share: lists and tuples of arrays, see :func:`part`."""

    def prepared_block(self, prepared1: Any, prepared2: Any | None) -> Array:
        """The block of inputs that were prepared; None means that both are the same batch."""


def part(prepared: Any, rows: slice) -> Any:
    """What is prepared of some of the inputs of a batch.

    Every array leads with the inputs, or has length 1 there where it is the same for all of them.
    """
    if prepared is None:
        return None
    if isinstance(prepared, list | tuple):
        parts = [part(p, rows) for p in prepared]
        return type(prepared)(*parts) if hasattr(prepared, "_fields") else type(prepared)(parts)
    return prepared if prepared.shape[0] == 1 else prepared[rows, ...]
