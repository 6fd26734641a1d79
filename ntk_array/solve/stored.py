"""Gram matrices on disk, as solvers take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._array.namespace import Array, Home, home, to_host
from .operator import GramOperator

if TYPE_CHECKING:
    from ..gram.store import Store

__all__ = ["StoredMatrix"]


class StoredMatrix(GramOperator):
    """A symmetric matrix on disk (:class:`ntk_array.gram.Store`): a product reads every block once."""

    def __init__(self, store: Store) -> None:
        if not store.symmetric:
            raise ValueError(f"{store!r} is between two batches; a Gram matrix is that of a batch with itself")
        self._store = store
        n = int(store.shape[-1])
        self._shape = (int(store.shape[0]) if store.kind == "classwise" else 1, n, n)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._shape

    @property
    def home(self) -> Home:
        return home(self._store[:1, :1])

    def product(self, v: Array) -> Array:
        host = to_host(v)
        result = self._store.product(None, None, host if self._store.kind == "classwise" else host[0])
        return home(v).asarray(result if self._store.kind == "classwise" else result[None])

    def diagonal(self) -> Array:
        values = self._store.diagonal()
        if self._store.kind == "full":
            values = self.home.xp.linalg.diagonal(values)
        return values.reshape(self._shape[:2])

    def columns(self, index: list[int]) -> Array:
        part = self._store[:, index]
        return part if self._store.kind == "classwise" else part[None]

    def array(self) -> Array:
        matrix = self._store.array()
        return matrix if self._store.kind == "classwise" else matrix[None]
