"""One entry for each array library: all that the array API standard leaves open.

No other module asks which library an array belongs to. A library without an entry gets ``STANDARD``, whose answers use
nothing but the standard. Libraries are imported by the functions below at their first call, never with this module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np

__all__ = ["LIBRARIES", "STANDARD", "Library", "is_numpy", "library_of"]

Array = Any


def is_numpy(x: object) -> TypeGuard[np.ndarray]:
    """Whether x is a NumPy array, for which a path of its own may be quicker."""
    return isinstance(x, np.ndarray)


def _standard_to_host(xp: Any, x: Array) -> np.ndarray:
    devices = xp.__array_namespace_info__().devices()
    x = x.to_device(next(device for device in devices if "cpu" in str(device).lower()))
    # The standard promises DLPack only; NumPy's own protocols also take what DLPack cannot express.
    return np.asarray(x) if hasattr(x, "__array__") or hasattr(x, "__buffer__") else np.from_dlpack(x)


def _standard_true_indices(xp: Any, mask: Array) -> Array:
    return xp.nonzero(mask)[0]


def _standard_without_values(x: Array) -> str:
    lazy = type(x).__module__.partition(".")[0] == "dask"
    return "a dask array, which has no values yet; call its compute() first" if lazy else ""


def _write_in_place(result: Array, tile: Array, row: int, column: int) -> Array:
    rows, columns = tile.shape[-2:]
    result[..., row : row + rows, column : column + columns] = tile
    return result


def _standard_cholesky(xp: Any, a: Array) -> Array:
    return xp.linalg.cholesky(a)


def _standard_solve_lower(xp: Any, lower: Array, b: Array, transposed: bool) -> Array:
    """By blocks: the standard has no triangular solve, and small dense ones stand in on the diagonal."""
    n = lower.shape[-1]
    cuts = [slice(start, min(start + 64, n)) for start in range(0, n, 64)]
    matrix = xp.matrix_transpose(lower) if transposed else lower
    solved: list[Array] = []
    done: list[slice] = []
    for cut in reversed(cuts) if transposed else cuts:
        right = b[..., cut, :]
        for known, x in zip(done, solved, strict=True):
            right = right - matrix[..., cut, known] @ x
        solved.append(xp.linalg.solve(matrix[..., cut, cut], right))
        done.append(cut)
    return xp.concat(solved[::-1] if transposed else solved, axis=-2)


def _named_like_an_accelerator(device: Any) -> bool:
    return any(word in str(device).lower() for word in ("cuda", "rocm", "gpu", "tpu", "mps", "xpu"))


def _standard_key_words(xp: Any, key: Array) -> np.ndarray:
    return library_of(xp).to_host(xp, key)


@dataclass(frozen=True)
class Library:
    """The answers of one array library; the defaults are those of a library that has only the standard.

    Attributes
    ----------
    name : str
        For people.
    module : str
        Import this to get the functions of the library.
    namespace : callable
        The namespace of array-api-compat to the one that is used, which may have functions of its own.
    to_host : callable
        (namespace, array) to a NumPy array. Waits for the device.
    erf : callable or None
        The error function of an array; None where the library has none, and it is computed by quadrature.
    writable : bool
        Whether arrays can be written in place, and so given as ``out=``.
    write : callable
        (result, tile, row, column) to the result with this tile, or stack of tiles, from (row, column) on. Where arrays
        are not writable this is another array, and the old one is used up.
    recorded : callable
        Whether automatic differentiation records what is done with an array.
    with_gradients : callable
        (function, pullback, arrays) to function(*arrays), for arrays of which one is recorded: automatic
        differentiation takes pullback(cotangent, *arrays) for the gradients in all of them.
    without_values : callable
        For an array that stands for values which are not there yet: what it is, and what the user should do. For all
        other arrays the empty string.
    on_accelerator : callable
        Whether a device has memory of its own.
    free_memory : callable
        Bytes that new arrays may take on an accelerator; None where the library does not say.
    compiler : str or None
        What compiles formulas for these arrays: a word of the table in ``_formula/compilers.py``.
    compiles_each_shape : bool
        Whether a new shape costs a compilation: tiles are then few and of one size.
    true_indices : callable
        (namespace, mask (n,)) to the indices of its true entries.
    cholesky : callable
        (namespace, stack of matrices) to their lower Cholesky factors. The matrices may be overwritten. A matrix that
        has none gives an error of any kind, or a factor with NaN on its diagonal.
    key_words : callable
        (namespace, key) to the whole numbers of a key of random numbers, on the host.
    gradient : callable or None
        A function of an array, whose value is one number, to the function that gives its gradient, by automatic
        differentiation; None where the library has none.
    solve_lower : callable
        (namespace, stack of lower factors L, stack of right-hand sides b, transposed) to L^{-1} b, or L^{-T} b.
    upper : callable or None
        A matrix A to A A^T, of which what is below the diagonal is finite and not to be read; None where a library
        offers no such product of half the operations.
    mirror : callable or None
        Matrices to the same with the upper triangle copied onto the lower one; they may be overwritten. None where that
        takes the standard.
    add_product : callable or None
        (total, a, b) to total + a b in one pass, for a and b that broadcast to the total, which is used up; None where
        a library offers none that pays.
    """

    name: str
    module: str
    namespace: Callable[[Any], Any] = lambda xp: xp
    to_host: Callable[[Any, Array], np.ndarray] = _standard_to_host
    erf: Callable[[Array], Array] | None = None
    writable: bool = True
    write: Callable[[Array, Array, int, int], Array] = _write_in_place
    recorded: Callable[[Array], bool] = lambda x: False
    with_gradients: Callable[[Callable[..., Array], Callable[..., Any], Any], Array] = lambda f, pullback, x: f(*x)
    without_values: Callable[[Array], str] = _standard_without_values
    on_accelerator: Callable[[Any], bool] = _named_like_an_accelerator
    free_memory: Callable[[Any], int | None] = lambda device: None
    compiler: str | None = None
    compiles_each_shape: bool = False
    true_indices: Callable[[Any, Array], Array] = _standard_true_indices
    key_words: Callable[[Any, Array], np.ndarray] = _standard_key_words
    gradient: Callable[[Callable[[Array], Array]], Callable[[Array], Array]] | None = None
    cholesky: Callable[[Any, Array], Array] = _standard_cholesky
    solve_lower: Callable[[Any, Array, Array, bool], Array] = _standard_solve_lower
    upper: Callable[[Array], Array] | None = None
    mirror: Callable[[Array], Array] | None = None
    add_product: Callable[[Array, Array, Array], Array] | None = None


def _numpy_erf(x: Array) -> Array:
    from scipy.special import erf

    return erf(x)


def _numpy_cholesky(xp: Any, a: Array) -> Array:
    from .host_cholesky import cholesky

    return cholesky(a)


def _numpy_solve_lower(xp: Any, lower: Array, b: Array, transposed: bool) -> Array:
    from .host_cholesky import solve_lower

    return solve_lower(lower, b, transposed)


def _torch_cholesky(xp: Any, a: Array) -> Array:
    import torch

    lower, info = torch.linalg.cholesky_ex(a)
    if bool((info != 0).any()):
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    return lower


def _torch_solve_lower(xp: Any, lower: Array, b: Array, transposed: bool) -> Array:
    import torch

    return torch.linalg.solve_triangular(lower.mT if transposed else lower, b, upper=transposed)


def _torch_erf(x: Array) -> Array:
    import torch

    return torch.special.erf(x)


def _torch_recorded(x: Array) -> bool:
    import torch

    return bool(x.requires_grad) and torch.is_grad_enabled()


def _torch_with_gradients(function: Callable[..., Array], pullback: Callable[..., Any], arrays: Any) -> Array:
    import torch

    class Function(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *inputs: Array) -> Array:
            ctx.save_for_backward(*inputs)
            return function(*inputs)

        @staticmethod
        def backward(ctx: Any, cotangent: Array) -> Any:
            # Gradients are recorded here only where second derivatives are meant to be taken of them.
            if torch.is_grad_enabled():
                raise TypeError(
                    "kernels give first derivatives to autograd, not second ones: call it without create_graph=True; "
                    "kernels of second derivatives are in ntk_array.operators"
                )
            return pullback(cotangent, *ctx.saved_tensors)

    return Function.apply(*arrays)


def _torch_write(result: Array, tile: Array, row: int, column: int) -> Array:
    # A tile may be recorded by autograd, through the parameters. Writing it would make autograd record the result too.
    return _write_in_place(result, tile.detach(), row, column)


def _torch_free_memory(device: Any) -> int | None:
    """What the driver has, and what PyTorch took from it earlier and does not use now."""
    import torch

    if "cuda" not in str(device):
        return None
    pooled = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + pooled)


def _jax_erf(x: Array) -> Array:
    from jax.scipy.special import erf

    return erf(x)


def _jax_solve_lower(xp: Any, lower: Array, b: Array, transposed: bool) -> Array:
    from jax.scipy.linalg import solve_triangular

    return solve_triangular(lower, b, trans=int(transposed), lower=True)


def _jax_write(result: Array, tile: Array, row: int, column: int) -> Array:
    """An update that takes over the buffer of the result: the array is never there twice."""
    import jax

    # JAX itself remembers what it compiled for this function.
    update = jax.jit(jax.lax.dynamic_update_slice, donate_argnums=0)
    return update(result, tile, (*[0] * (tile.ndim - 2), row, column))


def _jax_without_values(x: Array) -> str:
    import jax

    traced = isinstance(x, jax.core.Tracer)
    return "a JAX tracer; call ntk_array outside jax.jit, jax.grad and jax.vmap" if traced else ""


def _jax_key_words(xp: Any, key: Array) -> np.ndarray:
    import jax

    typed = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(key) if typed else key)


def _jax_gradient(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    import jax

    gradient: Callable[[Array], Array] = jax.grad(function)
    return gradient


def _torch_gradient(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    import torch

    gradient: Callable[[Array], Array] = torch.func.grad(function)
    return gradient


def _jax_true_indices(xp: Any, mask: Array) -> Array:
    """Padded with zeros to a power of two, so that few shapes are compiled for."""
    number = int(mask.sum())
    # The bit length of number - 1 is ceil(log2(number)). A mask without a true entry gets size 1.
    return xp.nonzero(mask, size=1 << max(number - 1, 0).bit_length(), fill_value=0)[0]


@cache
def _cupy_namespace(xp: Any) -> Any:
    """The namespace of array-api-compat, but for functions that wait for the device there, or are slow.

    Its ``clip`` and ``sign`` write entries by a mask, and CuPy reads from the device how many entries a mask has.
    """
    import cupy

    def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
        return x if min is None and max is None else cupy.clip(x, min, max)

    def sign(x: Array, /) -> Array:
        # CuPy's has no NaN.
        return cupy.where(cupy.isnan(x), x, cupy.sign(x)) if x.dtype.kind == "f" else cupy.sign(x)

    def repeat(x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
        if axis is None or not isinstance(repeats, int):
            return cupy.repeat(x, repeats, axis)
        # Before version 14.1 CuPy has a kernel for each entry along the axis.
        before, after = x.shape[: axis % x.ndim + 1], x.shape[axis % x.ndim + 1 :]
        spread = cupy.broadcast_to(x.reshape(*before, 1, *after), (*before, repeats, *after))
        return spread.reshape(*before[:-1], before[-1] * repeats, *after)

    quick = ModuleType(xp.__name__)
    vars(quick).update(vars(xp), clip=clip, sign=sign, repeat=repeat)
    return quick


def _cupy_erf(x: Array) -> Array:
    from cupyx.scipy.special import erf

    return erf(x)


def _cupy_cholesky(xp: Any, a: Array) -> Array:
    import cupy
    import cupyx

    # Outside this context CuPy returns numbers for a matrix that is not positive definite.
    with cupyx.errstate(linalg="raise"):
        # A stack takes a batched method, which is made for small matrices.
        return cupy.linalg.cholesky(a[0])[None] if a.ndim == 3 and len(a) == 1 else cupy.linalg.cholesky(a)


def _cupy_solve_lower(xp: Any, lower: Array, b: Array, transposed: bool) -> Array:
    import cupy
    from cupyx.scipy.linalg import solve_triangular

    # The check for NaN would read the matrix back.
    parts = [
        solve_triangular(one, right, trans=int(transposed), lower=True, check_finite=False)
        for one, right in zip(lower.reshape(-1, *lower.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
    ]
    return cupy.stack(parts).reshape(b.shape)


def _cupy_upper(a: Array) -> Array:
    from .cupy_matrices import upper

    return upper(a)


def _cupy_mirror(a: Array) -> Array:
    from .cupy_matrices import mirror

    return mirror(a)


def _cupy_add_product(total: Array, a: Array, b: Array) -> Array:
    from .cupy_matrices import add_product

    return add_product(total, a, b)


def _cupy_free_memory(device: Any) -> int:
    """What the driver has, and what CuPy took from it earlier and does not use now."""
    import cupy

    with device:
        return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())


STANDARD = Library("a library that speaks the array API", "")
"""For libraries without an entry."""

LIBRARIES = {
    "numpy": Library(
        "NumPy",
        "numpy",
        to_host=lambda xp, x: np.asarray(x),
        erf=_numpy_erf,
        on_accelerator=lambda device: False,
        compiler="numba",
        cholesky=_numpy_cholesky,
        solve_lower=_numpy_solve_lower,
    ),
    "torch": Library(
        "PyTorch",
        "torch",
        to_host=lambda xp, x: np.asarray(x.detach().cpu()),
        erf=_torch_erf,
        write=_torch_write,
        recorded=_torch_recorded,
        with_gradients=_torch_with_gradients,
        free_memory=_torch_free_memory,
        gradient=_torch_gradient,
        cholesky=_torch_cholesky,
        solve_lower=_torch_solve_lower,
    ),
    "jax": Library(
        "JAX",
        "jax.numpy",
        to_host=lambda xp, x: np.asarray(x),
        erf=_jax_erf,
        writable=False,
        write=_jax_write,
        without_values=_jax_without_values,
        compiler="jax.jit",
        compiles_each_shape=True,
        true_indices=_jax_true_indices,
        key_words=_jax_key_words,
        gradient=_jax_gradient,
        solve_lower=_jax_solve_lower,
    ),
    "cupy": Library(
        "CuPy",
        "cupy",
        namespace=_cupy_namespace,
        to_host=lambda xp, x: np.asarray(x.get()),
        erf=_cupy_erf,
        free_memory=_cupy_free_memory,
        compiler="cupy",
        cholesky=_cupy_cholesky,
        solve_lower=_cupy_solve_lower,
        upper=_cupy_upper,
        mirror=_cupy_mirror,
        add_product=_cupy_add_product,
    ),
}
"""Entries by the name of the package. The command line and ``ntk-array info`` list the same names."""


def library_of(xp: Any) -> Library:
    """The entry of an array API namespace, found by its name: ``array_api_compat.torch`` and ``torch`` are one."""
    return LIBRARIES.get(xp.__name__.removeprefix("array_api_compat.").partition(".")[0], STANDARD)
