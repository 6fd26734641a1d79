"""Normalization of each input over its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._array.namespace import Array, home
from .._array.validate import count, nonnegative
from ..infinite.angle import over_root, sine_about_means
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["LayerNorm"]


class Normalized(NamedTuple):
    """The output (N, *P, groups, channels / groups), and what the inputs less their mean were multiplied by."""

    output: Array
    inverse: Array


class _Side(NamedTuple):
    """What the limit of a LayerNorm needs of one batch, each of the shape of its variances.

    Attributes
    ----------
    variance : array
        The mean over features of (h_p - a)^2 at each position p, for the mean a that is subtracted.
    inverse : array
        1 / sqrt(mean of the variances + eps).
    mean, rest : array or None
        m_p, the mean over features, and m_p - a. None where they are zero.
    """

    variance: Array
    inverse: Array
    mean: Any = None
    rest: Any = None


def _averaged(values: Array, axes: tuple[int, ...]) -> Array:
    return home(values).xp.mean(values, axis=axes, keepdims=True) if axes else values


def _less_means(k12: Array, one: _Side, two: _Side) -> Array:
    """E[(u - a)(v - a')] = E[u v] - m m' + (m - a)(m' - a'), where m is the mean of u, m' that of v."""
    if one.mean is None:
        return k12
    centred = k12 - one.mean * two.mean
    return centred if one.rest is None else centred + one.rest * two.rest


@dataclass(frozen=True)
class LayerNorm(Layer):
    """(h - mean) / sqrt(variance + eps), with the mean and the variance of each input over its channels.

    There is no trained scale or shift: for these put :class:`Affine` behind it.

    In the infinite-width limit, for the mean m over features, K'(p, q) = (K(p, q) - m_p m_q') / sqrt((v + eps)
    (v' + eps)) and Theta' = Theta(p, q) / sqrt((v + eps)(v' + eps)), where v = K(p, p) - m_p^2. The mean is zero unless
    the layer acts on the inputs themselves or on values behind an activation such as ReLU. Over positions too, the
    mean that is subtracted and v are those over the positions. The limit is that of many channels: an output of a
    few, normalized, does not come near it, so end the network with another layer. K - m m' loses the digits that a
    mean far from zero takes up: subtract a constant from inputs whose mean is much larger than their spread.

    Parameters
    ----------
    eps : float
        Added to the variance; not negative.
    axes : tuple of int
        Axes of the values (N, *positions, channels), the last one among them: (-1,) are the channels at each position
        by itself, (-3, -2, -1) all of an image.
    groups : int
        So many groups of channels that follow one another have means and variances of their own: with all positions
        among the axes that is group normalization (Wu and He 2018). Each group has infinitely many channels in the
        limit, which is that of one group. The channels of the inputs themselves are few, and have no such limit; nor
        have groups of one channel each, instance normalization.

    Raises
    ------
    ValueError
        For axes without the channels or with the inputs, for inputs that do not have these axes, and for channels that
        are no multiple of the groups.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> net = ntk.nn.Sequential(ntk.nn.Dense(64), ntk.nn.ReLU(), ntk.nn.LayerNorm(), ntk.nn.Dense(1))
    >>> ntk.InfiniteNNGP(net).diag(np.eye(2)).round(3)
    array([1., 1.])
    """

    eps: float = 1e-5
    axes: tuple[int, ...] = (-1,)
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", nonnegative("eps", self.eps))
        object.__setattr__(self, "groups", count("groups", self.groups))
        axes = (self.axes,) if isinstance(self.axes, int) else tuple(self.axes)
        if not axes or not all(isinstance(axis, int) for axis in axes):
            raise TypeError(f"axes must be whole numbers such as (-1,), got {self.axes!r}")
        object.__setattr__(self, "axes", axes)

    @property
    def entrywise(self) -> bool:  # type: ignore[override]
        """Not where the variance is a mean over positions."""
        return self.axes == (-1,)

    def _axes_of(self, ndim: int) -> tuple[int, ...]:
        """The axes of values (N, *positions, channels) with so many axes, counted from the first."""
        if any(not -ndim <= axis < ndim for axis in self.axes):
            raise ValueError(f"{self!r} needs more axes than its inputs have, which are {ndim} with that of the inputs")
        axes = tuple(sorted({axis % ndim for axis in self.axes}))
        if axes[0] == 0 or axes[-1] != ndim - 1:
            raise ValueError(
                f"{self!r} must normalize over the channels, the last axis, and not over the inputs, the first"
            )
        return axes

    def signal(self, before: Signal) -> Signal:
        """Factors are the same for all features, so that Gaussian ones stay so. The result has degree 0 without eps."""
        axes = self._axes_of(len(before.shape) + 1)
        self._refuse_unequal_groups(before.width)
        obstacle = before.obstacle
        if obstacle is None and self.groups > 1 and (not before.wide or self.groups == before.width):
            few = "single channels" if before.wide else "the few channels of the inputs"
            obstacle = (
                f"{self!r} normalizes groups of {few}, which has no infinite-width limit in closed form: groups are to "
                "be large, and behind a layer with weights; finite networks and Monte Carlo kernels do not need that"
            )
        same_along_rays = before.degree == 0 or (before.degree is not None and not self.eps)
        degree = 0 if same_along_rays else None
        return before.to(centred=before.centred or len(axes) == 1, degree=degree, obstacle=obstacle)

    # ---- the finite network -------------------------------------------------------------------------------------

    def _refuse_unequal_groups(self, channels: int) -> None:
        if channels % self.groups:
            raise ValueError(f"{self!r}: {channels} channels are no multiple of {self.groups} groups")

    def _grouped(self, a: Array) -> Array:
        """With an axis of groups before that of the channels of each."""
        return home(a).xp.reshape(a, (*a.shape[:-1], self.groups, -1))

    def _joined(self, a: Array) -> Array:
        """The reverse."""
        return home(a).xp.reshape(a, (*a.shape[:-2], -1))

    def _within(self, ndim: int) -> tuple[int, ...]:
        """The axes that are averaged over, of grouped values of inputs with so many axes."""
        *positions, channels = self._axes_of(ndim)
        return (*positions, channels + 1)

    def forward(self, params: Params, x: Array) -> tuple[Array, Normalized]:
        """The tape is the output, and 1 / sqrt(variance + eps)."""
        self._refuse_unequal_groups(x.shape[-1])
        axes, x = self._within(x.ndim), self._grouped(x)
        centred = x - _averaged(x, axes)
        variance = _averaged(centred * centred, axes)
        if not self.eps:
            # Equal features have no variance. Rounding of their mean must not be taken for one.
            rounding = 4.0 * home(x).eps
            variance = home(x).xp.where(variance > rounding * rounding * _averaged(x * x, axes), variance, 0.0)
        inverse = over_root(variance + self.eps)
        tape = Normalized(centred * inverse, inverse)
        return self._joined(tape.output), tape

    def backward(self, params: Params, tape: Normalized, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        """The derivative is symmetric."""
        if not to_inputs:
            return None, []
        # Cotangents have the axis of the outputs behind that of the inputs.
        axes = tuple(axis + 1 for axis in self._within(tape.output.ndim - 1))
        output, inverse = tape.output[:, None, ...], tape.inverse[:, None, ...]
        return self._joined(_derivative(output, inverse, self._grouped(delta), axes)), []

    def tangent(self, params: Params, tape: Normalized, dx: Array, dparams: Params) -> Array:
        return self._joined(_derivative(tape.output, tape.inverse, self._grouped(dx), self._within(dx.ndim)))

    # ---- infinite width -----------------------------------------------------------------------------------------

    def asks_for_means(self, signals: Sequence[Signal]) -> bool:
        return not signals[0].centred

    def _sides(self, state: Covariance, before: Signal) -> tuple[_Side, _Side]:
        """Of both batches of a state."""
        means = (None, None) if before.centred else (state.mean1, state.mean2)
        sides = zip((state.k11, state.k22), means, self._positions(state, before), strict=True)
        one, two = (self._side(k, mean, axes) for k, mean, axes in sides)
        return one, two

    def _positions(self, state: Covariance, before: Signal) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes of a state for the positions that are normalized over, of the first input and of the second."""
        chosen = [axis - 1 for axis in self._axes_of(len(before.shape) + 1)[:-1]]
        rows, columns = state.frame.rows, state.frame.columns
        return tuple(rows[i] for i in chosen), tuple(columns[i] for i in chosen)

    def _side(self, k: Array, mean: Array | None, axes: tuple[int, ...]) -> _Side:
        if mean is None:
            return _Side(k, over_root(_averaged(k, axes) + self.eps))
        here, rest = home(k), mean - _averaged(mean, axes) if axes else None
        variance = k - mean * mean if rest is None else k - mean * mean + rest * rest
        # Equal features have no variance, and this difference has the rounding of k.
        variance = here.xp.where(variance > 4.0 * here.eps * k, variance, 0.0)
        return _Side(variance, over_root(_averaged(variance, axes) + self.eps), mean, rest)

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        """The covariance less means, and Theta, times both factors."""
        one, two = self._sides(state, before)
        factor, centred = one.inverse * two.inverse, _less_means(state.k12, one, two)
        # The derivative of the mean and of the variance over n features moves each feature by O(1 / n): no part of
        # Theta at infinite width.
        ntk = None if state.ntk is None else factor * state.ntk
        return state.to(k12=factor * centred, ntk=ntk, sine=self._sine(state, centred, one, two))

    @staticmethod
    def _sine(state: Covariance, centred: Array, one: _Side, two: _Side) -> Array | None:
        # Factors change no angle.
        if state.sine is None or state.paired or one.mean is None:
            return state.sine
        rests = None if one.rest is None else (one.rest, two.rest)
        return sine_about_means(state.term(), (one.mean, two.mean), rests, centred, one.variance, two.variance)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        """The product rule."""
        (one, two), (axes1, axes2) = self._sides(state, before), self._positions(state, before)
        k12, dk12 = _less_means(state.k12, one, two), change.k12
        dlog1 = _log_change(one, change.k11, None if before.centred else change.mean1, axes1)
        dlog2 = _log_change(two, change.k22, None if before.centred else change.mean2, axes2)
        if one.mean is not None:
            dk12 = dk12 - (change.mean1 * two.mean + one.mean * change.mean2)
            if one.rest is not None:
                rests = [m - _averaged(m, axes) for m, axes in ((change.mean1, axes1), (change.mean2, axes2))]
                dk12 = dk12 + rests[0] * two.rest + one.rest * rests[1]
        factor, dlog = one.inverse * two.inverse, dlog1 + dlog2
        ntk = None if state.ntk is None else factor * (change.ntk + dlog * state.ntk)
        return change.to(k12=factor * (dk12 + dlog * k12), ntk=ntk, turn=change.turn if one.mean is None else None)

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        """(m_p - a) / sqrt(v + eps), which is zero but where a is a mean over positions."""
        return self._first_side(states[0], signals[0])[1]

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        side, mean = self._first_side(states[0], signals[0])
        axes, change = self._positions(states[0], signals[0])[0], changes[0]
        dlog = _log_change(side, change.k11, change.mean1, axes)
        moved = side.inverse * (change.mean1 - _averaged(change.mean1, axes))
        return change.frame.values(moved) + states[0].frame.values(dlog) * mean

    def _first_side(self, state: Covariance, before: Signal) -> tuple[_Side, Array]:
        """What is known of the first batch of pairs, and the means behind the layer, (N, *P)."""
        side, _ = self._sides(state, before)
        assert side.rest is not None
        return side, state.frame.values(side.inverse * side.rest)


def _derivative(output: Array, inverse: Array, change: Array, axes: tuple[int, ...]) -> Array:
    """(dh - mean(dh) - y mean(y dh)) / sqrt(variance + eps), for the output y."""
    return inverse * (change - _averaged(change, axes) - output * _averaged(output * change, axes))


def _log_change(side: _Side, dk: Array, dmean: Array | None, axes: tuple[int, ...]) -> Array:
    """The change of the logarithm of 1 / sqrt(v + eps) for v = mean(k - m^2 + (m - a)^2): -dv / (2 (v + eps))."""
    if dmean is not None:
        dk = dk - 2.0 * side.mean * dmean
        if side.rest is not None:
            dk = dk + 2.0 * side.rest * (dmean - _averaged(dmean, axes))
    return -0.5 * side.inverse * side.inverse * _averaged(dk, axes)
