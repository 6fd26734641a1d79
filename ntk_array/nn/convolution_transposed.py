"""Transposed convolution, from few positions to many."""

from __future__ import annotations

from dataclasses import dataclass

from .._array.namespace import Array, home
from ..infinite.covariance import Covariance
from ..infinite.position_maps import scattered
from .convolution import Conv

__all__ = ["ConvTranspose"]


@dataclass(frozen=True)
class ConvTranspose(Conv):
    """Transposed convolution: (N, *positions, channels) to (N, *more positions, width).

    Each input position p adds to the output positions p * stride + d * dilation, for the elements d of the kernel:
    z_q = weight_std / sqrt(k n) sum_{p, d: p * stride + d * dilation = q} W_d h_p + bias_std b in the NTK
    parameterization. That is the adjoint of :class:`Conv` with the same arguments, with other weights. Parameters are
    those of Conv.

    In the infinite-width limit K' and Theta' are those of Conv for the positions that each element of the kernel meets:
    K'(q, q') = weight_std^2 / k sum over such p and p' of one d of K(p, p') + bias_std^2.

    Parameters
    ----------
    width, kernel_size, stride, dilation, groups, weight_std, bias_std, parameterization
        As for :class:`Conv`.
    padding : "same", "valid" or "circular"
        "same" gives n * stride output positions along an axis of n; what reaches further is cut off. "circular" adds it
        at the other end. "valid" gives all positions that are reached, (n - 1) * stride + the reach of the kernel.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> layer = ntk.nn.ConvTranspose(1, (2,), stride=2)
    >>> layer({"weight": np.asarray([[[1.0], [2.0]]])}, np.asarray([[[1.0], [3.0]]]))[0, :, 0] * 2**0.5
    array([1., 2., 3., 6.])
    """

    window = None

    def _outputs(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        """Those whose windows are as many as the input has positions."""
        strides: tuple[int, ...] = self.reach.stride
        if not isinstance(self.padding, str):
            raise ValueError('padding of a transposed convolution must be "same", "valid" or "circular"')
        if self.padding != "valid":
            return tuple(n * stride for n, stride in zip(positions, strides, strict=True))
        sides = zip(positions, strides, self.reach.dilation, self.kernel_size, strict=True)
        return tuple((n - 1) * stride + (size - 1) * dilation + 1 for n, stride, dilation, size in sides)

    def gathered(self, x: Array) -> Array:
        axes, outputs = range(1, x.ndim - 1), self.outputs(tuple(x.shape[1:-1]))
        parts = [self.reach.placed(x, element, axes, outputs) for element in self.reach.elements]
        return parts[0] if len(parts) == 1 else home(x).xp.concat(parts, axis=-1)

    def scattered(self, seen: Array, positions: tuple[int, ...]) -> Array:
        axes = range(1, seen.ndim - 1)
        parts = [
            self.reach.at(self.reach.padded(part, axes), axes, element, positions)
            for part, element in zip(self._elements(seen), self.reach.elements, strict=True)
        ]
        return sum(parts[1:], parts[0])

    def terms(self, state: Covariance) -> list[Covariance]:
        positions = tuple(state.k12.shape[axis] for axis in state.frame.rows)
        return scattered(state, self.reach, self.outputs(positions))
