"""The gradient of a finite network's NTK in its first input."""

from __future__ import annotations

from .._array.namespace import Array, home
from ..nn.activations.base import Activation
from ..nn.activations.higher import higher_derivative
from ..nn.contraction import Contraction
from ..nn.dense import Dense
from ..nn.layer import Factors, Layer, output_cotangents
from ..nn.linear import LinearFactors
from ..nn.parameters import Params, tree_map
from .empirical_operators import dense_parts, without_biases

__all__ = ["empirical_gradient"]

CHUNK = 2**22  # inputs along all their axes that are passed through the network at once, times features, at most


def empirical_gradient(
    net: Layer, params: Params, trained: Params, x1: Array, factors2: Factors, sum_of_logits: bool
) -> Array:
    """d/dx of the mean of Theta_cc(x, x') over outputs, or of its sum of logits, (N1, N2, d), for inputs x1 (N1, d) and
    the factors of others.

    With h the values in front of a layer and delta its cotangents, Theta is the sum over the layers with weights of
    (s_w^2 <h, h'> + s_b^2) <delta, delta'>. Along an axis of x it changes by

        s_w^2 <dh, h'> <delta, delta'> + (s_w^2 <h, h'> + s_b^2) <d delta, delta'>.

    dh comes from a tangent pass and d delta from that of the backward pass: phi' delta changes by phi' d delta +
    phi'' dz delta.

    Raises
    ------
    TypeError
        If the network has other layers than Dense and activations, or an activation whose second derivative is unknown.
    """
    if x1.ndim != 2:
        raise TypeError(
            f"the gradient of EmpiricalNTK is known for inputs (N, features); x1 has shape {tuple(x1.shape)}, with "
            "positions"
        )
    parts, xp, (n, d) = dense_parts(net, params), home(x1).xp, x1.shape
    widths = [layer.width for layer, _ in parts if isinstance(layer, Dense)]
    rows = max(CHUNK // (d * max(d, *widths)), 1)
    blocks = []
    for start in range(0, n, rows):
        still, moved = _factors(parts, x1[start : min(start + rows, n), :], sum_of_logits)
        contraction = Contraction("scalar")
        net.gram(still, factors2, contraction, trained)
        # Biases see a constant, which does not change.
        net.gram(moved, factors2, contraction, without_biases(trained))
        blocks.append(xp.permute_dims(xp.reshape(contraction.block, (-1, d, contraction.block.shape[1])), (0, 2, 1)))
    return blocks[0] if len(blocks) == 1 else xp.concat(blocks)


def _factors(parts: list[tuple[Dense | Activation, Params]], x: Array, sum_of_logits: bool) -> tuple[Factors, Factors]:
    """(h, d delta) and (dh, delta) of every layer with weights, for every input along every axis, (N d, ...)."""
    xp, (n, d) = home(x).xp, x.shape
    shape = (n * d, d)
    h = xp.reshape(xp.broadcast_to(x[:, None, :], (n, d, d)), shape)
    dh = xp.reshape(xp.broadcast_to(home(x).eye(d)[None, :, :], (n, d, d)), shape)
    passes = []
    for layer, own in parts:
        passes.append((h, dh))
        h, tape = layer.forward(own, h)
        dh = layer.tangent(own, tape, dh, tree_map(xp.zeros_like, own))
    delta = output_cotangents(h, sum_of_logits)
    ddelta = xp.zeros_like(delta)
    still: Factors = []
    moved: Factors = []
    for (layer, own), (h, dh) in zip(reversed(parts), reversed(passes), strict=True):
        if isinstance(layer, Activation):
            slope, bend = layer.derivative(xp, h), higher_derivative(layer, xp, h, 2) * dh
            ddelta = ddelta * slope[:, None, :] + delta * bend[:, None, :]
            delta = delta * slope[:, None, :]
        else:
            still.insert(0, LinearFactors(h, ddelta))
            moved.insert(0, LinearFactors(dh, delta))
            delta, ddelta = (layer.backward(own, h, cotangents)[0] for cotangents in (delta, ddelta))
    return still, moved
