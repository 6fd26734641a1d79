"""Activations of your own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..._array.namespace import Array
from .base import Activation

__all__ = ["Elementwise"]


@dataclass(frozen=True)
class Elementwise(Activation):
    """An activation of your own, given with its derivative.

    Parameters
    ----------
    phi, phi_prime : callable (xp, x) -> array
        The function and its derivative on arrays of any shape, written with the namespace ``xp`` they are given
        (for instance ``xp.tanh(x)``), so that they run on every library.
    breakpoints : tuple of float
        Where phi has kinks or jumps of the derivative. The infinite-width kernel is wrong there if one is
        missing, and says so in a warning. Kinks other than 0 make infinite-width kernels of inputs of unequal
        norm slow, about a millisecond an entry, computed on the host.
    name : str
        For display and for saving.

    Examples
    --------
    >>> import ntk_array as ntk
    >>> hard_tanh = ntk.nn.Elementwise(
    ...     lambda xp, x: xp.clip(x, min=-1.0, max=1.0),
    ...     lambda xp, x: xp.where(xp.abs(x) < 1, xp.ones_like(x), xp.zeros_like(x)),
    ...     breakpoints=(-1.0, 1.0),
    ...     name="hard_tanh",
    ... )
    >>> ntk.nn.mlp((256, 256), 1, activation=hard_tanh).layers[1]
    Elementwise('hard_tanh')
    """

    phi: Callable[[Any, Array], Array]
    phi_prime: Callable[[Any, Array], Array]
    breakpoints: tuple[float, ...] = ()
    name: str = "user"

    def __post_init__(self) -> None:
        for argument in ("phi", "phi_prime"):
            if not callable(getattr(self, argument)):
                raise TypeError(f"{argument} must be a function (xp, x) -> array, got {getattr(self, argument)!r}")
        object.__setattr__(self, "breakpoints", tuple(sorted(float(b) for b in self.breakpoints)))

    def function(self, xp: Any, x: Array) -> Array:
        return self.phi(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return self.phi_prime(xp, x)

    def __repr__(self) -> str:
        return f"Elementwise({self.name!r})"
