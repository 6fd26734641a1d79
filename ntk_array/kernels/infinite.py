"""Infinite-width kernels, in closed form or by quadrature of known error."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from .._array.linalg import mirror, with_diagonal
from .._array.namespace import Array, home, index_dtype, itemsize
from .._array.validate import inputs
from ..gram.tiled import Costs
from ..infinite.covariance import Direction, Rows
from ..infinite.growth import reads_cosines, rounding_growth
from ..infinite.inputs import Inputs
from ..infinite.program import Program, Walk
from ..infinite.signal import Signal
from ..infinite.stretches import Read
from ..infinite.taylor import Taylor, expansion
from ..nn.layer import Layer
from ..nn.parameters import select, selection
from .base import Kernel
from .input_gradient import input_gradient
from .zonal import Zonal, ZonalSeries, zonal_series

__all__ = ["INFINITE_KERNELS", "InfiniteNNGP", "InfiniteNTK"]

ENOUGH = 1e-10
"""The rounding of numbers half of whose digits are enough for float32."""
MOST_GROWTH = 5.0
"""Up to this :func:`.rounding_growth` float32 is off by less than 2e-6."""
MARGIN = 0.05  # series differentiate badly at the ends of their range


class Prepared(NamedTuple):
    """A batch with its variances at every layer, and the kernel of each input with itself (N,)."""

    inputs: Inputs
    rows: list[Rows]
    diagonal: Array


def _few(x: Array) -> Array:
    """The smallest of some inputs, the largest, and one in between."""
    here = home(x)
    xp = here.xp
    with np.errstate(over="ignore"):
        sizes = xp.sum(x * x, axis=tuple(range(1, x.ndim)))
    dtype = index_dtype(xp, here.device)
    middle = xp.asarray(x.shape[0] // 2, dtype=dtype, device=here.device)
    chosen = [xp.astype(at, dtype, copy=False) for at in (xp.argmin(sizes), xp.argmax(sizes), middle)]
    return xp.take(x, xp.stack(chosen), axis=0)


def _in_planes(kernel: Kernel, program: Program, x1: Array, x2: Array | None) -> Kernel | None:
    """A kernel of images plane by plane, where that can be."""
    if x1.ndim == 2:
        return None
    from .planes import in_planes  # much that only images need

    return in_planes(kernel, program, x1, x2)


class Kept(NamedTuple):
    """What a kernel has worked out so far, for the next call: it goes when the kernel goes."""

    programs: dict[Any, Program]
    series: dict[Any, ZonalSeries | None]
    tables: dict[Any, Any]


@dataclass(frozen=True)
class _Infinite(Kernel):
    net: Layer

    _specialized: ClassVar[Program | None] = None  # an instance for one problem has its own
    _wide: ClassVar[bool | None] = None  # the same

    def __post_init__(self) -> None:
        if not isinstance(self.net, Layer):
            raise TypeError(f"net must be a network of ntk_array.nn, got {self.net!r}")

    @cached_property
    def kept(self) -> Kept:
        """Empty at first."""
        return Kept({}, {}, {})

    def __getstate__(self) -> dict[str, Any]:
        # Compiled programs cannot be pickled, and are made again when they are asked for.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def inputs_of(self, *batches: Array | None) -> list[Inputs]:
        """Batches as the network takes them; None is no batch."""
        wide = self.wide(*batches)
        return [self._arranged(self._computed(x, wide)) for x in batches if x is not None]

    def wide(self, *batches: Array | None) -> bool:
        """Whether these inputs are computed in float64, where there is one, because float32 would lose digits."""
        if self._wide is not None:
            return self._wide
        given = [x for x in batches if x is not None]
        program = self.program_for(given[0])
        if program.loses_angles:
            return True
        if home(given[0]).eps <= ENOUGH or not reads_cosines(program):
            return False
        return any(rounding_growth(program, self._arranged(_few(x))) > MOST_GROWTH for x in given)

    def decided(self, x1: Array, x2: Array | None = None) -> Self:
        """A copy that computes all tiles of a problem in one dtype, and shares what has been worked out so far."""
        other = copy(self)
        vars(other).update(kept=self.kept, _wide=self.wide(x1, x2))
        return other

    def _arranged(self, x: Array) -> Inputs:
        """A batch as the network takes it."""
        first = self.net.arrangement()[0]
        return Inputs.of(x if first is None else first.forward({}, x)[0])

    def _computed(self, x: Array, wide: bool) -> Array:
        """Inputs in the dtype that is computed in."""
        here = home(x).widest if wide else home(x)
        if wide and here.eps > ENOUGH:
            warnings.warn(
                f"there is no float64 on {here.device} of {here.xp.__name__}, so that this network, in which rounding "
                "errors grow, is computed in float32: inputs that nearly coincide, or that are nearly opposite, may be "
                "off by 1e-4 and more. In JAX, jax.config.update('jax_enable_x64', True) helps",
                RuntimeWarning,
                stacklevel=2,
            )
        return here.xp.astype(x, here.dtype, copy=False)

    def program_for(self, x: Array) -> Program:
        """The network as steps, for inputs like x."""
        first, shape = self.net.arrangement()[0], tuple(x.shape[1:])
        return self.program(shape if first is None else first.signal(Signal(shape)).shape)

    def program(self, shape: tuple[int, ...]) -> Program:
        """The network as steps, for inputs of this shape, behind the layer that arranges them."""
        programs = self.kept.programs
        shape = tuple(shape)
        if shape not in programs:
            programs[shape] = Program.of(self.learning(shape), shape)
        return programs[shape]

    def learning(self, shape: tuple[int, ...]) -> Layer:
        """The network for arranged inputs of this shape, which knows which of its parameters are trained."""
        del shape
        return self.net.arrangement()[1]

    def net_with_other_outputs(self, x: Array) -> Layer | None:
        return None if self.program_for(x).signals[-1].gaussian else self.net

    def quadrature_error(self, x: Array) -> float:
        """A bound for the error of the kernel at these inputs that comes from duals without a closed form.

        It is relative to sqrt(K(x, x) K(x', x')), and 0.0 where all duals are closed forms. Rounding is not in it.
        """
        (one,) = self.inputs_of(inputs("x", x))
        return self.fitted(one).quadrature_error(one, self.is_ntk)

    def fitted(self, *batches: Inputs, margin: float = 0.0) -> Program:
        """The program with tables for the inputs of the problem, or else for these batches."""
        if self._specialized is not None and not margin:
            return self._specialized
        program = self.program(batches[0].scaled.shape[1:])
        if not program.numerical:
            return program
        # One table has to reach over the norms of both batches, so they are walked as one.
        concat = home(batches[0].scaled).xp.concat
        both = Inputs(*(concat(parts) for parts in zip(*batches, strict=True)))
        return program.fitted(both, self.kept.tables, margin)

    def specialized(self, x1: Array, x2: Array | None) -> Kernel:
        """One series in the angle, where the kernel is a function of it; else the kernel with its tables."""
        program, kept = self.program_for(x1), self.kept
        series = zonal_series(program, x1, x2, self.is_ntk, kept.series, kept.tables)
        # A series needs no walk through the layers, whatever the depth. So it is tried first.
        if series is not None:
            return Zonal(self, series)
        other = self.decided(x1, x2)
        planes = _in_planes(other, program, x1, x2)
        if planes is not None:
            return planes
        if program.numerical:
            vars(other).update(_specialized=other.fitted(*other.inputs_of(x1, x2)))
        return other

    def prepare(self, x: Array) -> Prepared:
        """The batch walked through all layers."""
        (one,) = self.inputs_of(x)
        walk = self.fitted(one).walk(one, self.is_ntk)
        return Prepared(one, walk.rows, home(x).xp.astype(walk.diagonal, x.dtype, copy=False))

    def prepared_block(self, prepared1: Prepared, prepared2: Prepared | None) -> Array:
        """Layer by layer, for what depends on pairs of inputs."""
        one, two = prepared1, prepared1 if prepared2 is None else prepared2
        program = self.fitted(one.inputs, two.inputs)
        start = program.between(one.inputs, None if prepared2 is None else two.inputs, self.is_ntk)
        block = program.run(start, one.rows, two.rows, self.read)
        block = home(block).xp.astype(block, one.diagonal.dtype, copy=False)
        # Compiled loops round differently from what computed the diagonal: it is set to be that of K.diag.
        return with_diagonal(mirror(block), one.diagonal) if prepared2 is None else block

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """The inputs, and a few numbers for each at every layer."""
        program, size = self.program_for(x1), itemsize(home(x1).widest if self.wide(x1) else home(x1))
        # A prepared batch keeps a variance for each position at every place, and a mean where sums ask for one.
        kept = sum(math.prod(signal.shape[:-1]) for signal in program.signals) * (2 if program.means else 1)
        # Attention keeps the covariances between all positions of each input.
        pairs = zip(program.signals, program.within, strict=True)
        kept += sum(math.prod(signal.shape[:-1]) ** 2 for signal, within in pairs if within)
        # Two dozen arrays of the size of a block, and the terms of a sum over a window where there are positions.
        arrays = 24 if x1.ndim == 2 else 64
        entry = arrays * size * program.largest_block
        return Costs(home(x1), 1, entry, size * (math.prod(x1.shape[1:]) + kept + 2))

    def differentiates(self, x: Array) -> bool:
        """For inputs without positions, where the kernel of an input with itself is that with its copy."""
        return bool(x.ndim == 2) and not self.net.noisy

    def input_gradient(self, x1: Array, x2: Array | None) -> Array:
        return input_gradient(lambda *x: self.fitted(*map(Inputs.of, x), margin=MARGIN), x1, x2, self.read)

    def taylor(self, x1: Array, x2: Array, orders: tuple[int, int], paired: bool = False) -> Taylor:
        return expansion(self.program(x1.shape[1:]), Inputs.of(x1), Inputs.of(x2), orders, self.read, paired)

    def derivative(self, name: str) -> Kernel:
        return InfiniteDerivative(self, name)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Those of the network."""
        return self.net.hyperparameters

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> _Infinite:
        """The kernel of the rescaled network. It shares the tables of activations, which do not depend on weights."""
        other = replace(self, net=self.net.rescaled(weight_std, bias_std))
        other.kept.tables.update(self.kept.tables)
        return other

    def block_diagonal(self, x: Array) -> Array:
        kernel = self.decided(x)
        planes = _in_planes(kernel, self.program_for(x), x, None)
        if planes is not None:
            return planes.block_diagonal(x)
        (one,) = kernel.inputs_of(x)
        diagonal = self.fitted(one).walk(one, self.is_ntk).diagonal
        return home(x).xp.astype(diagonal, x.dtype, copy=False)

    @property
    @abstractmethod
    def read(self) -> Read:
        """What of the last layer is the kernel."""

    @property
    def is_ntk(self) -> bool:
        """Whether the NTK has to be carried through the layers."""
        return self.read == "ntk"


