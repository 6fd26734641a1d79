"""Activations: elementwise functions, their derivatives and their dual activations.

Formulas are written against the array API, as functions of a namespace ``xp`` and an array: the same source runs
on every library, and on NumPy where a dual activation is tabulated.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._array.namespace import Array, home, standard_namespace, to_host
from .._array.special import erf, normal_cdf, normal_pdf
from .covariance import Covariance
from .dual import Dual, angle, numerical_dual
from .layer import Factors, Layer
from .parameters import Params
from .quadrature import ScalarFunction

__all__ = [
    "ELU",
    "GELU",
    "Abs",
    "Activation",
    "ClosedForm",
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

ACCURATE = 1e-9  # a numerical dual with a larger estimated error warns


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function phi, on inputs of any shape.

    Its infinite-width limit is the dual activation: K' = E[phi(u) phi(v)] and Theta' = Theta E[phi'(u) phi'(v)] for
    (u, v) ~ N(0, [[K11, K12], [K12, K22]]) (Jacot et al. 2018, Theorem 1), here by quadrature to an error that is
    estimated, carried along in the state, and warned about where it is above 1e-9.
    """

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Where phi has kinks."""
        return ()

    @abstractmethod
    def function(self, xp: Any, x: Array) -> Array:
        """phi(x)."""

    @abstractmethod
    def derivative(self, xp: Any, x: Array) -> Array:
        """phi'(x); at a kink, the derivative from the left."""

    def draw(self, seeds: np.random.SeedSequence, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        del seeds
        return {}, shape

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """phi(x); the tape is phi'(x)."""
        xp = home(x).xp
        return self.function(xp, x), self.derivative(xp, x)

    def backward(self, params: Params, tape: Array, delta: Array) -> tuple[Array, Factors]:
        """Cotangents times phi'."""
        return delta * tape, []

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        """phi' dx."""
        return tape * dx

    def propagate(self, state: Covariance) -> Covariance:
        """The dual activation."""
        if not state.gaussian:
            raise ValueError(
                f"{self!r} acts on values that are not Gaussian in the infinite-width limit (the inputs themselves, or "
                "another activation): put a Dense layer before it; finite networks and Monte Carlo kernels do "
                "not need that"
            )
        dual, error = self.dual(state)
        xp = home(state.k12).xp

        def variance(k: Array) -> Array:
            flat = xp.reshape(k, (-1,))
            # A tabulated dual may give a zero row a variance of -1e-20.
            return xp.reshape(xp.clip(dual(flat, flat, flat).value, min=0.0), k.shape)

        k12, slope = dual(state.k12, state.k11, state.k22)
        return state.to(
            k12=k12,
            k11=variance(state.k11),
            k22=variance(state.k22),
            ntk=None if state.ntk is None else state.ntk * slope,
            gaussian=False,
            quadrature_error=max(error, state.quadrature_error),
        )

    def dual(self, state: Covariance) -> tuple[Callable[[Array, Array, Array], Dual], float]:
        """(k12, k11, k22) -> :class:`Dual` for variances in the range of the state, and its estimated error."""
        xp = home(state.k12).xp
        variances = [float(to_host(f(k))) for k in (state.k11, state.k22) for f in (xp.min, xp.max)]
        host = standard_namespace(np)
        phi = ScalarFunction(partial(self.function, host), partial(self.derivative, host), self.breakpoints)
        table = numerical_dual(phi, math.sqrt(min(variances)), math.sqrt(max(variances)))
        if table.error > ACCURATE:
            warnings.warn(
                f"the dual activation of {self!r} was integrated to an estimated relative error of {table.error:.0e}; "
                "a kink of the function that is not in breakpoints, or a very large weight_std, is the usual reason",
                RuntimeWarning,
                stacklevel=2,
            )
        return table, table.error


class ClosedForm(Activation):
    """An activation whose dual activation is known in closed form."""

    @abstractmethod
    def closed_form(self, xp: Any, k12: Array, k11: Array, k22: Array) -> Dual:
        """The dual activation at covariances that broadcast to the shape of k12."""

    def dual(self, state: Covariance) -> tuple[Callable[[Array, Array, Array], Dual], float]:
        """The closed form, with no error."""
        return partial(self.closed_form, home(state.k12).xp), 0.0


class Identity(ClosedForm):
    """phi(x) = x."""

    def function(self, xp: Any, x: Array) -> Array:
        return x

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.ones_like(x)

    def closed_form(self, xp: Any, k12: Array, k11: Array, k22: Array) -> Dual:
        return Dual(k12, xp.ones_like(k12))

    def propagate(self, state: Covariance) -> Covariance:
        """Nothing changes, Gaussian or not."""
        return state


class _PiecewiseLinear(ClosedForm):
    """phi(x) = below * min(x, 0) + above * max(x, 0)."""

    breakpoints = (0.0,)

    def _slopes(self) -> tuple[float, float]:
        raise NotImplementedError

    def function(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return xp.where(x > 0, above * x, below * x)

    def derivative(self, xp: Any, x: Array) -> Array:
        below, above = self._slopes()
        return xp.where(x > 0, above, xp.full_like(x, below))

    def closed_form(self, xp: Any, k12: Array, k11: Array, k22: Array) -> Dual:
        """From phi = m x + d |x|: the arc-cosine kernels of degree 0 and 1 (Cho and Saul 2009, eq. 6)."""
        below, above = self._slopes()
        m2, d2 = ((above + below) / 2) ** 2, ((above - below) / 2) ** 2
        scale, cosine, sine, t = angle(k12, k11, k22)
        toward = math.pi / 2 - t  # asin of the correlation
        return Dual(
            m2 * scale * cosine + (2 / math.pi) * d2 * scale * (sine + toward * cosine),
            m2 + (2 / math.pi) * d2 * toward,
        )


class ReLU(_PiecewiseLinear):
    """phi(x) = max(x, 0)."""

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

    def closed_form(self, xp: Any, k12: Array, k11: Array, k22: Array) -> Dual:
        """Williams 1997, eq. 11, and its derivative with respect to k12."""
        # (1 + 2 k11)(1 + 2 k22) - 4 k12^2 without the cancellation of its largest terms
        rest = 1 + 2 * k11 + 2 * k22 + 4 * xp.clip(k11 * k22 - k12 * k12, min=0.0)
        return Dual((2 / math.pi) * xp.atan2(2 * k12, xp.sqrt(rest)), (4 / math.pi) / xp.sqrt(rest))


class GELU(ClosedForm):
    """phi(x) = x Phi(x), Phi the normal distribution function (the exact form, not the tanh approximation)."""

    def function(self, xp: Any, x: Array) -> Array:
        return x * normal_cdf(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return normal_cdf(x) + x * normal_pdf(x)

    def closed_form(self, xp: Any, k12: Array, k11: Array, k22: Array) -> Dual:
        """By Stein's lemma from P(z1 < u, z2 < v); Tsuchida et al. 2021, section 3."""
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


class Sin(ClosedForm):
    """phi(x) = sin(x)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.sin(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def closed_form(self, xp: Any, k12: Array, k11: Array, k22: Array) -> Dual:
        return Dual(*_damped_sinh_and_cosh(xp, k12, k11, k22))


class Cos(ClosedForm):
    """phi(x) = cos(x)."""

    def function(self, xp: Any, x: Array) -> Array:
        return xp.cos(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        return -xp.sin(x)

    def closed_form(self, xp: Any, k12: Array, k11: Array, k22: Array) -> Dual:
        return Dual(*reversed(_damped_sinh_and_cosh(xp, k12, k11, k22)))


def _damped_sinh_and_cosh(xp: Any, k12: Array, k11: Array, k22: Array) -> tuple[Array, Array]:
    """E[sin u sin v] = exp(-m) sinh(k12) and E[cos u cos v] = exp(-m) cosh(k12), m = (k11 + k22) / 2.

    From the characteristic functions of u - v and u + v, and written so that sinh neither cancels nor overflows.
    """
    size = xp.abs(k12)
    larger = xp.exp(size - (k11 + k22) / 2) / 2
    return -xp.sign(k12) * xp.expm1(-2 * size) * larger, (1 + xp.exp(-2 * size)) * larger


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
    return NAMED[activation]()
