"""Random numbers, drawn on the host in float64: the same draws on every library and device."""

from __future__ import annotations

import numbers
from typing import TypeAlias

import numpy as np

__all__ = ["normal", "seed_sequence"]

Seed: TypeAlias = "int | np.random.Generator | np.random.SeedSequence"  # text: numpy.random takes long to import


def seed_sequence(seed: Seed) -> np.random.SeedSequence:
    """The root of all draws of one call. A Generator is advanced, so that a second call draws afresh."""
    if isinstance(seed, np.random.SeedSequence):
        # A copy: spawning counts, and the same seed must give the same draws again.
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, np.random.Generator):
        # Four words of 32 bits: the size of the pool of a SeedSequence.
        return np.random.SeedSequence([int(word) for word in seed.integers(2**32, size=4)])
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
        raise TypeError(f"seed must be a whole number of at least 0 or a numpy.random.Generator, got {seed!r}")
    return np.random.SeedSequence(int(seed))


def normal(seeds: np.random.SeedSequence, *shape: int) -> np.ndarray:
    """Independent N(0, 1) draws."""
    return np.random.default_rng(seeds).standard_normal(shape)
