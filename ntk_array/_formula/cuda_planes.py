"""Convolutional networks on planes of pairs of positions, as CUDA C++: see :mod:`.plane_stages` for the stages.

A block of threads takes one plane of one pair of inputs through the whole network, and each thread some of its
positions. Arrays of planes are in shared memory. A stage sums windows along x, and after a barrier along y; what
comes of these sums stays in registers until the formula is done, and its results go back to shared memory. In the
end each block adds up its plane in float64 and writes that to a place of its own, so that results do not depend on the
order in which blocks and threads run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from .._array.window import Window
from .cuda_windows import along_x, along_y, apart, roots
from .cupy_kernels import statements
from .formula import COLUMN, ROW
from .plane_stages import Stage, kept, sides_kept

__all__ = ["MOST_THREADS", "PlaneCode"]

MOST_THREADS = 256
"""Threads of a block: a plane of 32 x 32 positions has four for each, and eight blocks fill a multiprocessor."""
WARP = 32

HEAD = """typedef {number} T;
constexpr int HEIGHT = {height}, WIDTH = {width}, SIZE = HEIGHT * WIDTH, PLANES = {planes}, THREADS = {threads};
"""
POSITIONS = "for (int p = threadIdx.x; p < SIZE; p += THREADS) {"
PLACES = """        const int y = p / WIDTH, x = p % WIDTH;
        const int qy = y + dy < HEIGHT ? y + dy : y + dy - HEIGHT, qx = x + dx < WIDTH ? x + dx : x + dx - WIDTH;
"""
"""Where a pair of positions is in the first input, and in the second."""

KERNEL = """extern "C" __global__ void __launch_bounds__(THREADS)
run_planes(const int* first, const int* second, const T* rows, const T* columns, double* sums) {{
    extern __shared__ double memory[];
    T *scratch = (T*)memory, *roots = scratch + {roots}, *planes = scratch + {arrays};
    const int pair = blockIdx.x / PLANES, plane = blockIdx.x % PLANES, dy = plane / WIDTH, dx = plane % WIDTH;
    const T *one = rows + (long long)first[pair] * {image}, *two = columns + (long long)second[pair] * {image};
    {positions}
{places}        const int q = qy * WIDTH + qx;
        T below = 0, above = 0;
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
{stages}{outputs}}}
"""
CALL = """    #pragma unroll 1
    for (int k = 0; k < {count}; ++k) {{
        stage{kind}(scratch, roots, planes, one + {start} + k * {step}, two + {start} + k * {step}, dy, dx);
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
        if (threadIdx.x == 0) sums[(long long)blockIdx.x * {outputs} + {number}] = memory[0];
        __syncthreads();
    }}
