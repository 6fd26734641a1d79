"""Kernels of finite networks: against a formula by hand, and their errors. The conformance suite does the rest."""

import numpy as np
import pytest

import ntk_array as ntk
from ntk_array import EmpiricalNNGP, EmpiricalNTK, nn
from ntk_array.nn.parameters import flatten


@pytest.fixture
def x(backend, rng):
    return backend.array(rng.normal(size=(5, 3)))


def test_one_hidden_layer_by_hand(backend, x):
    """f = s/sqrt(n) v . tanh(s/sqrt(d) W x + t b): the gradient written out."""
    net = nn.mlp((7,), 1, activation="tanh", weight_std=1.5, bias_std=0.3)
    params = net.init(0, like=x)
    w, b = (backend.host(params[0][name]).astype(float) for name in ("weight", "bias"))
    v, host = backend.host(params[2]["weight"]).astype(float)[0], backend.host(x).astype(float)
    h = np.tanh(1.5 / np.sqrt(3) * host @ w.T + 0.3 * b)
    delta = 1.5 / np.sqrt(7) * v * (1 - h**2)
    expected = (1.5**2 / 7) * h @ h.T + 0.3**2 + ((1.5**2 / 3) * host @ host.T + 0.3**2) * (delta @ delta.T)
    backend.close(EmpiricalNTK(net, params, "trace")(x), expected, factor=50)
    f = 1.5 / np.sqrt(7) * h @ v + 0.3 * float(backend.host(params[2]["bias"])[0])
    backend.close(EmpiricalNNGP(net, params)(x), np.outer(f, f), factor=50)


def test_one_output_has_one_kernel(backend, x):
    net = nn.mlp((7,), 1)
    params = net.init(0, like=x)
    trace = EmpiricalNTK(net, params, "trace")(x)
    backend.close(EmpiricalNTK(net, params, "sum_of_logits")(x), backend.host(trace), factor=8)
    backend.close(EmpiricalNTK(net, params, "classwise")(x)[0, ...], backend.host(trace), factor=8)
    backend.close(EmpiricalNTK(net, params)(x)[:, 0, :, 0], backend.host(trace), factor=8)


def test_shares_of_the_parameters_add_up(backend, x):
    net = nn.mlp((7, 6), 2, bias_std=0.4)
    params = net.init(0, like=x)
    shares = [backend.host(EmpiricalNTK(net, params, trainable=name)(x)).astype(float) for name in flatten(params)]
    backend.close(EmpiricalNTK(net, params)(x), sum(shares), factor=20)
    assert all(np.max(np.abs(share)) > 0 for share in shares)


def test_the_nngp_kernel_of_outputs(backend, x, rng):
    net = nn.mlp((7,), 4)
    params = net.init(0, like=x)
    kernel = EmpiricalNNGP(net, params)
    f, f2 = (backend.host(net(params, batch)).astype(float) for batch in (x, x[:2, :]))
    backend.close(kernel(x), f @ f.T / 4, factor=20)
    backend.close(kernel(x, x[:2, :]), f @ f2.T / 4, factor=20)
    backend.close(kernel.diag(x), np.sum(f * f, axis=1) / 4, factor=20)
    v = rng.normal(size=5)
    backend.close(kernel.matvec(x, None, backend.array(v)), f @ f.T @ v / 4, factor=50)
    k = backend.host(kernel(x))
    np.testing.assert_array_equal(k, k.T)
    assert kernel(x).dtype == backend.dtype


def test_bad_arguments():
    net = nn.mlp((4,), 2)
    params = net.init(0, input_shape=(3,))
    with pytest.raises(TypeError, match=r"^net must be a network of ntk_array.nn, got 'relu'"):
        EmpiricalNTK("relu", params)
    with pytest.raises(ValueError, match=r"^outputs must be one of 'full', 'trace', 'classwise', 'sum_of_logits', got"):
        EmpiricalNTK(net, params, "mean")
    with pytest.raises(ValueError, match=r"^trainable names '1'; the network's parameters are 0\.weight, 2\.weight"):
        EmpiricalNTK(net, params, trainable="1")
    with pytest.raises(ValueError, match=r"^the network has no parameters: its NTK is zero"):
        EmpiricalNTK(nn.Tanh(), {})


