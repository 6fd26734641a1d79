"""How a Gram matrix is cut into tiles, and the memory that takes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .._array.kinds import gram_shape, numbers
from .._array.libraries import is_numpy
from .._array.namespace import Array, Home, itemsize
from .._formula.numba_loops import ENOUGH
from .memory import bytes_of, default_budget, on_accelerator, readable, refuse_without_room
from .threads import thread_count
from .tiled import Costs, Tile, Tiled, cuts, tile_count, tiles_of

__all__ = ["Plan", "evenly", "most_in_one", "plan", "plan_for", "validated"]

HOST_BYTES = 3 * 2**22
"""What a tile works with on the host, or less: it then stays near the processor's caches."""
TILES_A_THREAD = 5
"""At least this many tiles for each thread, so that none is idle while the last tiles finish."""
SMALL = 2**14
"""Up to this many pairs of inputs are one tile. On NumPy, where threads pay off sooner, up to a quarter of that."""
ACCELERATOR_ENTRIES = 2**27
"""The most entries of a tile on an accelerator. Large tiles are few: each takes the host the time of its launches."""
COMPILED_ENTRIES = 2**24
"""The most where each shape of a tile is compiled for."""


@dataclass(frozen=True, repr=False)
class Plan:
    """The tiles that a Gram matrix is computed in, and the memory that takes.

    Attributes
    ----------
    shape : tuple of int
        Of the result.
    inputs : tuple of int
        N1 and N2.
    symmetric : bool
        Whether x2 is x1: only tiles on and above the diagonal are computed then, the others are their mirror images.
    tile : tuple of int
        Rows and columns of a tile, counted in inputs; the last ones along each axis may have fewer.
    threads : int
        How many tiles are computed at once.
    keeps : bool
        Whether what the kernel prepares of every input is kept; else it is prepared again for each row of tiles.
    result_bytes, working_bytes : int
        Of the result; of all else that exists at once, an estimate from above.
    home : Home
        The library, dtype and device of the result.
    """

    shape: tuple[int, ...]
    inputs: tuple[int, int]
    symmetric: bool
    tile: tuple[int, int]
    threads: int
    keeps: bool
    result_bytes: int
    working_bytes: int
    home: Home = field(compare=False)

    @property
    def outputs(self) -> int:
        """Rows of the result for each input: C for a full kernel, else 1."""
        return self.shape[-1] // self.inputs[1]

    def tiles(self) -> Iterator[Tile]:
        """The tiles that are computed, row by row."""
        return tiles_of(self.inputs, self.tile, self.symmetric)

    def rows(self) -> Iterator[slice]:
        """The rows of tiles, from the top."""
        return cuts(0, self.inputs[0], self.tile[0])

    def columns(self, start: int = 0) -> Iterator[slice]:
        """The columns of tiles from the input ``start`` on."""
        return cuts(start, self.inputs[1], self.tile[1])

    def __len__(self) -> int:
        """How many tiles are computed."""
        return tile_count(self.inputs, self.tile, self.symmetric)

    def __repr__(self) -> str:
        return (
            f"Plan({len(self)} tiles of {self.tile[0]} x {self.tile[1]} inputs, {self.threads} at once; "
            f"{readable(self.result_bytes)} for the result {self.shape}, {readable(self.working_bytes)} to work)"
        )

    def check_room(self, result: bool) -> None:
        """Refuse work, with room for the result or without, that does not fit into the memory."""
        # A result that the user gives is there already.
        needed = self.working_bytes + result * self.result_bytes
        what = f"the kernel matrix {self.shape}, of {readable(self.result_bytes)}, with what is computed at a time,"
        advice = "take fewer inputs, float32 or less memory=, or give out=, for instance a numpy.memmap, or store="
        refuse_without_room(needed, self.home, what, advice)


def plan(
    kernel: Tiled, x1: Array, x2: Array | None = None, *, memory: str | int | None = None, threads: int | None = None
) -> Plan:
    """The tiles in which :func:`assemble` would compute a Gram matrix, and the memory that would take.

    Parameters
    ----------
    kernel, x1, x2, memory, threads
        As for :func:`assemble`.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If the memory is too little for tiles of one entry.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
    >>> ntk.gram.plan(K, np.ones((3000, 8)), threads=1)  # doctest: +ELLIPSIS
    Plan(36 tiles of 375 x 375 inputs, 1 at once; 68.7 MiB for the result (3000, 3000), ... MiB to work)
    """
    return plan_for(*validated(kernel, x1, x2), memory, threads)


def validated(kernel: Any, x1: Any, x2: Any) -> tuple[Tiled, Array, Array | None]:
    """The kernel for these inputs, and the inputs, validated by it."""
    if isinstance(kernel, type) or not isinstance(kernel, Tiled):  # a class has the methods too
        raise TypeError(f"kernel must be a kernel such as ntk_array.InfiniteNTK(net), got {kernel!r}")
    x1, x2 = kernel.validated(x1, x2)
    return kernel.specialized(x1, x2), x1, x2


