"""Self-attention: every position of an input looks at all positions of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .._array.namespace import Array, home
from .._array.validate import count, nonnegative, one_of, positive
from ..infinite.attention import mixed, mixed_change, product, product_change
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from .contraction import Contraction
from .dense import Dense
from .embedding import PositionEmbedding
from .layer import Factors, Layer
from .mechanisms import MECHANISMS, weights_change, weights_of
from .parameters import Params, Tree, check_structure

__all__ = ["SelfAttention"]


class Tape(NamedTuple):
    """What a forward pass computed: positions P are one axis, and heads (N, heads, P, size) or (N, heads, P, P)."""

    shape: tuple[int, ...]
    seen: Array
    valued: Array
    query: Array
    key: Array
    value: Array
    scores: Array
    weights: Array
    mixed: Array


@dataclass(frozen=True)
class SelfAttention(Layer):
    """Global self-attention: (N, *positions, channels) to (N, *positions, width).

    Each head has queries q_p, keys k_p and values v_p, each a linear map of the input at the position p. Its output at p
    is the sum over all positions q of a(p, q) v_q, for weights a made from scores s(p, q) by the ``mechanism``: softmax
    over q, or entry by entry the score itself ("identity"), its positive part ("relu") or its size ("abs"). The outputs
    of all heads are the inputs of one more linear map, with a bias.

    There are two scalings, as in Hron et al. 2020. "linear": s = <q_p, k_q> / key_width, where queries and keys have the
    same weights. Without these being the same, scores would vanish in wide networks. "sqrt": s = <q_p, k_q> /
    sqrt(key_width), with weights of their own, as in most networks that are used.

    NTK parameterization: q = query_std / sqrt(n) W x for n channels, with W ~ N(0, 1); keys, values and outputs alike.
    Standard parameterization: W ~ N(0, query_std^2 / n), and no factor. Where queries and keys share their weights, these
    have the standard deviation sqrt(query_std key_std). Parameters are "query", "key", "value" and "output", with a
    "weight" and where there is one a "bias" each, as those of :class:`Dense`, and "position".

    In the infinite-width limit of linear scaling, scores within an input x are query_std key_std K_x for its covariances
    K_x(p, q), the weights A_x are fixed, and with s = (value_std output_std)^2 (Hron et al. 2020, section 3.1)

        K'(x, x') = s A_x K(x, x') A_x'^T + bias_std^2,  Theta' = s A_x Theta A_x'^T + 2 s A_x K A_x'^T + bias_std^2.

    The limit of square-root scaling is in closed form for the mechanism "identity" and infinitely many heads: with
    s = (query_std key_std value_std output_std)^2 (the same, theorem 3), summed over all pairs of positions,

        K'(p, p') = s K(p, p') sum_{q, q'} K(q, q')^2 + bias_std^2.

    For other mechanisms use a Monte Carlo kernel.

    Parameters
    ----------
    width : int
        Number of output channels.
    heads : int
    key_width, value_width : int, optional
        Numbers of channels of keys and of values in each head; by default width // heads, and at least 1.
    mechanism : "softmax", "identity", "relu" or "abs"
    scaling : "linear" or "sqrt"
    position_embedding : None, "sum" or "concat"
        Embeddings of positions, which are parameters: added to the channels of the inputs or put beside them.
    position_width : int, optional
        Number of channels of embeddings beside those of the inputs ("concat"), by default as many.
    position_std : float
        The standard deviation of embeddings.
    position_length : float, optional
        Embeddings at p and q have the correlation exp(-\\|p - q\\|^2 / position_length^2); without it they are independent.
    position_in_values : bool
        Whether values see the embeddings too, not queries and keys only.
    query_std, key_std, value_std, output_std : float
        As the weight_std of :class:`Dense`, positive.
    bias_std : float
        Of the last map; 0.0 means that there is no bias.
    parameterization : "ntk" or "standard"

    Raises
    ------
    ValueError, TypeError
        For numbers that are not positive, options of embeddings that are not used, and inputs without positions.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> attention = ntk.nn.SelfAttention(16, heads=2)
    >>> net = ntk.nn.Sequential(ntk.nn.Dense(16), attention, ntk.nn.GlobalAvgPool(), ntk.nn.Dense(1))
    >>> words = np.random.default_rng(0).normal(size=(3, 5, 8))
    >>> net(net.init(0, like=words), words).shape
    (3, 1)
    >>> ntk.InfiniteNTK(net)(words).shape
    (3, 3)
    """

    width: int
    heads: int = 1
    key_width: int | None = None
    value_width: int | None = None
    mechanism: str = "softmax"
    scaling: str = "linear"
    position_embedding: str | None = None
    position_width: int | None = None
    position_std: float = 1.0
    position_length: float | None = None
    position_in_values: bool = False
    query_std: float = 1.0
    key_std: float = 1.0
    value_std: float = 1.0
    output_std: float = 1.0
    bias_std: float = 0.0
    parameterization: str = "ntk"

    entrywise = False

    def __post_init__(self) -> None:
        each = max(count("width", self.width) // count("heads", self.heads), 1)
        checked: dict[str, Any] = {
            name: count(name, each if getattr(self, name) is None else getattr(self, name))
            for name in ("key_width", "value_width")
        }
        stds = ("query_std", "key_std", "value_std", "output_std", "position_std")
        checked |= {name: positive(name, getattr(self, name)) for name in stds}
        checked["bias_std"] = nonnegative("bias_std", self.bias_std)
        one_of("mechanism", self.mechanism, MECHANISMS)
        one_of("scaling", self.scaling, ("linear", "sqrt"))
        one_of("parameterization", self.parameterization, ("ntk", "standard"))
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self._check_positions()

    def _check_positions(self) -> None:
        """Refuse options of embeddings that would do nothing."""
        unused = {"position_width": None, "position_length": None, "position_in_values": False, "position_std": 1.0}
        given = [name for name, default in unused.items() if getattr(self, name) != default]
        if self.position_embedding is None:
            if given:
                raise ValueError(f'{given[0]} is given without embeddings: set position_embedding="sum" or "concat"')
            return
        one_of("position_embedding", self.position_embedding, ("sum", "concat"))
        if self.position_width is not None:
            if self.position_embedding == "sum":
                raise ValueError(
                    'position_width is for position_embedding="concat": added embeddings have the width of the inputs'
                )
            count("position_width", self.position_width)
        if self.position_length is not None:
            object.__setattr__(self, "position_length", positive("position_length", self.position_length))

    # ---- parts ------------------------------------------------------------------------------------------------------

    @property
    def tied(self) -> bool:
        """Whether queries and keys have the same weights, and so are the same."""
        return self.scaling == "linear"

    @property
    def parts(self) -> dict[str, Dense]:
        """The linear maps, each acting on every position by itself."""
        key_std = (self.query_std * self.key_std) ** 0.5 if self.tied else self.key_std
        keys, values = self.heads * self.key_width, self.heads * self.value_width  # type: ignore[operator]
        parts = {} if self.tied else {"query": Dense(keys, self.query_std, 0.0, self.parameterization)}
        return parts | {
            "key": Dense(keys, key_std, 0.0, self.parameterization),
            "value": Dense(values, self.value_std, 0.0, self.parameterization),
            "output": Dense(self.width, self.output_std, self.bias_std, self.parameterization),
        }

    @property
    def embedding(self) -> PositionEmbedding | None:
        """Of positions."""
        if self.position_embedding is None:
            return None
        standard = self.parameterization == "standard"
        return PositionEmbedding(
            self.position_embedding, self.position_width, self.position_std, self.position_length, standard
        )

    def _before(self, before: Signal) -> dict[str, Signal]:
        """The facts of what comes into each part."""
        positions, seen = before.shape[:-1], before.width
        if self.embedding is not None:
            seen = self.embedding.seen(before.width)
        valued = seen if self.position_in_values else before.width
        widths = {"query": seen, "key": seen, "value": valued, "output": self.parts["value"].width}
        return {name: before.to(shape=(*positions, widths[name])) for name in self.parts}

    @property
    def _score_scale(self) -> float:
        return 1.0 / self.key_width if self.tied else 1.0 / self.key_width**0.5  # type: ignore[operator]

    # ---- the finite network -------------------------------------------------------------------------------------

    @property
    def factor_count(self) -> int:
        return 1

    def factor_size(self, before: Signal, outputs: int) -> int:
        """Those of the parts, and cotangents of embeddings."""
        facts = self._before(before)
        total = sum(part.factor_size(facts[name], outputs) for name, part in self.parts.items())
        if self.embedding is None:
            return total
        return total + outputs * math.prod(before.shape[:-1]) * self.embedding.channels(before.width)

    def signal(self, before: Signal) -> Signal:
        """Gaussian and centred, because the last weights are."""
        if len(before.shape) < 2:
            raise ValueError(
                f"{self._name} needs inputs with positions, (N, *positions, channels); got (N, {before.width})"
            )
        degree = None
        if before.degree == 0:
            degree = 0.0
        elif before.degree is not None and not self.bias_std and self.mechanism != "softmax" and not self.embedding:
            # Weights are of degree 2 in the inputs, and values of degree 1.
            degree = 3 * before.degree
        after = before.to(shape=(*before.shape[:-1], self.width), gaussian=True, centred=True, degree=degree, wide=True)
        obstacle = self._obstacle(before)
        return after if before.obstacle is not None or obstacle is None else after.to(obstacle=obstacle)

    @property
    def _name(self) -> str:
        return f"SelfAttention({self.width}, heads={self.heads})"

    def _obstacle(self, before: Signal) -> str | None:
        """Why there is no limit; None where there is one."""
        if self.scaling == "sqrt" and self.mechanism != "identity":
            return (
                f'{self._name} has scaling="sqrt" and mechanism={self.mechanism!r}: its weights stay random at infinite '
                'width, and their mean has no closed form; use scaling="linear", mechanism="identity", or a Monte '
                "Carlo kernel"
            )
        if self.embedding is not None and not before.wide:
            return (
                f"{self._name} embeds positions among the {before.width} channels of the inputs, whose products with the "
                "embeddings vanish only where there are infinitely many channels: put a Dense layer before it, or use "
                "a Monte Carlo kernel"
            )
        return None

    def parameters(self, before: Signal) -> Tree:
        """Those of the embedding first and those of the output last."""
        self.signal(before)  # refuses inputs without positions
        facts = self._before(before)
        tree: dict[str, Tree] = {}
        if self.embedding is not None:
            tree["position"] = self.embedding.parameter(before.shape[:-1], before.width)
        return tree | {name: part.parameters(facts[name]) for name, part in self.parts.items()}

    def fits(self, params: Params) -> bool:
        """Whether parameters have the shapes of this layer, for some inputs."""
        try:
            positions, channels = (1,), params["value"]["weight"].shape[-1]
            if self.embedding is not None:
                *positions, embedded = params["position"].shape
                inside = self.position_in_values and self.position_embedding == "concat"
                channels -= embedded if inside else 0
            check_structure("params", params, self.parameters(Signal((*positions, channels))))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return False
        return True

    def forward(self, params: Params, x: Array) -> tuple[Array, Tape]:
        before = Signal(tuple(x.shape[1:]))
        check_structure(f"the parameters of {self._name}", params, self.parameters(before))
        xp, parts = home(x).xp, self.parts
        valued = xp.reshape(x, (x.shape[0], -1, x.shape[-1]))
        seen = valued if self.embedding is None else self.embedding.joined_to(valued, params["position"])
        valued = seen if self.position_in_values else valued
        key = self._split(parts["key"].forward(params["key"], seen)[0])
        query = key if self.tied else self._split(parts["query"].forward(params["query"], seen)[0])
        value = self._split(parts["value"].forward(params["value"], valued)[0])
        scores = self._score_scale * (query @ xp.matrix_transpose(key))
        weights = weights_of(self.mechanism, scores)
        mixed = self._merged(weights @ value)
        output = parts["output"].forward(params["output"], mixed)[0]
        tape = Tape(tuple(x.shape[1:]), seen, valued, query, key, value, scores, weights, mixed)
        return xp.reshape(output, (*x.shape[:-1], self.width)), tape

    def _split(self, x: Array) -> Array:
        """(..., P, heads * size) as (..., heads, P, size)."""
        split = home(x).xp.reshape(x, (*x.shape[:-1], self.heads, x.shape[-1] // self.heads))
        return _swapped(split)

    def _merged(self, x: Array) -> Array:
        """The reverse of :meth:`_split`."""
        merged = _swapped(x)
        return home(x).xp.reshape(merged, (*merged.shape[:-2], -1))

    def tangent(self, params: Params, tape: Tape, dx: Array, dparams: Params) -> Array:
        """The product rule, from values to outputs."""
        xp, parts = home(dx).xp, self.parts
        dvalued = xp.reshape(dx, (dx.shape[0], -1, dx.shape[-1]))
        dseen = dvalued if self.embedding is None else self.embedding.joined_to(dvalued, dparams["position"])
        dvalued = dseen if self.position_in_values else dvalued

        def moved(name: str, own: Array, change: Array) -> Array:
            return parts[name].tangent(params[name], own, change, dparams[name])

        dkey = self._split(moved("key", tape.seen, dseen))
        dquery = dkey if self.tied else self._split(moved("query", tape.seen, dseen))
        dvalue = self._split(moved("value", tape.valued, dvalued))
        turn = xp.matrix_transpose
        dscores = self._score_scale * (dquery @ turn(tape.key) + tape.query @ turn(dkey))
        dweights = weights_change(self.mechanism, tape.scores, tape.weights, dscores)
        dmixed = self._merged(dweights @ tape.value + tape.weights @ dvalue)
        output = moved("output", tape.mixed, dmixed)
        return xp.reshape(output, (dx.shape[0], *tape.shape[:-1], self.width))

    def backward(self, params: Params, tape: Tape, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Cotangents of outputs, values, weights, scores, keys and queries, in this order."""
        xp, parts, turn = home(delta).xp, self.parts, home(delta).xp.matrix_transpose
        found: dict[str, Any] = {}
        # Embeddings are parameters among the inputs.
        below = to_inputs or self.embedding is not None

        def pulled(name: str, own: Array, cotangents: Array, further: bool) -> Array:
            back, (found[name],) = parts[name].backward(params[name], own, cotangents, further)
            return back

        delta = xp.reshape(delta, (*delta.shape[:2], -1, self.width))
        heads = self._split(pulled("output", tape.mixed, delta, True))  # (N or 1, C, heads, P, value_width)
        query, key, value, scores, weights = (
            a[:, None, ...] for a in (tape.query, tape.key, tape.value, tape.scores, tape.weights)
        )
        of_scores = self._score_scale * weights_change(self.mechanism, scores, weights, heads @ turn(value))
        valued = pulled("value", tape.valued, self._merged(turn(weights) @ heads), below)
        if self.tied:
            seen = pulled("key", tape.seen, self._merged((of_scores + turn(of_scores)) @ key), below)
        else:
            seen = pulled("key", tape.seen, self._merged(turn(of_scores) @ query), below)
            queried = pulled("query", tape.seen, self._merged(of_scores @ key), below)
            seen = seen + queried if below else None
        if not below:
            return None, [found]
        if self.position_in_values:
            seen, valued = seen + valued, None
        if self.embedding is not None:
            seen, found["position"] = self.embedding.pulled_back(seen, tape.shape[:-1], tape.shape[-1])
        total = seen if valued is None else seen + valued
        return xp.reshape(total, (*total.shape[:2], *tape.shape)), [found]

    # ---- kernels and Jacobians from factors -----------------------------------------------------------------------

    def kernel_factors(self, factors: Factors) -> Factors:
        """Part by part; embeddings as rows."""
        (own,) = factors
        found = {name: part.kernel_factors([own[name]])[0] for name, part in self.parts.items()}
        if self.embedding is not None:
            e = own["position"]
            found["position"] = home(e).xp.reshape(e, (*e.shape[:2], -1))
        return [found]

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        (one,), (two,) = factors1, factors2
        for name, part in self.parts.items():
            part.gram([one[name]], [two[name]], contraction, trained[name])
        if self.embedding is not None and trained["position"]:
            contraction.add_products(one["position"], two["position"], 1.0)

    def expand(self, factors: Factors) -> Params:
        (own,) = factors
        found = {} if self.embedding is None else {"position": own["position"]}
        return found | {name: part.expand([own[name]]) for name, part in self.parts.items()}

    def pullback(self, factors: Factors) -> Params:
        (own,) = factors
        found = {}
        if self.embedding is not None:
            found["position"] = home(own["position"]).xp.sum(own["position"], axis=(0, 1))
        return found | {name: part.pullback([own[name]]) for name, part in self.parts.items()}

    # ---- infinite width -------------------------------------------------------------------------------------------

    @property
    def reads_within(self) -> bool:  # type: ignore[override]
        """Weights are made from the covariances within each input."""
        return self.scaling == "linear"

    def needs_every_pair(self, after: bool) -> bool:
        return True

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """Queries, keys and values as behind a Dense layer each, what attention makes of them, and a last Dense layer."""
        states, facts = self._limits(state, before), self._before(before)
        if self.scaling == "linear":
            mixed_states = mixed(states["value"], *self._weights(state, before))
        else:
            mixed_states = product(states["query"], states["key"], states["value"])
        return self.parts["output"].propagate(mixed_states, facts["output"])

    def _limits(self, state: Covariance, before: Signal) -> dict[str, Covariance]:
        """The states of queries, keys and values, as far as they are read."""
        sources, facts = self._sources(state, before), self._before(before)
        return {name: self.parts[name].propagate(source, facts[name]) for name, source in sources.items()}

    def _sources(self, state: Covariance, before: Signal, change: bool = False) -> dict[str, Covariance]:
        """The states, or the changes, of what queries, keys and values see."""
        plain = seen = state.bare()
        if self.embedding is not None:
            if change:
                seen = self.embedding.of_change(state, before.width)
            else:
                seen = self.embedding.of_state(state, before.shape[:-1], before.width)
        sources = {"value": seen if self.position_in_values else plain}
        # The weights of linear scaling do not depend on both inputs, nor are they trained at infinite width.
        return sources if self.scaling == "linear" else {"query": seen, "key": seen} | sources

    def _scores(self, state: Covariance, before: Signal, change: bool = False) -> tuple[Array, Array]:
        """The scores within each input of both batches, (N1, P, P) and (N2, P, P), or their changes with the state."""
        one, two = state.within()
        found = [one] if two is one else [one, two]
        if self.embedding is not None:
            if change:
                found = [self.embedding.shares(before.width)[0] * k for k in found]
            else:
                found = [self.embedding.within(k, before.shape[:-1], before.width) for k in found]
        found = [self.query_std * self.key_std * k for k in found]
        return found[0], found[-1]

    def _weights(self, state: Covariance, before: Signal) -> tuple[Array, Array]:
        """The weights within each input, from the scores."""
        one, two = self._scores(state, before)
        first = weights_of(self.mechanism, one)
        return first, first if two is one else weights_of(self.mechanism, two)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The derivative of each map, by the product rule."""
        states, facts, parts = self._limits(state, before), self._before(before), self.parts
        sources, moved = self._sources(state, before), self._sources(change, before, change=True)
        changes = {
            name: parts[name].propagate_tangent(source, moved[name], facts[name], direction)
            for name, source in sources.items()
        }
        if self.scaling == "linear":
            weights = self._weights(state, before)
            after = mixed(states["value"], *weights)
            of_weights = self._weights_changes(state, change, before, direction)
            moved_after = mixed_change(states["value"], changes["value"], weights, of_weights)
        else:
            after = product(states["query"], states["key"], states["value"])
            moved_after = product_change(*((states[name], changes[name]) for name in ("query", "key", "value")))
        return parts["output"].propagate_tangent(after, moved_after, facts["output"], direction)

    def _weights_changes(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> tuple[Array, Array]:
        """How the weights change with the covariances within each input, and with query_std key_std."""
        scores, changes = self._scores(state, before), self._scores(change, before, change=True)
        found = []
        for own, moved, weights in zip(scores, changes, self._weights(state, before), strict=True):
            total = moved + 2.0 * direction.log_weight_std * own
            found.append(weights_change(self.mechanism, own, weights, total))
        return found[0], found[1]

    @property
    def hyperparameters(self) -> frozenset[str]:
        return self.parts["output"].hyperparameters

    def rescaled(self, weight_std: float = 1.0, bias_std: float = 1.0) -> SelfAttention:
        """query_std, key_std, value_std and output_std multiplied by the first factor, bias_std by the second."""
        stds = {name: weight_std * getattr(self, name) for name in ("query_std", "key_std", "value_std", "output_std")}
        return replace(self, **stds, bias_std=bias_std * self.bias_std)


def _swapped(x: Array) -> Array:
    """With the two axes before the last one swapped."""
    n = x.ndim
    return home(x).xp.permute_dims(x, (*range(n - 3), n - 2, n - 3, n - 1))
