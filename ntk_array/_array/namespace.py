"""Which library, device and dtype arrays belong to, and the two ways across to the host.

This is the only module that imports array-api-compat.
"""

from functools import cache
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

__all__ = [
    "Array",
    "Home",
    "default_dtype",
    "home",
    "is_array",
    "itemsize",
    "library",
    "standard_namespace",
    "to_host",
    "true_indices",
]

Array = Any
"""An array of any supported library."""


class Home(NamedTuple):
    """Where arrays live: their library's namespace, dtype and device. New arrays are made from it."""

    xp: Any
    dtype: Any
    device: Any

    def asarray(self, host: Any) -> Array:
        """Move a NumPy array (or number) here, cast to this dtype."""
        # A copy: the result must not alias a buffer of the host, and PyTorch refuses read-only buffers.
        host = np.array(host, dtype=np.float64)
        array = self.xp.asarray(host, dtype=self.dtype, device=self.device)
        if array.dtype != self.dtype:
            raise ValueError(
                f"{self.xp.__name__} made {array.dtype} where {self.dtype} was asked for; "
                "for float64 in JAX call jax.config.update('jax_enable_x64', True) first, or use float32"
            )
        return array

    def eye(self, n: int) -> Array:
        """The n x n identity."""
        return self.xp.eye(n, dtype=self.dtype, device=self.device)

    @property
    def eps(self) -> float:
        """The spacing of this dtype at 1."""
        return float(self.xp.finfo(self.dtype).eps)


def is_array(x: object) -> bool:
    """Whether x is an array of a library that speaks the array API."""
    return bool(compat.is_array_api_obj(x))


def library(*arrays: Array) -> Any:
    """The array API namespace that all arrays share; arrays of two libraries are a TypeError."""
    if all(type(a) is np.ndarray for a in arrays):  # asked for several times a tile: the library's own search is slow
        return _numpy()
    try:
        return compat.array_namespace(*arrays)
    except TypeError as error:
        kinds = sorted({f"{type(a).__module__}.{type(a).__qualname__}" for a in arrays})
        raise TypeError(
            f"one call takes arrays of one library, got {', '.join(kinds)}; convert them to the same library"
        ) from error


@cache
def _numpy() -> Any:
    return compat.array_namespace(np.zeros(0))


def standard_namespace(xp: Any) -> Any:
    """The array API namespace of a library given as its module, such as numpy, torch or cupy."""
    try:
        return compat.array_namespace(xp.zeros(0))
    except (AttributeError, TypeError) as error:
        raise TypeError(f"xp must be an array library such as numpy, torch, cupy or jax.numpy, got {xp!r}") from error


def home(*arrays: Array) -> Home:
    """The library of all arrays, and the dtype and device of the first."""
    first = arrays[0]
    return Home(library(*arrays), first.dtype, "cpu" if type(first) is np.ndarray else compat.device(first))


def itemsize(home: Home) -> int:
    """Bytes of a number."""
    return int(home.xp.finfo(home.dtype).bits) // 8


def default_dtype(xp: Any, device: Any = None) -> Any:
    """The widest floating-point dtype this library offers on this device by default.

    NumPy and CuPy answer float64, PyTorch float32, JAX what its x64 switch says.
    """
    return xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]


def to_host(x: Array) -> np.ndarray:
    """A NumPy copy of x. On a GPU this waits for the device: for scalars that decide, and for files."""
    if compat.is_torch_array(x):
        x = x.detach().cpu()
    elif compat.is_cupy_array(x):
        return np.asarray(x.get())
    elif not (compat.is_numpy_array(x) or compat.is_jax_array(x)):
        x = x.to_device(_host_device(compat.array_namespace(x)))
    return np.asarray(x)


def _host_device(xp: Any) -> Any:
    return next(d for d in xp.__array_namespace_info__().devices() if "cpu" in str(d).lower())


def true_indices(mask: Array) -> Array:
    """Where a mask (n,) is true.

    On JAX, which compiles for every new shape, padded with zeros to a power of two.
    """
    if not compat.is_jax_array(mask):
        return library(mask).nonzero(mask)[0]
    number = int(mask.sum())
    return library(mask).nonzero(mask, size=1 << max(number - 1, 0).bit_length(), fill_value=0)[0]
