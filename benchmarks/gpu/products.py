"""Jobs: matrix products in float32, in TF32 and of two TF32 parts, and the half of a symmetric one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ntk_array._array.linalg import inner

from .card import Card
from .options import Options

SHAPES = ((4096, 4096, 784), (10_000, 10_000, 1024), (10_000, 10_000, 4096))
"""A B^T of A (m, k) and B (n, k), as (m, n, k)."""
DROPPED = 13
"""Of the 23 bits of a mantissa in float32, TF32 has the first ten."""


def rounded(xp: Any, a: Any) -> Any:
    """float32 rounded to TF32, to the nearest, halves away from 0."""
    bits = a.view(xp.uint32) + xp.uint32(1 << (DROPPED - 1))
    return (bits & xp.uint32(2**32 - (1 << DROPPED))).view(xp.float32)


def parts(xp: Any, a: Any) -> tuple[Any, Any]:
    """a = hi + lo, where hi is in TF32 and lo is exact in float32: TF32 has its first eleven digits."""
    high = rounded(xp, a)
    return high, a - high


@contextmanager
def precision(card: Card, tf32: bool) -> Iterator[None]:
    """CuPy's products of float32 in TF32, or in float32."""
    if not card.gpu:
        yield
        return
    from cupy._core import get_compute_type, set_compute_type
    from cupy._core._routines_linalg import COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32

    before = get_compute_type("f")
    set_compute_type("f", COMPUTE_TYPE_TF32 if tf32 else COMPUTE_TYPE_DEFAULT)
    try:
        yield
    finally:
        set_compute_type("f", before)


def in_tf32(card: Card, a: Any, b: Any) -> Any:
    """A B^T in TF32, with sums in float32; on the host of factors that are rounded."""
    if not card.gpu:
        return rounded(np, a) @ rounded(np, b).T
    with precision(card, tf32=True):
        return a @ b.T


def in_float32(card: Card, a: Any, b: Any) -> Any:
    """A B^T in float32."""
    with precision(card, tf32=False):
        return a @ b.T


def of_parts(card: Card, a: tuple[Any, Any], b: tuple[Any, Any]) -> Any:
    """hi hi^T + hi lo^T + lo hi^T, the small ones first."""
    found = in_tf32(card, a[0], b[1])
    found += in_tf32(card, a[1], b[0])
    found += in_tf32(card, a[0], b[0])
    return found


def of_columns(card: Card, a: tuple[Any, Any], b: tuple[Any, Any]) -> Any:
    """The same as one product of three times the columns."""
    return in_tf32(
        card,
        card.xp.concatenate([a[0], a[1], a[0]], axis=1),
        card.xp.concatenate([b[1], b[0], b[0]], axis=1),
    )


def ways(card: Card, a: Any, b: Any) -> dict[str, Callable[[], Any]]:
    """A B^T in each way."""
    first, second = parts(card.xp, a), parts(card.xp, b)
    return {
        "float32": lambda: in_float32(card, a, b),
        "TF32": lambda: in_tf32(card, a, b),
        "two parts": lambda: of_parts(card, parts(card.xp, a), parts(card.xp, b)),
        "two parts, split before": lambda: of_parts(card, first, second),
        "two parts side by side": lambda: of_columns(card, parts(card.xp, a), parts(card.xp, b)),
        "two parts side by side, split before": lambda: of_columns(card, first, second),
    }


def syrk(card: Card, a: Any, out: Any) -> Any:
    """The upper triangle of A A^T, by the BLAS of the library."""
    if card.gpu:
        import cupy.cublas

        return cupy.cublas.syrk("N", a, out=out)
    from scipy.linalg import blas

    routine = blas.ssyrk if a.dtype == np.float32 else blas.dsyrk
    # In the order of Fortran the factor is transposed, and so is the triangle.
    return routine(1.0, a.T, trans=1, lower=1).T


def halves(card: Card, a: Any) -> dict[str, Callable[[], Any]]:
    """A A^T as any product, one triangle of it, and both as the library computes them."""
    out = card.xp.zeros((len(a),) * 2, dtype=a.dtype)
    return {
        "full": lambda: in_float32(card, a, a),
        "one triangle": lambda: syrk(card, a, out),
        "of the library": lambda: inner(a, a, exact=False),
    }


def measured(
    card: Card, runs: dict[str, Callable[[], Any]], a: Any, b: Any, upper: bool = False
) -> dict[str, dict[str, float]]:
    """Seconds of each way, operations a second of the full product, and errors relative to |a| |b|."""
    xp, wide = card.xp, [factor.astype(np.float64) for factor in (a, b)]
    exact = wide[0] @ wide[1].T
    unit = xp.linalg.norm(wide[0], axis=1)[:, None] * xp.linalg.norm(wide[1], axis=1)
    found: dict[str, dict[str, float]] = {}
    for name, run in runs.items():
        seconds = card.seconds(run, repeats=5)["median"]
        wrong = xp.abs(run() - exact) / unit
        found[name] = {
            "seconds": seconds,
            "operations a second": 2.0 * exact.size * a.shape[1] / seconds,
            "error": float(xp.max(xp.triu(wrong) if upper else wrong)),
        }
    return found


def products(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """Rates and errors of products of random factors, and of products of a factor with itself."""
    for shape in SHAPES:
        m, n, k = (options.size(side) for side in shape)
        rng = np.random.default_rng(0)
        a, b = (card.xp.asarray(rng.standard_normal((rows, k)).astype(np.float32)) for rows in (m, n))
        yield {"shape": [m, n, k], "ways": measured(card, ways(card, a, b), a, b)}
        for dtype in ("float32", "float64"):
            own = a.astype(dtype)
            yield {"shape": [m, m, k], "dtype": dtype, "symmetric": measured(card, halves(card, own), own, own, True)}
        card.forget()
