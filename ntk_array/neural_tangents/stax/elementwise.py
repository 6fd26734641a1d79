"""Activations of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ... import nn
from ..._array.namespace import Array, home
from ...infinite.covariance import Covariance
from ...infinite.dual import Dual
from ...nn.activations.base import ClosedForm
from ...nn.layer import Factors
from ...nn.parameters import Params
from ..functions import Layer, layer_of
from ..parts import One

__all__ = ["Elementwise", "ElementwiseNumerical", "ExpNormalized"]

_NO_DERIVATIVE = "{} is given without its derivative, which Jacobians and kernels of finite networks need: give df="


@dataclass(frozen=True)
class Given(ClosedForm):
    """An activation by what is known of it: the function, its derivative, and its dual activation with its slope.

    The dual is a function of (cov12, var1, var2), as neural-tangents has it.
    """

    name: str
    fn: Callable[[Array], Array] | None
    df: Callable[[Array], Array] | None
    nngp_fn: Callable[[Array, Array, Array], Array] | None
    d_nngp_fn: Callable[[Array, Array, Array], Array] | None

    def __repr__(self) -> str:
        return self.name

    def function(self, xp: Any, x: Array) -> Array:
        if self.fn is None:
            raise NotImplementedError(f"{self.name} is a dual activation, and no function has been given: give fn=")
        return self.fn(x)

    def derivative(self, xp: Any, x: Array) -> Array:
        if self.df is None:
            raise NotImplementedError(_NO_DERIVATIVE.format(self.name))
        return self.df(x)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """Outputs need no derivative: the tape is the inputs."""
        return self.function(home(x).xp, x), x

    def backward(self, params: Params, tape: Array, delta: Array, to_inputs: bool = True) -> tuple[Array, Factors]:
        if not to_inputs:
            return None, []
        return delta * self.derivative(home(tape).xp, tape)[:, None, ...], []

    def tangent(self, params: Params, tape: Array, dx: Array, dparams: Params) -> Array:
        return self.derivative(home(tape).xp, tape) * dx

    def dual(self, state: Covariance) -> Dual:
        if self.nngp_fn is None or self.d_nngp_fn is None:
            raise NotImplementedError(
                f"{self.name} needs nngp_fn and d_nngp_fn for kernels at infinite width; ElementwiseNumerical, or "
                "ntk_array.nn.Elementwise, integrates the dual activation of any function"
            )
        k = state.k12, state.k11, state.k22
        return Dual(self.nngp_fn(*k), self.d_nngp_fn(*k))

    def dual_tangent(self, state: Covariance, change: Covariance) -> Dual:
        raise NotImplementedError(
            f"kernels with {self.name} have no derivative in hyper-parameters: write it as ntk_array.nn.Elementwise"
        )


def Elementwise(
    fn: Callable[[Array], Array] | None = None,
    nngp_fn: Callable[[Array, Array, Array], Array] | None = None,
    d_nngp_fn: Callable[[Array, Array, Array], Array] | None = None,
    df: Callable[[Array], Array] | None = None,
) -> Layer:
    """A function with its dual activation ``nngp_fn(cov12, var1, var2)`` and the derivative of that in cov12.

    The functions are called with arrays that broadcast, of the library of the inputs, and not number by number under a
    transformation. Nothing is differentiated: ``d_nngp_fn``, which is optional in neural-tangents, is needed for
    kernels at infinite width, and ``df``, which is no argument there, for Jacobians of the finite network.
    """
    if fn is None and nngp_fn is None:
        raise ValueError("give the function fn, its dual activation nngp_fn, or both")
    name = getattr(fn or nngp_fn, "__name__", "a function")
    return layer_of(One(Given(f"Elementwise({name})", fn, df, nngp_fn, d_nngp_fn)))


def ElementwiseNumerical(fn: Callable[[Array], Array], deg: int, df: Callable[[Array], Array] | None = None) -> Layer:
    """``ntk_array.nn.Elementwise``: the dual activation is integrated to an error that is estimated, whatever ``deg``.

    ``df`` is needed: nothing is differentiated. Integrals are computed on the host, so that both functions are called
    with NumPy arrays, too. For kinks take ``ntk_array.nn.Elementwise(breakpoints=)``.
    """
    del deg
    if df is None:
        raise NotImplementedError("ElementwiseNumerical needs df, the derivative of fn: nothing is differentiated here")
    slope = df
    made = nn.Elementwise(lambda xp, x: fn(x), lambda xp, x: slope(x), name=getattr(fn, "__name__", "user"))
    return layer_of(One(made))


def ExpNormalized(gamma: float = 1, shift: float = -1, do_clip: bool = False) -> Layer:
    """The normalized Gaussian kernel sqrt(var1 var2) exp(gamma (c + shift)) of the cosine c; no function has it."""

    def exponential(cov12: Array, var1: Array, var2: Array) -> tuple[Array, Array]:
        xp = home(cov12).xp
        norm = xp.sqrt(var1 * var2)
        cosine = cov12 / xp.where(norm > 0, norm, xp.ones_like(norm))
        cosine = xp.clip(cosine, min=-1.0, max=1.0) if do_clip else cosine
        return norm, xp.exp(gamma * (cosine + shift))

    def nngp_fn(cov12: Array, var1: Array, var2: Array) -> Array:
        norm, value = exponential(cov12, var1, var2)
        return norm * value

    def d_nngp_fn(cov12: Array, var1: Array, var2: Array) -> Array:
        return gamma * exponential(cov12, var1, var2)[1]

    return layer_of(One(Given(f"ExpNormalized({gamma}, {shift})", None, None, nngp_fn, d_nngp_fn)))
