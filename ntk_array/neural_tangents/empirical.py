"""Kernels and linearizations of finite networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any

import numpy as np

from .._array.namespace import Array, home
from ..kernels import EmpiricalNNGP, EmpiricalNTK
from ..nn import Linearized
from .asked import answered, chosen
from .functions import ApplyFn, InitFn
from .keys import key_of
from .network import network_of

__all__ = [
    "NtkImplementation",
    "empirical_kernel_fn",
    "empirical_nngp_fn",
    "empirical_ntk_fn",
    "empirical_ntk_vp_fn",
    "linearize",
    "monte_carlo_kernel_fn",
    "taylor_expand",
]


class NtkImplementation(IntEnum):
    """How neural-tangents computes an empirical NTK. Here there is one way, layer by layer, whichever is asked for."""

    AUTO = 0
    JACOBIAN_CONTRACTION = 1
    NTK_VECTOR_PRODUCTS = 2
    STRUCTURED_DERIVATIVES = 3


def empirical_ntk_fn(
    f: Any,
    trace_axes: Any = (-1,),
    diagonal_axes: Any = (),
    vmap_axes: Any = None,
    implementation: Any = 1,
    **rules: Any,
) -> Callable[..., Array]:
    """``kernel_fn(x1, x2, params)``: ``ntk_array.EmpiricalNTK`` of an ``apply_fn`` of stax.

    ``trace_axes=(-1,)`` is the mean over outputs, (N1, N2), ``outputs="trace"``; ``trace_axes=()`` is all of them, with
    the axes (N1, N2, C, C), where ours are (N1, C, N2, C). ``diagonal_axes=(-1,)`` with ``trace_axes=()`` is
    ``outputs="classwise"``, (N1, N2, C). With 0 in ``diagonal_axes`` each input meets itself only. The arguments about
    the implementation have no effect.
    """
    return _of_one("ntk", f, trace_axes, diagonal_axes)


def empirical_nngp_fn(f: Any, trace_axes: Any = (-1,), diagonal_axes: Any = ()) -> Callable[..., Array]:
    """``kernel_fn(x1, x2, params)``: ``ntk_array.EmpiricalNNGP``; axes as for :func:`empirical_ntk_fn`."""
    return _of_one("nngp", f, trace_axes, diagonal_axes)


def _of_one(name: str, f: Any, trace_axes: Any, diagonal_axes: Any) -> Callable[..., Array]:
    kernel_fn = empirical_kernel_fn(f, trace_axes, diagonal_axes)

    def one(x1: Array, x2: Array | None, params: Any, **kwargs: Any) -> Array:
        return kernel_fn(x1, x2, name, params, **kwargs)

    return one


def empirical_kernel_fn(
    f: Any,
    trace_axes: Any = (-1,),
    diagonal_axes: Any = (),
    vmap_axes: Any = None,
    implementation: Any = 1,
    **rules: Any,
) -> Callable[..., Any]:
    """``kernel_fn(x1, x2, get, params)``, for ``get`` "ntk", "nngp", a tuple of both, or None, which is both.

    Axes as for :func:`empirical_ntk_fn`.

    Examples
    --------
    >>> import numpy as np, ntk_array.neural_tangents as nt
    >>> from ntk_array.neural_tangents import stax
    >>> init_fn, apply_fn, _ = stax.serial(stax.Dense(16), stax.Erf(), stax.Dense(2))
    >>> x = np.random.default_rng(0).normal(size=(3, 4))
    >>> kernel_fn = nt.empirical_kernel_fn(apply_fn, trace_axes=())
    >>> kernel_fn(x, None, "ntk", init_fn(0, x.shape)[1]).shape
    (3, 3, 2, 2)
    """
    del vmap_axes, implementation, rules
    function: ApplyFn = ApplyFn(network_of(f))
    outputs, paired = _outputs(trace_axes, diagonal_axes)

    def kernel_fn(
        x1: Array,
        x2: Array | None,
        get: Any,
        params: Any,
        *,
        rng: Any = None,
        pattern: Any = None,
        mask_constant: Any = None,
        **kwargs: Any,
    ) -> Any:
        names = chosen(get, ("nngp", "ntk"), ("nngp", "ntk"))
        masked = function.masked(mask_constant)
        network = masked.network
        net, own = masked.with_noise(rng, **kwargs), network.params(params)
        one, two = network.pair(x1, x2, pattern)
        if paired and two is not None:
            raise NotImplementedError("diagonal_axes with 0 in it, each input with itself, needs x2=None")

        def value(name: str) -> Array:
            return _ntk(net, own, one, two) if name == "ntk" else _nngp(net, own, one, two)

        return answered("EmpiricalKernel", get, names, value)

    def _ntk(net: Any, own: Any, one: Array, two: Array | None) -> Array:
        kernel = EmpiricalNTK(net, own, outputs=outputs)
        values = kernel.diag(one) if paired else kernel(one, two)
        xp = home(values).xp
        if outputs == "classwise":
            return xp.moveaxis(values, 0, -1)
        return xp.permute_dims(values, (0, 2, 1, 3)) if outputs == "full" and not paired else values

    def _nngp(net: Any, own: Any, one: Array, two: Array | None) -> Array:
        kernel = EmpiricalNNGP(net, own)
        if outputs == "trace":
            return kernel.diag(one) if paired else kernel(one, two)
        # The products of outputs that the mean of the kernel is over.
        f1 = net(own, one)
        f2 = f1 if two is None else net(own, two)
        if outputs == "classwise":
            return f1 * f2 if paired else f1[:, None, :] * f2[None, :, :]
        return f1[:, :, None] * f2[:, None, :] if paired else f1[:, None, :, None] * f2[None, :, None, :]

    return kernel_fn


def _outputs(trace_axes: Any, diagonal_axes: Any) -> tuple[str, bool]:
    """What of the outputs is asked for, in our words, and whether inputs meet themselves only."""
    traced, diagonal = ((axes,) if isinstance(axes, int) else tuple(axes) for axes in (trace_axes, diagonal_axes))
    paired = any(axis in (0, -2) for axis in diagonal)
    rest = tuple(axis for axis in diagonal if axis not in (0, -2))
    words = {(True, False): "trace", (False, False): "full", (False, True): "classwise"}
    known = all(axis in (1, -1) for axis in traced + rest) and len(traced) < 2 and len(rest) < 2
    if not known or (bool(traced), bool(rest)) not in words:
        raise NotImplementedError(
            f"trace_axes={trace_axes} and diagonal_axes={diagonal_axes} have no counterpart: outputs are (N, C) here, "
            "trace_axes (-1,) or (), and diagonal_axes of 0 and -1"
        )
    return words[bool(traced), bool(rest)], paired


def empirical_ntk_vp_fn(
    f: Any, x1: Array, x2: Array | None, params: Any, **apply_fn_kwargs: Any
) -> Callable[[Array], Array]:
    """The function v (N2, C) -> Theta(x1, x2) v (N1, C), without Theta: ``ntk_array.EmpiricalNTK.matvec``."""
    pattern = apply_fn_kwargs.pop("pattern", None)
    function = ApplyFn(network_of(f)).masked(apply_fn_kwargs.pop("mask_constant", None))
    kernel = EmpiricalNTK(function.with_noise(**apply_fn_kwargs), function.network.params(params))
    one, two = function.network.pair(x1, x2, pattern)
    return lambda v: kernel.matvec(one, two, v)


def linearize(f: Any, params: Any) -> Callable[..., Array]:
    """``f_lin(new_params, x)``: ``ntk_array.nn.Linearized``."""
    function = ApplyFn(network_of(f))

    def f_lin(
        new_params: Any, x: Array, *, rng: Any = None, pattern: Any = None, mask_constant: Any = None, **kwargs: Any
    ) -> Array:
        own = function.masked(mask_constant)
        lin = Linearized(own.with_noise(rng, **kwargs), own.network.params(params))
        return lin(own.network.params(new_params), own.network.packed(x, pattern))

    return f_lin


def taylor_expand(f: Any, params: Any, degree: int) -> Callable[..., Array]:
    """The Taylor polynomial of degree 1, :func:`linearize`, or of degree 0. Higher degrees are refused."""
    if degree not in (0, 1):
        raise NotImplementedError(
            f"taylor_expand of degree {degree}: ntk_array has first derivatives in parameters only, degree 0 or 1"
        )
    f_lin = linearize(f, params)
    return f_lin if degree else lambda new_params, x, **kwargs: f_lin(params, x, **kwargs)


def monte_carlo_kernel_fn(
    init_fn: InitFn,
    apply_fn: Any,
    key: Any,
    n_samples: int | Iterable[int],
    batch_size: int = 0,
    device_count: int = -1,
    store_on_device: bool = True,
    trace_axes: Any = (-1,),
    diagonal_axes: Any = (),
    vmap_axes: Any = None,
    implementation: Any = 1,
    **rules: Any,
) -> Callable[..., Any]:
    """``kernel_fn(x1, x2, get)``: the mean of the empirical kernel over random parameters.

    For several numbers of samples it is a generator of the means over so many of them. Draws are not those of JAX. The
    arguments about batches, devices and implementations have no effect. ``ntk_array.MonteCarloNTK`` gives standard
    errors, too.
    """
    del batch_size, device_count, store_on_device, vmap_axes, implementation, rules
    if network_of(init_fn) != network_of(apply_fn):
        raise ValueError("init_fn and apply_fn are of different networks")
    counts = {n_samples} if isinstance(n_samples, int) else set(n_samples)
    if not counts or any(not isinstance(n, int) or n < 1 for n in counts):
        raise ValueError(f"n_samples must be whole numbers of at least 1, got {n_samples!r}")
    kernel_of_one = empirical_kernel_fn(apply_fn, trace_axes, diagonal_axes)
    noisy, root = network_of(apply_fn).net.noisy, key_of(key).seeds

    def means(x1: Array, x2: Array | None, get: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
        names, mean = chosen(get, ("nngp", "ntk"), ("nngp", "ntk")), dict[str, Array]()
        for draw, seeds in enumerate(np.random.SeedSequence(root.entropy).spawn(max(counts)), start=1):
            drawn, noise = (np.random.default_rng(own) for own in seeds.spawn(2))
            params = _like(init_fn, drawn, x1)
            of_one = kernel_of_one(x1, x2, names, params, **({"rng": noise} if noisy else {}), **kwargs)
            for name, value in zip(names, of_one, strict=True):
                mean[name] = value if draw == 1 else mean[name] + (value - mean[name]) / draw
            if draw in counts:
                yield answered("MonteCarloKernel", get, names, dict(mean).__getitem__)

    def kernel_fn(x1: Array, x2: Array | None = None, get: Any = None, **kwargs: Any) -> Any:
        found = means(x1, x2, get, kwargs)
        return next(found) if isinstance(n_samples, int) else found

    return kernel_fn


def _like(init_fn: InitFn, rng: np.random.Generator, x: Array) -> Any:
    """Parameters in the library of inputs."""
    here = home(x)
    place = {"xp": here.xp, "device": here.device, "dtype": here.dtype}
    shape = tuple(x.shape[1:])
    return init_fn.network.part.draw(shape, key_of(rng).seeds, place)
