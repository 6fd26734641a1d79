"""The array libraries that tests run on: how to reach each, and what tests ask of it. A new one joins BACKENDS."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_array._array.namespace import standard_namespace, to_host


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

    def zeros(self, shape: tuple[int, ...], dtype: Any = None, device: Any = None) -> Any:
        """By the namespace of the array API: CuPy's own ``zeros`` knows no device."""
        xp = standard_namespace(self.xp)
        return xp.zeros(shape, dtype=dtype or self.dtype, device=device or self.device)

    def close(self, actual: Any, desired: Any, *, factor: float = 1e3, scale: float | None = None) -> None:
        """Largest difference at most factor * eps * scale; scale is the largest desired value unless given."""
        actual = self.host(actual)
        desired = self.host(desired)
        assert actual.shape == desired.shape, (actual.shape, desired.shape)
        scale = float(np.max(np.abs(desired), initial=0.0)) if scale is None else scale
        np.testing.assert_allclose(actual, desired, rtol=0, atol=factor * self.eps * max(scale, 1e-300))

    def host(self, x: Any) -> np.ndarray:
        return x if isinstance(x, np.ndarray) else np.asarray(to_host(x)) if hasattr(x, "shape") else np.asarray(x)


def _numpy_compiled() -> Backend:
    import numba  # noqa: F401  # loops are compiled at any size: see conftest.py

    return Backend("numpy-compiled", np, None)


def _strict() -> Backend:
    """A device that is not the host."""
    import array_api_strict

    return Backend("strict", array_api_strict, array_api_strict.Device("device1"))


def _strict_float32() -> Backend:
    """A device without float64."""
    import array_api_strict

    return Backend("strict-float32", array_api_strict, array_api_strict.Device("no_float64"), "float32")


def _torch() -> Backend:
    import torch

    return Backend("torch", torch, torch.device("cpu"))


def _jax() -> Backend:
    import jax

    jax.config.update("jax_enable_x64", True)
    return Backend("jax", jax.numpy, jax.devices("cpu")[0])


def _cupy() -> Backend:
    import cupy

    cupy.cuda.runtime.getDeviceCount()
    return Backend("cupy", cupy, None)


BACKENDS = {
    "numpy": lambda: Backend("numpy", np, None),
    "numpy-readonly": lambda: Backend("numpy-readonly", np, None),
    "numpy-compiled": _numpy_compiled,
    "strict": _strict,
    "strict-float32": _strict_float32,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
}
NAMES = tuple(BACKENDS)
# Of the NumPy ones, read-only arrays find who writes into inputs, and compiled loops run on writable arrays.
DEFAULT = ("numpy-readonly", "numpy-compiled", "strict", "strict-float32")


def backend_named(name: str) -> Backend:
    """Import the library; a missing one is an error, never a skip."""
    return BACKENDS[name]()
