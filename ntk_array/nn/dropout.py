"""Dropout: values that are left out at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .._array.namespace import Array, home
from .._array.random import Seed, seed_sequence
from .._array.validate import nonnegative, one_of
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from ..infinite.steps import Steps
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout(Layer):
    """Each value is dropped with a probability ``rate``, and the others are divided by keep = 1 - rate.

    Values are dropped only where random numbers are given: ``net(params, x, rng=rng)``, or ``net.sampled(rng)`` for a
    network that drops values in everything that it does. Otherwise, as in inference, the layer is the identity.

    ``mode`` says which of the two kernels at initialization are about. In "test" it is the identity. In "train" every
    input and every position has a mask of its own: in the infinite-width limit K(x, x) and Theta(x, x) at one position
    are divided by keep, and nothing between different inputs or positions changes (Novak et al. 2020). Two rows with
    equal numbers are different inputs there. Monte Carlo kernels draw masks in the mode "train"; an empirical kernel is
    that of the network that it is given, with masks for ``net.sampled(rng)``.

    Parameters
    ----------
    rate : float
        From 0 to below 1.
    mode : "test" or "train"

    Raises
    ------
    ValueError
        For a rate or a mode that is none of these.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.Sequential(ntk.nn.Dense(4), ntk.nn.ReLU(), ntk.nn.Dropout(0.5, "train"), ntk.nn.Dense(1))
    >>> ntk.InfiniteNNGP(net)(np.ones((2, 1)))
    array([[1. , 0.5],
           [0.5, 1. ]])
    >>> ntk.nn.Dropout(0.5)({}, np.ones((1, 6)), rng=0)
    array([[0., 2., 2., 2., 0., 0.]])
    """

    rate: float
    mode: str = "test"

    masks: ClassVar[Seed | None] = None
    """Where masks come from, in a layer that was sampled."""

    def __post_init__(self) -> None:
        rate = nonnegative("rate", self.rate)
        if rate >= 1.0:
            raise ValueError(f"rate is the probability of dropping a value and must be below 1, got {rate}")
        object.__setattr__(self, "rate", rate)
        one_of("mode", self.mode, ("test", "train"))

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        """In the mode "train"."""
        return self.mode == "train" and self.rate > 0

    @property
    def entrywise(self) -> bool:  # type: ignore[override]
        """Each input has its own mask: entries of an input with itself differ from others."""
        return not self.noisy

    def sampled(self, rng: Seed) -> Dropout:
        other = copy(self)
        object.__setattr__(other, "masks", rng if isinstance(rng, np.random.Generator) else seed_sequence(rng))
        return other

    def signal(self, before: Signal) -> Signal:
        return before.to(gaussian=False) if self.noisy else before

    def unroll(self, steps: Steps, place: int) -> int:
        after = self.signal(steps.signals[place])
        if self.noisy and after.obstacle is None and steps.without_weights(place):
            # What is left of a few features is random, and stays so at any width of the layers behind.
            after = after.to(
                obstacle=f"{self!r} drops features of the inputs, whose number does not grow: no infinite-width limit; "
                'put it behind a layer with weights, use mode="test", or a Monte Carlo kernel'
            )
        return steps.add(self, [place], after)

    # ---- the finite network -------------------------------------------------------------------------------------

    def forward(self, params: Params, x: Array) -> tuple[Array, Array | None]:
        """The tape is the mask divided by keep, or None."""
        if self.masks is None or not self.rate:
            return x, None
        keep = 1.0 - self.rate
        rng = np.random.default_rng(self.masks)  # a Generator is handed through, and goes on
        mask = home(x).asarray((rng.random(tuple(x.shape)) < keep) / keep)
        return mask * x, mask

    def backward(
        self, params: Params, tape: Array | None, delta: Array, to_inputs: bool = True
    ) -> tuple[Array, Factors]:
        if not to_inputs:
            return None, []
        return (delta if tape is None else tape[:, None, ...] * delta), []

    def tangent(self, params: Params, tape: Array | None, dx: Array, dparams: Params) -> Array:
        return dx if tape is None else tape * dx

    # ---- infinite width -----------------------------------------------------------------------------------------

    def limit_taylor(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Covariance:
        """In the mode "test" nothing changes."""
        return super().limit_taylor(states, signals) if self.noisy else states[0]

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """Covariances of a value with itself are divided by keep: E[mask^2] / keep^2 = 1 / keep."""
        if not self.noisy:
            return state
        changed = self._of_same_values(state)
        return changed if state.paired else changed.to(k12=changed.k12, sine=self._sine(state))

    def _of_same_values(self, state: Covariance) -> Covariance:
        """A state or a change, with what values have with themselves divided by keep; without an angle."""
        keep, frame = 1.0 - self.rate, state.frame
        if state.paired:
            ntk = None if state.ntk is None else state.ntk / keep
            return Covariance.of_pairs(state.k12 / keep, ntk, state.sine, frame=frame)
        if frame.blocks or not frame.every:
            # Entries between two batches. That an input meets itself is set right at the end, from its own walk.
            return state.to(k12=state.k12)
        factor = 1.0 + (1.0 / keep - 1.0) * self._same_positions(state)
        return state.to(k12=factor * state.k12, ntk=None if state.ntk is None else factor * state.ntk)

    @staticmethod
    def _same_positions(state: Covariance) -> Array:
        """1 where a position of an input meets itself and 0 elsewhere, (1, *P, *P), at states of pairs."""
        here, positions = home(state.k12), tuple(state.k12.shape[axis] for axis in state.frame.rows)
        return here.xp.reshape(here.eye(math.prod(positions)), (1, *positions, *positions))

    def _sine(self, state: Covariance) -> Array | None:
        """Between different values cos T = keep cos t, so that 1 - |cos T| = rate + keep (1 - |cos t|)."""
        if state.sine is None:
            return None
        small = self.rate + (1.0 - self.rate) * state.versine()[0]
        sine = home(small).xp.sqrt(small * (2.0 - small))
        if state.frame.blocks or not state.frame.every:
            return sine
        return home(sine).xp.where(self._same_positions(state) > 0, state.sine, sine)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The same linear map. Different values are at a distance, so that covariances say how their angle changes."""
        return self._of_same_values(change) if self.noisy else change

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        """Dropping values does not move their mean."""
        return states[0].rows().mean

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return changes[0].rows().mean
