"""The activations: elementwise functions, their derivatives and, where known, their dual activations.

Formulas are written against the array API, as functions of a namespace ``xp`` and an array: the same source runs
on every library, and on NumPy where a dual activation is tabulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from .._array.namespace import Array
from .._array.special import erf, normal_cdf, normal_pdf
from .activation import Activation, ClosedForm
from .angle import angle_tangent, direction, versine
from .covariance import Covariance, Direction
from .dual import Dual

__all__ = [
    "ELU",
    "GELU",
    "Abs",
    "Cos",
    "Elementwise",
    "Erf",
    "Identity",
    "LeakyReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Sin",
    "Softplus",
    "Tanh",
    "activation_named",
]


class Identity(ClosedForm):
    """phi(x) = x."""

    homogeneous = True

    def function(self, xp: Any, x: Array) -> Array:
        return x

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.ones_like(x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        return Dual(state.k12, xp.ones_like(state.k12))

    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        return Dual(dstate.k12, xp.zeros_like(state.k12))

    def propagate(self, state: Covariance) -> Covariance:
        """Nothing changes, Gaussian or not."""
        return state

    def propagate_tangent(
        self, state: Covariance, dstate: Covariance, direction: Direction
    ) -> tuple[Covariance, Covariance]:
        """Nothing changes."""
        return state, dstate


class _PiecewiseLinear(ClosedForm):
    """phi(x) = below * min(x, 0) + above * max(x, 0)."""

    breakpoints = (0.0,)
    homogeneous = True

    def _slopes(self) -> tuple[float, float]:
        raise NotImplementedError

    def function(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return xp.where(x > 0, above * x, below * x)

    def derivative(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return below + (above - below) * xp.astype(x > 0, x.dtype)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        """From phi = m x + d |x|: the arc-cosine kernels of degree 0 and 1 (Cho and Saul 2009, eq. 6)."""
        below, above = self._slopes()
        m2, d2 = ((above + below) / 2) ** 2, ((above - below) / 2) ** 2
        cosine, sine = direction(state)
        t = xp.atan2(sine, cosine)
        scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        toward = math.pi / 2 - t  # asin of the correlation
        return Dual(
            m2 * state.k12 + (2 / math.pi) * d2 * scale * (sine + toward * cosine),
            m2 + (2 / math.pi) * d2 * toward,
            None if state.sine is None else self._sine(xp, m2 / (m2 + d2), d2 / (m2 + d2), cosine, sine),
        )

    @staticmethod
    def _sine(xp: Any, m2: float, d2: float, cosine: Array, sine: Array) -> Array:
        """The sine of the angle of the outputs, from 1 minus its cosine, which is small near coincidence.

        Of that, |x| has the share h = 1 - (2 / pi) (sin t + (pi / 2 - t) cos t). It is even about pi / 2 and taken at
        the smaller of t and pi - t: h = 1 - cos t - (2 / pi) (sin t - t cos t).
        """
        small, less = versine(sine, cosine)
        size = xp.abs(cosine)
        h = small - (2 / math.pi) * (sine - xp.atan2(sine, size) * size)
        less = m2 * less + d2 * xp.clip(h, min=0.0)
        return xp.sqrt(less * (2.0 - less))

    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        below, above = self._slopes()
        d2 = (2 / math.pi) * ((above - below) / 2) ** 2
        _, sine = direction(state)
        scale = xp.sqrt(state.k11) * xp.sqrt(state.k22)
        slope = self.closed_form(xp, state).slope
        dlog_s1, dlog_s2, dt = angle_tangent(state, dstate)
        return Dual(slope * dstate.k12 + d2 * scale * sine * (dlog_s1 + dlog_s2), -d2 * dt)


class ReLU(_PiecewiseLinear):
    """phi(x) = max(x, 0)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.maximum(x, xp.zeros_like(x))

    def _slopes(self) -> tuple[float, float]:
        return 0.0, 1.0


