"""Whether data fit the network, and how many rows a study takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .data import Dataset
from .settings import StudySettings

__all__ = ["refuse_misfits", "with_sizes"]

DEFAULT_ROWS = 1200  # of that matrix where nothing else is asked for: a second to diagonalize
MAX_ROWS = 10_000  # of the full empirical kernel matrix, N C: 800 MB and minutes to diagonalize


def refuse_misfits(settings: StudySettings, dataset: Dataset) -> None:
    """Refuse a network of images for a table, and the other way round."""
    shape = ", ".join(map(str, dataset.x.shape))
    if settings.takes_images and dataset.x.ndim != 4:
        raise ValueError(
            f"the network {settings.network!r} takes images, and {dataset.name} is a table ({shape}); give images "
            "(N, H, W, channels) or (N, H, W) in a .npz file, or the bundled digits, or take the network 'mlp'"
        )
    if not settings.takes_images and dataset.x.ndim != 2:
        raise ValueError(
            f"the network 'mlp' takes rows of features, and {dataset.name} has images ({shape}); load them without "
            "images=True"
        )
    # A Myrtle network asks for 4 x 4 positions or more. Here the error comes before work.
    settings.build(1, 1).init(0, input_shape=dataset.x.shape[1:], xp=np)


def with_sizes(settings: StudySettings, dataset: Dataset, outputs: int) -> StudySettings:
    """The settings with the sizes of the split filled in; a kernel matrix too large is refused here, before work."""
    rows = len(dataset.x)
    # Networks of images cost more for each row.
    most, most_test = (100, 200) if settings.takes_images else (200, 400)
    # At least two rows for each class, however many there are.
    most = max(min(most, DEFAULT_ROWS // outputs), 2 * outputs)
    train = max(min(most, 2 * rows // 3), 1) if settings.train is None else settings.train
    # At least 1: where no rows are left for a test set, the split refuses with a message about the sizes.
    test = max(min(most_test, rows - train), 0) if settings.test is None else settings.test
    if test < 2:
        raise ValueError(
            f"{dataset.name} has {rows} rows; train = {train} leaves {test} held-out rows, and a test error needs 2 or "
            "more: take a smaller train, or give more rows"
        )
    size = train * outputs
    if size > MAX_ROWS:
        raise ValueError(
            f"train = {train} with {outputs} outputs needs a kernel matrix of {size} rows, {8e-9 * size**2:.1f} GB "
            f"and its eigenvectors; take train <= {MAX_ROWS // outputs}"
        )
    return replace(settings, train=train, test=test)
