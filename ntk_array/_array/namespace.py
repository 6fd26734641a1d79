"""Which library, device and dtype arrays belong to, and how numbers get from the host and back to it.

This is the only module that imports array-api-compat.
"""

from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

from .libraries import Library, library_of

__all__ = [
    "Array",
    "Home",
    "default_dtype",
    "home",
    "index_dtype",
    "is_array",
    "itemsize",
    "namespace_of",
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
        # JAX without its x64 switch makes float32 where float64 was asked for, and raises no error.
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
    def library(self) -> Library:
        """The entry of the library: what the standard leaves open."""
        return library_of(self.xp)

    @property
    def widest(self) -> "Home":
        """The same place in float64, where its device has that."""
        known = self.xp.__array_namespace_info__().dtypes(device=self.device, kind="real floating")
        return self._replace(dtype=known.get("float64", self.dtype))

    @property
    def eps(self) -> float:
        """The spacing of this dtype at 1."""
        return float(self.xp.finfo(self.dtype).eps)


def is_array(x: object) -> bool:
    """Whether x is an array of a library that speaks the array API."""
    return bool(compat.is_array_api_obj(x))


def namespace_of(*arrays: Array) -> Any:
    """The array API namespace that all arrays share; arrays of two libraries are a TypeError."""
    if all(type(a) is np.ndarray for a in arrays):
        # This is asked several times for each tile, and the search of array-api-compat is slow.
        return _numpy()
    try:
        return _used(compat.array_namespace(*arrays))
    except TypeError as error:
        kinds = sorted({f"{type(a).__module__}.{type(a).__qualname__}" for a in arrays})
        raise TypeError(
            f"one call takes arrays of one library, got {', '.join(kinds)}; convert them to the same library"
        ) from error


def _numpy() -> Any:
    from array_api_compat import numpy  # takes as long as NumPy itself when first imported, and nothing later

    return numpy


def _used(xp: Any) -> Any:
    return library_of(xp).namespace(xp)


def standard_namespace(xp: Any) -> Any:
    """The array API namespace of a library given as its module, such as numpy, torch or cupy."""
    try:
        return _used(compat.array_namespace(xp.zeros(0)))
    except (AttributeError, TypeError) as error:
        raise TypeError(f"xp must be an array library such as numpy, torch, cupy or jax.numpy, got {xp!r}") from error


def home(*arrays: Array) -> Home:
    """The library of all arrays, and the dtype and device of the first."""
    first = arrays[0]
    if type(first) is np.ndarray:
        return Home(_numpy() if len(arrays) == 1 else namespace_of(*arrays), first.dtype, "cpu")
    return Home(namespace_of(*arrays), first.dtype, compat.device(first))


def itemsize(home: Home) -> int:
    """Bytes of a number."""
    return int(home.xp.finfo(home.dtype).bits) // 8


def default_dtype(xp: Any, device: Any = None) -> Any:
    """The floating-point dtype that this library makes on this device unless told otherwise.

    NumPy and CuPy answer float64, PyTorch float32, and JAX what its x64 switch says.
    """
    return xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]


def index_dtype(xp: Any, device: Any = None) -> Any:
    """The dtype of indices of this library: int64, and int32 of JAX without its x64 switch, which warns of int64."""
    return xp.__array_namespace_info__().default_dtypes(device=device)["indexing"]


def to_host(x: Array) -> np.ndarray:
    """The numbers of x as a NumPy array.

    On a GPU this waits for the device: it is for files, and for single numbers that decide how to go on.
    """
    xp = namespace_of(x)
    return library_of(xp).to_host(xp, x)


def true_indices(mask: Array) -> Array:
    """The indices at which a mask (n,) is true. On JAX, zeros follow them: see the entry of JAX."""
    xp = namespace_of(mask)
    return library_of(xp).true_indices(xp, mask)
