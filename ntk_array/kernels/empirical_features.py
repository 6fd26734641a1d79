"""The gradient of a finite network as features of its tangent kernel."""

import math
from dataclasses import dataclass
from typing import Any

from .._array.namespace import Array, home
from ..infinite.signal import Signal
from ..nn.layer import output_cotangents
from ..nn.parameters import flatten, select
from .empirical import EmpiricalNTK
from .features import FeatureKernel

__all__ = ["EmpiricalFeatures"]


@dataclass(frozen=True, eq=False)
class EmpiricalFeatures(FeatureKernel):
    """An empirical NTK by its features, the explicit Jacobian of the network: exact, with P features or C P.

    For P trained parameters, ``outputs="sum_of_logits"`` has the P features C^(-1/2) sum_c df_c / dtheta, and
    ``outputs="trace"`` the C P features C^(-1/2) df_c / dtheta. For networks of few parameters, such as small ones, or
    for ``trainable="last"``, regression on many inputs then needs no kernel matrix.

    Parameters
    ----------
    kernel : EmpiricalNTK
        Scalar: of one of these ``outputs``.

    Raises
    ------
    TypeError, ValueError
        If the kernel is no empirical NTK, or not scalar.

    Examples
    --------
    >>> import numpy as np, ntk_array as ntk
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> net = ntk.nn.mlp((16,), 1)
    >>> K = ntk.EmpiricalNTK(net, net.init(0, like=x), outputs="trace")
    >>> features = ntk.EmpiricalFeatures(K)
    >>> features.features(x).shape                       # 16 x 3 weights and 16
    (50, 64)
    >>> bool(np.allclose(features(x), K(x)))
    True
    """

    kernel: EmpiricalNTK

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, EmpiricalNTK):
            raise TypeError(f"kernel must be an EmpiricalNTK, got {self.kernel!r}")
        if self.kernel.kind != "scalar":
            raise ValueError(
                f"features are for scalar kernels, and this one is {self.kernel.kind}: take an EmpiricalNTK with "
                'outputs="trace" or "sum_of_logits"'
            )

    def validated(self, x1: Any, x2: Any) -> tuple[Array, Array | None]:
        return self.kernel.validated(x1, x2)

    def feature_count(self, x: Array) -> int:
        kernel, kept = self.kernel, flatten(select(self.kernel.params, self.kernel.trainable))
        size: int = sum(math.prod(p.shape) for name, p in flatten(kernel.params).items() if kept[name])
        outputs: int = kernel.net.signal(Signal(tuple(x.shape[1:]))).width if kernel.outputs == "trace" else 1
        return size * outputs

    def feature_rows(self, x: Array) -> Array:
        kernel, xp = self.kernel, home(x).xp
        f, tape = kernel.net.forward(kernel.params, x)
        delta = output_cotangents(f, kernel.outputs == "sum_of_logits")
        jacobian = kernel.net.expand(kernel.net.backward(kernel.params, tape, delta, False)[1])
        kept = flatten(select(kernel.params, kernel.trainable))
        # Each parameter is (N, C, *its shape), or (N, 1, *its shape) for a sum of logits, which has its factor.
        scale = delta.shape[1] ** -0.5
        parts = [
            scale * xp.reshape(xp.broadcast_to(own, (x.shape[0], *own.shape[1:])), (x.shape[0], -1))
            for name, own in flatten(jacobian).items()
            if kept[name]
        ]
        return xp.concat(parts, axis=1)
