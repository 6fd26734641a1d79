"""Source of sums over windows within planes of pairs of positions: see :mod:`.numba_planes`."""

__all__ = ["along_x", "along_y", "apart", "left_apart"]

ALONG_X = """    for y in range(height):
        to, at = {number} * (height + 1) + y, {array} * height + y
        # Windows end at the edge of either image, which is where x or x + dx wraps.
        edge = width if circular{w} else width - dx
        for low, high in ((0, edge), (edge, width)):
            # Where all of a window is inside, its terms are added up at once.
            first = min(max(low, low - sx{w}[0]), high)
            last = max(min(high, high - sx{w}[sx{w}.size - 1]), first)
            p, n = index(first * LANES), index((last - first) * LANES)
{sums}
            for start, stop in ((low, first), (last, high)):
                for x in range(start, stop):
                    p = index(x * LANES)
                    for t in range(LANES):
                        scratch[to, p + t] = 0
                    for d in range(sx{w}.size):
                        z = (x + sx{w}[d]) % width if circular{w} else x + sx{w}[d]
                        if z >= low and z < high:
                            q = index(z * LANES)
                            for t in range(LANES):
                                scratch[to, p + t] += planes[at, q + t]
"""
"""Sums along the rows of an image, for one plane array of one window."""

ALONG_Y = """        for d in range(sy{w}.size):
            z = y + sy{w}[d]
            if circular{w}:
                z %= height
            elif z < 0 or z >= height or (z >= height - dy) != (y >= height - dy):
                z = height
            seen[d] = {number} * (height + 1) + z
{sums}"""
"""Sums of these over the rows. A row of zeros stands for those outside."""


def _added(to: str, terms: list[str], count: str, indent: int) -> str:
    """Loops that add up terms, a few in each: with more arrays LLVM does not see that they do not overlap."""
    text = ""
    for first in range(0, len(terms), 4):
        sign = "+=" if first else "="
        text += f"{' ' * indent}for t in range({count}):\n"
        text += f"{' ' * indent}    {to} {sign} {' + '.join(terms[first : first + 4])}\n"
    return text


def along_x(number: int, w: int, array: int, size: int) -> str:
    shifts = "".join(f"            q{d} = index((first + sx{w}[{d}]) * LANES)\n" for d in range(size))
    sums = _added("scratch[to, p + t]", [f"planes[at, q{d} + t]" for d in range(size)], "n", 12)
    return ALONG_X.format(number=number, array=array, w=w, sums=(shifts + sums).rstrip("\n"))


def along_y(number: int, w: int, size: int) -> str:
    rows = "".join(f"        z{d} = seen[{d}]\n" for d in range(size))
    terms = [f"scratch[z{d}, t]" for d in range(size)]
    sums = _added(f"acc[{number}, t]", terms, "index(width * LANES)", 8)
    return ALONG_Y.format(number=number, w=w, sums=rows + sums)


APART = """            for t in range(n):
                apart[{w}, p + t] = 0
            for a in range(sy{w}.size):
                yr, yc = y + sy{w}[a] - sy{w}[0], qy + sy{w}[a] - sy{w}[0]
{bases}
                for t in range(n):
                    f, g = mine[{over}, y, p + t], columns[{over}, qy, q + t]
{terms}
                    apart[{w}, p + t] += {total}
"""
"""sum (s1 / sqrt(A) - s2 / sqrt(B))^2 over a window."""
LEFT_APART = """            for t in range(n):
                apart[{number}, p + t] = 0
            for a in range({first}, {last}):
                for t in range(n):
                    d = mine[a, y, p + t] - columns[a, qy, q + t]
                    apart[{number}, p + t] += d * d
"""
"""The same for sums that the grid before has left."""


def apart(w: int, over: int, size: int) -> str:
    """The distance of the norms of a window of this size along x; one over the norms is the array number ``over``."""
    elements = range(size)
    bases = [f"xr{b} = index((first + sx{w}[{b}] - sx{w}[0]) * LANES)" for b in elements]
    bases += [f"xc{b} = index((other + sx{w}[{b}] - sx{w}[0]) * LANES)" for b in elements]
    terms = [f"d{b} = m{w}[0, yr, xr{b} + t] * f - c{w}[0, yc, xc{b} + t] * g" for b in elements]
    total = " + ".join(f"d{b} * d{b}" for b in elements)
    indented = ("\n".join(" " * n + line for line in lines) for n, lines in ((16, bases), (20, terms)))
    return APART.format(w=w, over=over, bases=next(indented), terms=next(indented), total=total)


def left_apart(number: int, first: int, count: int) -> str:
    """The same for so many terms of a sum that the grid before has left, from the array number ``first`` on."""
    return LEFT_APART.format(number=number, first=first, last=first + count)
