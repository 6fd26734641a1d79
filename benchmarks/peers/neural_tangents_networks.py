"""Kernels of networks.py by neural-tangents, in a process of its own.

Run: python -m benchmarks.peers.neural_tangents_networks PARAMETERS RESULTS. Both are npz files; the first has the
parameters of finite networks, by the network's name, the number of the layer among those with parameters, and theirs.
"""

import importlib.metadata as metadata
import sys
import warnings
from typing import Any

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402
import neural_tangents as nt  # noqa: E402
from neural_tangents import stax  # noqa: E402

from .networks import FINITE, INFINITE, Layers, Network, Parameters, each_axis, read  # noqa: E402

FAN_IN = {"Sum": stax.FanInSum, "Product": stax.FanInProd, "Concatenate": stax.FanInConcat}
ON_GRAPHS = {"sum": stax.GlobalSumPool, "mean": stax.GlobalAvgPool}
GLOBAL = {name: getattr(stax, name) for name in ("GlobalAvgPool", "GlobalSumPool", "Flatten", "Identity", "Gabor")}
NAMES = {
    "ReLU": ("Relu", {}),
    "LeakyReLU": ("LeakyRelu", {"negative_slope": "alpha"}),
    "ABReLU": ("ABRelu", {}),
    "GELU": ("Gelu", {}),
    "SigmoidLike": ("Sigmoid_like", {}),
    "Polynomial": ("Polynomial", {"coefficients": "coef"}),
}
"""Activations that have another name there, and arguments that do."""


def network(layers: Layers) -> Any:
    """The same layers."""
    return stax.serial(*(_layer(kind, dict(options)) for kind, options in layers))


def _layer(kind: str, options: dict[str, Any]) -> Any:
    if kind in FAN_IN:
        parts = [network(part) for part in options["branches"]]
        return stax.serial(stax.FanOut(len(parts)), stax.parallel(*parts), FAN_IN[kind]())
    if kind == "GraphNetwork":
        return network(*options["branches"])
    if kind == "Aggregate":
        return stax.Aggregate(aggregate_axis=1, batch_axis=0, channel_axis=-1)
    if kind == "GraphPool":
        return ON_GRAPHS[options["kind"]]()
    if kind in ("Conv", "Dense"):
        weights = {
            "W_std": options.get("weight_std", 1.0),
            "b_std": options.get("bias_std") or None,
            "parameterization": options.get("parameterization", "ntk"),
        }
        if kind == "Dense":
            return stax.Dense(options["width"], **weights)
        size = tuple(options["kernel_size"])
        stride = each_axis(options["stride"], len(size))
        return stax.Conv(options["width"], size, stride, options["padding"].upper(), **weights)
    if kind in ("AvgPool", "SumPool"):
        size = tuple(options["window_size"])
        edges = {"normalize_edges": options.get("normalize_edges", False)} if kind == "AvgPool" else {}
        return getattr(stax, kind)(size, each_axis(options["stride"], len(size)), options["padding"].upper(), **edges)
    if kind in GLOBAL:
        return GLOBAL[kind]()
    name, renamed = NAMES.get(kind, (kind, {}))
    return getattr(stax, name)(**{renamed.get(key, key): value for key, value in options.items()})


def parameters(layers: Layers, given: Parameters) -> list[Any]:
    """Those of ntk_array, taken in order, as neural-tangents has them: weights (n, width) or (*size, n, width)."""
    return [_own(kind, options, given) for kind, options in layers]


def _own(kind: str, options: dict[str, Any], given: Parameters) -> Any:
    if kind in FAN_IN:
        return [(), [parameters(part, given) for part in options["branches"]], ()]
    if kind not in ("Conv", "Dense"):
        return ()
    own = next(given)
    weight = jnp.asarray(np.moveaxis(own["weight"], 0, -1))
    bias = own.get("bias")
    # A bias has the axes of the outputs: (1, ..., 1, width).
    return weight, None if bias is None else jnp.asarray(bias.reshape((1,) * (weight.ndim - 1) + (-1,)))


def infinite(net: Network) -> dict[str, np.ndarray]:
    """NTK and NNGP."""
    one, two = (jnp.asarray(x) for x in net.inputs())
    others = {}
    if net.layers[0][0] == "GraphNetwork":
        channels = net.shape[1] - net.shape[0] - 1
        # An entry of a pattern is that of an edge from its first node to its second, against the adjacency of ours.
        others["pattern"] = tuple(jnp.swapaxes(x[..., channels + 1 :], 1, 2) for x in (one, two))
        one, two = one[..., :channels], two[..., :channels]
    kernel = jax.jit(network(net.layers)[2], static_argnums=2)
    return {name: np.asarray(kernel(one, two, name, **others)) for name in net.kernels}


def empirical(net: Network, given: Parameters) -> dict[str, np.ndarray]:
    """The outputs and the NTK (N1, C, N2, C), by contraction of Jacobians."""
    one, two = (jnp.asarray(x) for x in net.inputs())
    apply = network(net.layers)[1]
    own = parameters(net.layers, given)
    kernel = jax.jit(nt.empirical_ntk_fn(apply, trace_axes=(), implementation=1))
    found = np.asarray(kernel(one, two, own))
    return {"outputs": np.asarray(apply(own, one)), "ntk": found.transpose(0, 2, 1, 3)}


def main() -> None:
    """All networks; one that the library refuses has its reason in place of values."""
    warnings.simplefilter("ignore")
    given = read(sys.argv[1])
    results: dict[str, Any] = {
        "version": f"neural-tangents {metadata.version('neural-tangents')} (JAX {metadata.version('jax')})"
    }
    for kind, nets in (("infinite", INFINITE), ("empirical", FINITE)):
        for net in nets:
            try:
                values = infinite(net) if kind == "infinite" else empirical(net, given[net.name])
            except (NotImplementedError, ValueError) as error:
                values = {"refused": np.asarray(str(error))}
            results |= {f"{kind}|{net.name}|{key}": value for key, value in values.items()}
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
