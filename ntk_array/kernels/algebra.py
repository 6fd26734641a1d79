"""The algebra of kernels: sums, entrywise products and positive multiples."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from .._array.kinds import Kind, numbers
from .._array.namespace import Array, itemsize
from ..gram.tiled import Costs
from ..infinite.taylor import Taylor, Terms
from .base import Kernel, same_inputs

__all__ = ["Combined", "Scaled", "combined"]


def combined(operation: Literal["add", "multiply"], left: Kernel, right: Any) -> "Combined":
    """The sum or the entrywise product.

    Raises
    ------
    TypeError, ValueError
        If the other is no kernel, or one of another kind or of other inputs.
    """
    if not isinstance(right, Kernel):
        raise TypeError(f"a kernel can be combined with another kernel, not with {right!r}")
    if left.kind != right.kind:
        raise ValueError(
            f"kernels of one kind can be combined, got {left.kind} and {right.kind}; "
            'choose outputs="trace" for an empirical kernel that meets an infinite-width one'
        )
    same_inputs(left, right)
    return Combined(operation, left, right)


class _Made(Kernel):
    """A kernel whose values are those of its parts, put together entry by entry.

    Whatever is linear in kernel values, or a polynomial of them, is put together in the same way as they are.
    """

    @property
    @abstractmethod
    def _parts(self) -> tuple[Kernel, ...]:
        """The kernels that it is made of."""

    @abstractmethod
    def _of(self, *parts: Kernel) -> "_Made":
        """The same of other parts."""

    @abstractmethod
    def _joined(self, *values: Any) -> Any:
        """The values of this kernel from those of its parts: arrays, or polynomials in inner products."""

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return self._parts[0].kind

    @property
    def inputs_are(self) -> str:  # type: ignore[override]
        return self._parts[0].inputs_are

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        for part in self._parts:
            x1, x2 = part.validated(x1, x2)
        return x1, x2

    def net_with_other_outputs(self, x: Array) -> Any:
        return next(filter(None, (part.net_with_other_outputs(x) for part in self._parts)), None)

    def specialized(self, x1: Array, x2: Array | None) -> "_Made":
        return self._of(*(part.specialized(x1, x2) for part in self._parts))

    @property
    def is_average(self) -> bool:  # type: ignore[override]
        """If any part is."""
        return any(part.is_average for part in self._parts)

    def averaged(self, matrix: Callable[[Kernel], Array], x: Array) -> Array:
        """Each part by itself."""
        return self._joined(*(part.averaged(matrix, x) for part in self._parts))

    def prepare(self, x: Array) -> Any:
        return tuple(part.prepare(x) for part in self._parts)

    def prepared_block(self, prepared1: Any, prepared2: Any | None) -> Array:
        others = [None] * len(self._parts) if prepared2 is None else prepared2
        each = zip(self._parts, prepared1, others, strict=True)
        return self._joined(*(part.prepared_block(one, two) for part, one, two in each))

    def block_diagonal(self, x: Array) -> Array:
        return self._joined(*(part.block_diagonal(x) for part in self._parts))

    def differentiates(self, x: Array) -> bool:
        return all(part.differentiates(x) for part in self._parts)

    def input_gradient(self, x1: Array, x2: Array | None) -> Array:
        return self._joined(*(part.input_gradient(x1, x2) for part in self._parts))

    def taylor(self, x1: Array, x2: Array, orders: tuple[int, int], paired: bool = False) -> Taylor:
        joined: Taylor = self._joined(*(part.taylor(x1, x2, orders, paired) for part in self._parts))
        return joined

    def operated(self, first: Terms, second: Terms, x1: Array, x2: Array, paired: bool = False) -> Array:
        return self._joined(*(part.operated(first, second, x1, x2, paired) for part in self._parts))

    def operated_arrays(self, order: int) -> int:
        """While one part works, the finished results of the others are there."""
        return len(self._parts) - 1 + max(part.operated_arrays(order) for part in self._parts)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Those of all parts, taken to be common to them."""
        return frozenset().union(*(part.hyperparameters for part in self._parts))

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> Kernel:
        """Of rescaled parts, where they depend on hyper-parameters."""
        if not self.hyperparameters:
            return super().rescaled(weight_std, bias_std)
        return self._of(
            *(part.rescaled(weight_std, bias_std) if part.hyperparameters else part for part in self._parts)
        )


