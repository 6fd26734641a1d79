"""Jobs: kernels of infinitely wide MLPs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..peers.cases import Case
from ..peers.ours import flat
from .card import Card
from .kernels import described, error_of, in_float64, kernel_of, relative
from .options import Options

SMOOTH = {"activation": "tanh", "weight_std": 1.5, "bias_std": 0.1, "dtype": "float32"}


def floor_of(case: Case, card: Card, options: Options) -> float:
    """Seconds of one product of all inputs and one write of the result, at the measured rates."""
    itemsize = np.dtype(case.dtype).itemsize
    rate = card.product_rate(case.dtype, options.size(8192, least=256))
    return 2.0 * case.n**2 * case.features / rate + itemsize * case.n**2 / card.write_rate(options.size(2**31))


def whole(card: Card, options: Options, cases: list[Case]) -> Iterator[dict[str, Any]]:
    """Infinite-width kernels K(x), over one full product and one write."""
    for case in cases:
        case = replace(case, n=options.size(case.n))
        itemsize = np.dtype(case.dtype).itemsize
        if 1.5 * itemsize * case.n**2 > card.free():
            case = replace(case, n=case.n // 2)
        kernel, x = kernel_of(case, card), card.xp.asarray(case.inputs())
        times = card.seconds(lambda kernel=kernel, x=x: kernel(x), repeats=3)
        floor = floor_of(case, card, options)
        yield {"case": described(case), "seconds": times, "floor": floor} | {
            "over the floor": times["median"] / floor,
            "error": error_of(case, card, kernel, x),
        }
        card.forget()


def no_bias(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """Three layers of ReLU without biases: one series."""
    return whole(card, options, [Case(n, 784, (1,) * 3, dtype="float32") for n in (10_000, 40_000)])


def biases(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """ReLU with biases: the recursion over the layers."""
    sizes = ((40_000, 3), (20_000, 20))
    return whole(card, options, [Case(n, 784, (1,) * d, bias_std=0.1, dtype="float32") for n, d in sizes])


def tanh(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """A dual activation from tables, at inputs of unequal norms."""
    return whole(card, options, [Case(10_000, 100, (1,) * 3, **SMOOTH)])


def precision(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """float32 against float64 on the card, relative to sqrt(K(x, x) K(x', x'))."""
    cases = [Case(options.size(2000), 784, (1,) * d, bias_std=b) for d in (3, 20) for b in (0.0, 0.1)]
    cases.append(Case(options.size(500), 784, (512, 512), outputs=4, bias_std=0.1))
    for wide in cases:
        narrow = replace(wide, dtype="float32")
        kernel, x = kernel_of(narrow, card), card.xp.asarray(narrow.inputs())
        reference = kernel if wide.infinite else in_float64(kernel)
        error = relative(flat(kernel(x)), flat(reference(x.astype(np.float64))))
        yield {"case": described(narrow), "float32 against float64": error}
