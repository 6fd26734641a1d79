"""The kernel gradient against the explicit sum over the sample, for kernels of every kind."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array.function_space import EmpiricalMeasure, SquaredError, kernel_gradient

N, M, C = 5, 3, 2
WEIGHTS = np.asarray([0.1, 0.3, 0.25, 0.15, 0.2])


def kernel_of_kind(kind, backend, x):
    if kind == "infinite":
        return ntk.InfiniteNTK(ntk.nn.mlp((1,), 1, activation="erf", bias_std=0.3))
    net = ntk.nn.mlp((7,), C, activation="tanh", bias_std=0.3)
    outputs = {"scalar": "trace"}.get(kind, kind)
    return ntk.EmpiricalNTK(net, net.init(3, like=x), outputs=outputs)


def full_block(kind, block):
    """Kernel values of any kind as (N1, C, N2, C)."""
    if kind == "full":
        return block
    if kind == "scalar":
        return np.einsum("ij,cd->icjd", block, np.eye(C))
    return np.einsum("cij,cd->icjd", block, np.eye(C))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["infinite", "scalar", "classwise", "full"])
def test_explicit_sum_over_the_sample(backend, rng, kind, weighted):
    x, x_new, y, f = (rng.normal(size=shape) for shape in ((N, 3), (M, 3), (N, C), (N, C)))
    device_x, device_new = backend.array(x), backend.array(x_new)
    kernel = kernel_of_kind(kind, backend, device_x)
    p_in = EmpiricalMeasure(device_x, backend.array(WEIGHTS) if weighted else None)
    gradient = kernel_gradient(kernel, SquaredError(p_in, backend.array(y)), backend.array(f))
    weights = WEIGHTS if weighted else np.full(N, 1 / N)
    for inputs, values in ((device_new, gradient(device_new)), (device_x, gradient())):
        block = full_block(kernel.kind, backend.host(kernel(inputs, device_x)))
        expected = np.zeros((block.shape[0], C))
        for i in range(block.shape[0]):
            for j in range(N):
                expected[i] += weights[j] * block[i, :, j, :] @ (2 * (f[j] - y[j]))
        backend.close(values, expected, factor=200)


def test_vector_targets_give_vectors(backend, rng):
    x, x_new, y = (backend.array(rng.normal(size=shape)) for shape in ((N, 3), (M, 3), (N,)))
    cost = SquaredError(EmpiricalMeasure(x), y)
    gradient = kernel_gradient(ntk.InfiniteNTK(ntk.nn.mlp((1,), 1)), cost, lambda z: z[:, 0])
    assert gradient(x_new).shape == (M,)
    assert gradient().shape == (N,)
    assert gradient.coefficients.shape == (N, 1)


def test_the_cost_falls_at_the_rate_of_the_kernel_norm(backend, rng):
    """dC|_f(-grad_K C|_f) = -||d||_K^2, by the explicit double sum."""
    x, y, f = rng.normal(size=(N, 3)), rng.normal(size=N), rng.normal(size=N)
    device_x = backend.array(x)
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,), 1))
    cost = SquaredError(EmpiricalMeasure(device_x, backend.array(WEIGHTS)), backend.array(y))
    rate = cost.derivative(backend.array(f))(-kernel_gradient(kernel, cost, backend.array(f))())
    d = WEIGHTS * 2 * (f - y)
    backend.close(rate, -(d @ backend.host(kernel(device_x)) @ d), factor=200)


def test_outputs_must_agree(backend, rng):
    x = backend.array(rng.normal(size=(N, 3)))
    cost = SquaredError(EmpiricalMeasure(x), backend.array(rng.normal(size=(N, C + 1))))
    with pytest.raises(ValueError, match=f"v has {C + 1} columns, the kernel has {C} outputs"):
        kernel_gradient(kernel_of_kind("full", backend, x), cost, lambda z: backend.array(np.zeros((N, C + 1))))()
    with pytest.raises(ValueError, match="f has 1 outputs"):
        kernel_gradient(kernel_of_kind("full", backend, x), cost, backend.array(np.zeros(N)))
