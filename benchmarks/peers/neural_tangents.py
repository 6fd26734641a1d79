"""neural-tangents: closed forms and quadrature at infinite width, structured derivatives at finite width; jitted."""

import importlib.metadata as metadata
from typing import Any

import numpy as np

from .cases import Case
from .worker import Ways, serve


def prepare(case: Case) -> Ways:
    """The kernel as one jitted function, and in batches; a matrix product is as exact as the dtype allows."""
    import jax

    if case.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import neural_tangents as nt
    from neural_tangents import stax

    x = jnp.asarray(case.inputs())
    bias = case.bias_std or None

    def network(widths: tuple[int, ...], outputs: int) -> Any:
        layers = []
        scales = {"W_std": case.weight_std, "b_std": bias, "parameterization": case.parameterization}
        for width in widths:
            conv = case.image and stax.Conv(width, case.kernel_size, padding="SAME", **scales)
            layers += [conv or stax.Dense(width, **scales), _activation(stax, jnp, case)]
        if case.image:
            layers.append(stax.GlobalAvgPool() if case.readout == "average" else stax.Flatten())
        return stax.serial(*layers, stax.Dense(outputs, **scales))

    def ready(result: Any) -> Any:
        return jax.block_until_ready(result)

    if case.infinite:
        kernel = network(case.widths, 1)[2]
        whole = jax.jit(lambda x: kernel(x, None, "ntk"))
        ways: Ways = {"jit": lambda: ready(whole(x))}
        for batch in (
            b for b in ((1, 2, 4, 20) if case.image else (20, 500, 1000)) if case.n % b == 0 and b < case.n <= 50 * b
        ):
            ways[f"batches of {batch}"] = _batched(nt, jax, kernel, x, batch)
        return ways

    apply = network(case.widths, case.outputs)[1]
    params: list[tuple[Any, ...]] = []
    for given, shift in case.parameters():
        weight = jnp.asarray(np.moveaxis(given, 0, -1))
        shape = (1,) * (weight.ndim - 1) + (-1,)
        params += [(weight, None if shift is None else jnp.asarray(shift.reshape(shape))), ()]
    if case.image:
        params.insert(-2, ())  # of the readout

    def implementation(number: int) -> Any:
        found = jax.jit(nt.empirical_ntk_fn(apply, trace_axes=(), vmap_axes=0, implementation=number))
        return lambda: ready(found(x, None, params[:-1]))

    # vmap_axes says that outputs depend on their own input only: without it all of these are far slower. The second
    # takes minutes for images.
    return {f"implementation {number}": implementation(number) for number in ((1, 3) if case.image else (1, 2, 3))}


def _activation(stax: Any, jnp: Any, case: Case) -> Any:
    if case.activation == "relu":
        return stax.Relu()
    return stax.ElementwiseNumerical(jnp.tanh, deg=case.degree, df=lambda u: 1 - jnp.tanh(u) ** 2)


def _batched(nt: Any, jax: Any, kernel: Any, x: Any, batch: int) -> Any:
    in_batches = nt.batch(kernel, batch_size=batch)
    return lambda: jax.block_until_ready(in_batches(x, None, "ntk"))


def to_numpy(result: Any) -> np.ndarray:
    """Infinite (N, N); empirical (N, N, C, C) as (N C, N C)."""
    k = np.asarray(result)
    return k if k.ndim == 2 else k.transpose(0, 2, 1, 3).reshape(k.shape[0] * k.shape[2], -1)


if __name__ == "__main__":
    serve(prepare, to_numpy, f"neural-tangents {metadata.version('neural-tangents')} (JAX {metadata.version('jax')})")
