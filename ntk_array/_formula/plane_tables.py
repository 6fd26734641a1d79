"""Source of sums of tables within planes of pairs of positions: see :mod:`.numba_planes`.

The table of a stage is asked for a row of positions at a time. ``curves`` (arrays, width LANES) has in this order: the
variable of the series, which first is the angle, room for three arrays, the functions of the table, and the pairs of
modes.
"""

from __future__ import annotations

import math
from textwrap import indent

import numpy as np

from .plane_windows import WAY_IN

__all__ = ["FIRST", "ask", "names", "source"]

FIRST = 4
"""The number of the first function in ``curves``."""
BYTES = 512
"""Of each array that are summed at once, so that all of them are in the nearest cache."""

SUMS = """BLOCK = {block}


@compiled
def to_variable(curves, n, layer):
    # The angle to the variable of the series, from -1 to 1; next to it what the recurrence multiplies by.
    y, twice, e = curves[0], curves[1], layer[0]
    if e > 0:
        for t in range(n):
            u = layer[1] * log((y[t] + e) / ((number({pi!r}) + e) - y[t]))
            u = number(1.0) if u > 1 else u
            y[t] = number(-1.0) if u < -1 else u
    else:
        for t in range(n):
            y[t] = number({scale!r}) * y[t] - number(1.0)
    for t in range(n):
        twice[t] = number(4.0) * (y[t] * y[t]) - number(2.0)


@compiled
def pair_modes(curves, at, mine, columns, y, qy, p, q, n, pairs):
    for w in range(pairs.shape[0]):
        i, j, to = pairs[w, 0], pairs[w, 1], at + w
        if i == j:
            for t in range(n):
                curves[to, p + t] = mine[i, y, p + t] * columns[i, qy, q + t]
        else:
            for t in range(n):
                here, there = p + t, q + t
                curves[to, here] = mine[i, y, here] * columns[j, qy, there] + mine[j, y, here] * columns[i, qy, there]


@compiled
def sum_series(curves, to, at, n, counts, series):
    # Even degrees by T_2k(y) = T_k(T_2(y)), and odd ones by the same recurrence, each from the last term on.
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        size, y, twice, out = index(stop - start), curves[0, start:stop], curves[1, start:stop], curves[to, start:stop]
        for odd in range(2):
            newer, older = curves[2, start:stop], curves[3, start:stop]
            for t in range(size):
                newer[t] = 0
                older[t] = 0
            k = counts.shape[1] - 1
            while k >= 0 and counts[odd, k] == 0:
                k -= 1
            while k >= 0:
                for t in range(size):
                    older[t] = twice[t] * newer[t] - older[t]
                for w in range(0, counts[odd, k], 4):
                    c0, c1 = series[odd, k, w], series[odd, k, w + 1]
                    c2, c3 = series[odd, k, w + 2], series[odd, k, w + 3]
                    w0, w1 = curves[at + w, start:stop], curves[at + w + 1, start:stop]
                    w2, w3 = curves[at + w + 2, start:stop], curves[at + w + 3, start:stop]
                    for t in range(size):
                        older[t] += (c0 * w0[t] + c1 * w1[t]) + (c2 * w2[t] + c3 * w3[t])
                newer, older = older, newer
                k -= 1
            if odd:
                for t in range(size):
                    out[t] += y[t] * (newer[t] - older[t])
            else:
                for t in range(size):
                    out[t] = newer[t] - number(0.5) * (twice[t] * older[t])


"""

ASK = """        if laned:
{way}                pair_modes(curves, {pairs}, mine, columns, y, qy, p, q, n, pairs{own})
            sum_series(curves, {to}, {pairs}, width * LANES, counts{own}, series{own})
        else:
            for first, count, other in ((0, width - dx, dx), (width - dx, dx, 0)):
                sum_mixed(curves, {to}, y, qy, first, count, other, columns, begin{own}, ends{own}, mixed{own})
"""


def source(dtype: np.dtype, lanes: int) -> str:
    """The functions that sum tables."""
    sums = SUMS.format(block=BYTES // dtype.itemsize, pi=math.pi, scale=2.0 / math.pi)
    return sums + _mixed_source(lanes)


def _mixed_source(lanes: int) -> str:
    """The same sums at positions of a first input that all lanes share: its modes are mixed before, for each degree and
    each mode of the second.

    All lanes are variables, which stay in registers. LLVM makes vectors of them (see ``superword`` in machine_code.py).
    """

    def each(line: str, indent: int) -> list[str]:
        return [" " * indent + line.format(t=t, at=f"index({t})") for t in range(lanes)]

    lines = ["@compiled", "def sum_mixed(curves, to, y, qy, first, count, other, columns, begin, ends, mixed):"]
    lines += ["    variable, double, out = curves[0], curves[1], curves[to]", "    for x in range(count):"]
    lines += ["        own, p, q = mixed[y, first + x], index((first + x) * LANES), index((other + x) * LANES)"]
    lines += ["        at = index(0)", *each("v{t} = double[p + {at}]", 8)]
    for odd in (0, 1):
        lines += each("n{t}, o{t} = number(0.0), number(0.0)", 8)
        lines += [f"        for k in range(ends.shape[1] - 1, -1, -1):\n            size = index(ends[{odd}, k])"]
        lines += [*each("a{t} = v{t} * n{t} - o{t}", 12), "            for s in range(index(0), size, index(4)):"]
        for j in range(4):
            lines += [f"                m{j}, c{j} = own[at + s + index({j})], columns[begin + s + index({j}), qy]"]
        terms = "(m0 * c0[q + {at}] + m1 * c1[q + {at}]) + (m2 * c2[q + {at}] + m3 * c3[q + {at}])"
        lines += [*each(f"a{{t}} += {terms}", 16), "            at += size"]
        lines += each("o{t}, n{t} = n{t}, a{t}", 12)
        done = "out[p + {at}] += variable[p + {at}] * (n{t} - o{t})"
        lines += each(done if odd else "out[p + {at}] = n{t} - number(0.5) * (v{t} * o{t})", 8)
    return "\n".join(lines) + "\n\n\n"


def names(table: int, functions: int) -> list[str]:
    """The names of the arguments of a table."""
    return [f"layer{table}", *(f"{name}{table}_{f}" for f in range(functions) for name in FUNCTION)]


FUNCTION = ("pairs", "counts", "series", "begin", "ends", "mixed")
"""The arguments of a function of a table, see :class:`ntk_array.infinite.separated.Separated`."""


def ask(table: int, functions: int, first: int, pairs: int) -> str:
    """What a table gives for a row of positions, at the angles that are there: functions from number ``first`` on. The
    pairs of modes go to the arrays from number ``pairs`` on."""
    text = f"        to_variable(curves, index(width * LANES), layer{table})\n"
    for f in range(functions):
        text += ASK.format(way=indent(WAY_IN, "    "), own=f"{table}_{f}", to=first + f, pairs=pairs)
    return text
