"""Convolutional networks on planes of pairs of positions, as CUDA C++: see :mod:`.plane_stages` for the stages.

A thread takes one column of a few planes of one pair of inputs through all stages on one grid of positions, row by row.
Numbers of its column stay where no other thread reads them, in shared memory. What a window sees of a row is in
registers, so that results are written over what they come from. Sums along x are exchanged between the threads of a
warp. So a stage has no barrier where a row of positions is in one warp. The planes of a thread are neighbours along y:
each row of the second input is read from memory once, and serves one plane after the other.

In the end the sums of all columns, in float64, are added up by one thread in their order, or planes are left for the
next grid, each at a place of its own. So results do not depend on the order in which blocks and threads run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from .._array.cuda_launch import NUMBER
from .._array.window import Window
from .cuda_text import CALL, HEAD, INPUTS, KERNEL, LEAVES, OUTPUT, PLACE, STAGE
from .cuda_windows import WindowCode, left_apart
from .cupy_kernels import statements
from .formula import COLUMN, ROW
from .plane_stages import Stage, kept, sides_kept

__all__ = ["MOST_THREADS", "PlaneCode"]

MOST_THREADS = 1024
"""Of a block, on every device."""
WARP = 32
WARPS = 4
"""Warps of a block, which read the same numbers at about the same time."""
ENOUGH_BYTES = 72 * 2**10
"""Shared memory that a block of several warps may take: three such blocks run at once on an H100."""
MULTIPROCESSOR_BYTES, RESERVED_BYTES = 228 * 2**10, 2**10
"""Shared memory of a multiprocessor of an H100, and what each block takes of it besides its own."""
ENOUGH_THREADS = 512
"""On a multiprocessor: others go on while some wait, and each may have 128 registers."""

QUICK = {"maximum": "larger({0}, {1})", "minimum": "-larger(-({0}), -({1}))"}
"""Operations of formulas that need not hand on numbers that are not numbers: planes have none."""


@dataclass(frozen=True)
class PlaneCode:
    """All stages of a network on one grid of positions, as one CUDA kernel.

    The kernel is ``run_planes(first, second, rows, columns, tasks, left, results)``. It has :meth:`blocks` blocks for
    each pair of inputs, with :attr:`threads` threads and :attr:`shared_bytes` of dynamic shared memory. The pair number
    i is of the inputs ``first[i]`` and ``second[i]``, int32. In ``rows`` and ``columns`` each input of the first and of
    the second batch has :attr:`image` numbers: the arrays of :func:`.planes.sides.sides` for this grid, one after the
    other, and each as (arrays / 2, height, width, 2), with zeros behind an odd number of arrays. ``tasks``, int32, are
    the number of planes, that of tasks, and for all tasks one after the other the offset along y of the first plane,
    that along x, and the number of each plane, negative where there is none. ``left`` (pairs, arrays, planes, height,
    width) are the sums that the grid before has left. Where planes leave for another grid, ``results`` (pairs, arrays,
    planes, height, width) are these; else sums (pairs, planes, outputs), in float64.

    Attributes
    ----------
    stages : tuple of Stage
    windows : tuple of tuples of Window
        The windows of each stage, with stride 1 and as many outputs as inputs.
    outputs : tuple of int
        The numbers of the plane arrays that are added up, or that leave.
    leave : bool
        Whether they leave for another grid.
    grid : tuple of int
        Height and width.
    channels : int or None
        Those of the inputs, where the planes start from them.
    together : int
        The number of planes of a task, whose offsets along y follow one another.
    dtype : numpy.dtype
    """

    stages: tuple[Stage, ...]
    windows: tuple[tuple[Window, ...], ...]
    outputs: tuple[int, ...]
    leave: bool
    grid: tuple[int, int]
    channels: int | None
    together: int
    dtype: np.dtype

    @property
    def size(self) -> int:
        """The number of positions."""
        return self.grid[0] * self.grid[1]

    @property
    def wide(self) -> bool:
        """Whether a row of positions is wider than a warp."""
        return self.grid[1] > WARP

    @property
    def threads(self) -> int:
        """Threads of a block: whole warps."""
        warps = -(-self.grid[1] // WARP) if self.wide else max(1, min(WARPS, ENOUGH_BYTES // self._bytes(WARP)))
        return warps * WARP

    @property
    def groups(self) -> int:
        """Tasks of a block."""
        return 1 if self.wide else self.threads // WARP * (WARP // self.grid[1])

    def blocks(self, tasks: int) -> int:
        """How many blocks each pair of inputs has."""
        return -(-tasks // self.groups)

    def _pairs(self, stage: Stage, windows: tuple[Window, ...]) -> int:
        """How many pairs of numbers a position of an input has by itself for a stage."""
        return -(-(self._behind(stage, windows) + sum(stage.distant)) // 2)

    def _behind(self, stage: Stage, windows: tuple[Window, ...]) -> int:
        """Where those begin that are of sums that the grid before has left."""
        return sides_kept(stage.formula) + sum(code.count for code in self._windows(stage, windows))

    @cached_property
    def image(self) -> int:
        """How many numbers each input has."""
        stages = sum(self._pairs(*pair) for pair in zip(self.stages, self.windows, strict=True))
        return 2 * self.size * (stages + (0 if self.channels is None else self.channels // 2 + 1))

    @cached_property
    def _rows(self) -> int:
        """Rows of a plane in shared memory, with those behind the last one."""
        codes = (self._windows(*pair) for pair in zip(self.stages, self.windows, strict=True))
        return self.grid[0] + max([0, *(code.rows_behind for own in codes for code in own)])

    @property
    def _sums(self) -> int:
        """How many numbers threads of several warps exchange at once."""
        return max([0, *(sum(map(len, stage.windows)) for stage in self.stages)]) if self.wide else 0

    def _bytes(self, threads: int) -> int:
        """Shared memory of so many threads."""
        arrays = 1 + max([1, *self.outputs, *(array for stage in self.stages for array in stage.results)])
        return threads * (8 + (2 * self._sums + arrays * self.together * self._rows) * self.dtype.itemsize)

    @property
    def shared_bytes(self) -> int:
        """Of a block."""
        return self._bytes(self.threads)

    @property
    def _at_once(self) -> int:
        """How many blocks are to run at once on a multiprocessor.

        The compiler does not know of shared memory. For more blocks than there is room for it would spare registers,
        and read numbers only when they are needed.
        """
        return max(1, min(MULTIPROCESSOR_BYTES // (self.shared_bytes + RESERVED_BYTES), ENOUGH_THREADS // self.threads))

    @cached_property
    def source(self) -> str:
        """The kernel and what it calls. Stages that do the same share a function."""
        pairs = list(zip(self.stages, self.windows, strict=True))
        kinds = list(dict.fromkeys(pairs))
        height, width = self.grid
        head = HEAD.format(
            number=NUMBER[self.dtype.char],
            height=height,
            width=width,
            threads=self.threads,
            planes=self.together,
            rows=self._rows,
            groups=self.groups,
            sums=self._sums,
        )
        calls = ""
        for kind, group in groupby(map(kinds.index, pairs)):
            calls += CALL.format(kind=kind, times=len(list(group)), pairs=self._pairs(*kinds[kind]))
        outputs = "".join(
            (LEAVES if self.leave else OUTPUT).format(array=array, outputs=len(self.outputs), number=i)
            for i, array in enumerate(self.outputs)
        )
        kernel = KERNEL.format(
            result="T" if self.leave else "double",
            blocks=self._at_once,
            place=PLACE[self.wide],
            image=self.image,
            left=sum(stage.left for stage in self.stages),
            inputs="" if self.channels is None else INPUTS.format(channels=self.channels, pairs=self.channels // 2 + 1),
            stages=calls,
            outputs=outputs,
        )
        return "\n".join([head, *(self._stage(kind, *pair) for kind, pair in enumerate(kinds)), kernel])

    def _windows(self, stage: Stage, windows: tuple[Window, ...]) -> list[WindowCode]:
        """The code of the windows of a stage."""
        found, given = list[WindowCode](), sides_kept(stage.formula)
        for w, parts in enumerate(zip(windows, stage.windows, stage.deficits, strict=True)):
            found.append(WindowCode(w, parts[0], self.grid, *parts[1:], given, self.wide))
            given += found[-1].count
        return found

    def _stage(self, kind: int, stage: Stage, windows: tuple[Window, ...]) -> str:
        """The function of a stage."""
        formula, codes = stage.formula, self._windows(stage, windows)
        names = {place: f"r[{k}]" for k, place in enumerate(kept(formula, ROW))}
        names |= {place: f"c[n][{k}]" for k, place in enumerate(kept(formula, COLUMN))}
        constants = list[str]()
        for place, operation in enumerate(formula.operations):
            if operation.name == "constant" and self._is_long(value := formula.constants[operation.arguments[0]]):
                names[place] = f"constants{kind}[{len(constants)}]"
                constants.append(repr(value))
        lines, names = statements(formula, formula.results, names, QUICK)
        lines += [
            f"PLANE({array}, y) = {names[place]};" for array, place in zip(stage.results, formula.results, strict=True)
        ]
        return STAGE.format(
            kind=kind,
            constants=f"__constant__ T constants{kind}[] = {{{', '.join(constants)}}};\n" if constants else "",
            pairs=self._pairs(stage, windows),
            unrolled=self.together,
            before=_indented([line for code in codes for line in code.before()], 4),
            next_row=_indented([line for code in codes for line in code.next_row()], 8),
            entries=_indented(self._inputs(stage, codes) + lines, 12),
        )

    def _is_long(self, constant: float) -> bool:
        """Whether a constant does not fit into an instruction, so that it is better read from memory for constants."""
        return self.dtype.itemsize == 8 and bool(np.float64(constant).view(np.uint64) & np.uint64(2**32 - 1))

    def _inputs(self, stage: Stage, codes: list[WindowCode]) -> list[str]:
        """Statements for the inputs x0, x1 ... of the formula of a stage, in the order that :class:`Stage` says."""
        lines, count = list[str](), 0
        for code in codes:
            lines += code.sums(count)
            count += len(code.arrays)
        for array in range(stage.left):
            lines.append(f"const T x{count} = at.left[n][(long long){array} * count * SIZE + y * WIDTH];")
            count += 1
        for code in codes:
            lines += code.apart(count)
            count += 1
        more = self._behind(stage, tuple(code.window for code in codes))
        for terms in stage.distant:
            lines += left_apart(count, more, terms)
            count, more = count + 1, more + terms
        return lines + [f"const T x{k} = PLANE({array}, y);" for k, array in enumerate(stage.points, start=count)]


def _indented(lines: list[str], spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in lines)
