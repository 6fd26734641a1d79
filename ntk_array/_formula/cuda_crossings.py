"""Planes of one grid of positions added up to those of the next, as CUDA C++."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._array.cuda_launch import NUMBER

__all__ = ["THREADS", "CrossingCode"]

THREADS = 256

SOURCE = """typedef {number} T;
extern "C" __global__ void cross(
    const T* left, const int* starts_y, const int* planes_y, const int* places_y, const int* starts_x,
    const int* planes_x, const int* places_x, T* target
) {{
    const int element = blockIdx.x * {threads} + threadIdx.x;
    if (element >= {elements}) return;
    // Planes of the next grid are numbered along y, then along x.
    const int x = element % {width}, y = element / {width} % {height};
    const int nx = element / {size} % {across}, ny = element / {size} / {across};
    const int at_y = ny * {height} + y, at_x = nx * {width} + x;
{sums}}}
"""
SUM = """    {{
        const T* array = left + ((long long)blockIdx.y * {arrays} + {array}) * {planes_before} * {size_before};
        T total = 0;
        for (int a = starts_y[at_y]; a < starts_y[at_y + 1]; ++a)
            for (int b = starts_x[at_x]; b < starts_x[at_x + 1]; ++b)
                total += array[((planes_y[a] * {across_before} + planes_x[b]) * {height_before} + places_y[a])
                               * {width_before} + places_x[b]];
        target[((long long)blockIdx.y * {numbers} + {number}) * {elements} + element] = total;
    }}
"""


@dataclass(frozen=True)
class CrossingCode:
    """One way to the next grid of positions, as a CUDA kernel.

    The kernel is ``cross(left, starts_y, planes_y, places_y, starts_x, planes_x, places_x, target)``, with a thread for
    each pair of positions of the next grid and a row of blocks for each pair of inputs. The pairs at the position p of
    the plane number k along an axis sum those at ``places[i]`` of the planes ``planes[i]``, for i from
    ``starts[k n + p]`` to before ``starts[k n + p + 1]``, where n is the number of positions. ``left`` is
    (pairs, arrays, planes, height, width), ``target`` (pairs, numbers, planes, height, width) of the next grid.

    Attributes
    ----------
    arrays : int
        How many are left.
    numbers : int
        How many sums all ways make.
    sums : tuple of (int, int)
        For each sum of this way its number, and that of the array that it adds up.
    before, after : tuple of int
        How many planes are there along y and x, and height and width, of either grid.
    dtype : numpy.dtype
    """

    arrays: int
    numbers: int
    sums: tuple[tuple[int, int], ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dtype: np.dtype

    @property
    def elements(self) -> int:
        """Pairs of positions of the next grid."""
        return int(np.prod(self.after))

    @property
    def blocks(self) -> int:
        """Of threads, for each pair of inputs."""
        return -(-self.elements // THREADS)

    @property
    def source(self) -> str:
        """The kernel."""
        down, across, height, width = self.before
        own = {
            "arrays": self.arrays,
            "planes_before": down * across,
            "size_before": height * width,
            "across_before": across,
            "height_before": height,
            "width_before": width,
            "numbers": self.numbers,
            "elements": self.elements,
        }
        _, across, height, width = self.after
        return SOURCE.format(
            number=NUMBER[self.dtype.char],
            threads=THREADS,
            elements=self.elements,
            across=across,
            height=height,
            width=width,
            size=height * width,
            sums="".join(SUM.format(number=number, array=array, **own) for number, array in self.sums),
        )
