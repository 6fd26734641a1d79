"""Gram matrices in tiles, beside the same matrix as one block, with Numba and without."""

import sys
from typing import Any

import numpy as np

import ntk_array as ntk

from .inputs import batch


class _Assembly:
    """What is measured of a kernel and its inputs."""

    param_names = ("library", "memory")
    kernel: ntk.Kernel
    x: Any

    def one_block(self) -> np.ndarray:
        """The matrix without tiles."""
        return np.asarray(self.kernel.specialized(self.x, None).block(self.x, None))

    def time_assemble(self, library: str, memory: str) -> None:
        ntk.gram.assemble(self.kernel, self.x, memory=memory)

    def peakmem_assemble(self, library: str, memory: str) -> None:
        ntk.gram.assemble(self.kernel, self.x, memory=memory)

    def time_one_block(self, library: str, memory: str) -> None:
        self.one_block()

    def peakmem_one_block(self, library: str, memory: str) -> None:
        self.one_block()

    def track_error_against_one_block(self, library: str, memory: str) -> float:
        """Largest difference, relative to the largest entry."""
        block = self.one_block()
        tiles = np.asarray(ntk.gram.assemble(self.kernel, self.x, memory=memory))
        return float(np.max(np.abs(tiles - block.reshape(tiles.shape))) / np.max(tiles))


class ZonalAssembly(_Assembly):
    """InfiniteNTK of a ReLU MLP of depth 20 without biases, symmetric, 2000 inputs of 64 features."""

    params = (("numpy", "numpy without Numba"), ("2 GiB",))

    def setup(self, library: str, memory: str) -> None:
        self.x = _on(library, batch(2000, 64))
        self.kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,) * 20, 1))


class InfiniteAssembly(_Assembly):
    """InfiniteNTK of a ReLU MLP of depth 3 with biases, symmetric, 2000 inputs of 64 features."""

    params = (("numpy", "numpy without Numba", "torch"), ("2 GiB",))

    def setup(self, library: str, memory: str) -> None:
        self.x = _on(library, batch(2000, 64))
        self.kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1, bias_std=0.1))


class EmpiricalAssembly(_Assembly):
    """The full empirical NTK of 64-256-256-10, symmetric, 128 inputs."""

    params = (("numpy", "torch"), ("16 MB", "2 GiB"))

    def setup(self, library: str, memory: str) -> None:
        self.x = _on(library, batch(128, 64))
        net = ntk.nn.mlp((256, 256), 10, bias_std=0.1)
        self.kernel = ntk.EmpiricalNTK(net, net.init(0, like=self.x))


def _on(library: str, x: np.ndarray) -> Any:
    """The inputs on a library; asv skips a benchmark whose setup says that it is not implemented."""
    if library == "numpy without Numba":
        sys.modules["numba"] = None  # type: ignore[assignment]  # a benchmark has a process of its own
    if library.startswith("numpy"):
        return x
    try:
        import torch
    except ImportError as error:
        raise NotImplementedError from error
    return torch.asarray(x)
