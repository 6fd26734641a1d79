"""What tests of CUDA kernels share: they run on the host."""

import pytest

from .._formula import conformance, cuda_on_host


@pytest.fixture
def on_host(monkeypatch):
    """Arrays of NumPy take the way of those of CuPy, whose kernels are compiled as C++."""
    if missing := cuda_on_host.missing():
        pytest.skip(missing)
    cuda_on_host.on_cupys_way(monkeypatch, conformance.HostKernel, cuda_on_host.HostKernel)
    yield
    cuda_on_host.forget_kernels()
