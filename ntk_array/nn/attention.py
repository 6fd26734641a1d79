"""Self-attention: every position of an input looks at all positions of it."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .._array.namespace import Array, home
from .._array.validate import count, nonnegative, one_of, positive
from ..infinite.signal import Signal
from .attention_limit import AttentionLimit
from .contraction import Contraction
from .dense import Dense
from .embedding import PositionEmbedding
from .heads import MECHANISMS, Heads, merged, split
from .layer import Factors
from .parameters import Params, Tree, check_structure

__all__ = ["SelfAttention"]


class Tape(NamedTuple):
    """The shape of an input, and what a forward pass computed, with one axis of positions."""

    shape: tuple[int, ...]
    seen: Array
    valued: Array
    heads: Heads
    mixed: Array


@dataclass(frozen=True)
class SelfAttention(AttentionLimit):
    r"""Global self-attention: (N, *positions, channels) to (N, *positions, width).

    Each head has queries q_p, keys k_p and values v_p, which are linear maps of the input at the position p. Its output
    at p is sum_q a(p, q) v_q over all positions q. The ``mechanism`` makes the weights a from scores s(p, q): by a
    softmax over q, or entry by entry as the score itself ("identity"), its positive part ("relu") or its absolute value
    ("abs"). The outputs of all heads together go through one more linear map, with a bias.

    There are two scalings (Hron et al. 2020). "sqrt" is that of most networks in use: s = <q_p, k_q> / sqrt(key_width).
    "linear" is s = <q_p, k_q> / key_width, where queries and keys have the same weights, because scores would vanish in
    wide networks otherwise.

    NTK parameterization: q = query_std / sqrt(n) W x for n channels, with W ~ N(0, 1); keys, values and outputs alike.
    Standard parameterization: W ~ N(0, query_std^2 / n), and no factor. Where queries and keys have the same weights,
    sqrt(query_std key_std) takes the place of both. Parameters are "position", "query", "key", "value" and "output";
    the last four hold a "weight", and a "bias" where there is one, as :class:`Dense` does.

    In the infinite-width limit of linear scaling the scores within an input x are query_std key_std K_x, for its
    covariances K_x(p, q). The weights A_x are fixed, and with s = (value_std output_std)^2

        K'(x, x') = s A_x K(x, x') A_x'^T + bias_std^2,  Theta' = s A_x Theta A_x'^T + 2 s A_x K A_x'^T + bias_std^2.

    The limit of square-root scaling is in closed form for "identity", for infinitely many heads. Summed over all pairs
    of positions, with s = (query_std key_std value_std output_std)^2,

        K'(p, p') = s K(p, p') sum_{q, q'} K(q, q')^2 + bias_std^2,

    and Theta' follows by the product rule. Other mechanisms have Monte Carlo kernels only. Embeddings of positions have
    a covariance of their own, which is added to K ("sum"), or the mean of the two is taken, weighted by their channels
    ("concat"). For that the layer needs inputs that are wide themselves.

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
        The standard deviation of embeddings. It is no weight_std: :meth:`rescaled` leaves it alone.
    position_length : float, optional
        Embeddings at p and q have the correlation exp(-\|p - q\|^2 / position_length^2), where neighbours have distance
        1. By default they are independent.
    position_in_values : bool
        Whether values see the embeddings too, not queries and keys only. Where they do not and embeddings are
        independent, infinite-width kernels do not tell the order of positions.
    query_std, key_std, value_std, output_std : float
        As the weight_std of :class:`Dense`, positive.
    bias_std : float
        Of the last map; 0.0 means that there is no bias.
    parameterization : "ntk" or "standard"
    input_bias_std : float
        Of queries, keys and values, as networks trained elsewhere have biases there; 0.0 means that there are none.
        With them there is no infinite-width limit.

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

    References
    ----------
    Hron et al. 2020, "Infinite attention: NNGP and NTK for deep attention networks", sections 3 and 4.
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
    input_bias_std: float = 0.0

    seen: ClassVar[Array | None] = None
    """Which positions of a batch, (N, 1, 1, P), are looked at, in a layer that was made for a batch: see
    :meth:`looking_at`."""

    def __post_init__(self) -> None:
        each = max(count("width", self.width) // count("heads", self.heads), 1)
        checked: dict[str, Any] = {
            name: count(name, each if getattr(self, name) is None else getattr(self, name))
            for name in ("key_width", "value_width")
        }
        stds = ("query_std", "key_std", "value_std", "output_std", "position_std")
        checked |= {name: positive(name, getattr(self, name)) for name in stds}
        checked |= {name: nonnegative(name, getattr(self, name)) for name in ("bias_std", "input_bias_std")}
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
            object.__setattr__(self, "position_width", count("position_width", self.position_width))
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
        inner = (self.input_bias_std, self.parameterization)
        parts = {} if self.tied else {"query": Dense(keys, self.query_std, *inner)}
        parts |= {
            "key": Dense(keys, key_std, *inner),
            "value": Dense(values, self.value_std, *inner),
            "output": Dense(self.width, self.output_std, self.bias_std, self.parameterization),
        }
        if not self.frozen:
            return parts
        kept = {name: {own: f"{name}.{own}" not in self.frozen for own in ("weight", "bias")} for name in parts}
        return {name: part.training(kept[name]) for name, part in parts.items()}

    @property
    def embedding(self) -> PositionEmbedding | None:
        """Of positions."""
        if self.position_embedding is None:
            return None
        standard = self.parameterization == "standard"
        return PositionEmbedding(
            self.position_embedding,
            self.position_width,
            self.position_std,
            self.position_length,
            standard,
            trained="position" not in self.frozen,
        )

    def facts(self, before: Signal) -> dict[str, Signal]:
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
        """Factors of the parts, and cotangents of embeddings."""
        facts = self.facts(before)
        total = sum(part.factor_size(facts[name], outputs) for name, part in self.parts.items())
        if self.embedding is None:
            return total
        return total + outputs * math.prod(before.shape[:-1]) * self.embedding.channels(before.width)

    def inner_size(self, before: Signal) -> int:
        """Queries, keys, values and mixed values, and scores and weights between all positions."""
        positions = math.prod(before.shape[:-1])
        widths = sum(part.width for part in self.parts.values()) + self.parts["value"].width
        return positions * (widths + 2 * self.heads * positions)

    def signal(self, before: Signal) -> Signal:
        """Gaussian and centred, because the last weights are."""
        if len(before.shape) < 2:
            raise ValueError(
                f"{self._name} needs inputs with positions, (N, *positions, channels); got (N, {before.width})"
            )
        degree = None
        if before.degree == 0:
            degree = 0.0
        elif (
            before.degree is not None
            and self.mechanism != "softmax"
            and not (self.bias_std or self.input_bias_std or self.embedding)
        ):
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
        if self.input_bias_std:
            return f"{self._name} has biases in its queries, keys and values: use a Monte Carlo kernel, or none there"
        if self.scaling == "sqrt" and self.mechanism != "identity":
            return (
                f'{self._name} has scaling="sqrt" and mechanism={self.mechanism!r}: its weights stay random at '
                'infinite width, and their means have no closed form; use scaling="linear", mechanism="identity", or '
                "a Monte Carlo kernel"
            )
        if self.embedding is not None and not before.wide:
            return (
                f"{self._name} embeds positions in {before.width} channels of the data, and the limit needs "
                "infinitely many: put a Dense layer before it, or use a Monte Carlo kernel"
            )
        return None

    def parameters(self, before: Signal) -> Tree:
        """Those of the embedding first and those of the output last."""
        self.signal(before)  # refuses inputs without positions
        facts = self.facts(before)
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
        check_structure(f"the parameters of {self._name}", params, self.parameters(Signal(tuple(x.shape[1:]))))
        xp, parts = home(x).xp, self.parts
        seen, valued = self._joined(params, x)
        key = split(parts["key"].forward(params["key"], seen)[0], self.heads)
        query = key if self.tied else split(parts["query"].forward(params["query"], seen)[0], self.heads)
        value = split(parts["value"].forward(params["value"], valued)[0], self.heads)
        heads = Heads.of(query, key, value, self.mechanism, self._score_scale, self.seen)
        mixed = merged(heads.outputs())
        output = parts["output"].forward(params["output"], mixed)[0]
        tape = Tape(tuple(x.shape[1:]), seen, valued, heads, mixed)
        return xp.reshape(output, (*x.shape[:-1], self.width)), tape

    def looking_at(self, present: Array) -> SelfAttention:
        """The layer that gives no weight to other positions than these of a batch, (N, *positions)."""
        other = copy(self)
        object.__setattr__(other, "seen", home(present).xp.reshape(present, (present.shape[0], 1, 1, -1)))
        return other

    def _joined(self, params: Params, x: Array) -> tuple[Array, Array]:
        """What queries and keys see of the inputs, and what values see, (N, P, n); or how both change."""
        valued = home(x).xp.reshape(x, (x.shape[0], -1, x.shape[-1]))
        seen = valued if self.embedding is None else self.embedding.joined_to(valued, params["position"])
        return seen, seen if self.position_in_values else valued

    def tangent(self, params: Params, tape: Tape, dx: Array, dparams: Params) -> Array:
        """The product rule."""
        dseen, dvalued = self._joined(dparams, dx)

        def moved(name: str, own: Array, change: Array) -> Array:
            return self.parts[name].tangent(params[name], own, change, dparams[name])

        dkey = split(moved("key", tape.seen, dseen), self.heads)
        dquery = dkey if self.tied else split(moved("query", tape.seen, dseen), self.heads)
        dvalue = split(moved("value", tape.valued, dvalued), self.heads)
        output = moved("output", tape.mixed, merged(tape.heads.change(dquery, dkey, dvalue)))
        return home(dx).xp.reshape(output, (dx.shape[0], *tape.shape[:-1], self.width))

    def backward(self, params: Params, tape: Tape, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """Through the outputs, the heads and the maps to queries, keys and values."""
        xp = home(delta).xp
        found: dict[str, Any] = {}
        # Embeddings are parameters among the inputs.
        below = to_inputs or self.embedding is not None

        def pulled(name: str, own: Array, cotangents: Array, further: bool) -> Array:
            back, (found[name],) = self.parts[name].backward(params[name], own, cotangents, further)
            return back

        delta = xp.reshape(delta, (*delta.shape[:2], -1, self.width))
        of_mixed = split(pulled("output", tape.mixed, delta, True), self.heads)
        query, key, value = tape.heads.pulled_back(of_mixed)
        valued = pulled("value", tape.valued, merged(value), below)
        seen = [pulled("key", tape.seen, merged(key + query if self.tied else key), below)]
        if not self.tied:
            seen.append(pulled("query", tape.seen, merged(query), below))
        if not below:
            return None, self._entry(found)
        if self.position_in_values:
            seen.append(valued)
        total: Array = sum(seen[1:], seen[0])
        if self.embedding is not None:
            total, found["position"] = self.embedding.pulled_back(total, tape.shape[:-1], tape.shape[-1])
        total = total if self.position_in_values else total + valued
        return xp.reshape(total, (*total.shape[:2], *tape.shape)), self._entry(found)

    # ---- kernels and Jacobians from factors -----------------------------------------------------------------------

    def _entry(self, found: dict[str, Any]) -> Factors:
        """The factors of the parts, in their order, and the cotangents of embeddings, as one entry."""
        return [tuple(found[name] for name in (*self.parts, "position") if name in found)]

    def _named(self, factors: Factors) -> dict[str, Any]:
        """The reverse of :meth:`_entry`."""
        return dict(zip((*self.parts, "position"), factors[0], strict=False))

    def kernel_factors(self, factors: Factors) -> Factors:
        """Part by part; embeddings as rows."""
        own = self._named(factors)
        found = {name: part.kernel_factors([own[name]])[0] for name, part in self.parts.items()}
        if self.embedding is not None:
            e = own["position"]
            found["position"] = home(e).xp.reshape(e, (*e.shape[:2], -1))
        return self._entry(found)

    def gram(self, factors1: Factors, factors2: Factors, contraction: Contraction, trained: Params) -> None:
        one, two = self._named(factors1), self._named(factors2)
        for name, part in self.parts.items():
            part.gram([one[name]], [two[name]], contraction, trained[name])
        if self.embedding is not None and trained["position"]:
            contraction.add_products(one["position"], two["position"], 1.0)

    def expand(self, factors: Factors) -> Params:
        own = self._named(factors)
        found = {} if self.embedding is None else {"position": own["position"]}
        return found | {name: part.expand([own[name]]) for name, part in self.parts.items()}

    def pullback(self, factors: Factors) -> Params:
        own, found = self._named(factors), {}
        if self.embedding is not None:
            found["position"] = home(own["position"]).xp.sum(own["position"], axis=(0, 1))
        return found | {name: part.pullback([own[name]]) for name, part in self.parts.items()}
