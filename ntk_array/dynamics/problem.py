"""What all dynamics start from: a kernel, a cost, the function at t = 0 and a ridge."""

from collections.abc import Callable

from .._array.kinds import stack_block, stack_values
from .._array.namespace import Array, home
from .._array.validate import nonnegative, real_array, same_home
from ..function_space.cost import Cost
from ..kernels.base import Kernel

__all__ = ["KernelDynamics"]


class KernelDynamics:
    """A kernel and a cost, with f_0 on the sample, checked against each other."""

    def __init__(self, kernel: Kernel, cost: Cost, f0: Callable[[Array], Array] | None, ridge: float) -> None:
        if not isinstance(kernel, Kernel):
            raise TypeError(f"kernel must be a kernel such as ntk_array.InfiniteNTK(net), got {kernel!r}")
        if not isinstance(cost, Cost):
            raise TypeError(f"cost must be a cost functional such as SquaredError(p_in, y), got {cost!r}")
        if f0 is not None and not callable(f0):
            raise TypeError("f0 must be a function of x, such as net.bind(params), or None for a centred network")
        self.kernel, self.cost, self.f0 = kernel, cost, f0
        self.ridge = nonnegative("ridge", ridge)
        self._initial = self._f0(cost.p_in.x)

    def _gram(self) -> Array:
        """The kernel matrix of the sample, as a stack (B, n, n)."""
        kind, y = self.kernel.kind, self.cost.y
        gram = stack_block(kind, self.kernel(self.cost.p_in.x))
        if gram.shape[:2] != stack_values(kind, y).shape[:2]:
            raise ValueError(
                f"the kernel and the targets disagree on the number of outputs: y is {tuple(y.shape)}, the kernel "
                f"matrix {tuple(gram.shape)} (stack, rows, columns)"
            )
        return gram

    def _f0(self, x: Array) -> Array:
        """f_0 at inputs (M, ...), as (M, C)."""
        xp, dtype, device = home(self.cost.y)
        shape = (x.shape[0], self.cost.y.shape[1])
        if self.f0 is None:
            return xp.zeros(shape, dtype=dtype, device=device)
        values = real_array("f0(x)", self.f0(x))
        values = values[:, None] if values.ndim == 1 else values
        same_home(**{"y": self.cost.y, "f0(x)": values})
        if values.shape != shape:
            raise ValueError(f"f0(x) has shape {tuple(values.shape)}; expected {shape}")
        return values
