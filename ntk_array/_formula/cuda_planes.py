"""Convolutional networks on planes of pairs of positions, as CUDA C++: see :mod:`.plane_stages` for the stages.

A block of threads takes one plane of one pair of inputs through all stages on one grid of positions, and each thread
some of its positions. Arrays of planes are in shared memory. A stage sums windows along x, and after a barrier along y;
what comes of these sums stays in registers until the formula is done, and its results go back to shared memory. In the
end each block adds up its plane in float64, or leaves it for the next grid, at a place of its own. So results do not
depend on the order in which blocks and threads run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from .._array.window import Window
from .cuda_windows import along_x, along_y, apart, left_apart, roots
from .cupy_kernels import statements
from .formula import COLUMN, ROW
from .plane_stages import Stage, kept, sides_kept

__all__ = ["NUMBER", "PlaneCode"]

NUMBER = {"f": "float", "d": "double"}
"""The type of numbers, by the character of a dtype."""
MOST_THREADS = 256
"""Threads of a block: a plane of 32 x 32 positions has four for each."""
WARP = 32

HEAD = """typedef {number} T;
constexpr int HEIGHT = {height}, WIDTH = {width}, SIZE = HEIGHT * WIDTH, THREADS = {threads};
"""
POSITIONS = "for (int p = threadIdx.x; p < SIZE; p += THREADS) {"
PLACES = """        const int y = p / WIDTH, x = p % WIDTH;
        const int qy = y + dy < HEIGHT ? y + dy : y + dy - HEIGHT, qx = x + dx < WIDTH ? x + dx : x + dx - WIDTH;
        const int q = qy * WIDTH + qx;
"""
"""Where a pair of positions is in the first input, and in the second."""

KERNEL = """extern "C" __global__ void __launch_bounds__(THREADS) run_planes(
    const int* first, const int* second, const T* rows, const T* columns, const int* offsets, const T* left,
    {result}* results
) {{
    extern __shared__ double memory[];
    T *scratch = (T*)memory, *roots = scratch + {roots}, *planes = scratch + {arrays};
    const int planes_of_pair = gridDim.x, plane = blockIdx.x, pair = blockIdx.y;
    const int dy = offsets[plane], dx = offsets[planes_of_pair + plane];
    const T *one = rows + (long long)first[pair] * {image}, *two = columns + (long long)second[pair] * {image};
    left += ((long long)pair * {left} * planes_of_pair + plane) * SIZE;
{inputs}{stages}{outputs}}}
"""
INPUTS = """    {positions}
{places}        T below = 0, above = 0;
        for (int c = 1; c <= {channels}; ++c) {{
            const T a = one[c * SIZE + p], b = two[c * SIZE + q];
            below += (a - b) * (a - b);
            above += (a + b) * (a + b);
        }}
        const T half = T(0.5) * (one[p] * two[q]);
        planes[p] = below * half;
        planes[SIZE + p] = above * half;
    }}
    __syncthreads();
"""
CALL = """    #pragma unroll 1
    for (int k = 0; k < {count}; ++k) {{
        const int start = {start} + k * {step};
        stage{kind}(scratch, roots, planes, one + start, two + start, dy, dx, left, planes_of_pair);
    }}
"""
"""Equal stages one after the other are a loop, so that the instructions of deep networks stay in their cache."""
OUTPUT = """    {{
        double total = 0;
        {positions}
            total += planes[{array} * SIZE + p];
        }}
        memory[threadIdx.x] = total;
        __syncthreads();
        for (int n = THREADS; n > 1; n = (n + 1) / 2) {{
            if (threadIdx.x < n / 2) memory[threadIdx.x] += memory[threadIdx.x + (n + 1) / 2];
            __syncthreads();
        }}
        // The next sum needs no barrier: each thread writes to its own place first.
        if (threadIdx.x == 0) results[((long long)pair * planes_of_pair + plane) * {count} + {number}] = memory[0];
    }}
