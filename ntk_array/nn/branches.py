"""Branches: several networks on the same inputs, whose outputs are added, multiplied or put side by side."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from .._array.namespace import Array, home
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .activations import Identity
from .composite import Composite
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["Branches", "Concatenate", "Product", "Residual", "Sum"]


class Branches(Composite):
    """Networks on the same inputs. A subclass says how their outputs are joined.

    For the finite network that is ``join`` and ``split``; for infinite width ``join_signals``, ``limit`` and
    ``limit_change``, and ``limit_mean`` and ``limit_mean_change`` where branches may end in activations.
    """

    @abstractmethod
    def join(self, outputs: Sequence[Array]) -> Array:
        """The output, from those of the branches."""

    @abstractmethod
    def split(self, outputs: Sequence[Array], delta: Array) -> list[Array]:
        """The cotangents of each branch, from those of the joined output; ``outputs`` are those of the branches."""

    @abstractmethod
    def join_tangents(self, outputs: Sequence[Array], changes: Sequence[Array]) -> Array:
        """How the output changes as those of the branches do."""

    @abstractmethod
    def join_signals(self, signals: Sequence[Signal]) -> Signal:
        """The facts of the output, from those of the branches; a first obstacle is added already."""

    def signals(self, before: Signal) -> list[Signal]:
        """The same for all."""
        return [before] * len(self.layers)

    def signal(self, before: Signal) -> Signal:
        """Of the joined output."""
        return self._joined([layer.signal(before) for layer in self.layers])

    def _joined(self, signals: Sequence[Signal]) -> Signal:
        obstacle = next((signal.obstacle for signal in signals if signal.obstacle is not None), None)
        joined = self.join_signals(signals)
        return joined if obstacle is None else joined.to(obstacle=obstacle)

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Any, ...]]:
        """Each branch, joined. The tape keeps the outputs of the branches."""
        outputs, tapes = zip(*(layer.forward(own, x) for layer, own in self._each(params)), strict=True)
        return self.join(outputs), (tapes, outputs)

    def backward(
        self, params: Params, tape: tuple[Any, ...], delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        """Each branch; what they pull back to the inputs adds up."""
        tapes, outputs = tape
        total, factors = None, []
        for layer, own, own_tape, share in zip(self.layers, params, tapes, self.split(outputs, delta), strict=True):
            # A branch without parameters has nothing to say where the inputs are not asked for.
            if not (to_inputs or layer.factor_count):
                continue
            pulled, own_factors = layer.backward(own, own_tape, share, to_inputs)
            factors += own_factors
            if to_inputs:
                total = pulled if total is None else total + pulled
        return total, factors

    def tangent(self, params: Params, tape: tuple[Any, ...], dx: Array, dparams: Params) -> Array:
        """Each branch, joined."""
        tapes, outputs = tape
        parts = zip(self.layers, params, tapes, dparams, strict=True)
        return self.join_tangents(outputs, [layer.tangent(own, t, dx, change) for layer, own, t, change in parts])

    def unroll(self, steps: Steps, place: int) -> int:
        """All branches from the same place, and the step where they meet."""
        ends = [layer.unroll(steps, place) for layer in self.layers]
        return steps.add(self, ends, self._joined([steps.signals[end] for end in ends]))

    def limit_taylor(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        """Sums and products of covariances."""
        return self.limit(states, signals)

    def _same_shape(self, signals: Sequence[Signal]) -> tuple[int, ...]:
        shapes = [signal.shape for signal in signals]
        if len(set(shapes)) > 1:
            raise ValueError(
                f"the branches of {type(self).__name__} must have outputs of one shape, got "
                f"{' and '.join(str(shape) for shape in dict.fromkeys(shapes))} (without the batch axis)"
            )
        return shapes[0]

    def _dependence(self) -> str | None:
        """Why the branches are not independent at infinite width; None where they are.

        The weights of a branch are drawn by themselves and have mean zero, which makes its values independent of those
        of the other branches. Two branches without weights are functions of the same values.
        """
        if sum(not layer.factor_count for layer in self.layers) < 2:
            return None
        return (
            f"{self!r} has several branches without parameters, whose values depend on one another: no infinite-width "
            "limit in closed form; write them as one activation, or use a Monte Carlo kernel"
        )


class Sum(Branches):
    """The sum of several networks on the same inputs. Its parameters are the tuple of theirs.

    In the infinite-width limit K = sum_b K_b + sum_{b != c} m_b m_c' and Theta = sum_b Theta_b. Branches are
    independent but for the means m of their values over features, which are not zero where a branch ends in an
    activation such as ReLU. At most one branch may be without parameters.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> branch = ntk.nn.Sequential(ntk.nn.Dense(64), ntk.nn.ReLU(), ntk.nn.Dense(64))
    >>> net = ntk.nn.Sequential(ntk.nn.Dense(64), ntk.nn.Sum(branch, ntk.nn.Identity()), ntk.nn.Dense(1))
    >>> ntk.InfiniteNTK(net).diag(np.eye(2)).round(6)
    array([2., 2.])
    """

    def join(self, outputs: Sequence[Array]) -> Array:
        return sum(outputs[1:], outputs[0])

    def split(self, outputs: Sequence[Array], delta: Array) -> list[Array]:
        return [delta] * len(outputs)

    def join_tangents(self, outputs: Sequence[Array], changes: Sequence[Array]) -> Array:
        return self.join(changes)

    def join_signals(self, signals: Sequence[Signal]) -> Signal:
        degrees = {signal.degree for signal in signals}
        return Signal(
            self._same_shape(signals),
            gaussian=all(signal.gaussian for signal in signals),
            centred=all(signal.centred for signal in signals),
            degree=degrees.pop() if len(degrees) == 1 else None,
            obstacle=self._dependence(),
            wide=all(signal.wide for signal in signals),
        )

    def asks_for_means(self, signals: Sequence[Signal]) -> bool:
        return sum(not signal.centred for signal in signals) > 1

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        return Covariance.total(states, correlated=self.asks_for_means(signals))

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        """The sum of the changes, and the derivative of (sum m)(sum m') - sum m m'."""
        # d[(sum m)(sum m')^T - sum m m'^T] is, for each branch, dm times the other branches' means, and the reverse.
        change = Covariance.total(changes)
        if not self.asks_for_means(signals):
            return change.to(turn=Covariance.turn_of_total(states, changes))
        pairs = [(s, c) for s, c in zip(states, changes, strict=True) if s.mean1 is not None]
        k12 = change.k12
        for i, (_, moved) in enumerate(pairs):
            others = [other for j, (other, _) in enumerate(pairs) if j != i]
            k12 = k12 + moved.mean1 * _sum(s.mean2 for s in others) + _sum(s.mean1 for s in others) * moved.mean2
        return change.to(k12=k12)

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        return _sum(_mean(state) for state in states if state.mean1 is not None)

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return self.limit_mean(changes, signals)


class Residual(Sum):
    """branch(x) + skip(x).

    Parameters
    ----------
    branch : Layer
    skip : Layer
        The way around the branch; a Dense layer where the branch changes the number of features.

    Examples
    --------
    >>> import ntk_array as ntk
    >>> ntk.nn.Residual(ntk.nn.Sequential(ntk.nn.Dense(8), ntk.nn.ReLU()))  # doctest: +ELLIPSIS
    Residual(Sequential(Dense(width=8, ...), ReLU()), Identity())
    """

    def __init__(self, branch: Layer, skip: Layer | None = None) -> None:
        super().__init__(branch, Identity() if skip is None else skip)


class Product(Branches):
    """The entrywise product of several networks on the same inputs. Its parameters are the tuple of theirs.

    In the infinite-width limit, for independent branches, K = prod_b K_b and Theta = sum_b Theta_b prod_{c != b} K_c.
    At most one branch may be without parameters.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> gate = ntk.nn.Sequential(ntk.nn.Dense(64), ntk.nn.Sigmoid())
    >>> net = ntk.nn.Sequential(ntk.nn.Product(gate, ntk.nn.Dense(64)), ntk.nn.Dense(1))
    >>> ntk.InfiniteNTK(net)(np.eye(2)).shape
    (2, 2)
    """

    def join(self, outputs: Sequence[Array]) -> Array:
        return math.prod(outputs[1:], start=outputs[0])

    def split(self, outputs: Sequence[Array], delta: Array) -> list[Array]:
        return [delta * others[:, None, ...] if others is not None else delta for others in _without_each(outputs)]

    def join_tangents(self, outputs: Sequence[Array], changes: Sequence[Array]) -> Array:
        others = _without_each(outputs)
        return _sum(c if o is None else c * o for c, o in zip(changes, others, strict=True))

    def join_signals(self, signals: Sequence[Signal]) -> Signal:
        degrees = [signal.degree for signal in signals]
        return Signal(
            self._same_shape(signals),
            gaussian=len(signals) == 1 and signals[0].gaussian,
            centred=any(signal.centred for signal in signals),
            degree=None if None in degrees else sum(degrees),  # type: ignore[arg-type]
            obstacle=self._dependence(),
            wide=all(signal.wide for signal in signals),
        )

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        k12, k11, k22 = (
            math.prod([getattr(s, name) for s in states[1:]], start=getattr(states[0], name))
            for name in ("k12", "k11", "k22")
        )
        # By the product rule each branch learns with the values of the others as they are: Theta_b times the other K_c.
        ntk = None
        if states[0].ntk is not None:
            ntk = self.join_tangents([s.k12 for s in states], [s.ntk for s in states])
        if states[0].paired:
            return Covariance.of_pairs(k12, ntk, states[0].sine, frame=states[0].frame)
        return Covariance(k12, k11, k22, ntk, self._sine(states), frame=states[0].frame)

    @staticmethod
    def _sine(states: Sequence[Covariance]) -> Array | None:
        """From 1 - |cos T| = small, with cos T the product of the cosines: positive terms only.

        1 - |c1 c2| = (1 - |c1|) + |c1| (1 - |c2|), and sin T = sqrt(small (2 - small)).
        """
        if any(state.sine is None for state in states):
            return None
        # The recurrence goes over the factors, each time with what is small so far.
        small: Any = 0.0
        for state in states:
            own, size = state.versine()
            small = own + size * small
        return home(small).xp.sqrt(small * (2.0 - small))

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        """The product rule."""
        k, dk = [s.k12 for s in states], [c.k12 for c in changes]
        # Of Theta = sum_b Theta_b prod_{c != b} K_c: the change of Theta_b, then that of each K_c beside it.
        ntk = None
        if states[0].ntk is not None:
            ntk = self.join_tangents(k, [c.ntk for c in changes])
            for i, state in enumerate(states):
                rest = [j for j in range(len(k)) if j != i]
                if rest:
                    ntk = ntk + state.ntk * self.join_tangents([k[j] for j in rest], [dk[j] for j in rest])
        return changes[0].to(k12=self.join_tangents(k, dk), ntk=ntk)

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        return self.join([_mean(state) for state in states])

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return self.join_tangents([_mean(s) for s in states], [_mean(c) for c in changes])


class Concatenate(Branches):
    """The features of several networks on the same inputs, side by side. Its parameters are the tuple of theirs.

    In the infinite-width limit K and Theta are the means of those of the branches, weighted by their numbers of
    features: widths matter by their proportions.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.Sequential(ntk.nn.Concatenate(ntk.nn.Dense(3), ntk.nn.Identity()), ntk.nn.Dense(1))
    >>> net.init(0, input_shape=2)[1]["weight"].shape
    (1, 5)
    """

    def join(self, outputs: Sequence[Array]) -> Array:
        return home(outputs[0]).xp.concat(list(outputs), axis=-1)

    def split(self, outputs: Sequence[Array], delta: Array) -> list[Array]:
        # Features are the last axis of cotangents (N, C, ..., n).
        shares, start = [], 0
        for output in outputs:
            shares.append(delta[..., start : start + output.shape[-1]])
            start += output.shape[-1]
        return shares

    def join_tangents(self, outputs: Sequence[Array], changes: Sequence[Array]) -> Array:
        return self.join(changes)

    def join_signals(self, signals: Sequence[Signal]) -> Signal:
        if len({signal.shape[:-1] for signal in signals}) > 1:
            raise ValueError(
                "the branches of Concatenate must have the same positions, which are all axes but the last; got "
                f"outputs of shapes {[s.shape for s in signals]}"
            )
        degrees = {signal.degree for signal in signals}
        # Covariances are means over all features, whether or not branches depend on one another: there is no obstacle.
        # But features of different branches are not copies of one process, even where each branch is Gaussian.
        return Signal(
            (*signals[0].shape[:-1], sum(signal.width for signal in signals)),
            gaussian=len(signals) == 1 and signals[0].gaussian,
            centred=all(signal.centred for signal in signals),
            degree=degrees.pop() if len(degrees) == 1 else None,
            wide=all(signal.wide for signal in signals),
        )

    def limit(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        return Covariance.total(self._weighted(states, signals))

    def limit_change(
        self,
        states: Sequence[Covariance],
        changes: Sequence[Covariance],
        signals: Sequence[Signal],
        direction: Direction,
    ) -> Covariance:
        turn = Covariance.turn_of_total(*(self._weighted(each, signals) for each in (states, changes)))
        return self.limit(changes, signals).to(turn=turn)

    @staticmethod
    def _weighted(states: Sequence[Covariance], signals: Sequence[Signal]) -> list[Covariance]:
        return [state.scaled(p) for state, p in zip(states, _shares(signals), strict=True)]

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        return _sum(p * _mean(s) for p, s in zip(_shares(signals), states, strict=True) if s.mean1 is not None)

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return self.limit_mean(changes, signals)


def _mean(state: Covariance) -> Any:
    """The mean over features at states of pairs, (N, *P)."""
    return state.rows().mean


def _sum(arrays: Any) -> Any:
    """The sum of at least one array."""
    first, *rest = arrays
    return sum(rest, first)


def _without_each(factors: Sequence[Array]) -> list[Array | None]:
    """For each factor the product of the others; None where there are none. By products from both ends."""
    before: list[Any] = [None]
    after: list[Any] = [None]
    for factor, other in zip(factors[:-1], factors[:0:-1], strict=True):
        before.append(factor if before[-1] is None else before[-1] * factor)
        after.append(other if after[-1] is None else after[-1] * other)
    return [b if a is None else a if b is None else a * b for b, a in zip(before, reversed(after), strict=True)]


def _shares(signals: Sequence[Signal]) -> list[float]:
    """The share of each branch in all features."""
    total = sum(signal.width for signal in signals)
    return [signal.width / total for signal in signals]