@dataclass(frozen=True)
class InfiniteNTK(_Infinite):
    """The neural tangent kernel in the infinite-width limit, Theta(x, x') (N1, N2), the same for every output.

    Theta of a network in the NTK parameterization, at initialization and throughout training (Jacot et al. 2018,
    Theorems 1 and 2). Activations without a closed-form dual are integrated numerically; see
    ``quadrature_error``. For the standard parameterization it is given at the network's own widths.

    Parameters
    ----------
    net : Layer
        The network; its widths do not matter in the NTK parameterization.
    trainable : str or sequence of str, optional
        Only these parameters are trained, as in :class:`EmpiricalNTK`: "last" for the last layer with parameters, or
        names such as "0.weight" or "2". Then Theta is the sum of their shares: a frozen layer multiplies Theta by its
        slope and adds nothing. Names are compared with those of the network when the kernel is first computed.

    Raises
    ------
    ValueError
        If the network has no limit, or ``trainable`` names no parameter.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, activation="relu"))
    >>> K(np.asarray([[1.0, 1.0], [1.0, -1.0]])).round(3)
    array([[6.   , 1.371],
           [1.371, 6.   ]])
    >>> K = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1, activation="relu"), trainable="last")
    >>> K.diag(np.asarray([[1.0, 1.0]])).round(12)
    array([2.])
    """

    trainable: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "trainable", selection(self.trainable))

    def learning(self, shape: tuple[int, ...]) -> Layer:
        net = super().learning(shape)
        if self.trainable is None:
            return net
        return net.training(select(net.parameters(Signal(shape)), self.trainable))

    @property
    def read(self) -> Read:
        return "ntk"


