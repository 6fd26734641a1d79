"""Empirical NTKs of networks.py by torch.func, in a process of its own.

Run: python -m benchmarks.peers.torch_func_networks PARAMETERS RESULTS, as for neural_tangents_networks.
"""

import importlib.metadata as metadata
import math
import sys
from typing import Any

import numpy as np
import torch
from torch.func import jacrev, vmap

from .networks import FINITE, Layers, Network, Parameters, each_axis, read

CONVOLUTIONS = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)
ACTIVATIONS = {
    "Identity": lambda x: x,
    "ReLU": torch.relu,
    "LeakyReLU": lambda x, negative_slope: torch.where(x > 0, x, negative_slope * x),
    "ABReLU": lambda x, a, b: torch.where(x > 0, b * x, a * x),
    "Abs": torch.abs,
    "Sign": torch.sign,
    "RectifiedMonomial": lambda x, degree: torch.relu(x) ** degree,
    "Erf": lambda x, a=1.0, b=1.0, c=0.0: a * torch.erf(b * x) + c,
    "SigmoidLike": lambda x: 0.5 + 0.5 * torch.erf(x / 2.4020563531719796),
    "GELU": torch.nn.functional.gelu,
    "Sin": lambda x, a, b, c: a * torch.sin(b * x + c),
    "Cos": lambda x, a, b, c: a * torch.cos(b * x + c),
    "Rbf": lambda x, gamma: math.sqrt(2) * torch.sin(math.sqrt(2 * gamma) * x + math.pi / 4),
    "Exp": lambda x, a, b: a * torch.exp(b * x),
    "Gaussian": lambda x, a, b: a * torch.exp(b * x * x),
    "Gabor": lambda x: torch.exp(-x * x) * torch.sin(x),
    "Monomial": lambda x, degree: x**degree,
    "Polynomial": lambda x, coefficients: sum(c * x**j for j, c in enumerate(coefficients)),
    "Hermite": lambda x, degree: (x**3 - 3 * x) / math.sqrt(6),
}
"""Written out; the Hermite polynomial is that of degree 3."""


def forward(layers: Layers, params: Parameters, x: Any) -> Any:
    """The outputs of inputs with the channels first, (N, channels, *positions)."""
    for kind, options in layers:
        x = _layer(kind, options, params, x)
    return x


def _layer(kind: str, options: dict[str, Any], params: Parameters, x: Any) -> Any:
    if kind in ("Sum", "Product", "Concatenate"):
        parts = [forward(part, params, x) for part in options["branches"]]
        joined = {"Sum": sum, "Product": math.prod, "Concatenate": lambda parts: torch.cat(parts, dim=1)}
        return joined[kind](parts)
    if kind in ("Conv", "Dense"):
        return _weighted(options, next(params), x)
    if kind in ("AvgPool", "SumPool"):
        return _pooled(kind, options, x)
    if kind in ("GlobalAvgPool", "GlobalSumPool"):
        return getattr(torch, "mean" if kind == "GlobalAvgPool" else "sum")(x.flatten(2), dim=2)
    if kind == "Flatten":
        return x.movedim(1, -1).flatten(1)
    return ACTIVATIONS[kind](x, **options)


def _weighted(options: dict[str, Any], own: dict[str, Any], x: Any) -> Any:
    weight, axes = own["weight"].movedim(-1, 1), x.ndim - 2
    size = options.get("kernel_size", [1] * axes)
    scales = (1.0, 1.0)
    if options.get("parameterization", "ntk") == "ntk":
        fan_in = math.prod(weight.shape[1:])
        scales = (options.get("weight_std", 1.0) / fan_in**0.5, options.get("bias_std", 0.0))
    bias = scales[1] * own["bias"] if "bias" in own else None
    if not axes:
        return torch.nn.functional.linear(x, scales[0] * weight, bias)
    weight = weight.reshape(*weight.shape[:2], *size)
    stride = each_axis(options.get("stride", 1), axes)
    padded = _padded(x, size, stride, options.get("padding", "valid"))
    return CONVOLUTIONS[axes - 1](padded, scales[0] * weight, bias, stride)


def _padded(x: Any, size: list[int], stride: tuple[int, ...], padding: str) -> Any:
    """With positions added on both sides, the odd one after, until there are ceil(n / stride) windows."""
    if padding == "valid":
        return x
    for axis, (length, step) in enumerate(zip(size, stride, strict=True), start=2):
        n = x.shape[axis]
        missing = max((-(-n // step) - 1) * step + length - n, 0)
        before = missing // 2
        around = torch.arange(-before, n + missing - before)
        inside = ((around >= 0) & (around < n)).to(x.dtype)
        x = x.index_select(axis, around % n)
        if padding == "same":
            x = x * inside.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return x


def _pooled(kind: str, options: dict[str, Any], x: Any) -> Any:
    size, axes = options["window_size"], x.ndim - 2
    stride, window = each_axis(options["stride"], axes), torch.ones(1, 1, *size, dtype=x.dtype)

    def summed(values: Any) -> Any:
        rows = values.reshape(-1, 1, *values.shape[2:])
        sums = CONVOLUTIONS[axes - 1](_padded(rows, size, stride, options["padding"]), window, None, stride)
        return sums.reshape(*values.shape[:2], *sums.shape[2:])

    if kind == "SumPool":
        return summed(x)
    return summed(x) / (summed(torch.ones_like(x)) if options.get("normalize_edges") else math.prod(size))


def empirical(net: Network, given: Parameters) -> dict[str, np.ndarray]:
    """The outputs and the NTK (N1, C, N2, C), from Jacobians."""
    own = [{name: torch.from_numpy(value) for name, value in layer.items()} for layer in given]
    one, two = (torch.from_numpy(x).movedim(-1, 1) for x in net.inputs())

    def single(params: Any, x: Any) -> Any:
        return forward(net.layers, iter(params), x[None])[0]

    def jacobian(x: Any) -> Any:
        found = vmap(jacrev(single), (None, 0))(own, x)
        leaves = [leaf.flatten(2) for layer in found for leaf in layer.values()]
        return torch.cat(leaves, dim=2)

    ntk = torch.einsum("aip,bjp->aibj", jacobian(one), jacobian(two))
    return {"outputs": forward(net.layers, iter(own), one).numpy(), "ntk": ntk.numpy()}


def main() -> None:
    """All finite networks."""
    given = read(sys.argv[1])
    results: dict[str, Any] = {"version": f"torch.func (PyTorch {metadata.version('torch')})"}
    for net in FINITE:
        values = empirical(net, given[net.name])
        results |= {f"empirical|{net.name}|{key}": value for key, value in values.items()}
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
