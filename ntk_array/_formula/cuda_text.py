"""The CUDA C++ around the stages of planes: see :mod:`.cuda_planes`, which fills in what a network needs."""

from __future__ import annotations

__all__ = ["CALL", "HEAD", "INPUTS", "KERNEL", "LEAVES", "OUTPUT", "PLACE", "STAGE"]

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
KERNEL = """extern "C" __global__ void __launch_bounds__(THREADS, {blocks}) run_planes(
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
