"""What a solver needs of a Gram matrix: its products, its diagonal and some of its columns."""

from abc import ABC, abstractmethod

from .._array.namespace import Array, Home, home, index_dtype

__all__ = ["ChangedOperator", "GramOperator", "Matrix", "ScaledMatrix"]


class GramOperator(ABC):
    """A stack of B symmetric positive semidefinite matrices (B, n, n), not necessarily in memory."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(B, n, n)."""

    @property
    @abstractmethod
    def home(self) -> Home:
        """The library, dtype and device of the numbers."""

    @abstractmethod
    def product(self, v: Array) -> Array:
        """K v for v (B, n, k)."""

    @abstractmethod
    def diagonal(self) -> Array:
        """(B, n)."""

    @abstractmethod
    def columns(self, index: list[int]) -> Array:
        """Some columns, (B, n, len(index))."""

    @abstractmethod
    def array(self) -> Array:
        """The matrices themselves, (B, n, n)."""

    def scaled(self, factor: float) -> "GramOperator":
        """The matrices times a positive factor, which is applied to what is asked for: no matrix is copied."""
        return ScaledMatrix(self, factor)

    def feature_rows(self) -> Array:
        """F (B, n, R) with K = F F^T; a ValueError if no features are known."""
        raise ValueError(
            "the kernel is not one of explicit features: approximate it by ntk_array.Nystroem.of(kernel, x, rank, "
            "seed) or ntk_array.RandomFeatures, or take another solver"
        )


class Matrix(GramOperator):
    """Matrices that are in memory."""

    def __init__(self, array: Array) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, int, int]:
        b, n, _ = self._array.shape
        return int(b), int(n), int(n)

    @property
    def home(self) -> Home:
        return home(self._array)

    def product(self, v: Array) -> Array:
        return self._array @ v

    def diagonal(self) -> Array:
        return self.home.xp.linalg.diagonal(self._array)

    def columns(self, index: list[int]) -> Array:
        xp, _, device = self.home
        return xp.take(self._array, xp.asarray(index, dtype=index_dtype(xp, device), device=device), axis=-1)

    def array(self) -> Array:
        return self._array


class ChangedOperator(GramOperator):
    """Made of another operator, with its shape and where it lives."""

    def __init__(self, operator: GramOperator) -> None:
        self._operator = operator

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._operator.shape

    @property
    def home(self) -> Home:
        return self._operator.home


class ScaledMatrix(ChangedOperator):
    """The matrices of an operator times a positive factor."""

    def __init__(self, operator: GramOperator, factor: float) -> None:
        super().__init__(operator)
        self._factor = factor

    def product(self, v: Array) -> Array:
        return self._factor * self._operator.product(v)

    def diagonal(self) -> Array:
        return self._factor * self._operator.diagonal()

    def columns(self, index: list[int]) -> Array:
        return self._factor * self._operator.columns(index)

    def array(self) -> Array:
        return self._factor * self._operator.array()

    def feature_rows(self) -> Array:
        # K = F F^T.
        return self._factor**0.5 * self._operator.feature_rows()
