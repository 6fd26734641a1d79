"""Parameters are nested tuples and dictionaries of arrays; a parameter's name is its path, such as "0.weight"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array.namespace import Array, is_array
from .._array.random import normal

__all__ = [
    "Parameter",
    "Params",
    "Tree",
    "check_structure",
    "draw",
    "first_leaf",
    "flatten",
    "select",
    "selection",
    "tree_map",
    "unflatten",
]

Params = Any
"""Nested tuples and dictionaries of arrays, in the structure of the network."""
Tree = Any
"""The same of :class:`Parameter`."""


@dataclass(frozen=True)
class Parameter:
    """What is known of a parameter before it is drawn: entries are independent, N(0, std^2)."""

    shape: tuple[int, ...]
    std: float = 1.0


def draw(tree: Tree, seeds: np.random.SeedSequence) -> Params:
    """Parameters as NumPy float64 arrays, one stream of random numbers for each."""
    if isinstance(tree, Parameter):
        drawn = normal(seeds, *tree.shape)
        return drawn if tree.std == 1.0 else drawn * tree.std
    # A stream for each part: its draws do not depend on how many numbers the parts before it take.
    streams = seeds.spawn(len(tree))
    if isinstance(tree, dict):
        return {name: draw(part, own) for (name, part), own in zip(tree.items(), streams, strict=True)}
    return tuple(draw(part, own) for part, own in zip(tree, streams, strict=True))


def tree_map(function: Callable[..., Any], *trees: Params) -> Params:
    """Apply a function leaf by leaf to trees of one structure."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: tree_map(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, tuple):
        return tuple(tree_map(function, *parts) for parts in zip(*trees, strict=True))
    return function(*trees)


def flatten(tree: Params, prefix: str = "") -> dict[str, Array]:
    """Name to array, in the order of the layers."""
    if isinstance(tree, dict | tuple):
        parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: leaf for key, part in parts for name, leaf in flatten(part, f"{prefix}{key}.").items()}
    return {prefix[:-1]: tree}


def unflatten(structure: Params, leaves: dict[str, Any], prefix: str = "") -> Params:
    """The inverse of :func:`flatten`, in the given structure."""
    if isinstance(structure, dict):
        return {key: unflatten(part, leaves, f"{prefix}{key}.") for key, part in structure.items()}
    if isinstance(structure, tuple):
        return tuple(unflatten(part, leaves, f"{prefix}{i}.") for i, part in enumerate(structure))
    return leaves[prefix[:-1]]


def first_leaf(params: Params) -> Array | None:
    """Any one parameter, None for a network without; refuses what cannot be parameters."""
    leaves = flatten(params)
    for name, leaf in leaves.items():
        if not is_array(leaf):
            raise TypeError(
                "params must be nested tuples and dictionaries of arrays, as net.init returns them; "
                f"{name or 'it'} is a {type(leaf).__name__}"
            )
    return next(iter(leaves.values()), None)


def check_structure(name: str, tree: Params, like: Params) -> None:
    """Refuse a tree whose parameters differ in name or shape from those of ``like``."""
    shapes, expected = ({key: tuple(leaf.shape) for key, leaf in flatten(t).items()} for t in (tree, like))
    if shapes != expected:
        raise ValueError(
            f"{name} does not match the network's parameters: expected {_listing(expected)}, got {_listing(shapes)}"
        )


def selection(trainable: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    """What ``trainable`` of a kernel may be, as a value."""
    if trainable is None or isinstance(trainable, str):
        return trainable
    words = tuple(trainable) if isinstance(trainable, Iterable) else (None,)
    if not all(isinstance(word, str) for word in words):
        raise TypeError(f'trainable must be "last" or names of parameters such as "0.weight", got {trainable!r}')
    if not words:
        raise ValueError("trainable selects no parameter; use None for all of them")
    return words


def select(params: Params, trainable: str | Sequence[str] | None) -> Params:
    """True for each parameter that is trained: all for None, the last layer's for "last", else by name.

    A name such as "0" selects everything below it ("0.weight" and "0.bias").
    """
    trainable = selection(trainable)
    # The NTK is a sum over parameters. Without any it is zero, which nobody asks for.
    names = list(flatten(params))
    if not names:
        raise ValueError("the network has no parameters: its NTK is zero")
    if trainable is None:
        chosen = set(names)
    elif trainable == "last":
        last = names[-1].rpartition(".")[0]
        chosen = {name for name in names if name.rpartition(".")[0] == last}
    else:
        chosen = set()
        for word in [trainable] if isinstance(trainable, str) else trainable:
            # With the dot, so that "1" does not select "10.weight".
            found = {name for name in names if name == word or name.startswith(f"{word}.")}
            if not found:
                raise ValueError(f"trainable names {word!r}; the network's parameters are {', '.join(names)}")
            chosen |= found
    return unflatten(params, {name: name in chosen for name in names})


def _listing(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
