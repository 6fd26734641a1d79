"""Kernels between what differential operators make of a function: observations of derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._array.linalg import mirror, with_diagonal
from .._array.namespace import Array, home, index_dtype, itemsize, to_host
from .._array.validate import real_array, same_home
from ..gram.tiled import Costs
from ..kernels.base import Kernel, only_kernels
from .differential import Operator

__all__ = ["OperatorKernel"]

PASS_BYTES = 2**28
"""What the derivatives of a few inputs take at every layer, about; more inputs come in parts."""


class _Observed(NamedTuple):
    """Rows taken apart: the number of the operator of each, which says what is computed, is on the host."""

    numbers: np.ndarray
    points: Array

    @classmethod
    def of(cls, rows: Array) -> _Observed:
        return cls(to_host(rows[:, 0]), rows[:, 1:])


@dataclass(frozen=True)
class OperatorKernel(Kernel):
    """The kernel of observations L_i u (x): k((i, x), (j, x')) = L_i^x L_j^x' K(x, x').

    For a Gaussian process u with the covariance K it is the covariance of these observations, and regression on it
    finds the u of least norm with the observed derivatives (Wendland 2005, chapter 16: symmetric collocation). It takes
    part in ``ntk.dynamics`` like any kernel. Its inputs are rows (i, x) that :meth:`rows` makes.

    Parameters
    ----------
    kernel : Kernel
        ``InfiniteNTK`` or ``InfiniteNNGP`` of a network of Dense layers and smooth activations, with
        ``Sum``, ``Residual``, ``Product`` or ``Concatenate``, and products of such kernels; scalar ``EmpiricalNTK`` of
        Dense layers and smooth activations; sums and multiples of all these. The last one is the NTK of a
        physics-informed network: <d L_i f(x) / d theta, d L_j f(x') / d theta> (Wang, Yu, Perdikaris 2022, Lemma 3.1).
    operators : Operator or sequence of Operator
        What is observed: ``Value()``, ``Derivative(axis)``, ``Laplacian()`` and sums of their multiples.

    Raises
    ------
    TypeError
        For other kernels, when values are asked for.
    ValueError
        If an activation has kinks, or a layer no second derivatives that are known, or inputs have positions.

    Examples
    --------
    -u'' = f on an interval, with u = 0 at both ends:

    >>> import numpy as np, ntk_array as ntk
    >>> from ntk_array.operators import Laplacian, OperatorKernel, Value
    >>> net = ntk.nn.mlp((1,), 1, activation="sin", weight_std=2.0, bias_std=1.0)
    >>> K = OperatorKernel(ntk.InfiniteNTK(net), (Value(), -Laplacian()))
    >>> ends, inside = np.asarray([[-1.0], [1.0]]), np.linspace(-0.9, 0.9, 10)[:, None]
    >>> f = np.pi**2 * np.sin(np.pi * inside[:, 0])
    >>> u = ntk.dynamics.GaussianProcess(K, K.rows(ends, inside), np.concatenate([[0.0, 0.0], f]), noise=1e-8)
    >>> float(abs(u.predict(K.rows(inside)).mean - np.sin(np.pi * inside[:, 0])).max()) < 1e-3
    True
    """

    kernel: Kernel
    operators: tuple[Operator, ...]
    inputs_are = "rows (number of the operator, point)"

    def __init__(self, kernel: Kernel, operators: Operator | Sequence[Operator]) -> None:
        operators = (operators,) if isinstance(operators, Operator) else tuple(operators)
        only_kernels("kernel", kernel)
        for operator in operators:
            if not isinstance(operator, Operator):
                raise TypeError(f"operators must be made of Value(), Derivative(...) and Laplacian(), got {operator!r}")
        if not operators:
            raise ValueError("operators is empty; give at least one, such as Value()")
        object.__setattr__(self, "kernel", kernel)
        object.__setattr__(self, "operators", operators)

    def rows(self, *batches: Array | None) -> Array:
        """The inputs of this kernel for points where operators are observed.

        Parameters
        ----------
        *batches : array (N_i, d) or None
            Points for each operator in order; None, or an end that is left out, for no points.

        Returns
        -------
        array (sum N_i, 1 + d)
            The number of the operator and the point, in the order of the batches.
        """
        if len(batches) > len(self.operators):
            raise ValueError(f"rows got {len(batches)} batches of points for {len(self.operators)} operators")
        given = {i: real_array(f"batches[{i}]", x) for i, x in enumerate(batches) if x is not None}
        if not given:
            raise ValueError("rows got no points")
        same_home(**{f"batches[{i}]": x for i, x in given.items()})
        for i, x in given.items():
            if x.ndim != 2 or x.shape[1] != next(iter(given.values())).shape[1]:
                raise ValueError(
                    f"batches[{i}] has shape {tuple(x.shape)}; points are (N, d), with one d for all batches"
                )
        xp = home(*given.values()).xp
        return xp.concat([xp.concat([xp.full_like(x[:, :1], float(i)), x], axis=1) for i, x in given.items()])

    def observed(self, x: Array) -> Array:
        """L_i f(x) of the finite network f of the kernel: the ``f0`` of flows that start from it.

        Parameters
        ----------
        x : array (N, 1 + d)
            Rows, as :meth:`rows` makes them.

        Returns
        -------
        array (N, C)
            For each output of the network.

        Raises
        ------
        TypeError
            Unless the kernel is an ``EmpiricalNTK``: others are of no network in particular.

        Examples
        --------
        >>> import numpy as np, ntk_array as ntk
        >>> from ntk_array.operators import Derivative, OperatorKernel
        >>> x = np.random.default_rng(0).normal(size=(4, 3))
        >>> net = ntk.nn.mlp((32,), 1, activation="tanh")
        >>> params = net.init(0, like=x)
        >>> K = OperatorKernel(ntk.EmpiricalNTK(net, params, outputs="trace"), Derivative(1))
        >>> bool(np.allclose(K.observed(K.rows(x)), net.input_jacobian(params, x)[..., 1]))
        True
        """
        x = self.validated(x, None)[0]
        rows = _Observed.of(x)
        return self._each(
            rows, lambda operator, points: self.kernel.operated_net(points, operator.along(points.shape[1]))
        )

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """Rows, whose first number is that of an operator."""
        x1, x2 = super().validated(x1, x2)
        for name, x in (("x1", x1), ("x2", x2)):
            if x is None:
                continue
            if x.ndim != 2 or x.shape[1] < 2:
                raise ValueError(f"{name} has shape {tuple(x.shape)}; inputs of this kernel are made by its rows()")
            found = to_host(x[:, 0])
            if not np.isin(found, np.arange(len(self.operators))).all():
                raise ValueError(
                    f"the first column of {name} must hold numbers of operators, from 0 to {len(self.operators) - 1}: "
                    "make inputs of this kernel by its rows()"
                )
        # The kernel refuses points that it cannot take: of another library or dtype than the parameters of a network.
        self.kernel.validated(x1[:, 1:], None if x2 is None else x2[:, 1:])
        return x1, x2

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> OperatorKernel:
        return OperatorKernel(self.kernel.rescaled(weight_std, bias_std), self.operators)

    def derivative(self, name: str) -> Kernel:
        raise TypeError(
            f"the derivative in {name} of what operators make of a kernel is not known here: compare rescaled "
            "kernels, by the marginal likelihood for instance"
        )

    def net_with_other_outputs(self, x: Array) -> Any:
        return self.kernel.net_with_other_outputs(x[:, 1:])

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """What the kernel holds for a block, and for each input its derivatives along all directions, which a finite
        network has forward and backward."""
        return self._costs(x1[:, 1:], None if x2 is None else x2[:, 1:])

    def _costs(self, x1: Array, x2: Array | None) -> Costs:
        """The same for points."""
        size, d = itemsize(home(x1)), x1.shape[1]
        entry = size * self.kernel.operated_arrays(max(operator.order for operator in self.operators))
        parts = max(1 + sum(along.order for _, along in operator.along(d)) for operator in self.operators)
        own = self.kernel.costs(x1, x2)
        return Costs(home(x1), 1, entry, size * (d + 1) + 3 * parts * own.input // 2)

    def prepare(self, x: Array) -> _Observed:
        """The numbers are read once, and not for each block."""
        return _Observed.of(x)

    def prepared_block(self, prepared1: _Observed, prepared2: _Observed | None) -> Array:
        """A block for each pair of operators."""
        ones = self._groups(prepared1)
        twos = ones if prepared2 is None else self._groups(prepared2)
        xp, blocks = home(prepared1.points).xp, dict[tuple[int, int], Array]()
        for i, (one, _, x1) in enumerate(ones):
            for j, (two, _, x2) in enumerate(twos):
                # A kernel is symmetric: the blocks below the diagonal are those above it.
                mirrored = prepared2 is None and j < i
                blocks[i, j] = blocks[j, i].T if mirrored else self._values(one, two, x1, x2, paired=False)
        block = xp.concat([xp.concat([blocks[i, j] for j in range(len(twos))], axis=1) for i in range(len(ones))])
        block = xp.take(block, _places(block, ones), axis=0)
        block = xp.take(block, _places(block, twos), axis=1)
        return with_diagonal(mirror(block), self._diagonal(prepared1)) if prepared2 is None else block

    def block_diagonal(self, x: Array) -> Array:
        return self._diagonal(_Observed.of(x))

    def _diagonal(self, rows: _Observed) -> Array:
        return self._each(rows, lambda operator, points: self._values(operator, operator, points, points, paired=True))

    def _each(self, rows: _Observed, values: Callable[[Operator, Array], Array]) -> Array:
        """Values of points where one operator is observed, for all rows, some points at a time."""
        groups, size = self._groups(rows), max(PASS_BYTES // self._costs(rows.points, None).input, 1)
        parts = [
            values(operator, points[i : min(i + size, points.shape[0]), :])
            for operator, _, points in groups
            for i in range(0, points.shape[0], size)
        ]
        found = home(rows.points).xp.concat(parts)
        return home(found).xp.take(found, _places(found, groups), axis=0)

    def _groups(self, rows: _Observed) -> list[tuple[Operator, np.ndarray, Array]]:
        """The operators that occur, the numbers of their rows, and their points."""
        here, groups = home(rows.points), []
        for i, operator in enumerate(self.operators):
            at = np.flatnonzero(rows.numbers == i)
            if len(at):
                index = here.xp.asarray(at, dtype=index_dtype(here.xp, here.device), device=here.device)
                groups.append((operator, at, here.xp.take(rows.points, index, axis=0)))
        return groups

    def _values(self, first: Operator, second: Operator, x1: Array, x2: Array, paired: bool) -> Array:
        """L^x L'^x' K between two batches, or for the pairs (x_i, x'_i)."""
        one = first.along(x1.shape[1])
        two = one if second is first else second.along(x1.shape[1])
        return self.kernel.operated(one, two, x1, x2, paired)


def _places(like: Array, groups: Sequence[tuple[Operator, np.ndarray, Array]]) -> Array:
    """Where each row is found behind the groups one after another, on the device of an array."""
    here = home(like)
    places = np.argsort(np.concatenate([at for _, at, _ in groups]), kind="stable")
    return here.xp.asarray(places, dtype=index_dtype(here.xp, here.device), device=here.device)
