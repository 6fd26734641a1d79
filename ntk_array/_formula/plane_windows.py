"""Source of sums over windows within planes of pairs of positions: see :mod:`.numba_planes`.

A window is summed first along y and then along x. With A = sum s1^2 and B = sum s2^2 the deficit of a sum is

    sqrt(A B) - sum k12 = sum (s1 s2 - k12) + sqrt(A B) (1/2) sum (s1 / sqrt(A) - s2 / sqrt(B))^2,

and so is that of a sum of such sums, with A and B those of the parts. A window of m x n elements takes m + n terms this
way, in place of m n.

Sums along y stand in rows with zeros before, behind, and where one of the images ends; for a circular window with what
comes round. So no window along x needs to know where edges are.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ARGUMENTS", "WAY_IN", "along_x", "along_y", "left_apart", "places"]

ARGUMENTS = ("sy", "sx", "circular", "r", "c", "u", "v")
"""The arguments of a window: the offsets of its elements along both axes, whether it is circular, roots of variances
with margins along y, for rows and for columns, and norms of the window along y with margins along x."""

WAY_IN = """        for first, count, other in ((0, width - dx, dx), (width - dx, dx, 0)):
            n, p, q = index(count * LANES), index(first * LANES), index(other * LANES)
"""
"""A row of positions in two parts: where the other image wraps, another begins."""

ALONG_Y = """    # The gap of zeros between the two parts of a row is as wide as any element reaches.
    reach{w} = max(-sx{w}[0], sx{w}[sx{w}.size - 1])
    gap{w} = 0 if circular{w} else reach{w}
    for y in range(height):
        qy = (y + dy) % height
        for d in range(sy{w}.size):
            z = y + sy{w}[d]
            if circular{w}:
                z %= height
            elif z < 0 or z >= height or (z >= height - dy) != (y >= height - dy):
                z = -1
            seen[d] = z
{rows}
{way}            to = index((first + reach{w} + (gap{w} if first else 0)) * LANES)
            for t in range(n):
                f, g = mine[{over}, y, p + t], columns[{over}, qy, q + t]
{terms}
                apart = ({total}) * (u{w}m[0, y, p + middle + t] * v{w}[0, qy, q + middle + t])
{sums}
        for row in range({first} * height + y, {last} * height + y, height):
            for x in range(reach{w}):
                before, behind = index(x * LANES), index((reach{w} + gap{w} + width + x) * LANES)
                if circular{w}:
                    end = index((reach{w} + (x - reach{w}) % width) * LANES)
                    start = index((reach{w} + x % width) * LANES)
                    for t in range(LANES):
                        scratch[row, before + t] = scratch[row, end + t]
                        scratch[row, behind + t] = scratch[row, start + t]
                else:
                    within = index((reach{w} + width - dx + x) * LANES)
                    for t in range(LANES):
                        scratch[row, before + t] = 0
                        scratch[row, within + t] = 0
                        scratch[row, behind + t] = 0
"""
"""Sums along the columns of an image, for the plane arrays of one window. The last row of ``planes`` is zeros, and
stands for rows outside."""


def along_y(w: int, first: int, arrays: Sequence[int], deficits: int, size: int, over: int) -> str:
    """Sums of a window of this size along y, to the rows of ``scratch`` from the array number ``first`` on.

    The first arrays are ``deficits``. sqrt(1/2) over the norms along y is the array number ``over`` of both sides.
    """
    elements, rows, sums = range(size), [f"middle = index(-sx{w}[0] * LANES)"], []
    rows += [f"yr{d} = y + sy{w}[{d}] - sy{w}[0]" for d in elements]
    rows += [f"yc{d} = qy + sy{w}[{d}] - sy{w}[0]" for d in elements]
    for number, array in enumerate(arrays, start=first):
        rows += [f"z{number}_{d} = {array} * height + seen[{d}] if seen[{d}] >= 0 else nothing" for d in elements]
        total = " + ".join(f"planes[z{number}_{d}, p + t]" for d in elements)
        more = " + apart" if number < first + deficits else ""
        sums.append(f"scratch[{number} * height + y, to + t] = {total}{more}")
    terms = [f"d{d} = r{w}m[0, yr{d}, p + t] * f - c{w}[0, yc{d}, q + t] * g" for d in elements]
    return ALONG_Y.format(
        w=w,
        way=WAY_IN,
        over=over,
        rows=_lines(rows, 8),
        terms=_lines(terms, 16),
        total=" + ".join(f"d{d} * d{d}" for d in elements),
        sums=_lines(sums, 16),
        first=first,
        last=first + len(arrays),
    )


def places(w: int, size: int) -> str:
    """Where the elements of a window of this size along x stand, in rows of sums and in rows of norms."""
    lines = [f"at = first + reach{w} + (gap{w} if first else 0)"]
    for d in range(size):
        step = f"sx{w}[{d}] - sx{w}[0]"
        lines.append(f"g{w}_{d} = index((at + sx{w}[{d}]) * LANES)")
        lines.append(f"a{w}_{d}, b{w}_{d} = index((first + {step}) * LANES), index((other + {step}) * LANES)")
    return _lines(lines, 12) + "\n"


def along_x(w: int, first: int, count: int, size: int, over: tuple[int, int]) -> tuple[list[str], list[str], str]:
    """The sums of a window of this size along x, lines for the distance of its norms, and the name of that.

    There are so many sums along y, from the array number ``first`` on. The arrays ``over`` of rows and of columns are
    one over the norms.
    """
    elements = range(size)
    sums = [
        " + ".join(f"scratch[{k} * height + y, g{w}_{d} + t]" for d in elements) for k in range(first, first + count)
    ]
    lines = [f"f{w}, g{w} = mine[{over[0]}, y, p + t], columns[{over[1]}, qy, q + t]"]
    lines += [f"d{w}_{d} = u{w}m[0, y, a{w}_{d} + t] * f{w} - v{w}[0, qy, b{w}_{d} + t] * g{w}" for d in elements]
    lines.append(f"apart{w} = number(0.5) * ({' + '.join(f'd{w}_{d} * d{w}_{d}' for d in elements)})")
    return sums, lines, f"apart{w}"


def left_apart(number: int, first: int, count: int) -> tuple[list[str], str]:
    """The distance of norms of so many terms of a sum that the grid before has left: lines for it, and its name.

    The terms are the arrays from the number ``first`` on.
    """
    terms = range(first, first + count)
    lines = [f"l{number}_{a} = mine[{a}, y, p + t] - columns[{a}, qy, q + t]" for a in terms]
    lines.append(f"left_apart{number} = number(0.5) * ({' + '.join(f'l{number}_{a} * l{number}_{a}' for a in terms)})")
    return lines, f"left_apart{number}"


def _lines(lines: Sequence[str], indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)
