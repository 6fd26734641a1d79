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

from .._array.window import Window
from .cuda_windows import WindowCode, left_apart
from .cupy_kernels import statements
from .formula import COLUMN, ROW
from .plane_stages import Stage, kept, sides_kept

__all__ = ["MOST_THREADS", "NUMBER", "PlaneCode"]

NUMBER = {"f": "float", "d": "double"}
"""The type of numbers, by the character of a dtype."""
MOST_THREADS = 1024
"""Of a block, on every device."""
WARP = 32
WARPS = 4
"""Warps of a block, which read the same numbers at about the same time."""
ENOUGH_BYTES = 72 * 2**10
"""Shared memory that a block of several warps may take: three such blocks run at once on an H100."""

HEAD = """typedef {number} T;
constexpr int HEIGHT = {height}, WIDTH = {width}, SIZE = HEIGHT * WIDTH, THREADS = {threads}, PLANES = {planes};
constexpr int ROWS = {rows}, GROUPS = {groups}, SUMS = {sums};
// Numbers that inputs have by themselves: two of a position are read at once.
struct alignas(2 * sizeof(T)) Two {{ T a, b; }};
#define PIXEL(numbers, c, p) ((c) % 2 ? numbers[(c) / 2 * SIZE + (p)].b : numbers[(c) / 2 * SIZE + (p)].a)
// One instruction in float32, and in float64 fewer than fmax.
__device__ __forceinline__ float larger(float a, float b) {{ return fmaxf(a, b); }}
__device__ __forceinline__ double larger(double a, double b) {{ return a > b ? a : b; }}
// Each thread has places of its own for the numbers of its column.
#define PLANE(array, y) planes[(((array) * PLANES + n) * ROWS + (y)) * THREADS]
// What threads of several warps exchange has two places in turn, so that one barrier is enough.
#define LINE(k, thread) line[(((y * PLANES + n) & 1) * SUMS + (k)) * THREADS + (thread)]
struct Place {{ int x, qx, dy, first, thread; const T* left[PLANES]; }};
"""
KERNEL = """extern "C" __global__ void __launch_bounds__(THREADS) run_planes(
    const int* first, const int* second, const T* rows, const T* columns, const int* tasks, const T* left,
    {result}* results
) {{
    extern __shared__ double memory[];
    T *line = (T*)(memory + THREADS), *planes = line + 2 * SUMS * THREADS + threadIdx.x;
    const int pair = blockIdx.y, count = tasks[0], tasks_of_pair = tasks[1], thread = threadIdx.x;
{place}    // Threads without a task of their own do what another one does.
    const int* task = tasks + 2 + (own < tasks_of_pair ? own : tasks_of_pair - 1);
    const Two* one = (const Two*)(rows + (long long)first[pair] * {image});
    const Two* two = (const Two*)(columns + (long long)second[pair] * {image});
    Place at;
    at.x = x, at.dy = task[0], at.first = start, at.thread = thread;
    at.qx = x + task[tasks_of_pair];
    if (at.qx >= WIDTH) at.qx -= WIDTH;
    int number[PLANES];
    for (int n = 0; n < PLANES; ++n) {{
        number[n] = task[(2 + n) * tasks_of_pair];
        at.left[n] = left + ((long long)pair * {left} * count + (number[n] < 0 ? 0 : number[n])) * SIZE + x;
    }}
{inputs}{stages}{outputs}}}
"""
PLACE = {
    # A warp has as many rows of positions beside each other as fit in.
    False: """    const int lane = thread % 32, group = lane / WIDTH < 32 / WIDTH ? lane / WIDTH : 32 / WIDTH - 1;
    const int x = lane % WIDTH, start = group * WIDTH;
    const bool active = lane < 32 / WIDTH * WIDTH;
    const int own = blockIdx.x * GROUPS + thread / 32 * (32 / WIDTH) + group;
""",
    True: """    const int lane = thread, start = 0, x = lane < WIDTH ? lane : WIDTH - 1, own = blockIdx.x;
    const bool active = lane < WIDTH;
""",
}
"""Where a thread is, by whether a row of positions is wider than a warp."""
INPUTS = """    for (int y = 0; y < HEIGHT; ++y) {{
        const int p = y * WIDTH + x;
        for (int n = 0; n < PLANES; ++n) {{
            const int qy = y + at.dy + n, q = (qy < HEIGHT ? qy : qy - HEIGHT) * WIDTH + at.qx;
            T below = 0, above = 0;
            for (int c = 1; c <= {channels}; ++c) {{
                const T a = PIXEL(one, c, p), b = PIXEL(two, c, q);
                below += (a - b) * (a - b);
                above += (a + b) * (a + b);
            }}
            const T half = T(0.5) * (PIXEL(one, 0, p) * PIXEL(two, 0, q));
            PLANE(0, y) = below * half;
            PLANE(1, y) = above * half;
        }}
    }}
    one += {pairs} * SIZE, two += {pairs} * SIZE;
"""
CALL = """    #pragma unroll 1
    for (int k = 0; k < {times}; ++k) {{
        stage{kind}(planes, line, one, two, at, count);
        one += {pairs} * SIZE, two += {pairs} * SIZE;
        // Warps beside each other read the same numbers: kept together they find them in the cache.
        __syncthreads();
    }}
"""
"""Equal stages one after the other are a loop, so that the instructions of deep networks stay in their cache."""
OUTPUT = """    for (int n = 0; n < PLANES; ++n) {{
        double total = 0;
        for (int y = 0; y < HEIGHT; ++y) total += PLANE({array}, y);
        memory[thread] = total;
        __syncthreads();
        if (x == 0 && active && number[n] >= 0) {{
            for (int i = 1; i < WIDTH; ++i) total += memory[thread + i];
            results[((long long)pair * count + number[n]) * {outputs} + {number}] = total;
        }}
        __syncthreads();
    }}
"""
LEAVES = """    for (int n = 0; n < PLANES; ++n)
        for (int y = 0; y < HEIGHT && number[n] >= 0; ++y) {{
            const long long array = (long long)pair * {outputs} + {number};
            results[(array * count + number[n]) * SIZE + y * WIDTH + x] = PLANE({array}, y);
        }}
"""
STAGE = """{constants}__device__ __forceinline__ void stage{kind}(
    T* planes, T* line, const Two* __restrict__ one, const Two* __restrict__ two, const Place& at, const int count
) {{
{before}    // Of the second input: one row for each plane, and each row for one plane after the other.
    T c[PLANES][2 * {pairs}];
    int q = at.dy * WIDTH + at.qx;
    const auto next_row = [&]() {{
        for (int g = 0; g < 2 * {pairs}; ++g)
            for (int n = 1; n < PLANES; ++n) c[n - 1][g] = c[n][g];
        for (int g = 0; g < {pairs}; ++g) {{
            const Two both = (two + q)[g * SIZE];
            c[PLANES - 1][2 * g] = both.a, c[PLANES - 1][2 * g + 1] = both.b;
        }}
{next_row}        q = q + WIDTH < SIZE ? q + WIDTH : q + WIDTH - SIZE;
    }};
    for (int n = 1; n < PLANES; ++n) next_row();
    #pragma unroll {unrolled}
    for (int y = 0; y < HEIGHT; ++y) {{
        next_row();
        T r[2 * {pairs}];
        for (int g = 0; g < {pairs}; ++g) {{
            const Two both = (one + y * WIDTH + at.x)[g * SIZE];
            r[2 * g] = both.a, r[2 * g + 1] = both.b;
        }}
        #pragma unroll
        for (int n = 0; n < PLANES; ++n) {{
{entries}        }}
    }}
}}
"""
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
