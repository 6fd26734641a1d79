"""Normalization by statistics that are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._array.namespace import Array, home, is_array, to_host
from .._array.short import short_repr
from .._array.validate import nonnegative, number
from ..infinite.covariance import Covariance, Direction
from ..infinite.signal import Signal
from .layer import Factors, Layer
from .parameters import Params

__all__ = ["BatchNorm"]


def _statistics(name: str, values: Any) -> float | tuple[float, ...]:
    """A number for all channels, or one for each."""
    values = to_host(values) if is_array(values) else np.asarray(values)
    if values.ndim == 0:
        return number(name, float(values))
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be a number or one number for each channel, got shape {values.shape}")
    return tuple(number(name, float(value)) for value in values)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """(h - mean) / sqrt(variance + eps) for a mean and a variance of each channel that are given.

    As networks do that have been trained with batches: the statistics belong to the layer, no batch is looked at, and
    outputs of one input do not depend on the others. There is no trained scale or shift: for these put
    :class:`Affine` behind it.

    In the infinite-width limit there is none: a channel and its statistics depend on one another, and so do not have
    the distribution of all channels. Except where all channels have the mean 0 and one variance v: the layer is then
    the factor 1 / sqrt(v + eps), and K' = K / (v + eps), Theta' = Theta / (v + eps).

    Parameters
    ----------
    mean, variance : float or one for each channel
        Sequences and arrays of any library are copied to the host.
    eps : float
        Added to the variance; not negative.

    Raises
    ------
    ValueError
        For statistics that are no finite numbers, a variance + eps that is not positive, and inputs with another number
        of channels.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.asarray([[1.0, 5.0], [3.0, 9.0]])
    >>> ntk.nn.BatchNorm(x.mean(axis=0), x.var(axis=0), eps=0.0)({}, x)
    array([[-1., -1.],
           [ 1.,  1.]])
    """

    mean: float | tuple[float, ...]
    variance: float | tuple[float, ...]
    eps: float = 1e-5

    __repr__ = short_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", nonnegative("eps", self.eps))
        for name in ("mean", "variance"):
            object.__setattr__(self, name, _statistics(name, getattr(self, name)))
        if np.min(self.variance) < 0 or np.min(self.variance) + self.eps <= 0:
            raise ValueError(f"variance + eps must be positive, got variance {self.variance} and eps {self.eps}")

    @property
    def _factor(self) -> float | None:
        """What the layer multiplies by, where it does nothing else; else None."""
        alike = not np.any(self.mean) and np.min(self.variance) == np.max(self.variance)
        return float((np.max(self.variance) + self.eps) ** -0.5) if alike else None

    def signal(self, before: Signal) -> Signal:
        for name in ("mean", "variance"):
            known = getattr(self, name)
            if isinstance(known, tuple) and len(known) != before.width:
                raise ValueError(f"BatchNorm has the {name} of {len(known)} channels; its inputs have {before.width}")
        if self._factor is not None:
            return before
        obstacle = before.obstacle or (
            "BatchNorm has no infinite-width limit where channels have statistics of their own, or a mean that is not "
            "zero: use LayerNorm in its place, or a Monte Carlo kernel"
        )
        degree = before.degree if before.degree == 0 or not np.any(self.mean) else None
        return before.to(gaussian=False, centred=False, degree=degree, obstacle=obstacle)

    def _scale(self, like: Array) -> Array:
        """1 / sqrt(variance + eps), one number or (channels,)."""
        return home(like).asarray((np.asarray(self.variance) + self.eps) ** -0.5)

    def forward(self, params: Params, x: Array) -> tuple[Array, None]:
        self.signal(Signal(tuple(x.shape[1:])))  # refuses other channels
        return (x - home(x).asarray(np.asarray(self.mean))) * self._scale(x), None

    def backward(self, params: Params, tape: None, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        return (delta * self._scale(delta) if to_inputs else None), []

    def tangent(self, params: Params, tape: None, dx: Array, dparams: Params) -> Array:
        return dx * self._scale(dx)

    def propagate(self, state: Covariance, before: Signal) -> Covariance:
        assert self._factor is not None
        return state.scaled(self._factor**2)

    def propagate_tangent(
        self, state: Covariance, change: Covariance, before: Signal, direction: Direction
    ) -> Covariance:
        return self.propagate(change, before)

    def limit_mean(self, states: Sequence[Covariance], signals: Sequence[Signal]) -> Array:
        assert self._factor is not None
        mean: Any = states[0].rows().mean
        return self._factor * mean

    def limit_mean_change(
        self, states: Sequence[Covariance], changes: Sequence[Covariance], signals: Sequence[Signal]
    ) -> Array:
        return self.limit_mean(changes, signals)
