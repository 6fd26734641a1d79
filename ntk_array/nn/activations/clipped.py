"""Activations that are linear or quadratic between kinks, of which some are away from zero.

Their duals are integrated. For inputs of unequal norm that takes about a millisecond an entry, on the host.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array
from ..._array.validate import number, positive
from .base import Activation

__all__ = ["HardTanh", "Hardsigmoid", "Hardswish", "ReLU6", "Softshrink"]


class _Clipped(Activation):
    """phi(x) = min(max(x, low), high)."""

    @property
    @abstractmethod
    def breakpoints(self) -> tuple[float, float]:
        """low and high."""

    @property
    def odd(self) -> bool:
        low, high = self.breakpoints
        return low == -high

    def function(self, xp: Any, x: Array) -> Array:
        low, high = self.breakpoints
        return xp.clip(x, min=low, max=high)

    def derivative(self, xp: Any, x: Array) -> Array:
        low, high = self.breakpoints
        return xp.astype(x > low, x.dtype) - xp.astype(x > high, x.dtype)


@dataclass(frozen=True)
class HardTanh(_Clipped):
    """phi(x) = min(max(x, min_val), max_val)."""

    min_val: float = -1.0
    max_val: float = 1.0

    def __post_init__(self) -> None:
        for name in ("min_val", "max_val"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if self.min_val >= self.max_val:
            raise ValueError(f"min_val must be below max_val, got {self.min_val!r} and {self.max_val!r}")

    @property
    def breakpoints(self) -> tuple[float, float]:
        return self.min_val, self.max_val


class ReLU6(_Clipped):
    """phi(x) = min(max(x, 0), 6)."""

    breakpoints = (0.0, 6.0)


class Hardsigmoid(Activation):
    """phi(x) = min(max(x + 3, 0), 6) / 6."""

    breakpoints = (-3.0, 3.0)

    def function(self, xp: Any, x: Array) -> Array:
        return xp.clip(x + 3, min=0.0, max=6.0) / 6

    def derivative(self, xp: Any, x: Array) -> Array:
        return (xp.astype(x > -3, x.dtype) - xp.astype(x > 3, x.dtype)) / 6


class Hardswish(Activation):
    """phi(x) = x min(max(x + 3, 0), 6) / 6."""

    breakpoints = (-3.0, 3.0)

    def function(self, xp: Any, x: Array) -> Array:
        return x * xp.clip(x + 3, min=0.0, max=6.0) / 6

    def derivative(self, xp: Any, x: Array) -> Array:
        inside = (2 * x + 3) / 6
        return xp.where(x > 3, xp.ones_like(x), xp.where(x > -3, inside, xp.zeros_like(x)))


@dataclass(frozen=True)
class Softshrink(Activation):
    """phi(x) = x - lambd for x > lambd, x + lambd for x < -lambd, and 0 between them."""

    lambd: float = 0.5

    odd = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "lambd", positive("lambd", self.lambd))

    @property
    def breakpoints(self) -> tuple[float, float]:
        return -self.lambd, self.lambd

    def function(self, xp: Any, x: Array) -> Array:
        return x - xp.clip(x, min=-self.lambd, max=self.lambd)

    def derivative(self, xp: Any, x: Array) -> Array:
        # From the left: 1 up to the lower kink, and 0 up to the upper one.
        return 1 - xp.astype(x > -self.lambd, x.dtype) + xp.astype(x > self.lambd, x.dtype)
