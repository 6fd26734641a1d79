"""Activations of your own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._array.namespace import Array, home, standard_namespace
from ..._array.special import WithErf
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual, by_differences
from ...infinite.quadrature import ScalarFunction, rules_for
from .base import Activation

__all__ = ["Elementwise"]

Expectation = Callable[[Any, Array, Array, Array], Array]

STDS = (0.4, 0.9)
ANGLES = (0.0, 0.7, 2.3)
"""Where duals in closed form are compared with integrals: at every pair of these standard deviations and angle."""
AGREES = 1e-8
"""How far the two may be apart, in units of the roots of the values of each input with itself."""


@dataclass(frozen=True)
class Elementwise(Activation):
    """An activation of your own, given with its derivative.

    Parameters
    ----------
    phi, phi_prime : callable (xp, x) -> array
        The function and its derivative on arrays of any shape, written with the namespace ``xp`` they are given
        (for instance ``xp.tanh(x)``), so that they run on every library. The namespace has ``xp.erf`` beside what the
        array API standard has.
    breakpoints : tuple of float
        Where phi has kinks or jumps of the derivative. The infinite-width kernel is wrong there if one is
        missing, and says so in a warning. Kinks other than 0 make infinite-width kernels of inputs of unequal
        norm slow, about a millisecond an entry, computed on the host.
    name : str
        For display and for saving.
    dual_phi, dual_phi_prime : callable (xp, k11, k12, k22) -> array, optional
        E[phi(u) phi(v)] and E[phi'(u) phi'(v)] for u and v with variances k11 and k22 and the covariance k12, where
        you know them in closed form; both or none. They take arrays that broadcast, and give one of the shape of k12.
        Kernels are then computed by these and not by quadrature. They are compared with it here, at a few variances
        and angles. Where inputs nearly coincide kernels are as exact as the formulas are. Derivatives in
        hyper-parameters are differences of them, with an error of about 1e-12 in float64 and 1e-5 in float32.

    Raises
    ------
    ValueError
        If a closed form is not the expectation that it stands for.

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
    >>> square = ntk.nn.Elementwise(
    ...     lambda xp, x: x**2,
    ...     lambda xp, x: 2 * x,
    ...     dual_phi=lambda xp, k11, k12, k22: k11 * k22 + 2 * k12**2,
    ...     dual_phi_prime=lambda xp, k11, k12, k22: 4 * k12,
    ... )
    """

    phi: Callable[[Any, Array], Array]
    phi_prime: Callable[[Any, Array], Array]
    breakpoints: tuple[float, ...] = ()
    name: str = "user"
    dual_phi: Expectation | None = None
    dual_phi_prime: Expectation | None = None

    def __post_init__(self) -> None:
        for argument in ("phi", "phi_prime"):
            if not callable(getattr(self, argument)):
                raise TypeError(f"{argument} must be a function (xp, x) -> array, got {getattr(self, argument)!r}")
        object.__setattr__(self, "breakpoints", tuple(sorted(float(b) for b in self.breakpoints)))
        if self.dual_phi is None and self.dual_phi_prime is None:
            return
        for argument in ("dual_phi", "dual_phi_prime"):
            if not callable(getattr(self, argument)):
                raise TypeError(
                    f"{argument} must be a function (xp, k11, k12, k22) -> array, got {getattr(self, argument)!r}; "
                    "give both of dual_phi and dual_phi_prime, or none"
                )
        self._compare()

    @property
    def numerical(self) -> bool:  # type: ignore[override]
        """Whether the dual is integrated."""
        return self.dual_phi is None

    def function(self, xp: Any, x: Array) -> Array:
        return self.phi(WithErf(xp), x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return self.phi_prime(WithErf(xp), x)

    def fitted(self, smallest: float, largest: float) -> Activation:
        """With a table, unless there are closed forms."""
        return super().fitted(smallest, largest) if self.numerical else self

    def dual(self, state: Covariance) -> Dual:
        """By the closed forms where there are any, else from a table."""
        if self.numerical:
            return super().dual(state)
        return Dual(*self._closed_forms(home(state.k12).xp, state.k11, state.k12, state.k22))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        """The derivative of the closed forms by central differences of order four, or that of a table."""
        if self.numerical:
            return super().dual_tangent(state, change)
        here = home(state.k12)
        xp = here.xp

        def at(s1: Array, s2: Array, t: Array) -> tuple[Array, Array]:
            return self._closed_forms(xp, s1 * s1, s1 * s2 * xp.cos(t), s2 * s2)

        point = (xp.sqrt(state.k11), xp.sqrt(state.k22), state.angle())
        # The errors h^4 of the difference and eps / h of rounding are then alike.
        return Dual(*by_differences(at, point, state.angle_change(change), here.eps**0.2))

    def _closed_forms(self, xp: Any, k11: Array, k12: Array, k22: Array) -> tuple[Array, Array]:
        assert self.dual_phi is not None
        assert self.dual_phi_prime is not None
        xp = WithErf(xp)
        return self.dual_phi(xp, k11, k12, k22), self.dual_phi_prime(xp, k11, k12, k22)

    def _compare(self) -> None:
        """ValueError where a closed form is not the integral, at a few variances and angles."""
        std, t = np.asarray(STDS), np.asarray(ANGLES)
        exact, error = _integrals(self._on_host(), std, t)
        s1, s2, cosine = std[:, None], std, np.cos(t)[:, None, None]
        k11, k22, k12 = (np.broadcast_to(k, exact[0].shape) for k in (s1 * s1, s2 * s2, s1 * s2 * cosine))
        with np.errstate(all="ignore"):  # NaN is refused below
            given = self._closed_forms(standard_namespace(np), k11, k12, k22)
        for name, own, right in zip(("dual_phi", "dual_phi_prime"), given, exact, strict=True):
            if np.shape(own) != right.shape:
                raise ValueError(
                    f"{name} makes shape {np.shape(own)} of {right.shape}: give one number for each of k12"
                )
            size = np.sqrt(np.diagonal(right[0]))
            apart = np.abs(own - right) / (size[:, None] * size)
            at = np.unravel_index(np.argmax(np.where(np.isnan(apart), math.inf, apart)), right.shape)
            if not apart[at] <= max(AGREES, 10.0 * error):
                raise ValueError(
                    f"{name} of {self!r} is {own[at]:.12g} at k11 = {k11[at]:.3g}, k12 = {k12[at]:.6g}, k22 = "
                    f"{k22[at]:.3g}, and the integral of {'phi' if name == 'dual_phi' else 'phi_prime'} there is "
                    f"{right[at]:.12g}: correct one of the two (or breakpoints, where the function has kinks)"
                )

    def __repr__(self) -> str:
        return f"Elementwise({self.name!r})"


def _integrals(phi: ScalarFunction, std: np.ndarray, t: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Both expectations (m, n, n) at standard deviations (n,) and angles (m,), and how far off they may be.

    By the first rule that agrees with the one before it.
    """
    rough, *finer = rules_for(phi, float(np.max(std)))
    found, error = rough.sample(phi, std, t), math.inf
    for rule in finer:
        before, found = found, rule.sample(phi, std, t)
        error = max(float(np.max(np.abs(b - a) / np.max(np.abs(b)))) for a, b in zip(before, found, strict=True))
        if error < 0.01 * AGREES:
            break
    return found, error
