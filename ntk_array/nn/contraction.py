"""How the factors of two batches become a block of the empirical NTK.

A parameter's share of the block is a product of two inner products, one over features of the inputs and one over
cotangents, so that no Jacobian is formed. Cotangents lead with the output index, (C, N, n): blocks are then
(C, N1, C, N2) inside, which keeps the inner loops long. Their input axis has length 1 where they are the same
for every input.
"""

from dataclasses import dataclass
from typing import Literal

from .._array.namespace import Array, home

__all__ = ["Contraction", "Outputs"]

Outputs = Literal["full", "trace", "classwise"]


@dataclass(frozen=True)
class Contraction:
    """Which pairs of outputs and of inputs a block holds.

    ``outputs``: "full" keeps all pairs (c, c'), "trace" is the mean over c = c', "classwise" keeps c = c'.
    ``paired``: only the pairs of inputs (i, i), for the diagonal of a kernel.
    """

    outputs: Outputs
    paired: bool = False

    def features(self, h1: Array, h2: Array) -> Array:
        """<h(x), h(x')> of features (N1, n) and (N2, n): (N1, N2), or (N,) for pairs."""
        return home(h1).xp.sum(h1 * h2, axis=1) if self.paired else h1 @ h2.T

    def cotangents(self, d1: Array, d2: Array) -> Array:
        """<delta_c(x), delta_c'(x')> of cotangents (C, N1, n) and (C, N2, n).

        (C, N1, C, N2) for "full", (N1, N2) for "trace", (C, N1, N2) for "classwise"; for pairs (C, C, N), (N,),
        (C, N). An input axis may have length 1.
        """
        xp = home(d1).xp
        outputs, n1, width = d1.shape
        n2 = d2.shape[1]
        if self.outputs == "classwise":
            return xp.sum(d1 * d2, axis=2) if self.paired else d1 @ xp.matrix_transpose(d2)
        if self.outputs == "trace":
            if self.paired:
                return xp.sum(xp.sum(d1 * d2, axis=2), axis=0) / outputs
            rows1, rows2 = (xp.reshape(xp.permute_dims(d, (1, 0, 2)), (d.shape[1], -1)) for d in (d1, d2))
            return rows1 @ rows2.T / outputs
        if self.paired:
            blocks = xp.permute_dims(d1, (1, 0, 2)) @ xp.permute_dims(d2, (1, 2, 0))
            return xp.permute_dims(blocks, (1, 2, 0))
        gram = xp.reshape(d1, (outputs * n1, width)) @ xp.reshape(d2, (outputs * n2, width)).T
        return xp.reshape(gram, (outputs, n1, outputs, n2))

    def product(self, features: Array, cotangents: Array) -> Array:
        """The two inner products of one parameter, multiplied; the second is used up."""
        if self.outputs == "full" and not self.paired:
            features = features[None, :, None, :]
        if 1 in cotangents.shape:  # to be repeated along its input axes, perhaps
            return features * cotangents
        cotangents *= features
        return cotangents
