"""The network of a case in PyTorch, for the peers that are made of it."""

from typing import Any

import torch

from .cases import Case


def network(case: Case) -> torch.nn.Sequential:
    """Linear and ReLU modules with the parameters of a case in the standard parameterization."""
    modules: list[Any] = []
    for weight, bias in case.parameters():
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float32)
        linear.weight.data = torch.from_numpy(weight)
        if bias is not None:
            linear.bias.data = torch.from_numpy(bias)
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def inputs(case: Case) -> torch.Tensor:
    """The inputs of a case."""
    return torch.from_numpy(case.inputs())


def flat(gram: torch.Tensor) -> Any:
    """(C, N, C, N) as a NumPy array (N C, N C)."""
    outputs, n = gram.shape[:2]
    return gram.detach().numpy().transpose(1, 0, 3, 2).reshape(n * outputs, n * outputs)
