"""The NTK of a finite network between what differential operators make of it: that of a physics-informed network.

For an operator L in the inputs, (L f)(x) is a function of the parameters like f(x) itself, and

    L^x L'^x' Theta(x, x') = <grad_theta (L f)(x), grad_theta (L' f)(x')>    (Wang, Yu, Perdikaris 2022, Lemma 3.1).

Derivatives along directions v are carried through the layers as jets (h, D_v h, D_v^2 h), forward and backward. A
layer of weights is linear in the jets, so that its gradient is the sum of the products of their parts with the
cotangents of these: what a layer with positions has, with parts in place of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from .._array.namespace import Array, home
from ..infinite.taylor import Along, Terms
from ..nn.activations.base import Activation
from ..nn.activations.higher import higher_derivative
from ..nn.contraction import Contraction
from ..nn.dense import Dense
from ..nn.layer import Factors, Layer, output_cotangents
from ..nn.linear import LinearFactors
from ..nn.parameters import Params
from ..nn.sequential import Sequential

__all__ = ["dense_parts", "observed", "operated", "without_biases"]


class OperatedFactors(NamedTuple):
    """The factors of weights, from all parts of all jets, and of biases, which see values only: constants have no
    derivatives."""

    weights: Factors
    biases: Factors


def operated(
    net: Layer,
    params: Params,
    trained: Params,
    batches: tuple[Array, Array],
    operators: tuple[Terms, Terms],
    sum_of_logits: bool,
    paired: bool,
) -> Array:
    """The mean over outputs of L^x L'^x' Theta_cc(x, x'), or its sum of logits, (N1, N2), or (N,) for pairs.

    Raises
    ------
    TypeError
        If the network has other layers than Dense and activations, or an activation whose derivatives are unknown.
    ValueError
        If an operator of order 2 meets an activation with a kink.
    """
    parts, (x1, x2), (first, second) = dense_parts(net, params), batches, operators
    if not (first and second):  # 0 times an operator
        here = home(x1)
        return here.xp.zeros(
            x1.shape[:1] if paired else (x1.shape[0], x2.shape[0]), dtype=here.dtype, device=here.device
        )
    one = _factors(parts, x1, first, sum_of_logits)
    two = one if x1 is x2 and first is second else _factors(parts, x2, second, sum_of_logits)
    contraction = Contraction("scalar", paired)
    net.gram(one.weights, two.weights, contraction, without_biases(trained))
    net.gram(one.biases, two.biases, contraction, _only_biases(trained))
    return contraction.block


def observed(net: Layer, params: Params, x: Array, terms: Terms) -> Array:
    """(L f)(x), (N, C). Errors are those of :func:`operated`."""
    outputs = _passes(dense_parts(net, params), x, terms)[-1]
    parts = [own[-1] if own else outputs.value for own in outputs.along]
    shares = (factor * part for (factor, _), part in zip(terms, parts, strict=True))
    return sum(shares, start=home(x).xp.zeros_like(outputs.value))


def dense_parts(net: Layer, params: Params) -> list[tuple[Dense | Activation, Params]]:
    """The layers of nested sequences in order, with their parameters."""
    if isinstance(net, Sequential):
        return [part for pair in zip(net.layers, params, strict=True) for part in dense_parts(*pair)]
    if isinstance(net, Dense | Activation):
        return [(net, params)]
    raise TypeError(
        "derivatives of EmpiricalNTK in its inputs are known for sequences of Dense layers and activations, not "
        f"for {net!r}; those of the network itself are net.input_jacobian(params, x)"
    )


def _factors(
    parts: list[tuple[Dense | Activation, Params]], x: Array, terms: Terms, sum_of_logits: bool
) -> OperatedFactors:
    """The factors of the gradient of (L f)(x) in the parameters: (N, R, n) and (N or 1, C, R, n), R parts of jets."""
    xp, orders = home(x).xp, [along.order for _, along in terms]
    *passes, outputs = _passes(parts, x, terms)
    ends = output_cotangents(outputs.value, sum_of_logits)
    zeros = xp.zeros_like(ends)
    cotangents = _Jets(
        sum((factor * ends for factor, along in terms if not along.order), start=zeros),
        [[*[zeros] * (order - 1), factor * ends][:order] for (factor, _), order in zip(terms, orders, strict=True)],
    )
    found = OperatedFactors([], [])
    for (layer, own), jets in zip(reversed(parts), reversed(passes), strict=True):
        if isinstance(layer, Activation):
            cotangents = _pulled_back(layer, jets, cotangents)
            continue
        found.biases.insert(0, LinearFactors(jets.value, cotangents.value))
        back, factors = layer.backward(own, jets.stacked(axis=1), cotangents.stacked(axis=2))
        found.weights[:0] = factors
        cotangents = _Jets.unstacked(back, orders, axis=2)
    return found


def _passes(parts: list[tuple[Dense | Activation, Params]], x: Array, terms: Terms) -> list[_Jets]:
    """The jets before each layer, and at last those of the outputs."""
    jets = [_Jets(x, [_start(x, along) for _, along in terms])]
    for layer, own in parts:
        jets.append(_activated(layer, jets[-1]) if isinstance(layer, Activation) else _affine(layer, own, jets[-1]))
    return jets


class _Jets(NamedTuple):
    """A value and, for each direction, its first and perhaps its second derivative; or their cotangents."""

    value: Array
    along: list[list[Array]]

    @property
    def order(self) -> int:
        """Of the highest derivative."""
        return max(map(len, self.along), default=0)

    def stacked(self, axis: int) -> Array:
        """All of them along a new axis."""
        return home(self.value).xp.stack([self.value, *(part for parts in self.along for part in parts)], axis=axis)

    @classmethod
    def unstacked(cls, stack: Array, orders: Sequence[int], axis: int) -> _Jets:
        """The reverse."""
        left = iter(home(stack).xp.unstack(stack, axis=axis))
        return cls(next(left), [[next(left) for _ in range(order)] for order in orders])


def _start(x: Array, along: Along) -> list[Array]:
    """The derivatives of the inputs themselves."""
    if along.direction is None:
        return []
    here = home(x)
    velocity = here.xp.broadcast_to(here.asarray(along.direction)[None, :], x.shape)
    return [velocity, here.xp.zeros_like(x)][: along.order]


def _affine(layer: Dense, own: Params, jets: _Jets) -> _Jets:
    """The layer of the value, and the weights times all derivatives at once: a bias is a constant."""
    xp, parts = home(jets.value).xp, [part for parts in jets.along for part in parts]
    value, _ = layer.forward(own, jets.value)
    if not parts:
        return jets._replace(value=value)
    z, _ = replace(layer, bias_std=0.0).forward({"weight": own["weight"]}, xp.stack(parts, axis=1))
    left = iter(xp.unstack(z, axis=1))
    return _Jets(value, [[next(left) for _ in parts] for parts in jets.along])


def _activated(phi: Activation, jets: _Jets) -> _Jets:
    """phi(z), phi' z_1 and phi'' z_1^2 + phi' z_2."""
    xp, z = home(jets.value).xp, jets.value
    value, slope = phi.value_and_derivative(xp, z)
    after = _Jets(value, [[slope * part for part in parts] for parts in jets.along])
    if jets.order < 2:
        return after
    if phi.breakpoints:
        raise ValueError(
            f"{phi!r} has a kink, where a network has no second derivatives: take a smooth activation, such as "
            "Erf, GELU, SiLU, Tanh or Softplus"
        )
    bend = higher_derivative(phi, xp, z, 2)
    for old, new in zip(jets.along, after.along, strict=True):
        if len(old) == 2:
            new[1] = new[1] + bend * old[0] ** 2
    return after


def _pulled_back(phi: Activation, jets: _Jets, cotangents: _Jets) -> _Jets:
    """The adjoint of the derivative of :func:`_activated`."""
    xp, z = home(jets.value).xp, jets.value

    def spread(a: Array) -> Array:
        return a[:, None, :]

    slope = spread(phi.derivative(xp, z))
    value, after = slope * cotangents.value, [[slope * own for own in parts] for parts in cotangents.along]
    bend = higher_derivative(phi, xp, z, 2) if jets.order else None
    third = higher_derivative(phi, xp, z, 3) if jets.order == 2 else None
    for parts, old, new in zip(jets.along, cotangents.along, after, strict=True):
        if parts:
            value = value + spread(bend * parts[0]) * old[0]
        if len(parts) == 2:
            new[0] = new[0] + 2.0 * spread(bend * parts[0]) * old[1]
            value = value + spread(third * parts[0] ** 2 + bend * parts[1]) * old[1]
    return _Jets(value, after)


def without_biases(trained: Params) -> Params:
    """Which parameters are trained, biases not among them."""
    if isinstance(trained, dict):
        return {name: keep and name != "bias" for name, keep in trained.items()}
    return tuple(map(without_biases, trained))


def _only_biases(trained: Params) -> Params:
    if isinstance(trained, dict):
        return {name: keep and name == "bias" for name, keep in trained.items()}
    return tuple(map(_only_biases, trained))