def test_inputs_that_do_not_fit_the_parameters(backend):
    net = nn.mlp((4,), 2)
    params = net.init(0, input_shape=(3,), dtype=np.float32)
    for kernel in (EmpiricalNTK(net, params), EmpiricalNNGP(net, params)):
        with pytest.raises(TypeError, match=r"^x1 has dtype float64, params has float32"):
            kernel(np.ones((2, 3)))
    x = backend.array(np.ones((2, 4)))
    params = net.init(0, like=x[:, :3])
    for kernel in (EmpiricalNTK(net, params), EmpiricalNNGP(net, params)):
        for call in (lambda: kernel(x), lambda: kernel.diag(x)):  # noqa: B023
            with pytest.raises(ValueError, match=r"^Dense\(4\) has a weight for 3 features and needs inputs \(N, 3\)"):
                call()


def test_outputs_that_are_not_vectors():
    net = nn.Identity()
    with pytest.raises(ValueError, match=r"^the network's output has shape \(2, 3, 4\); kernels and Jacobians need"):
        EmpiricalNNGP(net, {})(np.ones((2, 3, 4)))


def test_the_sum_of_logits_sees_what_the_trace_does_not(backend, x):
    """Two equal outputs: the sum of logits is twice the trace."""
    net = nn.mlp((7,), 2)
    params = net.init(0, like=x)
    row = params[2]["weight"][:1, :]
    twins = (params[0], params[1], {"weight": backend.xp.concat([row, row], axis=0)})
    hidden = ("0",)
    trace = backend.host(EmpiricalNTK(net, twins, "trace", hidden)(x))
    backend.close(EmpiricalNTK(net, twins, "sum_of_logits", hidden)(x), 2 * trace, factor=20)


@pytest.mark.host
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_are_finite(value):
    net = ntk.nn.mlp((4,), 1, bias_std=0.1)
    params = net.init(0, input_shape=3)
    params[2]["bias"][0] = value
    for kernel in (ntk.EmpiricalNTK, ntk.EmpiricalNNGP):
        with pytest.raises(ValueError, match=r"^the parameter 2\.bias has NaN or infinity"):
            kernel(net, params)


@pytest.mark.host
@pytest.mark.parametrize("shape", [(1, 4), (1,), (4, 1)])
def test_biases_that_would_broadcast_are_refused(shape):
    net = ntk.nn.mlp((4,), 1, bias_std=0.1)
    params, x = net.init(0, input_shape=3), np.ones((2, 3))
    params[0]["bias"] = np.ones(shape)
    for call in (lambda: net(params, x), lambda: ntk.EmpiricalNTK(net, params)(x)):
        with pytest.raises(ValueError, match=r"got parameters of another layer: weight .* and bias"):
            call()


@pytest.mark.host
def test_a_transposed_weight_is_named():
    net, x = ntk.nn.Dense(4), np.ones((2, 3))
    with pytest.raises(ValueError, match=r"weight \(3, 4\); its axes are \(outputs, features\): transpose it"):
        net({"weight": np.ones((3, 4))}, x)


@pytest.mark.host
def test_a_vector_to_multiply_is_finite():
    x, v = np.ones((2, 3)), np.asarray([1.0, np.nan])
    with pytest.raises(ValueError, match=r"^v has NaN or infinity in 1 of its 2 rows"):
        ntk.InfiniteNTK(ntk.nn.mlp((1,), 1)).matvec(x, None, v)


@pytest.mark.host
@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_slopes_are_finite(slope):
    with pytest.raises(ValueError, match="negative_slope must be finite"):
        ntk.nn.LeakyReLU(slope)
