"""Kernel values of two batches, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from .._array.namespace import Array

__all__ = ["FIELDS", "Kernel"]


@dataclass(frozen=True)
class Kernel:
    """What ``kernel_fn(x1, x2)`` gives: the fields of ``neural_tangents.Kernel``, as far as they are known here.

    It holds values. The kernels that compute them, with their algebra, derivatives and memory, are
    :class:`ntk_array.InfiniteNTK` and :class:`ntk_array.InfiniteNNGP`.

    Attributes
    ----------
    nngp, ntk : array (N1, N2)
    cov1, cov2 : array (N1,) and (N2,), or matrices
        The NNGP of each batch with itself; cov2 is None where there is one batch.
    x1_is_x2 : bool
    is_gaussian : bool
        Whether the outputs are Gaussian at infinite width.
    shape1, shape2 : tuple of int
        Of the outputs.
    """

    nngp: Array
    ntk: Array | None
    cov1: Array
    cov2: Array | None
    x1_is_x2: bool
    is_gaussian: bool
    is_reversed: bool
    is_input: bool
    diagonal_batch: bool
    diagonal_spatial: bool
    shape1: tuple[int, ...] | None
    shape2: tuple[int, ...] | None
    batch_axis: int
    channel_axis: int
    mask1: Array | None = None
    mask2: Array | None = None

    @staticmethod
    def facts(same: bool, gaussian: bool, diagonal: bool, axes: int, shapes: dict[str, Any]) -> dict[str, Any]:
        """All fields that are no covariances."""
        return shapes | {
            "x1_is_x2": same,
            "is_gaussian": gaussian,
            "is_reversed": False,
            "is_input": False,
            "diagonal_batch": diagonal,
            "diagonal_spatial": False,
            "batch_axis": 0,
            "channel_axis": axes - 1,
            "mask1": None,
            "mask2": None,
        }

    def replace(self, **changes: Any) -> Kernel:
        """The same with other fields."""
        return replace(self, **changes)

    def asdict(self) -> dict[str, Any]:
        """Field to value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def astuple(self) -> tuple[Any, ...]:
        """The values, in the order of the fields."""
        return tuple(self.asdict().values())


FIELDS = tuple(field.name for field in fields(Kernel))
