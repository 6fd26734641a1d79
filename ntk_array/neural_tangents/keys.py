"""Keys of random numbers, from which seeds come."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._array.namespace import home, is_array
from .._array.random import seed_sequence

__all__ = ["Key", "key_of"]


class Key(NamedTuple):
    """A seed, and where what is drawn with it lives: the library of the key."""

    seeds: np.random.SeedSequence
    place: dict[str, Any]


def key_of(key: Any) -> Key:
    """From a whole number or a NumPy Generator, whose draws are NumPy arrays, or a key of JAX, whose draws are JAX's.

    Arrays of whole numbers of any other library are keys too.
    """
    if not is_array(key):
        return Key(seed_sequence(key), {})
    if advice := home(key).library.without_values(key):
        raise TypeError(f"the key is {advice}: draw networks in a loop over keys")
    xp, _, device = home(key)
    words = home(key).library.key_words(xp, key)
    if words.dtype.kind not in "iu" or not words.size:
        raise TypeError(f"a key is a whole number, a numpy.random.Generator or a key of JAX, got {key!r}")
    return Key(np.random.SeedSequence([int(word) % 2**32 for word in words.ravel()]), {"xp": xp, "device": device})
