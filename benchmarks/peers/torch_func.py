"""torch.func: Jacobians by vmap(jacrev), contracted one parameter after the other, as in PyTorch's own tutorial."""

import importlib.metadata as metadata
from typing import Any

import torch

from .cases import Case
from .torch_network import inputs, network
from .worker import Ways, serve


def prepare(case: Case) -> Ways:
    """Explicit Jacobians, once, and one einsum a parameter."""
    from torch.func import functional_call, jacrev, vmap

    net, x = network(case), inputs(case)
    params = {name: value.detach() for name, value in net.named_parameters()}

    def one(params: Any, example: torch.Tensor) -> torch.Tensor:
        return functional_call(net, params, (example[None],))[0]

    def run() -> torch.Tensor:
        jacobian = vmap(jacrev(one), (None, 0))(params, x)
        side = case.n * case.outputs
        shares = (leaf.reshape(side, -1) for leaf in jacobian.values())
        gram = torch.zeros(side, side)
        for share in shares:
            gram.addmm_(share, share.T)
        return gram

    return {"jacrev": run}


if __name__ == "__main__":
    serve(prepare, lambda gram: gram.numpy(), f"torch.func (PyTorch {metadata.version('torch')})")