@dataclass(frozen=True)
class Combined(_Made):
    """The sum or the entrywise product of two kernels."""

    operation: Literal["add", "multiply"]
    left: Kernel
    right: Kernel

    @property
    def _parts(self) -> tuple[Kernel, Kernel]:
        return self.left, self.right

    def _of(self, *parts: Kernel) -> "Combined":
        return replace(self, left=parts[0], right=parts[1])

    def _joined(self, *values: Any) -> Any:
        left, right = values
        return left + right if self.operation == "add" else left * right

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """The block of one kernel waits for that of the other."""
        left, right = self.left.costs(x1, x2), self.right.costs(x1, x2)
        if left.outputs != right.outputs:
            raise ValueError(f"kernels of {left.outputs} and of {right.outputs} outputs cannot be combined")
        # While one kernel works, the finished block of the other is there. At the end both are, with their combination.
        block = itemsize(left.home) * numbers(self.kind, left.outputs)
        return Costs(left.home, left.outputs, block + max(2 * block, left.entry, right.entry), left.input + right.input)

    def input_gradient(self, x1: Array, x2: Array | None) -> Array:
        """The rules for sums and products."""
        if self.operation == "add":
            return super().input_gradient(x1, x2)
        axes = (..., *[None] * (x1.ndim - 1))
        left, right = self.left.values(x1, x2)[axes], self.right.values(x1, x2)[axes]
        return self.left.input_gradient(x1, x2) * right + left * self.right.input_gradient(x1, x2)

    def operated(self, first: Terms, second: Terms, x1: Array, x2: Array, paired: bool = False) -> Array:
        """A sum term by term; a product as one polynomial."""
        if self.operation == "multiply":
            return Kernel.operated(self, first, second, x1, x2, paired)
        return super().operated(first, second, x1, x2, paired)

    def operated_arrays(self, order: int) -> int:
        if self.operation == "multiply":
            return Kernel.operated_arrays(self, order)
        return super().operated_arrays(order)

    def derivative(self, name: str) -> Kernel:
        """The rules for sums and products."""
        # (K1 + K2)' = K1' + K2' and (K1 K2)' = K1' K2 + K1 K2'. A kernel without the hyper-parameter adds nothing.
        shares = []
        for kernel, other in ((self.left, self.right), (self.right, self.left)):
            if name in kernel.hyperparameters:
                own = kernel.derivative(name)
                shares.append(own if self.operation == "add" else Combined("multiply", own, other))
        if not shares:
            return super().derivative(name)
        return shares[0] if len(shares) == 1 else Combined("add", *shares)


@dataclass(frozen=True)
class Scaled(_Made):
    """A kernel times a positive number."""

    kernel: Kernel
    factor: float

    @property
    def _parts(self) -> tuple[Kernel]:
        return (self.kernel,)

    def _of(self, *parts: Kernel) -> "Scaled":
        return replace(self, kernel=parts[0])

    def _joined(self, *values: Any) -> Any:
        return values[0] * self.factor

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Those of the kernel; the block and its multiple at least."""
        costs = self.kernel.costs(x1, x2)
        return replace(costs, entry=max(2 * itemsize(costs.home) * numbers(self.kind, costs.outputs), costs.entry))

    def product(self, x1: Array, x2: Array | None, v: Array) -> Array:
        """The kernel's own product, scaled."""
        return self.factor * self.kernel.product(x1, x2, v)

    def derivative(self, name: str) -> Kernel:
        return Scaled(self.kernel.derivative(name), self.factor)