"""
STAGE = """__device__ void stage{kind}(
    T* scratch, T* roots, T* planes, const T* one, const T* two, const int dy, const int dx
) {{
    {positions}
{places}{along_x}    }}
{roots}    __syncthreads();
    {positions}
{places}        const int q = qy * WIDTH + qx;
{inputs}{formula}{results}    }}
    __syncthreads();
}}
"""


@dataclass(frozen=True)
class PlaneCode:
    """A network that stays on one grid of positions, from inputs to the sum over positions, as one CUDA kernel.

    The kernel is ``run_planes(first, second, rows, columns, sums)``. Its blocks, :attr:`planes` for each pair of
    inputs, have :attr:`threads` threads and :attr:`shared_bytes` of dynamic shared memory. The pair number i is of the
    inputs ``first[i]`` and ``second[i]``, int32. In ``rows`` and ``columns`` each input of the first and of the second
    batch has :attr:`image` numbers, one after the other: the arrays of :func:`.planes.sides.sides`. ``sums``
    (pairs, planes, outputs) is float64.

    Attributes
    ----------
    stages : tuple of Stage
        None of them reads sums that the grid before has left.
    windows : tuple of tuples of Window
        The windows of each stage, with stride 1 and as many outputs as inputs.
    outputs : tuple of int
        The numbers of the plane arrays that are added up.
    grid : tuple of int
        Height and width.
    channels : int
    every : bool
        Whether all planes are wanted, or that of each position with itself.
    dtype : numpy.dtype
    """

    stages: tuple[Stage, ...]
    windows: tuple[tuple[Window, ...], ...]
    outputs: tuple[int, ...]
    grid: tuple[int, int]
    channels: int
    every: bool
    dtype: np.dtype

    @property
    def size(self) -> int:
        """The number of positions."""
        return self.grid[0] * self.grid[1]

    @property
    def planes(self) -> int:
        """The number of planes of a pair of inputs."""
        return self.size if self.every else 1

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
        found = [(1 + self.channels) * self.size]
        for stage, windows in zip(self.stages, self.windows, strict=True):
            own = (sides_kept(stage.formula) + len(windows)) * self.size + sum(map(self._margins, windows))
            found.append(found[-1] + own)
        return tuple(found)

    @property
    def image(self) -> int:
        """How many numbers each input has."""
        return self.starts[-1]

    @cached_property
    def shared(self) -> tuple[int, int, int]:
        """Where roots of variances and arrays of planes begin in shared memory, behind sums along x; and its size."""
        numbers = max(sum(map(len, stage.windows)) for stage in self.stages) * self.size
        margins = max(2 * sum(map(self._margins, windows)) for windows in self.windows)
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
        number = {"f": "float", "d": "double"}[self.dtype.char]
        (height, width), (roots, arrays, _) = self.grid, self.shared
        head = HEAD.format(number=number, height=height, width=width, planes=self.planes, threads=self.threads)
        calls, done = "", 0
        for kind, group in groupby(map(kinds.index, pairs)):
            count = len(list(group))
            start, step = self.starts[done], self.starts[done + 1] - self.starts[done]
            calls += CALL.format(kind=kind, count=count, start=start, step=step)
            done += count
        outputs = "".join(
            OUTPUT.format(positions=POSITIONS, array=array, outputs=len(self.outputs), number=number)
            for number, array in enumerate(self.outputs)
        )
        common = {"positions": POSITIONS, "places": PLACES, "image": self.image, "channels": self.channels}
        kernel = KERNEL.format(roots=roots, arrays=arrays, stages=calls, outputs=outputs, **common)
        return "\n".join([head, *(self._stage(kind, *pair) for kind, pair in enumerate(kinds)), kernel])

    def _stage(self, kind: int, stage: Stage, windows: tuple[Window, ...]) -> str:
        """The function of a stage."""
        formula, more = stage.formula, sides_kept(stage.formula)
        # Where the roots of each window begin: in shared memory those of the columns stand behind those of the rows.
        sizes = [self._margins(window) for window in windows]
        given = (more + len(windows)) * self.size
        begin = [2 * sum(sizes[:w]) for w in range(len(windows))]
        loads = [roots(begin[w], given + sum(sizes[:w]), sizes[w]) for w in range(len(windows))]
        first = [sum(map(len, stage.windows[:w])) for w in range(len(windows))]
        sums = [along_x(first[w], arrays, windows[w], self.grid) for w, arrays in enumerate(stage.windows)]
        inputs = [along_y(first[w], len(arrays), windows[w], self.grid) for w, arrays in enumerate(stage.windows)]
        count = sum(map(len, stage.windows))
        for w, window in enumerate(windows):
            inputs.append(apart(count + w, more + w, begin[w], begin[w] + sizes[w], window, self.grid))
        for number, array in enumerate(stage.points, start=count + len(windows)):
            inputs.append(f"        const T x{number} = planes[{array} * SIZE + p];\n")
        names = {}
        for axes, name, side, at in ((ROW, "r", "one", "p"), (COLUMN, "c", "two", "q")):
            for number, place in enumerate(kept(formula, axes)):
                names[place] = f"{name}{number}"
                inputs.append(f"        const T {name}{number} = {side}[{number} * SIZE + {at}];\n")
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
            inputs="".join(inputs),
            formula="".join(f"        {line}\n" for line in lines),
            results=results,
        )
