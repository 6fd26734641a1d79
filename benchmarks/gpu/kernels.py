"""Kernels of cases on the card, and their errors against NumPy in float64."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

import ntk_array as ntk

from ..peers.cases import Case
from ..peers.ours import flat
from ..peers.ours import kernel as kernel_on_host
from .card import Card

PROBED = 64
"""Inputs whose kernel is compared with one in float64 by NumPy."""


def described(case: Case) -> dict[str, Any]:
    """The case as a row of results has it."""
    return dict(json.loads(case.to_json()))


def kernel_of(case: Case, card: Card) -> ntk.Kernel:
    """The kernel of a case, with its parameters on the card."""
    found = kernel_on_host(case)
    if case.infinite or not card.gpu:
        return found
    params = tuple({name: card.xp.asarray(leaf) for name, leaf in layer.items()} for layer in found.params)
    return ntk.EmpiricalNTK(found.net, params)


def in_float64(kernel: ntk.EmpiricalNTK) -> ntk.EmpiricalNTK:
    """The same parameters in float64."""
    params = tuple({name: leaf.astype(np.float64) for name, leaf in layer.items()} for layer in kernel.params)
    return ntk.EmpiricalNTK(kernel.net, params)


def exact_of(case: Case, card: Card, x: Any) -> np.ndarray:
    """The kernel of the first few inputs, (N C, N C), by NumPy in float64."""
    reference = kernel_on_host(replace(case, n=PROBED, dtype="float64"))
    if not case.infinite:
        reference = in_float64(kernel_on_host(case))
    return flat(reference(card.host(x[:PROBED])))


def error_of(case: Case, card: Card, kernel: ntk.Kernel, x: Any) -> float:
    """The largest error among a few inputs, relative to sqrt(K(x, x) K(x', x')), against NumPy in float64."""
    return relative(flat(card.host(kernel(x[:PROBED]))), exact_of(case, card, x))


def relative(got: np.ndarray, exact: np.ndarray) -> float:
    """The largest difference of Gram matrices relative to sqrt(K(x, x) K(x', x')), in the library of both."""
    root = exact.diagonal() ** 0.5
    return float((abs(got - exact) / (root[:, None] * root)).max())
