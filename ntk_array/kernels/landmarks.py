"""Landmarks of a kernel by randomly pivoted Cholesky."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .._array.namespace import Array, home, itemsize, to_host
from .._array.random import Seed, seed_sequence
from .._support.progress import progress_sum
from ..gram.memory import refuse_without_room
from .base import Kernel
from .features import taken

__all__ = ["RandomPivots"]

PROPOSALS = 128
"""Landmarks are proposed so many at a time: enough for quick matrix products, and few enough to compare all of them."""


@dataclass
class RandomPivots:
    """A Cholesky factorisation of K(x, x) with random pivots, as far as it was taken.

    A pivot is drawn with a probability proportional to what remains of the diagonal, K_ii - sum_j F_ij^2, where K is
    approximated by F F^T (Chen, Epperly, Tropp, Webber 2022, "Randomly pivoted Cholesky"). Here many are proposed at a
    time, and each is accepted with the ratio of what remains of its entry to what did when it was proposed. So pivots
    have the distribution of those drawn one by one (Epperly, Tropp, Webber 2024, "Embrace rejection", Algorithm 2).

    Kernel values are computed of all inputs with the pivots, and among proposals. What remains of the diagonal, N
    numbers, is kept on the host, where pivots are drawn.
    """

    kernel: Kernel
    x: Array
    rank: int
    tolerance: float
    seed: Seed
    chosen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        diagonal = self.kernel.block_diagonal(self.x)
        here, n = home(diagonal), int(self.x.shape[0])
        self.rank = min(self.rank, n)
        self._columns: list[Array] = []
        self._remaining = to_host(diagonal).astype(np.float64)
        self._trace = float(self._remaining.sum())
        if not self._trace > 0:
            raise ValueError("the kernel of each input with itself is 0: there is nothing to approximate")
        # A smaller pivot is rounding.
        self._floor = self.rank * here.eps * float(self._remaining.max())
        needed = itemsize(here) * n * (self.rank + 2 * PROPOSALS)
        advice = "ask for a smaller rank, or choose landmarks on a sample of the inputs"
        refuse_without_room(needed, here, f"the approximation by {self.rank} columns of {n} kernel values", advice)

    @property
    def residual(self) -> float:
        """What remains of the trace of K, over the trace of K."""
        return float(self._remaining.sum()) / self._trace

    def run(self, progress: bool) -> None:
        """Choose landmarks up to the rank, or until the residual is at most the tolerance."""
        for _ in progress_sum(self._rounds(), self.rank, "landmarks", " landmarks", progress):
            pass

    def _rounds(self) -> Iterator[int]:
        """How many landmarks each round of proposals gave."""
        rng, n = np.random.default_rng(seed_sequence(self.seed)), len(self._remaining)
        while len(self.chosen) < self.rank and self.residual > self.tolerance:
            weights = np.where(self._remaining > self._floor, self._remaining, 0.0)
            if not weights.any():
                return
            proposals = rng.choice(n, size=PROPOSALS, p=weights / weights.sum())
            rows, lower = self._accepted(proposals, rng)
            yield self._add(rows, lower)

    def _inputs(self, rows: np.ndarray) -> Array:
        """These inputs; where each shape is compiled they are repeated up to a power of two, so that shapes are few."""
        compiles = home(self.x).library.compiles_each_shape
        return taken(self.x, np.resize(rows, 1 << (len(rows) - 1).bit_length()) if compiles else rows)

    def _accepted(self, proposals: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The rows of those accepted, and the Cholesky factor of what remains of K between them."""
        rows, numbers = np.unique(proposals, return_inverse=True)
        size = len(rows)
        values = to_host(self.kernel.values(self._inputs(rows), None))
        left = values[:size, :size].astype(np.float64)
        for columns in self._columns:
            own = to_host(taken(columns, rows)).astype(np.float64)
            left -= own @ own.T
        picked: list[int] = []
        factor = []
        for number in numbers:
            pivot = left[number, number]
            if pivot > self._floor and rng.uniform() * self._remaining[rows[number]] < pivot:
                column = left[:, number] / np.sqrt(pivot)
                left -= np.outer(column, column)
                picked.append(int(number))
                factor.append(column)
        found = picked[: self.rank - len(self.chosen)]
        return rows[found], np.stack(factor, axis=1)[found, : len(found)] if found else np.zeros((0, 0))

    def _add(self, rows: np.ndarray, lower: np.ndarray) -> int:
        """Take these landmarks in, as many as the tolerance asks for; how many."""
        if not len(rows):
            return 0
        columns = self.kernel.values(self.x, self._inputs(rows))[:, : len(rows)]
        for own in self._columns:
            columns = columns - own @ taken(own, rows).T
        here = home(columns)
        columns = columns @ here.asarray(np.linalg.inv(np.tril(lower)).T)
        # Each column takes the sum of its squares off the trace, whatever comes behind it.
        shares = to_host(here.xp.sum(columns * columns, axis=0)).astype(np.float64)
        behind = (self._remaining.sum() - np.cumsum(shares)) / self._trace
        enough = np.flatnonzero(behind <= self.tolerance)
        size = int(enough[0]) + 1 if len(enough) else len(rows)
        columns, rows = columns[:, :size], rows[:size]
        taken_off = to_host(here.xp.sum(columns * columns, axis=1)).astype(np.float64)
        self._remaining = np.maximum(self._remaining - taken_off, 0.0)
        self._remaining[rows] = 0.0
        self._columns.append(columns)
        self.chosen += rows.tolist()
        return size
