"""The network of a case in PyTorch, for the peers that are made of it."""

from typing import Any

import numpy as np
import torch

from .cases import Case


def network(case: Case) -> torch.nn.Sequential:
    """Linear, convolution and ReLU modules with the parameters of a case in the standard parameterization."""
    modules: list[Any] = []
    for weight, bias in case.parameters():
        sizes, options = (weight.shape[-1], weight.shape[0]), {"bias": bias is not None, "dtype": torch.float32}
        if weight.ndim > 2:
            linear: Any = torch.nn.Conv2d(*sizes, 3, padding="same", **options)
        else:
            modules += [_Readout(case.readout)] if case.image else []
            linear = torch.nn.Linear(*sizes, **options)
        linear.weight.data = torch.from_numpy(np.ascontiguousarray(np.moveaxis(weight, -1, 1)))
        if bias is not None:
            linear.bias.data = torch.from_numpy(bias)
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def inputs(case: Case) -> torch.Tensor:
    """The inputs of a case; images have the channels first."""
    return torch.from_numpy(case.inputs()).movedim(-1, 1).contiguous()


class _Readout(torch.nn.Module):
    """What the last layer sees of (N, channels, *image)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).mean(dim=2) if self.kind == "average" else x.movedim(1, -1).flatten(1)


def flat(gram: torch.Tensor) -> Any:
    """(C, N, C, N) as a NumPy array (N C, N C)."""
    outputs, n = gram.shape[:2]
    return gram.detach().numpy().transpose(1, 0, 3, 2).reshape(n * outputs, n * outputs)
