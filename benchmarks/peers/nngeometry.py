"""NNGeometry: its FMatDense is the empirical NTK."""

import importlib.metadata as metadata
from typing import Any

from .cases import Case
from .torch_network import flat, inputs, network
from .worker import Ways, serve


def prepare(case: Case) -> Ways:
    """All inputs as one batch."""
    from nngeometry.backend import TorchHooksJacobianBackend
    from nngeometry.object.fspace import FMatDense
    from torch.utils.data import DataLoader, TensorDataset

    backend = TorchHooksJacobianBackend(network(case))
    examples = DataLoader(TensorDataset(inputs(case)), batch_size=case.n)

    def run() -> Any:
        return FMatDense(backend, examples=examples).to_torch()

    return {"FMatDense": run}


if __name__ == "__main__":
    serve(prepare, flat, f"NNGeometry {metadata.version('nngeometry')} (PyTorch {metadata.version('torch')})")
