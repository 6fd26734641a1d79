"""CUDA C++ for sums over windows within planes of pairs of positions: see :mod:`.cuda_planes`.

An element of a window is seen where it lies inside both inputs. For the pair p, q = p + o (mod the size) that is where
neither p nor q leaves its input by the step to the element, along each axis by itself.

A window is summed first along y, by each thread down its column, and then along x, over the threads beside it. The
distances of norms are summed with it: see :mod:`.plane_windows` for the formula. Of the unit vector a = s / |s| of what
a window sees along one axis stereographic coordinates c and a number w are given for each position. Then

    (1/2) sum (a1 - a2)^2 = w1 w2 sum (c1 - c2)^2,

which takes one difference less than there are elements, and of a flat region c is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._array.window import Window

__all__ = ["WindowCode", "left_apart"]


@dataclass(frozen=True)
class WindowCode:
    """The code of one window of a stage.

    Attributes
    ----------
    number : int
        Of the window in its stage.
    window : Window
    grid : tuple of int
    arrays : tuple of int
        The plane arrays that are summed.
    deficits : int
        How many of them, from the first on, are s1 s2 - k12 and s1 s2 + k12.
    given : int
        The number of the first array that inputs have by themselves for this window.
    wide : bool
        Whether a row of positions is wider than a warp.
    """

    number: int
    window: Window
    grid: tuple[int, int]
    arrays: tuple[int, ...]
    deficits: int
    given: int
    wide: bool

    def steps(self, axis: int) -> list[int]:
        """From a position to the elements of the window, along an axis."""
        before, dilation = self.window.margins(self.grid)[axis][0], self.window.dilation[axis]
        return [e * dilation - before for e in range(self.window.size[axis])]

    @property
    def circular(self) -> bool:
        """Whether the other end of an input is seen across its edge."""
        return self.window.padding == "circular"

    @property
    def rows_behind(self) -> int:
        """How many rows of a plane are read behind the last one: zeros, or the first ones again."""
        return self.steps(0)[-1]

    def before(self) -> list[str]:
        """Statements in front of the rows of a plane: what of a row is seen, and the rows above the first one."""
        w, steps = self.number, self.steps(0)
        lines, first, span = [], steps[0], steps[-1] - steps[0]
        for e, step in enumerate(self.steps(1)):
            if self.circular:
                lines.append(f"const int from{w}_{e} = at.first + (at.x + {step % self.grid[1]}) % WIDTH;")
            elif step:
                sees = " && ".join(f"{x} + {step} >= 0 && {x} + {step} < WIDTH" for x in ("at.x", "at.qx"))
                lines.append(f"const T sees{w}_{e} = {sees};")
                lines.append(f"const int from{w}_{e} = at.first + (sees{w}_{e} != 0 ? at.x + {step} : at.x);")
        lines.append(f"T down{w}[PLANES][{len(steps)}];")
        lines.append(f"T rows{w}[PLANES][{len(self.arrays)}][{span + 1}];")
        set_all = "for (int n = 0; n < PLANES; ++n)"
        for k, array in enumerate(self.arrays):
            for y in range(self.rows_behind):
                value = f"PLANE({array}, {y})" if self.circular else "0"
                lines.append(f"{set_all} PLANE({array}, HEIGHT + {y}) = {value};")
            # The loop over rows moves them up before it reads them.
            for i, y in enumerate(range(first, first + span), start=1):
                value = f"PLANE({array}, {y % self.grid[0]})" if self.circular or 0 <= y < self.grid[0] else "0"
                lines.append(f"{set_all} rows{w}[n][{k}][{i}] = {value};")
        return lines

    def _seen(self, e: int) -> str:
        """The factor 0 or 1 of an element along y: the second input may end there, behind the first one are zeros."""
        return f"down{self.number}[n][{e}] * " if self.steps(0)[e] and not self.circular else ""

    def next_row(self) -> list[str]:
        """Statements that say what is seen of the next row of the second input, which begins at q."""
        lines = []
        for e, step in enumerate(self.steps(0)):
            if self._seen(e):
                down, within = f"down{self.number}", "q + {0} * WIDTH < SIZE" if step > 0 else "q + {0} * WIDTH >= 0"
                lines.append(f"for (int n = 1; n < PLANES; ++n) {down}[n - 1][{e}] = {down}[n][{e}];")
                lines.append(f"{down}[PLANES - 1][{e}] = {within.format(step)};")
        return lines

    def sums(self, number: int) -> list[str]:
        """Statements for the sums of a window at the row y, which are the inputs of a formula from this number on."""
        w, steps, count = self.number, self.steps(0), len(self.arrays)
        span = steps[-1] - steps[0]
        lines = []
        for k, array in enumerate(self.arrays):
            row = f"rows{w}[n][{k}]"
            lines += [f"{row}[{i}] = {row}[{i + 1}];" for i in range(span)]
            lines.append(f"{row}[{span}] = PLANE({array}, y + {steps[-1]});")
        for k in range(count):
            terms = [f"{self._seen(e)}rows{w}[n][{k}][{step - steps[0]}]" for e, step in enumerate(steps)]
            lines.append(f"T s{w}_{k} = {' + '.join(terms)};")
        if self.window.size[0] > 1:
            lines += _distance(f"along{w}", self.given, self.window.size[0])
            lines += [f"s{w}_{k} += along{w};" for k in range(self.deficits)]
        return lines + self._along_x(number)

    def _along_x(self, number: int) -> list[str]:
        """Statements that sum these sums along x."""
        w, lines = self.number, list[str]()
        if self.wide:
            lines += [f"LINE({number + k}, at.thread) = s{w}_{k};" for k in range(len(self.arrays))]
            lines.append("__syncthreads();")
        for k in range(len(self.arrays)):
            terms = []
            for e, step in enumerate(self.steps(1)):
                there = f"__shfl_sync(0xffffffffu, s{w}_{k}, from{w}_{e})"
                there = f"LINE({number + k}, from{w}_{e})" if self.wide else there
                sees = "" if self.circular else f"sees{w}_{e} * "
                terms.append(sees + there if step or self.circular else f"s{w}_{k}")
            lines.append(f"const T x{number + k} = {' + '.join(terms)};")
        return lines

    @property
    def count(self) -> int:
        """How many arrays inputs have by themselves for this window."""
        return sum(size for size in self.window.size if size > 1)

    def apart(self, number: int) -> list[str]:
        """Statements for the distance of the norms of the sums along y, the input of a formula of this number."""
        size = self.window.size[1]
        return (
            _distance(f"x{number}", self.given + self.count - size, size) if size > 1 else [f"const T x{number} = 0;"]
        )


def left_apart(number: int, first: int, count: int) -> list[str]:
    """The same for so many terms of a sum that the grid before has left, from the array number ``first`` on.

    The terms are roots of variances over that of the sum.
    """
    return [f"const T x{number} = T(0.5) * ({_squares(first, count)});"]


def _distance(name: str, first: int, count: int) -> list[str]:
    """Half of a squared distance, from coordinates and w: so many arrays from the number ``first`` on."""
    w = first + count - 1
    return [f"const T {name} = r[{w}] * c[n][{w}] * ({_squares(first, count - 1)});"]


def _squares(first: int, count: int) -> str:
    """The sum of the squared differences of arrays of both inputs."""
    return " + ".join(f"(r[{g}] - c[n][{g}]) * (r[{g}] - c[n][{g}])" for g in range(first, first + count))
