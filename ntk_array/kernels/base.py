"""What every kernel can do."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from .._array.kinds import Kind, numbers, product
from .._array.namespace import Array, home, is_array, itemsize
from .._array.short import short_repr
from .._array.validate import finite, inputs, one_of, positive, real_array, same_home
from ..gram.assemble import in_tiles
from ..gram.memory import refuse_without_room
from ..gram.tiled import Costs
from ..infinite.inputs import Inputs
from ..infinite.taylor import Taylor, Terms, highest, operated

__all__ = ["Kernel", "only_kernels", "only_scalar_kernels", "same_inputs"]

PRODUCT_BYTES = 2**28
"""What the kernel values of a product may take; more come in parts."""


class Kernel(ABC):
    """A positive semidefinite kernel on inputs.

    Kernels of one kind can be added and multiplied, and scaled by positive numbers. The product of two kernels
    is taken entry by entry, which keeps scalar and class-wise kernels positive semidefinite.
    """

    __repr__ = short_repr

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A data class would get another one, with every number of its arrays.
        if getattr(cls, "__repr__", None) is short_repr:
            type.__setattr__(cls, "__repr__", short_repr)

    kind: Kind = "scalar"
    inputs_are: str = "inputs"
    """What its inputs are, in words. Kernels are combined only where these agree: arrays alone do not tell."""

    def specialized(self, x1: Array, x2: Array | None) -> "Kernel":
        """A faster equivalent of this kernel, valid for these validated inputs only.

        What is decided once for a problem is decided here, not for each of its tiles.
        """
        del x1, x2
        return self

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """What blocks of validated inputs take, in bytes, without computing any.

        Two dozen arrays of the size of a block, and the inputs themselves, unless a kernel knows better. A kernel that
        is not scalar says how many outputs it has.
        """
        if self.kind != "scalar":
            raise TypeError(f"{type(self).__name__} is {self.kind} and must say by costs() how many outputs it has")
        here = home(x1)
        size = itemsize(here)
        return Costs(here, 1, 24 * size, size * math.prod(x1.shape[1:]))

    def prepare(self, x: Array) -> Any:
        """What blocks need of validated inputs, so that the blocks of one batch with many others share the work.

        The inputs themselves, unless a kernel knows better; otherwise lists and tuples of arrays.
        """
        return x

    @abstractmethod
    def prepared_block(self, prepared1: Any, prepared2: Any | None) -> Array:
        """Kernel values for inputs that were prepared; ``prepared2=None`` means that both are the same batch: the block
        is exactly symmetric then."""

    def block(self, x1: Array, x2: Array | None) -> Array:
        """Kernel values for validated inputs, all at once."""
        return self.prepared_block(self.prepare(x1), None if x2 is None else self.prepare(x2))

    def values(self, x1: Array, x2: Array | None) -> Array:
        """Kernel values for validated inputs: a block, or tiles of it where it is large."""
        return in_tiles(self, x1, x2)

    @abstractmethod
    def block_diagonal(self, x: Array) -> Array:
        """Kernel values of each validated input with itself."""

    def __call__(self, x1: Array, x2: Array | None = None) -> Array:
        """Kernel values between inputs (N1, ...) and (N2, ...).

        Parameters
        ----------
        x1, x2 : array
            Batches of inputs. ``x2=None`` means that x2 is x1: the block is then exactly symmetric and its diagonal
            is exact.

        Returns
        -------
        array
            (N1, N2), (C, N1, N2) or (N1, C, N2, C), see ``kind``. Large ones are computed in tiles, on NumPy by as many
            threads as its matrix products use; :func:`ntk_array.gram.assemble` has the say over memory and threads,
            and a progress bar.

        Raises
        ------
        TypeError, ValueError
            If the inputs are not batches of finite numbers of one library, dtype and shape. TypeError for tensors of
            PyTorch that require a gradient, unless the kernel is an infinite-width one, or made of such, and the inputs
            have no positions: autograd then gets its first derivatives, those of ``gradient(wrt="x1")``.
        MemoryError
            If the result is more than the memory that is available, before work starts.
        """
        given = (x1,) if x2 is None else (x1, x2)
        recording = next((x for x in given if is_array(x) and home(x).library.recorded(x)), None)
        if recording is not None and self.differentiates(recording):
            return home(recording).library.with_gradients(self, self._pullback, given)
        return self.values(*self.validated(x1, x2))

    def _pullback(self, u: Array, x1: Array, x2: Array | None = None) -> tuple[Array, ...]:
        """The gradients of sum_ij u_ij K(x1_i, x2_j) in the inputs."""

        def pulled(u: Array, one: Array, two: Array | None) -> Array:
            return home(u).xp.sum(u[..., None] * self.input_gradient(one, two), axis=1)

        # A kernel is symmetric: its derivative in the second input is that in the first of the batches exchanged.
        return (pulled(u + u.T, x1, None),) if x2 is None else (pulled(u, x1, x2), pulled(u.T, x2, x1))

    def differentiates(self, x: Array) -> bool:
        """Whether automatic differentiation gets gradients in inputs like x from :meth:`input_gradient`."""
        del x
        return False

    def diag(self, x: Array) -> Array:
        """Kernel values of each input with itself: (N,), (C, N) or (N, C, C)."""
        return self.block_diagonal(self.validated(x, None)[0])

    def matvec(self, x1: Array, x2: Array | None, v: Array) -> Array:
        """K(x1, x2) v for v (N2, C) or (N2,), summed over the second input (and output): (N1, C) or (N1,).

        A scalar kernel acts on every column of v alike, a class-wise one on each column with its own kernel.
        """
        x1, x2 = self.validated(x1, x2)
        v = finite("v", real_array("v", v, like=x1))
        same_home(x1=x1, v=v)
        # Products are of matrices (N2, C); one column stands for a vector.
        columns = v[:, None] if v.ndim == 1 else v
        rows = (x1 if x2 is None else x2).shape[0]
        if v.ndim not in (1, 2) or v.shape[0] != rows:
            raise ValueError(f"v has shape {tuple(v.shape)}; expected ({rows},) or ({rows}, C)")
        result = self.product(x1, x2, columns)
        return result[:, 0] if v.ndim == 1 else result

    def product(self, x1: Array, x2: Array | None, v: Array) -> Array:
        """K(x1, x2) v for validated inputs and v (N2, C), by way of K(x1, x2), some rows of it at a time."""
        columns = x1 if x2 is None else x2
        costs = self.costs(x1, x2)
        row = columns.shape[0] * numbers(self.kind, costs.outputs) * itemsize(costs.home)
        rows = max(1, PRODUCT_BYTES // row)
        if x1.shape[0] <= rows:
            return product(self.kind, self.values(x1, x2), v)
        parts = [
            product(self.kind, self.values(x1[start : start + rows, ...], columns), v)
            for start in range(0, x1.shape[0], rows)
        ]
        return home(v).xp.concat(parts)

    is_average: bool = False
    """Whether kernel values are means over kernels that are costly to make."""

    def averaged(self, matrix: Callable[["Kernel"], Array], x: Array) -> Array:
        """The mean of the matrices of those kernels for inputs like x, given what makes the matrix of one."""
        del x
        return matrix(self)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """What :meth:`gradient` can be taken with respect to: some of "log_weight_std" and "log_bias_std"."""
        return frozenset()

    def gradient(
        self, x1: Array, x2: Array | None = None, wrt: str | Sequence[str] = ("log_weight_std", "log_bias_std")
    ) -> dict[str, Array]:
        """Derivatives of the kernel with respect to hyper-parameters of its network, or to the first input.

        Parameters
        ----------
        x1, x2 : array
            As for the kernel itself.
        wrt : str or sequence of str
            "log_weight_std" and "log_bias_std": the logarithms of factors common to the weight_std, or to the bias_std,
            of all layers, so that d K / d log_weight_std = sum_l sigma_w^l dK / d sigma_w^l.
            "x1": dK(x, x') / dx at x = x1_i and x' = x2_j, of scalar kernels. ``x2=None`` means here too that x2 is x1;
            x' is held fixed. Where a network has kinks and x = x', the mean of the derivatives from both sides.

        Returns
        -------
        dict
            One array for each name, of the shape of the kernel's values; for "x1" (N1, N2, *shape of an input).

        Raises
        ------
        TypeError
            If the kernel does not depend on hyper-parameters: an empirical or a precomputed one. For "x1" if its
            gradient is not known: infinite-width kernels, ``EmpiricalNNGP``, scalar ``EmpiricalNTK`` of Dense layers
            and activations, and their sums, products and multiples have one.
        ValueError
            If a derivative does not exist: no layer has a bias, so that log bias_std is -inf. For "x1" if inputs of
            infinite-width kernels have positions, as images do, or there is no gradient at an input that is 0.
        MemoryError
            If the gradient in "x1" is more than the memory that is available, before work starts.

        Examples
        --------
        >>> import numpy as np, ntk_array as ntk
        >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, weight_std=1.5, bias_std=0.1))
        >>> x = np.asarray([[1.0, 2.0], [0.5, -1.0]])
        >>> {name: value.shape for name, value in K.gradient(x).items()}
        {'log_weight_std': (2, 2), 'log_bias_std': (2, 2)}
        >>> K.gradient(x, x[:1], wrt="x1")["x1"].shape
        (2, 1, 2)
        """
        x1, x2 = self.validated(x1, x2)
        names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
        for name in names:
            one_of("wrt", name, ("log_weight_std", "log_bias_std", "x1"))
            if name != "x1" and self.hyperparameters and name not in self.hyperparameters:
                raise ValueError(
                    f"the kernel has no derivative with respect to {name}: no layer has a bias (bias_std = 0); ask for "
                    f"wrt={sorted(self.hyperparameters)}"
                )
        # The derivative is a kernel of its own, so that large ones come in tiles like the kernel.
        if "x1" in names:
            _check_room(x1, x2)
        return {
            name: self.input_gradient(x1, x2) if name == "x1" else self.derivative(name).values(x1, x2)
            for name in names
        }

    def input_gradient(self, x1: Array, x2: Array | None) -> Array:
        """dK(x, x') / dx for validated inputs, (N1, N2, *shape of an input)."""
        raise TypeError(f"the gradient of {type(self).__name__} in its inputs is not known here")

    def derivative(self, name: str) -> "Kernel":
        """The derivative with respect to one of ``hyperparameters``, which is computed in tiles like the kernel."""
        raise TypeError(f"{type(self).__name__} does not depend on hyper-parameters: it has no gradient")

    def taylor(self, x1: Array, x2: Array, orders: tuple[int, int], paired: bool = False) -> Taylor:
        """The kernel of validated inputs (N, d) as a polynomial in their inner products, for so many derivatives in x
        and in x': around each pair (x_i, x'_j), or (x_i, x'_i) if they are ``paired``."""
        raise TypeError(
            f"{type(self).__name__} is not known as a function of the inner products of inputs, which operators need: "
            "take InfiniteNTK, InfiniteNNGP, a scalar EmpiricalNTK, or sums and multiples of them"
        )

    def operated(self, first: Terms, second: Terms, x1: Array, x2: Array, paired: bool = False) -> Array:
        """L^x L'^x' K for validated inputs (N, d), or for pairs, of operators as sums of derivatives along directions.

        By the polynomial of :meth:`taylor`, unless a kernel knows another way.
        """
        expansion = self.taylor(x1, x2, (highest(first), highest(second)), paired)
        return operated(expansion, Inputs.of(x1), Inputs.of(x2), first, second, paired)

    def operated_arrays(self, order: int) -> int:
        """How many arrays of the size of its result :meth:`operated` holds at once, for operators up to this order.

        A polynomial has 27 coefficients for two derivatives in each input, and some ten polynomials exist at once.
        """
        return (24, 90, 300)[order]

    def operated_net(self, x: Array, terms: Terms) -> Array:
        """L f(x) of the network f that this kernel is of, (N, C), for validated inputs (N, d)."""
        raise TypeError(
            f"{type(self).__name__} is of no network in particular: observations are known of the network of an "
            "EmpiricalNTK"
        )

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> "Kernel":
        """The kernel of the network with every weight_std and every bias_std multiplied by these factors."""
        raise TypeError(f"{type(self).__name__} does not depend on hyper-parameters: it cannot be rescaled")

    def net_with_other_outputs(self, x: Array) -> Any:
        """A network of infinite width whose outputs at inputs like x are not Gaussian; None where there is none."""
        del x

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """The inputs, validated."""
        x1 = inputs("x1", x1)
        if x2 is None:
            return x1, None
        x2 = inputs("x2", x2)
        same_home(x1=x1, x2=x2)
        # The batch sizes may differ, the inputs themselves may not.
        if x1.shape[1:] != x2.shape[1:]:
            raise ValueError(
                f"x1 and x2 are batches of different inputs: {tuple(x1.shape)} and {tuple(x2.shape)} "
                f"differ beyond the first axis{_hint(x1.shape, x2.shape)}"
            )
        return x1, x2

    # Sums and products are kernels themselves, in a module that imports this one.

    def __add__(self, other: "Kernel") -> "Kernel":
        from .algebra import combined

        return combined("add", self, other)

    def __radd__(self, other: object) -> "Kernel":
        """The 0 that ``sum`` begins with is no number added to all values."""
        if isinstance(other, int) and other == 0:
            return self
        return self + other  # type: ignore[operator]  # refused

    def __mul__(self, other: "Kernel | float") -> "Kernel":
        from .algebra import Scaled, combined

        if isinstance(other, Kernel):
            return combined("multiply", self, other)
        return Scaled(self, positive("the factor of a kernel", other))

    __rmul__ = __mul__
    __array_ufunc__ = None
    """An array times a kernel is refused here. NumPy would make an array of kernels."""


def only_kernels(name: str, kernel: Any) -> None:
    """Refuse what is no kernel."""
    if not isinstance(kernel, Kernel):
        raise TypeError(f"{name} must be a kernel such as ntk_array.InfiniteNTK(net), got {kernel!r}")


def only_scalar_kernels(name: str, kernel: Any, why: str) -> None:
    """Refuse kernels with a block for each output; ``why`` says what takes none."""
    only_kernels(name, kernel)
    if kernel.kind != "scalar":
        raise ValueError(
            f"{name} has blocks for each output ({kernel.kind}), and {why}: use an infinite-width kernel, or "
            'outputs="trace" for an empirical one'
        )


def same_inputs(one: Kernel, two: Kernel) -> None:
    """Refuse two kernels that would read the same array as different things."""
    if one.inputs_are != two.inputs_are:
        raise ValueError(
            f"the inputs of {type(one).__name__} are {one.inputs_are}, those of {type(two).__name__} {two.inputs_are}: "
            "give both kernels the same operators, such as OperatorKernel(kernel, (Value(), Laplacian()))"
        )


def _hint(one: tuple[int, ...], two: tuple[int, ...]) -> str:
    """What to do where inputs (N, P, width) may be graphs, whose width is that of P, a mark and channels, or where they
    may be padded."""
    if len(one) == len(two) > 2 and one[-1] == two[-1]:
        most = tuple(max(sizes) for sizes in zip(one[1:-1], two[1:-1], strict=True))
        return f"; for inputs of several lengths, give both as many positions: nn.padded(..., positions={most})"
    if not len(one) == len(two) == 3 or one[2] - one[1] != two[2] - two[1] or one[2] - one[1] < 2:
        return ""
    return f"; for graphs, give both as many nodes: graphs(..., nodes={max(one[1], two[1])})"


def _check_room(x1: Array, x2: Array | None) -> None:
    """MemoryError where there is no room for a gradient in the inputs x1 and what it is added up from."""
    here, rows = home(x1), (x1 if x2 is None else x2).shape[0]
    shape = (x1.shape[0], rows, *x1.shape[1:])
    what, advice = f"the gradient in the inputs, of the shape {shape},", "give fewer inputs x1 at a time"
    refuse_without_room(2 * itemsize(here) * math.prod(shape), here, what, advice)
