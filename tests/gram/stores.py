"""A small matrix on disk for tests: some blocks, and a record of which of them were computed."""

import numpy as np

import ntk_array as ntk
from ntk_array.gram import one_block, stored

X = np.random.default_rng(0).normal(size=(100, 4))
KERNEL = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, bias_std=0.1))
SIDE = 20
BLOCKS = 15
"""Of five rows of blocks, on the diagonal and above it."""


def small_blocks(monkeypatch, side=SIDE):
    """Blocks of so many rows, whatever the memory."""
    monkeypatch.setattr(stored, "BLOCK", side**2)


def recorded(monkeypatch):
    """The blocks that are computed from now on, in order."""
    made, compute = [], one_block.OneBlock.__call__

    def record(self, tile):
        made.append(tile)
        return compute(self, tile)

    monkeypatch.setattr(one_block.OneBlock, "__call__", record)
    return made


def chunk(path, row, column):
    """The file of a block of a scalar matrix."""
    return path / "matrix" / "c" / str(row) / str(column)
