"""Jobs: empirical kernels of finite networks, by themselves and beside other libraries on the same card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..floor import products
from ..peers.cases import Case
from ..peers.ours import flat
from .card import Card
from .kernels import described, error_of, exact_of, kernel_of, relative
from .options import Options


def empirical(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """The empirical NTK of ten outputs: its counted operations at the rate of products, over its time."""
    for width in (1024, 4096):
        widths = (options.size(width),) * 2
        case = Case(options.size(1000), 784, widths, outputs=10, bias_std=0.1, dtype="float32")
        kernel, x = kernel_of(case, card), card.xp.asarray(case.inputs())
        times = card.seconds(lambda kernel=kernel, x=x: kernel(x), repeats=3)
        work = sum(sum(counted.values()) for counted in products(case))
        rate = card.product_rate("float32", options.size(8192, least=256))
        yield {"case": described(case), "seconds": times, "share": work / rate / times["median"]} | {
            "error": error_of(case, card, kernel, x)
        }
        card.forget()


def beside(card: Card, case: Case, name: str, times: dict[str, float], theirs: np.ndarray) -> dict[str, Any]:
    """Times of our kernel and of another library's, whose matrix is on the host, and how far they are apart."""
    kernel, x = kernel_of(case, card), card.xp.asarray(case.inputs())
    ours = card.seconds(lambda: kernel(x), repeats=10)
    mine, exact = flat(card.host(kernel(x))), exact_of(case, card, x)
    return {"case": described(case), "ours": ours, name: times, "ratio": times["median"] / ours["median"]} | {
        "apart": float(np.max(np.abs(mine - theirs)) / np.max(np.abs(mine))),
        "error": error_of(case, card, kernel, x),
        f"error of {name}": relative(theirs[: len(exact), : len(exact)], exact),
    }


def shared_case(options: Options) -> Case:
    """The case that all libraries have."""
    return Case(options.size(256), 784, (options.size(1024),) * 2, 10, parameterization="standard", dtype="float32")


def peers(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """The empirical NTK against torch.func's Jacobians, on the same card and with the same parameters."""
    import torch
    from torch.func import functional_call, jacrev, vmap

    from ..peers.torch_network import network

    case = shared_case(options)
    device = "cuda" if card.gpu else "cpu"
    net, inputs = network(case).to(device), torch.from_numpy(case.inputs()).to(device)
    params = {name: value.detach() for name, value in net.named_parameters()}
    side = case.n * case.outputs

    def jacobians() -> Any:
        jacobian = vmap(jacrev(lambda p, e: functional_call(net, p, (e[None],))[0]), (None, 0), chunk_size=32)
        gram = torch.zeros(side, side, device=device)
        for leaf in jacobian(params, inputs).values():
            gram.addmm_(leaf.reshape(side, -1), leaf.reshape(side, -1).T)
        if card.gpu:
            torch.cuda.synchronize()
        return gram

    times = card.seconds(jacobians, repeats=3)
    yield beside(card, case, "torch.func", times, jacobians().cpu().numpy())


def jax_peer(card: Card, options: Options) -> Iterator[dict[str, Any]]:
    """The empirical NTK against Jacobians by JAX, compiled, on the same card and with the same parameters.

    Products of float32 are in TF32 in JAX unless it is told otherwise. A row says which precision it was told.
    """
    import jax

    if card.gpu and jax.default_backend() != "gpu":
        raise SystemExit(f"JAX {jax.__version__} has no GPU here")
    case = shared_case(options)
    params, inputs, side = jax_parameters(case), jax.numpy.asarray(case.inputs()), case.n * case.outputs
    jacobian = jax.vmap(jax.jacrev(forward), (None, 0))

    @jax.jit
    def gram(params: Any, inputs: Any) -> Any:
        leaves = jax.tree.leaves(jacobian(params, inputs))
        return sum(leaf.reshape(side, -1) @ leaf.reshape(side, -1).T for leaf in leaves)

    for told in ("highest", "default"):
        with jax.default_matmul_precision(told):
            times = card.seconds(lambda: gram(params, inputs).block_until_ready(), repeats=3)
            theirs = np.asarray(gram(params, inputs))
        device = str(jax.devices()[0])
        yield beside(card, case, "JAX", times, theirs) | {"precision": told, "device": device}


def jax_parameters(case: Case) -> list[Any]:
    """Weights (n_out, n_in) and biases of the standard parameterization."""
    import jax

    return [tuple(jax.numpy.asarray(a) for a in layer if a is not None) for layer in case.parameters()]


def forward(params: list[Any], x: Any) -> Any:
    """The outputs (C,) of an MLP of ReLU for one input, in JAX."""
    import jax

    for i, (weight, *bias) in enumerate(params):
        x = weight @ x + (bias[0] if bias else 0.0)
        x = jax.nn.relu(x) if i < len(params) - 1 else x
    return x