class InfiniteNNGP(_Infinite):
    """The covariance of the network's outputs over initializations in the infinite-width limit, K(x, x') (N1, N2).

    The outputs are then independent Gaussian processes with this covariance (Lee et al. 2018, eq. 4 and 5).

    Parameters
    ----------
    net : Layer
        The network; its widths do not matter.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> ntk.InfiniteNNGP(ntk.nn.mlp((1, 1), 1)).diag(np.ones((2, 3))).round(12)
    array([2., 2.])
    """

    @property
    def read(self) -> Read:
        return "k12"


@dataclass(frozen=True)
class InfiniteDerivative(Kernel):
    """The derivative of an infinite-width kernel in the logarithm of a hyper-parameter, layer by layer."""

    kernel: _Infinite
    name: str
    program: Program | None = None
    """With the tables for the inputs of a problem."""

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        return self.kernel.validated(x1, x2)

    def specialized(self, x1: Array, x2: Array | None) -> InfiniteDerivative:
        # The tables reach a little beyond the norms of the inputs: series differentiate badly at their ends.
        kernel = self.kernel.decided(x1, x2)
        return replace(self, kernel=kernel, program=kernel.fitted(*kernel.inputs_of(x1, x2), margin=MARGIN))

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Of the kernel and of its change."""
        costs = self.kernel.costs(x1, x2)
        return replace(costs, entry=2 * costs.entry, input=2 * costs.input)

    def prepare(self, x: Array) -> tuple[Inputs, Walk]:
        (one,) = self.kernel.inputs_of(x)
        walk = self._program(one).walk(one, self.kernel.is_ntk, self._direction)
        return one, walk._replace(diagonal=home(x).xp.astype(walk.diagonal, x.dtype, copy=False))

    def prepared_block(self, prepared1: tuple[Inputs, Walk], prepared2: tuple[Inputs, Walk] | None) -> Array:
        (one, walk1), (two, walk2) = prepared1, prepared1 if prepared2 is None else prepared2
        program = self._program(one, two)
        start = program.between(one, None if prepared2 is None else two, self.kernel.is_ntk)
        block = program.run_change(start, walk1, walk2, self._direction, self.kernel.read)
        block = home(block).xp.astype(block, walk1.diagonal.dtype, copy=False)
        return with_diagonal(mirror(block), walk1.diagonal) if prepared2 is None else block

    def block_diagonal(self, x: Array) -> Array:
        return self.prepare(x)[1].diagonal

    @property
    def _direction(self) -> Direction:
        return Direction(**{self.name: 1.0})

    def _program(self, *batches: Inputs) -> Program:
        return self.program or self.kernel.fitted(*batches, margin=MARGIN)


INFINITE_KERNELS: dict[str, Callable[[Layer], Kernel]] = {"ntk": InfiniteNTK, "nngp": InfiniteNNGP}
"""By the words that options have for them."""
