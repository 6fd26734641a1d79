"""The reference, on the host in float64, and the same problem on a backend."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from ntk_array import nn
from ntk_array.nn.activations.base import Activation
from ntk_array.nn.composite import Composite
from ntk_array.nn.packed import PackedNetwork
from ntk_array.nn.parameters import flatten, tree_map

from .case import Case

STEP = 0.04


@dataclass(frozen=True)
class Problem:
    """A narrow network with parameters, a direction, inputs and cotangents; and its change along the direction."""

    params: object
    direction: object
    x: np.ndarray
    x2: np.ndarray
    u: np.ndarray
    output: np.ndarray
    change: np.ndarray


@cache
def problem(case: Case) -> Problem:
    rng = np.random.default_rng(sum(case.name.encode()))
    net = case.net
    params = net.init(rng, input_shape=case.shape)
    direction = tree_map(lambda leaf: rng.normal(size=leaf.shape), params)
    x = case.inputs(rng, 7 if case.smooth else 2000)
    if not case.smooth:
        x = _clear_of_kinks(net, params, direction, x)[:7]
        assert len(x) == 7, "no inputs are clear of the kinks: take a narrower network"

    def along(t: float) -> np.ndarray:
        return net(moved(params, direction, t), x[:4])

    output = along(0.0)
    x2 = x[4:] * rng.uniform(0.9, 1.1, size=(3, *[1] * len(case.shape)))
    return Problem(params, direction, x[:4], x2, rng.normal(size=output.shape), output, richardson(along))


def moved(params, direction, t):
    return tree_map(lambda p, d: p + t * d, params, direction)


def richardson(f: Callable[[float], np.ndarray], levels: int = 5) -> np.ndarray:
    """f'(0) from central differences at STEP, STEP / 2, ..., extrapolated: error O(STEP^(2 levels))."""
    steps = [STEP / 2**k for k in range(levels)]
    row = [(f(h) - f(-h)) / (2 * h) for h in steps]
    for j in range(1, levels):
        row = [fine + (fine - rough) / (4**j - 1) for rough, fine in pairwise(row)]
    return row[0]


def above_kinks(net: nn.Layer, params, x) -> Iterator[np.ndarray]:
    """The signs of what each activation of a network acts on, less each of its breakpoints."""
    if isinstance(net, PackedNetwork):
        values, _, bound = net.bound(x)
        yield from above_kinks(bound, params, values)
    elif isinstance(net, Composite):
        for layer, own in zip(net.layers, params, strict=True):
            yield from above_kinks(layer, own, x)
            x = layer.forward(own, x)[0] if isinstance(net, nn.Sequential) else x
    elif isinstance(net, nn.MaxPool):
        yield net.forward({}, x)[1].element.reshape(len(x), -1)
    elif isinstance(net, Activation):
        yield from (np.sign(x.reshape(len(x), -1) - kink) for kink in net.breakpoints)
    elif isinstance(net, nn.SelfAttention) and net.mechanism in ("relu", "abs"):
        yield np.sign(net.forward(params, x)[1].heads.scores.reshape(len(x), -1))


def _clear_of_kinks(net, params, direction, x):
    """The inputs for which no preactivation crosses a kink within the steps of the difference quotient."""
    sides = [list(above_kinks(net, moved(params, direction, t), x)) for t in np.linspace(-STEP, STEP, 9)]
    stays = [np.all(now == at_first, axis=1) for later in sides for now, at_first in zip(later, sides[0], strict=True)]
    return x[np.all(stays, axis=0)] if stays else x


@dataclass(frozen=True)
class Placed:
    """A problem with its arrays on a backend."""

    net: nn.Layer
    params: object
    direction: object
    x: object
    x2: object
    u: object


def placed(case: Case, backend) -> Placed:
    host = problem(case)
    trees = (tree_map(backend.array, tree) for tree in (host.params, host.direction))
    return Placed(case.net, *trees, *(backend.array(a) for a in (host.x, host.x2, host.u)))


def jacobian_rows(here: Placed, backend, x) -> dict[str, np.ndarray]:
    """The explicit Jacobian on the host in float64: each parameter's share (N, C, its size)."""
    leaves = flatten(here.net.jacobian(here.params, x))
    return {name: backend.host(j).astype(float).reshape(*j.shape[:2], -1) for name, j in leaves.items()}


def gram_of(j1: np.ndarray, j2: np.ndarray, outputs: str) -> np.ndarray:
    """J J^T (N1, C, N2, C) and its reductions."""
    full = np.einsum("icp,jdp->icjd", j1, j2)
    match outputs:
        case "full":
            return full
        case "classwise":
            return np.einsum("icjc->cij", full)
        case "trace":
            return np.einsum("icjc->ij", full) / full.shape[1]
        case _:
            return full.sum(axis=(1, 3)) / full.shape[1]


def subsets(params) -> list[tuple[object, set[str]]]:
    """Values of trainable, and the names that each selects."""
    names = list(flatten(params))
    last = names[-1].rpartition(".")[0]
    found = [
        (None, set(names)),
        ("last", {name for name in names if name.rpartition(".")[0] == last}),
        (names[0], {names[0]}),
        ((names[-1], names[0]), {names[0], names[-1]}),
    ]
    prefix = names[0].rpartition(".")[0]
    return found + ([(prefix, {name for name in names if name.startswith(f"{prefix}.")})] if prefix else [])
