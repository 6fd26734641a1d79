"""ViViT: the Gram matrix of the generalized Gauss-Newton matrix, which for a squared error is twice the NTK."""

import importlib.metadata as metadata
from typing import Any

import torch

from .cases import Case
from .torch_network import flat, inputs, network
from .worker import Ways, serve


def prepare(case: Case) -> Ways:
    """One backward pass; the shares of the parameters are added up as they come, as ViViT itself does it."""
    from backpack import backpack, extend
    from vivit.extensions.secondorder.vivit import ViViTGGNExact

    net, x = extend(network(case)), inputs(case)
    cost = extend(torch.nn.MSELoss(reduction="sum"))
    target = torch.zeros(case.n, case.outputs)
    extension = ViViTGGNExact()
    field = extension.savefield

    def run() -> Any:
        total: list[Any] = []

        def add(module: Any) -> None:
            for parameter in module.parameters(recurse=False):
                if hasattr(parameter, field):
                    share = getattr(parameter, field)["gram_mat"]()
                    delattr(parameter, field)
                    if total:
                        total[0] += share
                    else:
                        total.append(share)

        net.zero_grad()
        with backpack(extension, extension_hook=add):
            cost(net(x), target).backward()
        return total[0]

    return {"gram_mat": run}


if __name__ == "__main__":
    version = f"ViViT {metadata.version('vivit-for-pytorch')} (PyTorch {metadata.version('torch')})"
    serve(prepare, lambda gram: flat(gram) / 2, version)
