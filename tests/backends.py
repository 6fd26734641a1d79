"""The array libraries that tests run on: how to reach each, and what tests ask of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_array._array.namespace import to_host

NAMES = ("numpy", "numpy-readonly", "numpy-compiled", "strict", "strict-float32", "torch", "jax", "cupy")
DEFAULT = ("numpy", "numpy-readonly", "numpy-compiled", "strict", "strict-float32")


@dataclass(frozen=True)
class Backend:
    """One library on one device, with the widest dtype it has there."""

    name: str
    xp: Any
    device: Any
    dtype_name: str = "float64"

    @property
    def dtype(self) -> Any:
        return getattr(self.xp, self.dtype_name)

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype_name).eps)

    def array(self, host: Any) -> Any:
        """A host array (or nested list) on this backend; floats are cast to its dtype, integers stay."""
        host = np.array(host)
        if host.dtype.kind == "f":
            host = host.astype(self.dtype_name)
        if self.name == "numpy-readonly":
            host.flags.writeable = False
        if self.name.startswith("numpy"):
            return host
        return self.xp.asarray(host, device=self.device) if self.device is not None else self.xp.asarray(host)

    def close(self, actual: Any, desired: Any, *, factor: float = 1e3, scale: float | None = None) -> None:
        """Largest difference at most factor * eps * scale; scale is the largest desired value unless given."""
        actual = self.host(actual)
        desired = self.host(desired)
        assert actual.shape == desired.shape, (actual.shape, desired.shape)
        scale = float(np.max(np.abs(desired), initial=0.0)) if scale is None else scale
        np.testing.assert_allclose(actual, desired, rtol=0, atol=factor * self.eps * max(scale, 1e-300))

    def host(self, x: Any) -> np.ndarray:
        return x if isinstance(x, np.ndarray) else np.asarray(to_host(x)) if hasattr(x, "shape") else np.asarray(x)


def backend_named(name: str) -> Backend:
    """Import the library; a missing one is an error, never a skip."""
    if name == "numpy-compiled":
        import numba  # noqa: F401  # loops are compiled at any size: see conftest.py
    if name.startswith("numpy"):
        return Backend(name, np, None)
    if name.startswith("strict"):
        import array_api_strict

        if name == "strict":
            return Backend(name, array_api_strict, array_api_strict.Device("device1"))
        return Backend(name, array_api_strict, array_api_strict.Device("no_float64"), "float32")
    if name == "torch":
        import torch

        return Backend(name, torch, torch.device("cpu"))
    if name == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        return Backend(name, jax.numpy, jax.devices("cpu")[0])
    if name == "cupy":
        import cupy

        cupy.cuda.runtime.getDeviceCount()
        return Backend(name, cupy, None)
    raise ValueError(f"unknown backend {name!r}; choose from {', '.join(NAMES)}")
