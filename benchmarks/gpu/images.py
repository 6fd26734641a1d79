"""Jobs: convolutional kernels of infinite width, plane by plane, and regression on CIFAR-10 with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import ntk_array as ntk
from ntk_array._formula import numba_loops

from .. import cifar
from .card import Card
from .kernels import relative
from .options import Options

FEW = 3
"""Images whose kernel is compared with others."""
SMALL = 12
"""The side of images whose kernel NumPy computes too: on whole ones it would take minutes."""
NETWORKS = ((4, 0.0), (4, 0.1), (20, 0.0))
"""Convolutions, and the standard deviation of biases."""


def planes(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """Convolutional NTKs with global pooling, plane by plane: time an entry, and errors of a few images.

    The errors are relative to sqrt(K(x, x) K(x', x')): between the two dtypes, against the layers one after another on
    the card, and, on smaller images, against these on NumPy, all in float64.
    """
    side = 32 if options.scale >= 1.0 else 6
    n, rng = options.size(100, least=FEW), np.random.default_rng(0)
    host, small = rng.standard_normal((n, side, side, 3)), rng.standard_normal((FEW, SMALL, SMALL, 3))
    for depth, bias_std in NETWORKS:
        kernel, few, fewer = ntk.InfiniteNTK(cifar.network(depth + 1, "global", bias_std)), {}, {}
        what = {"images": list(host.shape), "depth": depth, "bias_std": bias_std}
        for dtype in ("float32", "float64"):
            x = card.xp.asarray(host.astype(dtype))
            times = card.seconds(lambda kernel=kernel, x=x: kernel(x), repeats=1)
            few[dtype] = card.host(kernel(x[:FEW]))
            fewer[dtype] = card.host(kernel(card.xp.asarray(small.astype(dtype))))
            yield what | {
                "dtype": dtype,
                "seconds": times,
                "milliseconds an entry": 1e3 * times["median"] / (n * (n + 1) // 2),
                "planes": type(kernel.specialized(x, None)).__name__ == "PlanesKernel",
            }
            card.forget()
        found = {"float32 against float64": relative(few["float32"], few["float64"])}
        yield (
            what
            | found
            | {
                "against layers": errors(few, card.host(by_layers(kernel.net, card.xp.asarray(host[:FEW])))),
                f"against NumPy, {SMALL} x {SMALL}": errors(fewer, by_layers(kernel.net, small)),
            }
        )


def errors(found: dict[str, np.ndarray], exact: np.ndarray) -> dict[str, float]:
    """Of kernels by their dtype."""
    return {dtype: relative(got, exact) for dtype, got in found.items()}


def by_layers(net: ntk.nn.Layer, x: Any) -> Any:
    """The NTK through the layers, an array operation at a time, without any compiled loop."""
    enough, numba_loops.ENOUGH = numba_loops.ENOUGH, 2**62
    try:
        return ntk.InfiniteNTK(net)(x)
    finally:
        numba_loops.ENOUGH = enough


def images(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """Accuracies on CIFAR-10, shallow networks first, and the flattened ones, which take least, before the pooled."""
    if options.images is None:
        raise SystemExit("the job images needs --images FILE, see benchmarks/cifar.py")
    problem = cifar.problem(options.images, options.size(2000), options.size(1000))
    for pooling in cifar.POOLINGS:
        for depth in cifar.DEPTHS:
            yield cifar.accuracy(problem, depth, pooling, options.keep, card)
            card.forget()
