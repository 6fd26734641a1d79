"""CUDA C++ for sums over windows within planes of pairs of positions: see :mod:`.cuda_planes`.

An element of a window is seen where it lies inside both inputs. For the pair p, q = p + o (mod the size) that is where
neither p nor q leaves its input by the step to the element, along each axis by itself.
"""

from __future__ import annotations

from .._array.window import Window

__all__ = ["along_x", "along_y", "apart", "left_apart", "roots"]

SUM = """        {{
            T {zeros};
            for (int e = 0; e < {elements}; ++e) {{
{inside}{terms}            }}
{stores}        }}
"""
INSIDE = """                const int z = {at} + e * {step} - {before}, other = {q} + e * {step} - {before};
                if (z < 0 || z >= {length} || other < 0 || other >= {length}) continue;
"""
AROUND = """                const int z = ({at} + e * {step} + {ahead}) % {length};
"""
ROOTS = """    for (int k = threadIdx.x; k < {count}; k += THREADS) {{
        roots[{begin} + k] = one[{given} + k];
        roots[{begin} + {count} + k] = two[{given} + k];
    }}
"""
APART = """        T x{number} = 0;
        {{
            const T f = one[{over} * SIZE + p], g = two[{over} * SIZE + q];
            for (int e = 0; e < {height}; ++e) {{
                const T* a = roots + {rows} + (y + e * {step_y}) * {across} + x;
                const T* b = roots + {columns} + (qy + e * {step_y}) * {across} + qx;
                for (int i = 0; i < {width}; ++i) {{
                    const T d = a[i * {step_x}] * f - b[i * {step_x}] * g;
                    x{number} += d * d;
                }}
            }}
        }}
"""
"""sum (s1 / sqrt(A) - s2 / sqrt(B))^2 over a window."""
LEFT_APART = """        T x{number} = 0;
        for (int e = {first}; e < {last}; ++e) {{
            const T d = one[e * SIZE + p] - two[e * SIZE + q];
            x{number} += d * d;
        }}
"""
"""The same for sums that the grid before has left."""


def roots(begin: int, given: int, count: int) -> str:
    """Roots of variances with margins, of both inputs, come to shared memory."""
    return ROOTS.format(begin=begin, given=given, count=count)


def along_x(first: int, arrays: tuple[int, ...], window: Window, grid: tuple[int, int]) -> str:
    """Sums along x of the plane arrays with these numbers, to the sums from the number ``first`` on."""
    totals = [f"s{k}" for k in range(len(arrays))]
    terms = [f"s{k} += planes[{array} * SIZE + y * WIDTH + z];" for k, array in enumerate(arrays)]
    stores = [f"scratch[{first + k} * SIZE + p] = s{k};" for k in range(len(arrays))]
    return _sum(totals, terms, stores, window, grid, axis=1)


def along_y(first: int, count: int, window: Window, grid: tuple[int, int]) -> str:
    """Sums of these along y are inputs of a formula with the same numbers."""
    names = [f"x{first + k}" for k in range(count)]
    terms = [f"s{k} += scratch[{first + k} * SIZE + z * WIDTH + x];" for k in range(count)]
    stores = [f"x{first + k} = s{k};" for k in range(count)]
    totals = [f"s{k}" for k in range(count)]
    return f"        T {', '.join(names)};\n" + _sum(totals, terms, stores, window, grid, axis=0)


def _sum(
    totals: list[str], terms: list[str], stores: list[str], window: Window, grid: tuple[int, int], axis: int
) -> str:
    """Sums along one axis."""
    n, before, step = grid[axis], window.margins(grid)[axis][0], window.dilation[axis]
    at, q, length = (("y", "qy", "HEIGHT"), ("x", "qx", "WIDTH"))[axis]
    form = AROUND if window.padding == "circular" else INSIDE
    return SUM.format(
        zeros=", ".join(f"{total} = 0" for total in totals),
        elements=window.size[axis],
        inside=form.format(at=at, q=q, length=length, step=step, before=before, ahead=-before % n),
        terms="".join(f"                {term}\n" for term in terms),
        stores="".join(f"            {store}\n" for store in stores),
    )


def apart(number: int, over: int, rows: int, columns: int, window: Window, grid: tuple[int, int]) -> str:
    """The distance of the norms of a window is the input of this number; one over the norms is the array ``over``.

    The roots of both inputs begin at ``rows`` and ``columns``.
    """
    (height, width), (step_y, step_x) = window.size, window.dilation
    across = grid[1] + sum(window.margins(grid)[1])
    return APART.format(
        number=number,
        over=over,
        rows=rows,
        columns=columns,
        height=height,
        width=width,
        step_y=step_y,
        step_x=step_x,
        across=across,
    )


def left_apart(number: int, first: int, count: int) -> str:
    """The same for so many terms of a sum that the grid before has left, from the array number ``first`` on."""
    return LEFT_APART.format(number=number, first=first, last=first + count)