def most_in_one(stated: Costs, x: Array) -> int:
    """Up to how many pairs of inputs are computed as one block: matrix products share the processors then."""
    return stated.least or (SMALL // 4 if is_numpy(x) else SMALL)


def plan_for(kernel: Tiled, x1: Array, x2: Array | None, memory: Any, threads: Any) -> Plan:
    """The plan for validated inputs. The kernel is not run: it says what its blocks take."""
    asked, most = threads is not None, thread_count(x1, threads)
    n1, n2 = x1.shape[0], (x1 if x2 is None else x2).shape[0]
    stated = kernel.costs(x1, x2)
    numbers_a_pair = numbers(kernel.kind, stated.outputs)
    shape = gram_shape(kernel.kind, n1, n2, stated.outputs)
    result_bytes = math.prod(shape) * itemsize(stated.home)
    budget = default_budget(stated.home, result_bytes) if memory is None else bytes_of("memory", memory)

    # Passes over a batch, and copies of its factors in contractions, take about as much again as the factors.
    costs = _Bytes(stated.entry, 2 * stated.input)
    smallest = costs.of_tile(1, 1)
    # Without a number given, a machine of many processors takes fewer of them rather than refuse.
    threads = most if asked else max(1, min(most, budget // smallest))
    if threads * smallest > budget:
        raise ValueError(
            f"memory={memory or budget!r} is too little: a tile of one entry"
            + (f" on each of {threads} threads" if threads > 1 else "")
            + f" takes {readable(threads * smallest)}"
        )
    kept = stated.input * (n1 if x2 is None else n1 + n2)
    keeps = 2 * kept <= budget and kept + threads * smallest <= budget
    kept = kept if keeps else 0
    least = stated.least or -(-ENOUGH // numbers_a_pair)
    if on_accelerator(stated.home):
        wanted = ACCELERATOR_ENTRIES // numbers_a_pair
    elif stated.home.library.compiles_each_shape:
        wanted = COMPILED_ENTRIES // numbers_a_pair
    elif keeps:
        fair = n1 * n2 // (TILES_A_THREAD * threads * (2 if x2 is None else 1))
        wanted = min(HOST_BYTES // costs.per_entry, max(2 * least, fair) if threads > 1 else n1 * n2)
    else:  # passes that are run again for each row of tiles want few rows
        wanted = n1 * n2
    if keeps and not asked and n1 * n2 <= most_in_one(stated, x1) and kept + costs.of_tile(n1, n2) <= budget:
        tile = n1, n2
    else:
        tile = costs.tile(n1, n2, x2 is None, (budget - kept) // threads, max(1, wanted), least)

    cut = Plan(shape, (n1, n2), x2 is None, tile, threads, keeps, result_bytes, 0, stated.home)
    threads = min(threads, len(cut))
    # What is kept is prepared at once. An average holds the mean so far, one matrix and the difference of the two.
    working = kept + max(kept, threads * costs.of_tile(*tile)) + (3 * result_bytes if kernel.is_average else 0)
    return replace(cut, threads=threads, working_bytes=working)


@dataclass(frozen=True)
class _Bytes:
    """What tiles work with, for each entry and for each input of a row or a column."""

    per_entry: int
    per_input: int

    def of_tile(self, rows: int, columns: int) -> int:
        return rows * columns * self.per_entry + (rows + columns) * self.per_input

    def tile(self, n1: int, n2: int, square: bool, room: int, wanted: int, least: int) -> tuple[int, int]:
        """Rows and columns of tiles of about so many entries as are wanted, all of one size and near a square.

        They have ``least`` entries if there are so many, but no more than there is room for.
        """
        rows, columns = self._largest(n1, n2, square, room, wanted)
        least_side = math.isqrt(least - 1) + 1
        even = (
            evenly(n1, rows, max(least_side, -(-least // columns))),
            evenly(n2, columns, max(least_side, -(-least // rows))),
        )
        if self.of_tile(*even) <= room:
            return even
        return evenly(n1, rows), evenly(n2, columns)

    def _largest(self, n1: int, n2: int, square: bool, room: int, limit: int) -> tuple[int, int]:
        """Rows and columns of the largest tile within so many bytes and so many entries."""
        e, b = self.per_entry, self.per_input
        side = max(1, min(math.isqrt(limit), (math.isqrt(b * b + e * room) - b) // e))

        def along(n: int, other: int) -> int:
            return max(1, min(n, limit // other, (room - b * other) // (e * other + b)))

        rows = min(n1, side)
        columns = rows if square else along(n2, rows)
        return (rows if square else along(n1, columns)), columns


def evenly(n: int, side: int, least: int = 1) -> int:
    """At most ``side``, such that as few tiles are about equally large; more where it would be less than the least."""
    number = min(-(-n // side), max(1, n // least))
    return -(-n // number)