"""
LEAVES = """    {positions}
        const long long array = (long long)pair * {count} + {number};
        results[(array * planes_of_pair + plane) * SIZE + p] = planes[{array} * SIZE + p];
    }}
"""
LEFT = "        const T x{number} = left[{array} * planes_of_pair * SIZE + p];\n"
STAGE = """__device__ void stage{kind}(
    T* scratch, T* roots, T* planes, const T* one, const T* two, const int dy, const int dx, const T* left,
    const int planes_of_pair
) {{
    {positions}
{places}{along_x}    }}
{roots}    __syncthreads();
    {positions}
{places}{inputs}{formula}{results}    }}
    __syncthreads();
}}
"""


@dataclass(frozen=True)
class PlaneCode:
    """All stages of a network on one grid of positions, as one CUDA kernel.

    The kernel is ``run_planes(first, second, rows, columns, offsets, left, results)``. It has a block for each plane of
    each pair of inputs, (planes, pairs), with :attr:`threads` threads and :attr:`shared_bytes` of dynamic shared
    memory. The pair number i is of the inputs ``first[i]`` and ``second[i]``, int32. In ``rows`` and ``columns`` each
    input of the first and of the second batch has :attr:`image` numbers: the arrays of :func:`.planes.sides.sides` for
    this grid, one after the other. ``offsets`` (2, planes), int32, are those of the planes along y and x. ``left``
    (pairs, arrays, planes, height, width) are the sums that the grid before has left. Where planes leave for another
    grid, ``results`` (pairs, arrays, planes, height, width) are these; else sums (pairs, planes, outputs), in float64.

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
    dtype : numpy.dtype
    """

    stages: tuple[Stage, ...]
    windows: tuple[tuple[Window, ...], ...]
    outputs: tuple[int, ...]
    leave: bool
    grid: tuple[int, int]
    channels: int | None
    dtype: np.dtype

    @property
    def size(self) -> int:
        """The number of positions."""
        return self.grid[0] * self.grid[1]

    @property
    def threads(self) -> int:
        """Threads of a block: whole warps, and few that are idle while the last positions are done."""
        each = -(-self.size // MOST_THREADS)
        return -(-self.size // (each * WARP)) * WARP

    def _margins(self, window: Window) -> int:
        """The numbers of an array with the margins of a window."""
        (top, bottom), (left, right) = window.margins(self.grid)
        return (self.grid[0] + top + bottom) * (self.grid[1] + left + right)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where the numbers of each stage begin among those of an input; last, how many there are."""
        found = [0 if self.channels is None else (1 + self.channels) * self.size]
        for stage, windows in zip(self.stages, self.windows, strict=True):
            arrays = sides_kept(stage.formula) + len(windows) + sum(stage.distant)
            found.append(found[-1] + arrays * self.size + sum(map(self._margins, windows)))
        return tuple(found)

    @property
    def image(self) -> int:
        """How many numbers each input has."""
        return self.starts[-1]

    @cached_property
    def shared(self) -> tuple[int, int, int]:
        """Where roots of variances and arrays of planes begin in shared memory, behind sums along x; and its size."""
        numbers = max([0, *(sum(map(len, stage.windows)) for stage in self.stages)]) * self.size
        margins = max([0, *(2 * sum(map(self._margins, windows)) for windows in self.windows)])
        # In the end the sums of all threads, of eight bytes each, are where these two were.
        room = max(numbers + margins, self.threads * 8 // self.dtype.itemsize)
        arrays = 1 + max([1, *self.outputs, *(array for stage in self.stages for array in stage.results)])
        return numbers, room, room + arrays * self.size

    @property
    def shared_bytes(self) -> int:
        """Of a block."""
        return self.shared[2] * self.dtype.itemsize

    @cached_property
    def source(self) -> str:
        """The kernel and what it calls. Stages that do the same share a function."""
        pairs = list(zip(self.stages, self.windows, strict=True))
        kinds = list(dict.fromkeys(pairs))
        height, width = self.grid
        head = HEAD.format(number=NUMBER[self.dtype.char], height=height, width=width, threads=self.threads)
        inputs, calls, done = "", "", 0
        if self.channels is not None:
            inputs = INPUTS.format(positions=POSITIONS, places=PLACES, channels=self.channels)
        for kind, group in groupby(map(kinds.index, pairs)):
            count = len(list(group))
            start, step = self.starts[done], self.starts[done + 1] - self.starts[done]
            calls += CALL.format(kind=kind, count=count, start=start, step=step)
            done += count
        outputs = "".join(
            (LEAVES if self.leave else OUTPUT).format(
                positions=POSITIONS, array=array, count=len(self.outputs), number=i
            )
            for i, array in enumerate(self.outputs)
        )
        kernel = KERNEL.format(
            result="T" if self.leave else "double",
            roots=self.shared[0],
            arrays=self.shared[1],
            image=self.image,
            left=sum(stage.left for stage in self.stages),
            inputs=inputs,
            stages=calls,
            outputs=outputs,
        )
        return "\n".join([head, *(self._stage(kind, *pair) for kind, pair in enumerate(kinds)), kernel])

    def _stage(self, kind: int, stage: Stage, windows: tuple[Window, ...]) -> str:
        """The function of a stage."""
        formula = stage.formula
        # Where the roots of each window begin: in shared memory those of the columns stand behind those of the rows.
        sizes = [self._margins(window) for window in windows]
        given = (sides_kept(formula) + len(windows) + sum(stage.distant)) * self.size
        begin = [2 * sum(sizes[:w]) for w in range(len(windows))]
        loads = [roots(begin[w], given + sum(sizes[:w]), sizes[w]) for w in range(len(windows))]
        first = [sum(map(len, stage.windows[:w])) for w in range(len(windows))]
        sums = [along_x(first[w], arrays, windows[w], self.grid) for w, arrays in enumerate(stage.windows)]
        names, loaded = {}, ""
        for axes, name, side, at in ((ROW, "r", "one", "p"), (COLUMN, "c", "two", "q")):
            for number, place in enumerate(kept(formula, axes)):
                names[place] = f"{name}{number}"
                loaded += f"        const T {name}{number} = {side}[{number} * SIZE + {at}];\n"
        lines, names = statements(formula, formula.results, names)
        results = "".join(
            f"        planes[{array} * SIZE + p] = {names[place]};\n"
            for array, place in zip(stage.results, formula.results, strict=True)
        )
        return STAGE.format(
            kind=kind,
            positions=POSITIONS,
            places=PLACES,
            along_x="".join(sums),
            roots="".join(loads),
            inputs="".join(self._inputs(stage, windows, first, begin)) + loaded,
            formula="".join(f"        {line}\n" for line in lines),
            results=results,
        )

    def _inputs(self, stage: Stage, windows: tuple[Window, ...], first: list[int], begin: list[int]) -> list[str]:
        """Statements for the inputs x0, x1 ... of the formula of a stage, in the order that :class:`Stage` says.

        ``first`` is the number of the first sum of each window, and ``begin`` where its roots begin.
        """
        found = [along_y(first[w], len(arrays), windows[w], self.grid) for w, arrays in enumerate(stage.windows)]
        count = sum(map(len, stage.windows))
        found += [LEFT.format(number=count + number, array=number) for number in range(stage.left)]
        count, more = count + stage.left, sides_kept(stage.formula)
        for w, window in enumerate(windows):
            found.append(apart(count + w, more + w, begin[w], begin[w] + self._margins(window), window, self.grid))
        count, more = count + len(windows), more + len(windows)
        for number, terms in enumerate(stage.distant):
            found.append(left_apart(count + number, more, terms))
            more += terms
        for number, array in enumerate(stage.points, start=count + len(stage.distant)):
            found.append(f"        const T x{number} = planes[{array} * SIZE + p];\n")
        return found