@dataclass(frozen=True)
class LeakyReLU(_PiecewiseLinear):
    """phi(x) = max(x, 0) + negative_slope * min(x, 0)."""

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "negative_slope", float(self.negative_slope))

    def _slopes(self) -> tuple[float, float]:
        return self.negative_slope, 1.0


class Abs(_PiecewiseLinear):
    """phi(x) = abs(x)."""

    def _slopes(self) -> tuple[float, float]:
        return -1.0, 1.0


class Erf(ClosedForm):
    """phi(x) = erf(x)."""

    def function(self, xp: Any, x: Array) -> Array:
        return erf(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return (2 / math.sqrt(math.pi)) * xp.exp(-x * x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        """Williams 1997, eq. 11, and its derivative with respect to k12."""
        k12, k11, k22 = state.k12, state.k11, state.k22
        # (1 + 2 k11)(1 + 2 k22) - 4 k12^2 without the cancellation of its largest terms
        rest = 1 + 2 * k11 + 2 * k22 + 4 * xp.clip(k11 * k22 - k12 * k12, min=0.0)
        return Dual((2 / math.pi) * xp.atan2(2 * k12, xp.sqrt(rest)), (4 / math.pi) / xp.sqrt(rest))

    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        k12, k11, k22 = state.k12, state.k11, state.k22
        dk12, dk11, dk22 = dstate.k12, dstate.k11, dstate.k22
        slope = self.closed_form(xp, state).slope
        drest = 2 * (1 + 2 * k22) * dk11 + 2 * (1 + 2 * k11) * dk22 - 8 * k12 * dk12
        stretch = dk11 / (1 + 2 * k11) + dk22 / (1 + 2 * k22)
        return Dual(slope * (dk12 - k12 * stretch), -(math.pi**2 / 32) * slope**3 * drest)


class GELU(ClosedForm):
    """phi(x) = x Phi(x), Phi the normal distribution function (the exact form, not the tanh approximation)."""

    def function(self, xp: Any, x: Array) -> Array:
        return x * normal_cdf(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return normal_cdf(x) + x * normal_pdf(x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        """By Stein's lemma from P(z1 < u, z2 < v); Tsuchida et al. 2021, section 3."""
        k12, k11, k22 = state.k12, state.k11, state.k22
        a, b = 1 + k11, 1 + k22
        determinant = xp.clip(k11 * k22 - k12 * k12, min=0.0)
        d = 1 + k11 + k22 + determinant  # a b - k12^2
        both = 0.25 + xp.atan2(k12, xp.sqrt(d)) / (2 * math.pi)
        root = 2 * math.pi * xp.sqrt(d)
        inverse = 1 / a + 1 / b
        return Dual(
            k12 * both + (determinant + k12 * k12 * inverse) / root,
            both + k12 * (inverse + 1 / d) / root,
        )

    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        """The quotient and chain rules, term by term."""
        k12, k11, k22 = state.k12, state.k11, state.k22
        dk12, dk11, dk22 = dstate.k12, dstate.k11, dstate.k22
        a, b = 1 + k11, 1 + k22
        determinant = xp.clip(k11 * k22 - k12 * k12, min=0.0)
        d = 1 + k11 + k22 + determinant
        dd = b * dk11 + a * dk22 - 2 * k12 * dk12
        ddeterminant = k22 * dk11 + k11 * dk22 - 2 * k12 * dk12
        root = 2 * math.pi * xp.sqrt(d)
        inverse, dinverse = 1 / a + 1 / b, -dk11 / a**2 - dk22 / b**2
        both = 0.25 + xp.atan2(k12, xp.sqrt(d)) / (2 * math.pi)
        dboth = (dk12 * d - k12 * dd / 2) / (a * b * root)
        numerator = determinant + k12 * k12 * inverse
        dnumerator = ddeterminant + 2 * k12 * dk12 * inverse + k12 * k12 * dinverse
        slope_sum = inverse + 1 / d
        return Dual(
            dk12 * both + k12 * dboth + (dnumerator - numerator * dd / (2 * d)) / root,
            dboth + (dk12 * slope_sum + k12 * (dinverse - dd / d**2 - slope_sum * dd / (2 * d))) / root,
        )


class _Wave(ClosedForm):
    """sin or cos: each is, but for its sign, the derivative of the other."""

    def closed_form_tangent(self, xp: Any, state: Covariance, dstate: Covariance) -> Dual:
        value, slope, _ = self.closed_form(xp, state)
        dm = (dstate.k11 + dstate.k22) / 2
        return Dual(slope * dstate.k12 - value * dm, value * dstate.k12 - slope * dm)


class Sin(_Wave):
    """phi(x) = sin(x)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.sin(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        return Dual(*_damped_sinh_and_cosh(xp, state))


class Cos(_Wave):
    """phi(x) = cos(x)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return -xp.sin(x)

    def closed_form(self, xp: Any, state: Covariance) -> Dual:
        return Dual(*reversed(_damped_sinh_and_cosh(xp, state)))


def _damped_sinh_and_cosh(xp: Any, state: Covariance) -> tuple[Array, Array]:
    """E[sin u sin v] = exp(-m) sinh(k12) and E[cos u cos v] = exp(-m) cosh(k12), m = (k11 + k22) / 2.

    From the characteristic functions of u - v and u + v, and written so that sinh neither cancels nor overflows.
    """
    size = xp.abs(state.k12)
    larger = xp.exp(size - (state.k11 + state.k22) / 2) / 2
    return -xp.sign(state.k12) * xp.expm1(-2 * size) * larger, (1 + xp.exp(-2 * size)) * larger


class Tanh(Activation):
    """phi(x) = tanh(x)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.tanh(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return 1 - xp.tanh(x) ** 2


def _sigmoid(xp: Any, x: Array) -> Array:
    return 0.5 * (1 + xp.tanh(0.5 * x))  # exp(-x) would overflow


class Sigmoid(Activation):
    """phi(x) = 1 / (1 + exp(-x))."""

    def function(self, xp: Any, x: Array) -> Array:
        return _sigmoid(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        s = _sigmoid(xp, x)
        return s * (1 - s)


class SiLU(Activation):
    """phi(x) = x sigmoid(x), also called swish."""

    def function(self, xp: Any, x: Array) -> Array:
        return x * _sigmoid(xp, x)

    def derivative(self, xp: Any, x: Array) -> Array:
        s = _sigmoid(xp, x)
        return s * (1 + x * (1 - s))


class Softplus(Activation):
    """phi(x) = log(1 + exp(x))."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.clip(x, min=0.0) + xp.log1p(xp.exp(-xp.abs(x)))

    def derivative(self, xp: Any, x: Array) -> Array:
        return _sigmoid(xp, x)


class ELU(Activation):
    """phi(x) = x for x > 0, exp(x) - 1 otherwise."""

    breakpoints = (0.0,)

    def function(self, xp: Any, x: Array) -> Array:
        return xp.where(x > 0, x, xp.expm1(xp.clip(x, max=0.0)))

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.exp(xp.clip(x, max=0.0))


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


NAMED: dict[str, Callable[[], Activation]] = {
    "identity": Identity,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "abs": Abs,
    "erf": Erf,
    "gelu": GELU,
    "sin": Sin,
    "cos": Cos,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "silu": SiLU,
    "softplus": Softplus,
    "elu": ELU,
}


def activation_named(activation: str | Activation) -> Activation:
    """The activation of this name, or the activation itself."""
    if isinstance(activation, Activation):
        return activation
    if activation not in NAMED:
        raise ValueError(f"activation must be one of {', '.join(NAMED)} or an Activation layer, got {activation!r}")
    return _named(activation)


@cache
def _named(name: str) -> Activation:
    """One object a name: tables of dual activations are kept by object."""
    return NAMED[name]()
