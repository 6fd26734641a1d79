"""Kernels of a network of finite width, from its explicit forward and backward passes."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._array.kinds import Kind, numbers
from .._array.linalg import inner
from .._array.namespace import Array, home, is_array, itemsize
from .._array.short import short
from .._array.validate import finite, one_of, real_array, same_home, unrecorded
from ..gram.threads import thread_count, workers
from ..gram.tiled import Costs, cuts, joined
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from ..infinite.taylor import Taylor, Terms
from ..nn.contraction import Contraction
from ..nn.layer import Factors, Layer, output_cotangents
from ..nn.parameters import Params, first_leaf, flatten, select, tree_map
from .base import Kernel
from .empirical_gradient import empirical_gradient
from .empirical_operators import observed, operated

__all__ = ["EmpiricalNNGP", "EmpiricalNTK"]

CHUNK = 2**24  # values and cotangents of inputs with positions that exist at once, at most


@dataclass(frozen=True)
class _Empirical(Kernel):
    net: Layer
    params: Params

    def costs(self, x1: Array, x2: Array | None) -> Costs:
        """Four arrays of the size of a block, and the factors of every layer with parameters."""
        here, before = home(x1), Signal(tuple(x1.shape[1:]))
        outputs = self.net.signal(before).width
        prepared = itemsize(here) * self._prepared(before, outputs)
        if self.kind == "scalar":
            return Costs(here, 1, 4 * itemsize(here), prepared)
        return Costs(here, outputs, 4 * itemsize(here) * numbers(self.kind, outputs), prepared)

    @abstractmethod
    def _prepared(self, before: Signal, outputs: int) -> int:
        """How many numbers are prepared for each input."""

    def __post_init__(self) -> None:
        if not isinstance(self.net, Layer):
            raise TypeError(
                f"net must be a network of ntk_array.nn, got {short(self.net)}; of a model of PyTorch "
                "ntk_array.torch.from_module makes one"
            )
        for name, parameter in flatten(self.params).items():
            # Plans are made for parameters of known shapes before any are drawn.
            if is_array(parameter):
                finite(f"the parameter {name}", parameter)

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        """The inputs, validated against the parameters too."""
        x1, x2 = super().validated(x1, x2)
        same_home(x1=x1, params=first_leaf(self.params))
        # Asked here, because a parameter may be set to require a gradient after the kernel was made.
        for name, parameter in flatten(self.params).items():
            unrecorded(f"the parameter {name}", parameter, "a detached copy, as from_module makes them")
        return x1, x2


@dataclass(frozen=True)
class EmpiricalNTK(_Empirical):
    """The neural tangent kernel of a finite network, Theta_{cc'}(x, x') = <J_c(x), J_c'(x')>.

    No Jacobian is formed: each layer with parameters contributes a product of two inner products, one over its
    inputs and one over its cotangents,
    Theta_{cc'}(x, x') = sum_l (sigma_w^2/n <h(x), h(x')> + sigma_b^2) <delta_c(x), delta_c'(x')>.

    Parameters
    ----------
    net : Layer
        The network; its output must be (N, C).
    params
        Its parameters.
    outputs : str
        "full": (N1, C, N2, C). "trace": the mean over outputs (1/C) sum_c Theta_cc, (N1, N2). "classwise": the C
        diagonal blocks, (C, N1, N2). "sum_of_logits": (1/C) sum_cc' Theta_cc', (N1, N2) (Mohamadi et al. 2023).
    trainable : str or sequence of str, optional
        Only these parameters: "last" for the last layer with parameters, or names such as "0.weight" or "2".

    Raises
    ------
    ValueError
        If the output is not (N, C), or ``trainable`` names no parameter.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(4, 3))
    >>> net = ntk.nn.mlp((32,), 2)
    >>> params = net.init(0, like=x)
    >>> ntk.EmpiricalNTK(net, params)(x).shape
    (4, 2, 4, 2)
    >>> ntk.EmpiricalNTK(net, params, outputs="trace", trainable="last")(x).shape
    (4, 4)
    """

    outputs: str = "full"
    trainable: str | Sequence[str] | None = None
    _trained: Params = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("outputs", self.outputs, ("full", "trace", "classwise", "sum_of_logits"))
        object.__setattr__(self, "_trained", select(self.params, self.trainable))

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """Scalar for "trace" and "sum_of_logits"."""
        return {"full": "full", "classwise": "classwise"}.get(self.outputs, "scalar")  # type: ignore[return-value]

    def prepare(self, x: Array) -> Factors:
        """The factors of blocks, from one forward and one backward pass over x (N, ...).

        Networks with positions are run on a few inputs at a time: cotangents at all positions of all layers are larger
        than what is kept of them.
        """
        if x.ndim == 2:
            return self._factors(x)
        steps = Steps(Signal(tuple(x.shape[1:])))
        self.net.unroll(steps, 0)
        outputs = 1 if self.outputs == "sum_of_logits" else steps.signals[-1].width
        inside = sum(step.layer.inner_size(step.signals[0]) for step in steps.steps)
        numbers_each = (2 + outputs) * (sum(math.prod(signal.shape) for signal in steps.signals) + inside)
        size = max(CHUNK // numbers_each, 1)
        chunks, parts = list(cuts(0, x.shape[0], size)), {}

        def run(chunk: slice) -> None:
            parts[chunk.start] = self._factors(x[chunk, ...])

        # Elementwise steps have one thread each, whatever matrix products have: so chunks share the processors. Where
        # tiles do so already, each product has one thread, and chunks have no more.
        with workers(min(thread_count(x, None), len(chunks))) as each:
            for _ in each(run, chunks):
                pass
        factors: Factors = joined([parts[chunk.start] for chunk in chunks], size)
        return factors

    def _factors(self, x: Array) -> Factors:
        f, tape = self.net.forward(self.params, x)
        delta = output_cotangents(f, self.outputs == "sum_of_logits")
        return self.net.kernel_factors(self.net.backward(self.params, tape, delta, False)[1])

    def _prepared(self, before: Signal, outputs: int) -> int:
        return self.net.factor_size(before, 1 if self.outputs == "sum_of_logits" else outputs)

    def prepared_block(self, prepared1: Factors, prepared2: Factors | None) -> Array:
        """One contraction a layer."""
        return self._contract(prepared1, prepared1 if prepared2 is None else prepared2)

    def block_diagonal(self, x: Array) -> Array:
        """The same contractions over the pairs (x_i, x_i) only."""
        factors = self.prepare(x)
        return self._contract(factors, factors, paired=True)

    def _contract(self, factors1: Factors, factors2: Factors, paired: bool = False) -> Array:
        # A sum of logits is one output, and the mean over it is its kernel.
        contraction = Contraction(self.kind, paired)
        self.net.gram(factors1, factors2, contraction, self._trained)
        return contraction.block

    def parameters(self, x: Array, coefficients: Array) -> Params:
        """theta_0 + J(x)^T c, the parameters at which the linearized network is f_0 + Theta(., x) c.

        With c = ``flow.advance(t).coefficients`` of a flow of this kernel on the sample x they are theta_t, the
        parameters that the flow has reached: ``Linearized(net, params)(theta_t, x_new)`` is ``flow.predict(x_new, t)``
        for f_0 = ``net.bind(params)``, and for f_0 = None the difference to ``net(params, x_new)`` is.

        Parameters
        ----------
        x : array (N, ...)
            The sample.
        coefficients : array (N, C)
            c, for each output of the network.

        Returns
        -------
        params
            In the structure of the network. Parameters that are not ``trainable`` are those of theta_0.

        Raises
        ------
        ValueError
            For a network of several outputs, unless the kernel is "full": no parameters have the others.

        Examples
        --------
        >>> import numpy as np, ntk_array as ntk
        >>> x = np.random.default_rng(0).normal(size=(4, 3))
        >>> net = ntk.nn.mlp((32,), 1, activation="tanh")
        >>> params = net.init(0, like=x)
        >>> cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x), np.sin(x[:, :1]))
        >>> K = ntk.EmpiricalNTK(net, params)
        >>> flow = ntk.dynamics.GradientFlow(K, cost, net.bind(params))
        >>> theta = K.parameters(x, flow.advance(3.0).coefficients)
        >>> bool(np.allclose(ntk.nn.Linearized(net, params)(theta, x + 1.0), flow.predict(x + 1.0, t=3.0)))
        True
        """
        x = self.validated(x, None)[0]
        c, shape = (
            real_array("coefficients", coefficients, like=x),
            (x.shape[0], self.net.signal(Signal(tuple(x.shape[1:]))).width),
        )
        if self.outputs != "full" and shape[1] > 1:
            raise ValueError(
                f'no parameters of the network have the kernel of outputs="{self.outputs}" for each of its {shape[1]} '
                'outputs: use outputs="full"'
            )
        if c.shape != shape:
            raise ValueError(f"coefficients has shape {tuple(c.shape)}; expected {shape}, as of a flow on these inputs")
        gradient = self.net.vjp(self.params, x, finite("coefficients", c))
        return tree_map(lambda p, g, keep: p + g if keep else p, self.params, gradient, self._trained)

    def input_gradient(self, x1: Array, x2: Array | None) -> Array:
        """Of scalar kernels of Dense layers and activations, by the tangents of both passes."""
        self._refuse_outputs("the gradient of EmpiricalNTK in its inputs")
        factors = self.prepare(x1 if x2 is None else x2)
        sum_of_logits = self.outputs == "sum_of_logits"
        return empirical_gradient(self.net, self.params, self._trained, x1, factors, sum_of_logits)

    def operated(self, first: Terms, second: Terms, x1: Array, x2: Array, paired: bool = False) -> Array:
        """Of scalar kernels of Dense layers and activations, by the gradients of (L f)(x) in the parameters."""
        self._refuse_outputs("what operators make of EmpiricalNTK")
        operators, sum_of_logits = (first, second), self.outputs == "sum_of_logits"
        return operated(self.net, self.params, self._trained, (x1, x2), operators, sum_of_logits, paired)

    def operated_arrays(self, order: int) -> int:
        """A few, of any order: derivatives are in the factors of the inputs, and a block is one contraction a layer."""
        return 8

    def operated_net(self, x: Array, terms: Terms) -> Array:
        return observed(self.net, self.params, x, terms)

    def taylor(self, x1: Array, x2: Array, orders: tuple[int, int], paired: bool = False) -> Taylor:
        raise TypeError(
            "what operators make of a product with an EmpiricalNTK is not known here: they take sums and multiples of "
            "it, and products of infinite-width kernels"
        )

    def _refuse_outputs(self, what: str) -> None:
        if self.kind != "scalar":
            raise TypeError(
                f'{what} is known for scalar kernels, not for {self.kind} ones: take outputs="trace" or "sum_of_logits"'
            )

    def product(self, x1: Array, x2: Array | None, v: Array) -> Array:
        """J(x1) J(x2)^T v: one backward pass over x2 and one tangent pass over x1 a column, no matrix."""
        xp = home(x1).xp
        f2, tape2 = self.net.forward(self.params, x1 if x2 is None else x2)
        tape1 = tape2 if x2 is None else self.net.forward(self.params, x1)[1]
        outputs = output_cotangents(f2).shape[1]

        def apply(u: Array) -> Array:
            gradient = self.net.vjp_from_tape(self.params, tape2, u)
            gradient = tree_map(lambda g, keep: g if keep else xp.zeros_like(g), gradient, self._trained)
            return self.net.tangent(self.params, tape1, xp.zeros_like(x1), gradient)

        if self.kind != "scalar" and v.shape[1] != outputs:
            raise ValueError(f"v has {v.shape[1]} columns, the kernel has {outputs} outputs")
        if self.kind == "full":
            return apply(v)
        units = home(f2).eye(outputs)
        if self.kind == "classwise":
            return xp.stack([apply(v * units[c, :])[:, c] for c in range(outputs)], axis=1)
        columns = []
        for k in range(v.shape[1]):
            column = v[:, k : k + 1]
            if self.outputs == "sum_of_logits":
                columns.append(xp.sum(apply(column + xp.zeros_like(f2)), axis=1) / outputs)
            else:
                columns.append(sum(apply(column * units[c, :])[:, c] for c in range(outputs)) / outputs)
        return xp.stack(columns, axis=1)


@dataclass(frozen=True)
class EmpiricalNNGP(_Empirical):
    """The products of a finite network's outputs, (1/C) f(x)^T f(x'), (N1, N2).

    Its mean over initializations tends to the NNGP kernel as the width grows. The kernel of training only the
    readout, which concentrates where this one does not for small C, is
    ``EmpiricalNTK(net, params, outputs="trace", trainable="last")``.

    Parameters
    ----------
    net : Layer
        The network; its output must be (N, C).
    params
        Its parameters.
    """

    def prepare(self, x: Array) -> Array:
        """The outputs of the network (N, C)."""
        f, _ = self.net.forward(self.params, x)
        output_cotangents(f)
        return f

    def _prepared(self, before: Signal, outputs: int) -> int:
        return outputs

    def prepared_block(self, prepared1: Array, prepared2: Array | None) -> Array:
        """One matrix product."""
        return inner(prepared1, prepared1 if prepared2 is None else prepared2) / prepared1.shape[1]

    def block_diagonal(self, x: Array) -> Array:
        """Mean squares of the outputs."""
        f = self.prepare(x)
        return home(f).xp.sum(f * f, axis=1) / f.shape[1]

    def input_gradient(self, x1: Array, x2: Array | None) -> Array:
        """(1/C) sum_c df_c(x)/dx f_c(x')."""
        xp, f = home(x1).xp, self.prepare(x1 if x2 is None else x2)
        slopes = self.net.input_jacobian(self.params, x1)
        rows = xp.reshape(slopes, (*slopes.shape[:2], -1))
        # (N1, M, C) times (C, N2), for M numbers of an input.
        products = xp.permute_dims(rows, (0, 2, 1)) @ (f.T / f.shape[1])
        return xp.reshape(xp.permute_dims(products, (0, 2, 1)), (x1.shape[0], f.shape[0], *x1.shape[1:]))
