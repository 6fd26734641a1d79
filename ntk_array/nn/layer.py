"""What a layer knows about itself: its finite behaviour, forward and backward, and its infinite-width limit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any, TypeVar

import numpy as np

from .._array.namespace import Array, Home, default_dtype, home, standard_namespace
from .._array.random import Seed, seed_sequence
from .._array.validate import count, inputs, real_array, same_home
from .._array.window import Window
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .contraction import Contraction
from .parameters import Params, Tree, check_structure, draw, first_leaf, flatten, tree_map

__all__ = ["Factors", "Layer", "output_cotangents"]

Self = TypeVar("Self", bound="Layer")
Factors = list[Any]
"""All that a batch contributes to gradients and kernels: one entry for each layer that has parameters."""


class Layer(ABC):
    """A network, or a part of one: an immutable description, into which parameters are passed.

    Descriptions are values: those that are equal are interchangeable. So one object that occurs twice in a network
    stands for two layers, each with parameters of its own. No weights are shared.

    A subclass implements the hooks below; everything else follows from them. Cotangents are (N, C, ...), one for each
    output of each input, and may have length 1 along N where they are the same for every input. Nobody writes into
    cotangents that are handed in: where branches meet, others hold the same array.
    """

    # ---- what a layer implements -------------------------------------------------------------------------------

    @abstractmethod
    def signal(self, before: Signal) -> Signal:
        """The facts of the outputs, for those of the inputs. ValueError for shapes that the layer cannot take."""

    def parameters(self, before: Signal) -> Tree:
        """A ``Parameter`` for each name, in the order in which they are drawn; none unless a layer says so."""
        del before
        return {}

    def fits(self, params: Params) -> bool:
        """Whether parameters have the shapes of this layer for some inputs, as far as the layer knows."""
        del params
        return True

    @abstractmethod
    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        """The output (N, ...), and the tape that backward and tangent need."""

    @abstractmethod
    def backward(self, params: Params, tape: Any, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Cotangents pulled back to the inputs, and the factors of this layer's parameters.

        Where nothing below has parameters the factors are all that is wanted: with ``to_inputs=False`` the first
        result is not used and may be None.
        """

    @abstractmethod
    def tangent(self, params: Params, tape: Any, dx: Array, dparams: Params) -> Array:
        """The push-forward of a change of inputs and parameters."""

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """The infinite-width limit: covariances and NTK in, covariances and NTK out.

        The variances of the result are not read: they are those of each batch walked by itself. A layer without a limit
        says why in the ``obstacle`` of its signal.
        """
        raise TypeError(f"{self!r} does not give its infinite-width limit")

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The change of the infinite-width limit, for a state that changes and hyper-parameters along a direction."""
        raise TypeError(f"{self!r} does not give the derivative of its infinite-width limit")

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Those of "log_weight_std" and "log_bias_std" that the infinite-width limit depends on."""
        return frozenset()

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> Layer:
        """The same layer with its weight_std and bias_std multiplied by factors."""
        del weight_std, bias_std
        return self

    def sampled(self, rng: Seed) -> Layer:
        """The layer with random numbers for what it does at random in training, as :class:`Dropout` does.

        With a seed it draws the same for every batch of one shape, with a Generator anew in each forward pass.
        """
        del rng
        return self

    frozen: frozenset[str] = frozenset()
    """The parameters of the layer that are not trained: the limit adds no share of theirs to Theta."""
    can_freeze: bool = False
    """Whether the limit leaves out the shares of ``frozen`` parameters, as that of a layer with parameters should."""

    def training(self: Self, trained: Params) -> Self:
        """The layer whose Theta at infinite width is that of these parameters only: True or False for each."""
        names = frozenset(name for name, kept in flatten(trained).items() if not kept)
        if not names:
            return self
        if not self.can_freeze:
            raise TypeError(
                f"{self!r} does not give the share of some of its parameters in Theta at infinite width: train all of "
                "them, or let its limit leave out those in self.frozen and set can_freeze"
            )
        changed = copy(self)
        object.__setattr__(changed, "frozen", names)
        return changed

    def on(self, batch: Any) -> Layer:
        """The layer for this batch of packed inputs, where it reads them as :class:`Aggregate` reads graphs."""
        del batch
        return self

    @property
    def factor_count(self) -> int:
        """How many entries backward adds to the factors; a layer without parameters adds none."""
        return 0

    def factor_size(self, before: Signal, outputs: int) -> int:
        """How many numbers :meth:`kernel_factors` of one input are, at most, for cotangents of so many outputs."""
        del before, outputs
        return 0

    def inner_size(self, before: Signal) -> int:
        """How many numbers a forward pass makes of one input inside the layer, beside its outputs."""
        del before
        return 0

    def kernel_factors(self, factors: Factors) -> Factors:
        """Factors in the form that makes blocks of a kernel cheapest; what ``gram`` takes."""
        return factors

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        """Add the trained parameters' share of an empirical NTK block to the contraction."""
        del factors1, factors2, contraction, trained

    def expand(self, factors: Factors) -> Params:
        """The explicit Jacobian, each parameter (N, C, *its shape), in the structure of the parameters."""
        del factors
        return {}

    def pullback(self, factors: Factors) -> Params:
        """J^T u for factors of one cotangent u (N, 1, C), summed over the inputs."""
        del factors
        return {}

    # ---- a layer as a step of an infinitely wide network: see infinite/program.py; combinators differ ------------

    numerical: bool = False
    """Whether the infinite-width limit needs numerical integrals, which are tabulated."""
    tabulated: bool = False
    """Whether tables serve for any range of standard deviations, and not for a single one only."""
    kinked: bool = False
    """Whether the kernel has a kink where two inputs have an angle of 0, so that small angles must be exact."""
    reads_gap: bool = False
    """Whether the limit needs the variance of a difference beyond what covariances say of it; see Covariance."""
    reads_within: bool = False
    """Whether the limit needs the covariances between all positions of each input by itself, as attention does."""
    reads_inputs: bool = False
    """Whether the limit reads the inputs themselves, such as the edges of graphs."""
    entrywise: bool = True
    """Whether the limit acts on each pair of positions by itself."""
    window: Window | None = None
    """Of a layer whose values are independent sums over windows of positions, as those of a convolution."""
    pools: Window | None = None
    """Of a layer whose values are sums over windows of values that depend on one another, as those of pooling."""
    averages: str | None = None
    """"every" for a mean over all pairs of positions, "each" for one over each position with itself, and else None."""
    nonnegative: bool = False
    """Whether no value is negative, so that no covariance behind the layer is."""
    noisy: bool = False
    """Whether kernels are about random values of each input, so that an input differs from its copy."""
    quadrature_error: float = 0.0
    """The estimated relative error of its table."""

    def needs_every_pair(self, after: bool) -> bool:
        """Whether the limit needs covariances between every pair of positions of its inputs, given whether those of its
        outputs are needed. A layer that mixes positions says so; one that acts on each pair by itself does not."""
        return after

    def unroll(self, steps: Steps, place: int) -> int:
        """Append what the layer does to the values at a place; the place of its outputs."""
        return steps.add(self, [place], self.signal(steps.signals[place]))

    def arrangement(self) -> tuple[Layer | None, Layer]:
        """The layer that says how inputs are laid out, if the network starts with one, and the network behind it."""
        return None, self

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        """:meth:`propagate` for the one state that a layer acts on."""
        return self.propagate(states[0], signals[0])

    def limit_sine(self, states: Sequence[Covariance], after: Covariance) -> Array | None:
        """The sine of the angle behind the layer, where ``limit`` gives none and its result has its variances."""
        del states
        return after.sine

    def versines(self, h: Array, g: Array | None, itemsize: int) -> tuple[Array, Array, Array] | None:
        """1 - cos and 1 + cos of the angle behind the layer and the slope of its dual, all without loss of digits, from
        1 - cos = h and 1 + cos = g before it; None where a layer does not know. For numbers of ``itemsize`` bytes.
        g is None where the covariance before the layer is known not to be negative.

        For layers whose dual keeps ratios of norms; it is another, quicker way to :meth:`limit`.
        """
        del h, g, itemsize
        return None

    def limit_turn(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], after: Covariance, change: Covariance
    ) -> Array | None:
        """The change of the angle behind the layer, where ``limit_change`` gives none: ``change`` is its result."""
        del states, changes, after
        return change.turn

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        """:meth:`propagate_tangent` for the one state that a layer acts on."""
        return self.propagate_tangent(states[0], changes[0], signals[0], direction)

    def limit_taylor(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        """:meth:`limit` of covariances that are polynomials, see ``infinite/taylor.py``.

        Layers whose limit consists of sums and products of covariances take it as it is.
        """
        del states, signals
        raise ValueError(
            f"second derivatives of kernels in the inputs are not known through {self!r}: use Dense layers, smooth "
            "activations, and Sum, Residual, Product or Concatenate of these"
        )

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        """The mean over features (N,) at states of pairs, of values that are not centred."""
        raise TypeError(f"{self!r} does not give the mean of its values at infinite width, which a sum asks for")

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        """How that mean changes with the states."""
        raise TypeError(f"{self!r} does not give the derivative of its mean at infinite width, which a sum asks for")

    def asks_for_means(self, signals: Sequence[Signal]) -> bool:
        """Whether the limit depends on means over features, for inputs with these facts."""
        del signals
        return False

    def fitted(self, smallest: float, largest: float) -> Layer:
        """The layer with a table for standard deviations in this range, where it is numerical."""
        del smallest, largest
        return self

    def untabulated(self) -> Layer:
        """The layer for inputs with themselves, of any variance: without the table of :meth:`fitted`."""
        return self

    # ---- what users call ---------------------------------------------------------------------------------------

    def init(
        self,
        seed: Seed,
        *,
        like: Array | None = None,
        input_shape: int | tuple[int, ...] | None = None,
        xp: Any = None,
        device: Any = None,
        dtype: Any = None,
    ) -> Params:
        """Draw initial parameters: W, b ~ N(0, 1) in the NTK parameterization.

        The draws are made on the host in float64 from one stream a layer, then cast and moved, so that the same
        seed gives the same network on every library and device.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            A Generator is advanced: the next call draws another network.
        like : array (N, ...), optional
            Inputs: their shape, library, device and dtype (integers: the library's default float) are taken over.
        input_shape : int or tuple of int, optional
            The number of features or the shape of one input, in place of ``like``; then ``xp`` (an array library
            such as numpy, the default, or torch), ``device`` and ``dtype`` say where the parameters live.

        Returns
        -------
        params
            Nested tuples and dictionaries of arrays, in the structure of the network.

        Examples
        --------
        >>> import ntk_array as ntk
        >>> net = ntk.nn.mlp((8,), 2, activation="relu")
        >>> params = net.init(0, input_shape=3)
        >>> params[0]["weight"].shape
        (8, 3)
        """
        if (like is None) == (input_shape is None):
            raise ValueError("give either like= (inputs to take shape, library and dtype from) or input_shape=")
        if like is not None:
            like = inputs("like", like)
            shape, place = tuple(like.shape[1:]), home(like)
        else:
            shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape or ())
            shape = tuple(count("input_shape", size) for size in shape)
            xp = standard_namespace(np if xp is None else xp)
            place = Home(xp, default_dtype(xp, device), device)
        if dtype is not None:
            place = place._replace(dtype=dtype)
        # Facts first: a network that does not fit is refused before anything is drawn.
        before = Signal(shape)
        self.signal(before)  # refuses shapes that a layer cannot take
        return tree_map(place.asarray, draw(self.parameters(before), seed_sequence(seed)))

    def __call__(self, params: Params, x: Array, rng: Seed | None = None) -> Array:
        """The output of the network at inputs (N, ...); with ``rng``, a seed or a Generator, of :meth:`sampled`."""
        net = self if rng is None else self.sampled(rng)
        return net.forward(params, self.checked(params, x))[0]

    def bind(self, params: Params) -> Callable[[Array], Array]:
        """The network with these parameters as a function x -> f(x)."""
        return partial(self, params)

    def jacobian(self, params: Params, x: Array) -> Params:
        """The explicit Jacobian, in the structure of the parameters.

        Each parameter of shape s gets an array (N, C, *s): d f_c(x_i) / d parameter, from one forward and one
        backward pass written by hand, layer by layer.
        """
        x = self.checked(params, x)
        f, tape = self.forward(params, x)
        return self.expand(self.backward(params, tape, output_cotangents(f), False)[1])

    def input_jacobian(self, params: Params, x: Array) -> Array:
        """The derivatives of the outputs in the inputs, (N, C, *shape of an input): d f_c(x_i) / d x_i.

        From one forward and one backward pass written by hand, layer by layer; at a kink of an activation, with its
        derivative from the left.

        Examples
        --------
        >>> import numpy as np, ntk_array as ntk
        >>> net = ntk.nn.mlp((16,), 2, activation="tanh")
        >>> x = np.ones((5, 3))
        >>> net.input_jacobian(net.init(0, like=x), x).shape
        (5, 2, 3)
        """
        x = self.checked(params, x)
        f, tape = self.forward(params, x)
        slopes, _ = self.backward(params, tape, output_cotangents(f))
        # Of a network that is linear they are the same for all inputs, and have length 1 along N.
        return home(x).xp.broadcast_to(slopes, (x.shape[0], *slopes.shape[1:]))

    def jvp(self, params: Params, dparams: Params, x: Array) -> Array:
        """J dparams (N, C): the change of the output for a small change of the parameters, per unit."""
        x = self.checked(params, x)
        check_structure("dparams", dparams, params)
        _, tape = self.forward(params, x)
        return self.tangent(params, tape, home(x).xp.zeros_like(x), dparams)

    def vjp(self, params: Params, x: Array, u: Array) -> Params:
        """J^T u for u (N, C), in the structure of the parameters: sum over i, c of u_ic d f_c(x_i) / d parameter."""
        f, pull = self.forward_and_pullback(params, self.checked(params, x))
        u = real_array("u", u, like=f)
        same_home(x=f, u=u)
        if u.shape != f.shape:
            raise ValueError(f"u has shape {tuple(u.shape)}; expected the output's, {tuple(f.shape)}")
        return pull(u)

    # ---- what the rest of the package calls, after validation ----------------------------------------------------

    def forward_and_pullback(self, params: Params, x: Array) -> tuple[Array, Callable[[Array], Params]]:
        """The output f(x) (N, C) and the function u (N, C) -> J^T u, which shares its tape."""
        f, tape = self.forward(params, x)
        return f, lambda u: self.vjp_from_tape(params, tape, u)

    def vjp_from_tape(self, params: Params, tape: Any, u: Array) -> Params:
        """J^T u for u (N, C), from the tape of a forward pass."""
        # One cotangent for each input: the axis of outputs has length 1.
        return self.pullback(self.backward(params, tape, u[:, None, ...], False)[1])

    def checked(self, params: Params, x: Array) -> Array:
        """Inputs (N, ...), validated, of the library, device and dtype of the parameters."""
        x = inputs("x", x)
        same_home(x=x, params=first_leaf(params))
        return x


def output_cotangents(f: Array, sum_of_logits: bool = False) -> Array:
    """The cotangents that start a backward pass at outputs f (N, C): the identity, (1, C, C).

    For the sum of logits, sum_c f_c / sqrt(C), they are (1, 1, C).
    """
    if f.ndim != 2:
        raise ValueError(
            f"the network's output has shape {tuple(f.shape)}; kernels and Jacobians need (N, C): "
            "end the network with a Dense layer, behind Flatten or GlobalAvgPool where there are positions"
        )
    place, outputs = home(f), f.shape[1]
    if sum_of_logits:
        ones = place.xp.ones((1, 1, outputs), dtype=place.dtype, device=place.device)
        # The factor makes the variance of the sum that of one logit.
        return ones / outputs**0.5
    return place.eye(outputs)[None, :, :]
