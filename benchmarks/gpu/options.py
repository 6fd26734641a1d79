"""What a job is told: how large it is, and where real images are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The options of a job.

    Attributes
    ----------
    scale : float
        Numbers of inputs are multiplied by this where a job is only tried.
    data : Path, optional
        A folder with MNIST as its four files of the name train-images-idx3-ubyte.gz and so on.
    images : Path, optional
        CIFAR-10 as one file, see :mod:`benchmarks.cifar`.
    keep : Path
        A folder for rows of kernels that are finished, from which a job goes on.
    """

    scale: float = 1.0
    data: Path | None = None
    images: Path | None = None
    keep: Path = Path("build/cifar")

    def size(self, n: int, least: int = 16) -> int:
        """A number of inputs, scaled down where a job is only tried."""
        return max(least, int(n * self.scale))
